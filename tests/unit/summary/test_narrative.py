"""The narrative: all that is shown, and no markup of others."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given

from panachain.summary.choice import Row
from panachain.summary.narrative import paragraphs, table
from tests.unit.test_plain import ANY

XHTML = "{http://www.w3.org/1999/xhtml}"


def test_a_row_says_what_when_more_and_from_whom() -> None:
    div = ElementTree.fromstring(
        table([Row("Asthma", "2018", ("mild", "noted"), ("City", "Mercy"))], ["A note."])["div"]
    )
    assert [cell.text for cell in div.iter(f"{XHTML}td")] == ["Asthma", "2018", "mild; noted", "City, Mercy"]
    assert [one.text for one in div.iter(f"{XHTML}p")] == ["A note."]


def test_it_is_never_empty() -> None:
    """FHIR R4, txt-2: a narrative has some content that isn't white space."""
    assert "Nothing." in table([], [])["div"]


def test_a_long_fact_is_cut_and_shows_it() -> None:
    assert f"{'x' * 500}…</td>" in table([Row("a", "", ("x" * 501,), ())], [])["div"]


@given(ANY)
def test_no_text_of_others_becomes_markup(text: str) -> None:
    shown = table([Row(f"<script>{text}", "&", (f"<img src=x onerror={text}>",), ("<b>",))], ["<p>"])["div"]
    assert [mark for mark in ("<script", "<img", "<b>") if mark in shown] == []
    assert paragraphs(["a < b"])["div"].count("<p>a &lt; b</p>") == 1
