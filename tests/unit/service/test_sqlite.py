"""Files of services that one process uses: private from the start, and written all or nothing."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from panachain.errors import DiskError
from panachain.service.sqlite import all_or_nothing, open_durable

SCHEMA = "CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY) WITHOUT ROWID;"


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    return open_durable(tmp_path / "made" / "service.sqlite", SCHEMA)


def names(db: sqlite3.Connection) -> list[str]:
    return [str(name) for (name,) in db.execute("SELECT name FROM thing ORDER BY name")]


def test_it_is_ours_alone_and_on_disk_when_it_says_so(tmp_path: Path, db: sqlite3.Connection) -> None:
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "made" / "service.sqlite").stat().st_mode) == 0o600
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert open_durable(tmp_path / "made" / "service.sqlite", SCHEMA).execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("no"), ValueError("no"), KeyboardInterrupt()])
def test_whatever_ends_it_early_leaves_nothing(db: sqlite3.Connection, error: BaseException) -> None:
    expected = DiskError if isinstance(error, sqlite3.Error) else type(error)

    def insert_and_fail() -> None:
        with all_or_nothing(db, threading.Lock(), "it refuses: {error}; nothing was done"):
            db.execute("INSERT INTO thing VALUES ('a')")
            raise error

    with pytest.raises(expected):
        insert_and_fail()
    assert names(db) == []
    with all_or_nothing(db, threading.Lock(), "{error}"):
        db.execute("INSERT INTO thing VALUES ('b')")
    assert names(db) == ["b"]


def test_what_the_database_says_is_in_the_message(db: sqlite3.Connection) -> None:
    with (
        pytest.raises(DiskError, match=r"it refuses: UNIQUE constraint failed: thing\.name; nothing was done"),
        all_or_nothing(db, threading.Lock(), "it refuses: {error}; nothing was done"),
    ):
        db.executemany("INSERT INTO thing VALUES (?)", [("a",), ("a",)])


def test_the_lock_is_held_meanwhile_and_given_back(db: sqlite3.Connection) -> None:
    lock = threading.Lock()
    with all_or_nothing(db, lock, "{error}"):
        assert lock.locked()
    assert not lock.locked()
