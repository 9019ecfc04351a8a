"""Connections to PostgreSQL: set up alike, and errors that name their cause and no value."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from panachain import postgresql
from panachain.errors import ConfigurationError
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql

WORD = "hush-hush-2210"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> URL:
    return empty_database(shared_postgresql(request.param))


@pytest.fixture
def db(url: URL) -> Iterator[Connection]:
    engine = postgresql.open_engine(url, "a test's database", connections=1, lock_timeout=7)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def told(db: Connection, statement: str, *values: object) -> str:
    with pytest.raises(SQLAlchemyError) as caught:
        postgresql.Session(db).run(statement, values)
    db.rollback()
    return postgresql.cause(caught.value)


def test_every_connection_waits_for_the_disk_and_not_for_ever_for_others(db: Connection) -> None:
    settings = [
        db.exec_driver_sql(f"SHOW {name}").scalar_one()
        for name in ("synchronous_commit", "lock_timeout", "client_encoding")
    ]
    # The system's server of these tests was started with synchronous_commit=off.
    assert settings == ["on", "7s", "UTF8"]
    assert db.exec_driver_sql("SELECT 'text'").scalar_one() == "text"


def test_errors_of_the_statement_and_the_account_are_told(db: Connection) -> None:
    assert told(db, "SELECT 0x70616e61 nonsense nonsense").startswith(("syntax error", "trailing junk"))
    assert told(db, "SELECT * FROM nowhere") == 'relation "nowhere" does not exist (UndefinedTable, SQLSTATE 42P01)'
    db.exec_driver_sql("CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY, size INTEGER)")
    db.exec_driver_sql("SET default_transaction_read_only = on")
    db.commit()
    assert "read-only transaction" in told(db, "INSERT INTO thing VALUES (?, ?)", WORD, 1)
    db.exec_driver_sql("SET default_transaction_read_only = off")
    db.commit()


def test_no_error_quotes_what_was_written(db: Connection) -> None:
    db.exec_driver_sql("CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY, size INTEGER)")
    db.commit()
    assert told(db, "SELECT CAST(? AS INTEGER)", WORD) == "InvalidTextRepresentation, SQLSTATE 22P02"
    two = "INSERT INTO thing VALUES (?, 1), (?, 1)"
    assert told(db, two, WORD, WORD) == "UniqueViolation, SQLSTATE 23505"


def test_a_server_that_does_not_answer_or_lets_nobody_in_is_told_without_the_password(url: URL) -> None:
    away = make_url(f"postgresql+psycopg://proxy:{WORD}@127.0.0.1:1/proxy")
    engine = postgresql.open_engine(away, "a test's database", connections=1, lock_timeout=7)
    with pytest.raises(SQLAlchemyError) as caught:
        engine.connect()
    text = postgresql.cause(caught.value, secret=WORD)
    assert "127.0.0.1" in text
    assert "refused" in text
    assert WORD not in text
    stranger = postgresql.open_engine(url.set(username="nobody-here"), "it", connections=1, lock_timeout=7)
    with pytest.raises(SQLAlchemyError) as caught:
        stranger.connect()
    assert 'role "nobody-here" does not exist' in postgresql.cause(caught.value)


def test_a_password_that_a_message_quotes_is_taken_out() -> None:
    class OperationalError(Exception):
        pass

    assert postgresql.cause(OperationalError(f"bad {WORD}\nmore"), secret=WORD) == "bad [password] (OperationalError)"


def test_an_old_server_is_refused_by_its_version() -> None:
    postgresql.check_version(150000, "it")
    postgresql.check_version(180001, "it")
    with pytest.raises(ConfigurationError, match="is PostgreSQL 14, and 15 is the oldest"):
        postgresql.check_version(140012, "the proxy's database")


def test_without_the_driver_its_name_and_the_extra_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="psycopg can't be loaded") as caught:
        postgresql.open_engine(make_url("postgresql+psycopg://a@b/c"), "it", connections=1, lock_timeout=7)
    assert "panachain[postgresql]" in caught.value.hint


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg", "nosuch"])
def test_another_driver_is_refused(driver: str) -> None:
    with pytest.raises(ConfigurationError, match=r"can't be (used|read)"):
        postgresql.open_engine(
            postgresql.read_url(f"postgresql+{driver}://a@b/c", "it"), "it", connections=1, lock_timeout=7
        )


def test_the_plain_name_stands_for_psycopg() -> None:
    engine = postgresql.open_engine(make_url("postgresql://a@b/c"), "it", connections=1, lock_timeout=7)
    assert engine.url.drivername == "postgresql+psycopg"
