"""Tables that follow from events: as new as the copy, of one history with it, and made anew with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.chain.abi import contract
from panachain.follow import follower as module
from panachain.follow.derived import Derived, Rows, derived
from panachain.follow.follower import Follower
from panachain.model.block import Block
from tests.unit.follow.chain import FIRST, POLICIES, Chain, follower, granted, revoked
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql

MADE = Derived("policies", 1, {"told": "block {number}, place {number}, what TEXT"}, {"told_by_what": "told (what)"})


class Reading:
    """Reads names of events, and counts the blocks that it is asked for."""

    def __init__(self, following: Follower) -> None:
        self.following = following
        self.asked: list[tuple[int, int]] = []

    def __call__(self, first: int, last: int) -> Rows:
        self.asked.append((first, last))
        found = self.following.events(contract("PolicyRegistry"), POLICIES, from_block=first, to_block=last)
        return {"told": [(event.block, event.index, event.name) for event in found]}

    def rows(self, made: Derived = MADE) -> list[tuple[int, int, str]]:
        with derived(self.following, made, self, from_block=FIRST) as found:
            statement = f"SELECT block, place, what FROM {found.names['told']} ORDER BY block, place"
            rows = [tuple(row) for row in found.session.run(statement).fetchall()]
            # All of one state: the tables, the block, and what else is asked meanwhile.
            assert self.following.head() == found.block
            header = f"SELECT time FROM {found.names['header']} WHERE number = ?"
            assert found.session.run(header, (found.block.number,)).fetchone()[0] == found.block.time
        return rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture(params=["sqlite", *KINDS])
def where(request: pytest.FixtureRequest, path: Path) -> Path | str:
    return path if request.param == "sqlite" else empty_database(shared_postgresql(request.param)).render_as_string()


def test_a_reorganisation_takes_rows_away_in_each_database(where: Path | str) -> None:
    chain = Chain()
    chain.mine(granted(1))
    reading = Reading(follower(chain, where))
    rows = reading.rows()
    chain.mine(revoked(1))
    assert len(reading.rows()) == 2
    chain.take_back(1)
    chain.mine(granted(2), granted(3))
    follower(chain, where).sync()
    assert reading.rows() == [*rows, (FIRST + 2, 0, "PolicyGranted"), (FIRST + 2, 1, "PolicyGranted")]
    tables = {"told": MADE.tables["told"] + ", more TEXT"}
    newer = replace(MADE, version=2, tables=tables)
    with derived(reading.following, newer, lambda *_: {}, from_block=FIRST) as found:
        assert found.session.run(f"SELECT more FROM {found.names['told']}").fetchall() == []
    reading.following.close()


def test_rows_come_once_and_go_on_with_the_chain(path: Path) -> None:
    chain = Chain()
    chain.mine(granted(1), revoked(2))
    reading = Reading(follower(chain, path))
    expected = [(FIRST + 1, 0, "PolicyGranted"), (FIRST + 1, 1, "PolicyRevoked")]
    assert (reading.rows(), reading.rows()) == (expected, expected)
    assert reading.asked == [(FIRST, FIRST + 1)]
    chain.mine(revoked(1))
    # Another process goes on where this one was.
    other = Reading(follower(chain, path))
    assert other.rows() == [*expected, (FIRST + 2, 0, "PolicyRevoked")]
    assert other.asked == [(FIRST + 2, FIRST + 2)]


def test_many_blocks_are_put_in_by_several_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DERIVED_AT_ONCE", 2)
    chain = Chain()
    for number in range(5):
        chain.mine(granted(number))
    reading = Reading(follower(chain, path))
    assert len(reading.rows()) == 5
    assert reading.asked == [(FIRST, FIRST + 1), (FIRST + 2, FIRST + 3), (FIRST + 4, FIRST + 5)]


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=8))
@settings(max_examples=40, deadline=None)
def test_after_any_history_they_are_what_fresh_ones_would_be(
    steps: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    chain = Chain()
    # Another process follows, which derives nothing: what it takes back is gone from the tables too.
    reading, other = Reading(follower(chain, folder / "kept.db")), follower(chain, folder / "kept.db")
    for number, (back, blocks) in enumerate(steps):
        chain.take_back(min(back, len(chain.found) - FIRST - 1))
        for _ in range(blocks + 1):
            chain.mine(granted(number), revoked(number))
        other.sync() if number % 2 else reading.rows()
    fresh = Reading(follower(chain, folder / "fresh.db"))
    # A head that isn't higher than the copy's may be one that the copy has already.
    chain.mine()
    assert reading.rows() == fresh.rows()


def test_tables_of_another_version_are_made_anew(path: Path) -> None:
    chain = Chain()
    chain.mine(granted(1))
    reading = Reading(follower(chain, path))
    rows = reading.rows()
    tables = {"told": MADE.tables["told"] + ", more TEXT"}
    newer = replace(MADE, version=2, tables=tables, indexes={})
    with derived(reading.following, newer, lambda *_: {}, from_block=FIRST) as found:
        assert found.session.run(f"SELECT more FROM {found.names['told']}").fetchall() == []
    assert reading.rows() == rows


def test_what_is_derived_goes_with_a_copy_that_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    chain.mine(granted(1))
    reading = Reading(follower(chain, path))
    rows = reading.rows()
    reading.following.close()
    monkeypatch.setattr("panachain.follow.tables.VERSION", 99)
    again = Reading(follower(chain, path))
    again.following.sync()
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE name LIKE '%told%'").fetchall()
    assert tables == []
    assert again.rows() == rows


def test_a_fault_while_they_are_filled_leaves_them_as_they_were(path: Path) -> None:
    chain = Chain()
    chain.mine(granted(1))
    reading = Reading(follower(chain, path))
    rows = reading.rows()
    chain.mine(granted(2))

    def fails(first: int, last: int) -> Rows:
        reading(first, last)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), derived(reading.following, MADE, fails, from_block=FIRST):
        pass
    assert reading.rows() == [*rows, (FIRST + 2, 0, "PolicyGranted")]


def test_a_damaged_file_is_made_anew_with_them(path: Path) -> None:
    chain = Chain()
    for number in range(40):
        chain.mine(granted(number))
    reading = Reading(follower(chain, path))
    rows = reading.rows()
    reading.following.close()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(b"no database" * 1000)
    assert reading.rows() == rows


def test_a_source_that_keeps_nothing_gets_tables_for_a_moment() -> None:
    def block(number: int) -> Block:
        return Block(number, f"0x{number:064x}", 1000 + number)

    source = SimpleNamespace(pinned=nullcontext, head=lambda: block(9), block=block)

    def read(first: int, last: int) -> Rows:
        assert (first, last) == (FIRST, 9)
        return {"told": [(4, 0, "one"), (7, 0, "two")]}

    def rows() -> Iterator[tuple[str, int]]:
        with derived(source, MADE, read, from_block=FIRST) as found:  # type: ignore[arg-type]
            statement = f"SELECT what, time FROM {found.names['told']} JOIN {found.names['header']} ON number = block"
            yield from found.session.run(statement).fetchall()
            assert found.block == block(9)

    assert sorted(rows()) == [("one", 1004), ("two", 1007)]
