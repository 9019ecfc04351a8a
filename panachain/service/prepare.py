"""What `init` of proxy, relay, gate and index writes: a commented configuration, and a hardened systemd unit.

Never writes a secret into either, and never asks anything: text comes out, from what the network file says.
Follows TOML 1.0, systemd.exec(5) of version 250 and later, and docs/spec/proxy.md, relay.md and gate.md, section
"Configuration" of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from panachain.errors import ConfigurationError

_FILES: Final = ("nodeKeyFile", "headerFile", "caFile", "certificateFile", "certificateKeyFile")
"""Fields of a chain's section that name files, relative to the network file."""


def proxy_config(network: Mapping[str, Any], folder: Path, *, host: str, port: int, database: str, gated: bool) -> str:
    """Return a proxy's configuration.

    Args:
        network: the network file's content.
        folder: where the network file lies.
        host: where it listens.
        port: the same.
        database: a file's name, or a URL without a password.
        gated: whether the sidechain's node wants the key in `node.key`.
    """
    own = {"nodeKeyFile": "node.key"} if gated else {}
    return _lines(
        '# A re-encryption proxy. Every field: docs/spec/proxy.md, section "Configuration".',
        "# No secret stands here; the files that are named hold them. Names of files are relative to this one.",
        "",
        "# Where it listens. Patients reach its registered endpoint by https: a reverse proxy before it, or [tls].",
        ("host", host),
        ("port", port),
        "",
        "# Its keys, opened by the passphrase (PANACHAIN_PASSPHRASE_FILE). A copy of this file and the passphrase is",
        "# all that can't be made again.",
        ("keystore", "seed.json"),
        "",
        "# Shares of keys and the receipt log: a file, or postgresql+psycopg://user@host/name for several workers on a",
        "# busy machine. Back it up: docs/operate/proxy.md.",
        ("database", database),
        *(['databasePasswordFile = "database.password"  # 0600'] if "://" in database else []),
        "",
        "# Blocks that a grant must be deep before it counts here; the network's patients wait as long.",
        ("confirmations", network.get("confirmations", 1)),
        "# Seconds by which the mainchain's newest block may be older than this machine's clock: beyond it nothing is",
        "# served, because a revocation could be hidden. NTP must run.",
        ("maxHeadAge", network["mainchain"].get("maxHeadAge") or 600),
        "# Seconds between two anchors of the receipt log on the mainchain; each costs a transaction of this account.",
        ("anchorEvery", 3600),
        "# Processes; one for each core that it may use.",
        ("workers", 1),
        "",
        "# Where patients' connections end here, without a reverse proxy:",
        "# [tls]",
        '# certificate = "fullchain.pem"',
        '# key = "key.pem"  # 0600',
        "",
        *_chain("mainchain", network["mainchain"], folder),
        *_chain("sidechain", network["sidechain"], folder, own),
    )


def relay_config(
    network: Mapping[str, Any],
    folder: Path,
    *,
    host: str,
    port: int,
    database: str,
    chain: str = "mainchain",
    gated: bool = False,
) -> str:
    """Return a relay's configuration.

    Args:
        network: the network file's content.
        folder: where the network file lies.
        host: where it listens.
        port: the same.
        database: a file's name, or a URL without a password.
        chain: `mainchain`, where it pays for policies, or `sidechain`, for what persons do there.
        gated: whether that chain's node wants the key in `node.key`.
    """
    side = chain == "sidechain"
    own = {"nodeKeyFile": "node.key"} if gated else {}
    paid = "what persons do on the sidechain" if side else "patients' transactions"
    return _lines(
        f'# A relay, which pays for {paid}. Every field: docs/spec/relay.md, section "Configuration".',
        "# No secret stands here; the files that are named hold them. Names of files are relative to this one.",
        ("schema", "panachain/relay-config/1"),
        "",
        "# Where it listens; a reverse proxy with https stands before it, or [tls].",
        ("host", host),
        ("port", port),
        "# Addresses of reverse proxies whose X-Forwarded-For is believed; without them all their clients are one.",
        '# behind = ["127.0.0.1"]',
        "",
        "# The account that pays: what lies on it is what can be lost at most. 64 hex digits, 0600.",
        ("keyFile", "relay.key"),
        "",
        "# What was paid: a file, or postgresql+psycopg://user@host/name. Back it up: docs/operate/consortium.md.",
        ("database", database),
        *(['databasePasswordFile = "database.password"  # 0600'] if "://" in database else []),
        "",
        "# Gas that may be paid in a day, and what of it is kept for "
        + ("calls that take something back." if side else "revocations alone. A grant takes about 200,000."),
        ("gasPerDay", 20_000_000),
        ("revocationReserve", 4_000_000),
        "# Requests that one source may make in a minute.",
        ("perMinute", 30),
        "",
        "# [tls]",
        '# certificate = "fullchain.pem"',
        '# key = "key.pem"  # 0600',
        "",
        *_chain(chain, network[chain], folder, own),
    )


def gate_config(network: Mapping[str, Any], folder: Path, *, host: str, port: int, url: str, node: str) -> str:
    """Return the configuration of the sidechain's gate.

    Args:
        network: the network file's content.
        folder: where the network file lies.
        host: where it listens.
        port: the same.
        url: under which nodes reach it.
        node: URL of the sidechain's own node, which nobody else may reach.
    """
    side = {name: network["sidechain"][name] for name in ("chainId", "contracts")} | {"url": node}
    return _lines(
        '# The gate before the sidechain. Every field: docs/spec/gate.md, section "Configuration".',
        "# No secret stands here. Names of files are relative to this one.",
        ("schema", "panachain/gate-config/1"),
        "",
        "# Where it listens; without [tls] on loopback only, behind a reverse proxy.",
        ("host", host),
        ("port", port),
        "# Under which URL nodes reach it: they sign it, so the network file has the same.",
        ("url", url),
        "",
        "# Addresses of admitted nodes, beside the registry's active actors: each hospital's and proxy's node.key.",
        "nodes = []",
        "",
        "# Who asked what: one line for each request. Rotate it with copytruncate.",
        ("auditLog", "audit.jsonl"),
        "",
        "# [tls]",
        '# certificate = "fullchain.pem"',
        '# key = "key.pem"  # 0600',
        "",
        "# The sidechain's own node: it listens on loopback or a private network, and this gate is the only way to it.",
        *_chain("sidechain", side, folder),
        "# The registry's actors are admitted too, and a suspended one is out within seconds.",
        *_chain("mainchain", network["mainchain"], folder),
    )


def index_config(network_file: Path) -> str:
    """Return the settings of a home whose copies of both chains are kept current.

    Args:
        network_file: where the network file lies.
    """
    return _lines(
        '# Settings of this home. Every setting: docs/spec/cli.md, section "Settings".',
        "",
        "# Which network. Where its sections name `copy`, the copies are kept in that PostgreSQL database, and several",
        "# machines may share them (docs/spec/follower.md).",
        ("network_file", str(network_file)),
        "# Nodes of several operators, so that none of them is believed alone.",
        '# mainchain_rpc = ["https://one.example", "https://other.example"]',
        "# mainchain_quorum = 2",
    )


def unit(what: str, command: Sequence[str], folder: Path, *, user: str, passphrase: bool, home: bool = False) -> str:
    """Return a systemd unit.

    Args:
        what: what the service is, in words.
        command: the program and its arguments.
        folder: the only place that the service may write to.
        user: under which account it runs.
        passphrase: whether it opens a key store: the passphrase comes as a credential.
        home: whether `folder` is a home of the command line.

    Raises:
        ConfigurationError: a name can't stand in a unit.
    """
    words = [*command, str(folder), user]
    if any(bad in word for word in words for bad in ('"', "\\", "%", "$", "\n")):
        raise ConfigurationError("a unit can't name a path or an account with quotes, backslashes, % or $ in it")
    # A service's own programs and files may lie in a home: then homes are readable, and still not writable.
    homes = any(word.startswith(("/home/", "/root/", "/run/user/")) for word in words)
    return _lines(
        f"# PanaChain: {what}. `systemctl enable --now FILE`, the whole path, links it and starts it.",
        "[Unit]",
        f"Description=PanaChain: {what}",
        "After=network-online.target time-sync.target",
        "Wants=network-online.target",
        "",
        "[Service]",
        "Type=exec",
        f"User={user}",
        f"WorkingDirectory={folder}",
        "ExecStart=" + " ".join(f'"{word}"' if " " in word else word for word in command),
        *([f"Environment=PANACHAIN_HOME={folder}"] if home else []),
        *(
            [
                "# The passphrase stays readable by root only; the service gets a copy that it alone can read.",
                f"LoadCredential=passphrase:{folder}/passphrase",
                "Environment=PANACHAIN_PASSPHRASE_FILE=%d/passphrase",
            ]
            if passphrase
            else []
        ),
        "Restart=on-failure",
        "RestartSec=5",
        "# SIGTERM lets requests under way end, and anchors what is left.",
        "TimeoutStopSec=60",
        "",
        "# It writes to its own folder and nowhere else, and gets no more rights than it has.",
        f"ReadWritePaths={folder}",
        "UMask=0077",
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if homes else 'yes'}",
        *(f"{name}=yes" for name in _PROTECTIONS),
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
        "# Not MemoryDenyWriteExecute: libffi makes callbacks in memory that it then runs.",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    )


_PROTECTIONS: Final = (
    *("PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs"),
    *("ProtectKernelModules", "ProtectKernelTunables", "LockPersonality", "RestrictNamespaces", "RestrictRealtime"),
    *("RestrictSUIDSGID", "RemoveIPC"),
)
"""Settings of systemd.exec(5) that are `yes` for every service."""


def toml(value: object) -> str:
    """Return a value as TOML writes it on one line.

    Raises:
        ConfigurationError: TOML has no such value.
    """
    if isinstance(value, str):
        # JSON's escapes are TOML's too; DEL is a control character to TOML only.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml(str(key))} = {toml(one)}' for key, one in value.items())} }}"
    raise ConfigurationError(f"{value!r} can't stand in a configuration")


def _chain(name: str, section: Mapping[str, Any], folder: Path, own: Mapping[str, str] | None = None) -> list[str]:
    """Return a chain's section, with the network file's files named from anywhere, and fields of the service's own."""

    def whole(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: str(folder / str(value)) if key in _FILES else value
            for key, value in fields.items()
            if value is not None
        }

    fields = whole(section) | dict(own or {})
    urls = fields.get("url")
    if isinstance(urls, list):
        fields["url"] = [whole(one) if isinstance(one, Mapping) else one for one in urls]
    contracts = fields.pop("contracts")
    return [
        f"[{name}]",
        *(f"{key} = {toml(value)}" for key, value in fields.items()),
        f"[{name}.contracts]",
        *(f"{key} = {toml(value)}" for key, value in contracts.items()),
        "",
    ]


def _lines(*parts: str | tuple[str, object]) -> str:
    return "\n".join(part if isinstance(part, str) else f"{part[0]} = {toml(part[1])}" for part in parts) + "\n"
