"""Somebody who uses the portal: they know the words on the page and nothing of what lies behind it.

The same story is told in each language, since every word is looked up in the portal's own catalogue; with a mouse, or
with the keyboard alone: then each element is reached by Tab, as a person without a mouse has to reach it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from playwright.sync_api import ElementHandle, Locator, expect

from panachain.portal import i18n
from panachain.viewer.words import translations
from tests.portal.browser import PATIENCE, Window

LONGEST_WAY: Final = 250
"""Presses of Tab after which an element counts as out of reach."""


class Name(str):
    """What somebody is called: the same in each language."""

    __slots__ = ()


_HOLDS_FOCUS: Final = "one => one === document.activeElement"
_GONE: Final = -2
_FOCUSED: Final = "ones => ones.every(one => one.isConnected) ? ones.indexOf(document.activeElement) : -2"
"""Which of some elements holds the focus: -1 where none does, `_GONE` where the page put another one in its place."""
_DRAWN: Final = "one => one.tagName !== 'IMG' || (one.complete && one.naturalWidth > 1)"


class Viewed(str):
    """What the viewer says, which has words of its own: it stands without a portal, too."""

    __slots__ = ()


class Several(Viewed):
    """What the viewer says of more than one; catalogues know it by what is said of one."""

    __slots__ = ("one",)

    def __new__(cls, one: str, several: str) -> Self:
        """Take both as the viewer's code has them."""
        made = super().__new__(cls, several)
        made.one = one
        return made


def speaker(language: str) -> Callable[[str], str]:
    """Return what translates the portal's texts, and the viewer's."""

    def say(text: str) -> str:
        if isinstance(text, Several):
            return translations(language).ngettext(text.one, text, 2)
        if isinstance(text, Viewed):
            return translations(language).gettext(text)
        with i18n.speaking(language):
            return i18n.gettext(text)

    return say


class Person:
    """One person at one window."""

    def __init__(self, window: Window, address: str, say: Callable[[str], str], *, keyboard: bool = False) -> None:
        """Sit down.

        Args:
            window: of the browser.
            address: of the portal, without a slash at its end.
            say: translates a text of the portal into the window's language.
            keyboard: the mouse is left alone.
        """
        self.window, self.page, self.address = window, window.page, address
        self._say = lambda text: text if isinstance(text, Name) else say(text)
        self._keyboard = keyboard
        self.clicks = 0
        """Links and buttons pressed since `home`."""

    def look(self) -> None:
        """Look at a page that has come; a test can put something here."""

    def home(self) -> None:
        """Go to the first page."""
        self.page.goto(f"{self.address}/")
        self.clicks = 0
        self.look()

    def unlock(self, entry: str, profile: str, passphrase: str, *, paste: bool = False) -> None:
        """Open the portal and unlock a profile.

        Args:
            entry: the address that opens it.
            profile: whose.
            passphrase: of the profile.
            paste: into a field, as whose browser runs no scripts has to.
        """
        if paste:
            self.home()
            self.fill("What stands behind the #", entry.partition("#")[2])
            self.press("Open")
        else:
            self.page.goto(entry)
        self.page.get_by_label(self._exactly("Passphrase")).wait_for()
        self.tick(Name(profile))
        self.fill("Passphrase", passphrase)
        self.press("Unlock")
        self.page.locator("nav.pages").wait_for()
        self.clicks = 0

    def follow(self, text: str, *, within: str = "", **values: object) -> None:
        """Follow the link with this text.

        Args:
            text: of the link, in English.
            within: only in the row, article or item with this text.
            values: of the text.
        """
        self._press(self._area(within).get_by_role("link", name=self._exactly(text, **values)).first)

    def unfold(self, text: str) -> None:
        """Open what hides more behind this text, unless it is open."""
        summary = self.page.locator("summary").filter(has_text=self._exactly(text)).filter(visible=True).first
        if summary.evaluate("one => one.parentElement.open"):
            return
        if self._keyboard:
            self._reach(summary)
            self.page.keyboard.press("Enter")
        else:
            summary.click()
        self.clicks += 1

    def press(self, text: str, *, within: str = "") -> None:
        """Press the button with this text; `within` as for `follow`."""
        self._press(self._area(within).get_by_role("button", name=self._exactly(text)).first)

    def fill(self, label: str, value: str) -> None:
        """Write into the field with this label."""
        field = self._field(label)
        if self._keyboard:
            self._reach(field)
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(value)
        else:
            field.fill(value)

    def tick(self, label: str) -> None:
        """Tick the box with this label, or take this one of several answers."""
        field = self._field(label)
        if not self._keyboard:
            field.check()
        elif field.get_attribute("type") == "radio":
            # Tab reaches the answer that is taken, or the first; the arrows take the others.
            group = self.page.locator(f"input[type=radio][name='{field.get_attribute('name')}']")
            self._reach(*group.all())
            for _ in range(group.count()):
                if field.is_checked():
                    break
                self.page.keyboard.press("Space" if field.evaluate(_HOLDS_FOCUS) else "ArrowDown")
            expect(field).to_be_checked()
        elif not field.is_checked():
            self._reach(field)
            self.page.keyboard.press("Space")
            expect(field).to_be_checked()

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a list; its text is translated, too."""
        field, wanted = self._field(label), self._say(option)
        if self._keyboard:
            self._reach(field)
            self.page.keyboard.type(wanted)
            expect(field.locator("option:checked")).to_have_text(wanted)
        else:
            field.select_option(label=wanted)

    def hand_over(self, label: str, files: Sequence[Path]) -> None:
        """Choose files of this machine."""
        field = self._field(label)
        if not self._keyboard:
            field.set_input_files(files)
            return
        # Expected first: a key that comes before the browser heard of it opens a real dialog, which nobody sees.
        with self.page.expect_file_chooser() as chooser:
            self._reach(field)
            self.page.keyboard.press("Space")
        chooser.value.set_files(files)

    def sees(self, *texts: str, **values: object) -> None:
        """Expect each of these texts, with their values, on the page, waiting until what is under way is done."""
        for text in texts:
            told = self._told(text, **values)
            expect(self.page.get_by_text(told).filter(visible=True).first).to_be_visible(timeout=PATIENCE)

    def sees_picture(self, text: str, **values: object) -> None:
        """Expect a picture or a plot of this name, drawn: one that didn't come has no width of its own."""
        picture = self.page.get_by_role("img", name=self._exactly(text, **values)).first
        # One further down comes when somebody gets there.
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible(timeout=PATIENCE)
        # Else another one would be taken for drawn while it still loads.
        self.page.wait_for_function(_DRAWN, arg=picture.element_handle(), timeout=PATIENCE)

    def sees_not(self, text: str) -> None:
        """Expect a text nowhere on the page."""
        expect(self.page.get_by_text(self._say(text)).filter(visible=True)).to_have_count(0)

    def may(self, text: str) -> bool:
        """Tell whether a link or a button with this text is there."""
        named = [self.page.get_by_role(role, name=self._exactly(text)) for role in ("link", "button")]
        return any(one.filter(visible=True).count() for one in named)

    def _field(self, label: str) -> Locator:
        return self.page.get_by_label(self._exactly(label)).first

    def _area(self, within: str) -> Locator:
        if not within:
            return self.page.locator("body")
        return self.page.locator("tr, article, li, section, details").filter(has_text=self._say(within)).last

    def _told(self, text: str, **values: object) -> str:
        """Return a text in the window's language, with its values."""
        return self._say(text) % values if values else self._say(text)

    def _exactly(self, text: str, **values: object) -> re.Pattern[str]:
        """Return a pattern of an accessible name: it begins so, and a hint for those who can't see may follow."""
        # A slash would end the pattern where the browser reads it.
        told = re.escape(self._told(text, **values)).replace("/", r"\/")
        return re.compile(rf"^\s*{told}(?!\w)", re.IGNORECASE)

    def _press(self, element: Locator) -> None:
        expect(element).to_be_visible(timeout=PATIENCE)
        if self._keyboard:
            self._reach(element)
        # A link or a button of the portal leads to another page.
        with self.page.expect_navigation():
            if self._keyboard:
                self.page.keyboard.press("Enter")
            else:
                element.click()
        self.clicks += 1
        self.look()

    def _reach(self, *elements: Locator) -> None:
        """Press Tab until one of the elements holds the focus, and expect it to be in sight there."""
        handles: list[ElementHandle] = []
        for _ in range(LONGEST_WAY):
            # Found once and not at each press: to find one by its name, the browser names all that the page has.
            at = self.page.evaluate(_FOCUSED, handles) if handles else _GONE
            if at == _GONE:
                handles = [element.element_handle() for element in elements]
                at = self.page.evaluate(_FOCUSED, handles)
            if at >= 0:
                expect(elements[at]).to_be_in_viewport()
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab doesn't reach {elements[0]}")
