"""The devnet: two local chains, a store and some proxies on this machine, with one registrar.

Never binds beyond loopback. Processes are started here and ended here, by their own process IDs.
Follows design section 9 (embedded by default) and docs/spec/network.md.

    HOME/network.json              the network, as `Network.open` reads it
    HOME/devnet/processes.json     what runs
    HOME/devnet/mainchain, sidechain, proxy-N
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain import anvil
from panachain.chain.deploy import Governance, deploy
from panachain.chain.evm import Account
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.crypto import keys, keystore
from panachain.errors import ConfigurationError, PanaChainError, UsageError
from panachain.model.actors import Actor, Role, Status
from panachain.sdk.profiles import (
    create_profile,
    list_profiles,
    load_profile,
    make_private_folder,
    unlock,
    write_private,
)

MAINCHAIN_ID: Final = 31_337
SIDECHAIN_ID: Final = 31_338
REGISTRAR: Final = "registrar"
"""Name of the registrar's profile."""
_PROXY_TIMEOUT: Final = 30.0
"""Seconds that a proxy gets to answer after its start."""


@dataclass(frozen=True)
class DevnetStatus:
    """What runs, and where."""

    running: bool
    mainchain: str
    sidechain: str
    ipfs: str
    proxies: tuple[dict[str, Any], ...]
    threshold: int

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
        if _running(folder):
            if not fresh:
                return Devnet.status(home)
            Devnet.down(home)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(home / "profiles" / REGISTRAR, ignore_errors=True)
            (home / "network.json").unlink(missing_ok=True)
        make_private_folder(home)
        make_private_folder(folder)
        started: list[int] = []
        try:
            main = anvil.start(folder / "mainchain", chain_id=MAINCHAIN_ID, free=False)
            started.append(main.pid)
            side = anvil.start(folder / "sidechain", chain_id=SIDECHAIN_ID, free=True)
            started.append(side.pid)
            network = _network_file(home, main.url, side.url, threshold, ipfs, passphrase)
            running = _start_proxies(home, network, proxies, passphrase, started)
        except BaseException:
            for pid in reversed(started):
                anvil.stop(pid)
            raise
        state = {"schema": "panachain/processes/1", "mainchain": main.pid, "sidechain": side.pid, "proxies": running}
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
        )

    @staticmethod
    def down(home: Path) -> DevnetStatus:
        """Stop what runs; its state stays.

        Raises:
            ConfigurationError: there is no devnet in this home.
        """
        path = home / "devnet" / "processes.json"
        if path.is_file():
            state = _read(path)
            for pid in [*(proxy["pid"] for proxy in state["proxies"]), state["mainchain"], state["sidechain"]]:
                if _is_ours(pid):
                    anvil.stop(pid)
            path.unlink()
        return Devnet.status(home)


def _network_file(
    home: Path, main_url: str, side_url: str, threshold: int, ipfs: str, passphrase: str
) -> dict[str, Any]:
    """Write HOME/network.json, deploying the contracts when they aren't there yet."""
    path = home / "network.json"
    main_rpc, side_rpc = Rpc(main_url), Rpc(side_url)
    try:
        if path.is_file():
            network = _read(path)
            network["mainchain"]["url"], network["sidechain"]["url"] = main_url, side_url
        else:
            network = _deploy(home, main_rpc, side_rpc, passphrase)
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
    deployment = deploy(main_rpc, side_rpc, deployer_key, governance, lock_folder=home / "nonces")
    # The relay can pay and nothing else: its key is worth the devnet's ether.
    relay_key = keys.Seed.random().account_key()
    anvil.fund(main_rpc, keys.address_of(relay_key))
    write_private(home / "devnet" / "relay.key", relay_key.hex().encode())
    main, side = deployment.mainchain, deployment.sidechain
    return {
        "schema": "panachain/network/1",
        "mainchain": {
            "url": main_rpc.url,
            "chainId": main.chain_id,
            "contracts": main.contracts,
            "fromBlock": main.from_block,
        },
        "sidechain": {
            "url": side_rpc.url,
            "chainId": side.chain_id,
            "contracts": side.contracts,
            "fromBlock": side.from_block,
        },
        "relayKeyFile": "devnet/relay.key",
        "faucet": True,
    }


def _start_proxies(
    home: Path, network: dict[str, Any], count: int, passphrase: str, started: list[int]
) -> list[dict[str, Any]]:
    folder = home / "devnet"
    secret_path = folder / "proxies.pass"
    if not secret_path.is_file():
        write_private(secret_path, secrets.token_hex(32).encode())
    secret = secret_path.read_text()
    running: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        place = folder / f"proxy-{number}"
        make_private_folder(place)
        if not (place / "seed.json").is_file():
            keystore.create(place / "seed.json", keys.Seed.random(), secret)
        seed = keystore.open(place / "seed.json", secret)
        port = anvil.free_port()
        config = {
            "schema": "panachain/proxy-config/1",
            "host": "127.0.0.1",
            "port": port,
            "database": "proxy.sqlite",
            "keystore": "seed.json",
            "mainchain": network["mainchain"],
            "sidechain": network["sidechain"],
            "confirmations": 0,
            "maxHeadAge": 120,
            "anchorEvery": 60,
        }
        write_private(place / "proxy.json", json.dumps(config, indent=1).encode())
        pid = _spawn(place, secret_path)
        started.append(pid)
        actor = Actor(
            keys.address_of(seed.account_key()),
            Role.PROXY,
            Status.UNKNOWN,
            seed.receiving().public,
            seed.signer().public,
            endpoint=f"http://127.0.0.1:{port}",
        )
        _announce(home, network, actor, seed, passphrase)
        running.append({"pid": pid, "address": actor.address, "endpoint": actor.endpoint})
    for proxy in running:
        _await_ready(proxy)
    return running


def _spawn(place: Path, secret_path: Path) -> int:
    environment = os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(secret_path)}
    environment.pop("PANACHAIN_PASSPHRASE_COMMAND", None)
    with open(place / "proxy.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "panachain.cli", "proxy", "serve", "--config", str(place / "proxy.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return process.pid


def _announce(home: Path, network: dict[str, Any], actor: Actor, seed: keys.Seed, passphrase: str) -> None:
    """Register a proxy, or tell the registry of its new endpoint."""
    from panachain.chain.abi import contract

    main = network["mainchain"]
    rpc = Rpc(main["url"])
    try:
        chain = Mainchain(rpc, main["contracts"], main["chainId"], from_block=main["fromBlock"])
        # For its endpoint and its anchors.
        anvil.fund(rpc, actor.address)
        if chain.actor(actor.address) is None:
            registrar = unlock(load_profile(home, REGISTRAR), passphrase)
            chain.register_actor(chain.sender(Account(registrar.account_key()), lock_folder=home / "nonces"), actor)
            return
        sender = chain.sender(Account(seed.account_key()), lock_folder=home / "nonces")
        data = contract("ActorRegistry").calldata("setEndpoint", actor.endpoint)
        sender.send(chain.addresses["ActorRegistry"], data, what="announcing a proxy's endpoint")
    finally:
        rpc.close()


def _await_ready(proxy: dict[str, Any]) -> None:
    import httpx

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
    return _is_ours(state["mainchain"]) and _is_ours(state["sidechain"])


def _is_ours(pid: int) -> bool:
    """Tell whether the process runs and is one that the devnet starts: a process ID may have been given anew."""
    if not anvil.is_running(pid):
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
