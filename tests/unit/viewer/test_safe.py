"""Markup of others: texts and tables come through; nothing that runs, loads, leads or looks does."""

from __future__ import annotations

import pytest

from panachain.viewer.safe import markup, plain
from tests.portal.harmless import Page
from tests.portal.hostile_records import MARKUP


@pytest.mark.parametrize("name", MARKUP)
def test_hostile_markup_is_harmless(name: str) -> None:
    page = Page()
    page.feed(markup(MARKUP[name]))
    assert (page.wrong, page.links, page.ids) == ([], set(), [])
    assert not [sign for sign in markup(MARKUP[name]) if not sign.isprintable() and sign not in "\n\t"]


def test_texts_lists_and_tables_stay() -> None:
    kept = '<p>a <b>b</b></p><ul><li>c</li></ul><table><tbody><tr><td colspan="2">d</td></tr></tbody></table>'
    assert markup(kept) == kept


def test_headings_of_others_are_no_headings_of_the_page() -> None:
    assert markup("<h1>Title</h1>") == '<p class="v-heading">Title</p>'


def test_what_is_too_much_becomes_text() -> None:
    assert markup("<p>x</p>" * 60_000).startswith("<pre>x")
    assert markup("<i>" * 3_000 + "deep").startswith("<pre>")


@pytest.mark.parametrize(
    "deep",
    [
        "<div/>",
        '<div x="<">',
        "<ul/>",
        '<div a="</div>">',
        "<div><!-- </div> -->",
        "<div><title></div></title>",
        "<div></b>",
        "<div></p>",
        "<section><br>",
        "<div\f>",
        "<div a='>'>",
        # An item of one kind ends none of the other, whatever stands between them but a list.
        "<dd><li>",
        "<LI><dt>",
        "<dd></td><li></td>",
        "<div><dt></div><li>",
        "<span><li></span><dd>",
        # Nothing ends by itself in what is no HTML.
        "<svg></svg><td></tr>",
        "<math></math><td></tr>",
    ],
)
def test_what_only_seems_flat_becomes_text(deep: str) -> None:
    """A parser takes seconds for each record of it: its work grows with the square of the depth."""
    assert markup(deep * 4_500).startswith("<pre>")


def test_a_long_table_stays_a_table() -> None:
    rows = '<tr><td colspan="2">a &lt; b</td><td>1<br/>2<br>3</td></tr><!-- a row -->\n' * 2_000
    head = "<!DOCTYPE html><title>x</title><style>a > b { color: red }</style>"
    shown = markup(
        f'{head}<div xmlns="http://www.w3.org/1999/xhtml"><table><tbody>{rows}</tbody></table><p>x<li>y</div>'
    )
    assert shown.startswith("<div><table><tbody><tr><td")
    assert shown.count("<tr>") == 2_000


def test_long_lists_inside_one_another_stay_lists() -> None:
    items = "<dl><dt>a<dd>b<ul><li>c<li><dl><dd>d</dl></ul><dt>e</dl><ol><li>f<dl><dt>g</dt></dl></li></ol>" * 500
    shown = markup(f"<div>{items}</div>")
    assert shown.startswith(
        "<div><dl><dt>a</dt><dd>b<ul><li>c</li><li><dl><dd>d</dd></dl></li></ul></dd><dt>e</dt></dl>"
    )
    assert (shown.count("<li>"), shown.count("<dt>")) == (1_500, 1_500)


def test_the_text_of_markup() -> None:
    assert plain("<p>one &amp; <b>two</b></p><p>three") == "one & two\nthree"
