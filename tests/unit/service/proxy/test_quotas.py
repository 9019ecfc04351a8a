"""Limits hold for all processes of a proxy's database together, and cost a refused request no work."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from panachain.errors import PanaChainError, RateLimitedError, SuspendedError, UsageError
from panachain.model.actors import Address, Status
from panachain.proxy import messages
from panachain.service.proxy.app import create_app
from panachain.service.proxy.service import ProxyService, Rates
from panachain.service.proxy.store import Nonce, ProxyStore, Quota
from tests.unit.service.postgresql import empty_database, running_postgresql
from tests.unit.service.proxy_world import ProxyWorld, address

RATE = 8
PROXY = Address("0x" + "11" * 20)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgresql() as uri:
        yield uri


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path | URL:
    if request.param == "sqlite":
        return tmp_path / "shared.sqlite"
    return empty_database(request.getfixturevalue("server"))


class Workers:
    """Two workers of one proxy, each with connections of its own, in the first second of a minute."""

    def __init__(self, folder: Path, database: Path | URL) -> None:
        self.world = ProxyWorld(folder, count=2)
        self.world.chain.now -= self.world.chain.now % 60
        seed = self.world.seeds[0]
        self.stores = [ProxyStore(database, seed.store_key(), proxy=address(seed)) for _ in range(2)]
        self.services = [self.world.service(seed, store, rates=Rates(requests=RATE)) for store in self.stores]
        self.policy = self.world.grant(deposit=False)
        deposit = self.services[0].open_deposit(self.world.sealed(self.policy, 0))
        self.services[0].deposit(deposit)

    def close(self) -> None:
        for store in self.stores:
            store.close()
        self.world.close()

    def ask(self, number: int, **changes: Any) -> str:
        """Return `served`, or the name of the error of one request to one worker."""
        try:
            self.services[number].reencrypt(self.world.request(self.policy, **changes))
        except PanaChainError as exc:
            return type(exc).__name__
        return "served"


@pytest.fixture
def workers(tmp_path: Path, database: Path | URL) -> Iterator[Workers]:
    made = Workers(tmp_path, database)
    yield made
    made.close()


def test_two_workers_share_a_signers_limit(workers: Workers) -> None:
    outcomes = [workers.ask(number % 2) for number in range(RATE + 4)]
    assert outcomes == ["served"] * RATE + ["RateLimitedError"] * 4
    receipts = workers.stores[0].receipts(workers.policy.terms.policy_id)
    assert len(receipts) == 1 + RATE


def test_at_once_neither_more_nor_less_is_served(workers: Workers) -> None:
    requests = [workers.world.request(workers.policy) for _ in range(3 * RATE)]
    outcomes: list[str] = []

    def work(service: ProxyService, start: int) -> None:
        for request in requests[start::4]:
            try:
                service.reencrypt(request)
                outcomes.append("served")
            except PanaChainError as exc:
                outcomes.append(type(exc).__name__)

    threads = [threading.Thread(target=work, args=(workers.services[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(outcomes) == {"served": RATE, "RateLimitedError": 2 * RATE}


def test_the_next_minute_begins_anew_and_is_told(workers: Workers) -> None:
    world = workers.world
    world.chain.now += 13
    for _ in range(RATE):
        workers.services[0].reencrypt(world.request(workers.policy))
    with pytest.raises(RateLimitedError) as refused:
        workers.services[1].reencrypt(world.request(workers.policy))
    assert refused.value.retry_after == 47
    world.chain.now += 46
    assert workers.ask(1) == "RateLimitedError"
    world.chain.now += 1
    assert workers.ask(1) == "served"


def test_a_refused_request_may_come_again_with_the_same_nonce(workers: Workers) -> None:
    workers.world.chain.now += 40
    late = workers.world.request(workers.policy)
    for number in range(RATE):
        workers.ask(number % 2)
    with pytest.raises(RateLimitedError):
        workers.services[0].reencrypt(late)
    workers.world.chain.now += 20
    workers.services[1].reencrypt(late)
    with pytest.raises(UsageError, match="sent before"):
        workers.services[0].reencrypt(late)


def test_another_signer_is_not_concerned(workers: Workers) -> None:
    for number in range(RATE + 1):
        workers.ask(number % 2)
    owner = workers.world.receipts_request(workers.policy)
    assert len(workers.services[1].receipts(owner)["receipts"]) == RATE + 1


def test_the_owners_receipts_and_deposits_have_one_limit(workers: Workers) -> None:
    world, policy = workers.world, workers.policy
    # The deposit was the first of them.
    for number in range(RATE - 1):
        workers.services[number % 2].receipts(world.receipts_request(policy))
    with pytest.raises(RateLimitedError):
        workers.services[0].receipts(world.receipts_request(policy))
    with pytest.raises(RateLimitedError):
        workers.services[1].deposit(workers.services[1].open_deposit(world.sealed(policy, 0)))


def test_a_request_beyond_the_limit_costs_no_work(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(RATE):
        workers.ask(number % 2)
    monkeypatch.setattr(workers.world.chain, "policy", None)
    monkeypatch.setattr("panachain.service.proxy.work.umbral", None)
    assert workers.ask(0) == workers.ask(1) == "RateLimitedError"


def test_refusals_of_one_person_share_a_receipt_over_all_workers(workers: Workers) -> None:
    workers.world.chain.people[workers.policy.grantee.address] = Status.SUSPENDED
    assert [workers.ask(number % 2) for number in range(RATE)] == [SuspendedError.__name__] * RATE
    kinds = Counter(r.kind.value for r in workers.stores[0].receipts(workers.policy.terms.policy_id))
    assert kinds == {"deposited": 1, "denied": 1}


def test_two_workers_over_http_answer_429_with_retry_after(workers: Workers) -> None:
    fields = [messages.reencrypt_fields(workers.world.request(workers.policy)) for _ in range(RATE + 2)]
    with TestClient(create_app(workers.services[0])) as one, TestClient(create_app(workers.services[1])) as two:
        answers = [(one, two)[number % 2].post("/v1/reencrypt", json=body) for number, body in enumerate(fields)]
    assert [answer.status_code for answer in answers] == [200] * RATE + [429] * 2
    for refused in answers[RATE:]:
        assert refused.json()["type"] == "urn:panachain:problem/rate-limited"
        assert refused.headers["retry-after"] == "60"


def test_zero_means_any_number(tmp_path: Path, database: Path | URL) -> None:
    store = ProxyStore(database, bytes(32), proxy=PROXY)
    nonces = [Nonce(bytes(15) + bytes([number]), 6000, (quota(0),)) for number in range(20)]
    for nonce in nonces:
        store.check_nonce(nonce)
        store.use_nonce(nonce)
    assert store._read("SELECT count(*) FROM counted")[0][0] == 0
    store.close()


def test_counts_are_forgotten_and_name_nobody(database: Path | URL) -> None:
    store = ProxyStore(database, bytes(range(32)), proxy=PROXY)
    store.use_nonce(Nonce(bytes(16), 6000, (quota(5),)))
    ((subject,),) = store._read("SELECT subject FROM counted")
    assert len(bytes(subject)) == 32
    assert quota(5).subject.encode() not in bytes(subject)
    store._swept = -(10**9)
    store.use_nonce(Nonce(bytes(15) + b"\x01", 6120, (quota(5),)))
    assert [row[0] for row in store._read("SELECT minute FROM counted")] == [102]
    store.close()


def test_counts_are_not_in_postgresqls_write_ahead_log(server: str) -> None:
    store = ProxyStore(empty_database(server), bytes(32), proxy=PROXY)
    assert store._read("SELECT relpersistence FROM pg_class WHERE relname = 'counted'")[0][0] == "u"
    store.close()


def quota(most: int) -> Quota:
    return Quota("request", "0x" + "ab" * 20, most, "too many requests of this signer")
