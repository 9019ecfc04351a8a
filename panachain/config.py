"""Settings: where state lies and which services are used, each value with its origin.

Never holds a secret: passphrases come from panachain/passphrase.py and stay out of files and arguments.
Follows docs/spec/cli.md, section "Settings": flag > environment > panachain.toml > default of the platform.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panachain.errors import ConfigurationError

FILE_NAME: Final = "panachain.toml"
"""The settings file, in the platform's folder for settings and in the home."""

MAXIMUM_FILE_SIZE: Final = 65_536
"""Bytes; a settings file is a few lines."""

MAXIMUM_NETWORK: Final = 1 << 20
"""Bytes of a network file; what is longer is cut, and so is none."""

STORES: Final = ("auto", "embedded", "kubo")
"""What `ipfs` may be: `auto` takes the store that the network was made with, else the embedded one."""

_LISTS: Final = ("mainchain_rpc", "sidechain_rpc")
"""Settings that a file may give as a list of texts."""
_UNITS: Final[Mapping[str, int]] = {"K": 10, "M": 20, "G": 30, "T": 40}
"""Letter of a size → the power of two that it stands for."""

_DEFAULTS: Final[Mapping[str, str]] = {
    "profile": "",
    "network_file": "",
    "mainchain_rpc": "",
    "sidechain_rpc": "",
    "mainchain_quorum": "",
    "sidechain_quorum": "",
    "ipfs": "auto",
    "ipfs_api": "/ip4/127.0.0.1/tcp/5001",
    "confirmations": "",
    "max_fee": "",
    "timeout": "10",
    "jitter": "0",
    "sensitivity": "default",
    "ward_keeps": "",
    "proxy_ranges": "",
    "agent": "yes",
    "passphrase_file": "",
    "passphrase_command": "",
    "passphrase_keychain": "no",
    "security_key": "yes",
    "record_limit": "1G",
    "opening_limit": "16G",
}


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    home: Path
    """The folder that holds all state of a user; 0700."""
    profile: str = ""
    """The profile that acts; empty when none was chosen."""
    network_file: Path = Path()
    """Chain IDs, contract addresses and RPC URLs, as `devnet up` and `deploy` write them."""
    mainchain_rpc: str = ""
    """URLs of nodes, with commas between them; empty takes those in the network file."""
    sidechain_rpc: str = ""
    """The same for the sidechain."""
    mainchain_quorum: int | None = None
    """How many of the mainchain's nodes must agree on a head; None takes the network file's, else more than half."""
    sidechain_quorum: int | None = None
    """The same for the sidechain."""
    ipfs: str = "auto"
    """One of `STORES`."""
    ipfs_api: str = _DEFAULTS["ipfs_api"]
    """Multiaddress of Kubo's RPC; used only with `kubo`."""
    confirmations: int | None = None
    """Blocks that must follow a grant's before proxies are given its shares; None takes the network file's."""
    max_fee: float | None = None
    """Gwei per gas that a transaction may cost; None takes the network file's, else 500."""
    timeout: float = 10.0
    """Seconds that one answer of a service may take."""
    jitter: int = 0
    """Seconds that a record, or a grant, waits at most before it is published (records/jitter.py); 0 for none."""
    sensitivity: str = _DEFAULTS["sensitivity"]
    """Profile that says what of a hospital's records is closed (docs/spec/sensitivity.md)."""
    ward_keeps: tuple[str, ...] = ()
    """Categories that the law of the place leaves to wards: a registrar attests no wardship that gives them away for
    good (sdk/wards.py)."""
    proxy_ranges: str = ""
    """Private ranges such as `10.1.0.0/16`, with commas, at which registered proxies may answer; empty for none."""
    agent: bool = True
    """Whether a profile's agent is asked before its passphrase is (docs/spec/agent.md)."""
    passphrase_file: str = ""
    """A file whose first line is the passphrase; empty for none."""
    passphrase_command: str = ""
    """A program and its arguments that print the passphrase; empty for none."""
    passphrase_keychain: bool = False
    """Whether the system's keychain is asked for the passphrase of a profile."""
    security_key: bool = True
    """Whether a profile's security key is asked before its passphrase is (docs/spec/cli.md, "Passphrases")."""
    record_limit: int = 1 << 30
    """Bytes that one record may have, unpacked and with its attachments; more only if the store holds as much."""
    opening_limit: int = 16 << 30
    """Bytes that all records of one opening may have together."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """For each setting where its value comes from: `flag`, `environment NAME`, `file PATH` or `default`."""

    def to_json(self) -> dict[str, object]:
        """Return the settings and their origins for `config show`."""
        return {"schema": "panachain/config/1"} | {
            name: {"value": _shown(value), "origin": self.origins.get(name, "default")}
            for name, value in ((name, getattr(self, name)) for name in ("home", *_DEFAULTS))
        }

    @classmethod
    def load(
        cls,
        flags: Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Config:
        """Read the settings of this run.

        The working folder's panachain.toml is not read: whoever can put a file into a folder of records
        could otherwise choose the services that a user talks to.

        Args:
            flags: settings given on the command line; None means not given.
            environment: replaces `os.environ`.

        Raises:
            ConfigurationError: a file can't be read, or a setting is unknown or has an impossible value.
        """
        given = {name: value for name, value in (flags or {}).items() if value is not None}
        env = os.environ if environment is None else environment
        values = dict(_DEFAULTS)
        origins = dict.fromkeys((*_DEFAULTS, "home"), "default")

        def take(settings: Mapping[str, str], origin: str) -> None:
            values.update(settings)
            origins.update(dict.fromkeys(settings, origin))

        chosen = env.get("PANACHAIN_CONFIG", "")
        settings_file = Path(chosen) if chosen else _platform_settings() / FILE_NAME
        if chosen and not settings_file.is_file():
            raise ConfigurationError(f"PANACHAIN_CONFIG names {settings_file}, which is not a file")
        take(_read(settings_file, allow_home=True), f"file {settings_file}")
        outer = {
            name: (env[key], f"environment {key}")
            for name in ("home", *_DEFAULTS)
            if env.get(key := f"PANACHAIN_{name.upper()}")
        } | {name: (value, "flag") for name, value in given.items()}

        # The home comes first, because the home's own settings file is the next one to read.
        if "home" in outer:
            take({"home": outer["home"][0]}, outer["home"][1])
        home = Path(values["home"]).expanduser().absolute() if values.get("home") else _platform_home()
        home_file = home / FILE_NAME
        if home_file != settings_file:
            take(_read(home_file, allow_home=False), f"file {home_file}")
        for name, (value, origin) in outer.items():
            take({name: value}, origin)
        return cls(
            home=home,
            profile=values["profile"],
            network_file=_path(values["network_file"], home / "network.json"),
            mainchain_rpc=_urls(values["mainchain_rpc"], "mainchain_rpc", origins),
            sidechain_rpc=_urls(values["sidechain_rpc"], "sidechain_rpc", origins),
            mainchain_quorum=_count(values["mainchain_quorum"], "mainchain_quorum", origins),
            sidechain_quorum=_count(values["sidechain_quorum"], "sidechain_quorum", origins),
            ipfs=_one_of(values["ipfs"], STORES, "ipfs", origins),
            ipfs_api=values["ipfs_api"],
            confirmations=_count(values["confirmations"], "confirmations", origins),
            max_fee=_gwei(values["max_fee"], "max_fee", origins) if values["max_fee"] else None,
            timeout=_seconds(values["timeout"], "timeout", origins),
            jitter=_whole(values["jitter"], "jitter", origins, digits=7),
            sensitivity=values["sensitivity"],
            ward_keeps=tuple(one.strip() for one in values["ward_keeps"].split(",") if one.strip()),
            proxy_ranges=values["proxy_ranges"],
            agent=_one_of(values["agent"], ("yes", "no"), "agent", origins) == "yes",
            passphrase_file=values["passphrase_file"],
            passphrase_command=values["passphrase_command"],
            passphrase_keychain=_one_of(values["passphrase_keychain"], ("yes", "no"), "passphrase_keychain", origins)
            == "yes",
            security_key=_one_of(values["security_key"], ("yes", "no"), "security_key", origins) == "yes",
            record_limit=_size(values["record_limit"], "record_limit", origins),
            opening_limit=_size(values["opening_limit"], "opening_limit", origins),
            origins=origins,
        )


def read_network(path: Path) -> bytes:
    """Return what a network file holds: it says which contracts count, and whom everything is sent to.

    Raises:
        ConfigurationError: others may write it.
        OSError: there is none, or it can't be read.
    """
    # Imported here: not every command has a network.
    from panachain.private_files import read_trusted

    try:
        return read_trusted(path, MAXIMUM_NETWORK)
    except PermissionError as exc:
        raise ConfigurationError(f"{path} isn't read: {exc.strerror}") from exc


def _shown(value: object) -> str:
    """Return a setting as a file would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _platform_home() -> Path:
    # Imported here: `--help` needs no settings.
    import platformdirs

    return platformdirs.user_data_path("panachain", appauthor=False)


def _platform_settings() -> Path:
    import platformdirs

    return platformdirs.user_config_path("panachain", appauthor=False)


def _read(path: Path, *, allow_home: bool) -> dict[str, str]:
    """Return the settings in a file, or none when there is no such file."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        # It may be there, and say which nodes count.
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    # Imported here, both: most machines have no such file.
    import tomllib

    from panachain.private_files import read_trusted

    try:
        # It may name a program that is run, and the nodes that are asked.
        content = read_trusted(path, MAXIMUM_FILE_SIZE + 1, owned=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    if len(content) > MAXIMUM_FILE_SIZE:
        raise ConfigurationError(f"{path} is larger than {MAXIMUM_FILE_SIZE} bytes; it is no settings file")
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"{path} is no TOML: {exc}") from exc
    known = {*_DEFAULTS, "home"} if allow_home else set(_DEFAULTS)
    for name, value in table.items():
        if name not in known:
            raise ConfigurationError(f"{path}: unknown setting {name!r}; the settings are: {', '.join(sorted(known))}")
        many = value if isinstance(value, list) and name in _LISTS else [value]
        if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in many):
            raise ConfigurationError(f"{path}: {name} must be a text or a number")
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in table.items()}


def _path(text: str, default: Path) -> Path:
    return Path(text).expanduser().absolute() if text else default


def _urls(text: str, name: str, origins: Mapping[str, str]) -> str:
    urls = [one.strip() for one in text.split(",")] if text.strip() else []
    if not all(one.startswith(("http://", "https://")) for one in urls):
        raise ConfigurationError(f"{name} ({origins[name]}) must be http or https URLs, with commas between them")
    return ",".join(urls)


def _one_of(text: str, allowed: tuple[str, ...], name: str, origins: Mapping[str, str]) -> str:
    if text not in allowed:
        raise ConfigurationError(f"{name} ({origins[name]}) is {text!r}; it must be one of {', '.join(allowed)}")
    return text


def _count(text: str, name: str, origins: Mapping[str, str]) -> int | None:
    return _whole(text, name, origins) if text else None


def _whole(text: str, name: str, origins: Mapping[str, str], *, digits: int = 6) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > digits:
        raise ConfigurationError(f"{name} ({origins[name]}) is {text!r}; it must be a whole number from 0 on")
    return int(text)


def _size(text: str, name: str, origins: Mapping[str, str]) -> int:
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise ConfigurationError(
            f"{name} ({origins[name]}) is {text!r}; it must be bytes, or a whole number and {', '.join(_UNITS)}"
        )
    return int(digits) << (_UNITS[unit] if unit else 0)


def _gwei(text: str, name: str, origins: Mapping[str, str]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # The comparison also refuses NaN.
    if not 1e-9 <= value <= 1_000_000:
        raise ConfigurationError(f"{name} ({origins[name]}) is {text!r}; it must be gwei, from 1e-9 to 1000000")
    return value


def _seconds(text: str, name: str, origins: Mapping[str, str]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # The comparison also refuses NaN.
    if not 0 < value <= 3600:
        raise ConfigurationError(f"{name} ({origins[name]}) is {text!r}; it must be seconds, above 0 and up to 3600")
    return value
