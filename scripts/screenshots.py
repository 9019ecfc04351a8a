"""Pictures of every page of the portal into docs/img/, as people see them after the story that the demo tells.

    .venv/bin/python scripts/screenshots.py [--only ROLE ...] [--language en] [--into docs/img]

Needs the system's Chromium and what `./pana setup dev` installs. The world is the tests' twin. Each page is taken at
1,280 px and at 390 px, the width of a usual phone, light, and cut where it gets longer than a person scrolls.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
SIZES: Final = {"wide": (1_280, 1_600), "phone": (390, 1_400)}
"""Width and greatest height of a picture, in CSS pixels, by what it is called."""
EVERYBODYS: Final = 80
"""From this place of the navigation on, pages are everybody's."""
SECTIONS: Final = ("laboratory", "medications", "imaging", "documents")
"""Of opened records: the pages that are shown of them, beside their overview."""
DOCUMENTS: Final = {"Discharge summary": "letter", "Image (DICOM)": "picture"}
"""And the documents: how their titles begin, and what their pictures are called."""
COLOURS: Final = 32
"""Of a picture: text on plain grounds needs few, and the file gets a third as large."""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="people of the story, such as patient")
    parser.add_argument("--language", default="en")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "img")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    # By this name, since some installed packages bring a package `tests` of their own.
    tests = ModuleType("tests")
    vars(tests)["__path__"] = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
    serving: Any = import_module("tests.portal.serving")
    browser: Any = import_module("tests.portal.browser")
    from playwright.sync_api import sync_playwright

    from panachain.portal.pages import navigation

    options.into.mkdir(parents=True, exist_ok=True)
    written = 0
    with serving.served_story() as world, sync_playwright() as playwright:
        chromium = browser.Chromium(playwright)
        for role in options.only or serving.ROLES:
            with chromium.window(language=options.language) as window:
                portal = world.portal(role)
                serving.enter(window, portal)
                serving.open_records(window, portal)
                everybodys = [page.path for page in navigation(world.role(role)) if page.order >= EVERYBODYS]
                for path in serving.walk(window, portal):
                    # What everybody has looks the same for all: the first one's pictures stand for it.
                    if role != serving.ROLES[0] and path.startswith(tuple(everybodys)):
                        continue
                    called = _called(path, window.page.title())
                    if not called:
                        continue
                    for size in SIZES:
                        picture = _take(window, size)
                        file = options.into / f"{role}-{called}-{size}.png"
                        file.write_bytes(picture)
                        written += len(picture)
                        print(f"{file.name} {len(picture):,} bytes", flush=True)
        chromium.close()
    print(f"{written:,} bytes in all")


def _called(path: str, title: str) -> str:
    """Return what a page's pictures are called: its path's words, without names and numbers; empty for none.

    Of opened records only some sections and documents are shown: the others look alike.
    """
    if "/section/" in path and not re.search(rf"/section/({'|'.join(SECTIONS)})\b", path):
        return ""
    if "/document/" in path:
        return next((f"opened-document-{word}" for of, word in DOCUMENTS.items() if title.startswith(of)), "")
    words = [word for word in re.split(r"[/.]", path.partition("?")[0]) if word and not _is_name(word)]
    return "-".join(words) + ("-one" if _is_name(path.rpartition("/")[2]) else "") or "home"


def _is_name(word: str) -> bool:
    return re.fullmatch(r"0x[0-9a-fA-F]+|(?![a-z]+\b)[\w-]{12,}|\d+", word.partition("?")[0]) is not None


def _take(window: Any, size: str) -> bytes:
    """Return one picture of the page that a window shows, as a small PNG."""
    from PIL import Image

    width, most = SIZES[size]
    window.page.set_viewport_size({"width": width, "height": 900})
    # What stands on the page, and not the empty rest of the window.
    height = min(most, window.page.evaluate("Math.ceil(document.body.getBoundingClientRect().bottom)"))
    whole = window.page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": max(height, 200)})
    small = io.BytesIO()
    with Image.open(io.BytesIO(whole)) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
