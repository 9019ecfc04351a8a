"""The devnet: two local chains, the sidechain's gate, a store and some proxies on this machine, with one registrar.

Never binds beyond loopback. Processes are started here and ended here, by their own process IDs.
Follows design section 9 (embedded by default) and docs/spec/network.md.

    HOME/network.json              the network, as `Network.open` reads it
    HOME/devnet/processes.json     what runs, and the sidechain's own URL, which nobody but the gate needs
    HOME/devnet/node.key           the account by which this home passes the gate
    HOME/devnet/mainchain, sidechain, gate, proxy-N
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from panachain.chain import anvil, node
from panachain.chain.access import read_key
from panachain.chain.config import ChainConfig
from panachain.chain.deploy import Governance, deploy
from panachain.chain.evm import Account
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.crypto import keys, keystore
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    NodeRefusedError,
    PanaChainError,
    UsageError,
)
from panachain.model.actors import Actor, Role, Status
from panachain.sdk.private_files import make_private_folder, write_private
from panachain.sdk.profiles import create_profile, list_profiles, load_profile, unlock

MAINCHAIN_ID: Final = 31_337
SIDECHAIN_ID: Final = 31_338
REGISTRAR: Final = "registrar"
"""Name of the registrar's profile."""
_PROXY_TIMEOUT: Final = 30.0
"""Seconds that a proxy or the gate gets to answer after its start."""
_NODE_KEY: Final = "devnet/node.key"


@dataclass(frozen=True)
class DevnetStatus:
    """What runs, and where."""

    running: bool
    mainchain: str
    sidechain: str
    ipfs: str
    proxies: tuple[dict[str, Any], ...]
    threshold: int
    gate: bool = False
    """Whether the sidechain's gate runs; `sidechain` is its URL."""

    def to_json(self) -> dict[str, object]:
        """Return the status as JSON, schema `panachain/devnet/1`."""
        return {
            "schema": "panachain/devnet/1",
            "running": self.running,
            "mainchain": self.mainchain,
            "sidechain": self.sidechain,
            "ipfs": self.ipfs,
            "proxies": list(self.proxies),
            "threshold": self.threshold,
            "gate": self.gate,
        }


class Devnet:
    """Starts, shows and stops the devnet of one home."""

    @staticmethod
    def up(
        home: Path,
        *,
        proxies: int = 3,
        threshold: int = 2,
        ipfs: str = "auto",
        fresh: bool = False,
        passphrase: str,
    ) -> DevnetStatus:
        """Start the devnet, or go on with the one that was stopped.

        Args:
            home: PANACHAIN_HOME.
            proxies: how many run.
            threshold: how many must help, 2 <= threshold <= proxies.
            ipfs: `auto`, `embedded` or `kubo`.
            fresh: forget the state of an earlier devnet; profiles other than the registrar's stay.
            passphrase: locks the registrar's key store.

        Raises:
            UsageError: the threshold doesn't fit.
            ChainUnavailableError: a chain doesn't start.
        """
        if not 2 <= threshold <= proxies:
            raise UsageError(f"threshold {threshold} doesn't fit {proxies} proxies: 2 <= threshold <= proxies")
        folder = home / "devnet"
        if _running(folder) and not fresh:
            return Devnet.status(home)
        if (folder / "processes.json").is_file():
            # What is left of it: a second process on one state would spoil it.
            _stop(folder)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(home / "profiles" / REGISTRAR, ignore_errors=True)
            (home / "network.json").unlink(missing_ok=True)
        make_private_folder(home)
        make_private_folder(folder)
        started: list[int] = []
        try:
            state = _start(home, proxies, threshold, ipfs, passphrase, started)
        except BaseException:
            for pid in reversed(started):
                anvil.stop(pid)
            raise
        write_private(folder / "processes.json", json.dumps(state, indent=1).encode())
        return Devnet.status(home)

    @staticmethod
    def status(home: Path) -> DevnetStatus:
        """Return what runs.

        Raises:
            ConfigurationError: there is no devnet in this home.
        """
        network = _read(home / "network.json")
        state = _read(home / "devnet" / "processes.json") if _running(home / "devnet") else None
        proxies = tuple(
            {**proxy, "running": anvil.is_running(proxy["pid"])} for proxy in (state["proxies"] if state else [])
        )
        return DevnetStatus(
            running=state is not None,
            mainchain=network["mainchain"]["url"],
            sidechain=network["sidechain"]["url"],
            ipfs=network["ipfs"]["kind"],
            proxies=proxies,
            threshold=network["threshold"],
            gate=state is not None and anvil.is_running(state["gate"]),
        )

    @staticmethod
    def down(home: Path) -> DevnetStatus:
        """Stop what runs; its state stays.

        Raises:
            ConfigurationError: there is no devnet in this home.
        """
        if (home / "devnet" / "processes.json").is_file():
            _stop(home / "devnet")
        return Devnet.status(home)


def _start(home: Path, proxies: int, threshold: int, ipfs: str, passphrase: str, started: list[int]) -> dict[str, Any]:
    """Start everything, beside each other where nothing has to wait; return what processes.json holds."""
    folder = home / "devnet"
    with ThreadPoolExecutor() as pool:
        seeds = pool.submit(_proxy_seeds, folder, proxies)
        main = _begin(pool, started, folder / "mainchain", MAINCHAIN_ID, free=False)
        side = _begin(pool, started, folder / "sidechain", SIDECHAIN_ID, free=True)
        main_url, side_url = main.result().url, side.result().url
        network = _network_file(home, main_url, side_url, threshold, ipfs, passphrase)
        gate = _start_gate(home, network, side_url, proxies)
        started.append(gate)
        running = _start_proxies(home, network, seeds.result(), passphrase, started)
    _await_gate(home, network["sidechain"], gate)
    for proxy in running:
        _await_ready(proxy)
    return {
        "schema": "panachain/processes/1",
        "mainchain": main.result().pid,
        "sidechain": side.result().pid,
        "sidechainUrl": side_url,
        "gate": gate,
        "proxies": running,
    }


def _begin(
    pool: ThreadPoolExecutor, started: list[int], folder: Path, chain_id: int, *, free: bool
) -> Future[anvil.ChainProcess]:
    def begin() -> anvil.ChainProcess:
        chain = anvil.start(folder, chain_id=chain_id, free=free)
        started.append(chain.pid)
        return chain

    return pool.submit(begin)


def _stop(folder: Path) -> None:
    path = folder / "processes.json"
    state = _read(path)
    # Who uses a chain ends before it.
    users = [*(proxy["pid"] for proxy in state["proxies"]), *([state["gate"]] if "gate" in state else [])]
    for pid in [*users, state["mainchain"], state["sidechain"]]:
        if _is_ours(pid):
            anvil.stop(pid)
    path.unlink()


def _network_file(
    home: Path, main_url: str, side_url: str, threshold: int, ipfs: str, passphrase: str
) -> dict[str, Any]:
    """Write HOME/network.json with the gate's future URL, deploying the contracts when they aren't there yet."""
    path = home / "network.json"
    main_rpc, side_rpc = Rpc(main_url), Rpc(side_url)
    try:
        if path.is_file():
            network = _read(path)
            network["mainchain"]["url"] = main_url
        else:
            network = _deploy(home, main_rpc, side_rpc, passphrase)
        network["sidechain"] |= {"url": f"http://127.0.0.1:{anvil.free_port()}", "nodeKeyFile": _NODE_KEY}
        network["threshold"] = threshold
        if ipfs != "auto" or "ipfs" not in network:
            network["ipfs"] = {"kind": "kubo" if ipfs == "kubo" else "embedded"}
    finally:
        main_rpc.close()
        side_rpc.close()
    write_private(path, json.dumps(network, indent=1).encode())
    return network


def _deploy(home: Path, main_rpc: Rpc, side_rpc: Rpc, passphrase: str) -> dict[str, Any]:
    known = {profile.name for profile in list_profiles(home)}
    registrar = (
        load_profile(home, REGISTRAR)
        if REGISTRAR in known
        else create_profile(home, REGISTRAR, Role.REGISTRAR, passphrase)
    )
    # Opened for the check of the passphrase: the registrar needs it for every admission.
    unlock(registrar, passphrase)
    anvil.fund(main_rpc, registrar.address)
    deployer_key = keys.Seed.random().account_key()
    anvil.fund(main_rpc, keys.address_of(deployer_key))
    governance = Governance(
        registrar=registrar.address, admin=registrar.address, validators=(registrar.address,), quorum=1
    )
    deployment = deploy(
        main_rpc,
        side_rpc,
        deployer_key,
        governance,
        # Of its own: with equal addresses the contracts of one chain would tell those of the other.
        side_key=keys.Seed.random().account_key(),
        lock_folder=home / "nonces",
    )
    # The relay can pay and nothing else: its key is worth the devnet's ether.
    relay_key = keys.Seed.random().account_key()
    anvil.fund(main_rpc, keys.address_of(relay_key))
    write_private(home / "devnet" / "relay.key", relay_key.hex().encode())
    return {
        "schema": "panachain/network/1",
        "mainchain": deployment.mainchain.describe(),
        "sidechain": deployment.sidechain.describe(),
        "relayKeyFile": "devnet/relay.key",
        "faucet": True,
    }


def _proxy_seeds(folder: Path, count: int) -> list[keys.Seed]:
    """Return the proxies' seeds, making those that aren't there yet; each costs a key derivation."""
    secret_path = folder / "proxies.pass"
    if not secret_path.is_file():
        write_private(secret_path, secrets.token_hex(32).encode())
    secret = secret_path.read_text()

    def seed(number: int) -> keys.Seed:
        place = folder / f"proxy-{number}"
        make_private_folder(place)
        if (place / "seed.json").is_file():
            return keystore.open(place / "seed.json", secret)
        made = keys.Seed.random()
        keystore.create(place / "seed.json", made, secret)
        return made

    # Two at a time: each needs 128 MiB.
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(seed, range(1, count + 1)))


def _start_gate(home: Path, network: dict[str, Any], node_url: str, proxies: int) -> int:
    """Start the sidechain's gate, which admits this home, its proxies and the registry's actors; return its PID."""
    place = home / "devnet" / "gate"
    make_private_folder(place)
    own = [home / "devnet" / f"proxy-{number}" for number in range(1, proxies + 1)]
    side = network["sidechain"]
    config = {
        "schema": "panachain/gate-config/1",
        "host": "127.0.0.1",
        "port": int(side["url"].rpartition(":")[2]),
        "url": side["url"],
        "sidechain": {"url": node_url, "chainId": side["chainId"], "contracts": side["contracts"]},
        "nodes": [_node_address(path) for path in (home / _NODE_KEY, *(folder / "node.key" for folder in own))],
        "mainchain": network["mainchain"],
        "auditLog": "audit.jsonl",
    }
    write_private(place / "gate.json", json.dumps(config, indent=1).encode())
    return _spawn(["sidechain", "gate", "--config", str(place / "gate.json")], place / "gate.log", {})


def _node_address(path: Path) -> str:
    """Return the address of a node's key, making the key when it isn't there yet."""
    if not path.is_file():
        make_private_folder(path.parent)
        write_private(path, keys.Seed.random().account_key().hex().encode())
    return keys.address_of(read_key(path))


def _start_proxies(
    home: Path, network: dict[str, Any], seeds: list[keys.Seed], passphrase: str, started: list[int]
) -> list[dict[str, Any]]:
    folder = home / "devnet"
    # Unlocked at most once: it costs a key derivation.
    registrar = cache(lambda: unlock(load_profile(home, REGISTRAR), passphrase))
    running: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds, start=1):
        place = folder / f"proxy-{number}"
        port = anvil.free_port()
        config = {
            "schema": "panachain/proxy-config/1",
            "host": "127.0.0.1",
            "port": port,
            "database": "proxy.sqlite",
            "keystore": "seed.json",
            "mainchain": network["mainchain"],
            "sidechain": network["sidechain"] | {"nodeKeyFile": "node.key"},
            "confirmations": 0,
            "maxHeadAge": 120,
            "anchorEvery": 60,
        }
        write_private(place / "proxy.json", json.dumps(config, indent=1).encode())
        pid = _spawn(
            ["proxy", "serve", "--config", str(place / "proxy.json")],
            place / "proxy.log",
            {"PANACHAIN_PASSPHRASE_FILE": str(folder / "proxies.pass")},
        )
        started.append(pid)
        actor = Actor(
            keys.address_of(seed.account_key()),
            Role.PROXY,
            Status.UNKNOWN,
            seed.receiving().public,
            seed.signer().public,
            endpoint=f"http://127.0.0.1:{port}",
        )
        _announce(home, network, actor, seed, registrar)
        running.append({"pid": pid, "address": actor.address, "endpoint": actor.endpoint})
    return running


def _spawn(arguments: list[str], log_path: Path, variables: dict[str, str]) -> int:
    """Start `panachain` with these arguments in the background and return its PID."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PANACHAIN_PASSPHRASE_")}
    environment |= variables
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "panachain.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return process.pid


def _announce(
    home: Path, network: dict[str, Any], actor: Actor, seed: keys.Seed, registrar: Callable[[], keys.Seed]
) -> None:
    """Register a proxy, or tell the registry of its new endpoint."""
    chain = Mainchain.connect(ChainConfig.parse(network["mainchain"], home, what="the section `mainchain`"))
    try:
        # For its endpoint and its anchors.
        anvil.fund(chain.rpc, actor.address)
        if chain.actors.actor_of(actor.address) is None:
            sender = chain.sender(Account(registrar().account_key()), lock_folder=home / "nonces")
            chain.actors.register(sender, actor)
            return
        sender = chain.sender(Account(seed.account_key()), lock_folder=home / "nonces")
        chain.actors.set_endpoint(sender, actor.endpoint)
    finally:
        chain.close()


def _await_gate(home: Path, side: dict[str, Any], pid: int) -> None:
    deadline = time.monotonic() + _PROXY_TIMEOUT
    rpc = ChainConfig.parse(side, home, what="the section `sidechain`").rpc(timeout=5)
    try:
        while time.monotonic() < deadline and anvil.is_running(pid):
            try:
                node.chain_id(rpc)
            except NodeRefusedError:
                raise
            except ChainUnavailableError:
                # Not listening yet: that is what this loop waits for.
                continue
            return
    finally:
        rpc.close()
    raise PanaChainError(f"the sidechain's gate at {side['url']} wasn't ready within {_PROXY_TIMEOUT:.0f} s")


def _await_ready(proxy: dict[str, Any]) -> None:
    from panachain.http_client import httpx

    deadline = time.monotonic() + _PROXY_TIMEOUT
    while time.monotonic() < deadline and anvil.is_running(proxy["pid"]):
        try:
            if httpx.get(f"{proxy['endpoint']}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            # Not listening yet: that is what this loop waits for.
            time.sleep(0.05)
    raise PanaChainError(f"the proxy at {proxy['endpoint']} wasn't ready within {_PROXY_TIMEOUT:.0f} s")


def _running(folder: Path) -> bool:
    path = folder / "processes.json"
    if not path.is_file():
        return False
    state = _read(path)
    return all(_is_ours(state.get(part, 0)) for part in ("mainchain", "sidechain", "gate"))


def _is_ours(pid: int) -> bool:
    """Tell whether the process runs and is one that the devnet starts: a process ID may have been given anew."""
    if pid <= 0 or not anvil.is_running(pid):
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"anvil" in command or b"panachain" in command


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content
    except FileNotFoundError:
        raise ConfigurationError("there is no devnet in this home", hint="panachain devnet up") from None
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} can't be read") from exc
