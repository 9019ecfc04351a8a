"""A hospital's walk through its own manifests finds what a patient's does."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto.keys import Seed, brief_id, hospital_key
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address
from panachain.model.scope import Category, Scope, path_of
from panachain.records.lane_walk import LaneWalk, lanes_of
from panachain.records.pairing import Pairing, make_pairing

PATIENTS = {name: Seed(name.encode().ljust(32)) for name in ("a", "b")}
HOSPITAL = Address("0x" + "33" * 20)
SOME = [
    (Category.LABORATORY, 2024),
    (Category.LABORATORY, 2025),
    (Category.ALLERGIES, 0),
    (Category.MENTAL_HEALTH, 2024),
]


@pytest.fixture(scope="module")
def pairings() -> dict[str, Pairing]:
    with pytest.MonkeyPatch.context() as patch:
        # 130 years of lanes would take most of the time.
        patch.setattr("panachain.records.pairing.FIRST_YEAR", 2024)
        return {
            name: make_pairing(seed, patient=Address(f"0x{name * 40}"), hospital=HOSPITAL, last_year=2026)
            for name, seed in PATIENTS.items()
        }


Rows = dict[bytes, CID]


def publish(records: list[tuple[str, int]], sequence: int) -> tuple[Rows, list[tuple[str, str, CID]]]:
    """Return the rows of a manifest with these records, and patient, lane and header of each."""
    rows: Rows = {}
    expected = []
    following: Counter[bytes] = Counter()
    for name, number in records:
        header = CID.of(RAW, random.randbytes(16))
        for scope in path_of(*SOME[number]):
            key = hospital_key(PATIENTS[name].locator_key(scope, 0), HOSPITAL)
            rows[brief_id(key, sequence, following[key])] = header
            following[key] += 1
            expected.append((f"0x{name * 40}", scope.text, header))
    return rows, expected


BATCHES = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=4), max_size=5)


@given(batches=BATCHES)
def test_finds_all_in_each_manifest_by_itself(
    batches: list[list[tuple[str, int]]], pairings: dict[str, Pairing]
) -> None:
    walk = LaneWalk(lanes_of(pairings.values()))
    # In any order, since no manifest has anything to do with another one.
    for sequence, batch in reversed(list(enumerate(batches, start=1))):
        rows, expected = publish(batch, sequence)
        found = [(one.lane.patient, one.lane.scope.text, one.header) for one in walk.take(sequence, rows)]
        # Each record in each lane of its path, and nothing else.
        assert sorted(found, key=str) == sorted(expected, key=str)
        assert list(walk.take(sequence + 1, rows)) == []


def test_a_lane_that_several_pairings_name_is_there_once(pairings: dict[str, Pairing]) -> None:
    lanes = lanes_of([pairings["a"], pairings["a"]])
    assert len(lanes) == len(pairings["a"].lanes)
    assert Scope.all() in {lane.scope for lane in lanes}
