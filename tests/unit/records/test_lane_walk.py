"""A hospital's walk through its own manifests finds what a patient's does, and where each lane goes on."""

from __future__ import annotations

import random

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


def publish(records: list[tuple[str, int]], counters: dict[tuple[str, str], int]) -> dict[bytes, CID]:
    """Return the rows of a manifest with these records, in the order in which a hospital takes counters."""
    rows = {}
    for name, number in records:
        header = CID.of(RAW, random.randbytes(16))
        for scope in path_of(*SOME[number]):
            counter = counters.get((name, scope.text), 0)
            counters[name, scope.text] = counter + 1
            key = hospital_key(PATIENTS[name].locator_key(scope, 0), HOSPITAL)
            rows[brief_id(key, counter)] = header
    return rows


BATCHES = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=4), max_size=5)


@given(before=BATCHES, after=BATCHES)
def test_finds_all_and_knows_the_next_counters_wherever_it_begins(
    before: list[list[tuple[str, int]]], after: list[list[tuple[str, int]]], pairings: dict[str, Pairing]
) -> None:
    counters: dict[tuple[str, str], int] = {}
    for batch in before:
        publish(batch, counters)
    known = {
        pairing.patient: {(scope, 0): number for (whose, scope), number in counters.items() if whose == name}
        for name, pairing in pairings.items()
    }
    walk = LaneWalk(lanes_of(pairings.values()), known)
    for batch in after:
        rows = publish(batch, counters)
        found = list(walk.take(rows))
        # Each record in each lane of its path, and nothing else.
        assert {(one.brief_id, one.header) for one in found} == set(rows.items())
        assert len(found) == len(rows)
    for name, pairing in pairings.items():
        expected = {(scope, 0): number for (whose, scope), number in counters.items() if whose == name}
        assert walk.counters(pairing.patient) == expected


def test_a_lane_that_several_pairings_name_is_there_once(pairings: dict[str, Pairing]) -> None:
    lanes = lanes_of([pairings["a"], pairings["a"]])
    assert len(lanes) == len(pairings["a"].lanes)
    assert Scope.all() in {lane.scope for lane in lanes}
