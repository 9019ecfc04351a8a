"""Tables fit their width, whatever stands in them, and lose nothing of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.cli.tables import Column, card, display_width, render, wrap

WORDS = st.text(st.characters(blacklist_categories=("C", "Z", "M")), max_size=60)
CELLS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


def test_columns_stand_under_their_titles() -> None:
    lines = render([Column("what"), Column("records", right=True)], [["laboratory", "7"], ["vitals", "1,200"]], 40)
    assert lines == ["what        records", "laboratory        7", "vitals        1,200"]


def test_a_long_cell_goes_on_in_its_own_column() -> None:
    lines = render([Column("who"), Column("what")], [["doctor", "laboratory, medications, vitals"]], 26)
    assert lines == ["who     what", "doctor  laboratory,", "        medications,", "        vitals"]


def test_a_time_stays_on_one_line_while_others_can_shrink() -> None:
    columns = [Column("when", steady=True), Column("did")]
    lines = render(columns, [["30 Nov 2026, 17:48", "read 8 parts, 3 proxies agree"]], 40)
    assert lines[1:] == ["30 Nov 2026, 17:48  read 8 parts, 3", "                    proxies agree"]
    # What is too narrow for both breaks it all the same: no line is longer than the terminal.
    assert max(map(len, render(columns, [["30 Nov 2026, 17:48", "x" * 30]], 30))) <= 30


def test_an_identifier_is_never_broken() -> None:
    identifier = "0x" + "ab" * 20
    lines = render([Column("policy", whole=True), Column("note")], [[identifier, "word " * 30]], 60)
    assert any(line.startswith(identifier) for line in lines)
    assert max(map(len, lines)) <= 60


def test_what_cannot_be_so_narrow_is_stacked() -> None:
    columns = [Column(name, whole=True) for name in ("policy", "record", "terms")]
    lines = render(columns, [["a" * 42, "b" * 59, "c" * 59], ["d", "e", "f"]], 80)
    assert lines[0] == f"policy  {'a' * 42}"
    assert lines[3] == ""
    assert lines[4] == "policy  d"


def test_wide_characters_take_two_cells() -> None:
    assert display_width("病歴") == 4
    lines = render([Column("name"), Column("n")], [["病歴", "1"], ["abcd", "2"]], 40)
    assert [line.endswith(n) for line, n in zip(lines[1:], "12", strict=True)] == [True, True]
    assert {display_width(line) for line in lines[1:]} == {7}


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4), st.integers(40, 120))
def test_no_line_is_wider_than_asked_and_no_character_is_lost(rows: list[tuple[str, ...]], width: int) -> None:
    lines = render([Column("a"), Column("b", right=True), Column("c")], rows, width)
    assert max(map(display_width, lines)) <= width
    shown = sorted("".join(lines).replace(" ", ""))
    cells = "".join(map("".join, rows)).replace(" ", "")
    # A table has its titles once, a stack once for each row.
    assert shown in (sorted("abc" + cells), sorted("abc" * len(rows) + cells))


@given(CELLS, st.integers(2, 60))
def test_wrapping_keeps_all_words_in_their_order(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(map(display_width, lines)) <= width


@pytest.mark.parametrize("width", [40, 100])
def test_a_card_hangs_long_values_below_their_beginning(width: int) -> None:
    lines = card([("what", "laboratory " * 20), ("until", "28 Nov 2026")], width)
    assert max(map(len, lines)) <= width
    assert all(line.startswith(("what ", "      ", "until ")) for line in lines)


@pytest.mark.parametrize("width", [8, 20, 80])
def test_a_card_never_breaks_what_is_copied(width: int) -> None:
    address = "http://0123456789abcdef.localhost:8787/#" + "k" * 43
    assert card([("url", address), ("note", "short")], width, whole=["url"]) == [f"url   {address}", "note  short"]
