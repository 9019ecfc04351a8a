"""Text of others: nothing of it moves, hides, or is taken for anything else than text."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import PanaChainError
from panachain.plain import MOST, MOST_MARKS, MOST_OF_LINE, cell, clean, few_marks, json_line, line

STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
ANY = st.text(max_size=200) | st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Zs", "Mn"]), max_size=60)


def is_plain(text: str, *, but: str = "") -> bool:
    return all(c in but or unicodedata.category(c) not in STEERING for c in text)


@given(ANY)
def test_no_text_steers_a_terminal(text: str) -> None:
    assert is_plain(clean(text), but="\n\t")
    assert is_plain(line(text))
    assert is_plain(str(PanaChainError(text, hint=text)))
    assert is_plain(PanaChainError(text, hint=text).hint)


@pytest.mark.parametrize(
    "text",
    [
        *("\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\x7f", "\r", "\x08", "\u202e", "\u2066", "\u200b", "\ufeff"),
        *("\u2028", "\u3164", "\u034f", "\ufe0f", "\U000e0101", "\U000e0041", "\ud800"),
    ],
)
def test_what_moves_hides_or_turns_is_replaced(text: str) -> None:
    assert text not in clean(f"a{text}b")
    assert text not in line(f"a{text}b")
    assert text not in str(PanaChainError(f"a{text}b"))


@pytest.mark.parametrize("text", ["a b", "Ärztin 李 🩺", "a" * MOST_OF_LINE, "-", "", "é"])
def test_other_text_stays(text: str) -> None:
    assert clean(text) == line(text) == text


def test_a_message_has_one_line_so_that_nobody_writes_the_next_one() -> None:
    assert str(PanaChainError("no answer\nnext: run this")) == "no answer next: run this"


def test_what_is_long_is_cut_and_says_so() -> None:
    assert line("a" * (MOST_OF_LINE + 5)) == "a" * MOST_OF_LINE + "… (5 more characters)"
    assert len(clean("a" * 10_000_000)) < MOST + 40


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", '"=', "'=", "＝", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    (row,) = csv.reader(io.StringIO(cell(f"{start}cmd|' /C calc'!A0")))
    assert row[0].startswith("'")


@given(st.lists(ANY.map(line), min_size=2, max_size=4))
def test_cells_are_read_back_whatever_separates_them(texts: list[str]) -> None:
    for separator in ",;\t":
        (row,) = csv.reader(io.StringIO(separator.join(map(cell, texts))), delimiter=separator)
        assert [found.removeprefix("'") for found in row] == [text.removeprefix("'") for text in texts]


@given(st.recursive(ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3)))
def test_json_stays_exact_and_holds_no_raw_control_character(value: Any) -> None:
    assert json.loads(json_line(value)) == value
    assert json_line(value).isprintable()
    assert json.loads(json_line(value, indent=1)) == value
    assert json_line(value, indent=1).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "Ärztin " * 20,
        "─" * 200,
        " " * 200 + "é",
        "e" + "\u0301" * MOST_MARKS,
        "שָׁלוֹם" * 40,
        "\uff9e" * MOST_MARKS,
    ],
)
def test_marks_that_somebody_may_have_written_stay(text: str) -> None:
    assert few_marks(text) == text


@given(st.lists(st.sampled_from("a\u0301\u0315\u034f\u05b0\uff9e\u0f73 ─"), max_size=300))
def test_no_run_of_marks_is_longer_and_nothing_else_is_taken(signs: list[str]) -> None:
    text = "".join(signs)
    kept = few_marks(text)
    runs, before = (re.split("[a ─]", one) for one in (kept, text))
    assert all(len(unicodedata.normalize("NFKD", run)) <= MOST_MARKS for run in runs)
    assert len(runs) == len(before)
    assert all(run == one[: len(run)] for run, one in zip(runs, before, strict=True))
    assert few_marks(kept) == kept
