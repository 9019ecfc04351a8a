"""A damaged journal is told in words, whatever is asked of it, and what can be read of it is read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import DiskError
from panachain.records.journal import Journal
from panachain.records.journal_file import damage, open_file
from tests.twin.world import World, resource, running_world

PAGE = 4096


def harmed(path: Path, table: str) -> None:
    """Write zeros over the first page of a table or index."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
    path.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "journal.sqlite"
    with closing(open_file(made)) as db:
        db.execute("BEGIN")
        db.execute("CREATE TABLE one (a)")
        db.execute("CREATE TABLE other (a)")
        db.executemany("INSERT INTO one VALUES (?)", [(number,) for number in range(3000)])
        db.execute("INSERT INTO other VALUES (7)")
        db.execute("COMMIT")
    return made


def asks(db: Any) -> list[Any]:
    return [
        lambda: db.execute("SELECT * FROM one").fetchone(),
        lambda: db.execute("SELECT * FROM one").fetchall(),
        lambda: list(db.execute("SELECT * FROM one")),
        lambda: db.execute("INSERT INTO one VALUES (1)"),
        lambda: db.executemany("INSERT INTO one VALUES (?)", [(1,)]),
    ]


@pytest.mark.parametrize("number", range(5))
def test_each_way_to_ask_says_what_helps(path: Path, number: int) -> None:
    harmed(path, "one")
    with closing(open_file(path)) as db:
        with pytest.raises(DiskError, match=r"journal\.sqlite is damaged: .*malformed") as caught:
            asks(db)[number]()
        assert "panachain backup restore" in caught.value.hint
        # Whoever needs nothing of it goes on.
        assert db.execute("SELECT * FROM other").fetchall() == [(7,)]


def test_damage_is_told_where_a_later_row_meets_it(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        pages = path.stat().st_size // PAGE
        content = bytearray(path.read_bytes())
        assert db.execute("SELECT count(*) FROM one").fetchone() == (3000,)
    content[(pages - 1) * PAGE :] = bytes(PAGE)
    path.write_bytes(content)
    with closing(open_file(path)) as db:
        rows = db.execute("SELECT * FROM one")
        assert next(rows) == (0,)
        with pytest.raises(DiskError, match="is damaged"):
            list(rows)


def test_other_errors_stay_what_they_are(path: Path) -> None:
    with closing(open_file(path)) as db, pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.execute("SELECT * FROM absent")
    assert damage(path, ValueError("no")) is None


@pytest.mark.parametrize("content", [b"no database at all", bytes(PAGE)])
def test_what_is_no_journal_is_told(tmp_path: Path, content: bytes) -> None:
    made = tmp_path / "journal.sqlite"
    Journal(made).close()
    made.write_bytes(content + made.read_bytes()[len(content) :])
    with pytest.raises(DiskError, match="is damaged"):
        Journal(made)
    assert made.read_bytes()[: len(content)] == content


@pytest.fixture(scope="module")
def world() -> Any:
    with running_world() as running:
        yield running


def test_without_a_copy_nothing_is_lost_or_published_twice(world: World) -> None:
    """What the error says that one shall do does what it says."""
    records = [resource("laboratory", 2024, number) for number in range(3)]
    world.upload_each("hospital", records)
    hospital = world.sessions["hospital"]
    hospital.close()
    path = hospital.profile.folder / "journal.sqlite"
    harmed(path, "batch")

    def again() -> Any:
        world.sessions["hospital"] = type(hospital)(world.network, hospital.profile, "")
        return world.sessions["hospital"]

    again()
    with pytest.raises(DiskError, match="is damaged"):
        world.upload_each("hospital", [*records, resource("laboratory", 2024, 9)])
    world.sessions["hospital"].close()
    for one in path.parent.glob("journal.sqlite*"):
        one.rename(one.with_name(f"away-{one.name}"))
    again()
    world.upload_each("hospital", [*records, resource("laboratory", 2024, 9)])
    assert len(list(world.sessions["hospital"].records())) == 4
