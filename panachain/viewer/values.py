"""Values of FHIR as texts: whatever stands there, of any version and of no version, gives a text and raises nothing.

Texts are cleaned here, once. Numbers keep the digits that were written. JSON and XML look the same from here on.
Follows FHIR R4 (datatypes), with the older names of DSTU2 and STU3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from panachain.errors import InputError
from panachain.plain import clean, line
from panachain.records import canonical
from panachain.viewer.items import UnreadableError
from panachain.viewer.words import N_

Resource = Mapping[str, Any]
MOST_TEXT: Final = 100_000
"""Characters of a text that is shown."""
MOST_VALUES: Final = 5_000_000
"""Values of one record: a text of little else than brackets takes a hundred times its size in memory."""
_SHORT: Final = 1_000
_LARGE: Final = 10**40
_NAMES: Final = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED CT",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/icd-10": "ICD-10",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": "ICD-10-GM",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD-9-CM",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://hl7.org/fhir/sid/ndc": "NDC",
    "http://www.whocc.no/atc": "ATC",
    "http://www.ama-assn.org/go/cpt": "CPT",
}
"""Code systems → what people call them."""


def parsed(content: bytes) -> Any:
    """Return what JSON says: decimals are texts as they were written, after a sign that marks them (`canonical`).

    Raises:
        UnreadableError: it is no JSON, nested too deeply, or holds more values than are looked at.
    """
    try:
        if sum(content.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
            raise UnreadableError(N_("it holds more values than are looked at"))
        # Python's own limit guards a decoder in C by default, but other packages raise that.
        if content.count(b"{") + content.count(b"[") > canonical.STORED_DEPTH:
            canonical.check_depth(content, canonical.STORED_DEPTH)
        return canonical.literal(content.removeprefix(canonical.BOM))
    except InputError as exc:
        raise UnreadableError(str(exc)) from exc


def many(value: Any) -> Iterator[Any]:
    """Yield the members of a list, or the one value that stands alone."""
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects among some values."""
    return (one for one in many(value) if isinstance(one, dict))


def first(value: Any) -> dict[str, Any]:
    """Return the first object of some values, or an empty one."""
    return next(objects(value), {})


def word(value: Any) -> str:
    """Return a text on one line; of what is no text nothing."""
    if isinstance(value, str):
        if len(value) < _SHORT and value.isascii() and value.isprintable() and "  " not in value:
            return value.strip()
        return line(_unmarked(value))[:MOST_TEXT]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < _LARGE else ""
    return ""


def text(value: Any) -> str:
    """Return a text of several lines; of what is no text nothing."""
    return clean(value, most=MOST_TEXT) if isinstance(value, str) else ""


def _unmarked(value: str) -> str:
    return value[1:] if value.startswith("\x00") else value


def is_true(value: Any) -> bool:
    """Tell whether a flag is set, in JSON or in XML."""
    return value is True or value == "true"


def number(value: Any) -> float | None:
    """Return a number that can stand in a plot."""
    told = word(value)
    try:
        found = float(told) if told and len(told) <= 64 else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) and abs(found) < 1e15 else None


def concept(value: Any) -> str:
    """Return what a CodeableConcept, a Coding or a mere text means."""
    told = []
    for one in many(value):
        if isinstance(one, dict):
            codings = list(objects(one.get("coding")))
            names = [word(code.get("display")) for code in codings] + [word(code.get("code")) for code in codings]
            own = word(one.get("text")) or word(one.get("display")) or next(filter(None, names), "")
            told.append(own or word(one.get("code")) or concept(one.get("concept")))
        else:
            told.append(word(one))
    return ", ".join(filter(None, told))


def codes(value: Any) -> tuple[tuple[str, str], ...]:
    """Return system and code of each coding of a concept."""
    found = []
    for one in objects(value):
        for coding in objects(one.get("coding")) if "coding" in one else (one,):
            if code := word(coding.get("code")):
                found.append((word(coding.get("system")), code))
    return tuple(found)


def named_codes(value: Any) -> str:
    """Return the codes of a concept with what their systems are called."""
    return ", ".join(f"{_NAMES[system]} {code}" for system, code in codes(value) if system in _NAMES)


def code(value: Any) -> str:
    """Return a status: a code, or the first code of a concept."""
    if isinstance(value, str):
        return word(value)
    return next((found for _, found in codes(value)), word(first(value).get("text")))


def unit(value: Any) -> str:
    """Return the unit of a Quantity."""
    found = first(value)
    return word(found.get("unit")) or word(found.get("code"))


def quantity(value: Any) -> str:
    """Return a Quantity with its unit."""
    found = first(value)
    return " ".join(filter(None, (word(found.get("comparator")), word(found.get("value")), unit(found))))


def ranged(value: Any) -> str:
    """Return a Range or a reference range."""
    found = first(value)
    low, high, own = quantity(found.get("low")), quantity(found.get("high")), word(found.get("text"))
    if low and high:
        return f"{low} – {high}"
    return own or (f"≥ {low}" if low else f"≤ {high}" if high else "")


def period(value: Any) -> str:
    """Return a Period as it is written."""
    found = first(value)
    return " – ".join(filter(None, (word(found.get("start")), word(found.get("end")))))


def ratio(value: Any) -> str:
    """Return a Ratio."""
    found = first(value)
    return " / ".join(filter(None, (quantity(found.get("numerator")), quantity(found.get("denominator")))))


def person(value: Any) -> str:
    """Return a HumanName."""
    told = []
    for one in many(value):
        if isinstance(one, dict):
            parts = [*map(word, many(one.get("prefix"))), *map(word, many(one.get("given")))]
            parts += [*map(word, many(one.get("family"))), *map(word, many(one.get("suffix")))]
            told.append(word(one.get("text")) or " ".join(filter(None, parts)))
        else:
            told.append(word(one))
    return next(filter(None, told), "")


def chosen(resource: Resource, name: str) -> tuple[str, Any]:
    """Return type and value of an element of several types: `value` of `valueQuantity` gives `Quantity`."""
    for key, value in resource.items():
        if key.startswith(name) and key[len(name) : len(name) + 1].isupper():
            return key[len(name) :], value
    return "", None


def said(kind: str, value: Any) -> str:
    """Return a value of any type as a text."""
    if kind in ("Quantity", "Age", "Duration", "Money", "SimpleQuantity"):
        return quantity(value)
    readers = {"CodeableConcept": concept, "Coding": concept, "Range": ranged, "Ratio": ratio, "Period": period}
    if kind in readers:
        return readers[kind](value)
    if kind in ("SampledData", "Attachment"):
        return word(first(value).get("title")) or f"[{kind}]"
    if kind == "Reference":
        return word(first(value).get("display")) or word(first(value).get("reference"))
    if kind == "String":
        return text(value)
    return word(value) if not isinstance(value, dict) else f"[{kind}]"
