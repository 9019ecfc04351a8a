"""Tables: what is searched stands in an index, and numbers of events of ours don't collide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header
from panachain.follow.database import SqliteDatabase
from panachain.follow.tables import Tables, kind_of, short

NAMES = ("ActorRegistry", "RecordLedger", "PolicyRegistry", "AccessLog", "Checkpoints", "AccessManager")


@pytest.mark.parametrize(
    ("topics", "index"),
    [
        ([], "PRIMARY KEY (kind=?"),
        ([[b"\x01"]], "log_topic1 (kind=? AND topic1=?"),
        ([None, [b"\x01", b"\x02"]], "log_topic2 (kind=? AND topic2=?"),
        ([None, None, [b"\x01"]], "log_topic3 (kind=? AND topic3=?"),
    ],
)
@pytest.mark.parametrize("kinds", [[1], [1, 2, 3]])
def test_no_question_reads_what_others_wrote(tmp_path: Path, topics: list[Any], index: str, kinds: list[int]) -> None:
    tables = Tables("5")
    database = SqliteDatabase(tmp_path / "a.db", tables.prepare)
    statement, values = tables.select(kinds, topics, 0, 9)
    with database.reading() as session:
        plan = [row[3] for row in session.run(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]
    database.close()
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("wanted", "found"), [([0], [0]), ([7], [1]), ([0, 7], [0, 1]), ([8], [])])
def test_a_topic_of_zeros_is_found_though_no_index_has_it(
    tmp_path: Path, place: int, wanted: list[int], found: list[int]
) -> None:
    tables = Tables("5")
    database = SqliteDatabase(tmp_path / "a.db", tables.prepare)
    word = [number.to_bytes(32, "big") for number in range(9)]
    name, where = word[1], b"\x01" * 20
    logs = []
    for at, number in enumerate((0, 7)):
        topics = [word[3]] * 3
        topics[place] = word[number]
        logs.append(Log(where, (name, *topics), b"", 5, "0x", "0x" + "ab" * 32, at))
    asked: list[list[bytes] | None] = [None] * 3
    asked[place] = [word[number] for number in wanted]
    statement, values = tables.select([kind_of(where, name)], asked, 0, 9)
    with database.writing() as session:
        tables.add(session, [Header(5, "0x" + "0b" * 32, "0x" + "0a" * 32, 0, b"", b"", b"")], logs)
        assert [row[2] for row in session.run(statement, values).fetchall()] == found
    database.close()


def test_the_kinds_of_our_events_differ() -> None:
    kinds = [kind_of(bytes([place]) * 20, topic) for place, name in enumerate(NAMES) for topic in contract(name).topics]
    assert len(set(kinds)) == len(kinds)
    # PostgreSQL's and SQLite's numbers have a sign.
    assert all(0 <= kind < 1 << 63 for kind in kinds)


def test_a_topic_loses_its_leading_zeros_only() -> None:
    assert short(bytes(12) + b"\x01\x00" * 10) == b"\x01\x00" * 10
    assert short(bytes(32)) == b""


def test_what_is_remembered_is_there_until_another_chain_comes(tmp_path: Path) -> None:
    for chain, expected in (("5", None), ("5", "7"), ("6", None)):
        tables = Tables(chain)
        database = SqliteDatabase(tmp_path / "a.db", tables.prepare)
        with database.writing() as session:
            assert tables.recall(session, "settled") == expected
            tables.remember(session, "settled", "6")
            tables.remember(session, "settled", "7")
        database.close()
