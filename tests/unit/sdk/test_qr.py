"""A QR code stands within a page as it is: it loads, runs and styles nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
import segno

from panachain.sdk.qr import inline


@pytest.mark.parametrize("border", [3, 4])
def test_it_has_the_modules_of_its_text_and_room_around_them(border: int) -> None:
    made = ET.fromstring(inline("pat-mfrggzdfmy2tq", border=border))
    side = segno.make("pat-mfrggzdfmy2tq", error="m", micro=False).symbol_size(border=border)[0]
    assert made.attrib == {"viewBox": f"0 0 {side} {side}"}
    assert [child.tag for child in made] == ["path"]


def test_it_has_a_class_where_a_page_gives_it_its_size() -> None:
    assert ET.fromstring(inline("x", name="qr")).get("class") == "qr"
    assert inline("x") != inline("y")
