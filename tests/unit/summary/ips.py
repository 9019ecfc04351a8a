"""What the profiles of the International Patient Summary require, as a table, and a check that reads it.

Source: HL7 FHIR IPS Implementation Guide 2.0.0 (hl7.fhir.uv.ips, STU 2, on FHIR R4): the profiles' elements with a
minimum of 1, their fixed codes, and the invariants ips-comp-1, ips-pat-1, ips-2 and bdl-ips-1. Cardinalities of R4
itself are checked by `fhir.resources`, which is somebody else's reader.
"""

from __future__ import annotations

import json
from typing import Any

from fhir.resources.R4B.bundle import Bundle

PROFILE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
LOINC = "http://loinc.org"
REQUIRED: dict[str, tuple[str, ...]] = {
    "Bundle": ("identifier", "type", "timestamp", "entry"),
    "Composition": ("status", "type", "subject.reference", "date", "author", "title", "section"),
    "Patient": ("name", "birthDate"),
    "AllergyIntolerance": ("code", "patient.reference"),
    "Condition": ("code", "subject.reference"),
    "MedicationStatement": ("status", "medication[x]", "subject.reference", "effective[x]"),
    "MedicationRequest": ("status", "intent", "medication[x]", "subject.reference"),
    "Medication": ("code",),
    "Immunization": ("status", "vaccineCode", "patient.reference", "occurrence[x]"),
    "Procedure": ("status", "code", "subject.reference", "performed[x]"),
    "DeviceUseStatement": ("status", "subject.reference", "timing[x]", "device"),
    "Device": (),
    "Observation": ("status", "category", "code", "subject.reference", "effective[x]", "performer"),
    "Provenance": ("target", "recorded", "agent"),
}
"""By type: elements that its profile (or, without one, R4) requires. `[x]` stands for one of several types."""
SECTIONS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "48765-2": (True, ("AllergyIntolerance",)),
    "10160-0": (True, ("MedicationStatement", "MedicationRequest")),
    "11450-4": (True, ("Condition",)),
    "11369-6": (False, ("Immunization",)),
    "30954-2": (False, ("Observation", "DiagnosticReport")),
    "47519-4": (False, ("Procedure",)),
    "46264-8": (False, ("DeviceUseStatement",)),
}
"""By LOINC code of a section (Composition-uv-ips): whether it must be there, and of which types its entries are."""


def faults(content: bytes) -> list[str]:
    """Return what a document lacks of R4 and of the table; nothing for a valid one."""
    found = []
    try:
        Bundle.model_validate_json(content)
    except ValueError as exc:
        found.append(f"R4: {exc}")
    document = json.loads(content)
    resources = [entry.get("resource", {}) for entry in document.get("entry", ())]
    found += _bundle(document, resources)
    for resource in (document, *resources):
        kind = resource.get("resourceType", "nothing")
        if kind not in REQUIRED:
            found.append(f"{kind}: not in an IPS")
            continue
        found += [f"{kind}: no {path}" for path in REQUIRED[kind] if not _has(resource, path)]
    if resources and resources[0].get("resourceType") == "Composition":
        found += _composition(resources[0], document)
    found += [f"Patient: ips-pat-1 of {name}" for one in _of(resources, "Patient") for name in one.get("name", ())
              if not {"family", "given", "text", "extension"} & name.keys()]  # fmt: skip
    found += [f"Observation: ips-2, no value: {one}" for one in _of(resources, "Observation")
              if not _has(one, "value[x]") and not {"component", "dataAbsentReason"} & one.keys()]  # fmt: skip
    return found


def _of(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in resources if one.get("resourceType") == kind]


def _bundle(document: dict[str, Any], resources: list[dict[str, Any]]) -> list[str]:
    found = [] if document.get("type") == "document" else ["Bundle: no document"]
    if not resources or resources[0].get("resourceType") != "Composition":
        found.append("Bundle: its first entry is no Composition")
    for kind in ("Composition", "Patient"):
        if len(_of(resources, kind)) != 1:
            found.append(f"Bundle: not one {kind}")
    urls = [entry.get("fullUrl") for entry in document.get("entry", ())]
    if None in urls or len(set(urls)) != len(urls):
        found.append("Bundle: an entry without an address of its own")
    found += [f"Bundle: {key} in an entry" for entry in document.get("entry", ()) for key in entry
              if key in ("search", "request", "response")]  # fmt: skip
    reached = _reached(document)
    stray = [url for url, one in zip(urls, resources, strict=True)
             if url not in reached and one.get("resourceType") not in ("Composition", "Provenance")]  # fmt: skip
    found += [f"Bundle: nothing leads to {url}" for url in stray]
    return found + [f"Bundle: {one} leads nowhere" for one in _references(document) if one not in urls]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [one for inner in value.values() for one in _references(inner)]
    return [one for inner in value for one in _references(inner)] if isinstance(value, list) else []


def _reached(document: dict[str, Any]) -> set[str]:
    """Return what the Composition leads to, directly or through others (FHIR R4, section 2.42.1)."""
    entries = {entry.get("fullUrl"): entry["resource"] for entry in document["entry"]}
    left, reached = [document["entry"][0]["resource"]], set()
    while left:
        for one in _references(left.pop()):
            if one in entries and one not in reached:
                reached.add(one)
                left.append(entries[one])
    return reached


def _composition(composition: dict[str, Any], document: dict[str, Any]) -> list[str]:
    found = []
    if composition.get("type", {}).get("coding", [{}])[0].get("code") != "60591-5":
        found.append("Composition: not of type 60591-5")
    entries = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in document["entry"]}
    sections = {one["code"]["coding"][0]["code"]: one for one in composition.get("section", ())}
    found += [
        f"Composition: no section {code}" for code, (must, _) in SECTIONS.items() if must and code not in sections
    ]
    for code, section in sections.items():
        kinds = [entries.get(one["reference"], "") for one in section.get("entry", ())]
        if code not in SECTIONS or not set(kinds) <= set(SECTIONS[code][1]):
            found.append(f"section {code}: holds {sorted(set(kinds))}")
        if not section.get("title") or not section.get("text", {}).get("div"):
            found.append(f"section {code}: no title or no text")
        if bool(kinds) == ("emptyReason" in section):
            found.append(f"section {code}: ips-comp-1 or cmp-2")
    return found


def _has(resource: Any, path: str) -> bool:
    head, _, rest = path.partition(".")
    if head.endswith("[x]"):
        return any(key.lstrip("_").startswith(head[:-3]) and resource[key] for key in resource)
    value = resource.get(head) or resource.get(f"_{head}")
    return bool(value) if not rest else isinstance(value, dict) and _has(value, rest)
