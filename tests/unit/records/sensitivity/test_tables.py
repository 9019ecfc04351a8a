"""The value sets as files: every line whole, every kind known, no code with a wrong check digit."""

from __future__ import annotations

import re

import pytest

from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.systems import FORMS, canonical_code, is_loinc_code, is_snomed_id
from panachain.records.sensitivity.tables import rows

COLUMNS = {
    "apple": 5,
    "codes": 4,
    "ingredients": 5,
    "kinds": 6,
    "labels": 5,
    "leap": 4,
    "ranges": 7,
    "substances": 3,
    "systems": 3,
    "words": 4,
}
KIND_AT = {"apple": 1, "codes": 2, "leap": 2, "ranges": 3, "words": 2, "ingredients": 1, "substances": 1, "labels": 2}
HARMLESS = "-"
LOINC = re.compile(r"\d{1,7}-\d")


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_every_line_has_every_column_once(name: str) -> None:
    lines = rows(name)
    assert lines
    assert {len(line) for line in lines} == {COLUMNS[name]}
    assert len({tuple(line) for line in lines}) == len(lines)


@pytest.mark.parametrize("name", sorted(KIND_AT))
def test_every_kind_that_is_named_is_known(name: str) -> None:
    assert {line[KIND_AT[name]] for line in rows(name)} <= {*kinds(), HARMLESS}


@pytest.mark.parametrize("name", ["codes", "leap"])
def test_listed_codes_have_right_check_digits(name: str) -> None:
    checks = {"snomed": is_snomed_id, "loinc": is_loinc_code}
    # LOINC's parts and answers (LP…, LA…) count their digit in another way. Of some codes of LEAP a spreadsheet made
    # dates (`1/5/3435`, `1390296`); they stay beside the true ones, because others took the list over as it is.
    checked = [line for line in rows(name) if line[0] == "snomed" or (line[0] == "loinc" and LOINC.fullmatch(line[1]))]
    wrong = [line for line in checked if not checks[line[0]](line[1])]
    assert not wrong


def test_codes_of_our_own_list_say_what_they_mean() -> None:
    assert not [line for line in rows("codes") if not line[3].strip()]


def test_ranges_fit_the_forms_of_their_systems() -> None:
    for system, first, last, *_ in rows("ranges"):
        assert system in FORMS
        for code in (first, last):
            assert canonical_code(system, code) == code
        assert first <= last


def test_phrases_are_as_texts_are_compared() -> None:
    for _language, phrase, *_ in rows("words"):
        assert phrase == phrase.lower()
        assert not re.search(r"[\u0300-\u036f]", phrase)


def test_words_are_there_in_four_languages_at_least() -> None:
    assert {"en", "de", "fr", "es"} <= {line[0] for line in rows("words")}
