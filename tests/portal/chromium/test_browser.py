"""The harness itself: what it must find it finds, on pages made for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal.browser import COLOUR_RULES, NARROW, NEEDS_CHROMIUM, Chromium
from tests.portal.elsewhere import Site, site
from tests.portal.person import Person

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
PAGE = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>{}</main></html>'


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def shown(pages: Site, body: str) -> str:
    pages.pages["/page"] = PAGE.format(body)
    return pages.url("/page")


def test_keeps_requests_dialogs_and_errors(chromium: Chromium, pages: Site) -> None:
    script = "<script>alert('hello'); fetch('http://nowhere.test/x').catch(() => 0); console.error('oh')</script>"
    with chromium.window(expects="oh|nowhere") as window:
        window.page.goto(shown(pages, script), wait_until="networkidle")
        assert window.seen.dialogs == ["hello"]
        assert window.seen.elsewhere(pages.url("")) == ["http://nowhere.test/x"]
        assert any(error.startswith("oh") for error in window.seen.errors)


@pytest.mark.parametrize("script", ["console.error('oh')", "throw new Error('oh')"])
def test_an_error_of_the_console_fails_the_test(chromium: Chromium, pages: Site, script: str) -> None:
    with pytest.raises(AssertionError, match="oh"), chromium.window() as window:
        window.page.goto(shown(pages, f"<script>{script}</script>"), wait_until="networkidle")


def test_a_name_that_is_not_mapped_leads_nowhere(chromium: Chromium) -> None:
    with chromium.window(expects="ERR_") as window, pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        window.page.goto("http://example.org/")


def test_weighs_a_page_with_all_it_loads_each_time(chromium: Chromium, pages: Site) -> None:
    pages.pages["/big"] = "x" * 50_000
    with chromium.window() as window:
        url = shown(pages, "<script>fetch('/big')</script>")
        weights = [window.weigh(url) for _ in range(2)]
    assert all(50_000 < weight < 52_000 for weight in weights)


def test_axe_finds_what_is_wrong_and_nothing_on_a_good_page(chromium: Chromium, pages: Site) -> None:
    with chromium.window() as window:
        window.page.goto(shown(pages, "<p>Words.</p>"))
        assert window.violations() == []
        window.page.goto(shown(pages, "<input><p style='color:#ccc;background:#fff'>Pale words.</p>"))
        found = " ".join(window.violations())
    assert "label (critical)" in found
    assert "color-contrast (serious)" in found


def test_of_colours_alone_axe_finds_what_is_wrong_in_them_and_asks_all_rules_that_look_at_them(
    chromium: Chromium, pages: Site
) -> None:
    with chromium.window() as window:
        window.page.goto(shown(pages, "<input><p style='color:#ccc;background:#fff'>Pale words.</p>"))
        whole = window.violations()
        (found,) = window.violations(colours_only=True)
        assert found.startswith("color-contrast (serious)")
        # Asked once more, it finds the same: nothing is left of the time before.
        assert found in whole == window.violations()
        of_colours = window.page.evaluate("axe.getRules(['cat.color']).map(one => one.ruleId)")
    # The one of level AAA is off by default.
    assert sorted(of_colours) == sorted([*COLOUR_RULES, "color-contrast-enhanced"])


def test_finds_what_scrolls_sideways(chromium: Chromium, pages: Site) -> None:
    with chromium.window(width=NARROW) as window:
        meta = '<meta name="viewport" content="width=device-width">'
        window.page.goto(shown(pages, f"{meta}<p id=wide style='width:400px'>x</p>"))
        assert 'id="wide"' in " ".join(window.sideways())
        window.page.goto(shown(pages, f"{meta}<div style='overflow-x:auto'><p style='width:400px'>x</p></div>"))
        assert window.sideways() == []


FORM = """
<form action="/page"><label>Name <input name="name"></label>
<fieldset><legend>Why</legend><label><input type="radio" name="why" value="a" checked> Treatment</label>
<label><input type="radio" name="why" value="b"> Research</label></fieldset>
<label>How long <select name="long"><option>A day</option><option>A month</option></select></label>
<label><input type="checkbox" name="sure"> I am sure</label><label>File <input type="file" name="file"></label>
<ul><li>First <a href="/page?one">Open</a></li><li>Second <a href="/page?two">Open</a></li></ul>
<button>Send</button></form>
"""


@pytest.mark.parametrize("keyboard", [False, True])
def test_a_person_fills_a_form_in(chromium: Chromium, pages: Site, tmp_path: Path, keyboard: bool) -> None:
    (tmp_path / "f.txt").write_text("x")
    with chromium.window() as window:
        window.page.goto(shown(pages, FORM))
        person = Person(window, pages.url(""), lambda text: text, keyboard=keyboard)
        person.sees("How long")
        person.sees_not("How short")
        person.hand_over("File", [tmp_path / "f.txt"])
        person.fill("Name", "somebody")
        person.tick("Research")
        person.choose("How long", "A month")
        person.tick("I am sure")
        assert person.may("Send")
        person.press("Send")
        window.page.wait_for_url("**/page?name=*")
        assert "name=somebody&why=b&long=A+month&sure=on&file=f.txt" in window.page.url
        person.follow("Open", within="Second")
        window.page.wait_for_url("**/page?two")
        assert person.clicks == 2


def test_the_keyboard_reaches_nothing_that_is_out_of_its_way(chromium: Chromium, pages: Site) -> None:
    with chromium.window() as window:
        window.page.goto(shown(pages, "<button tabindex=-1>Send</button>"))
        person = Person(window, pages.url(""), lambda text: text, keyboard=True)
        with pytest.raises(AssertionError, match="Tab doesn't reach"):
            person.press("Send")
