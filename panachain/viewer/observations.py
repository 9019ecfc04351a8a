"""Observations: values of one analyte over time, each with its unit, its reference range and what it was called.

Values of different units, or of different codes, never come into one line. A value that was taken back, that has a
comparator or no number is told in the table and isn't drawn as a point of the line.
Follows FHIR R4 (Observation, section 10.1) and UCUM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from panachain.viewer import values
from panachain.viewer.fhir import Found, References, marks_of, timing
from panachain.viewer.kinds import DENIED
from panachain.viewer.moments import NEVER, Moment, moment
from panachain.viewer.values import Resource, first, objects, word

_UCUM: Final = "http://unitsofmeasure.org"
_LOINC: Final = "http://loinc.org"
_MOST_COMPONENTS: Final = 500
_SECTIONS: Final = {"laboratory": "laboratory", "vital-signs": "vitals"}


@dataclass(frozen=True)
class Point:
    """One value."""

    when: Moment
    value: str
    """As it was written, with its comparator, without its unit."""
    unit: str
    reference: str
    """The reference range; empty where none was given."""
    interpretation: str
    """Codes or words."""
    state: str
    marks: tuple[str, ...]
    source: str
    resource: str
    record: int
    note: str = ""
    number: float | None = None
    """The value as a number that can be drawn; None for a text, a comparator, or what isn't so."""
    low: float | None = None
    high: float | None = None
    unit_key: str = ""
    """What tells units apart: the code of UCUM, or the text."""

    @property
    def is_fact(self) -> bool:
        """Whether it says that something is so."""
        return DENIED.isdisjoint(self.marks)


@dataclass(frozen=True)
class Series:
    """Values of one unit that can be drawn, oldest first."""

    unit: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Analyte:
    """What was measured, with all that was found."""

    key: str
    title: str
    codes: str
    points: tuple[Point, ...]
    """Newest first; those without a date last."""
    denied: tuple[Point, ...]
    """What isn't so, or doesn't count any more."""
    series: tuple[Series, ...]
    """One for each unit with two values at least."""

    @property
    def units(self) -> tuple[str, ...]:
        """The units that its values have."""
        return tuple(dict.fromkeys(point.unit for point in self.points if point.unit))


def section_of(found: Found) -> str:
    """Return the section that an observation is shown in."""
    for _, code in values.codes(found.resource.get("category")):
        if code.lower() in _SECTIONS:
            return _SECTIONS[code.lower()]
        if code.lower() in ("social-history", "survey", "exam", "imaging", "procedure", "therapy", "activity"):
            return "observations"
    return found.item.category if found.item.category in ("laboratory", "vitals") else "observations"


def read_points(found: Found, references: References, now: float) -> Iterator[tuple[str, str, str, Point]]:
    """Yield key, title and codes of each analyte in an observation, with the value of it."""
    resource = found.resource
    marks = list(marks_of(found))
    when = next(_moments(resource), NEVER)
    marks += timing(when, now)
    base = Point(
        when=when,
        value="",
        unit="",
        reference="",
        interpretation="",
        state=values.code(resource.get("status")),
        marks=tuple(dict.fromkeys(marks)),
        source=found.item.source,
        resource=found.name or found.kind,
        record=found.item.number,
        note=_note(resource),
    )
    parts = list(objects(resource.get("component")))[:_MOST_COMPONENTS]
    if values.chosen(resource, "value")[0] or resource.get("dataAbsentReason") or not parts:
        yield _part(resource, resource, base)
    for part in parts:
        yield _part(part, resource, base)


def analytes(found: Iterable[tuple[str, str, str, Point]]) -> tuple[Analyte, ...]:
    """Return all values by what was measured, in the order of the titles."""
    titles: dict[str, tuple[str, str]] = {}
    points: dict[str, list[Point]] = {}
    for key, title, codes, point in found:
        titles.setdefault(key, (title, codes))
        points.setdefault(key, []).append(point)
    made = (_analyte(key, *titles[key], points[key]) for key in titles)
    return tuple(sorted(made, key=lambda one: (one.title.casefold(), one.key)))


def _analyte(key: str, title: str, codes: str, points: list[Point]) -> Analyte:
    ordered = sorted(points, key=lambda one: -(one.when.seconds if one.when.seconds is not None else float("-inf")))
    seen: dict[tuple[object, ...], int] = {}
    for one in ordered:
        same = (one.when.text, one.value, one.unit_key)
        seen[same] = seen.get(same, 0) + one.is_fact
    told = [
        replace(one, marks=(*one.marks, "repeated"))
        if one.is_fact and seen[one.when.text, one.value, one.unit_key] > 1 and one.when.is_known
        else one
        for one in ordered
    ]
    drawn: dict[str, list[Point]] = {}
    for one in reversed(told):
        if one.is_fact and one.number is not None and one.when.is_known:
            drawn.setdefault(one.unit_key, []).append(one)
    return Analyte(
        key=key,
        title=title,
        codes=codes,
        points=tuple(one for one in told if one.is_fact),
        denied=tuple(one for one in told if not one.is_fact),
        series=tuple(Series(some[0].unit, tuple(some)) for some in drawn.values() if len(some) > 1),
    )


def _part(part: Resource, whole: Resource, base: Point) -> tuple[str, str, str, Point]:
    code = part.get("code") or whole.get("code")
    title = values.concept(code)
    kind, value = values.chosen(part, "value")
    unit = number = None
    unit_key, marks = "", list(base.marks)
    if kind in ("Quantity", "Age", "SimpleQuantity"):
        told = first(value)
        unit = values.unit(told)
        unit_key = word(told.get("code")) if told.get("system") == _UCUM and told.get("code") else unit
        shown = " ".join(filter(None, (word(told.get("comparator")), word(told.get("value")))))
        number = None if word(told.get("comparator")) else values.number(told.get("value"))
    elif kind:
        shown = values.said(kind, value)
        number = values.number(value) if kind == "Integer" else None
    else:
        shown = values.concept(part.get("dataAbsentReason"))
        marks.append("absent")
    ranges = list(objects(part.get("referenceRange")))
    reference = "; ".join(filter(None, (_range(one) for one in ranges[:20])))
    is_one = (
        len(ranges) == 1
        and ranges[0].get("type") in (None, {})
        and values.code(ranges[0].get("type")) in ("", "normal")
    )
    own = first(part.get("referenceRange"))
    point = replace(
        base,
        value=shown,
        unit=unit or "",
        unit_key=unit_key,
        number=number,
        reference=reference,
        low=_bound(own.get("low"), unit) if is_one else None,
        high=_bound(own.get("high"), unit) if is_one else None,
        interpretation=_interpretation(part),
        marks=tuple(dict.fromkeys(marks)),
    )
    return _key(code, title), title, values.named_codes(code), point


def _range(value: Resource) -> str:
    whom = values.concept(value.get("appliesTo")) or values.concept(value.get("type"))
    told = values.ranged(value)
    return f"{told} ({whom})" if told and whom else told


def _bound(value: Any, unit: str | None) -> float | None:
    """Return a limit of a reference range, if it is of the value's own unit."""
    told = first(value)
    return values.number(told.get("value")) if values.unit(told) in ("", unit) else None


def _interpretation(part: Resource) -> str:
    told = part.get("interpretation")
    found = [code for _, code in values.codes(told)]
    return ", ".join(dict.fromkeys(found)) or values.concept(told)


def _key(code: Any, title: str) -> str:
    """Return what tells analytes apart: the code of LOINC, any other one, or the text."""
    known = values.codes(code)
    chosen = next((one for one in known if one[0] == _LOINC), known[0] if known else None)
    return f"{chosen[0]}|{chosen[1]}" if chosen is not None else title.casefold()


def _moments(resource: Resource) -> Iterator[Moment]:
    for name in ("effectiveDateTime", "effectiveInstant", "appliesDateTime", "issued"):
        if word(resource.get(name)):
            yield moment(resource[name])
        start = first(resource.get(name.replace("DateTime", "Period"))).get("start")
        if start:
            yield moment(start)


def _note(resource: Resource) -> str:
    told = [values.text(one.get("text")) for one in objects(resource.get("note"))]
    return "\n".join(filter(None, [*told, values.text(resource.get("comments"))]))
