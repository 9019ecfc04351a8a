"""Every page that links lead to, in a real browser: for everybody who may see it, in each language, light and dark,
narrow and wide. axe-core finds nothing, nothing scrolls sideways, a page is light and asks nobody else for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from playwright.sync_api import expect

from panachain.portal.pages import navigation
from tests.portal.browser import NARROW, NEEDS_CHROMIUM, PAGE_LIMIT, WIDE, Chromium, Scheme
from tests.portal.person import Person, speaker
from tests.portal.serving import PASSPHRASE, ROLES, Served, enter, open_records, served_story, walk

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
LANGUAGES = ("en", "de")
OPENED = {
    "patient": ("laboratory", "medications", "imaging", "documents", "conditions", "encounters"),
    "clinician": ("laboratory", "medications", "imaging", "documents"),
}
"""Sections of the viewer that each finds among what was opened."""


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    """A world in which something has happened, so that no page is empty."""
    with served_story() as made:
        yield made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways_and_each_page_is_light_and_has_a_heading_and_a_title(
    chromium: Chromium, world: Served, role: str, language: str
) -> None:
    portal = world.portal(role)
    wrong, titles, weights = [], {}, {}
    with chromium.window(language=language) as window:
        enter(window, portal)
        open_records(window, portal)
        for path in walk(window, portal):
            titles[path] = window.page.title()
            assert window.page.locator("html").get_attribute("lang") == language
            assert window.page.locator("h1").count() == 1, path
            # Colours are the same in each language: tests/unit/portal/test_static.py holds that.
            for scheme in get_args(Scheme) if language == "en" else ("light",):
                window.paint(scheme)
                for width in (NARROW, WIDE):
                    window.resize(width)
                    where = f"{path} {scheme} {width}: "
                    # Dark pages differ in nothing but colours: tests/unit/portal/test_static.py holds that.
                    found = window.violations(colours_only=scheme == "dark")
                    wrong += [where + one for one in (*found, *window.sideways())]
            # By what they load alone, and that is the same in each language but for words.
            if language == "en":
                weights[path] = window.weigh(f"{portal.origin}{path}")
        assert window.seen.elsewhere(portal.origin) == []
        assert window.seen.dialogs == []
    assert {page.path for page in navigation(world.role(role))} <= titles.keys()
    assert {key for key in OPENED.get(role, ()) if not any(f"/section/{key}" in path for path in titles)} == set()
    assert not wrong, "\n".join(wrong)
    if language == "en":
        named = [titles[page.path] for page in navigation(world.role(role))]
        assert len(set(named)) == len(named)
        assert {path: weight for path, weight in weights.items() if weight > PAGE_LIMIT} == {}
        assert min(weights.values()) > 1_000


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_the_pages_take_one_line_until_they_are_asked_for(
    chromium: Chromium, world: Served, language: str, scripts: bool
) -> None:
    portal, wrong = world.portal("patient"), []
    with chromium.window(language=language, width=NARROW, scripts=scripts) as window:
        person = Person(window, portal.origin, speaker(language), keyboard=True)
        person.unlock(portal.entry, portal.name, PASSPHRASE, paste=not scripts)
        person.home()
        pages, lists = window.page.locator("nav.pages"), window.page.locator("nav.pages .lists")
        closed = pages.bounding_box()
        assert closed is not None
        assert closed["height"] < 48
        expect(lists).to_be_hidden()
        person.unfold("Pages")
        expect(lists).to_be_visible()
        for scheme in get_args(Scheme) if scripts else ():
            window.paint(scheme)
            wrong += [*window.violations(), *window.sideways()]
        person.follow("Records")
        expect(pages).to_contain_text(speaker(language)("Records"))
        expect(lists).to_be_hidden()
        window.resize(WIDE)
        expect(lists).to_be_visible()
        expect(window.page.locator("nav.pages .menu")).to_be_hidden()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("language", LANGUAGES)
def test_who_never_saw_it_finds_grant_log_and_revoke_from_the_first_page_in_two_clicks(
    chromium: Chromium, world: Served, language: str, width: int
) -> None:
    portal, say = world.portal("patient"), speaker(language)
    with chromium.window(language=language, width=width) as window:
        enter(window, portal)
        person = Person(window, portal.origin, say)
        for first, then, ends in (
            ("Let somebody read", "", "/grants/new"),
            ("See who read", "", "/log|/jobs/"),
            ("Take a grant back", "Take it back", "/revoke"),
        ):
            person.home()
            # They see it without looking for it: in the page itself, not in a menu, and before they scroll.
            expect(window.page.locator("main").get_by_role("link", name=say(first))).to_be_in_viewport(ratio=1)
            person.follow(first)
            if then:
                person.press(then)
            assert person.clicks <= 2
            assert re.search(ends, window.page.url), window.page.url
        # What takes something back asks first: nothing was done by two clicks alone.
        person.sees("This is what it does:")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nor_does_it_where_nobody_is_in_yet(chromium: Chromium, world: Served, language: str) -> None:
    portal, wrong = world.portal("patient"), []
    with chromium.window(language=language, expects="403|404") as window:
        for path in ("/", "/nowhere"):
            window.page.goto(f"{portal.origin}{path}")
            wrong += window.violations()
        window.page.goto(portal.entry)
        window.page.locator("input[name=passphrase]").wait_for()
        wrong += window.violations()
        window.page.locator("input[name=profile]").first.check()
        window.page.locator("input[name=passphrase]").fill("not this one")
        window.page.locator("main form button").click()
        window.page.get_by_role("alert").wait_for()
        wrong += window.violations()
    assert not wrong, "\n".join(wrong)
