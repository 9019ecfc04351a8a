"""A real Chromium for the tests of the portal: the system's own, which keeps each request, dialog and error it sees.

Never a browser that playwright loads, and never a name of elsewhere: all but loopback is unknown to it, and what a test
maps. Each window begins with nothing: no cookie, no cache, no history. On each side of a test stands the same rule: an
error of the console that a test doesn't expect fails it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Playwright, Request, WebError

ROOT: Final = Path(__file__).resolve().parents[2]
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM: Final = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium is installed, and a browser decides here"
)
QUIET: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Options: a browser that asks nobody anything by itself, and runs in a container as well."""
PATIENCE: Final = 30_000
"""Milliseconds that one wait may take: a bound for what would hang, on a machine that runs other tests beside it."""
NARROW, WIDE = 320, 1_280
"""Widths in CSS pixels: of the smallest phone that WCAG 2.2 counts (criterion 1.4.10), and of a laptop."""
PAGE_LIMIT: Final = 150_000
"""Bytes that a page and all that it loads may weigh."""
Scheme = Literal["light", "dark"]
_AXE: Final = ROOT / "tools/node_modules/axe-core/axe.min.js"
# All of its rules, those of best practice too, and the one of WCAG 2.2 that is off by default.
_ASK_AXE: Final = """how => axe.run(document, {resultTypes: ['violations'], ...how}).then(found => found.violations)"""
_ALL: Final = {"rules": {"target-size": {"enabled": True}}}
COLOUR_RULES: Final = ("color-contrast", "link-in-text-block")
"""The rules of axe-core that look at colours, as far as they are on."""
_COLOURS: Final = {"runOnly": {"type": "rule", "values": list(COLOUR_RULES)}}


@dataclass
class Seen:
    """What a window saw, in order."""

    requests: list[str] = field(default_factory=list)
    """URL of each request, of frames and scripts too."""
    dialogs: list[str] = field(default_factory=list)
    """Text of each dialog; all were dismissed."""
    errors: list[str] = field(default_factory=list)
    """Each error of the console and each exception that nobody caught."""

    def elsewhere(self, *origins: str) -> list[str]:
        """Return the requests that went to none of these origins; what a page carries inside itself asks nobody."""
        own = (*(f"{origin}/" for origin in origins), "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(own)]


class Window:
    """One session of a browser with its pages."""

    def __init__(self, context: BrowserContext) -> None:
        """Listen to all that the session's pages do from now on."""
        self.context = context
        self.seen = Seen()
        self._requests: list[Request] = []
        context.set_default_timeout(PATIENCE)
        context.on("request", self._note)
        context.on("dialog", self._dismiss)
        context.on("console", self._listen)
        context.on("weberror", self._catch)
        self.page: Page = context.pages[0] if context.pages else context.new_page()

    def weigh(self, url: str) -> int:
        """Open a page with an empty cache, and return the bytes of all that it loaded."""
        session = self.context.new_cdp_session(self.page)
        session.send("Network.clearBrowserCache")
        session.detach()
        first = len(self._requests)
        self.page.goto(url, wait_until="networkidle")
        return sum(
            size["responseBodySize"] + size["responseHeadersSize"]
            for request in self._requests[first:]
            if not request.url.startswith(("data:", "blob:"))
            for size in [request.sizes()]
        )

    def violations(self, page: Page | None = None, *, colours_only: bool = False) -> list[str]:
        """Return what axe-core finds on the page as it stands, a line for each element.

        Args:
            page: another one than the window's first.
            colours_only: ask `COLOUR_RULES` alone, where all others were asked in other colours.
        """
        found: list[str] = []
        for frame in (page or self.page).frames:
            # Evaluated by the browser's own debugger, so that the page's policy stays as strict as it is; once in each
            # document, since that takes as long as half of what it is asked for.
            if frame.evaluate("typeof axe") == "undefined":
                frame.evaluate(_AXE.read_text("utf-8"))
            for one in frame.evaluate(_ASK_AXE, _COLOURS if colours_only else _ALL):
                what = f"{one['id']} ({one['impact']}): {one['help']}"
                found += [f"{what}: {node['html'][:200]}: {node['failureSummary'][:300]}" for node in one["nodes"]]
        return found

    def sideways(self) -> list[str]:
        """Return what reaches beyond the window's width: what makes the page scroll, and tables in boxes of their own.

        A table that stands in a record's own text is as wide as its author made it, and scrolls in its box.
        """
        return list(self.page.evaluate(_SIDEWAYS))

    def resize(self, width: int) -> None:
        """Make the window this wide."""
        self.page.set_viewport_size({"width": width, "height": 800})

    def paint(self, scheme: Scheme) -> None:
        """Ask for light or dark pages."""
        self.page.emulate_media(color_scheme=scheme)

    def _note(self, request: Request) -> None:
        self._requests.append(request)
        self.seen.requests.append(request.url)

    def _dismiss(self, dialog: Dialog) -> None:
        self.seen.dialogs.append(dialog.message)
        dialog.dismiss()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.seen.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _catch(self, error: WebError) -> None:
        self.seen.errors.append(str(error.error))


_SIDEWAYS: Final = """() => {
  const root = document.documentElement;
  const tables = [...document.querySelectorAll('table')].filter(one => !one.closest('.v-foreign'))
    .filter(one => one.scrollWidth > one.parentElement.clientWidth)
    .map(one => `${one.scrollWidth} px in ${one.parentElement.clientWidth}: ${one.outerHTML.slice(0, 150)}`);
  if (root.scrollWidth <= root.clientWidth) return tables;
  const out = [...document.querySelectorAll('body *')].filter(one => {
    if (one.getBoundingClientRect().right <= root.clientWidth + 1) return false;
    // What scrolls inside its own box widens no page.
    for (let box = one.parentElement; box && box !== document.body; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== 'visible') return false;
    return true;
  });
  const wide = `${root.scrollWidth} px in ${root.clientWidth}`;
  return [...tables, wide, ...out.slice(0, 5).map(one => one.outerHTML.slice(0, 150))];
}"""


class Chromium:
    """A running browser, which opens windows."""

    def __init__(self, playwright: Playwright, names: Collection[str] = ()) -> None:
        """Start it.

        Args:
            playwright: whose protocol speaks to it.
            names: host names that lead to this machine; all others lead nowhere.
        """
        self._playwright = playwright
        self._options: dict[str, Any] = {
            "executable_path": CHROMIUM,
            "args": [*QUIET, _rules(names)],
            "timeout": PATIENCE,
        }
        self._browser = playwright.chromium.launch(**self._options)

    @property
    def version(self) -> str:
        """The browser's version."""
        return self._browser.version

    def close(self) -> None:
        """End it."""
        self._browser.close()

    @contextmanager
    def window(self, *, expects: str = "", **look: Any) -> Iterator[Window]:
        """Open a window and close it; afterwards no error may have been shown that a test doesn't expect.

        Args:
            expects: a pattern of the errors that belong to what is tried.
            look: see `_look`.
        """
        context = self._browser.new_context(**_look(**look))
        try:
            yield (window := Window(context))
        finally:
            context.close()
        _check(window, expects)

    @contextmanager
    def lasting_window(self, folder: Path, *, expects: str = "", **look: Any) -> Iterator[Window]:
        """Open a window of a browser of its own, which keeps history and cookies in a folder, as people's do."""
        context = self._playwright.chromium.launch_persistent_context(folder, **self._options, **_look(**look))
        try:
            yield (window := Window(context))
        finally:
            context.close()
        _check(window, expects)


def _look(
    *, language: str = "en", scheme: Scheme = "light", width: int = WIDE, scripts: bool = True
) -> Mapping[str, Any]:
    """Return how a window is set up: its language, colours, width, and whether it runs a page's scripts."""
    return {
        "locale": {"en": "en-GB", "de": "de-DE"}[language],
        "timezone_id": "Europe/Zurich",
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 800},
        "java_script_enabled": scripts,
        "reduced_motion": "reduce",
        "accept_downloads": True,
    }


def _rules(names: Collection[str]) -> str:
    """Return the option after which names lead to this machine or nowhere."""
    maps = [f"MAP {name} 127.0.0.1" for name in names]
    own = [f"EXCLUDE {name}" for name in ("127.0.0.1", "localhost", "*.localhost")]
    return f"--host-resolver-rules={', '.join([*maps, 'MAP * ~NOTFOUND', *own])}"


def _check(window: Window, expects: str) -> None:
    unexpected = [error for error in window.seen.errors if not expects or not re.search(expects, error)]
    assert not unexpected, f"the browser's console says: {unexpected}"
