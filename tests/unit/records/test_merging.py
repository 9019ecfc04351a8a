"""Merging: eight manifests of a level become one of the next, and each lane finds the same records as before."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from panachain.crypto.keys import Seed, address_of, brief_id
from panachain.errors import BlockNotFoundError
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.records import PlainRecord
from panachain.model.scope import Category, Scope, path_of
from panachain.records import manifest, merging
from panachain.records.findings import Findings
from panachain.records.lane_walk import OwnLane, lanes_of
from panachain.records.locate import HospitalHeads, Sought, locate_all, open_manifest, open_manifests
from panachain.records.merging import Lost, Merging, firsts, merged
from panachain.records.pairing import Pairing, make_pairing
from panachain.records.publish import BatchBuilder, Rows
from tests.unit.storage.memory_store import MemoryStore

HOSPITAL = Seed(b"h" * 32)
WHERE = address_of(HOSPITAL.account_key())
SCOPES = [Scope.all(), Scope.of(Category.LABORATORY), Scope.of(Category.MENTAL_HEALTH, 2024), Scope.emergency()]
CATEGORIES = [Category.LABORATORY, Category.MENTAL_HEALTH, Category.ALLERGIES]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (1, []),
        (7, []),
        (8, [1]),
        (12, []),
        (16, [9]),
        (64, [1, 57]),
        (128, [65, 121]),
        (512, [1, 449, 505]),
        (520, [513]),
    ],
)
def test_which_earlier_ones_it_may_stand_for(sequence: int, expected: list[int]) -> None:
    assert list(firsts(sequence)) == expected


def test_a_reader_looks_at_few_however_many_there_are() -> None:
    for newest in (*range(1, 700), 4095, 4096, 10_000, 100_000):
        live, sequence = 0, newest
        while sequence:
            live += 1
            sequence = next(firsts(sequence), sequence) - 1
        assert live <= 7 * len(f"{newest:o}")


class Counting(dict[CID, bytes]):
    """Blocks in memory, and which were read."""

    def __init__(self) -> None:
        self.read: set[CID] = set()

    def get_block(self, cid: CID) -> bytes:
        self.read.add(cid)
        return self[cid]


@pytest.mark.deep
@pytest.mark.parametrize(("each", "most"), [(100, 40), (2500, 32)])
def test_a_lane_in_ten_thousand_batches_takes_few_blocks(each: int, most: int) -> None:
    """One batch of each so many has a record of the lane; without levels each batch takes two blocks."""
    store: Any = Counting()
    lanes = [
        OwnLane(Address("0x" + digit * 40), scope, 0, os.urandom(32))
        for digit in "12"
        for scope in path_of(Category.LABORATORY, 2024)
    ]
    digests: list[bytes] = []
    for sequence in range(1, 10_001):
        rows = Rows(sequence)
        first = next(firsts(sequence), sequence)
        heads = HospitalHeads(WHERE, b"", tuple(digests))
        if first < sequence:
            live = [one for one in open_manifests(store, heads, since=first) if one]
            carried = merged(first, [(one.sequence, dict(one.rows())) for one in live], lanes, set())
            assert isinstance(carried, Merging)
            rows.merge(carried)
        whose = lanes[:3] if sequence % each == 1 else lanes[3:]
        rows.add([lane.locator_key for lane in whose], CID.of(RAW, b"%d" % sequence))
        previous = CID(DAG_CBOR, digests[-1]) if digests else None
        root, blocks = manifest.build(rows.entries, hospital=WHERE, sequence=sequence, previous=previous, first=first)
        store.update(blocks)
        digests.append(root.digest)
    store.read.clear()
    found = 0
    for one in open_manifests(store, HospitalHeads(WHERE, b"", tuple(digests))):
        assert one
        number = 0
        while one.lookup(brief_id(lanes[1].locator_key, one.sequence, number)):
            number += 1
        found += number
    assert found == -(-10_000 // each)
    assert len(store.read) <= most


@dataclass
class Clinic:
    """A hospital that merges, and its patients."""

    store: MemoryStore = field(default_factory=MemoryStore)
    manifests: list[bytes] = field(default_factory=list)
    patients: list[Seed] = field(default_factory=lambda: [Seed(bytes([number]) * 32) for number in range(2)])
    published: list[tuple[int, str]] = field(default_factory=list)
    """Of which patient each record is, and its header."""
    gone: set[CID] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pairings = [
            make_pairing(seed, patient=address_of(seed.account_key()), hospital=WHERE, last_year=2025)
            for seed in self.patients
        ]

    @property
    def heads(self) -> HospitalHeads:
        return HospitalHeads(WHERE, HOSPITAL.signer().public, tuple(self.manifests))

    def merging(self, pairings: Sequence[Pairing]) -> Merging | None:
        for first in firsts(len(self.manifests) + 1):
            live = [one for one in open_manifests(self.store, self.heads, since=first) if one is not None]
            rows = [(one.sequence, dict(one.rows())) for one in live]
            found = merged(first, rows, lanes_of(pairings), self.gone)
            if isinstance(found, Merging):
                return found
        return None

    def publish(self, *records: tuple[int, Category], pairings: Sequence[Pairing] | None = None) -> None:
        builder = BatchBuilder(
            self.store,
            hospital=WHERE,
            signer=HOSPITAL.signer(),
            sequence=len(self.manifests) + 1,
            previous=CID(DAG_CBOR, self.manifests[-1]) if self.manifests else None,
            at=1_700_000_000,
            merging=self.merging(self.pairings if pairings is None else pairings),
        )
        with closing(builder):
            for who, category in records:
                builder.add(
                    PlainRecord(category, 2024, "text/plain", os.urandom(8), os.urandom(32)), self.pairings[who]
                )
            batch = builder.finish()
        self.manifests.append(batch.root.digest)
        owner = {pairing.patient: number for number, pairing in enumerate(self.pairings)}
        self.published += [(owner[one.patient], one.info.header_cid) for one in batch.records]

    def found(self, who: int, findings: Findings | None = None) -> list[list[str]]:
        """Return what a patient's lanes find, by their headers."""
        lanes = [Sought(scope, 0, self.patients[who].locator_key(scope, 0)) for scope in SCOPES]
        manifests = open_manifests(self.store, self.heads, findings)
        located = locate_all(self.store, self.heads, manifests, lanes, findings=findings)
        return [[one.info.header_cid for one in mine] for mine in located]


@pytest.fixture(params=[2, pytest.param(8, marks=pytest.mark.deep)])
def clinic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """A clinic whose levels have two manifests each, or eight."""
    # 130 years of lanes would take most of the time.
    monkeypatch.setattr("panachain.records.pairing.FIRST_YEAR", 2024)
    monkeypatch.setattr(merging, "FAN", request.param)
    return Clinic()


def some(source: random.Random) -> list[tuple[int, Category]]:
    return [(source.randrange(2), source.choice(CATEGORIES)) for _ in range(source.randint(1, 3))]


def test_each_lane_finds_the_same_records_in_the_same_order(clinic: Clinic) -> None:
    source = random.Random(1)
    fan = merging.FAN
    for number in range(1, fan * fan + fan + 2):
        before = [clinic.found(who) for who in range(2)] if number % fan == 0 else []
        clinic.publish(*some(source))
        for was, now in zip(before, [clinic.found(who) for who in range(2)] if before else [], strict=True):
            assert [after[: len(mine)] for mine, after in zip(was, now, strict=True)] == was
    live = open_manifests(clinic.store, clinic.heads)
    assert [(one.first, one.sequence) for one in live if one] == [
        (1, fan * fan),
        (fan * fan + 1, fan * fan + fan),
        (fan * fan + fan + 1,) * 2,
    ]
    for who in range(2):
        mine = [header for owner, header in clinic.published if owner == who]
        everything = {header for lane in clinic.found(who) for header in lane}
        assert everything == set(mine)


def test_a_row_has_nothing_in_common_with_the_one_before_but_its_header(clinic: Clinic) -> None:
    source = random.Random(2)
    for _ in range(merging.FAN):
        clinic.publish(*some(source))
    old = [open_one(clinic, number) for number in range(1, merging.FAN)]
    new = open_one(clinic, merging.FAN)
    keys = {key for rows in old for key in rows}
    assert not keys & set(new)
    # Four rows for each header, as ever: nothing shows how many lanes a header has.
    for header in {cid for rows in old for cid in rows.values()}:
        assert sum(cid == header for cid in new.values()) == 4


def open_one(clinic: Clinic, sequence: int) -> dict[bytes, CID]:
    """Return the rows of one manifest."""
    return dict(open_manifest(clinic.store, clinic.heads, sequence).rows())


def test_what_drops_out_is_found_no_more(clinic: Clinic) -> None:
    for _ in range(merging.FAN - 1):
        clinic.publish((0, Category.LABORATORY))
    clinic.gone = {CID.parse(clinic.published[0][1])}
    clinic.publish((0, Category.LABORATORY))
    assert clinic.found(0)[0] == [header for _, header in clinic.published[1:]]
    assert not clinic.gone & set(open_one(clinic, merging.FAN).values())


def test_without_a_patients_lanes_nothing_is_merged_and_everything_found(clinic: Clinic) -> None:
    fan = merging.FAN
    for number in range(fan):
        clinic.publish((number % 2, Category.LABORATORY), pairings=clinic.pairings[1:])
    live = open_manifests(clinic.store, clinic.heads)
    assert [(one.first, one.sequence) for one in live if one] == [(number, number) for number in range(1, fan + 1)]
    assert [len(clinic.found(who)[0]) for who in range(2)] == [fan // 2, fan // 2]
    # Once they are known again, the next level carries it.
    for _ in range(fan * fan - fan):
        clinic.publish((0, Category.LABORATORY))
    assert len(open_manifests(clinic.store, clinic.heads)) == 1
    assert [len(clinic.found(who)[0]) for who in range(2)] == [fan * fan - fan // 2, fan // 2]


def test_a_header_that_some_of_its_lanes_lack_counts_as_lost(clinic: Clinic) -> None:
    clinic.publish((0, Category.LABORATORY))
    rows = [(1, open_one(clinic, 1))]
    lanes = lanes_of(clinic.pairings[:1])
    assert isinstance(merged(1, rows, lanes, set()), Merging)
    for missing in ("all", "laboratory", "laboratory/2024"):
        assert merged(1, rows, [one for one in lanes if one.scope.text != missing], set()) == Lost(1)


def test_where_a_merged_one_is_lost_the_earlier_ones_are_read(clinic: Clinic) -> None:
    source = random.Random(3)
    fan = merging.FAN
    for _ in range(2 * fan):
        clinic.publish(*some(source))
    expected = clinic.found(0)
    lost = open_one(clinic, 2 * fan)
    clinic.store.delete_blocks([CID(DAG_CBOR, clinic.manifests[-1])])
    findings = Findings()
    found = clinic.found(0, findings)
    assert [one.what for one in findings.omissions] == [f"storage transaction {2 * fan}"]
    # All but what that transaction itself published.
    earlier = {str(cid) for number in range(1, 2 * fan) for cid in open_one(clinic, number).values()}
    assert found == [[header for header in mine if header in earlier] for mine in expected]
    assert set(map(str, lost.values())) - earlier
    with pytest.raises(BlockNotFoundError):
        clinic.found(0)
