"""Sample records that the project makes itself: one invented patient's FHIR Bundle and a DICOM image.

Deterministic: the same number gives the same bytes. Names nobody; every value is made from numbers. All numbers give
records of the same person, as one patient has them.
Follows FHIR R4 and DICOM PS3.3 (Secondary Capture).
"""

from __future__ import annotations

import json
import random
import struct
from typing import Any, Final

_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_SNOMED: Final = "http://snomed.info/sct"
_LOINC: Final = "http://loinc.org"
_RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
_ATC: Final = "http://www.whocc.no/atc"
_ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
_ACT: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
HIV_MEDICINE: Final = "dolutegravir"
"""A medicine of each sample that gives a condition away: no category of medicines opens it."""
_CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class (PS3.4, annex B.5)."""
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
"""Transfer syntax (PS3.5, annex A.2)."""
_IMPLEMENTATION: Final = "1.2.826.0.1.3680043.8.498.1"
"""Implementation class, under the root that pydicom lends to everybody."""
_YEARS: Final = (2019, 2021, 2022, 2024)
_PERSON: Final = 1
"""Number of the person that all samples are about."""


def sample_bundle(seed: int = 1) -> bytes:
    """Return a transaction Bundle with several encounters over years and every category of design section 4."""
    whose, rng = random.Random(_PERSON), random.Random(seed)
    patient_id, _ = _uuid(whose), _uuid(rng)
    entries: list[dict[str, Any]] = []

    def add(resource: dict[str, Any]) -> str:
        identifier = str(resource.setdefault("id", _uuid(rng)))
        request = {"method": "POST", "url": resource["resourceType"]}
        entries.append({"fullUrl": f"urn:uuid:{identifier}", "resource": resource, "request": request})
        return f"urn:uuid:{identifier}"

    subject = {"reference": f"urn:uuid:{patient_id}"}
    number = whose.randrange(10**7, 10**8)
    add(
        {
            "resourceType": "Patient",
            "id": patient_id,
            "identifier": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": f"MRN-{number}"}],
            "name": [
                {"use": "official", "family": f"Sampleton{number % 997}", "given": [f"Pat{number % 89}", "Ñandú"]}
            ],
            "gender": whose.choice(["female", "male"]),
            "birthDate": f"{whose.randrange(1940, 2000)}-0{whose.randrange(1, 10)}-1{whose.randrange(0, 10)}",
            "telecom": [{"system": "phone", "value": f"555-{number % 10**4:04d}-{number % 997:03d}"}],
        }
    )
    add({"resourceType": "FamilyMemberHistory", "status": "completed", "patient": subject, "date": "2019-02-11",
         "relationship": _concept("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH", "mother"),
         "condition": [{"code": _concept(_SNOMED, "44054006", "Diabetes mellitus type 2")}]})  # fmt: skip
    add({"resourceType": "AllergyIntolerance", "patient": subject, "recordedDate": "2019-02-11",
         "code": _concept(_SNOMED, "91936005", "Allergy to penicillin"), "criticality": "high"})  # fmt: skip
    add({"resourceType": "MolecularSequence", "type": "dna", "coordinateSystem": 0, "patient": subject,
         "observedSeq": "".join(rng.choice("ACGT") for _ in range(400))})  # fmt: skip
    add({"resourceType": "Coverage", "status": "active", "beneficiary": subject, "payor": [{"display": "Payer"}],
         "period": {"start": "2019-01-01"}})  # fmt: skip
    for year in _YEARS:
        _add_year(rng, add, subject, year)
    add({"resourceType": "Condition", "subject": subject, "recordedDate": "2019-02-11",
         "code": _concept(_SNOMED, "93461009", "Gender dysphoria")})  # fmt: skip
    add({"resourceType": "Condition", "subject": subject, "recordedDate": "2019-02-11",
         "code": _concept(_ICD10, "T74.11XA", "Adult physical abuse, confirmed")})  # fmt: skip
    add({"resourceType": "DocumentReference", "status": "current", "subject": subject, "date": "2019-02-11",
         "meta": {"security": [{"system": _ACT, "code": "PRS"}]}})  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    text = json.dumps(bundle, ensure_ascii=False, indent=1)
    # A decimal whose last zero counts: FHIR keeps the precision that was written.
    return text.replace('"@6.10@"', "6.10").encode()


def sample_dicom(seed: int = 1) -> bytes:
    """Return a small CT image as a DICOM file, its elements explicit and little-endian (PS3.5, section 7.1.2)."""
    rng = random.Random(seed)
    instance = f"1.2.826.0.1.3680043.8.498.{rng.randrange(10**12)}"
    meta = b"".join(
        [
            _element(2, 0x01, b"OB", b"\x00\x01"),  # version
            _element(2, 0x02, b"UI", _CT_IMAGE),
            _element(2, 0x03, b"UI", instance),
            _element(2, 0x10, b"UI", _EXPLICIT_LITTLE_ENDIAN),
            _element(2, 0x12, b"UI", _IMPLEMENTATION),
            _element(2, 0x13, b"SH", "PANACHAIN"),
        ]
    )
    whose = random.Random(_PERSON)
    _uuid(whose)
    number = whose.randrange(10**7, 10**8)
    patient_id, name = f"MRN-{number}", f"Sampleton{number % 997}^Pat{number % 89}"
    elements = [
        _element(0x08, 0x16, b"UI", _CT_IMAGE),
        _element(0x08, 0x18, b"UI", instance),
        _element(0x08, 0x20, b"DA", "20220817"),  # study date
        _element(0x08, 0x60, b"CS", "CT"),
        _element(0x10, 0x10, b"PN", name),
        _element(0x10, 0x20, b"LO", patient_id),
        _element(0x28, 0x02, b"US", 1),  # samples per pixel
        _element(0x28, 0x04, b"CS", "MONOCHROME2"),
        _element(0x28, 0x10, b"US", 64),  # rows
        _element(0x28, 0x11, b"US", 64),  # columns
        _element(0x28, 0x100, b"US", 16),  # bits allocated
        _element(0x28, 0x101, b"US", 12),  # bits stored
        _element(0x28, 0x102, b"US", 11),  # high bit
        _element(0x28, 0x103, b"US", 0),  # unsigned
        _element(0x7FE0, 0x10, b"OW", rng.randbytes(64 * 64 * 2)),
    ]
    return bytes(128) + b"DICM" + _element(2, 0, b"UL", len(meta)) + meta + b"".join(elements)


def _element(group: int, element: int, vr: bytes, value: str | int | bytes) -> bytes:
    """Return one data element; a value of odd length is filled up: UIDs and bytes with zero, text with a blank."""
    if isinstance(value, int):
        value = struct.pack("<I" if vr == b"UL" else "<H", value)
    elif isinstance(value, str):
        value = value.encode("ascii")
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    # These two have four bytes of length behind two that are kept free.
    length = struct.pack("<HI", 0, len(value)) if vr in {b"OB", b"OW"} else struct.pack("<H", len(value))
    return struct.pack("<HH", group, element) + vr + length + value


def _add_year(rng: random.Random, add: Any, subject: dict[str, str], year: int) -> None:
    """Add one encounter of a year with what belongs to it."""
    day = f"{year}-0{rng.randrange(1, 10)}-2{rng.randrange(0, 9)}"
    at = f"{day}T09:30:00+01:00"
    encounter = add({"resourceType": "Encounter", "status": "finished", "subject": subject, "period": {"start": at},
                     "class": {"code": "AMB"}, "type": [_concept(_SNOMED, "185349003", "Check up")]})  # fmt: skip
    seen = {"reference": encounter}

    def observe(category: str, code: str, display: str, value: Any, unit: str) -> None:
        add({"resourceType": "Observation", "status": "final", "subject": subject, "encounter": seen,
             "category": [_concept(_CATEGORY, category, category)], "code": _concept(_LOINC, code, display),
             "effectiveDateTime": at, "valueQuantity": {"value": value, "unit": unit}})  # fmt: skip

    observe("laboratory", "4548-4", "Hemoglobin A1c", "@6.10@", "%")
    observe("laboratory", "2093-3", "Cholesterol", rng.randrange(150, 260), "mg/dL")
    observe("laboratory", "38483-4", "Creatinine", round(rng.uniform(0.6, 1.4), 2), "mg/dL")
    observe("vital-signs", "8480-6", "Systolic blood pressure", rng.randrange(105, 160), "mm[Hg]")
    observe("vital-signs", "29463-7", "Body weight", round(rng.uniform(50, 100), 1), "kg")
    add({"resourceType": "Condition", "subject": subject, "encounter": seen, "recordedDate": at,
         "code": _concept(_SNOMED, "38341003", "Hypertensive disorder")})  # fmt: skip
    add({"resourceType": "Condition", "subject": subject, "encounter": seen, "recordedDate": at,
         "code": _concept(_SNOMED, "370143000", "Major depressive disorder")})  # fmt: skip
    add({"resourceType": "Condition", "subject": subject, "encounter": seen, "recordedDate": at,
         "code": _concept(_SNOMED, "7200002", "Alcoholism")})  # fmt: skip
    add({"resourceType": "Procedure", "status": "completed", "subject": subject, "performedDateTime": at,
         "code": _concept(_SNOMED, "169553002", "Insertion of subcutaneous contraceptive")})  # fmt: skip
    add({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
         "authoredOn": at, "medicationCodeableConcept": _concept(_RXNORM, "314076", "lisinopril 10 MG Oral Tablet")})  # fmt: skip
    add({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
         "authoredOn": at, "medicationCodeableConcept": _concept(_ATC, "J05AJ03", HIV_MEDICINE)})  # fmt: skip
    add({"resourceType": "Immunization", "status": "completed", "patient": subject, "occurrenceDateTime": at,
         "vaccineCode": _concept("http://hl7.org/fhir/sid/cvx", "140", "Influenza")})  # fmt: skip
    add({"resourceType": "Procedure", "status": "completed", "subject": subject, "performedDateTime": at,
         "code": _concept(_SNOMED, "73761001", "Colonoscopy")})  # fmt: skip
    add({"resourceType": "ImagingStudy", "status": "available", "subject": subject, "started": at,
         "numberOfSeries": 1, "modality": [{"code": "CT"}]})  # fmt: skip
    add({"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject, "period": {"start": at},
         "activity": [{"detail": {"status": "in-progress", "description": "Walking, thirty minutes a day"}}]})  # fmt: skip
    add({"resourceType": "DocumentReference", "status": "current", "subject": subject, "date": at,
         "content": [{"attachment": {"contentType": "text/plain", "data": "VmlzaXQgbm90ZTogd2VsbC4="}}]})  # fmt: skip
    add({"resourceType": "Claim", "status": "active", "use": "claim", "patient": subject, "created": day,
         "billablePeriod": {"start": at}, "total": {"value": 129.16, "currency": "USD"}})  # fmt: skip


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _uuid(rng: random.Random) -> str:
    raw = f"{rng.getrandbits(128):032x}"
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
