"""Elements of FHIR R4 as a summary carries them: each is read by its shape, and what has another one isn't carried.

A record may be of any version, hostile or damaged. What comes out is R4: known elements, in known shapes, with cleaned
texts and with numbers as they were written. Extensions aren't carried: what they mean is known to who wrote them.
Follows FHIR R4, datatypes, and the tables of the resources that are named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from panachain.viewer.moments import moment
from panachain.viewer.values import codes, is_true, many, objects, text, word

Shape = Callable[[Any], Any]
"""Returns what is carried of a value; None if nothing."""
Made = dict[str, Any]

MOST: Final = 100
"""Members of a list that are carried."""
DATA_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT: Final = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}
"""What stands in the place of a required value that nobody recorded."""
ABSENT_CONCEPT: Final = {"coding": [{"system": DATA_ABSENT, "code": "unknown", "display": "Unknown"}]}
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_TIME: Final = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?")
"""A dateTime of R4: a time has its zone."""
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,3})?")
_URI: Final = re.compile(r"[!-~]{1,500}")
_CODE: Final = re.compile(r"[^\s]{1,200}( [^\s]{1,200}){0,20}")
_MARK: Final = "\x00"
"""Before a decimal that is held as text (`records/canonical.py`)."""


def string(value: Any) -> str | None:
    """Read a text on one line."""
    return (word(value) or None) if isinstance(value, str) else None


def lines(value: Any) -> str | None:
    """Read a text of several lines."""
    return text(value).strip() or None


def code(value: Any) -> str | None:
    """Read a code."""
    told = word(value) if isinstance(value, str) else ""
    return told if _CODE.fullmatch(told) else None


def uri(value: Any) -> str | None:
    """Read a URI."""
    return value if isinstance(value, str) and _URI.fullmatch(value) else None


def when(value: Any) -> str | None:
    """Read a date or a time that a calendar has; of a time without its zone or its seconds the day."""
    told = word(value) if isinstance(value, str) else ""
    if not moment(told).is_known:
        return None
    return told if _TIME.fullmatch(told) else told[:10]


def day(value: Any) -> str | None:
    """Read a date without a time."""
    told = when(value)
    return told[:10] if told else None


def number(value: Any) -> Any:
    """Read a number; a decimal keeps its digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**18 else None
    told = word(value) if isinstance(value, str) else ""
    if not _NUMBER.fullmatch(told):
        return None
    return int(told) if told.lstrip("-").isdigit() and len(told) < 18 else _MARK + told


def positive(value: Any) -> int | None:
    """Read a number from 1 on."""
    found = number(value)
    return found if isinstance(found, int) and 0 < found < 1 << 31 else None


def flag(value: Any) -> bool | None:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    return is_true(value) if value in ("true", "false") else None


def of(**shapes: Shape) -> Shape:
    """Return the shape of an object: of several types of one element the first counts."""

    def read(value: Any) -> Made | None:
        return fields(value, shapes) if isinstance(value, dict) else None

    return read


def fields(value: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Made | None:
    """Read the known elements of an object; None if there are none."""
    made: Made = {}
    for name, shape in shapes.items():
        if name in value:
            told = shape(value[name])
            if told is not None:
                made[name] = told
    return made or None


def needing(needed: Iterable[str], shape: Shape) -> Shape:
    """Return a shape that gives nothing without its required elements."""
    names = tuple(needed)

    def read(value: Any) -> Any:
        made = shape(value)
        return made if made is not None and all(name in made for name in names) else None

    return read


def some(shape: Shape) -> Shape:
    """Return the shape of a list; one value that stands alone is a list of one."""

    def read(value: Any) -> list[Any] | None:
        told = [shape(one) for _, one in zip(range(MOST), many(value), strict=False)]
        return [one for one in told if one is not None] or None

    return read


def one_of(*allowed: str) -> Shape:
    """Return the shape of a code that is bound to a set."""

    def read(value: Any) -> str | None:
        return value if isinstance(value, str) and value in allowed else None

    return read


coding: Final = of(system=uri, version=string, code=code, display=string)


def concept(value: Any) -> Made | None:
    """Read a CodeableConcept; a mere Coding or a text becomes one."""
    if isinstance(value, str):
        told = string(value)
        return {"text": told} if told else None
    if isinstance(value, dict) and "coding" not in value and "system" in value:
        value = {"coding": [value]}
    made = of(coding=some(coding), text=string)(value)
    return made if isinstance(made, dict) else None


def state(system: str, *allowed: str) -> Shape:
    """Return the shape of a state that is a concept in R4 and was a code before."""

    def read(value: Any) -> Made | None:
        found = [value] if isinstance(value, str) else [told for _, told in codes(value)]
        chosen = next((one for one in found if one in allowed), None)
        return {"coding": [{"system": _TERMINOLOGY + system, "code": chosen}]} if chosen else None

    return read


_COMPARATOR: Final = one_of("<", "<=", ">=", ">")
quantity: Final = of(value=number, comparator=_COMPARATOR, unit=string, system=uri, code=code)
plain_quantity: Final = of(value=number, unit=string, system=uri, code=code)
period: Final = of(start=when, end=when)
ranged: Final = of(low=plain_quantity, high=plain_quantity)
ratio: Final = needing(("numerator", "denominator"), of(numerator=quantity, denominator=quantity))
note: Final = needing(("text",), of(time=when, text=lines))
notes: Final = some(note)
concepts: Final = some(concept)

_REPEAT: Final = of(
    count=positive, frequency=positive, frequencyMax=positive, period=number,
    periodUnit=one_of("s", "min", "h", "d", "wk", "mo", "a"),
)  # fmt: skip
_DOSE: Final = of(
    type=concept, doseRange=ranged, doseQuantity=plain_quantity, rateRatio=ratio, rateQuantity=plain_quantity
)
dosage: Final = of(
    text=string,
    additionalInstruction=concepts,
    patientInstruction=string,
    timing=of(repeat=_REPEAT, code=concept),
    asNeededBoolean=flag,
    asNeededCodeableConcept=concept,
    site=concept,
    route=concept,
    method=concept,
    doseAndRate=some(_DOSE),
)
_VALUE: Final[Mapping[str, Shape]] = {
    "valueQuantity": quantity,
    "valueCodeableConcept": concept,
    "valueString": lines,
    "valueBoolean": flag,
    "valueInteger": lambda value: found if isinstance(found := number(value), int) else None,
    "valueRange": ranged,
    "valueRatio": ratio,
    "valueDateTime": when,
    "valuePeriod": period,
}
_REFERENCE_RANGE: Final = some(
    of(low=plain_quantity, high=plain_quantity, type=concept, appliesTo=concepts, age=ranged, text=string)
)
_ONSET: Final[Mapping[str, Shape]] = {
    "onsetDateTime": when, "onsetAge": quantity, "onsetPeriod": period, "onsetRange": ranged, "onsetString": string,
}  # fmt: skip
_COMPONENT: Final = needing(
    ("code",),
    of(
        code=concept,
        **_VALUE,
        dataAbsentReason=concept,
        interpretation=concepts,
        referenceRange=_REFERENCE_RANGE,
    ),
)
_VERIFIED: Final = ("unconfirmed", "confirmed", "refuted", "provisional", "differential")
_REACTION: Final = needing(
    ("manifestation",),
    of(
        substance=concept,
        manifestation=concepts,
        description=string,
        onset=when,
        severity=one_of("mild", "moderate", "severe"),
        exposureRoute=concept,
        note=notes,
    ),
)
name: Final = of(
    use=one_of("usual", "official", "temp", "nickname", "anonymous", "old", "maiden"),
    text=string,
    family=string,
    given=some(string),
    prefix=some(string),
    suffix=some(string),
)
telecom: Final = of(
    system=one_of("phone", "fax", "email", "pager", "url", "sms", "other"),
    value=string,
    use=one_of("home", "work", "temp", "old", "mobile"),
    rank=positive,
)
address: Final = of(
    use=one_of("home", "work", "temp", "old", "billing"),
    text=string,
    line=some(string),
    city=string,
    district=string,
    state=string,
    postalCode=string,
    country=string,
)
identifier: Final = needing(("value",), of(type=concept, system=uri, value=string))
contact: Final = of(
    relationship=concepts,
    name=name,
    telecom=some(telecom),
    address=address,
    gender=one_of("male", "female", "other", "unknown"),
)

CARRIED: Final[Mapping[str, Mapping[str, Shape]]] = {
    "AllergyIntolerance": {
        "clinicalStatus": state("allergyintolerance-clinical", "active", "inactive", "resolved"),
        "verificationStatus": state("allergyintolerance-verification", *_VERIFIED[:3]),
        "type": one_of("allergy", "intolerance"),
        "category": some(one_of("food", "medication", "environment", "biologic")),
        "criticality": one_of("low", "high", "unable-to-assess"),
        "code": concept,
        **_ONSET,
        "recordedDate": when,
        "lastOccurrence": when,
        "note": notes,
        "reaction": some(_REACTION),
    },
    "Condition": {
        "clinicalStatus": state(
            "condition-clinical", "active", "recurrence", "relapse", "inactive", "remission", "resolved"
        ),
        "verificationStatus": state("condition-ver-status", *_VERIFIED),
        "category": concepts,
        "severity": concept,
        "code": concept,
        "bodySite": concepts,
        **_ONSET,
        "recordedDate": when,
        "note": notes,
    },
    "MedicationStatement": {
        "status": one_of("active", "completed", "intended", "stopped", "on-hold", "unknown", "not-taken"),
        "category": concept,
        "medicationCodeableConcept": concept,
        "effectiveDateTime": when,
        "effectivePeriod": period,
        "dateAsserted": when,
        "reasonCode": concepts,
        "note": notes,
        "dosage": some(dosage),
    },
    "MedicationRequest": {
        "status": one_of("active", "on-hold", "cancelled", "completed", "stopped", "draft", "unknown"),
        "intent": one_of(
            *("proposal", "plan", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option")
        ),
        "category": concepts,
        "medicationCodeableConcept": concept,
        "authoredOn": when,
        "reasonCode": concepts,
        "note": notes,
        "dosageInstruction": some(dosage),
    },
    "Immunization": {
        "status": one_of("completed", "not-done"),
        "vaccineCode": concept,
        "occurrenceDateTime": when,
        "occurrenceString": string,
        "primarySource": flag,
        "lotNumber": string,
        "site": concept,
        "route": concept,
        "doseQuantity": plain_quantity,
        "note": notes,
    },
    "Procedure": {
        "status": one_of("preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "unknown"),
        "category": concept,
        "code": concept,
        "performedDateTime": when,
        "performedPeriod": period,
        "performedString": string,
        "performedAge": quantity,
        "reasonCode": concepts,
        "bodySite": concepts,
        "outcome": concept,
        "note": notes,
    },
    "Observation": {
        "status": one_of("registered", "preliminary", "final", "amended", "corrected", "unknown"),
        "category": concepts,
        "code": concept,
        "effectiveDateTime": when,
        "effectivePeriod": period,
        **_VALUE,
        "dataAbsentReason": concept,
        "interpretation": concepts,
        "note": notes,
        "bodySite": concept,
        "method": concept,
        "referenceRange": _REFERENCE_RANGE,
        "component": some(_COMPONENT),
    },
    "DeviceUseStatement": {
        "status": one_of("active", "completed", "intended", "stopped", "on-hold"),
        "timingPeriod": period,
        "timingDateTime": when,
        "reasonCode": concepts,
        "bodySite": concept,
        "note": notes,
    },
    "Device": {
        "status": one_of("active", "inactive", "unknown"),
        "manufacturer": string,
        "expirationDate": when,
        "lotNumber": string,
        "serialNumber": string,
        "deviceName": some(
            needing(
                ("name", "type"),
                of(
                    name=string,
                    type=one_of(
                        *("udi-label-name", "user-friendly-name", "patient-reported-name"),
                        *("manufacturer-name", "model-name", "other"),
                    ),
                ),
            )
        ),
        "modelNumber": string,
        "type": concept,
        "note": notes,
    },
    "Medication": {
        "code": concept,
        "form": concept,
        "ingredient": some(
            needing(("itemCodeableConcept",), of(itemCodeableConcept=concept, isActive=flag, strength=ratio))
        ),
    },
    "Patient": {
        "identifier": some(identifier),
        "name": some(name),
        "telecom": some(telecom),
        "gender": one_of("male", "female", "other", "unknown"),
        "birthDate": day,
        "deceasedBoolean": flag,
        "deceasedDateTime": when,
        "address": some(address),
        "contact": some(contact),
        "communication": some(needing(("language",), of(language=concept, preferred=flag))),
    },
}
"""By type of resource: its elements, and how each is read. References aren't here: they are made anew."""
_CHOICES: Final = (
    "onset",
    "effective",
    "occurrence",
    "performed",
    "timing",
    "value",
    "deceased",
    "asNeeded",
    "medication",
)
"""Elements of several types, of which R4 allows one value."""


def carried(kind: str, resource: Mapping[str, Any]) -> Made:
    """Return what a summary carries of a resource, but for its id and its references."""
    made = fields(resource, CARRIED[kind]) or {}
    return {"resourceType": kind, **single(made)}


def single(made: Made) -> Made:
    """Leave one value of each element of several types, also deeper down."""
    kept: Made = {}
    taken: set[str] = set()
    for key, value in made.items():
        prefix = next((one for one in _CHOICES if key.startswith(one) and key[len(one) : len(one) + 1].isupper()), None)
        if prefix is not None and prefix in taken:
            continue
        if prefix is not None:
            taken.add(prefix)
        kept[key] = _inner(value)
    return kept


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return single(value)
    return [_inner(one) for one in value] if isinstance(value, list) else value


def same_code(value: Any) -> str:
    """Return what tells what a concept means: its codes in their order, or its text."""
    known = sorted(f"{system}|{one}" for system, one in codes(value))
    return " ".join(known) or " ".join(word(one.get("text")).casefold() for one in objects(value))
