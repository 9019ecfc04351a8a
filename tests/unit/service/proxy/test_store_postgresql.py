"""The proxy's database on PostgreSQL: the same promises as on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from panachain.chain.receipts import receipt_hash
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, PanaChainError, PolicyRevokedError, UsageError
from panachain.model.actors import Address
from panachain.service.proxy.service import ProxyService
from panachain.service.proxy.store import Nonce, ProxyStore
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql, system_server
from tests.unit.service.proxy_world import ProxyWorld, address


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> URL:
    return empty_database(shared_postgresql(request.param))


@pytest.fixture
def world(tmp_path: Path, url: URL) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    made.stores[0].close()
    made.stores[0] = ProxyStore(url, made.seeds[0].store_key(), proxy=address(made.seeds[0]))
    made.services[0] = made.service(made.seeds[0], made.stores[0])
    yield made
    made.close()


def test_deposit_reencrypt_revoke(world: ProxyWorld) -> None:
    policy = world.grant()
    service, store = world.services[0], world.stores[0]
    request = world.request(policy)
    assert len(service.reencrypt(request)["cfrags"]) == 1
    with pytest.raises(UsageError, match="sent before"):
        service.reencrypt(request)
    world.chain.revoke(policy.terms.policy_id)
    with pytest.raises(PolicyRevokedError):
        service.reencrypt(world.request(policy))
    first = service.revoke(policy.terms.policy_id)
    assert service.revoke(policy.terms.policy_id) == first
    assert store.kfrag(policy.terms.policy_id, 0) is None
    kinds = [receipt.kind.value for receipt in store.receipts(policy.terms.policy_id)]
    assert kinds == ["deposited", "reencrypted", "denied", "deleted"]
    assert store.held(after="", size=10) == []


def test_deleted_rows_are_vacuumed(world: ProxyWorld) -> None:
    policy = world.grant()
    world.chain.revoke(policy.terms.policy_id)
    world.services[0].revoke(policy.terms.policy_id)
    # VACUUM gave the only page of an empty table back.
    assert world.stores[0]._read("SELECT pg_relation_size('kfrag')")[0][0] == 0


def test_several_stores_write_one_unbroken_chain(world: ProxyWorld, url: URL) -> None:
    policy = world.grant()
    seed = world.seeds[0]
    others = [ProxyStore(url, seed.store_key(), proxy=address(seed)) for _ in range(3)]
    services: list[ProxyService] = [world.services[0], *(world.service(seed, other) for other in others)]
    requests = [world.request(policy) for _ in range(40)]
    outcomes: list[str] = []

    def work(service: ProxyService, start: int) -> None:
        # Every request goes to two of them.
        for request in [*requests[start::4], *requests[(start + 1) % 4 :: 4]]:
            try:
                service.reencrypt(request)
                outcomes.append("served")
            except PanaChainError as exc:
                outcomes.append(type(exc).__name__)

    threads = [threading.Thread(target=work, args=(service, start)) for start, service in enumerate(services)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    receipts = world.stores[0].receipts(policy.terms.policy_id)
    assert sorted(outcomes) == ["UsageError"] * 40 + ["served"] * 40
    assert [receipt.sequence for receipt in receipts] == list(range(1, 42))
    assert [later.previous for later in receipts[1:]] == [receipt_hash(earlier) for earlier in receipts[:-1]]
    for other in others:
        other.close()


def test_several_stores_may_start_at_once(world: ProxyWorld, url: URL) -> None:
    seed = world.seeds[0]
    failures: list[BaseException] = []

    def start() -> None:
        try:
            ProxyStore(url, seed.store_key(), proxy=address(seed)).close()
        except PanaChainError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_another_proxys_database_is_refused(world: ProxyWorld, url: URL) -> None:
    with pytest.raises(ConfigurationError, match="is of proxy"):
        ProxyStore(url, bytes(32), proxy=Address("0x" + "00" * 20))


def test_a_database_that_is_down_is_a_typed_error_without_the_password() -> None:
    url = make_url("postgresql+psycopg://proxy:hush-hush@127.0.0.1:1/proxy")
    with pytest.raises(DiskError) as caught:
        ProxyStore(url, bytes(32), proxy=Address("0x" + "00" * 20))
    assert "hush" not in str(caught.value)


def test_every_nonce_waits_for_the_disk(world: ProxyWorld) -> None:
    store = world.stores[0]
    for lasting in (True, False):
        with store._write(lasting=lasting) as db:
            assert db.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    nonce = Nonce(bytes(16), 1000)
    store.use_nonce(nonce, before_receipt=True)
    with pytest.raises(UsageError, match="sent before"):
        store.use_nonce(nonce)


@pytest.mark.deep
def test_a_nonce_outlives_a_server_that_ends_while_its_request_is_in_hand() -> None:
    """The proxy goes on when the server is back, and serves what it has in hand: the request passes no second time."""
    with system_server() as server:
        seed = Seed.random()
        store = ProxyStore(empty_database(server.uri), seed.store_key(), proxy=address(seed))
        nonce = Nonce(bytes(16), 1000)
        store.use_nonce(nonce, before_receipt=True)
        server.kill()
        server.start()
        # Connections of before fail once, whatever they are asked.
        with suppress(DiskError):
            store.check_answers()
        with pytest.raises(UsageError, match="sent before"):
            store.use_nonce(nonce, before_receipt=True)
        store.close()


def test_when_a_cosignature_was_first_seen_is_kept(world: ProxyWorld) -> None:
    store, who = world.stores[0], Address("0x" + "44" * 20)
    assert [store.emergencies.first_seen("one", who, ends_at=5000, now=now) for now in (1000, 2000)] == [1000, 1000]


def test_old_nonces_are_forgotten(world: ProxyWorld) -> None:
    store = world.stores[0]
    store.use_nonce(Nonce(bytes(16), 1000))
    store._swept = -(10**9)
    store.use_nonce(Nonce(bytes(15) + b"\x01", 2000))
    assert [row[0] for row in store._read("SELECT expires_at FROM nonce")] == [2180]
