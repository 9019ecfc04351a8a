"""Apple Health: an export is cut by the year and the category of what was measured, each element with its very bytes.

What is sensitive by its type stands in `sensitivity/data/apple.tsv`; words of other types, of names of apps and of
notes count as in any text. A clinical record names a file that nobody looked into here: it is closed. Opens no file and
seals nothing.
Follows the DTD that the export holds (version 14).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, BinaryIO, Final, NamedTuple

from panachain.model.scope import UNDATED, Category
from panachain.records.fhir_category import bounded_year
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import UNKNOWN_LABEL, restricted_category
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.sensitivity.tables import rows
from panachain.records.split import Cut, Piece, grouped
from panachain.records.xml_cutter import Cutter, Form, form_of, pieces_of

ROOT: Final = "HealthData"
MEDIA_TYPE: Final = "application/xml"
BIRTH: Final = "HKCharacteristicTypeIdentifierDateOfBirth"
"""Attribute of `Me`."""
_ME: Final = "Me"
_CLINICAL: Final = "ClinicalRecord"
_CATEGORIES: Final = {
    _ME: Category.DEMOGRAPHICS,
    "VisionPrescription": Category.PROCEDURES,
    "Audiogram": Category.PROCEDURES,
    "MedicationDoseEvent": Category.MEDICATIONS,
    "HKQuantityTypeIdentifierInsulinDelivery": Category.MEDICATIONS,
    "HKQuantityTypeIdentifierBloodGlucose": Category.LABORATORY,
}
"""By element and by type; what isn't listed is a vital sign, as FHIR's category `activity` is."""
_DATES: Final = ("startDate", "date", "dateIssued", "dateComponents", "receivedDate", "creationDate")
_SILENT: Final = frozenset({*_DATES, "endDate", "device", "sourceVersion", "unit", "value", "identifier"})
"""Attributes whose values are no words."""
_PREFIX: Final = re.compile(r"^HK\w*?(?:Identifier|Key|Value)(?=[A-Z])")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MOST_TYPES: Final = 1 << 16
"""Types that are told apart, and texts that are remembered."""


class Counted(NamedTuple):
    """Elements of one type that go the same way."""

    name: str
    category: Category
    year: int
    findings: tuple[Finding, ...]
    number: int


def split_export(file: BinaryIO, category: Category | None = None, matcher: Matcher | None = None) -> Iterator[Piece]:
    """Yield the records of an export, holding no more than some elements.

    Args:
        file: the export.
        category: a restricted one holds for whatever isn't restricted by itself.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: it isn't well formed, declares entities, or an element is too large.
    """
    form = _form(file)
    used = matcher or matcher_of()

    def cuts() -> Iterator[Cut]:
        cutter = Cutter(form)
        for part in cutter.feed_all(pieces_of(file)):
            kind = _kind_of(part.name, part.value)
            yield Cut(
                part.kept, _category(kind, _findings(part.name, kind, part.value, used)), _year(part.name, part.value)
            )
        yield Cut(cutter.rest, Category.DOCUMENTS, UNDATED, beside=True)

    yield from grouped(cuts(), form, category)


def check_export(file: BinaryIO) -> None:
    """Read an export to its end, as `split_export` would.

    Raises:
        InputError: as `split_export`.
    """
    for _ in Cutter(_form(file)).feed_all(pieces_of(file)):
        continue


def counted(file: BinaryIO, matcher: Matcher) -> Iterator[Counted]:
    """Yield what an export holds, all elements of one type, year and way together.

    Args:
        file: the export.
        matcher: says what is sensitive.

    Raises:
        InputError: as `split_export`.
    """
    found = Counter[tuple[str, Category, int, tuple[Finding, ...]]]()
    for part in Cutter(_form(file)).feed_all(pieces_of(file)):
        kind = _kind_of(part.name, part.value)
        why = _findings(part.name, kind, part.value, matcher)
        found[
            kind if len(found) < _MOST_TYPES else "others", _category(kind, why), _year(part.name, part.value), why
        ] += 1
    for (name, category, year, why), number in found.items():
        yield Counted(name, category, year, why, number)


def births(file: BinaryIO) -> Iterator[str]:
    """Yield the birth date of whom an export is about, as it stands there."""
    for part in Cutter(_form(file)).feed_all(pieces_of(file)):
        if part.name == _ME:
            yield str(part.value.get(BIRTH, ""))
            return
        if part.value.get("startDate"):
            # It stands before all that was measured.
            return


def _form(file: BinaryIO) -> Form:
    return form_of(file, MEDIA_TYPE, lambda root, name: root == ROOT and name != "ExportDate")


def _kind_of(name: str, value: dict[str, Any]) -> str:
    """Return the type of what was measured, or else the element's name."""
    kind = value.get("type")
    return kind if isinstance(kind, str) and name in ("Record", "Correlation") else name


def _category(kind: str, found: tuple[Finding, ...]) -> Category:
    restricted = restricted_category(list(found), RESTRICTED_DEFAULT) if found else None
    return restricted or _CATEGORIES.get(kind, Category.VITALS)


def _year(name: str, value: dict[str, Any]) -> int:
    if name == _ME:
        return UNDATED
    for one in _DATES:
        text = value.get(one)
        if isinstance(text, str) and (digits := text[:4]).isascii() and digits.isdigit():
            return bounded_year(int(digits))
    return UNDATED


def _findings(name: str, kind: str, value: dict[str, Any], matcher: Matcher) -> tuple[Finding, ...]:
    found = dict.fromkeys(_of_type(kind, matcher))
    if name == _CLINICAL:
        found[Finding(UNKNOWN_LABEL, tells=True, rule="a clinical record that nobody looked into")] = None
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            if item[:1].isalpha():
                found.update(dict.fromkeys(_of_type(item, matcher)))
        else:
            stack.extend(one for key, one in item.items() if key not in _SILENT)
    return tuple(found)


@lru_cache(maxsize=_MOST_TYPES)
def _of_type(text: str, matcher: Matcher) -> tuple[Finding, ...]:
    """Return what a type, a key, or another text tells."""
    listed = _listed_in(text) if text.startswith("HK") or text.isalnum() else None
    if listed is not None:
        closes = listed.kind in matcher.profile.kinds and (listed.tells or matcher.profile.hints)
        return (listed,) if closes else ()
    return matcher.text(_HUMP.sub(" ", _PREFIX.sub("", text)))


def _listed_in(kind: str) -> Finding | None:
    exact, begins = _types()
    found = exact.get(kind)
    return found if found is not None else next((one for begin, one in begins.items() if kind.startswith(begin)), None)


@cache
def _types() -> tuple[dict[str, Finding], dict[str, Finding]]:
    """Return what types tell, and what beginnings of types tell."""
    exact, begins = dict[str, Finding](), dict[str, Finding]()
    for kind, code, strength, display, _source in rows("apple"):
        finding = Finding(code, strength == "tells", f"apple: {kind} {display}")
        (begins if kind.endswith("*") else exact)[kind.rstrip("*")] = finding
    return exact, begins
