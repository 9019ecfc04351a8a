"""The whole story in a real browser: in each language, by the keyboard alone, without scripts, and on real chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.sdk.patient import Patient
from scripts.portal_process import running_portal
from tests import support
from tests.portal.browser import NEEDS_CHROMIUM, Chromium
from tests.portal.person import Person, speaker
from tests.portal.serving import PASSPHRASE, served_world
from tests.portal.story import PEOPLE, tell

pytestmark = [pytest.mark.deep, pytest.mark.timeout(900), NEEDS_CHROMIUM]
MISSED = "status of 40[03]"
"""What the console says of a page that refuses something: the story holds one."""


@contextmanager
def people(
    chromium: Chromium, entry_of: Callable[[str], str], passphrase: str, *, language: str, keyboard: bool, scripts: bool
) -> Iterator[dict[str, Person]]:
    """Seat everybody at a window of their own."""
    with ExitStack() as stack:
        made = {}
        for name in PEOPLE:
            window = stack.enter_context(chromium.window(language=language, scripts=scripts, expects=MISSED))
            entry = entry_of(name)
            address = entry.partition("#")[0].rstrip("/")
            made[name] = Person(window, address, speaker(language), keyboard=keyboard)
            made[name].unlock(entry, name, passphrase, paste=not scripts)
        yield made
        for person in made.values():
            assert person.window.seen.elsewhere(person.address) == []
            assert person.window.seen.dialogs == []


@pytest.mark.parametrize(
    ("language", "keyboard", "scripts"),
    [("en", False, True), ("de", False, True), ("en", True, True), ("en", False, False)],
    ids=["in English", "in German", "by the keyboard alone", "without scripts"],
)
def test_the_whole_story_is_clicked_through(
    chromium: Chromium, tmp_path: Path, language: str, keyboard: bool, scripts: bool
) -> None:
    with (
        served_world(paired=False) as world,
        people(
            chromium,
            lambda name: world.portal(name).entry,
            PASSPHRASE,
            language=language,
            keyboard=keyboard,
            scripts=scripts,
        ) as seated,
    ):
        tell(seated, tmp_path)


def test_the_story_holds_on_real_chains_with_a_portal_of_its_own_for_each_person(
    chromium: Chromium, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        with patch.object(Patient, "pair"):
            world = stack.enter_context(support.running_world())
        entries = {name: stack.enter_context(running_portal(world.home, name, numeric=False)) for name in PEOPLE}
        seated = stack.enter_context(
            people(chromium, entries.__getitem__, support.PASSPHRASE, language="en", keyboard=False, scripts=True)
        )
        tell(seated, tmp_path)
