"""A plot says in words what it shows, draws numbers only, and holds nothing of a record as markup."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from panachain.viewer import plots
from panachain.viewer.plots import Plot
from tests.unit.viewer.helpers import observation, of

SVG = "{http://www.w3.org/2000/svg}"


def drawn(values: list[float | str], title: str = "Glucose", most: int = 400) -> Plot:
    (one,) = (
        of(*(observation(value, f"{2000 + n}-01-01") for n, value in enumerate(values))).section("laboratory").analytes
    )
    return plots.of_series(
        one.series[0], title, ["City clinic"], identifier="p", description="words", tick=lambda _: "<tick>", most=most
    )


def test_is_named_and_described() -> None:
    root = ET.fromstring(drawn([1, 5, 3]).svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == "p-t p-d"
    assert {one.tag: one.text for one in root if one.tag in ("title", "desc")} == {"title": "Glucose", "desc": "words"}
    assert len(root.findall("circle")) == 3


def test_texts_are_escaped() -> None:
    assert "<script" not in drawn([1, 2], title='<script>"&').svg


@pytest.mark.parametrize("values", [[5, 5], [0, 0], [-1e14, 1e14], [1e-9, 2e-9], ["1.10", "1.2E+2"], [1, 1.0000000001]])
def test_any_numbers_can_be_drawn(values: list[float | str]) -> None:
    svg = drawn(values).svg
    ET.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg


def test_only_the_newest_are_drawn_and_it_says_so() -> None:
    made = drawn([1, 2, 3, 4], most=2)
    assert (made.svg.count("<circle"), made.is_all) == (2, False)


def test_encounters_stand_on_a_timeline_by_their_kind() -> None:
    visits = [
        {
            "resourceType": "Encounter",
            "status": "finished",
            "type": [{"text": kind}],
            "period": {"start": f"201{n}-01-01"},
        }
        for n, kind in enumerate(["Check-up", "Stay", "Check-up"])
    ]
    entries = of(*visits).section("encounters").entries
    made = plots.of_encounters(entries, "t", identifier="e", description="d", tick=lambda _: "", words=str)
    assert made is not None
    assert (made.svg.count("v-stay"), made.is_all) == (3, True)
    assert plots.of_encounters(entries[:1], "t", identifier="e", description="d", tick=lambda _: "", words=str) is None
