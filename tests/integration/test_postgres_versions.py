"""The story with every service as a program on PostgreSQL, on a server of each version that is supported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.chain import anvil
from panachain.config import Config
from panachain.crypto.keys import Seed, address_of
from panachain.devnet import Devnet
from panachain.devnet.deployment import SIDE_RELAY_KEY
from panachain.errors import PolicyRevokedError
from panachain.private_files import write_private
from panachain.records.samples import sample_bundle
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import load_profile
from tests.integration.test_proxy_postgres import wait_for
from tests.support import PASSPHRASE, World, running_world
from tests.unit.service.postgresql import SUPPORTED, Server, empty_database, packaged_server

pytestmark = pytest.mark.timeout(600)
PERIOD = 2_592_000
"""Seconds for which tokens count."""


class Services:
    """Programs that stand in the place of the devnet's, each with a database of its own."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        self.databases: dict[str, Any] = {}
        self.folder = world.home / "devnet"
        self.state = json.loads((self.folder / "processes.json").read_bytes())
        self.network = json.loads((world.home / "network.json").read_bytes())
        self._running: list[subprocess.Popen[bytes]] = []

    def database(self, name: str) -> str:
        self.databases[name] = empty_database(self.server.uri)
        return str(self.databases[name].render_as_string())

    def start(self, name: str, config: dict[str, Any], ready: str, *command: str) -> None:
        """Run a service on a new database until the end, and wait until it answers."""
        place = self.folder / name
        place.mkdir(mode=0o700, exist_ok=True)
        write_private(place / "again.json", json.dumps(config | {"database": self.database(name)}).encode())
        with (place / "again.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "panachain.cli", *command, "--config", str(place / "again.json")],
                env=os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(self.folder / "proxies.pass")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.append(process)

        def answers() -> bool:
            try:
                return httpx.get(ready, timeout=5, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(lambda: answers() or process.poll() is not None, 120)
        assert answers(), (place / "again.log").read_text()

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        codes = [process.wait(60) for process in self._running]
        assert codes == [0] * len(codes)

    def count(self, name: str, table: str) -> int:
        import psycopg

        with psycopg.connect(self.server.uri, dbname=str(self.databases[name].database)) as db:
            return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # type: ignore[index,arg-type]

    def move_proxies(self) -> None:
        for number, proxy in enumerate(Devnet.status(self.world.home).proxies, start=1):
            anvil.stop(proxy.pid)
            config = json.loads((self.folder / f"proxy-{number}" / "proxy.json").read_bytes())
            self.start(f"proxy-{number}", config, f"{proxy.endpoint}/readyz", "proxy", "serve")

    def move_relay_of_the_sidechain(self) -> None:
        anvil.stop(self.state["relay"])
        config = json.loads((self.folder / "relay" / "relay.json").read_bytes())
        (url,) = self.network["sidechainRelays"]
        assert config["keyFile"] == str(self.world.home / SIDE_RELAY_KEY)
        self.start("relay", config, f"{url}/readyz", "relay", "serve")

    def start_issuer_and_relay(self) -> dict[str, Any]:
        """Start who gives tokens and who is paid with them, and return what the network file says of them."""
        issuer, relay = (f"http://127.0.0.1:{anvil.free_port()}" for _ in range(2))
        node = {name: value for name, value in self.network["sidechain"].items() if name != "nodeKeyFile"}
        config = {
            "schema": "panachain/issuer-config/1",
            "host": "127.0.0.1",
            "port": int(issuer.rpartition(":")[2]),
            "sidechain": node | {"url": self.state["sidechainUrl"]},
            "keyFile": "issuer.pem",
        }
        self.start("issuer", config, f"{issuer}/v1/key", "relay", "issue")
        key = httpx.get(f"{issuer}/v1/key", timeout=10, trust_env=False).json()["key"]
        account = Seed.random().account_key()
        anvil.fund(self.world.network.mainchain.rpc, address_of(account))
        (self.folder / "paying").mkdir(mode=0o700)
        write_private(self.folder / "paying" / "relay.key", account.hex().encode())
        config = {
            "schema": "panachain/relay-config/1",
            "host": "127.0.0.1",
            "port": int(relay.rpartition(":")[2]),
            "mainchain": self.network["mainchain"],
            "keyFile": "relay.key",
            "gasPerDay": 10_000_000,
            "revocationReserve": 1_000_000,
            "tokens": {"issuer": "issuer.example", "url": relay, "keys": [key], "periodSeconds": PERIOD},
        }
        self.start("paying", config, f"{relay}/readyz", "relay", "serve")
        tokens = {"issuer": "issuer.example", "url": issuer, "key": key, "periodSeconds": PERIOD}
        return {"relays": [relay], "tokens": tokens}


@contextmanager
def on_postgresql(version: str) -> Iterator[tuple[World, Services]]:
    """Run a network of which each service has its database on a server of one version."""
    with packaged_server(version) as server, running_world() as world:
        services = Services(world, server)
        try:
            services.move_proxies()
            services.move_relay_of_the_sidechain()
            more = services.start_issuer_and_relay()
            write_private(world.home / "network.json", json.dumps(services.network | more).encode())
            yield world, services
            services.stop()
        except BaseException:
            for process in services._running:
                process.kill()
                process.wait(30)
            raise


@pytest.mark.parametrize(
    "version",
    [
        *(pytest.param(one, marks=pytest.mark.nightly) for one in SUPPORTED[:-1]),
        pytest.param(SUPPORTED[-1], marks=pytest.mark.deep),
    ],
)
def test_the_story(version: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(sample_bundle(1))
    with on_postgresql(version) as (world, services):
        with Network.open(Config.load({"home": str(world.home)}, {})) as network:
            hospital, patient, clinician = (
                open_actor(network, load_profile(world.home, name), PASSPHRASE)
                for name in ("hospital", "patient", "clinician")
            )
            hospital.upload([tmp_path], "patient")
            until = network.mainchain.head_block().time + 86_400
            policy = patient.grant("clinician", ["laboratory"], until=until)
            assert (policy.deposited, policy.lacking) == (3, 0)
            assert list(clinician.open(policy.policy_id))
            assert patient.revoke(policy.policy_id).final
            with pytest.raises(PolicyRevokedError):
                list(clinician.open(policy.policy_id))
            patient.unpair("hospital")
        # Each did it on its own database.
        assert services.count("issuer", "issued") == 1
        assert services.count("paying", "spent") == 1
        # The revocation went to it and to the development network's own relay, whichever was first.
        assert services.count("paying", "payment") >= 1
        assert services.count("relay", "payment") >= 1
        for number in (1, 2, 3):
            assert services.count(f"proxy-{number}", "receipt") >= 2
            assert services.count(f"proxy-{number}", "kfrag") == 0
