"""Elements: what has another shape than R4's isn't carried, and what is carried is clean."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.summary import elements


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("2020", "2020"),
        ("2020-02", "2020-02"),
        ("2020-02-29", "2020-02-29"),
        ("2021-02-29", None),
        ("2020-02-03T04:05:06Z", "2020-02-03T04:05:06Z"),
        ("2020-02-03T04:05", "2020-02-03"),
        ("yesterday", None),
        (20200203, None),
        ({"start": "2020"}, None),
    ],
)
def test_a_moment_is_one_that_a_calendar_has(told: Any, read: str | None) -> None:
    assert elements.when(told) == read


@pytest.mark.parametrize(
    ("told", "read"),
    [(1, 1), (True, None), ("\x001.10", "\x001.10"), ("7", 7), ("1e3", "\x001e3"), ("NaN", None), ("01", None),
     ('1","x":"', None), (10**30, None), ([1], None)],
)  # fmt: skip
def test_a_number_keeps_its_digits_and_nothing_else_is_one(told: Any, read: Any) -> None:
    assert elements.number(told) == read


def test_a_concept_of_any_version_becomes_one_of_r4() -> None:
    coding = {"system": "http://loinc.org", "code": "1-8"}
    assert elements.concept("asthma") == {"text": "asthma"}
    assert elements.concept(coding) == {"coding": [coding]}
    assert elements.concept({"coding": coding, "text": "x\x1b[2Jy"}) == {"coding": [coding], "text": "x\ufffd[2Jy"}
    assert elements.concept({"coding": [{"extension": []}]}) is None


def test_a_state_that_was_a_code_becomes_a_concept_and_unknown_ones_are_left() -> None:
    read = elements.CARRIED["Condition"]["clinicalStatus"]
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    assert read("active") == {"coding": [{"system": system, "code": "active"}]}
    assert read({"coding": [{"code": "active"}]}) == read("active")
    assert read("nonsense") is None


def test_extensions_and_what_nobody_knows_are_not_carried() -> None:
    resource = {"code": {"text": "x", "extension": [{"url": "u"}]}, "extension": [{"url": "u"}], "invented": 1}
    assert elements.carried("Condition", resource) == {"resourceType": "Condition", "code": {"text": "x"}}


def test_of_several_types_of_one_element_one_is_carried() -> None:
    made = elements.carried("Condition", {"onsetDateTime": "2020", "onsetString": "as a child"})
    assert made == {"resourceType": "Condition", "onsetDateTime": "2020"}


def test_a_part_without_what_it_needs_is_not_carried() -> None:
    made = elements.carried(
        "AllergyIntolerance", {"reaction": [{"severity": "severe"}, "x"], "note": [{"time": "2020"}]}
    )
    assert made == {"resourceType": "AllergyIntolerance"}


def test_lists_are_bounded() -> None:
    made = elements.carried("Condition", {"note": [{"text": str(number)} for number in range(10 * elements.MOST)]})
    assert len(made["note"]) == elements.MOST


def test_concepts_are_the_same_by_their_codes_and_not_by_their_names() -> None:
    one, other = ({"coding": [{"system": "s", "code": "1", "display": name}]} for name in ("a", "b"))
    assert elements.same_code(one) == elements.same_code(other)
    assert elements.same_code({"text": "Asthma"}) == elements.same_code({"text": "asthma"}) != ""
