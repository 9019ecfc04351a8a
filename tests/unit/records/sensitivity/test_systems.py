"""Code systems: their many names, how codes are spelled, and check digits."""

from __future__ import annotations

import pytest

from panachain.records.sensitivity.systems import (
    canonical_code,
    canonical_system,
    concepts,
    is_loinc_code,
    is_snomed_id,
    known_system,
    spelled_like,
    system_of,
)
from panachain.records.sensitivity.tables import rows


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("http://hl7.org/fhir/sid/icd-10-cm", "icd-10"),
        ("urn:oid:2.16.840.1.113883.6.90", "icd-10"),
        ("2.16.840.1.113883.6.90", "icd-10"),
        ("I10C", "icd-10"),
        ("i10", "icd-10"),
        ("http://snomed.info/sct", "snomed"),
        ("http://snomed.info/sct/11000172109/version/20240315", "snomed"),
        ("SCT", "snomed"),
        ("http://loinc.org/", "loinc"),
        ("http://loinc.org|2.77", "loinc"),
        ("LN", "loinc"),
        ("RXN", "rxnorm"),
        ("http://hospital.example/codes", ""),
        ("", ""),
    ],
)
def test_a_system_is_known_by_all_its_names(name: str, system: str) -> None:
    assert canonical_system(name) == system


@pytest.mark.parametrize(
    ("system", "code", "spelled"),
    [
        ("icd-10", "f11.20", "F1120"),
        ("icd-10", " F32.9+ ", "F329"),
        ("icd-9-cm", "304.00", "30400"),
        ("icd-11", "6C43.2Z/1A", "6C432Z"),
        ("drg", "97", "097"),
        ("ndc", "0054-0390-25", "000540390"),
        ("ndc", "00054039025", "000540390"),
        ("ciel", "856AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "856"),
        ("snomed", " 86406008 ", "86406008"),
    ],
)
def test_a_code_is_spelled_in_one_way(system: str, code: str, spelled: str) -> None:
    assert canonical_code(system, code) == spelled


@pytest.mark.parametrize("number", ["86406008", "735526006", "10939881000119105"])
def test_the_check_digit_of_snomed_ct_is_verhoeffs(number: str) -> None:
    assert is_snomed_id(number)
    for wrong in range(10):
        changed = number[:-1] + str(wrong)
        assert is_snomed_id(changed) is (changed == number)


@pytest.mark.parametrize("code", ["24012-7", "20447-9", "2345-7", "10449-7"])
def test_the_check_digit_of_loinc_is_a_luhn_digit(code: str) -> None:
    assert is_loinc_code(code)
    for wrong in range(10):
        changed = code[:-1] + str(wrong)
        assert is_loinc_code(changed) is (changed == code)


def test_a_code_proves_its_system_by_its_check_digit_only() -> None:
    assert system_of("24012-7") == "loinc"
    assert system_of("86406008") == "snomed"
    assert system_of("B20") == ""
    assert system_of("2024-05") == ""


def test_an_expression_names_all_its_concepts_and_not_its_terms() -> None:
    expression = "86406008 |HIV infection 1234567| : 363698007 = 39607008 |lung|"
    assert concepts(expression) == ["86406008", "363698007", "39607008"]


def test_padding_proves_a_system_and_other_codes_count_in_the_one_that_is_named() -> None:
    padded = "1255".ljust(36, "A")
    assert known_system("http://loinc.org", padded) == known_system("", padded) == "ciel"
    assert known_system("http://loinc.org", "1255") == "loinc"
    assert known_system("http://hospital.example/beds", "B20") == ""
    assert known_system("", "86406008") == "snomed"


def test_one_system_stands_for_all_that_are_spelled_like_it() -> None:
    """Else a value would be looked for in the wrong spelling, and what it tells missed."""
    known = {system for system, _name, _source in rows("systems")}
    assert len({spelled_like(system) for system in known}) < len(known)
    values = (" f10.20+", "0093-2264-01", "1040".ljust(36, "A"), "6a02.1&XN", "b20", "V08", "86406008", "7", "j45.5")
    for system in known:
        for value in values:
            assert canonical_code(spelled_like(system), value) == canonical_code(system, value), (system, value)
