"""Whatever stands in FHIR gives a text: digits as they were written, and nothing where nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.viewer import values
from panachain.viewer.items import UnreadableError


@pytest.mark.parametrize("written", ["1.10", "1.2E+2", "1e-7", "0.1234567890123456789012345678901234567890", "7"])
def test_a_number_keeps_its_digits(written: str) -> None:
    found = values.parsed(f'{{"value": {written}, "unit": "mg"}}'.encode())
    assert values.quantity(found) == f"{written} mg"


def test_json_that_nobody_reads_is_refused() -> None:
    for content in (b"[" * 100_000, b'{"a": NaN}', b"{", b"\xff\xfe", b"[" + b"1," * 6_000_000 + b"1]"):
        with pytest.raises(UnreadableError):
            values.parsed(content)


def test_a_concept_is_its_text_then_its_name_then_its_code() -> None:
    coding = {"system": "http://loinc.org", "code": "1-8", "display": "name"}
    assert values.concept({"text": "text", "coding": [coding]}) == "text"
    assert values.concept({"coding": [{"code": "x"}, coding]}) == "name"
    assert values.concept([{"coding": [{"code": "x"}]}, "alone"]) == "x, alone"
    assert values.named_codes({"coding": [coding, {"system": "urn:x", "code": "y"}]}) == "LOINC 1-8"


def test_a_range_says_what_it_has() -> None:
    low, high = {"value": 1, "unit": "g"}, {"value": 2, "unit": "g"}
    assert values.ranged({"low": low, "high": high}) == "1 g – 2 g"
    assert values.ranged({"high": high}) == "≤ 2 g"
    assert values.ranged([{"text": "negative"}]) == "negative"


def test_letters_that_nobody_sees_are_replaced() -> None:
    assert values.word("dose \u202e01\u200b") == "dose \N{REPLACEMENT CHARACTER}01\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "value", [None, 5, True, [], {}, [[[]]], {"coding": 5}, {"coding": [{"code": []}]}, {"text": {}}]
)
def test_wrong_types_give_texts(value: Any) -> None:
    for read in (
        *(values.concept, values.code, values.quantity, values.ranged, values.period, values.ratio, values.person),
        *(values.named_codes, values.unit, values.word, values.text),
    ):
        assert isinstance(read(value), str)
    assert values.number(value) in (None, 5.0)


def test_no_number_that_cannot_be_drawn() -> None:
    assert [values.number(text) for text in ("1e400", "nan", "inf", "x", "1e16")] == [None] * 5
