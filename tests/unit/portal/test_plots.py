"""Plots: each bar has its number in words, nothing of a label runs, and the file is well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from panachain.portal.plots import MOST_BARS, Bars

SVG = "{http://www.w3.org/2000/svg}"


def drawn(**numbers: int) -> ElementTree.Element:
    plot = Bars.of("Policies", numbers, label="Month", measure="Policies", sentence="Most in May.")
    return ElementTree.fromstring(str(plot.svg("months")))


def test_has_a_title_and_a_description_that_name_it() -> None:
    svg = drawn(may=3)
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "months-title months-desc"
    title, described = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert described is not None
    assert (title.text, title.get("id")) == ("Policies", "months-title")
    assert described.text == "Most in May."


def test_the_largest_number_has_the_longest_bar_and_the_smallest_is_seen() -> None:
    widths = [float(bar.get("width", "")) for bar in drawn(a=1_000_000, b=1, c=0).iter(f"{SVG}rect")]
    assert widths[0] > 100
    assert (widths[1], widths[2]) == (1.0, 0.0)


def test_the_table_has_what_the_plot_has_no_room_for() -> None:
    plot = Bars.of("x", {str(number): number for number in range(100)}, label="", measure="", largest_first=True)
    assert len(plot.rows) == 100
    assert plot.rows[0] == ("99", 99)
    assert str(plot.svg("x")).count("<rect") == MOST_BARS


def test_no_numbers_are_no_error() -> None:
    assert list(drawn().iter(f"{SVG}rect")) == []


@given(label=st.text(max_size=60), title=st.text(max_size=60))
def test_whatever_a_label_says_the_plot_is_well_formed_and_runs_nothing(label: str, title: str) -> None:
    plot = Bars.of(title, {label: 1, label + "<script>": 2}, label="", measure="", sentence=label)
    text = str(plot.svg("x"))
    ElementTree.fromstring(text)
    assert "<script" not in text
    assert "style" not in text.replace(label, "")
