"""Databases that one process uses: private from the start, written all or nothing, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError, DiskError
from panachain.service.database import Durable, Place, PostgresDurable, open_durable
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql, system_server

SCHEMA = "CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY, held {bytes}) {ordered};"
WORD = "hush-hush-9"


def opened(place: Place | Path, lock: int = 9) -> Durable:
    return open_durable(place, SCHEMA, what="the test's database", lock=lock, refusal="nothing was done")


@pytest.fixture(params=["sqlite", *KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("made/service.sqlite", tmp_path)
    return Place(empty_database(shared_postgresql(request.param)).render_as_string(), tmp_path)


@pytest.fixture
def db(place: Place) -> Iterator[Durable]:
    with closing(opened(place)) as made:
        yield made


def names(db: Durable) -> list[str]:
    with db.writing() as session:
        return [str(row[0]) for row in session.run("SELECT name FROM thing ORDER BY name").fetchall()]


def test_a_file_is_ours_alone_and_on_disk_when_it_says_so(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "made" / "service.sqlite")) as db:
        assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "made" / "service.sqlite").stat().st_mode) == 0o600
        file: Any = db
        assert file._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file._db.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("no"), ValueError("no"), KeyboardInterrupt()])
def test_whatever_ends_it_early_leaves_nothing(db: Durable, error: BaseException) -> None:
    def insert_and_fail() -> None:
        with db.writing() as session:
            session.run("INSERT INTO thing VALUES (?, ?)", ("a", b"\x00"))
            raise error

    with pytest.raises((DiskError, type(error))):
        insert_and_fail()
    assert names(db) == []
    with db.writing() as session:
        session.run("INSERT INTO thing VALUES (?, ?)", ("b", b"\xff"))
    assert names(db) == ["b"]


def test_what_the_database_says_is_in_the_message_and_what_was_written_is_not(db: Durable) -> None:
    with (
        pytest.raises(DiskError, match=r"the test's database refuses: .*; nothing was done") as caught,
        db.writing() as session,
    ):
        session.run_many("INSERT INTO thing VALUES (?, ?)", [(WORD, b""), (WORD, b"")])
    assert "unique" in str(caught.value).lower()
    assert WORD not in str(caught.value)
    assert names(db) == []


def test_threads_take_turns(db: Durable) -> None:
    def add(first: int) -> None:
        for number in range(10):
            with db.writing() as session:
                count = session.run("SELECT count(*) FROM thing").fetchone()[0]
                session.run("INSERT INTO thing VALUES (?, ?)", (f"{first}-{number}", bytes([count])))

    threads = [threading.Thread(target=add, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with db.writing() as session:
        held = session.run("SELECT held FROM thing ORDER BY held").fetchall()
    assert [bytes(row[0]) for row in held] == [bytes([number]) for number in range(30)]


@pytest.mark.parametrize("kind", KINDS)
def test_of_one_kind_of_service_one_process_uses_a_postgresql_database(tmp_path: Path, kind: str) -> None:
    place = Place(empty_database(shared_postgresql(kind)).render_as_string(), tmp_path)
    first = opened(place)
    url, now = place.url("it"), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(DiskError, match="another process uses the test's database"):
        PostgresDurable(url, SCHEMA, "the test's database", "", lock=9, clock=lambda: now[0], sleep=sleep)
    with closing(opened(place, lock=8)):
        assert names(first) == []
    first.close()
    opened(place).close()


def test_a_server_that_is_killed_and_comes_back_is_used_on_and_has_what_was_written(tmp_path: Path) -> None:
    with system_server() as server:
        place = Place(empty_database(server.uri).render_as_string(), tmp_path)
        with closing(opened(place)) as db:
            with db.writing() as session:
                session.run("INSERT INTO thing VALUES (?, ?)", ("a", b""))
            server.kill()
            with pytest.raises(DiskError, match="nothing was done"):
                names(db)
            server.start()
            assert names(db) == ["a"]
            with pytest.raises(DiskError, match="another process"):
                PostgresDurable(place.url("it"), SCHEMA, "it", "", lock=9, clock=iter(range(0, 99, 20)).__next__)


def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DiskError, match="can't be opened"):
        opened(tmp_path / "a.sqlite")


class TestPlace:
    @pytest.mark.parametrize("url", ["mysql://host/x", "://", "postgresql+psycopg://h:notaport/x", "sqlite:///x"])
    def test_another_database_is_refused(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(ConfigurationError):
            Place(url, tmp_path).url("it")

    def test_a_file_name_is_below_the_folder(self, tmp_path: Path) -> None:
        place = Place("state/a.sqlite", tmp_path)
        assert (place.file, place.beside) == (tmp_path / "state" / "a.sqlite", tmp_path / "state")
        assert place.url("it").database == str(tmp_path / "state" / "a.sqlite")
        assert Place("postgresql+psycopg://a@b/c", tmp_path).beside == tmp_path

    def test_the_password_comes_from_a_private_file_or_the_environment_and_is_never_shown(self, tmp_path: Path) -> None:
        path, raw = tmp_path / "config.json", {"database": "postgresql+psycopg://a@b/c"}
        path.touch(0o644)
        (tmp_path / "pass").write_text(f"{WORD}\n")
        (tmp_path / "pass").chmod(0o600)
        named = Place.read(raw | {"databasePasswordFile": "pass"}, path, {}, variable="V")
        assert named == Place.read(raw, path, {"V": WORD}, variable="V")
        assert named.url("it").password == WORD
        assert WORD not in repr(named) + repr(named.url("it"))
        (tmp_path / "pass").chmod(0o640)
        with pytest.raises(ConfigurationError, match="open to others"):
            Place.read(raw | {"databasePasswordFile": "pass"}, path, {}, variable="V")

    def test_a_password_in_the_url_needs_a_private_configuration(self, tmp_path: Path) -> None:
        path, raw = tmp_path / "config.json", {"database": f"postgresql+psycopg://a:{WORD}@b/c"}
        path.touch(0o644)
        with pytest.raises(ConfigurationError, match="open to others"):
            Place.read(raw, path, {}, variable="V")
        path.chmod(0o600)
        assert Place.read(raw, path, {}, variable="V").url("it").password == WORD
