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
