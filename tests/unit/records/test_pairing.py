"""Pairings: what was sealed once still opens, whichever categories the program knows that opens it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.model.choices import NONE, Choices
from panachain.model.codes import Coded
from panachain.model.scope import RESTRICTED, Category, Generations, Scope
from panachain.records import pairing
from panachain.records.pairing import Pairing, make_pairing, open_pairing, seal_pairing

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "pairing.json").read_text())
PATIENT, HOSPITAL = Seed(bytes.fromhex(VECTOR["patient_seed"])), Seed(bytes.fromhex(VECTOR["hospital_seed"]))
ADDRESSES = address_of(PATIENT.account_key()), address_of(HOSPITAL.account_key())
ROTATED = {Scope(text): tuple(past) for text, past in VECTOR["rotated"].items()}
LANE = 33 + 32 + 32
"""Bytes of a lane: public key, locator key, pepper."""
NEXT = len(Category)
"""The number that a category gets which is added to those of the program."""
GENERATIONS = Generations(VECTOR["epoch"], ROTATED)


def categories(*more: tuple[str, int], without: str = "") -> Any:
    """Return a copy of the categories with some more, which stand first in the source, or without one."""
    members = {word.upper(): (word, code) for word, code in more}
    members |= {one.name: (one.value, one.code) for one in Category if one.value != without}
    return Coded("Category", members)  # type: ignore[call-overload]


def make(last_year: int = VECTOR["last_year"], generations: Generations = GENERATIONS) -> Pairing:
    return make_pairing(
        PATIENT, patient=ADDRESSES[0], hospital=ADDRESSES[1], last_year=last_year, generations=generations
    )


def seal(made: Pairing) -> bytes:
    return seal_pairing(
        made,
        hospital_key=HOSPITAL.sealing().public,
        patient_key=PATIENT.sealing().public,
        signer=PATIENT.signer(),
    )


def opened(blob: bytes, by: Seed = HOSPITAL) -> Pairing:
    return open_pairing(
        blob,
        secret=by.sealing(),
        hospital=ADDRESSES[1],
        patient=ADDRESSES[0],
        verifying_key=PATIENT.signer().public,
    )


def check_vector(found: Pairing) -> None:
    for text, (public, locator_key, pepper, generation) in VECTOR["lanes"].items():
        lane = found.lanes[Scope(text)]
        stated = lane.public.hex(), lane.locator_key.hex(), lane.pepper.hex(), lane.generation
        assert stated == (public, locator_key, pepper, generation)
    assert found.generations == GENERATIONS
    assert found.last_year == VECTOR["last_year"]


@pytest.mark.parametrize("by", [PATIENT, HOSPITAL], ids=["patient", "hospital"])
def test_opens_what_was_sealed_when_there_were_eighteen_categories(by: Seed) -> None:
    found = opened(bytes.fromhex(VECTOR["sealed"]), by)
    check_vector(found)
    # The program's own pairing has the same lanes, and those of categories that came later.
    later = {category.value for category in Category if category.code >= VECTOR["categories"]}
    made = {scope: lane for scope, lane in make().lanes.items() if scope.text.partition("/")[0] not in later}
    assert dict(found.lanes) == made
    assert len(found.lanes) == len(list(found.lanes)) == 2 + VECTOR["categories"] * 4


def test_what_an_older_pairing_has_no_lanes_for_goes_where_it_went_before() -> None:
    old = opened(bytes.fromhex(VECTOR["sealed"]))
    before = {one: old.category_for(one) for one in Category if old.category_for(one) is not one}
    assert before == {
        Category.GENDER: Category.SEXUAL_HEALTH,
        Category.VIOLENCE: Category.SEXUAL_HEALTH,
        Category.PRIVATE: Category.MENTAL_HEALTH,
    }
    assert {*before, *before.values()} <= RESTRICTED
    assert {make().category_for(one) for one in before} == set(before)


def test_opens_it_with_a_category_that_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    later = categories(("dental", NEXT), ("eyes", NEXT + 1))
    monkeypatch.setattr(pairing, "Category", later)

    found = opened(bytes.fromhex(VECTOR["sealed"]))

    check_vector(found)
    assert len(found.lanes) == len(list(found.lanes)) == 2 + VECTOR["categories"] * 4
    assert Scope("dental") not in found.lanes
    with pytest.raises(IntegrityError, match="older than the category dental"):
        found.path(later["DENTAL"], 1901)


def test_a_later_pairing_opens_where_its_category_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "Category", categories(("dental", NEXT)))
    rotated = Generations(3, {**ROTATED, Scope("dental/1901"): (3,)})
    later = make(generations=rotated)
    blob = seal(later)
    assert Scope("dental/1901") in later.lanes
    assert opened(blob).lanes[Scope("dental/1901")].generation == 3
    monkeypatch.undo()

    found = opened(blob)

    assert dict(found.lanes) == {scope: lane for scope, lane in later.lanes.items() if "dental" not in scope.text}
    # A device that doesn't know the category passes its rotations on: none of its lanes begins anew.
    assert found.generations == rotated
    assert found.generations.rotated([Scope.all()]).history[Scope("dental/1901")] == (3,)


def test_says_which_years_it_covers() -> None:
    with pytest.raises(IntegrityError, match="covers 1900 to 1901, not 1902"):
        make().path(Category.LABORATORY, 1902)


@pytest.mark.parametrize(
    "rotated", [{"no scope!": [1]}, {"laboratory/01": [1]}, {"": [1]}, {"all": [2, 1]}, {"all": []}]
)
def test_refuses_rotations_of_what_is_no_lane(rotated: dict[str, list[int]]) -> None:
    with pytest.raises(IntegrityError):
        opened(seal(Pairing(*ADDRESSES, Generations(2, {Scope(t): tuple(p) for t, p in rotated.items()}), 1901, {})))


@pytest.mark.parametrize("cut", [1, LANE, LANE * 4 * NEXT, LANE * (4 * NEXT + 2)])
def test_refuses_lanes_that_are_no_whole_number_of_categories(cut: int) -> None:
    made = make()
    packed = b"".join(map(pairing._packed, made.lanes.values()))
    with pytest.raises(IntegrityError, match="whole number of categories"):
        pairing._PackedLanes(packed[:-cut], made.last_year, made.generations)


@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": "x" * (2 * LANE + LANE * 1000)},
        {"epoch": True},
        {"epoch": "1"},
        {"rotated": {"laboratory": b"\1"}},
        {"rotated": []},
        {"last_year": "2025"},
        {"orders": [b"x"]},
        {"v": 5, "choices": [0, [], []]},
        {"v": 5, "choices": [True, [], []]},
        {"v": 5, "choices": [1, "HIV", []]},
        {"v": 5, "choices": [1, [1], []]},
        {"v": 5, "choices": [1, [], ["HIV"] * 1001]},
        {"v": 5, "choices": [1, []]},
        {"v": 5, "choices": {}},
        {"v": 5},
        {"v": 3},
        {"v": 6},
    ],
    ids=str,
)
def test_a_patient_who_signs_nonsense_pairs_with_nobody(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    encode = dagcbor.encode
    if "lanes" in changes:
        changes = {"lanes": "x" * LANE * len(made.lanes)}
    monkeypatch.setattr(pairing.dagcbor, "encode", lambda fields: encode(fields | changes))
    blob = seal(made)
    with pytest.raises(IntegrityError):
        opened(blob)


CHOSEN = Choices(2, frozenset({"HIV", "A-KIND-OF-TOMORROW"}), frozenset({"OPIOIDUD"}))


@pytest.mark.parametrize("by", [PATIENT, HOSPITAL], ids=["patient", "hospital"])
def test_what_the_patient_chose_comes_with_the_pairing_known_or_not(by: Seed) -> None:
    """A device that doesn't know a kind passes it on; who publishes refuses it (`for_patient`)."""
    assert opened(seal(replace(make(), choices=CHOSEN)), by).choices == CHOSEN
    assert opened(seal(make()), by).choices == opened(bytes.fromhex(VECTOR["sealed"]), by).choices == NONE


def test_a_program_that_knows_no_choices_does_not_take_it_for_a_pairing_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blob = seal(replace(make(), choices=Choices(1)))
    plain = seal(make())
    # Such a program knows version 4 alone.
    monkeypatch.setattr(pairing, "_WITH_CHOICES", 4)
    assert opened(plain).choices == NONE
    with pytest.raises(IntegrityError, match="another version"):
        opened(blob)
