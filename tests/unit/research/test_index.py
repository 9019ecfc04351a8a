"""The index: what its rows say of policies, and which of them a question finds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_overloads, get_type_hints

import pytest

from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header
from panachain.cli import research as cli
from panachain.errors import UsageError
from panachain.follow.derived import derived
from panachain.follow.follower import Follower
from panachain.model.actors import Address, PolicyId
from panachain.model.block import Block
from panachain.model.policy import SEALED, Disclosure
from panachain.model.scope import Category, Purpose
from panachain.model.storage_transactions import StorageEvent
from panachain.model.transactions import PolicyEvent
from panachain.research.index import INDEX, KINDS, VERSION, Filters, Index
from panachain.sdk.researcher import Researcher
from tests.unit.service.postgresql import KINDS as KINDS_OF_POSTGRESQL
from tests.unit.service.postgresql import empty_database, shared_postgresql

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
        # Not one that keeps tables: tests/unit/follow/test_derived.py has those.
        self.source = SimpleNamespace(pinned=nullcontext, head=self.head_block, block=self.block)

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


class Blocks:
    """The blocks of such a chain, as a follower reads them: it keeps tables, in whatever database."""

    several, urls = False, ("http://node.test",)

    def head(self) -> Header:
        return self.header_at(10)

    def header_at(self, number: int) -> Header:
        hashes = f"0x{number:064x}", f"0x{number - 1 if number else 0:064x}"
        return Header(number, *hashes, TIME + number, bytes(256), bytes(32), bytes(32))

    def headers(self, first: int, last: int) -> list[Header]:
        return [self.header_at(number) for number in range(first, last + 1)]

    def logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        return [[] for _ in headers]


@pytest.fixture(params=["memory", "sqlite", *KINDS_OF_POSTGRESQL])
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chain]:
    made = Chain()
    if request.param == "memory":
        yield made
        return
    where: Path | str = tmp_path / "copy.db"
    if request.param != "sqlite":
        where = empty_database(shared_postgresql(request.param)).render_as_string()
    following = Follower(Blocks(), where, chain_id=made.chain_id, addresses={"PolicyRegistry": made.policies.address})
    made.source = following  # type: ignore[assignment]
    yield made
    following.close()


def opened(chain: Chain) -> Index:
    return Index(chain)  # type: ignore[arg-type]


def test_rows_say_what_both_events_of_a_grant_say(chain: Chain) -> None:
    chain.granted(OWNER, 3, view_tag=255, announcement=b"\xa1" * 32)
    chain.granted(OTHER, 4, disclosure=Disclosure(purposes=1, categories=2, data_use=3, study=STUDY))
    index = opened(chain)

    sealed, disclosed = index.query("policies").rows

    assert (sealed.policy_id, sealed.view_tag, sealed.announcement) == (OWNER, 255, "a1" * 32)
    assert (sealed.purpose_bits, sealed.purposes, sealed.study, sealed.status) == (0, (), "", "active")
    shown = disclosed.to_json()
    assert [shown[name] for name in ("purposes", "categories", "data_use", "study")] == [1, 2, 3, STUDY]
    assert (disclosed.purposes, disclosed.categories) == ((Purpose.TREAT,), (Category.ENCOUNTERS,))
    assert (disclosed.view_tag, disclosed.announcement) == (0, "")
    assert index.query("policies", purposes=1).rows == (disclosed,)
    assert index.query("policies").provenance.index_version == VERSION


def test_each_filter_passes_what_it_says(chain: Chain) -> None:
    for number in range(1, 6):
        disclosed = Disclosure(purposes=number, categories=1 << number, data_use=0, study=STUDY if number > 3 else None)
        chain.granted(PolicyId(f"0x{number:040x}"), number, disclosure=disclosed, expires_at=TIME + 5 * number)
    chain.made.append(replace(chain.made[0], kind="revoked", block=7, index=0))
    index = opened(chain)

    def found(**filters: Any) -> list[int]:
        return [int(row.policy_id, 16) for row in index.query("policies", **filters)]

    assert found() == [1, 2, 3, 4, 5]
    assert found(since=TIME + 2) == [2, 3, 4, 5]
    assert found(until=TIME + 2) == [1]
    assert found(since=TIME + 2, until=TIME + 4, limit=1) == [2]
    assert found(categories=0b10100) == [2, 4]
    assert found(purposes=4) == [4, 5]
    assert found(study=STUDY) == [4, 5]
    assert (found(status="revoked"), found(status="expired"), found(status="active")) == ([1], [2], [3, 4, 5])
    assert (found(as_of_block=6, status="revoked"), found(as_of_block=2)) == ([], [1, 2])
    assert (found(limit=0), found(hospital=STUDY)) == ([], [1, 2, 3, 4, 5])
    with pytest.raises(UsageError, match="isn't there"):
        found(as_of_block=11)


def test_a_tally_has_the_rows_of_its_query_in_every_database(chain: Chain) -> None:
    for number in range(1, 6):
        disclosed = Disclosure(purposes=1, categories=number % 2, data_use=0)
        chain.granted(PolicyId(f"0x{number:040x}"), number, disclosure=disclosed, expires_at=TIME + 5 * number)
    index = opened(chain)
    filters: dict[str, Any]
    for filters in ({}, {"status": "active"}, {"categories": 1}, {"since": TIME + 3}, {"as_of_block": 2}):
        tally = index.tally("policies", **filters)
        assert tally.rows == len(index.query("policies", **filters))
        assert [group.day for group in tally.days] == [TIME // 86_400]
        assert sum(group.rows for group in tally.groups) == tally.rows
    assert index.tally("policies").by(lambda group: [group.status]) == {"active": 3, "expired": 2}
    assert (index.tally("storage").groups, index.tally("storage").days) == ((), ())
    assert [row.block for row in index.query("policies", limit=2, offset=1)] == [2, 3]
    with pytest.raises(UsageError, match="can't be queried"):
        index.tally("records")


@pytest.mark.parametrize("name", ["since", "until", "categories", "purposes", "limit", "offset"])
def test_a_number_that_no_index_holds_is_a_usage_error(chain: Chain, name: str) -> None:
    index = opened(chain)
    with pytest.raises(UsageError, match="63 bits"):
        index.query("policies", **{name: 1 << 64})  # type: ignore[arg-type]


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


def test_a_kind_has_rows_and_a_command_with_the_columns_of_its_question() -> None:
    for kind, (row, question, time_column, filters) in KINDS.items():
        with derived(Chain().source, INDEX, lambda *_: {}, from_block=0) as found:  # type: ignore[arg-type]
            statement = question.format(**found.names, time=0, as_of=0)
            columns = [column[0] for column in found.session.run(statement).description]  # type: ignore[attr-defined]
        shown = row(*columns).to_json()
        # A row takes the columns by their place.
        assert list(shown) == list(shown.values()) == columns
        assert time_column in columns
        assert {*cli._COLUMNS[kind], *cli._MORE[kind]} == set(columns)
        assert set(filters) <= get_type_hints(Filters).keys()
    assert cli.query.commands.keys() == KINDS.keys() == cli._COLUMNS.keys() == cli._MORE.keys()


def test_both_faces_of_the_index_say_what_can_be_queried() -> None:
    for query in (Index.query, Researcher.query):
        hints = [get_type_hints(overload)["kind"] for overload in get_overloads(query)]
        assert {kind for hint in hints for kind in get_args(hint)} == KINDS.keys()


def test_tables_of_one_version_are_always_the_same() -> None:
    # An index on somebody's disk has the old tables under the old number: a change needs the next one.
    digest = hashlib.sha256(json.dumps([dict(INDEX.tables), dict(INDEX.indexes)]).encode()).hexdigest()
    assert (VERSION, digest[:16]) == (3, "910f3f235ad24a9d")
