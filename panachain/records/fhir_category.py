"""Which category and which year a FHIR resource belongs to.

Never looks at more than the resource: what stands beside it in a Bundle doesn't count. A sensitive code or label
anywhere in a resource makes it restricted, whatever its type. Follows design section 4 and FHIR R4; the tables are
those of records/fhir_codes.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import compile as regex
from typing import Any, Final

from panachain.model.scope import FIRST_YEAR, RESTRICTED, UNDATED, Category
from panachain.records.fhir_codes import BY_LABEL, BY_OBSERVATION, BY_TYPE, CONFIDENTIAL, RESTRICTED_DEFAULT, SENSITIVE

_DATES: Final = (
    *("effectiveDateTime", "effectiveInstant", "performedDateTime", "occurrenceDateTime", "onsetDateTime"),
    *("recordedDate", "authoredOn", "issued", "started", "whenHandedOver", "whenPrepared", "created", "date", "start"),
)
_PERIODS: Final = ("effectivePeriod", "performedPeriod", "occurrencePeriod", "onsetPeriod", "period", "billablePeriod")
_UNDATED_TYPES: Final = (
    "Patient",
    "RelatedPerson",
    "Person",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
)
_CODE: Final = regex(rb'"code":"([^"\\]*)')
_SENSITIVE: Final = frozenset(code.encode() for code in SENSITIVE)


def category_of(resource: dict[str, Any], compact: bytes | None = None) -> Category:
    """Return the category of a resource; restricted ones come first.

    Args:
        resource: as `canonical.read` or `parse` returns it.
        compact: JSON without blanks in which the resource stands, from `canonical.read`; saves most of the work.
    """
    label = label_of(resource) if "meta" in resource else None
    if label in RESTRICTED:
        return label
    # The text may name more codes than the resource has, never fewer: only a hit is worth the walk.
    if compact is None or not _SENSITIVE.isdisjoint(_CODE.findall(compact)):
        for code in codes_in(resource):
            if code in SENSITIVE:
                return SENSITIVE[code]
    if "meta" in resource and not CONFIDENTIAL.isdisjoint(_label_codes(resource)):
        return RESTRICTED_DEFAULT
    if label is not None:
        return label
    kind = resource.get("resourceType")
    if kind in ("Observation", "DiagnosticReport"):
        for concept in _list(resource.get("category")):
            for coding in _list(_dict(concept).get("coding")):
                by_code = BY_OBSERVATION.get(_code(coding))
                if by_code is not None:
                    return by_code
    return BY_TYPE.get(str(kind), Category.DOCUMENTS)


def year_of(resource: dict[str, Any]) -> int:
    """Return the year that a resource is about, or UNDATED."""
    if resource.get("resourceType") in _UNDATED_TYPES:
        return UNDATED
    for name in _DATES:
        if name in resource and (year := _year(resource[name])) is not None:
            return year
    for name in _PERIODS:
        if name in resource and (year := _year(_dict(resource[name]).get("start"))) is not None:
            return year
    return UNDATED


def bounded_year(year: int) -> int:
    """Return `year` if lanes may exist for it, else UNDATED.

    Years to come are kept, so that a source splits the same way whenever it is read; `sdk/uploads.py` takes those for
    UNDATED that no lane can be for yet.
    """
    return year if year >= FIRST_YEAR else UNDATED


def label_of(resource: dict[str, Any]) -> Category | None:
    """Return the category that the security labels name: a restricted one before any other."""
    labels = [BY_LABEL[code] for code in _label_codes(resource) if code in BY_LABEL]
    return next((label for label in labels if label in RESTRICTED), next(iter(labels), None))


def _label_codes(resource: dict[str, Any]) -> list[str]:
    return [_code(coding) for coding in _list(_dict(resource.get("meta")).get("security"))]


def codes_in(value: Any) -> Iterator[str]:
    """Yield the code of every coding in a resource, however deep."""
    for item in objects(value):
        code = item.get("code")
        if isinstance(code, str):
            yield code


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a JSON value; the parser has bounded the depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(v for v in item.values() if isinstance(v, (dict, list)))
        elif isinstance(item, list):
            stack.extend(v for v in item if isinstance(v, (dict, list)))


def _year(time: Any) -> int | None:
    if isinstance(time, str) and (digits := time[:4]).isascii() and digits.isdigit():
        return bounded_year(int(digits))
    return None


def _code(coding: Any) -> str:
    return str(_dict(coding).get("code", ""))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
