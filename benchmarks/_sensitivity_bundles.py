"""Bundles without labels whose resources should be closed or stay open, for `sensitivity.py`."""

from __future__ import annotations

from typing import Any

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ICD9 = "http://hl7.org/fhir/sid/icd-9-cm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
_PATIENT = {"reference": "Patient/p"}
Coding = tuple[str, str, str]

CONDITIONS: tuple[Coding, ...] = (
    *((ICD10, code, "") for code in ("F32.1", "F200", "f60.3", "R45.851", "F1110", "F10.239", "O98.711", "Z20.6")),
    *((ICD10, code, "") for code in ("A51.0", "Z33.2", "T74.21XA", "F64.0", "B20", "B24")),
    *((ICD9, code, "") for code in ("304.00", "042", "V08", "29620", "635.90")),
    *((SNOMED, code, "") for code in ("111880001", "191802004", "13746004", "75544000", "15167005")),
    ("https://example.org/local", "P-1", "HIV disease"),
    ("https://example.org/local", "P-2", "Opioid use disorder"),
)
MEDICINES: tuple[Coding, ...] = (
    *((RXNORM, "", name) for name in ("methadone", "buprenorphine", "naltrexone", "disulfiram", "efavirenz")),
    *((RXNORM, "", name) for name in ("emtricitabine", "mifepristone", "lithium carbonate", "clozapine")),
    *((ATC, code, "") for code in ("N07BC02", "J05AR06", "G03XB01")),
)
TESTS: tuple[Coding, ...] = tuple(
    (LOINC, code, "")
    for code in ("7917-8", "25835-0", "29893-5", "3397-7", "3879-4", "5643-2", "2106-3", "2118-8", "20507-0", "21613-5")
)
OPEN: tuple[Coding, ...] = (
    (SNOMED, "370221004", "Severe asthma"),
    (SNOMED, "224299000", "Received higher education"),
    (SNOMED, "449868002", "Smokes tobacco daily"),
    (ICD10, "E11.9", "Type 2 diabetes mellitus"),
    (SNOMED, "38341003", "Hypertensive disorder"),
)


def bundle() -> tuple[dict[str, Any], frozenset[str]]:
    """Return a Bundle, and type and id of the resources in it that should be closed."""
    closed: list[dict[str, Any]] = []
    for number, one in enumerate(CONDITIONS):
        condition = _resource("Condition", f"c{number}", code=_concept(one))
        closed.append(condition)
        # Whatever refers to it by an element that carries meaning.
        target = {"reference": f"Condition/c{number}"}
        closed += [
            _resource("Encounter", f"e{number}", diagnosis=[{"condition": target}]),
            _resource("CarePlan", f"p{number}", addresses=[target]),
            _resource("Claim", f"b{number}", diagnosis=[{"sequence": 1, "diagnosisReference": target}]),
            _resource("MedicationRequest", f"r{number}", reasonReference=[target]),
            _resource("List", f"l{number}", entry=[{"item": target}]),
        ]
    for number, one in enumerate(MEDICINES):
        closed.append(_resource("MedicationRequest", f"m{number}", medicationCodeableConcept=_concept(one)))
    for number, one in enumerate(TESTS):
        closed.append(_resource("Observation", f"o{number}", code=_concept(one)))
        closed.append(_resource("DiagnosticReport", f"d{number}", result=[{"reference": f"Observation/o{number}"}]))
    still = [_resource("Condition", f"x{number}", code=_concept(one)) for number, one in enumerate(OPEN)]
    # Context closes nothing: the measurement was taken at an encounter that is closed.
    pressure = {"encounter": {"reference": "Encounter/e0"}, "code": {"text": "blood pressure"}}
    still.append(_resource("Observation", "y", **pressure))
    entries = [{"resource": one} for one in closed + still]
    names = frozenset(f"{one['resourceType']}/{one['id']}" for one in closed)
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}, names


def _resource(kind: str, number: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": number, "subject": _PATIENT, **members}


def _concept(coding: Coding) -> dict[str, Any]:
    system, code, display = coding
    found = {"system": system, "code": code, "display": display}
    return {"coding": [{name: value for name, value in found.items() if value}]}
