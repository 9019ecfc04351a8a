"""A hundred hostile records in one view: nothing runs, nothing loads, nothing leads away; in a browser too."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from posixpath import join, normpath

import pytest

from panachain.viewer import folder, rendering
from panachain.viewer.chart import Chart, chart
from tests.portal.harmless import Page
from tests.portal.hostile_records import SHOUT, TRAP, items, records

NO_BROWSER = "no chromium is installed, and a browser decides here"
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def shown() -> Chart:
    return chart(items(), language="de", now=1_800_000_000.0)


@pytest.fixture(scope="module")
def files(shown: Chart) -> dict[str, bytes]:
    return dict(folder.files(shown))


def test_there_are_a_hundred_and_each_is_told() -> None:
    assert len(records()) >= 100
    assert len({one.name for one in records()}) == len(records())


def test_no_page_holds_anything_that_runs_loads_or_leads_away(files: dict[str, bytes]) -> None:
    pages = {name: content for name, content in files.items() if name.endswith(".html")}
    assert len(pages) > 20
    for name, content in pages.items():
        page = Page()
        page.feed(content.decode())
        assert (name, page.wrong) == (name, [])
        assert page.policies == [rendering.policy()]
        assert "".join(page.style) == rendering.style()
        assert len(page.ids) == len(set(page.ids)), name
        targets = {
            normpath(join(name.rpartition("/")[0], link.partition("#")[0])) for link in page.links if link[:1] != "#"
        }
        assert targets <= set(files), name


def test_what_they_say_stands_there_as_text(files: dict[str, bytes]) -> None:
    together = b"".join(content for name, content in files.items() if name.endswith(".html")).decode()
    assert "&lt;script&gt;" in together
    assert "<script" not in together.lower()
    assert f'<img src="{TRAP}' not in together
    # Signs of a template or of a format count as what they are.
    assert "{{7*7}}" in together
    assert "50%" in together


def test_nothing_unseen_turns_the_writing_around(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        if name.endswith(".html"):
            found = {sign for sign in content.decode() if not sign.isprintable() and sign != "\n"}
            assert (name, found) == (name, set())


def test_one_that_cannot_be_shown_costs_no_other(shown: Chart) -> None:
    numbers = {one.name: number for number, one in enumerate(records(), 1)}
    unread = {one.record for one in shown.unread}
    assert {numbers[name] for name in ("depth of JSON", "fhir xml with entities")} <= unread
    assert len(unread) < 8
    titles = {entry.title for section in shown.sections for entry in section.entries}
    assert {"script", "mutation math", "css url"} <= titles


def test_names_of_files_are_made_of_numbers(files: dict[str, bytes]) -> None:
    assert all(
        re.fullmatch(r"index\.html|view/[a-z]+(-values)?(-\d+)*(-frame|-cine|-window-\d)?\.(html|png|pdf)", name)
        for name in files
    )


class TestBrowser:
    """The same pages in Chromium, from the disk, behind a proxy that keeps what it is asked for."""

    @pytest.fixture
    def asked(self) -> Iterator[tuple[str, list[str]]]:
        seen: list[str] = []

        class Proxy(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(f"{self.command} {self.path}")
                self.send_error(502)

            do_POST = do_CONNECT = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}", seen
            finally:
                server.shutdown()
                thread.join()

    def test_asks_nobody_and_opens_no_dialog(
        self, files: dict[str, bytes], asked: tuple[str, list[str]], tmp_path: Path
    ) -> None:
        sync_api = pytest.importorskip("playwright.sync_api", reason=NO_BROWSER)
        program = os.environ.get("PANACHAIN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip(NO_BROWSER)
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        proxy, seen = asked
        dialogs: list[str] = []
        requests: list[str] = []
        refused: list[str] = []
        with sync_api.sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=program,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
                proxy={"server": proxy, "bypass": "<-loopback>"},
            )
            page = browser.new_page()
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            page.on("request", lambda request: requests.append(request.url))
            page.on("console", lambda message: refused.append(message.text))
            page.on("popup", lambda popup: dialogs.append(popup.url))
            pictures = 0
            for name in sorted(one for one in files if one.endswith(".html")):
                page.goto((tmp_path / name).as_uri(), wait_until="load")
                page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                page.evaluate(
                    "document.querySelectorAll('main *').forEach(one => ['mouseover', 'pointerover', 'focus', 'click']"
                    ".forEach(kind => ['A', 'SUMMARY'].includes(one.tagName) || one.dispatchEvent(new Event(kind))))"
                )
                page.wait_for_timeout(50)
                assert page.url == (tmp_path / name).as_uri()
                assert page.title() != SHOUT
                assert page.evaluate("document.querySelectorAll('script, iframe, object, embed, form').length") == 0
                pictures += page.evaluate("[...document.images].filter(one => one.complete && one.naturalWidth).length")
            browser.close()
        assert dialogs == []
        assert {one for one in requests if not one.startswith(tmp_path.as_uri())} == set()
        assert [one for one in seen if "trap" in one] == []
        # The page's own policy isn't in the way of its own pictures and style.
        assert pictures > 0
        assert [one for one in refused if "refused" in one.lower() or "violates" in one.lower()] == []
