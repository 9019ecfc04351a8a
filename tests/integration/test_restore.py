"""Each service comes back from the archive that `panachain backup` makes of it while it runs, and goes on.

As docs/operate says: into a folder that is new, at the same address. An older archive of a proxy must not serve what
was revoked since.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.chain import anvil
from panachain.chain.access import NodeKey, read_key
from panachain.devnet import Devnet
from panachain.devnet.deployment import NODE_KEY
from panachain.errors import PolicyRevokedError
from panachain.model.actors import PolicyId
from panachain.private_files import write_private
from panachain.records.samples import sample_bundle
from tests.integration.test_proxy_postgres import Proxy, granted, wait_for
from tests.support import World

pytestmark = [pytest.mark.deep, pytest.mark.timeout(600)]
CALL = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def backup(*arguments: object) -> None:
    command = [sys.executable, "-m", "panachain.cli", "backup", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


class Service:
    """A service of the devnet's, which a test stops, saves, restores and starts in the devnet's place."""

    def __init__(self, world: World, name: str, command: list[str], pid: int, ready: str) -> None:
        self.folder = world.home / "devnet" / name
        self._command = command
        self._pid = pid
        self.ready = ready
        self._secret = world.home / "devnet" / "proxies.pass"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "again.log").read_text()

    def stop(self, *, killed: bool = False) -> None:
        if self.process is None:
            if killed:
                os.kill(self._pid, 9)
            anvil.stop(self._pid)
        elif self.process.poll() is None:
            self.process.kill() if killed else self.process.terminate()
            self.process.wait(60)
        # The workers of one that was killed end by themselves, a little later: until then they answer in its place.
        assert wait_for(lambda: self.answers() == 0, 60)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "again.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "panachain.cli", *self._command],
                env=os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(self._secret)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def answers(self) -> int:
        try:
            return httpx.get(self.ready, timeout=5, trust_env=False).status_code
        except httpx.HTTPError:
            return 0

    def await_answer(self, expected: int) -> None:
        assert self.process is not None
        process = self.process
        wait_for(lambda: self.answers() == expected or process.poll() is not None, 120)
        assert self.answers() == expected, self.log

    def restore(self, archive: Path) -> None:
        """Put what an archive holds in the place of the folder, which is lost."""
        shutil.rmtree(self.folder)
        backup("restore", archive, self.folder)


@pytest.fixture(scope="module")
def started(world: World) -> Iterator[list[Service]]:
    """Services that stand in the place of the devnet's until its end."""
    services: list[Service] = []
    yield services
    for one in services:
        one.stop()


@pytest.fixture
def service(world: World, started: list[Service], request: pytest.FixtureRequest) -> Service:
    """The service that a test names."""
    state = json.loads((world.home / "devnet" / "processes.json").read_bytes())
    network = json.loads((world.home / "network.json").read_bytes())
    folder = world.home / "devnet"
    if request.param == "proxy":
        known = Devnet.status(world.home).proxies[0]
        command = ["proxy", "serve", "--config", str(folder / "proxy-1" / "proxy.json")]
        made = Service(world, "proxy-1", command, known.pid, f"{known.endpoint}/readyz")
    elif request.param == "relay":
        (url,) = network["sidechainRelays"]
        command = ["relay", "serve", "--config", str(folder / "relay" / "relay.json")]
        made = Service(world, "relay", command, state["relay"], f"{url}/readyz")
    else:
        command = ["sidechain", "gate", "--config", str(folder / "gate" / "gate.json")]
        made = Service(world, "gate", command, state["gate"], network["sidechain"]["url"])
    started.append(made)
    return made


def kept(folder: Path) -> set[PolicyId]:
    """Return the policies of which a proxy's database holds shares."""
    with sqlite3.connect(f"file:{folder / 'proxy.sqlite'}?mode=ro", uri=True) as db:
        return {PolicyId(row[0]) for row in db.execute("SELECT policy_id FROM kfrag")}


def newest(folder: Path) -> tuple[int, str]:
    """Return the newest number and hash of a proxy's log."""
    with sqlite3.connect(f"file:{folder / 'proxy.sqlite'}?mode=ro", uri=True) as db:
        number, head = db.execute("SELECT sequence, hash FROM receipt ORDER BY sequence DESC LIMIT 1").fetchone()
        return number, bytes(head).hex()


@pytest.mark.parametrize("service", ["proxy"], indirect=True)
def test_a_proxy_goes_on_and_an_older_archive_of_it_serves_nothing_that_was_revoked(
    world: World, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([tmp_path / "source"], "patient")
    stays, goes = (granted(world, name) for name in ("laboratory", "medications"))
    asking = Proxy(world, None)  # type: ignore[arg-type]
    config = service.folder / "proxy.json"
    # Only an orderly end anchors, so that this test says what is anchored.
    write_private(config, json.dumps(json.loads(config.read_bytes()) | {"anchorEvery": 100_000}).encode())
    service.stop(killed=True)
    service.start()
    service.await_answer(200)
    backup("save", service.folder, tmp_path / "old.tar")

    # 1. The newest archive, made while it serves: openings go on, and its log has no gap.
    assert asking.send(asking.bodies(stays, 4)) == {200: 4}
    assert world.patient.revoke(goes.policy_id).final
    assert kept(service.folder) == {stays.policy_id}
    backup("save", service.folder, tmp_path / "newest.tar")
    before = newest(service.folder)
    service.stop(killed=True)
    service.restore(tmp_path / "newest.tar")
    service.start()
    service.await_answer(200)
    assert newest(service.folder) == before
    assert list(world.clinician.open(stays.policy_id))
    number = newest(service.folder)[0]
    assert asking.send(asking.bodies(stays, 4)) == {200: 4}
    # The opening asked three proxies and waited for two: what this one says of it may come after it.
    assert newest(service.folder)[0] - number in (4, 5)
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(goes.policy_id))

    # 2. An older one that no anchor gives away: what was revoked since is refused all the same, and deleted again.
    service.stop(killed=True)
    service.restore(tmp_path / "old.tar")
    assert kept(service.folder) == {stays.policy_id, goes.policy_id}
    service.start()
    service.await_answer(200)
    assert asking.send(asking.bodies(goes, 3)) == {403: 3}
    assert asking.send(asking.bodies(stays, 4)) == {200: 4}
    # Refusing needs no depth; deleting, which can't be undone, needs a block above the revocation's.
    anvil.mine(world.network.mainchain.rpc)
    assert asking.send(asking.bodies(goes, 1)) == {403: 1}
    assert kept(service.folder) == {stays.policy_id}
    service.stop()

    # 3. One that is older than the anchor of that orderly end: it serves nobody, says why, and signs nothing.
    service.restore(tmp_path / "old.tar")
    set_back = newest(service.folder)
    service.start()
    service.await_answer(503)
    assert "older than the proxy's newest one" in httpx.get(service.ready, timeout=10, trust_env=False).text
    for terms in (stays, goes):
        assert asking.send(asking.bodies(terms, 2)) == {503: 2}
    service.stop()
    assert newest(service.folder) == set_back


@pytest.mark.parametrize("service", ["relay"], indirect=True)
def test_a_relay_goes_on_with_what_it_paid(world: World, service: Service, tmp_path: Path) -> None:
    world.patient.unpair("hospital")
    world.patient.pair("hospital")
    archive = tmp_path / "relay.tar"
    backup("save", service.folder, archive)
    before = paid(service.folder)
    assert len(before) >= 2
    service.stop()
    service.restore(archive)
    service.start()
    service.await_answer(200)
    # What it paid today counts against its budget as before, and persons go on.
    assert paid(service.folder) == before
    world.patient.unpair("hospital")
    world.patient.pair("hospital")
    assert len(paid(service.folder)) == len(before) + 2


@pytest.mark.parametrize("service", ["gate"], indirect=True)
def test_a_gate_goes_on_and_a_token_that_was_used_before_counts_no_more(
    world: World, service: Service, tmp_path: Path
) -> None:
    chain = world.network.sidechain.chain_id
    authorise = NodeKey(read_key(world.home / NODE_KEY)).authoriser(service.ready, chain)

    def ask(headers: dict[str, str]) -> int:
        return httpx.post(service.ready, content=CALL, headers=headers, timeout=20, trust_env=False).status_code

    used, unused = authorise(CALL), authorise(CALL)
    assert ask(used) == 200
    archive = tmp_path / "gate.tar"
    backup("save", service.folder, archive)
    service.stop()
    service.restore(archive)
    service.start()
    # Whoever has no token is told so as soon as it listens.
    service.await_answer(401)
    assert ask(used) == 401
    assert ask(unused) == 200
    assert len((service.folder / "audit.jsonl").read_text().splitlines()) >= 2
    world.patient.unpair("hospital")
    world.patient.pair("hospital")


def paid(folder: Path) -> list[tuple[Any, ...]]:
    """Return the payments that a relay remembers: gas and transaction of each."""
    with sqlite3.connect(f"file:{folder / 'relay.sqlite'}?mode=ro", uri=True) as db:
        return db.execute("SELECT id, gas, tx_hash FROM payment ORDER BY id").fetchall()
