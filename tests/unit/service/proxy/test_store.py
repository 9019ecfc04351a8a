"""The proxy's database on SQLite: private, its own, and given up what it deleted."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, PolicyUnknownError, UsageError
from panachain.model.actors import Address, PolicyId
from panachain.service.proxy import store as store_module
from panachain.service.proxy.store import Nonce, ProxyStore
from tests.unit.service.proxy_world import ProxyWorld, address

NOW = 1_700_000_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    yield made
    made.close()


def opened(folder: Path, now: list[float]) -> ProxyStore:
    """Return a store in which time goes on only while it waits."""
    seed = Seed.random()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return ProxyStore(folder / "own.sqlite", seed.store_key(), proxy=address(seed), clock=lambda: now[0], sleep=sleep)


def count(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / "own.sqlite") as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_what_was_never_deposited_is_unknown(world: ProxyWorld) -> None:
    unknown = PolicyId("0x" + "77" * 20)
    for asked in (world.stores[0].policy, world.stores[0].check_known):
        with pytest.raises(PolicyUnknownError):
            asked(unknown)
    world.stores[0].check_known(world.grant().terms.policy_id)


def test_a_database_without_its_tables_does_not_answer(tmp_path: Path) -> None:
    store = opened(tmp_path, [0.0])
    store.check_answers()
    with sqlite3.connect(tmp_path / "own.sqlite") as db:
        db.execute("DROP TABLE proxy")
    with pytest.raises(DiskError):
        store.check_answers()


def test_a_kfrag_is_returned_to_its_lane_alone_and_stands_nowhere_in_the_clear(world: ProxyWorld) -> None:
    policy = world.grant()
    held = world.stores[0].kfrag(policy.terms.policy_id, 0)
    assert held is not None
    assert held.kfrag == policy.kfrags[0]
    assert world.stores[0].kfrag(policy.terms.policy_id, 1) is None
    assert not any(policy.kfrags[0] in path.read_bytes() for path in world.folder.iterdir())


def test_old_nonces_are_forgotten_at_intervals_and_new_ones_are_not(tmp_path: Path) -> None:
    now = [0.0]
    store = opened(tmp_path, now)
    nonces = [os.urandom(16) for _ in range(3)]
    store.use_nonce(Nonce(nonces[0], NOW))
    store.use_nonce(Nonce(nonces[1], NOW + 1000))
    # Too early for the next sweep.
    assert count(tmp_path, "nonce") == 2
    now[0] += 11
    store.use_nonce(Nonce(nonces[2], NOW + 1001))
    assert count(tmp_path, "nonce") == 2
    with pytest.raises(UsageError, match="sent before"):
        store.use_nonce(Nonce(nonces[1], NOW + 1001))
    store.close()


def test_a_reader_keeps_what_was_deleted_for_some_seconds_and_no_longer(tmp_path: Path) -> None:
    now = [0.0]
    store = opened(tmp_path, now)
    with sqlite3.connect(tmp_path / "own.sqlite") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM nonce").fetchone()
        store.use_nonce(Nonce(os.urandom(16), NOW))
        before = now[0]
        assert not store.forget()
        assert 5 <= now[0] - before < 6
    reader.close()
    assert store.forget()
    store.close()


def test_database_is_private(world: ProxyWorld) -> None:
    world.grant()
    assert {file.stat().st_mode & 0o777 for file in world.folder.glob("proxy-0.sqlite*")} == {0o600}


def test_database_that_cannot_be_opened_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DiskError):
        ProxyStore(tmp_path / "file" / "proxy.sqlite", bytes(32), proxy=Address("0x" + "00" * 20))
    (tmp_path / "broken.sqlite").write_bytes(b"this isn't a database, and never was one" * 200)
    with pytest.raises(DiskError):
        ProxyStore(tmp_path / "broken.sqlite", bytes(32), proxy=Address("0x" + "00" * 20))


LATER = ("ALTER TABLE policy ADD COLUMN note TEXT NOT NULL DEFAULT 'none'", "CREATE TABLE added (at BIGINT NOT NULL)")


def test_a_database_from_before_versions_goes_on(world: ProxyWorld) -> None:
    before = world.grant().terms.policy_id
    path = world.folder / "proxy-0.sqlite"
    world.stores[0].close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE schema_version")

    world.stores[0] = ProxyStore(path, world.seeds[0].store_key(), proxy=address(world.seeds[0]))

    assert world.stores[0].policy(before).policy_id == before
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT number FROM schema_version").fetchall() == [(len(store_module._CHANGES),)]


def test_a_later_version_adds_columns_and_tables_to_what_is_there(
    world: ProxyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.grant().terms.policy_id
    path = world.folder / "proxy-0.sqlite"
    world.stores[0].close()
    monkeypatch.setattr(store_module, "_CHANGES", (*store_module._CHANGES, LATER))
    # Twice: a change is made once.
    for _ in range(2):
        world.stores[0] = ProxyStore(path, world.seeds[0].store_key(), proxy=address(world.seeds[0]))
        world.services[0] = world.service(world.seeds[0], world.stores[0])
        world.grant()
        assert world.stores[0].policy(before).policy_id == before
        world.stores[0].close()

    with sqlite3.connect(path) as db:
        assert db.execute("SELECT note FROM policy").fetchall() == [("none",)] * 3
        assert db.execute("SELECT count(*) FROM added").fetchone() == (0,)


def test_a_change_that_fails_leaves_the_tables_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path, [0.0]).close()
    monkeypatch.setattr(
        store_module, "_CHANGES", (*store_module._CHANGES, (LATER[1], "ALTER TABLE nothing RENAME TO x"))
    )

    with pytest.raises(DiskError):
        opened(tmp_path, [0.0])

    with sqlite3.connect(tmp_path / "own.sqlite") as db:
        assert db.execute("SELECT number FROM schema_version").fetchall() == [(len(store_module._CHANGES) - 1,)]
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'added'").fetchone() == (0,)


def test_a_database_of_a_later_program_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, [0.0]).close()
    with sqlite3.connect(tmp_path / "own.sqlite") as db:
        db.execute("UPDATE schema_version SET number = number + 1")

    with pytest.raises(ConfigurationError, match="nothing was changed"):
        opened(tmp_path, [0.0])


def test_a_change_that_databases_have_stays_as_it_is() -> None:
    # Whoever edits one changes new databases only: what comes later is a change of its own, and is entered here.
    digests = [hashlib.sha256(json.dumps(change).encode()).hexdigest()[:16] for change in store_module._CHANGES]
    assert digests == ["f5b5a19f5bdbd800", "d074ab56eb9e926a", "14a555c0f12a508e", "c0b9207b011ec231"]


def test_only_a_nonce_that_a_receipt_follows_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    store = opened(tmp_path, [0.0])
    for lasting, mode in ((True, 2), (False, 1)):
        with store._write(lasting=lasting) as db:
            settings = [db.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("synchronous", "secure_delete")]
            assert settings == [mode, 1]
    # 2 is FULL, 1 is NORMAL; reads and everything else have FULL.
    with store._reading() as db:
        assert db.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    nonce = Nonce(os.urandom(16), NOW)
    store.use_nonce(nonce, before_receipt=True)
    with pytest.raises(UsageError, match="sent before"):
        store.use_nonce(nonce)


class TestFirstSeen:
    WHO = Address("0x" + "44" * 20)

    def test_it_is_kept_until_the_emergency_is_over_also_over_a_restart(self, tmp_path: Path) -> None:
        seed = Seed.random()
        for now in (NOW, NOW + 100):
            store = ProxyStore(tmp_path / "own.sqlite", seed.store_key(), proxy=address(seed))
            assert store.emergencies.first_seen("one", self.WHO, ends_at=NOW + 1000, now=now) == NOW
            store.close()
        store = ProxyStore(tmp_path / "own.sqlite", seed.store_key(), proxy=address(seed))
        store.emergencies.forget(NOW + 999)
        assert count(tmp_path, "emergency") == 1
        store.emergencies.forget(NOW + 1000)
        assert count(tmp_path, "emergency") == 0
        assert store.emergencies.first_seen("two", self.WHO, ends_at=NOW + 9000, now=NOW + 1000) == NOW + 1000

    def test_what_is_over_is_forgotten_in_turns_that_are_bounded_and_takes_nobodys_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, most = opened(tmp_path, [0.0]), store_module._EMERGENCIES
        monkeypatch.setattr(store_module, "_FORGOTTEN", 40)
        for n in range(most):
            store.emergencies.first_seen(str(n), self.WHO, ends_at=NOW + 10, now=NOW)
        assert store.emergencies.first_seen("more", self.WHO, ends_at=NOW + 99, now=NOW + 9) is None
        assert store.emergencies.first_seen("more", self.WHO, ends_at=NOW + 99, now=NOW + 10) == NOW + 10
        for left in (most + 1 - 40, 1, 1):
            store.emergencies.forget(NOW + 10)
            assert count(tmp_path, "emergency") == left

    def test_nobody_who_has_too_many_and_nothing_that_is_known_takes_the_turn_to_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, most = opened(tmp_path, [0.0]), store_module._EMERGENCIES
        for n in range(most):
            store.emergencies.first_seen(str(n), self.WHO, ends_at=NOW + 10, now=NOW)

        def write(**_: object) -> None:
            raise AssertionError("it writes")

        monkeypatch.setattr(store, "_write", write)
        assert store.emergencies.first_seen("more", self.WHO, ends_at=NOW + 10, now=NOW) is None
        assert store.emergencies.first_seen("0", self.WHO, ends_at=NOW + 10, now=NOW) == NOW
        store.emergencies.forget(NOW)

    def test_of_two_workers_that_see_the_last_one_at_once_both_know_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seed, most = Seed.random(), store_module._EMERGENCIES
        one, other = (ProxyStore(tmp_path / "own.sqlite", seed.store_key(), proxy=address(seed)) for _ in range(2))
        for n in range(most - 1):
            one.emergencies.first_seen(str(n), self.WHO, ends_at=NOW + 10, now=NOW)
        write = one._write

        def late() -> AbstractContextManager[Connection]:
            # Between its looks and its turn to write.
            assert other.emergencies.first_seen("last", self.WHO, ends_at=NOW + 10, now=NOW + 1) == NOW + 1
            return write()

        monkeypatch.setattr(one, "_write", late)
        assert one.emergencies.first_seen("last", self.WHO, ends_at=NOW + 10, now=NOW + 2) == NOW + 1
        assert count(tmp_path, "emergency") == most
        one.close()
        other.close()

    def test_nobody_fills_the_disk_and_nobody_takes_anybody_elses_place(self, tmp_path: Path) -> None:
        store, most = opened(tmp_path, [0.0]), store_module._EMERGENCIES
        seen = [
            store.emergencies.first_seen(str(n), self.WHO, ends_at=NOW + 1000, now=NOW + n % 2) for n in range(most + 3)
        ]
        assert seen == [NOW + n % 2 for n in range(most)] + [None] * 3
        assert count(tmp_path, "emergency") == most
        other = Address("0x" + "55" * 20)
        assert store.emergencies.first_seen("x", other, ends_at=NOW + 1000, now=NOW + 5) == NOW + 5
        # Those that are kept stay what they are.
        assert store.emergencies.first_seen("0", self.WHO, ends_at=NOW + 1000, now=NOW + 999) == NOW

    def test_the_disk_tells_neither_practitioner_nor_patient(self, tmp_path: Path) -> None:
        store = opened(tmp_path, [0.0])
        store.emergencies.first_seen(f"1/{self.WHO}/patient", self.WHO, ends_at=NOW + 1, now=NOW)
        with sqlite3.connect(tmp_path / "own.sqlite") as db:
            (row,) = db.execute("SELECT cosignature, practitioner FROM emergency").fetchall()
        assert [len(value) for value in row] == [32, 32]
        assert not any(bytes.fromhex(self.WHO[2:]) in value for value in row)
