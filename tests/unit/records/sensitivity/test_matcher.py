"""The matcher: by system and code, by range, by ingredient, by component, and by words as the last resort."""

from __future__ import annotations

import pytest

from panachain.records.sensitivity import PROFILES, category_of_kinds, matcher_of
from panachain.records.sensitivity.matcher import plain_text
from panachain.records.sensitivity.tables import rows

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
LOINC = "http://loinc.org"


def found(system: str, code: str, display: str = "", profile: str = "default") -> set[str]:
    return {one.kind for one in matcher_of(PROFILES[profile]).look(system, code, display)}


@pytest.mark.parametrize("code", ["F11.20", "F1120", "f11.20", "F11"])
def test_a_code_is_found_however_it_is_spelled(code: str) -> None:
    assert "OPIOIDUD" in found(ICD, code)


def test_a_range_holds_what_is_below_its_ends() -> None:
    assert "ETHUD" in found(ICD, "F10.239")
    assert "HIV" in found("icd-10", "B24") | found(ICD, "B24")


def test_a_code_counts_in_its_own_system_only() -> None:
    """A bed `B20` is no diagnosis."""
    assert not found("http://hospital.example/beds", "B20")
    assert not found("", "B20")


def test_a_code_with_a_right_check_digit_proves_its_system() -> None:
    assert "HIV" in found("", "86406008")
    assert not found("", "86406007")


@pytest.mark.parametrize(
    ("display", "kind"),
    [
        ("dolutegravir 50 MG Oral Tablet", "HIV"),
        ("Methadone Hydrochloride 10 MG Oral Tablet", "OPIOIDUD"),
        ("lithium carbonate 300 MG", "MH"),
        ("mifepristone 200 MG Oral Tablet", "ABORTION"),
    ],
)
def test_a_medicine_is_known_by_its_ingredient(display: str, kind: str) -> None:
    categories = category_of_kinds(found(RXNORM, "999999999", display)), category_of_kinds([kind])
    assert categories[0] is categories[1]


@pytest.mark.parametrize(
    "text",
    [
        "HIV-Infektion",
        "Infection par le VIH",
        "infección por VIH",
        "HIV positive",
        "Depressive Episode",
        "dépression sévère",
    ],
)
def test_words_are_known_in_four_languages(text: str) -> None:
    assert found("", "", text)


def test_words_are_whole_words() -> None:
    assert not found("", "", "archive of shivering")
    assert not found("", "", "band aids and hearing aid")


def test_what_only_hints_is_closed_by_the_strict_profile_alone() -> None:
    hints = next(line for line in rows("ingredients") if line[2] != "tells")
    assert not found(RXNORM, "999999999", hints[0])
    assert found(RXNORM, "999999999", hints[0], "strict")


def test_a_profile_closes_its_own_kinds_only() -> None:
    assert found(ICD, "F11.20", profile="us-42cfr2")
    assert not found(ICD, "B20", profile="us-42cfr2")


def test_the_query_of_an_address_tells_what_it_searches() -> None:
    matcher = matcher_of()
    assert matcher.address("https://fhir.example/Observation?code=http%3A%2F%2Floinc.org%7C24012-7")
    assert not matcher.address("https://fhir.example/Observation?code=2345-7")


@pytest.mark.parametrize("value", ["F11.20", "86406008", "HIV disease", "methadone 10 MG", "24012-7", "/44261-6/x"])
def test_what_may_tell_is_never_passed_over(value: str) -> None:
    assert matcher_of().may_tell(value)


@pytest.mark.parametrize("value", ["laboratory", "2345-7", "Glucose", "Amoxicillin 500 MG", "final", "kg"])
def test_what_is_common_does_not_tell(value: str) -> None:
    assert not matcher_of().may_tell(value)


def test_whatever_a_coding_tells_may_tell() -> None:
    """`may_tell` looks at one value without its system: it may say yes too often, never too seldom."""
    matcher = matcher_of()
    for system, code, _kind, display in rows("codes"):
        if matcher.look(system, code, display):
            assert matcher.may_tell(code) or matcher.may_tell(display)


def test_a_text_is_compared_without_case_accents_and_blanks() -> None:
    assert plain_text("  Dépression\n SÉVÈRE ") == "depression severe"


def test_a_finding_says_which_rule_it_follows() -> None:
    (one, *_) = matcher_of().look(ICD, "F11.20")
    assert "F11" in one.rule
    assert one.tells
