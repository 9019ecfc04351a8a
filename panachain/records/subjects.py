"""Subjects: which patients a FHIR resource names, in whatever element and by whatever form of reference.

Two systems may use one id for two persons, so a reference is never shortened to a type and an id: it keeps the server,
the Bundle or the export within which it holds. Opens no file and decides nothing: `exports.py` does.
Follows FHIR R4 (References; Bundle: resolving references) and docs/spec/persons.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.records.persons import system_of

_RESTFUL: Final = re.compile(r"(?P<base>.+)/(?P<name>[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?")
"""A place on a server."""
_RELATIVE: Final = re.compile(r"(?P<name>[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?")
_QUERY: Final = re.compile(r"(?:.*/)?(?P<kind>[A-Z][A-Za-z]+)\?(?P<query>.*)", re.DOTALL)
_BINARY: Final = re.compile(r"(?:.*/)?Binary/[A-Za-z0-9.-]{1,64}")
_SUBJECTS: Final = frozenset({"subject", "patient", "beneficiary", "individual", "for"})
"""Elements that name a patient also where nothing else says what they refer to."""
SHARED: Final = frozenset(
    {
        *("Organization", "OrganizationAffiliation", "Practitioner", "PractitionerRole", "Location", "Endpoint"),
        *("HealthcareService", "Medication", "MedicationKnowledge", "Substance", "Device", "DeviceDefinition"),
        *("Questionnaire", "ValueSet", "CodeSystem", "ConceptMap", "NamingSystem", "StructureDefinition", "Library"),
        *("PlanDefinition", "ActivityDefinition", "Measure", "ObservationDefinition", "SpecimenDefinition"),
        *("ChargeItemDefinition", "InsurancePlan", "ResearchStudy", "Schedule", "Slot", "OperationOutcome"),
    }
)
"""Types of resources that may be about nobody: they go along with whatever refers to them."""


@dataclass
class Subjects:
    """Whom and what a resource names; each name is a text that is the same wherever the same thing is meant."""

    kind: str
    """Its type; empty for an entry without a resource."""
    names: set[str] = field(default_factory=set, repr=False)
    """By which references it is meant."""
    identifiers: set[str] = field(default_factory=set, repr=False)
    """By which identifiers references mean it."""
    patients: set[str] = field(default_factory=set, repr=False)
    """References to patients."""
    others: set[str] = field(default_factory=set, repr=False)
    """References to something, perhaps to a patient."""
    links: set[str] = field(default_factory=set, repr=False)
    """What a Patient says is the same person."""


def subjects_of(resource: dict[str, Any], full_url: object, scope: str, unique: str) -> Subjects:
    """Return whom a resource names.

    Args:
        resource: as JSON holds it; empty for an entry without one.
        full_url: of its entry.
        scope: the Bundle or export in which references without a server hold.
        unique: a text that no other resource has.
    """
    kind, number = resource.get("resourceType"), resource.get("id")
    found = Subjects(kind if isinstance(kind, str) else "")
    base = ""
    if isinstance(full_url, str) and full_url:
        place = _RESTFUL.fullmatch(full_url) if "://" in full_url else None
        base = place["base"] if place else ""
        told = f"{base}/{place['name']}" if place else full_url
        found.names.add(told if "://" in told else f"{scope}|{told}")
    if found.kind and isinstance(number, str):
        found.names.add(f"{scope}|{found.kind}/{number}")
        if base:
            found.names.add(f"{base}/{found.kind}/{number}")
    if found.kind in ("Patient", *SHARED):
        found.identifiers = {
            name for one in _dicts(resource.get("identifier")) if (name := identifier_name(found.kind, one))
        }
    _Walk(found, base, scope, unique).run(resource)
    return found


def identifier_name(kind: str, identifier: dict[str, Any]) -> str:
    """Return the name of whatever of a type has an identifier; empty if the identifier has no system or value."""
    system, value = identifier.get("system"), identifier.get("value")
    if not isinstance(system, str) or not isinstance(value, str) or not system.strip() or not value.strip():
        return ""
    return f"{kind}?{system_of(system)}|{value.strip()}"


class _Walk:
    """Goes through a resource and collects what its references mean."""

    def __init__(self, found: Subjects, base: str, scope: str, unique: str) -> None:
        self._found = found
        self._base = base
        self._scope = scope
        self._unknown = f"{unique}|?"
        """Stands for a patient of whom nothing says who they are."""

    def run(self, resource: dict[str, Any]) -> None:
        stack: list[tuple[str, Any]] = [("", resource)]
        if self._found.kind == "Patient":
            # What a Patient is linked with is the same person, and no second one.
            resource = {**resource, "link": [self._linked(link) for link in _dicts(resource.get("link"))]}
            stack = [("", resource)]
        while stack:
            element, item = stack.pop()
            if isinstance(item, list):
                stack.extend((element, one) for one in item)
            elif isinstance(item, dict):
                if item is not resource and item.get("resourceType") == "Patient":
                    # A patient inside of another resource has no name that holds outside of it.
                    self._found.patients.add(self._unknown)
                self._look(element, item)
                stack.extend((name, value) for name, value in item.items() if isinstance(value, (dict, list)))

    def _linked(self, link: dict[str, Any]) -> dict[str, Any]:
        """Note what a Patient is linked with, and return the rest of the link."""
        for other in _dicts(link.get("other")):
            reference = other.get("reference")
            if isinstance(reference, str) and reference and not reference.startswith("#"):
                self._found.links.add(self._name(reference)[0])
        return {name: value for name, value in link.items() if name != "other"}

    def _look(self, element: str, item: dict[str, Any]) -> None:
        reference, identifier, url = item.get("reference"), item.get("identifier"), item.get("url")
        kind = item.get("type")
        told = kind.rpartition("/")[2] if isinstance(kind, str) else ""
        if isinstance(reference, str) and reference:
            self._refer(element, reference, told)
        if isinstance(identifier, dict) and "resourceType" not in item:
            self._identify(element, identifier, told, alone=not reference)
        if isinstance(url, str) and _BINARY.fullmatch(url):
            self._found.others.add(self._name(url)[0])

    def _refer(self, element: str, reference: str, kind: str) -> None:
        if reference.startswith("#"):
            # Contained resources are gone through by themselves.
            return
        name, told = self._name(reference)
        told = told or kind
        if told == "Patient" or (not told and element in _SUBJECTS):
            self._found.patients.add(name)
        else:
            self._found.others.add(name)

    def _name(self, reference: str) -> tuple[str, str]:
        """Return what a reference means, and the type that it names; empty where it names none."""
        query = _QUERY.fullmatch(reference)
        if query:
            field_name, _, value = query["query"].partition("=")
            system, bar, plain = value.partition("|")
            if field_name == "identifier" and bar:
                name = identifier_name(query["kind"], {"system": system, "value": plain})
                return name or self._unknown, query["kind"]
            return self._unknown, query["kind"]
        place = _RESTFUL.fullmatch(reference) if "://" in reference else None
        if place:
            return f"{place['base']}/{place['name']}", place["name"].partition("/")[0]
        relative = _RELATIVE.fullmatch(reference)
        if relative:
            name = relative["name"]
            return f"{self._base}/{name}" if self._base else f"{self._scope}|{name}", name.partition("/")[0]
        # However it is written, it isn't nobody whom it means.
        told = "Patient" if "patient/" in reference.casefold() else ""
        return reference if "://" in reference else f"{self._scope}|{reference}", told

    def _identify(self, element: str, identifier: dict[str, Any], told: str, *, alone: bool) -> None:
        name = identifier_name(told or "Patient", identifier)
        if alone and (told == "Patient" or (not told and element in _SUBJECTS)):
            self._found.patients.add(name or self._unknown)
        elif name:
            # Beside a reference, or of something else: it counts where it is known to be a patient's.
            self._found.others.add(name)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
