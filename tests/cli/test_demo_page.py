"""The demo's page: one file without outside resources, no hex in the open, readable on a phone (tried in a browser)."""

from __future__ import annotations

import html
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.demo_page import page

pytestmark = pytest.mark.checkout
HEX = "0x52908400098527886E0F7030069857D2E4169EE7"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (320, 360, 1280)
"""Pixels: a small phone, a usual one, a laptop."""


def step(**fields: Any) -> dict[str, Any]:
    return {
        "title": "The hospital uploads 2 files, split by category",
        "short": "upload",
        "ms": 1234.5,
        "gas": 69_500,
        "note": "65 records, 64.7 KiB, sealed to 37.7 KiB before they leave the hospital.",
        "titles": ["category", "years", "records", "size"],
        "rows": [
            ["family-history", "2019, 2021-2022, 2024", "1,204", "917.8 KiB"],
            ["laboratory", "undated", "4", "1 B"],
        ],
        "details": {"manifest": "bafkreiht2qyeftf3cv3xhdwht3ngguwclfion7y2i7uns5jmg3nd7vwkie", "policy": HEX},
    } | fields


REPORT: dict[str, Any] = {
    "ok": True,
    "lead": "A hospital seals a patient's records.",
    "limits": "What was opened before can't be called back.",
    "numbers": [["steps", "16"], ["gas in all", "190,763"]],
    "matrix": {
        "parts": ["granted", "rest"],
        "rows": [["clinician", ["yes", "no"], ["no", "no"]], ["researcher", ["no", "no"], ["no", "no"]]],
        "caption": "All of it was tried.",
    },
    "steps": [
        step(),
        step(titles=["who", "role"], rows=[["clinician", "practitioner"]], gas=0, details={}),
        step(
            titles=["step", "state", "what it does", "what it can't do"],
            rows=[
                ["1 on chain", "not asked for: --rotate", "Honest proxies refuse from the next block on. " * 3, "Stop."]
            ],
        ),
        step(title="T" + "i" * 60 + " <b>&", note="<script>alert(1)</script>", rows=[], titles=[]),
    ],
}


def test_the_page_needs_nothing_from_outside() -> None:
    made = page(REPORT)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\bsrc=|\bhref=", made)
    assert "http" not in made


def test_what_happened_is_escaped() -> None:
    made = page(REPORT)
    assert "<script>" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made


def test_identifiers_stand_behind_details_only() -> None:
    made = page(REPORT)
    assert HEX in made
    assert HEX not in re.sub(r"<details>.*?</details>", "", made)


def test_the_matrix_marks_what_the_revocation_changed() -> None:
    made = page(REPORT)
    assert made.count('class="no changed"') == 1
    assert "Everything held" in made


def test_a_story_that_failed_early_has_a_page_too() -> None:
    made = page(REPORT | {"ok": False, "steps": [], "matrix": {"parts": [], "rows": []}})
    assert "The story failed" in made


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, so the page wasn't looked at")
class TestBrowser:
    """Chromium lays the page out in frames of several widths, since its own windows can't be as narrow as a phone."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("browser")

    def frames(self, folder: Path) -> Path:
        made = html.escape(page(REPORT))
        frames = "".join(
            f'<iframe style="width:{width}px;height:1500px;border:0" srcdoc="{made}"></iframe>' for width in WIDTHS
        )
        script = (
            "onload = () => { document.title = [...document.querySelectorAll('iframe')].map(frame => {"
            " const root = frame.contentDocument.documentElement;"
            " const out = [...root.querySelectorAll('*')].filter("
            "one => one.getBoundingClientRect().right > root.clientWidth + 1);"
            " return [root.clientWidth, root.scrollWidth, out.length, root.scrollHeight].join('x'); }).join(' '); }"
        )
        file = folder / "frames.html"
        file.write_text(f"<!doctype html><title>none</title>{frames}<script>{script}</script>", encoding="utf-8")
        return file

    def chromium(self, folder: Path, *options: str) -> str:
        assert CHROMIUM is not None
        common = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
        )
        quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
        done = subprocess.run(
            [CHROMIUM, *common, *quiet, f"--user-data-dir={folder / 'profile'}", *options],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        return done.stdout

    def test_nothing_overflows_at_any_width(self, folder: Path) -> None:
        shown = self.chromium(folder, "--dump-dom", f"file://{self.frames(folder)}")
        found = re.search(r"<title>(.*?)</title>", shown)
        assert found is not None
        for width, measured in zip(WIDTHS, found[1].split(), strict=True):
            client, scroll, out, height = map(int, measured.split("x"))
            assert (client, scroll, out) == (width, width, 0)
            assert height > 800

    def test_screenshots_have_their_size_and_are_not_blank(self, folder: Path) -> None:
        file = folder / "page.html"
        file.write_text(page(REPORT), encoding="utf-8")
        for width in (500, 1280):
            picture = folder / f"{width}.png"
            self.chromium(folder, f"--window-size={width},2000", f"--screenshot={picture}", f"file://{file}")
            content = picture.read_bytes()
            assert struct.unpack(">II", content[16:24]) == (width, 2000)
            # A blank page of this size is a few kB of PNG.
            assert len(content) > 30_000
