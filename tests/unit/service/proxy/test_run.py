"""The proxy as a program: several workers, one log; signals, deaths, a flood, and TLS."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from panachain.chain.receipts import receipt_hash
from panachain.crypto import keystore
from panachain.errors import UnavailableError
from panachain.follow.follower import SETTLED
from panachain.proxy import messages
from panachain.proxy.client import Channels, read_answer
from panachain.service.database import Place
from panachain.service.proxy import run
from panachain.service.proxy.store import ProxyStore
from panachain.wire.endpoints import Reach
from tests.unit.service.authority import Authority
from tests.unit.service.loopback import wait_for
from tests.unit.service.proxy_world import PASSPHRASE, ProxyWorld, address

ROOT = Path(__file__).resolve().parents[4]
HOST = Path(__file__).parents[1] / "worker_host.py"
NEAR = Reach(development=True)


@pytest.mark.parametrize(
    ("workers", "processors", "parallel", "threads"),
    [
        *((1, 2, True, 2), (2, 2, True, 1), (3, 2, True, 1), (1, 16, True, 4), (4, 16, True, 4), (8, 16, True, 2)),
        (1, 16, False, 1),
    ],
)
def test_as_many_threads_compute_as_processors_fall_to_a_worker(
    monkeypatch: pytest.MonkeyPatch, workers: int, processors: int, parallel: bool, threads: int
) -> None:
    monkeypatch.setattr(run.umbral, "PARALLEL", parallel)
    assert run._threads(workers, processors) == threads


def test_a_look_for_emergencies_goes_on_where_the_one_before_was_dealt_with() -> None:
    asked: list[int] = []

    def cosigned(*, since: int, from_block: int) -> tuple[list[str], int]:
        asked.append(from_block)
        return ["one", "two"], 500 + len(asked)

    sidechain: Any = SimpleNamespace(emergency=SimpleNamespace(cosigned=cosigned))
    chains = run.Chains(SimpleNamespace(), sidechain, 0)  # type: ignore[arg-type]
    # The database refuses the second one: it comes again.
    assert next(iter(chains.cosigned(since=9))) == "one"
    assert [list(chains.cosigned(since=9)) for _ in range(2)] == [["one", "two"]] * 2
    # So many blocks may still be replaced.
    assert asked == [-SETTLED, -SETTLED, 502 - SETTLED]


class Host:
    """One running proxy program, and the policy that it holds."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.world = ProxyWorld(folder / "world", count=2)
        self.policy = self.world.grant()
        seed = self.world.seeds[0]
        keystore.create(folder / "seed.json", seed, PASSPHRASE)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        chain = {"url": "http://127.0.0.1:9", "chainId": 1, "contracts": {}, "fromBlock": 0}
        config = {
            "host": "127.0.0.1",
            "port": self.port,
            "database": "proxy.sqlite",
            "keystore": "seed.json",
            "mainchain": chain,
            "sidechain": chain,
            "confirmations": 0,
            "maxHeadAge": 120,
        }
        (folder / "proxy.json").write_text(json.dumps(config | settings))
        (folder / "chain.pickle").write_bytes(pickle.dumps(self.world.chain.__dict__))
        self.endpoint = f"{'https' if 'tls' in settings else 'http'}://127.0.0.1:{self.port}"
        store = ProxyStore(
            Place(str((config | settings)["database"]), folder).url("its database"),
            seed.store_key(),
            proxy=address(seed),
        )
        service = self.world.service(seed, store)
        service.deposit(service.open_deposit(self.world.sealed(self.policy, 0)))
        store.close()
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, HOST, str(folder)],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.world.close()

    def await_ready(self) -> Host:
        def ready() -> bool:
            try:
                return httpx.get(f"{self.endpoint}/readyz", timeout=2, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(lambda: ready() or self.process.poll() is not None, 120)
        assert ready(), (self.folder / "log").read_text()
        return self

    def request(self, capsules: tuple[bytes, ...] | None = None) -> dict[str, Any]:
        self.world.chain.now = int(time.time())
        more = {} if capsules is None else {"capsules": capsules}
        return messages.reencrypt_fields(self.world.request(self.policy, 0, **more))

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "world").mkdir()
    host = Host(folder, workers=2)
    try:
        yield host.await_ready()
    finally:
        host.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "world").mkdir()
    return tmp_path


@pytest.fixture
def two(folder: Path) -> Iterator[Host]:
    host = Host(folder, workers=2)
    try:
        yield host.await_ready()
    finally:
        host.close()


def ask(client: httpx.Client, host: Host, fields: dict[str, Any]) -> httpx.Response:
    return client.post(f"{host.endpoint}/v1/reencrypt", json=fields)


def test_two_workers_write_one_unbroken_chain(shared: Host) -> None:
    requests = [shared.request() for _ in range(200)]
    with httpx.Client(timeout=30, trust_env=False) as client, ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda fields: ask(client, shared, fields).status_code, requests))
        assert statuses == [200] * 200
        repeated = list(pool.map(lambda fields: ask(client, shared, fields).status_code, requests[:20]))
        assert repeated == [400] * 20
        shared.world.chain.now = int(time.time())
        fields = messages.receipts_fields(shared.world.receipts_request(shared.policy))
        listed = read_answer(Channels(reach=NEAR).post(shared.endpoint, "/v1/receipts", fields))["receipts"]
        receipts = [messages.parse_receipt(one) for one in listed]
        metrics = client.get(f"{shared.endpoint}/metrics").text
    assert [receipt.sequence for receipt in receipts] == list(range(1, 202))
    assert [later.previous for later in receipts[1:]] == [receipt_hash(earlier) for earlier in receipts[:-1]]
    assert 'panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="ok"} 200.0' in metrics
    assert len(shared.workers()) == 2


def test_a_worker_that_dies_is_replaced(shared: Host) -> None:
    before = shared.workers()
    os.kill(before[0], signal.SIGKILL)
    assert wait_for(lambda: len(shared.workers()) == 2 and before[0] not in shared.workers())
    with httpx.Client(timeout=30, trust_env=False) as client:
        assert {ask(client, shared, shared.request()).status_code for _ in range(10)} == {200}


@pytest.mark.deep
def test_two_workers_hold_one_limit(folder: Path) -> None:
    host = Host(folder, workers=2, ratePerSender=30)
    try:
        host.await_ready()
        requests = [host.request() for _ in range(60)]

        def send(part: list[dict[str, Any]]) -> list[int]:
            # A connection of its own, so that both workers get some.
            with httpx.Client(timeout=30, trust_env=False) as client:
                return [ask(client, host, fields).status_code for fields in part]

        begun = int(time.time()) // 60
        with ThreadPoolExecutor(6) as pool:
            statuses = [status for part in pool.map(send, [requests[n::6] for n in range(6)]) for status in part]
        minutes = int(time.time()) // 60 - begun + 1
        assert set(statuses) <= {200, 429}
        # Each worker alone would take as many.
        assert 30 <= statuses.count(200) <= 30 * minutes  # clock: each further minute allows as many more
    finally:
        host.close()


def test_workers_end_with_their_parent(two: Host) -> None:
    workers = two.workers()
    two.process.kill()
    two.process.wait(5)
    assert wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


@pytest.mark.deep
def test_graceful_stop_finishes_what_runs_and_anchors_once(two: Host) -> None:
    # As many as take a while, and on a machine that runs much else less than a service waits when it is stopped.
    capsule, count = bytes.fromhex(two.request()["capsules"][0]), 250
    answers: list[httpx.Response] = []
    with httpx.Client(timeout=30, trust_env=False) as client:
        thread = threading.Thread(target=lambda: answers.append(ask(client, two, two.request((capsule,) * count))))
        thread.start()
        # The request is under way once the chain was asked for its policy.
        assert wait_for((two.folder / "asked").exists)
        two.process.terminate()
        thread.join(60)
    assert two.process.wait(60) == 0
    assert len(messages.parse_answer(answers[0].json(), count=count).cfrags) == count
    assert (two.folder / "anchored").read_text() == "2"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{two.endpoint}/healthz", timeout=2, trust_env=False)
    assert (two.folder / "log").read_bytes() == b""


def test_a_port_in_use_is_a_typed_error(shared: Host) -> None:
    done = subprocess.run(
        [sys.executable, HOST, str(shared.folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"can't be listened on" in done.stderr


@pytest.mark.deep
def test_a_flood_of_garbage_does_not_starve_honest_users(folder: Path) -> None:
    # They ask as fast as they can, for as long as the flood lasts: the rates are another test's business.
    host = Host(folder, workers=1, ratePerSender=1_000_000, ratePerAddress=1_000_000, capsulesPerSender=100_000_000)
    try:
        host.await_ready()
        forged = json.dumps(host.request() | {"signature": "11" * 65}).encode()
        stop = threading.Event()
        sent = [0] * 8

        def flood(number: int) -> None:
            with httpx.Client(timeout=60, trust_env=False) as client:
                while not stop.is_set() and sent[number] < 1000:
                    body = (forged, b"{" * 1000, b"x" * 100_000, b"")[sent[number] % 4]
                    path = "/v1/deposit" if sent[number] % 7 == 0 else "/v1/reencrypt"
                    client.post(host.endpoint + path, content=body)
                    sent[number] += 1

        threads = [threading.Thread(target=flood, args=(number,), daemon=True) for number in range(8)]
        for thread in threads:
            thread.start()
        served = 0
        with httpx.Client(timeout=60, trust_env=False) as client:
            while sum(sent) < 2000 or served < 100:
                assert ask(client, host, host.request()).status_code == 200
                served += 1
        stop.set()
        for thread in threads:
            thread.join(60)
        assert sum(sent) >= 2000
        assert served >= 100
    finally:
        host.close()


@pytest.mark.deep
class TestTls:
    def test_the_authority_of_the_configuration_is_trusted_and_no_other(self, folder: Path) -> None:
        authority, other = Authority(folder, "authority"), Authority(folder, "other")
        authority.issue("proxy")
        host = Host(folder, tls={"certificate": "proxy.pem", "key": "proxy.key"})
        try:
            channels = Channels(ca=authority.path, reach=NEAR)
            assert wait_for(lambda: self.answers(channels, host), 40), (folder / "log").read_text()
            for stranger in (Channels(reach=NEAR), Channels(ca=other.path, reach=NEAR)):
                with pytest.raises(UnavailableError):
                    stranger.get(host.endpoint, "/healthz", timeout=5)
            with pytest.raises(UnavailableError):
                channels.get(host.endpoint.replace("https", "http"), "/healthz", timeout=5)
        finally:
            host.close()

    def test_clients_without_a_certificate_are_refused_where_one_is_asked_for(self, folder: Path) -> None:
        import ssl

        authority = Authority(folder, "authority")
        authority.issue("proxy")
        own = authority.issue("client")
        tls = {"certificate": "proxy.pem", "key": "proxy.key", "clientCa": "authority.pem"}
        host = Host(folder, tls=tls)
        try:
            context = ssl.create_default_context(cafile=str(authority.path))
            context.load_cert_chain(*own)

            def ready() -> bool:
                try:
                    return httpx.get(f"{host.endpoint}/healthz", verify=context, trust_env=False).status_code == 200
                except httpx.HTTPError:
                    return False

            assert wait_for(ready, 40), (folder / "log").read_text()
            with pytest.raises(UnavailableError):
                Channels(ca=authority.path, reach=NEAR).get(host.endpoint, "/healthz", timeout=5)
        finally:
            host.close()

    @staticmethod
    def answers(channels: Channels, host: Host) -> bool:
        try:
            return channels.get(host.endpoint, "/healthz", timeout=5).status == 200
        except UnavailableError:
            return False
