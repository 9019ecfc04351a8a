"""One browser for a file's tests, since its start takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from tests.portal.browser import Chromium

NAMES = ("evil.test", "rebound.test")
"""Host names of others that lead to this machine."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = Chromium(playwright, NAMES)
        try:
            yield browser
        finally:
            browser.close()
