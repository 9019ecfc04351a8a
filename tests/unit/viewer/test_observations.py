"""Values of one analyte over time: units never mix in a line, and what isn't so is never drawn."""

from __future__ import annotations

from typing import Any

from panachain.viewer.observations import Analyte
from tests.unit.viewer.helpers import item, observation, of, shown


def analyte(*resources: dict[str, Any]) -> Analyte:
    (one,) = of(*resources).section("laboratory").analytes
    return one


def test_values_come_newest_first_and_those_without_a_date_last() -> None:
    found = analyte(observation(1, "2019"), observation(2, ""), observation(3, "2021-05-05"))
    assert [point.value for point in found.points] == ["3", "1", "2"]
    assert "no_date" in found.points[-1].marks


def test_units_are_never_joined_in_one_line() -> None:
    found = analyte(*(observation(n, f"202{n}", unit) for n in (0, 1) for unit in ("mg/dL", "mmol/L")))
    assert sorted((series.unit, len(series.points)) for series in found.series) == [("mg/dL", 2), ("mmol/L", 2)]
    assert set(found.units) == {"mg/dL", "mmol/L"}


def test_a_code_of_ucum_tells_units_and_a_name_without_one_does_not_join_them() -> None:
    def quantity(unit: str, code: str) -> dict[str, Any]:
        return {"value": 5, "unit": unit, "system": "http://unitsofmeasure.org", "code": code}

    found = analyte(
        observation(1, "2020", valueQuantity=quantity("mg per dL", "mg/dL")),
        observation(1, "2021", valueQuantity=quantity("mg/dL", "mg/dL")),
        observation(1, "2022", valueQuantity=quantity("units", "g/L")),
        observation(1, "2023", valueQuantity=quantity("units", "mg/L")),
    )
    assert [len(series.points) for series in found.series] == [2]


def test_what_is_not_so_or_no_number_is_told_and_not_drawn() -> None:
    found = analyte(
        observation(1, "2019"),
        observation(2, "2020"),
        observation(900, "2021", status="entered-in-error"),
        observation(900, "2021", modifierExtension=[{"url": "urn:x"}]),
        observation(5, "2022", valueQuantity={"value": 5, "unit": "mg/dL", "comparator": "<"}),
        observation(900, "2023", status="cancelled"),
    )
    assert [point.value for point in found.series[0].points] == ["1", "2"]
    assert len(found.denied) == 3
    assert "< 5" in [point.value for point in found.points]


def test_a_value_that_two_hospitals_recorded_stands_there_twice_and_says_so() -> None:
    chart = shown(item(observation(5, "2020-02-02")), item(observation(5, "2020-02-02"), number=2, hospital="Mercy"))
    (one,) = chart.section("laboratory").analytes
    assert [(point.source, "repeated" in point.marks) for point in one.points] == [
        ("City clinic", True),
        ("Mercy", True),
    ]


def test_components_are_analytes_of_their_own_and_share_what_is_said_of_the_whole() -> None:
    parts = [
        {"code": {"text": name}, "valueQuantity": {"value": value, "unit": "mmHg"}}
        for name, value in (("Systolic", 120), ("Diastolic", 80))
    ]
    whole = {"resourceType": "Observation", "status": "entered-in-error", "code": {"text": "BP"}, "component": parts}
    found = of(whole).section("laboratory").analytes
    assert [(one.title, len(one.points), len(one.denied)) for one in found] == [("Diastolic", 0, 1), ("Systolic", 0, 1)]


def test_the_range_is_drawn_only_if_it_is_one_and_of_the_same_unit() -> None:
    def one(*ranges: dict[str, Any]) -> tuple[float | None, float | None]:
        point = analyte(observation(5, referenceRange=list(ranges))).points[0]
        return point.low, point.high

    low, high = {"value": 2, "unit": "mg/dL"}, {"value": 9, "unit": "mg/dL"}
    assert one({"low": low, "high": high}) == (2.0, 9.0)
    assert one({"low": {"value": 2, "unit": "g/L"}, "high": high}) == (None, 9.0)
    assert one({"low": low}, {"low": high}) == (None, None)


def test_a_missing_value_says_why() -> None:
    resource = observation(1, dataAbsentReason={"text": "clotted"})
    del resource["valueQuantity"]
    point = analyte(resource).points[0]
    assert (point.value, "absent" in point.marks) == ("clotted", True)
