"""Every page that links lead to, in a real browser: for everybody who may see it, in each language, light and dark,
narrow and wide. axe-core finds nothing, nothing scrolls sideways, a page is light and asks nobody else for anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from panachain.portal.pages import navigation
from tests.portal.browser import NARROW, NEEDS_CHROMIUM, PAGE_LIMIT, WIDE, Chromium, Scheme
from tests.portal.serving import ROLES, Served, enter, served_story, walk

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
LANGUAGES = ("en", "de")


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    """A world in which something has happened, so that no page is empty."""
    with served_story() as made:
        yield made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    chromium: Chromium, world: Served, role: str, language: str
) -> None:
    portal = world.portal(role)
    wrong, paths = [], set()
    with chromium.window(language=language) as window:
        enter(window, portal)
        for path in walk(window, portal):
            paths.add(path)
            assert window.page.locator("html").get_attribute("lang") == language
            for scheme in get_args(Scheme):
                window.paint(scheme)
                for width in (NARROW, WIDE):
                    window.resize(width)
                    where = f"{path} {scheme} {width}: "
                    wrong += [where + one for one in (*window.violations(), *window.sideways())]
        assert window.seen.elsewhere(portal.origin) == []
        assert window.seen.dialogs == []
    assert {page.path for page in navigation(world.role(role))} <= paths
    assert not wrong, "\n".join(wrong)


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


@pytest.mark.parametrize("role", ROLES)
def test_a_page_is_light_asks_nobody_else_and_has_a_heading_and_a_title(
    chromium: Chromium, world: Served, role: str
) -> None:
    portal = world.portal(role)
    weights, titles = {}, {}
    with chromium.window() as window:
        enter(window, portal)
        for path in walk(window, portal):
            weights[path] = window.weigh(f"{portal.origin}{path}")
            assert window.page.locator("h1").count() == 1, path
            titles[path] = window.page.title()
        assert window.seen.elsewhere(portal.origin) == []
    assert {path: weight for path, weight in weights.items() if weight > PAGE_LIMIT} == {}
    assert min(weights.values()) > 1_000
    named = [titles[page.path] for page in navigation(world.role(role))]
    assert len(set(named)) == len(named)
