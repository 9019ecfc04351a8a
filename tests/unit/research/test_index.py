"""The index: what its rows say of policies, and that an index of another version or chain is made anew."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_overloads, get_type_hints

import pytest

from panachain.cli import research as cli
from panachain.errors import DiskError, UsageError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import SEALED, Disclosure
from panachain.model.scope import Category, Purpose
from panachain.model.transactions import Block, PolicyEvent, StorageEvent
from panachain.research.index import _TABLES, KINDS, VERSION, Index
from panachain.sdk.researcher import Researcher

ROOT = Path(__file__).parents[3]
OWNER, OTHER = PolicyId("0x" + "a1" * 20), PolicyId("0x" + "a2" * 20)
STUDY = Address("0x" + "5d" * 20)
TIME = 1_800_000_000


class Chain:
    """A mainchain of ten blocks with the events that a test puts there."""

    chain_id = 31_337
    from_block = 0

    def __init__(self) -> None:
        self.made: list[PolicyEvent] = []
        self.read: list[tuple[int, int]] = []
        self.policies = SimpleNamespace(address="0x" + "11" * 20, events=self._policies)
        self.ledger = SimpleNamespace(events=self._storage)
        self.source = SimpleNamespace(pinned=nullcontext)

    def block(self, number: int) -> Block:
        return Block(number, f"0x{number:064x}", TIME + number)

    def head_block(self) -> Block:
        return self.block(10)

    def _storage(self, *, from_block: int, to_block: int) -> Iterator[StorageEvent]:
        self.read.append((from_block, to_block))
        return iter(())

    def _policies(self, *, from_block: int, to_block: int) -> Iterator[PolicyEvent]:
        return iter([event for event in self.made if from_block <= event.block <= to_block])

    def granted(self, owner: PolicyId, block: int, **change: Any) -> None:
        window = {"starts_at": TIME, "expires_at": TIME + 100, "terms": b"t" * 32, "disclosure": SEALED}
        place = {"block": block, "block_hash": self.block(block).hash, "tx_hash": f"0x{block:064x}", "index": 0}
        self.made.append(PolicyEvent("granted", owner, **(window | place | change)))


@pytest.fixture
def chain() -> Chain:
    return Chain()


def opened(path: Path, chain: Chain) -> Index:
    return Index(path, chain)  # type: ignore[arg-type]


def test_rows_say_what_both_events_of_a_grant_say(tmp_path: Path, chain: Chain) -> None:
    chain.granted(OWNER, 3, view_tag=255, announcement=b"\xa1" * 32)
    chain.granted(OTHER, 4, disclosure=Disclosure(purposes=1, categories=2, data_use=3, study=STUDY))
    index = opened(tmp_path / "index.sqlite", chain)

    sealed, disclosed = index.query("policies").rows

    assert (sealed.policy_id, sealed.view_tag, sealed.announcement) == (OWNER, 255, "a1" * 32)
    assert (sealed.purpose_bits, sealed.purposes, sealed.study, sealed.status) == (0, (), "", "active")
    shown = disclosed.to_json()
    assert [shown[name] for name in ("purposes", "categories", "data_use", "study")] == [1, 2, 3, STUDY]
    assert (disclosed.purposes, disclosed.categories) == ((Purpose.TREAT,), (Category.ENCOUNTERS,))
    assert (disclosed.view_tag, disclosed.announcement) == (0, "")
    assert index.query("policies", purposes=1).rows == (disclosed,)
    assert index.query("policies").provenance.index_version == VERSION
    index.close()


def test_index_of_an_older_version_is_made_anew(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "index.sqlite"
    old = sqlite3.connect(path)
    old.executescript(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
        f"INSERT INTO meta VALUES ('chain', '1/{chain.chain_id}/{chain.policies.address}');"
        "CREATE TABLE block (number INTEGER PRIMARY KEY, hash TEXT NOT NULL, time INTEGER NOT NULL);"
        f"INSERT INTO block VALUES (9, '{chain.block(9).hash}', 0);"
        "CREATE TABLE storage (block INTEGER); CREATE TABLE policy (block INTEGER, policy_id TEXT, kind TEXT);"
        "CREATE INDEX policy_by_id ON policy (policy_id, kind);"
    )
    old.close()
    chain.granted(OWNER, 3, view_tag=7)

    index = opened(path, chain)

    assert [row.view_tag for row in index.query("policies").rows] == [7]
    index.close()


def test_index_of_another_registry_is_made_anew_and_the_same_one_goes_on(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "index.sqlite"
    chain.granted(OWNER, 3)
    for _ in range(2):
        index = opened(path, chain)
        assert len(index.query("policies").rows) == 1
        index.close()
    # From the block after the newest one on, there is nothing to read again.
    assert chain.read == [(0, 10)]
    chain.policies.address = "0x" + "12" * 20
    chain.made.clear()

    index = opened(path, chain)

    assert index.query("policies").rows == ()
    index.close()


def test_damaged_index_is_a_disk_error(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"no database" * 100)

    with pytest.raises(DiskError, match="can't be opened"):
        opened(path, chain)


def test_an_index_that_is_damaged_while_it_is_open_is_a_disk_error(tmp_path: Path, chain: Chain) -> None:
    path = tmp_path / "index.sqlite"
    for number in range(200):
        chain.granted(PolicyId(f"0x{number:040x}"), number % 10, index=number)
    index = opened(path, chain)
    index.sync()
    index.close()
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + b"\xff" * (len(content) - half))
    index = opened(path, chain)

    with pytest.raises(DiskError, match="can't be used"):
        index.query("policies")
    index.close()


@pytest.mark.parametrize("name", ["since", "until", "categories", "purposes", "limit"])
def test_a_number_that_no_index_holds_is_a_usage_error(tmp_path: Path, chain: Chain, name: str) -> None:
    index = opened(tmp_path / "index.sqlite", chain)
    with pytest.raises(UsageError, match="63 bits"):
        index.query("policies", **{name: 1 << 64})  # type: ignore[arg-type]
    index.close()


INDEXED = {"RecordLedger": {"RecordsStored"}, "PolicyRegistry": {"PolicyGranted", "PolicyDisclosed", "PolicyRevoked"}}
LEFT_OUT = {
    "ActorRegistry": "who takes part is read anew each time: there are few of them",
    "AccessLog": "heads of logs and evidence are asked for by proxy",
    "Checkpoints": "hashes of the sidechain, asked for by number",
}


def events_of(name: str) -> set[str]:
    """Return the events of our own interface: OpenZeppelin's stand in the ABI too."""
    return set(re.findall(r"\bevent (\w+)\(", (ROOT / f"contracts/interfaces/I{name}.sol").read_text()))


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "contracts/mainchain").glob("*.sol")))
def test_every_event_of_the_mainchain_is_indexed_or_left_out_for_a_reason(name: str) -> None:
    # A new event: read it in `Index._read` and enter it here, or say why it isn't indexed.
    assert name in LEFT_OUT or events_of(name) == INDEXED[name]


def test_a_kind_has_rows_and_a_command_with_the_columns_of_its_question(tmp_path: Path, chain: Chain) -> None:
    index = opened(tmp_path / "index.sqlite", chain)
    anything = defaultdict[str, None](lambda: None)
    for kind, (row, question) in KINDS.items():
        columns = [column[0] for column in index._db.execute(question, anything).description]
        shown = row(*columns).to_json()
        # A row takes the columns by their place.
        assert list(shown) == list(shown.values()) == columns
        assert {*cli._COLUMNS[kind], *cli._MORE[kind]} == set(columns)
    assert cli.query.commands.keys() == KINDS.keys() == cli._COLUMNS.keys() == cli._MORE.keys()
    index.close()


def test_both_faces_of_the_index_say_what_can_be_queried() -> None:
    for query in (Index.query, Researcher.query):
        hints = [get_type_hints(overload)["kind"] for overload in get_overloads(query)]
        assert {kind for hint in hints for kind in get_args(hint)} == KINDS.keys()


def test_tables_of_one_version_are_always_the_same() -> None:
    # An index on somebody's disk has the old tables under the old number: a change needs the next one.
    digest = hashlib.sha256(json.dumps(_TABLES).encode()).hexdigest()
    assert (VERSION, digest[:16]) == (2, "4470b40a65019e08")
