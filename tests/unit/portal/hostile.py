"""Texts by which others attack a page, a reader's eye, or a template."""

from __future__ import annotations

from typing import Final

from panachain.portal.desk import Seat
from tests.portal.conftest import Portal

TEXTS: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></select><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "%(who)s %s {0}",
    "\u202egnp.exe\u2066\u200b",
    "a\x00b\x1b[2Jc",
    "A" * 5_000,
)
"""Markup in every place of HTML, templates, formats, letters that turn the writing around, controls, and length."""


def label(text: object) -> str:
    """Return what a test is called that takes one of them."""
    return ascii(text)[:16]


def harmless(html: str) -> bool:
    """Tell whether a page holds none of the texts in a way that a browser or an eye could fall for."""
    raw = ("<script>alert", "<img src=x", "<svg onload", "onmouseover='alert", 'href="javascript:', "\u202e", "\u2066")
    return not any(bad in html for bad in (*raw, "\x00", "\x1b", ">49<"))


def seat_of(portal: Portal) -> Seat:
    """Return the only seat that is taken."""
    (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat is not None]
    return seat
