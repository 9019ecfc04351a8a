"""The words of FHIR Consents: code systems, what a code means in categories, and what a date means in seconds.

Pure tables and arithmetic; reads no document. Follows FHIR R4 (sections 2.24.0.1 and Consent), HL7 v3 ActReason,
ActCode and Confidentiality, and docs/spec/consent.md.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime
from typing import Final

from panachain.model.scope import RESTRICTED, SENSITIVE, Category
from panachain.records.fhir_codes import BY_LABEL, BY_OBSERVATION, BY_TYPE, CONFIDENTIAL, RESTRICTED_DEFAULT

SCOPE_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
SCOPE_CODE: Final = "patient-privacy"
LOINC: Final = "http://loinc.org"
CONSENT_CODE: Final = "59284-0"
"""LOINC: Consent Document."""
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
NORMAL: Final = "N"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ACTION_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
ADVANCED_PROFILE: Final = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentAdvanced"

ACCOUNT_SYSTEM: Final = "urn:panachain:account"
POLICY_SYSTEM: Final = "urn:panachain:policy"
RECORD_SYSTEM: Final = "urn:panachain:record"
"""Identifiers of records: CIDs of their headers."""
ROLE_SYSTEM: Final = "urn:panachain:role"
"""Codes: what the registries call an actor."""
TERMS_SYSTEM: Final = "urn:panachain:terms"
CATEGORY_SYSTEM: Final = "urn:panachain:category"
"""Codes: the categories, `emergency`, and CATEGORY/undated for a category's records without a date."""
RULES_URI: Final = "urn:panachain:consent:1"
"""The base policy of an exported Consent: docs/spec/consent.md."""
THRESHOLD_URL: Final = "urn:panachain:threshold"

CATEGORIES: Final = {(LOINC, CONSENT_CODE), (ACT_CODE, "INFA"), (ACT_CODE, "IDSCL")}
"""Kinds of Consent that say nothing that would have to be enforced: consent, information access, disclosure."""
RECIPIENTS: Final = frozenset({"IRCP", "PRCP"})
"""Participation types of those who receive: information recipient, primary information recipient."""
ROLE_REASONS: Final = {
    "AUT": "names an author: a grant opens what every author wrote",
    "CST": "names a custodian: a grant opens the records of every hospital that the patient paired with",
}
"""Why a participation type can't be enforced."""

DEFAULT_CATEGORIES: Final = tuple(category for category in Category if category not in RESTRICTED)
"""What `all` covers."""

_BY_CATEGORY: Final = ("Observation", "DiagnosticReport")
"""Types whose own category sorts them."""
_DOCUMENT_TYPES: Final = ("DocumentReference", "DocumentManifest", "Composition", "QuestionnaireResponse")

HELD_BY: Final[dict[str, frozenset[Category]]] = {
    **{kind: frozenset({category}) for kind, category in BY_TYPE.items()},
    **{kind: frozenset({Category.DOCUMENTS}) for kind in _DOCUMENT_TYPES},
    **{kind: frozenset({BY_TYPE[kind], *BY_OBSERVATION.values()}) for kind in _BY_CATEGORY},
}
"""For each resource type the categories that hold it, sensitive ones left aside."""

SENSITIVE_ANYWHERE: Final = SENSITIVE
"""Where a resource of any type goes if a label or code makes it sensitive; of several labels the first one decides."""

_NEVER_WHOLE: Final = SENSITIVE_ANYWHERE | {Category.DOCUMENTS}
"""Categories that no list of resource types covers: they hold resources of any type."""

TYPES_OF: Final = {
    category: frozenset(kind for kind, held in HELD_BY.items() if category in held)
    for category in Category
    if category not in _NEVER_WHOLE
}
"""For each category that resource types can cover, all types that it holds."""

LABELS_OF: Final = {
    category: frozenset(code for code, labelled in BY_LABEL.items() if labelled is category)
    | (CONFIDENTIAL if category is RESTRICTED_DEFAULT else frozenset())
    for category in RESTRICTED
}
"""For each restricted category all labels that sort into it."""

LABELS: Final = {category: tuple(sorted(codes)) for category, codes in LABELS_OF.items()}
"""The labels that an exported Consent puts beside a restricted category: all, since beside a class they narrow it."""

_DATE_TIME: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?)?)?"
)
_LATEST: Final = 253_402_300_800
"""Unix seconds, the end of the year 9999."""
_MAX_OFFSET: Final = 14 * 3600
"""Seconds; the farthest time zone."""


def types_for(category: Category) -> tuple[str, ...]:
    """Return the resource types that this category alone holds, but for sensitive resources; they describe it."""
    return tuple(sorted(kind for kind, held in HELD_BY.items() if held == {category}))


def seconds_of(text: str) -> tuple[int, int] | None:
    """Return what a FHIR dateTime spans: its first second, and the first one after it, both Unix seconds.

    A date without a time is a day (month, year) of UTC. Of a fraction of a second nothing counts: a window gets
    narrower by it, never wider. None if `text` is no dateTime.
    """
    found = _DATE_TIME.fullmatch(text)
    if not found:
        return None
    year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
    try:
        date(year, month, day)
    except ValueError:
        return None
    if found[4] is None:
        return _midnight(year, month, day), min(_after(year, month if found[2] else 0, day if found[3] else 0), _LATEST)
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    offset = _offset(found[8])
    if hour > 23 or minute > 59 or second > 59 or offset is None:
        return None
    at = calendar.timegm((year, month, day, hour, minute, second)) - offset
    broken = bool(found[7] and found[7].strip(".0"))
    return at + broken, at + (not broken)


def years_inside(start: str, end: str) -> tuple[int, int] | None:
    """Return the first and the last whole year between two FHIR dates, both included; None for other than dates.

    The last one can lie before the first: then no whole year is inside.
    """
    first, last = _day(start), _day(end)
    if first is None or last is None:
        return None
    begins_whole = first[1:] in ((0, 0), (1, 0), (1, 1))
    ends_whole = last[1:] in ((0, 0), (12, 0), (12, 31))
    return first[0] + (not begins_whole), last[0] - (not ends_whole)


def year_of_date(text: str) -> int | None:
    """Return the year of a FHIR date, or None if it is something else."""
    parts = _day(text)
    return None if parts is None else parts[0]


def instant(seconds: int) -> str:
    """Return Unix seconds as a FHIR dateTime in UTC."""
    return datetime.fromtimestamp(min(seconds, _LATEST - 1), UTC).isoformat().replace("+00:00", "Z")


def _day(text: str) -> tuple[int, int, int] | None:
    found = _DATE_TIME.fullmatch(text)
    if not found or found[4] is not None or seconds_of(text) is None:
        return None
    return int(found[1]), int(found[2] or 0), int(found[3] or 0)


def _midnight(year: int, month: int, day: int) -> int:
    return calendar.timegm((year, month, day, 0, 0, 0))


def _after(year: int, month: int, day: int) -> int:
    if day:
        return _midnight(year, month, day) + 86_400
    if month:
        return _midnight(year, month, calendar.monthrange(year, month)[1]) + 86_400
    return _midnight(year, 12, 31) + 86_400


def _offset(text: str) -> int | None:
    if text == "Z":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    seconds = hours * 3600 + minutes * 60
    if minutes > 59 or seconds > _MAX_OFFSET:
        return None
    return -seconds if text[0] == "-" else seconds
