"""Which category and which year a FHIR resource belongs to.

Never looks at more than the resource: what stands beside it in a Bundle doesn't count. A sensitive code or label
anywhere in a resource makes it restricted, whatever its type. Follows design section 4 and FHIR R4; the tables are
those of records/fhir_codes.py.
"""

from __future__ import annotations

from typing import Any, Final

from panachain.model.scope import FIRST_YEAR, UNDATED, Category
from panachain.records.fhir_codes import BY_LOINC, BY_OBSERVATION, BY_TYPE, RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import findings, restricted_category
from panachain.records.sensitivity import Matcher
from panachain.records.sensitivity.systems import canonical_system

_DATES: Final = (
    *("effectiveDateTime", "effectiveInstant", "performedDateTime", "occurrenceDateTime", "onsetDateTime"),
    *("occurredDateTime", "recordedDate", "authoredOn", "issued", "started", "whenHandedOver", "whenPrepared"),
    *(
        "created",
        "date",
        "start",
        "authored",
        "recorded",
        "sent",
        "received",
        "dateTime",
        "dateWritten",
        "dateAsserted",
    ),
    *("dateRecorded", "assertedDate", "recordedOn", "orderedOn", "startDate", "plannedStartDate", "servicedDate"),
    *("collectedDateTime", "statusDate"),
)
"""Of R4 first, then what DSTU2, STU3 and R5 call them."""
_PERIODS: Final = (
    *("effectivePeriod", "performedPeriod", "occurrencePeriod", "onsetPeriod", "period", "billablePeriod"),
    *("actualPeriod", "occurredPeriod", "servicedPeriod", "collectedPeriod"),
)
_NESTED: Final = ("collection", "item", "event")
"""Where a date stands that the resource itself lacks: a specimen's collection, a claim's items, an order's events."""
_UNDATED_TYPES: Final = (
    "Patient",
    "RelatedPerson",
    "Person",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
)


def category_of(resource: dict[str, Any], compact: bytes | None = None, matcher: Matcher | None = None) -> Category:
    """Return the category of a resource; restricted ones come first.

    Args:
        resource: as `canonical.read` or `parse` returns it.
        compact: JSON without blanks in which the resource stands, from `canonical.read`; saves most of the work.
        matcher: says what is sensitive; None takes the default profile's.
    """
    restricted = restricted_category(findings(resource, compact, matcher), RESTRICTED_DEFAULT)
    if restricted is not None:
        return restricted
    kind = resource.get("resourceType")
    if kind in ("Observation", "DiagnosticReport"):
        by_code = BY_LOINC.get(_loinc_of(resource))
        if by_code is Category.GENOMICS:
            return by_code
        for concept in _list(resource.get("category")):
            for coding in _list(_dict(concept).get("coding")):
                named = BY_OBSERVATION.get(_code(coding))
                if named is not None:
                    return named
        if by_code is not None:
            return by_code
    return BY_TYPE.get(str(kind), Category.DOCUMENTS)


def year_of(resource: dict[str, Any]) -> int:
    """Return the year that a resource is about, or UNDATED."""
    if resource.get("resourceType") in _UNDATED_TYPES:
        return UNDATED
    found = _year_in(resource)
    for name in _NESTED if found is None else ():
        for inner in _list(resource.get(name)):
            if isinstance(inner, dict) and (found := _year_in(inner)) is not None:
                return found
    return UNDATED if found is None else found


def _year_in(item: dict[str, Any]) -> int | None:
    for name in _DATES:
        if name in item and (year := _year(item[name])) is not None:
            return year
    for name in _PERIODS:
        if name in item:
            period = _dict(item[name])
            year = _year(period.get("start"))
            if year is None:
                year = _year(period.get("end"))
            if year is not None:
                return year
    return None


def bounded_year(year: int) -> int:
    """Return `year` if lanes may exist for it, else UNDATED.

    Years to come are kept, so that a source splits the same way whenever it is read; `sdk/uploads.py` takes those for
    UNDATED that no lane can be for yet.
    """
    return year if year >= FIRST_YEAR else UNDATED


def _year(time: Any) -> int | None:
    if isinstance(time, str) and (digits := time[:4]).isascii() and digits.isdigit():
        return bounded_year(int(digits))
    return None


def _loinc_of(resource: dict[str, Any]) -> str:
    """Return the LOINC code of what was observed, or an empty text."""
    for coding in _list(_dict(resource.get("code")).get("coding")):
        if canonical_system(str(_dict(coding).get("system", ""))) == "loinc":
            return _code(coding)
    return ""


def _code(coding: Any) -> str:
    return str(_dict(coding).get("code", ""))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """Return a list. An object is a list of one: DSTU2 has one where R4 has several, and XML shows no difference."""
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []
