"""Which category and which year a FHIR resource belongs to.

Never looks at more than the resource: what stands beside it in a Bundle doesn't count. A sensitive code or label
anywhere in a resource makes it restricted, whatever its type. Follows design section 4 and FHIR R4; the tables are
those of records/fhir_codes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, Final

from panachain.model.scope import EMERGENCY, FIRST_YEAR, RESTRICTED, SENSITIVE, UNDATED, Category
from panachain.records.fhir_codes import BLOOD_GROUP, BY_LOINC, BY_OBSERVATION, BY_TYPE, RESTRICTED_DEFAULT
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
    # What the elements above leave open in some type, the more telling ones first.
    *("identifiedDateTime", "detected", "timingDateTime", "timingDate", "scheduledDateTime", "requestedOn", "dateSent"),
    *("createdDateTime", "creation", "enteredDate", "timestamp", "authoringTime", "indexed", "preparedDate"),
    *("effectiveTimeDateTime", "occurenceDateTime", "whenDateTime", "reportedDateTime", "occurrenceDate", "onset"),
    *("timeDateTime", "receivedTime", "countingDateTime", "lastOccurrence", "lastModified", "statusChanged"),
    *("completionTime", "calculatedAt", "paymentDate", "abatementDateTime", "endDate", "dateEnded", "whenUsed"),
    *("verificationDate", "validationDate", "lastPerformed", "dateOfService", "dateOfDiagnosis", "serviceDate"),
    *("authoredDate", "lastUpdated", "periodDate", "dateDateTime", "time", "event", "effectiveTime"),
    *("cancellationDate", "lastSystemChange", "end", "plannedEndDate", "targetDate", "dueDate"),
)
"""Of R4 first, then what DSTU2, STU3 and R5 call them."""
_PERIODS: Final = (
    *("effectivePeriod", "performedPeriod", "occurrencePeriod", "onsetPeriod", "period", "billablePeriod"),
    *("actualPeriod", "occurredPeriod", "servicedPeriod", "collectedPeriod"),
    *("identifiedPeriod", "timingPeriod", "scheduledPeriod", "createdPeriod", "executionPeriod", "requestedPeriod"),
    *("effectiveTimePeriod", "occurencePeriod", "whenPeriod", "timePeriod", "reportingPeriod", "planningHorizon"),
    *("servicePeriod", "coveragePeriod", "activePeriod", "active", "benefitPeriod", "periodPeriod", "datePeriod"),
    *("applies", "abatementPeriod", "whenUsed", "fulfillmentTime", "boundsPeriod", "usePeriod", "effectiveDosePeriod"),
    *("employmentImpacted", "hospitalization", "preAuthPeriod", "preAuthRefPeriod", "validityPeriod", "validity"),
)
_DEEPEST: Final = 3
"""How far below a resource a date counts that the resource itself lacks: its items, events, timings."""
_NO_EVENTS: Final = frozenset(
    {
        *("meta", "text", "extension", "modifierExtension", "contained", "identifier", "name", "telecom", "address"),
        *("contact", "qualification", "subject", "patient", "batch", "instance"),
        *("notAvailable", "availableTime", "software", "compose", "expansion", "education", "marketDistribution"),
        *("uniqueId", "answerOption", "enableWhen", "initial", "option", "property", "data", "restriction"),
        # Places in a sequence, which are numbers.
        *("variant", "quality", "referenceSeq", "structureVariant"),
    }
)
"""Members whose dates say since when somebody is called so, or until when something keeps, and the like."""
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
    if restricted is None:
        return common_category_of(resource, matcher)
    return restricted if matcher is None else matcher.profile.category(restricted)


def common_category_of(resource: dict[str, Any], matcher: Matcher | None = None) -> Category:
    """Return the category of a resource in which `findings` finds nothing; see `category_of`."""
    found = _common_category(resource)
    return found if matcher is None else matcher.profile.category(found)


def in_emergency(
    resource: dict[str, Any], category: Category, compact: bytes | None = None, matcher: Matcher | None = None
) -> bool:
    """Tell whether a resource is in the emergency lane although its category isn't.

    Of the laboratory's, blood groups are. What only its kind keeps from there, and no profile closes (a sickle cell
    disease among the genomics), is in there; what is closed is if the patient wants it.

    Args:
        resource: as `category_of`.
        category: as `category_of` returned it.
        compact: as `category_of`.
        matcher: as `category_of`.
    """
    if category is Category.LABORATORY:
        return resource.get("resourceType") == "Observation" and _loinc_of(resource, BLOOD_GROUP) is not None
    if category not in SENSITIVE or _common_category(resource) not in EMERGENCY:
        return False
    if category not in RESTRICTED:
        return True
    if matcher is None or not matcher.profile.emergency:
        return False
    return matcher.profile.in_emergency(one.kind for one in findings(resource, compact, matcher))


def _common_category(resource: dict[str, Any]) -> Category:
    """Return the category of a resource in which nothing is sensitive."""
    kind = resource.get("resourceType")
    if kind in ("Observation", "DiagnosticReport"):
        by_code = _by_loinc(resource)
        if by_code is Category.GENOMICS:
            return by_code
        for concept in _list(resource.get("category")):
            for coding in _list(concept.get("coding")) if isinstance(concept, dict) else ():
                named = BY_OBSERVATION.get(str(coding.get("code", ""))) if isinstance(coding, dict) else None
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
    level = [resource]
    for _ in range(_DEEPEST if found is None else 0):
        # The nearest one counts, and of equally near ones the first.
        level = [inner for item in level for inner in _inside(item)]
        for inner in level:
            if (found := _year_in(inner)) is not None:
                return found
    return UNDATED if found is None else found


def _inside(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects in a member of an object that may tell when something happened."""
    for name, value in item.items():
        # What was measured may be a date, too: it says nothing of when.
        is_value = name.startswith("value") and name[5:6].isupper()
        if isinstance(value, (dict, list)) and name not in _NO_EVENTS and not is_value:
            yield from (one for one in _list(value) if isinstance(one, dict))


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
    if isinstance(time, list) and time:
        # A Timing may have several events.
        time = time[0]
    if isinstance(time, str) and (digits := time[:4]).isascii() and digits.isdigit():
        return bounded_year(int(digits))
    return None


def _by_loinc(resource: dict[str, Any]) -> Category | None:
    """Return the category that the first LOINC code of what was observed leads to."""
    return BY_LOINC.get(_loinc_of(resource, BY_LOINC.keys()) or "")


def _loinc_of(resource: dict[str, Any], sought: Set[str]) -> str | None:
    """Return the first LOINC code of what was observed if it is one of those sought."""
    codings = [one for one in _list(_dict(resource.get("code")).get("coding")) if isinstance(one, dict)]
    codes = [str(one.get("code", "")) for one in codings]
    # Few codes lead anywhere: which system one is of needs to be known of these alone.
    if sought.isdisjoint(codes):
        return None
    for coding, code in zip(codings, codes, strict=True):
        if canonical_system(str(coding.get("system", ""))) == "loinc":
            return code if code in sought else None
    return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """Return a list. An object is a list of one: DSTU2 has one where R4 has several, and XML shows no difference."""
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []
