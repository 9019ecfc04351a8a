"""The reference of the Python package builds without a warning, has every public class, and loads nothing from afar."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import panachain
from tests.docs.blocks import ROOT

MKDOCS = ROOT / ".cache" / "docs" / "bin" / "mkdocs"


class Loaded(HTMLParser):
    """Collects what a page loads: scripts, styles, pictures, frames; links that a reader may follow aren't loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "src" or (name == "href" and tag == "link")]


def test_every_page_of_the_menu_is_there_and_every_page_is_in_the_menu() -> None:
    menu = re.findall(r"^  - (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(path.name for path in (ROOT / "docs" / "reference").glob("*.md"))


def test_the_packages_are_pinned_with_hashes_and_name_no_host() -> None:
    lock = (ROOT / "requirements" / "docs.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w-]+)==[^\\]*\\$", lock, re.MULTILINE)
    assert {"mkdocs", "mkdocstrings", "mkdocstrings-python"} <= set(pinned)
    assert len(re.findall(r"^[\w-]+==", lock, re.MULTILINE)) == len(pinned)
    assert "http" not in lock


@pytest.mark.deep
class TestPages:
    @pytest.fixture(scope="class")
    def pages(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        if not MKDOCS.exists():
            pytest.skip("MkDocs isn't installed: ./pana docs does it")
        folder = tmp_path_factory.mktemp("pages")
        built = subprocess.run(
            [MKDOCS, "build", "--strict", "--quiet", "--site-dir", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (built.returncode, built.stderr) == (0, "")
        return folder

    def test_name_every_public_class_with_its_example(self, pages: Path) -> None:
        text = "".join(path.read_text(encoding="utf-8") for path in pages.glob("*.html"))
        shown = set(re.findall(r'<h\d id="panachain\.(?:[\w.]+\.)?(\w+)"', text))
        # A union of classes isn't one.
        assert set(panachain.__all__) - {"AnyActor"} - shown == set()
        assert "&gt;&gt;&gt;" in text

    def test_load_nothing_from_elsewhere(self, pages: Path) -> None:
        for path in pages.rglob("*.html"):
            loaded = Loaded()
            loaded.feed(path.read_text(encoding="utf-8"))
            assert [url for url in loaded.found if url.startswith(("http:", "https:", "//"))] == []
        styles = "".join(path.read_text(encoding="utf-8") for path in pages.rglob("*.css"))
        assert re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", styles) == []
