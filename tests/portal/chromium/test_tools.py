"""What forms lead to, in a real browser: a search, a leak, messages and a wardship, narrow and wide. axe-core finds
nothing, nothing scrolls sideways, and what was typed in secret stands on no page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal.browser import NARROW, NEEDS_CHROMIUM, WIDE, Chromium, Window
from tests.portal.serving import Served, enter, served_story
from tests.twin.test_wards import PAPERS, account_for, person
from tests.twin.world import seed_of

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
TOPIC = "a-topic-that-nobody-guesses"


@pytest.fixture(scope="module")
def world() -> Iterator[Served]:
    with served_story() as made:
        yield made


def look(window: Window, *secrets: str) -> list[str]:
    """Return what is wrong with a page, once what it waits for has ended."""
    window.page.locator("section.job").wait_for(state="detached")
    found: list[str] = []
    for width in (NARROW, WIDE):
        window.resize(width)
        found += [*window.violations(), *window.sideways()]
    content = window.page.content() + window.page.url
    return [f"{window.page.url}: {one}" for one in (*found, *(f"shows {it}" for it in secrets if it in content))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["de"])
def test_what_a_patient_looks_up_and_sets_up(chromium: Chromium, world: Served, language: str, tmp_path: Path) -> None:
    portal, wrong = world.portal("patient"), []
    leaked = seed_of("clinician").reveal().hex()
    record = next(one for one in portal.actor.records() if one.info.media_type == "application/fhir+json")
    (tmp_path / "leaked.json").write_bytes(record.content)
    with chromium.window(language=language) as window:
        enter(window, portal)
        page = window.page
        page.goto(f"{portal.origin}/search")
        page.locator("#f-words").fill("creatinine")
        page.locator("form[action='/search'] button").click()
        page.locator("#looked").wait_for()
        wrong += look(window)
        page.locator("main a[href^='/records/']").first.click()
        page.locator("form[action='/records/who'] button").click()
        page.locator("main a[href$='#did']").click()
        page.locator("#did").wait_for()
        wrong += look(window)
        page.goto(f"{portal.origin}/leaks")
        page.locator("#f-leaked").fill(leaked)
        page.locator("form[action='/leaks/text'] button").click()
        page.locator("form[action='/leaks/revoke'] button").wait_for()
        wrong += look(window, leaked)
        page.locator("form[action='/leaks/revoke'] button").click()
        page.locator(".confirm").wait_for()
        wrong += look(window, leaked)
        page.goto(f"{portal.origin}/leaks")
        page.locator("#f-record-file").set_input_files(tmp_path / "leaked.json")
        page.locator("form[action='/leaks/record'] button").click()
        page.locator("main a[href^='/records/']").first.wait_for()
        wrong += look(window)
        page.goto(f"{portal.origin}/messages")
        page.locator("#f-url").fill(f"ntfys://{TOPIC}")
        page.locator("form[action='/messages/add'] button").click()
        page.locator(".confirm").wait_for()
        wrong += look(window, TOPIC)
        page.locator(".confirm form button").click()
        page.locator("form[action='/messages/remove']").first.wait_for()
        wrong += look(window, TOPIC)
        page.goto(f"{portal.origin}/wards/new")
        wrong += look(window)
        assert window.seen.elsewhere(portal.origin) == []
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(120)
def test_the_registrar_attests_a_wardship(chromium: Chromium, world: Served) -> None:
    people, portal, wrong = world.people, world.portal("registrar"), []
    uncle = person(people, "uncle")
    account = account_for(people, uncle, people.patient.address)
    made = account.wards.propose(people.patient.address, uncle.address, PAPERS, until=people.now + 10**8)
    uncle.wards.accept(made)
    with chromium.window() as window:
        enter(window, portal)
        window.page.goto(f"{portal.origin}/wardships")
        wrong += look(window, PAPERS)
        window.page.locator("form[action='/wardships/start'] button").click()
        window.page.locator(".confirm").wait_for()
        wrong += look(window, PAPERS)
        window.page.locator(".confirm form button").click()
        window.page.locator(".notice.good").wait_for()
        wrong += look(window)
    assert people.patient.wards.find(made.number).state == "in force"
    assert not wrong, "\n".join(wrong)
