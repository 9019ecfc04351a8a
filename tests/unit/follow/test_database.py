"""Where a copy is kept: SQLite and PostgreSQL do the same, and nothing is half written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.errors import ConfigurationError, DiskError
from panachain.follow.database import Database, RenewedError, Session, SqliteDatabase, open_database
from tests.unit.follow.chain import Chain, everything, follower, granted, revoked, stored
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql

WORD = "never shown"


def prepare(session: Session, types: dict[str, str]) -> None:
    session.run("CREATE TABLE IF NOT EXISTS word (value {bytes} NOT NULL)".format_map(types))


def words(database: Database) -> list[bytes]:
    with database.reading() as session:
        return [row[0] for row in session.run("SELECT value FROM word ORDER BY value").fetchall()]


@pytest.fixture(params=["sqlite", *KINDS])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "folder" / "a.db"
    return empty_database(shared_postgresql(request.param)).render_as_string()


@pytest.fixture
def database(where: Path | str) -> Iterator[Database]:
    opened = open_database(where, prepare)
    yield opened
    opened.close()


def test_what_fails_is_taken_back(database: Database) -> None:
    with database.writing() as session:
        session.run_many("INSERT INTO word VALUES (?)", [(b"a",), (b"b",)])

    def fails_at_last() -> None:
        with database.writing() as session:
            session.run("INSERT INTO word VALUES (?)", (b"c",))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_at_last()
    assert words(database) == [b"a", b"b"]


def test_a_reader_sees_one_state_while_another_writes(database: Database) -> None:
    with database.reading() as session:
        assert session.run("SELECT count(*) FROM word").fetchone()[0] == 0
        with database.writing() as other:
            other.run("INSERT INTO word VALUES (?)", (b"a",))
        assert session.run("SELECT count(*) FROM word").fetchone()[0] == 0
    assert words(database) == [b"a"]


def test_writers_wait_for_each_other(database: Database) -> None:
    def add() -> None:
        for _ in range(20):
            with database.writing() as session:
                count = session.run("SELECT count(*) FROM word").fetchone()[0]
                session.run("INSERT INTO word VALUES (?)", (bytes([count]),))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert words(database) == [bytes([number]) for number in range(80)]


def test_a_copy_is_the_same_in_both_through_a_reorganisation(where: Path | str, tmp_path: Path) -> None:
    chain = Chain()
    kept, fresh = follower(chain, where), follower(chain, tmp_path / "fresh.db")
    for number in range(1, 6):
        chain.mine(granted(number), stored(number, 1))
        assert len(everything(kept)[2]) == number
    chain.take_back(3)
    chain.mine(revoked(9))
    chain.mine()
    assert everything(kept) == everything(fresh)
    with kept.pinned():
        assert everything(kept) == everything(fresh)
    again = follower(chain, where)
    assert everything(again) == everything(fresh)
    for one in (kept, fresh, again):
        one.close()


def test_a_file_in_which_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    with pytest.raises(DiskError, match="can't be used") as caught:
        open_database(tmp_path / "no folder" / "a.db", prepare)
    assert "nothing is lost" in caught.value.hint


def test_damage_that_a_question_meets_is_told_once_and_mended(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", prepare)
    with pytest.raises(RenewedError), database.reading() as session:
        session.run("SELECT * FROM gone")
    assert words(database) == []
    with pytest.raises(RenewedError), database.reading():
        raise sqlite3.DatabaseError("database disk image is malformed")
    with pytest.raises(DiskError, match="full") as caught, database.reading():
        raise sqlite3.OperationalError("database or disk is full")
    assert not isinstance(caught.value, RenewedError)
    database.close()


def test_a_file_that_somebody_else_made_anew_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = SqliteDatabase(path, prepare)

    def is_damaged_while_another_mends_it() -> SqliteDatabase:
        with database.reading():
            path.rename(tmp_path / "old.db")
            others.append(SqliteDatabase(path, prepare))
            inodes.append(path.stat().st_ino)
            raise sqlite3.DatabaseError("file is not a database")

    others: list[SqliteDatabase] = []
    inodes: list[int] = []
    with pytest.raises(RenewedError):
        is_damaged_while_another_mends_it()
    assert [path.stat().st_ino] == inodes
    others[0].close()
    database.close()


def test_a_connection_to_a_file_that_is_gone_is_not_used_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = SqliteDatabase(path, prepare)
    with database.reading() as session:
        session.run("SELECT * FROM word")
        path.unlink()
    with database.writing() as session:
        session.run("INSERT INTO word VALUES (?)", (b"new",))
    again = SqliteDatabase(path, prepare)
    assert words(again) == [b"new"]
    again.close()
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///a.db", "SQLite or PostgreSQL, not sqlite"),
        ("no url", "can't be read"),
        (f"postgresql+psycopg://me:{WORD}@127.0.0.1/chains", "holds a password"),
        (f"postgresql+psycopg://me@127.0.0.1/chains?password={WORD}", "holds a password"),
        ("postgresql+nosuch://me@127.0.0.1/chains", "can't be (used|read)"),
        ("postgresql+psycopg2://me@127.0.0.1/chains", "can't be used"),
        ("postgresql+psycopg://me@127.0.0.1/chains?port=abc", "can't be used"),
    ],
)
def test_a_url_that_is_none_of_postgresql_or_holds_a_password_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_database(url, prepare)
    assert WORD not in str(caught.value)
