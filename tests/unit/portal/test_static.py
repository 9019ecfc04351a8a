"""Our copy of htmx is the one that npm has."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from panachain.portal.rendering import HERE

STATIC = HERE / "static"
NPM = Path(__file__).resolve().parents[3] / "tools/node_modules/htmx.org"


def test_the_copy_of_htmx_is_the_one_that_is_written_down() -> None:
    (noted,) = re.findall(r"`([0-9a-f]{64})`", (STATIC / "README.md").read_text())
    assert hashlib.sha256((STATIC / "htmx.min.js").read_bytes()).hexdigest() == noted


@pytest.mark.skipif(not NPM.is_dir(), reason="tools/node_modules isn't installed")
def test_the_copy_of_htmx_is_that_of_npm() -> None:
    assert (STATIC / "htmx.min.js").read_bytes() == (NPM / "dist/htmx.min.js").read_bytes()
    assert (STATIC / "htmx.LICENSE.txt").read_bytes() == (NPM / "LICENSE").read_bytes()


def test_dark_pages_differ_in_nothing_but_colours() -> None:
    """So tests in a browser ask of them only what looks at colours."""
    sheets = [STATIC / "portal.css", HERE.parent / "viewer/viewer.css"]
    for sheet in sheets:
        _, *dark = re.split(r"@media\s*\(prefers-color-scheme:\s*dark\)\s*", sheet.read_text("utf-8"))
        assert len(dark) == 1, sheet
        colours = r"\{\s*:root\s*\{(\s*--[\w-]+:\s*#[0-9a-f]{3,6};?)+\s*\}\s*\}"
        assert re.match(colours, dark[0]), sheet
    # And nothing else asks which colours somebody wants.
    asking = re.compile(r"prefers-color-scheme|matchMedia|light-dark\(")
    files = [one for place in (HERE, HERE.parent / "viewer") for one in place.rglob("*") if one.is_file()]
    texts = [one for one in files if one.suffix in {".css", ".html", ".js", ".svg", ".py"}]
    assert len(texts) > 50
    assert [one for one in texts if one not in sheets and asking.search(one.read_text("utf-8"))] == []


def test_colours_are_the_same_in_each_language() -> None:
    """So tests in a browser look at dark pages in one of them."""
    for sheet in (STATIC / "portal.css", HERE.parent / "viewer/viewer.css"):
        assert not re.search(r":lang\(|:dir\(|\[\s*(hreflang|lang|dir)\b|@import", sheet.read_text("utf-8")), sheet
    # And a class or a style that depends on one would be written in a template, or in what writes pages.
    asking = re.compile(r"""(?:class|style)\s*=\s*f?["'][^"']*\{[^}]*\b(?:language|locale|lang)\b""")
    texts = [one for place in (HERE, HERE.parent / "viewer") for one in place.rglob("*.*") if one.is_file()]
    pages = [one for one in texts if one.suffix in {".html", ".py"}]
    assert len(pages) > 50
    assert [one for one in pages if asking.search(one.read_text("utf-8"))] == []


_PAGE = """
const told = [], heard = {}, sent = [];
let now = 0, busy = null, tick = null, channel = null;
globalThis.Date = { now: () => now };
globalThis.document = {
  body: { dataset: DATASET, replaceChildren: () => told.push("emptied") },
  querySelector: (what) => (what.includes("aria-busy") ? busy : null),
  querySelectorAll: () => [],
  addEventListener: (what, act) => { heard[what] = act; },
};
globalThis.window = { addEventListener: (what, act) => { heard[what] = act; } };
globalThis.location = { hash: "", replace: (where) => told.push(where), reload: () => told.push("reloaded") };
globalThis.setInterval = (act) => { tick = act; };
globalThis.BroadcastChannel = class {
  addEventListener(_, act) { channel = act; }
  postMessage(what) { sent.push(what || now); }
};
SCRIPT
STEPS
console.log(JSON.stringify({ told, sent }));
"""


def _played(steps: str, **dataset: str) -> dict[str, list[object]]:
    """Return what portal.js does on a page that locks after 60 seconds, or on another one, by a clock of the test's."""
    node = shutil.which("node")
    assert node
    script = (STATIC / "portal.js").read_text().replace('"use strict";', "")
    page = (
        _PAGE.replace("DATASET", json.dumps(dataset or {"locksAfter": "60"}))
        .replace("SCRIPT", script)
        .replace("STEPS", steps)
    )
    done = subprocess.run([node, "-e", page], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not NPM.is_dir(), reason="tools/node_modules isn't installed")
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("now = 60000; tick();", []),
        ("now = 60001; tick();", ["emptied", "/unlock"]),
        # The machine slept, and no timer ran.
        ("now = 9e6; heard.visibilitychange();", ["emptied", "/unlock"]),
        # Another tab was used meanwhile.
        ('now = 50000; channel({ data: "" }); now = 110000; tick();', []),
        ('now = 50000; channel({ data: "" }); now = 110001; tick();', ["emptied", "/unlock"]),
        # Somebody locked in another tab.
        ('channel({ data: "locked" });', ["emptied", "/unlock"]),
        # Work goes on, and then ends.
        ("busy = {}; now = 70000; tick(); busy = null; now = 130000; tick();", []),
        ("busy = {}; now = 70000; tick(); busy = null; now = 130001; tick();", ["emptied", "/unlock"]),
        ("heard.pageshow({ persisted: true });", ["reloaded"]),
        ("heard.pageshow({ persisted: false });", []),
    ],
)
def test_what_a_page_shows_goes_when_the_portal_locks(steps: str, told: list[str]) -> None:
    played = _played(steps)
    assert played["told"] == told
    assert played["sent"][0] == 0


@pytest.mark.skipif(not NPM.is_dir(), reason="tools/node_modules isn't installed")
def test_a_page_of_a_locked_portal_goes_nowhere() -> None:
    assert _played("if (tick) tick();", locksAfter="") == {"told": [], "sent": []}


@pytest.mark.skipif(not NPM.is_dir(), reason="tools/node_modules isn't installed")
def test_a_page_after_the_lock_tells_the_other_tabs_and_hears_none() -> None:
    assert _played("if (tick) tick(); if (channel) channel();", locked="") == {"told": [], "sent": ["locked"]}


@pytest.mark.parametrize("script", sorted(path.name for path in STATIC.glob("*.js") if path.name != "htmx.min.js"))
def test_which_fields_a_form_sends_is_for_the_browser_to_say(script: str) -> None:
    # A script that goes over fields itself sends boxes that aren't checked as if somebody had chosen them.
    text = (STATIC / script).read_text()
    assert not re.search(r"new FormData\(\s*\)", text)
    assert not re.search(r"\.append\(\s*\w+\.name\b", text)
    assert not re.search(r"querySelectorAll\([^)]*\b(select|textarea)\b", text)


def test_an_upload_sends_the_form_itself_and_each_file_once() -> None:
    text = (STATIC / "upload.js").read_text()
    made, left_out = text.index("new FormData(form)"), text.index("data.delete(input.name)")
    # The files of the form are taken out, before they are put in with their paths.
    assert made < left_out < text.index('data.append("files"')
