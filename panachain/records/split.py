"""Split a FHIR Bundle into records: one Bundle for each (category, year), nothing dropped, nothing changed.

Reads no file and seals nothing. A sensitive code or label anywhere in a resource makes it restricted.
Follows design section 4 and FHIR R4 (Bundle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from panachain.errors import InputError
from panachain.model.records import PlainRecord
from panachain.model.scope import FIRST_YEAR, UNDATED, Category
from panachain.records.canonical import dump
from panachain.records.fhir_codes import BY_LABEL, BY_OBSERVATION, BY_TYPE, SENSITIVE

MEDIA_TYPE: Final = "application/fhir+json"
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


def split_resource(value: Any, *, source_digest: bytes) -> list[PlainRecord]:
    """Return the records of a parsed Bundle or single resource.

    Args:
        value: from `canonical.parse`.
        source_digest: SHA-256 of the source.

    Raises:
        InputError: it is no FHIR resource, or a Bundle with malformed entries.
    """
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise InputError("not a FHIR resource: resourceType is missing")
    if value["resourceType"] != "Bundle":
        entries: list[Any] = [{"resource": value}]
    else:
        entries = value.get("entry", [])
        if not isinstance(entries, list) or any(not isinstance(entry, dict) for entry in entries):
            raise InputError("the Bundle's entry is no list of objects")
    groups: dict[tuple[Category, int], list[Any]] = defaultdict(list)
    for entry in entries:
        resource = entry.get("resource")
        if resource is not None and not isinstance(resource, dict):
            raise InputError("a Bundle entry's resource is no object")
        groups[(category_of(resource), year_of(resource)) if resource else (Category.DOCUMENTS, UNDATED)].append(entry)
    return [
        PlainRecord(
            category=category,
            year=year,
            media_type=MEDIA_TYPE,
            content=dump({"resourceType": "Bundle", "type": "collection", "entry": group}, sort=False),
            source_digest=source_digest,
        )
        for (category, year), group in groups.items()
    ]


def category_of(resource: dict[str, Any]) -> Category:
    """Return the category of a resource; restricted ones come first."""
    labels = [_code(coding) for coding in _list(_dict(resource.get("meta")).get("security"))]
    codes = list(_codes(resource))
    for found in (*(BY_LABEL.get(label) for label in labels), *(SENSITIVE.get(code) for code in codes)):
        if found is not None:
            return found
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
    times = [resource.get(name) for name in _DATES]
    times += [_dict(resource.get(name)).get("start") for name in _PERIODS]
    for time in times:
        if isinstance(time, str) and time[:4].isascii() and time[:4].isdigit():
            return bounded_year(int(time[:4]))
    return UNDATED


def bounded_year(year: int) -> int:
    """Return `year` if lanes exist for it, else UNDATED."""
    return year if FIRST_YEAR <= year <= datetime.now(UTC).year + 1 else UNDATED


def _codes(value: Any) -> Iterator[str]:
    """Yield the code of every coding in a resource, however deep; the parser has bounded the depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            code = item.get("code")
            if isinstance(code, str):
                yield code
            stack.extend(v for v in item.values() if isinstance(v, (dict, list)))
        elif isinstance(item, list):
            stack.extend(v for v in item if isinstance(v, (dict, list)))


def _code(coding: Any) -> str:
    return str(_dict(coding).get("code", ""))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
