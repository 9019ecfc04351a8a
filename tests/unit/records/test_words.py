"""Words: what makes no difference makes none, what makes one does, in any script."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.records.words import LONGEST, forms_of, normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("glucose", "GLUCOSE"),
        ("Ärztin", "arztin"),
        ("Straße", "STRASSE"),
        ("ﬁbrosis", "Fibrosis"),
        ("Ｈｂ", "hb"),
        ("café", "cafe\u0301"),
        ("ΓΛΥΚΌΖΗ", "γλυκόζη"),
        ("Таблетки", "таблетки"),
        ("ΐ", "ΐ"),
    ],
)
def test_ways_to_write_one_word_are_one(one: str, other: str) -> None:
    assert forms_of(one) == forms_of(other)


@pytest.mark.parametrize(("one", "other"), [("tablet", "tablets"), ("7", "70"), ("мел", "мол"), ("insulin", "inulin")])
def test_different_words_are_two(one: str, other: str) -> None:
    assert forms_of(one) != forms_of(other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Glucose [Mass/volume]: 7.2 mg/dL", ["glucose", "mass", "volume", "7", "2", "mg", "dl"]),
        ("snake_case", ["snake", "case"]),
        ("血糖値", ["血", "糖", "値"]),
        ("मधुमेह है", ["मधुमेह", "है"]),
        ("سكري الدم", ["سكري", "الدم"]),
        ("x" * 100, ["x" * LONGEST]),
        ("-- \t\n…", []),
    ],
)
def test_a_text_is_cut_into_its_words(text: str, words: list[str]) -> None:
    assert forms_of(text) == words


@given(st.text())
def test_normalizing_again_changes_nothing(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
    assert forms_of(text) == forms_of(once)


@given(st.text())
def test_how_a_text_is_composed_makes_no_difference(text: str) -> None:
    assert forms_of(unicodedata.normalize("NFD", text)) == forms_of(unicodedata.normalize("NFC", text))


@given(st.text())
def test_case_makes_no_difference_in_ascii(text: str) -> None:
    plain = text.encode("ascii", "ignore").decode()
    assert forms_of(plain.upper()) == forms_of(plain.lower())


VECTORS = json.loads((Path(__file__).parents[2] / "vectors/search/words.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_hold(vector: dict[str, Any]) -> None:
    """What is published is never cut in another way: another Unicode would hide records."""
    assert forms_of(vector["text"]) == vector["forms"]
