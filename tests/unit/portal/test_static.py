"""Our copy of htmx is the one that npm has."""

from __future__ import annotations

import hashlib
import re
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
