"""Every page of the registry in a real browser: for everybody who may see it, in each language, light and dark, narrow
and wide. axe-core finds nothing, nothing scrolls sideways, a page is light and asks nobody else for anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.model.actors import Role
from tests.portal.browser import NARROW, NEEDS_CHROMIUM, PAGE_LIMIT, WIDE, Chromium
from tests.portal.serving import ROLES, Served, enter, paths_of, served_story

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
LANGUAGES = ("en", "de")


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    """A world in which something has happened, so that no page is empty."""
    with served_story() as made:
        yield made


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    chromium: Chromium, world: Served, role: str, language: str
) -> None:
    portal, wrong = world.portal(role), []
    with chromium.window(language=language) as window:
        enter(window, portal)
        for path in paths_of(world, role):
            window.page.goto(f"{portal.origin}{path}", wait_until="load")
            assert window.page.locator("html").get_attribute("lang") == language
            for scheme in ("light", "dark"):
                window.paint(scheme)  # type: ignore[arg-type]
                for width in (NARROW, WIDE):
                    window.resize(width)
                    where = f"{path} {scheme} {width}: "
                    wrong += [where + one for one in window.violations()]
                    wrong += [where + one for one in window.sideways()]
        assert window.seen.elsewhere(portal.origin) == []
        assert window.seen.dialogs == []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", ROLES)
def test_a_page_is_light_and_asks_nobody_else(chromium: Chromium, world: Served, role: str) -> None:
    portal = world.portal(role)
    with chromium.window() as window:
        enter(window, portal)
        weights = {path: window.weigh(f"{portal.origin}{path}") for path in paths_of(world, role)}
        assert window.seen.elsewhere(portal.origin) == []
    assert {path: weight for path, weight in weights.items() if weight > PAGE_LIMIT} == {}


@pytest.mark.parametrize("role", ROLES)
def test_a_page_has_one_heading_and_a_title_of_its_own(chromium: Chromium, world: Served, role: str) -> None:
    portal = world.portal(role)
    titles = []
    with chromium.window() as window:
        enter(window, portal)
        for path in paths_of(world, role):
            window.page.goto(f"{portal.origin}{path}")
            assert window.page.locator("h1").count() == 1, path
            titles.append(window.page.title())
    assert len(set(titles)) == len(titles)


def test_what_a_patient_wants_first_is_two_clicks_from_home(chromium: Chromium, world: Served) -> None:
    """Granting, the log and taking a grant back: whoever never saw the portal finds them by the words."""
    portal = world.portal("patient")
    with chromium.window() as window:
        enter(window, portal)
        assert Role.PATIENT
