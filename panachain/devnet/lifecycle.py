"""The devnet: two local chains, the sidechain's gate and relay, a store and some proxies, with one registrar.

Never binds beyond loopback. Processes are started here and ended here, by their own process IDs.
Follows design section 9 (embedded by default) and docs/spec/network.md.

    HOME/network.json              the network, as `Network.open` reads it
    HOME/devnet/processes.json     what runs, and the sidechain's own URL, which nobody but the gate needs
    HOME/devnet/node.key           the account by which this home passes the gate
    HOME/devnet/mainchain, sidechain, gate, relay, proxy-N
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain import anvil
from panachain.devnet.deployment import REGISTRAR, write_network
from panachain.devnet.members import proxy_seeds, start_gate, start_proxies, start_relay
from panachain.devnet.processes import await_gate, await_service, begun, is_running, read, stop
from panachain.errors import (
    UsageError,
)
from panachain.model.actors import Address
from panachain.private_files import make_private_folder, write_private

MAINCHAIN_ID: Final = 31_337
SIDECHAIN_ID: Final = 31_338


@dataclass(frozen=True)
class DevnetProxy:
    """A proxy of a devnet.

    Examples:
        >>> [proxy.running for proxy in Devnet.status(Path("home")).proxies]  # doctest: +SKIP
        [True, True, True]
    """

    pid: int
    """Its process on this machine."""
    address: Address
    endpoint: str
    running: bool

    def to_json(self) -> dict[str, object]:
        """Return the proxy as JSON, a part of schema `panachain/devnet/1`."""
        return asdict(self)


@dataclass(frozen=True)
class DevnetStatus:
    """What runs, and where.

    Examples:
        >>> Devnet.status(Path("home")).threshold  # doctest: +SKIP
        2
    """

    running: bool
    mainchain: str
    sidechain: str
    ipfs: str
    proxies: tuple[DevnetProxy, ...]
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
            "proxies": [proxy.to_json() for proxy in self.proxies],
            "threshold": self.threshold,
            "gate": self.gate,
        }


class Devnet:
    """Starts, shows and stops the devnet of one home.

    Examples:
        >>> status = Devnet.up(Path("home"), passphrase="correct horse")  # doctest: +SKIP
        >>> Devnet.down(Path("home")).running  # doctest: +SKIP
        False
    """

    @staticmethod
    def up(
        home: Path,
        *,
        proxies: int = 3,
        threshold: int = 2,
        ipfs: str = "auto",
        fresh: bool = False,
        passphrase: str,
        drawn: bool = False,
    ) -> DevnetStatus:
        """Start the devnet, or go on with the one that was stopped.

        Args:
            home: PANACHAIN_HOME.
            proxies: how many run.
            threshold: how many must help, 2 <= threshold <= proxies.
            ipfs: `auto`, `embedded` or `kubo`.
            fresh: forget the state of an earlier devnet; profiles other than the registrar's stay.
            passphrase: locks the registrar's key store.
            drawn: a program drew it at random, of 80 bits or more, and unlocking may cost little.

        Raises:
            UsageError: the threshold doesn't fit.
            ChainUnavailableError: a chain doesn't start.
        """
        if not 2 <= threshold <= proxies:
            raise UsageError(f"threshold {threshold} doesn't fit {proxies} proxies: 2 <= threshold <= proxies")
        folder = home / "devnet"
        if is_running(folder) and not fresh:
            return Devnet.status(home)
        if (folder / "processes.json").is_file():
            # What is left of it: a second process on one state would spoil it.
            stop(folder)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(home / "profiles" / REGISTRAR, ignore_errors=True)
            (home / "network.json").unlink(missing_ok=True)
        make_private_folder(home)
        make_private_folder(folder)
        started: list[int] = []
        try:
            state = _start(home, proxies, threshold, ipfs, passphrase, started, drawn=drawn)
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
        network = read(home / "network.json")
        state = read(home / "devnet" / "processes.json") if is_running(home / "devnet") else None
        proxies = tuple(
            DevnetProxy(**proxy, running=anvil.is_running(proxy["pid"]))
            for proxy in (state["proxies"] if state else [])
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
            stop(home / "devnet")
        return Devnet.status(home)


def _start(
    home: Path, proxies: int, threshold: int, ipfs: str, passphrase: str, started: list[int], *, drawn: bool
) -> dict[str, Any]:
    """Start everything, beside each other where nothing has to wait; return what processes.json holds."""
    folder = home / "devnet"
    with ThreadPoolExecutor() as pool:
        seeds = pool.submit(proxy_seeds, folder, proxies)
        main = _begin(pool, started, folder / "mainchain", MAINCHAIN_ID)
        side = _begin(pool, started, folder / "sidechain", SIDECHAIN_ID)
        main_url, side_url = main.result().url, side.result().url
        network = write_network(home, main_url, side_url, threshold, ipfs, passphrase, drawn=drawn)
        gate = start_gate(home, network, side_url, proxies)
        started.append(gate)
        relay = start_relay(home, network, side_url)
        started.append(relay)
        running = start_proxies(home, network, seeds.result(), passphrase, started)
    await_gate(home, network["sidechain"], gate)
    for service in ({"pid": relay, "endpoint": network["sidechainRelays"][0]}, *running):
        await_service(service)
    return {
        "schema": "panachain/processes/1",
        "mainchain": main.result().pid,
        "sidechain": side.result().pid,
        "sidechainUrl": side_url,
        "gate": gate,
        "relay": relay,
        "proxies": running,
        "begun": {str(pid): begun(pid) for pid in started},
    }


def _begin(pool: ThreadPoolExecutor, started: list[int], folder: Path, chain_id: int) -> Future[anvil.ChainProcess]:
    def begin() -> anvil.ChainProcess:
        chain = anvil.start(folder, chain_id=chain_id, free=False)
        started.append(chain.pid)
        return chain

    return pool.submit(begin)
