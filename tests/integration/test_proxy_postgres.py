"""A proxy with two workers on PostgreSQL, as its operator runs it: the whole life of policies, a stop and a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict
from sqlalchemy import URL

from panachain.chain import anvil
from panachain.chain.receipts import receipt_hash
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.crypto import umbral
from panachain.devnet import Devnet
from panachain.errors import PolicyRevokedError
from panachain.model.policy import Receipt, Terms
from panachain.model.proxy_requests import ReencryptRequest
from panachain.private_files import write_private
from panachain.proxy import messages
from panachain.records.samples import sample_bundle
from panachain.sdk.profiles import load_profile, unlock
from tests.support import PASSPHRASE, World
from tests.unit.service.postgresql import (
    INSTALLED,
    NONE,
    Server,
    empty_database,
    running_postgresql,
    system_server,
)

pytestmark = pytest.mark.deep

PASSWORD = "hush-hush-7391"
VARIABLE = "PANACHAIN_PROXY_DATABASE_PASSWORD"
LIMIT = 150
"""Requests of one signer in a minute; more than all tests before send."""


@dataclass
class Database:
    """A database whose owner needs a password."""

    server: str
    url: URL
    machine: Server | None
    """The server itself, where the system has one; None for the embedded one."""

    @property
    def setting(self) -> str:
        """What stands in the configuration: the URL, without the password."""
        return self.url.render_as_string()

    def read(self, statement: str) -> list[Any]:
        import psycopg

        with psycopg.connect(self.server, dbname=str(self.url.database), autocommit=True, client_encoding="utf8") as db:
            return db.execute(statement).fetchall()  # type: ignore[arg-type]

    def receipts(self) -> list[Receipt]:
        """Return the whole log, whose rows must be what they say."""
        rows = self.read("SELECT sequence, fields, hash FROM receipt ORDER BY sequence")
        receipts = [messages.parse_receipt(json.loads(fields)) for _, fields, _ in rows]
        assert [row[0] for row in rows] == [receipt.sequence for receipt in receipts]
        assert [bytes(row[2]) for row in rows] == [receipt_hash(receipt) for receipt in receipts]
        return receipts


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with ExitStack() as stack:
        machine = stack.enter_context(system_server()) if INSTALLED else None
        server = machine.uri if machine else stack.enter_context(running_postgresql())
        import psycopg

        url = empty_database(server).set(username="proxy")
        with psycopg.connect(server, autocommit=True, client_encoding="utf8") as db:
            rules = Path(str(db.execute("SHOW hba_file").fetchone()[0]))  # type: ignore[index]
            rules.write_text(f"local all proxy scram-sha-256\n{rules.read_text()}")
            db.execute(f"CREATE ROLE proxy LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[arg-type]
            db.execute(f"ALTER DATABASE {url.database} OWNER TO proxy")  # type: ignore[arg-type]
            db.execute("SELECT pg_reload_conf()")
        yield Database(server, url, machine)


class Proxy:
    """The devnet's first proxy, run by the command line with another configuration."""

    def __init__(self, world: World, database: Database) -> None:
        self.world = world
        self.database = database
        self.known = Devnet.status(world.home).proxies[0]
        self.folder = world.home / "devnet" / "proxy-1"
        self.process: subprocess.Popen[bytes] | None = None
        self._secret = world.home / "devnet" / "proxies.pass"

    @property
    def log(self) -> bytes:
        return (self.folder / "postgresql.log").read_bytes()

    def configure(self, **settings: Any) -> None:
        path = self.folder / "proxy.json"
        config = json.loads(path.read_bytes()) | {"database": self.database.setting, "workers": 2}
        config.pop("databasePasswordFile", None)
        path.write_text(json.dumps(config | settings))

    def start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "panachain.cli", "proxy", "serve", "--config", str(self.folder / "proxy.json")]
        with (self.folder / "postgresql.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(self._secret)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def await_ready(self) -> None:
        def ready() -> bool:
            try:
                return httpx.get(f"{self.known.endpoint}/readyz", timeout=5, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        assert wait_for(lambda: ready() or self.stopped), self.log
        assert ready(), self.log

    @property
    def stopped(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def pids(self) -> list[int]:
        """Return the workers' process IDs."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def served_by(self) -> Counter[int]:
        """Return how many re-encryptions each worker served, as their metrics' files say."""
        served: Counter[int] = Counter()
        for pid in self.pids():
            for key, value, *_ in MmapedDict.read_all_values_from_file(
                str(self.folder / "metrics" / f"counter_{pid}.db")
            ):
                _, name, labels, _ = json.loads(key)
                if name == "panachain_proxy_requests_total" and labels == {
                    "endpoint": "/v1/reencrypt",
                    "outcome": "ok",
                }:
                    served[pid] += int(value)
        return served

    def head(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.known.endpoint}/v1/head", timeout=10, trust_env=False).json()
        return answer

    def bodies(self, terms: Terms, count: int) -> list[bytes]:
        """Return signed requests of the clinician, each for two new capsules."""
        mainchain = self.world.network.mainchain
        domain = proxy_domain(mainchain.chain_id, mainchain.policies.address)
        account = Account(unlock(load_profile(self.world.home, "clinician"), PASSPHRASE).account_key())
        made = []
        for _ in range(count):
            wraps = [umbral.wrap(terms.lanes[0].delegating_key, os.urandom(32)) for _ in range(2)]
            unsigned = ReencryptRequest(
                self.known.address,
                terms.policy_id,
                terms.grantee,
                account.address,
                terms.purposes[0],
                0,
                tuple(umbral.capsule_of(wrap) for wrap in wraps),
                int(time.time()) + 45,
                os.urandom(16),
            )
            made.append(messages.canonical(messages.reencrypt_fields(sign_request(account, domain, unsigned))))
        return made

    def send(self, bodies: list[bytes], *, connections: int = 8) -> Counter[int]:
        """Send requests in parallel, each part over a connection of its own; return how often each status came."""

        def part(mine: list[bytes]) -> list[int]:
            with httpx.Client(timeout=30, trust_env=False) as client:
                url = f"{self.known.endpoint}/v1/reencrypt"
                return [client.post(url, content=body).status_code for body in mine]

        with ThreadPoolExecutor(connections) as pool:
            return Counter(
                status
                for found in pool.map(part, [bodies[n::connections] for n in range(connections)])
                for status in found
            )


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def proxy(world: World, database: Database) -> Iterator[Proxy]:
    made = Proxy(world, database)
    anvil.stop(made.known.pid)
    write_private(made.folder / "database.pass", PASSWORD.encode() + b"\n")
    made.configure(databasePasswordFile="database.pass")
    made.start({})
    try:
        made.await_ready()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def terms(world: World, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Terms:
    """A granted lane; its deposit at the proxy is the first receipt."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([folder], "patient")
    return granted(world, "laboratory")


def granted(world: World, category: str) -> Terms:
    until = world.network.mainchain.head_block().time + 86_400
    policy = world.patient.grant("clinician", [category], until=until)
    assert policy.deposited == 3
    terms: Terms = world.clinician.terms_of(policy.policy_id)[1]
    return terms


def check_chain(receipts: list[Receipt]) -> None:
    """Check that a log has neither gap nor fork."""
    assert [receipt.sequence for receipt in receipts] == list(range(1, len(receipts) + 1))
    assert [receipt.previous for receipt in receipts] == [bytes(32), *(receipt_hash(one) for one in receipts[:-1])]


def test_parallel_requests_reach_both_workers_and_make_one_chain(
    world: World, proxy: Proxy, database: Database, terms: Terms
) -> None:
    before = len(database.receipts())
    bodies = proxy.bodies(terms, 80)
    assert proxy.send(bodies) == {200: 80}
    assert proxy.send(bodies[:16]) == {400: 16}
    served = proxy.served_by()
    assert len(served) == 2
    assert min(served.values()) > 0
    receipts = database.receipts()
    check_chain(receipts)
    assert len(receipts) == before + 80
    head = proxy.head()
    assert (head["sequence"], head["head"]) == (len(receipts), receipt_hash(receipts[-1]).hex())
    # Another grant in the middle of it, and what a clinician does with it.
    assert list(world.clinician.open(terms.policy_id))
    check_chain(database.receipts())


def test_the_password_is_nowhere_but_in_its_file(proxy: Proxy, database: Database, terms: Terms) -> None:
    assert proxy.process is not None
    workers = proxy.pids()
    assert len(workers) == 2
    for pid in (proxy.process.pid, *workers):
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    shown = httpx.get(f"{proxy.known.endpoint}/metrics", timeout=10, trust_env=False).content + proxy.log
    for place in (path for path in proxy.folder.rglob("*") if path.is_file() and path.name != "database.pass"):
        shown += place.read_bytes()
    assert PASSWORD.encode() not in shown
    assert VARIABLE.encode() not in shown


def test_a_stop_finishes_what_runs_and_a_restart_keeps_all(
    world: World, proxy: Proxy, database: Database, terms: Terms
) -> None:
    revoked = granted(world, "medications")
    assert list(world.clinician.open(revoked.policy_id))
    assert world.patient.revoke(revoked.policy_id).final
    kept = database.read("SELECT policy_id FROM kfrag")
    assert {row[0] for row in kept} == {terms.policy_id}

    bodies = proxy.bodies(terms, 40)
    with ThreadPoolExecutor(1) as pool:
        assert proxy.process is not None
        before = len(database.receipts())
        sending = pool.submit(in_spite_of_the_end, proxy, bodies)
        assert wait_for(lambda: len(database.receipts()) > before + 5)
        assert proxy.stop() == 0
        statuses = sending.result(60)
    receipts = database.receipts()
    check_chain(receipts)
    # What was answered is written down, and nothing else is.
    assert statuses[200] == len(receipts) - before
    assert statuses.keys() <= {200, 0}
    assert world.network.mainchain.log.anchor_of(proxy.known.address) == (len(receipts), receipt_hash(receipts[-1]))

    # This time by the environment, and with a limit. What was served before the restart counts, if in the same minute.
    proxy.configure(ratePerSender=LIMIT)
    proxy.start({VARIABLE: PASSWORD})
    proxy.await_ready()
    assert proxy.head()["head"] == receipt_hash(receipts[-1]).hex()
    assert proxy.send(bodies[-1:]) in ({200: 1}, {400: 1})
    assert proxy.send(proxy.bodies(terms, 8)) == {200: 8}
    assert proxy.send(proxy.bodies(revoked, 2)) == {403: 2}
    assert list(world.clinician.open(terms.policy_id))
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(revoked.policy_id))
    check_chain(database.receipts())
    minute = int(time.time()) // 60
    limited = proxy.send(proxy.bodies(terms, LIMIT + 20))
    assert limited.keys() <= {200, 429}
    minutes = int(time.time()) // 60 - minute + 1
    assert limited[200] <= LIMIT * minutes  # clock: each further minute allows as many more
    assert minutes > 1 or limited[429] >= 20  # clock: the limit holds within one minute
    check_chain(database.receipts())
    kinds = Counter(one.kind.value for one in database.receipts() if one.policy_id == revoked.policy_id)
    assert (kinds["deposited"], kinds["deleted"]) == (1, 1)


@pytest.mark.parametrize("victim", ["a worker", "all workers", "the proxy", "the server"])
def test_killed_at_any_point_nothing_is_served_twice_and_the_chain_has_no_gap(
    proxy: Proxy, database: Database, terms: Terms, victim: str
) -> None:
    if victim == "the server" and database.machine is None:
        pytest.skip(NONE)
    # The copies of the chains lie in the same database, under the same account.
    secret = proxy.folder / "pgpass"
    write_private(secret, f"*:*:*:proxy:{PASSWORD}\n".encode())
    config = json.loads((proxy.folder / "proxy.json").read_bytes())
    proxy.stop()
    proxy.configure(
        databasePasswordFile="database.pass",
        ratePerSender=0,
        **{chain: config[chain] | {"copy": database.setting} for chain in ("mainchain", "sidechain")},
    )
    environment = {"PGPASSFILE": str(secret)}
    proxy.start(environment)
    proxy.await_ready()
    assert database.read("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'follow_%'")[0][0] > 0
    # Five workers that live for a moment only end a proxy, which is the supervisor's own test.
    for place in range(2 if victim == "all workers" else 3):
        before = len(database.receipts())
        bodies = proxy.bodies(terms, 24)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(in_spite_of_the_end, proxy, bodies)
            assert wait_for(lambda known=before, more=3 * place: len(database.receipts()) > known + more)
            kill(proxy, database, victim)
            if victim == "the proxy":
                assert wait_for(lambda: not listening(proxy))
                proxy.start(environment)
            proxy.await_ready()
            first = sending.result(120)
        # Each once more: whatever was answered counts no more, and whatever wasn't is served now.
        assert wait_for(lambda: ready_to_serve(proxy))
        again = in_spite_of_the_end(proxy, bodies)
        assert again.keys() <= {200, 400}
        receipts = database.receipts()
        check_chain(receipts)
        # A request counts before its work is done: one that was cut off between may have no receipt, and needs another
        # signature. None is answered without a receipt, and none has two.
        assert first[200] + again[200] <= len(receipts) - before <= len(bodies)
    assert proxy.stop() == 0
    proxy.configure()


def kill(proxy: Proxy, database: Database, victim: str) -> None:
    assert proxy.process is not None
    if victim == "the server":
        assert database.machine is not None
        database.machine.kill()
        database.machine.start()
    elif victim == "the proxy":
        proxy.process.kill()
        proxy.process.wait(30)
    else:
        for pid in proxy.pids()[: 1 if victim == "a worker" else None]:
            os.kill(pid, signal.SIGKILL)


def listening(proxy: Proxy) -> bool:
    """Tell whether a worker of a proxy that was killed lives still."""
    try:
        httpx.get(f"{proxy.known.endpoint}/healthz", timeout=5, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def ready_to_serve(proxy: Proxy) -> bool:
    """Tell whether both workers are there and answer."""
    try:
        answers = [httpx.get(f"{proxy.known.endpoint}/readyz", timeout=5, trust_env=False) for _ in range(4)]
    except httpx.HTTPError:
        return False
    return len(proxy.pids()) == 2 and all(answer.status_code == 200 for answer in answers)


def test_a_backup_is_restored_and_the_log_goes_on_where_it_ends(
    world: World, proxy: Proxy, database: Database, terms: Terms
) -> None:
    if database.machine is None:
        pytest.skip(NONE)
    proxy.stop()
    before = database.receipts()
    machine, name = database.machine, str(database.url.database)
    file = machine.folder / "backup"
    account = ("-h", str(machine.folder), "-U", "postgres")
    machine.run("pg_dump", *account, "-Fc", "-f", str(file), name)
    machine.run("createdb", *account, "-O", "proxy", "restored")
    machine.run("pg_restore", *account, "-d", "restored", str(file))
    # The old one is gone, as after the loss of a machine.
    machine.run("dropdb", *account, name)
    restored = Database(database.server, database.url.set(database="restored"), machine)
    assert restored.receipts() == before
    proxy.database = restored
    config = json.loads((proxy.folder / "proxy.json").read_bytes())
    for chain in ("mainchain", "sidechain"):
        config[chain].pop("copy", None)
    proxy.configure(databasePasswordFile="database.pass", mainchain=config["mainchain"], sidechain=config["sidechain"])
    proxy.start({})
    proxy.await_ready()
    assert proxy.head()["head"] == receipt_hash(before[-1]).hex()
    assert proxy.send(proxy.bodies(terms, 8)) == {200: 8}
    assert list(world.clinician.open(terms.policy_id))
    check_chain(restored.receipts())
    assert restored.receipts()[: len(before)] == before
    proxy.configure()


def in_spite_of_the_end(proxy: Proxy, bodies: list[bytes]) -> Counter[int]:
    """Send requests one after the other; a request without an answer counts as 0."""
    found: Counter[int] = Counter()
    with httpx.Client(timeout=30, trust_env=False) as client:
        for body in bodies:
            try:
                found[client.post(f"{proxy.known.endpoint}/v1/reencrypt", content=body).status_code] += 1
            except httpx.TransportError:
                found[0] += 1
    return found


def test_with_a_wrong_password_it_does_not_start_and_shows_none(proxy: Proxy, terms: Terms) -> None:
    proxy.stop()
    before = len(proxy.log)
    assert proxy.start({VARIABLE: "wrong-5527"}).wait(60) != 0
    shown = proxy.log[before:]
    assert b"DiskError" in shown
    assert b'password authentication failed for user "proxy"' in shown
    for secret in (PASSWORD, "wrong-5527"):
        assert secret.encode() not in shown
