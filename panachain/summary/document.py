"""The document: an International Patient Summary of opened records, as FHIR R4, with where each statement comes from.

Nobody attests it: a program made it, and it says so. It also says what it leaves out: categories that weren't granted
or are closed by rule, records that can't be read, files that aren't FHIR. An empty section has a reason, and none says
that a patient has no allergies because nobody recorded one.
Follows HL7 IPS 2.0.0 (Bundle, Composition, and the profiles of its entries) and FHIR R4 (Documents, Provenance).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from panachain.model.scope import RESTRICTED, Category
from panachain.plain import count
from panachain.records import canonical
from panachain.summary import elements
from panachain.summary.choice import PARTS, Choice, Chosen, Part, choose
from panachain.summary.elements import ABSENT, ABSENT_CONCEPT, Made
from panachain.summary.narrative import paragraphs, table
from panachain.viewer import values
from panachain.viewer.chart import Unread, gathered_of
from panachain.viewer.fhir import Found
from panachain.viewer.items import Item, Told
from panachain.viewer.values import first, objects, word

_PROFILE: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
_LOINC: Final = "http://loinc.org"
_LABORATORY: Final = ("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")
_EMPTY: Final = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_REDACTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
    "display": "redacted",
}
"""What says to programs that something may be left out (HL7 v3 ObservationValue, SecurityIntegrityObservationValue)."""
_PROFILES: Final = {
    "Composition": "Composition-uv-ips",
    "Patient": "Patient-uv-ips",
    "AllergyIntolerance": "AllergyIntolerance-uv-ips",
    "Condition": "Condition-uv-ips",
    "MedicationStatement": "MedicationStatement-uv-ips",
    "MedicationRequest": "MedicationRequest-uv-ips",
    "Medication": "Medication-uv-ips",
    "Immunization": "Immunization-uv-ips",
    "Procedure": "Procedure-uv-ips",
    "DeviceUseStatement": "DeviceUseStatement-uv-ips",
    "Observation": "Observation-results-laboratory-pathology-uv-ips",
}
_MOST_CONTACTS: Final = 20
_MOST_TOLD: Final = 50
"""Omissions that are named one by one."""


@dataclass(frozen=True)
class Summary:
    """A patient summary, and what it leaves out."""

    content: bytes = field(repr=False)
    """The document: a Bundle in JSON."""
    sections: Mapping[str, int]
    """By key of the section how much it says."""
    records: int
    """Records that were looked at."""
    hospitals: int
    merged: int
    """Statements that were there twice, and are one."""
    withheld: tuple[str, ...]
    """Categories that may hold something that isn't here: closed by rule, or not granted."""
    unread: tuple[Unread, ...]
    """Records that can't be read."""
    others: int
    """Records that aren't FHIR: nothing of them is here."""
    differs: bool
    """Whether the records say of different persons that they are about them."""


def summary(
    records: Iterable[Item],
    *,
    now: float,
    told: Told | None = None,
    readable: Collection[Category] = frozenset(Category),
    ids: Mapping[int, str] | None = None,
    new_id: Callable[[], str] = lambda: str(uuid4()),
) -> Summary:
    """Return the patient summary of some records.

    Args:
        records: opened ones, numbered from 1.
        now: Unix seconds.
        told: what whoever opened them was told besides.
        readable: categories all of whose records could be among them; of all others it says that they are withheld.
        ids: by number of the record its ID, for its provenance.
        new_id: draws a UUID.
    """
    items, told = tuple(records), told or Told()
    gathered = gathered_of(items)
    choice = choose(gathered, now)
    withheld = tuple(one.value for one in Category if one.value in told.withheld or one not in readable)
    made = _Maker(choice, items, told, withheld, ids or {}, new_id, now, others=_others(gathered))
    return Summary(
        content=canonical.dump(made.bundle(), sort=False),
        sections={part.key: len(choice.chosen[part.key]) for part in PARTS},
        records=len(items),
        hospitals=len({item.hospital for item in items}),
        merged=choice.merged,
        withheld=withheld,
        unread=tuple(choice.unread),
        others=made.others,
        differs=made.differs,
    )


def _others(gathered: Any) -> int:
    return len(gathered.documents) + len(gathered.images)


@dataclass
class _Maker:
    choice: Choice
    items: tuple[Item, ...]
    told: Told
    withheld: tuple[str, ...]
    ids: Mapping[int, str]
    new_id: Callable[[], str]
    now: float
    others: int
    differs: bool = False

    def bundle(self) -> Made:
        """Return the document: the Composition first, then the patient, then everything else."""
        at = _instant(self.now)
        patient, author = self._url(), self._url()
        person = self._patient()
        entries: list[Made] = []
        sources: dict[int, list[str]] = {}
        sections = [self._section(part, patient, entries, sources) for part in PARTS]
        whom = self._person_records()
        for number in whom:
            sources.setdefault(number, []).append(patient)
        composition = self._composition(at, patient, author, [one for one in sections if one is not None])
        provenance = [_entry(self._url(), self._provenance(number, targets, at)) for number, targets in sources.items()]
        made: Made = {
            "resourceType": "Bundle",
            "meta": {"profile": [f"{_PROFILE}Bundle-uv-ips"], **self._security()},
            "language": "en",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": self._url()},
            "type": "document",
            "timestamp": at,
            "entry": [
                _entry(self._url(), composition),
                _entry(patient, person),
                _entry(author, _AUTHOR),
                *entries,
                *provenance,
            ],
        }
        return made

    def _url(self) -> str:
        return f"urn:uuid:{self.new_id()}"

    def _security(self) -> Made:
        return {"security": [dict(_REDACTED)]} if self.withheld or self.told.omissions else {}

    # Composition

    def _composition(self, at: str, patient: str, author: str, sections: list[Made]) -> Made:
        return {
            "resourceType": "Composition",
            "meta": {"profile": [_PROFILE + _PROFILES["Composition"]], **self._security()},
            "language": "en",
            "text": paragraphs(self._says()),
            "status": "final",
            "type": {"coding": [{"system": _LOINC, "code": "60591-5", "display": "Patient summary Document"}]},
            "subject": {"reference": patient},
            "date": at,
            "author": [{"reference": author}],
            "title": "International Patient Summary",
            "section": sections,
        }

    def _says(self) -> Iterator[str]:
        hospitals = dict.fromkeys(item.source for item in self.items)
        yield (
            f"A program made this summary on {_instant(self.now)[:10]} of {count(len(self.items), 'record')} of"
            f" {count(len(hospitals), 'hospital')} ({', '.join(hospitals) or 'none'}). Nobody checked or attested it:"
            " each statement is its hospital's."
        )
        if self.withheld:
            yield (
                "Something may be withheld: whoever made this summary may not read all of these categories, whether or"
                f" not there is anything in them: {', '.join(self.withheld)}."
            )
        if self.differs:
            yield (
                "The records say of different persons that they are about them. Make sure whose they are before anybody"
                " relies on them."
            )
        yield from self._left_out()

    def _left_out(self) -> Iterator[str]:
        omissions, unread = self.told.omissions, self.choice.unread
        if omissions:
            more = f" and {len(omissions) - _MOST_TOLD} more" if len(omissions) > _MOST_TOLD else ""
            yield f"Left out, because it couldn't be opened: {'; '.join(omissions[:_MOST_TOLD])}{more}."
        if unread:
            numbers = dict.fromkeys(f"record {one.record} of {one.source} ({one.reason})" for one in unread)
            yield f"Left out, because it can't be read: {'; '.join([*numbers][:_MOST_TOLD])}."
        if self.others:
            yield f"Not looked into: {count(self.others, 'record')} not in FHIR, such as documents and images."
        if self.choice.merged:
            yield f"{self.choice.merged} statements that several records make in the same words stand here once."

    # Sections

    def _section(self, part: Part, patient: str, entries: list[Made], sources: dict[int, list[str]]) -> Made | None:
        chosen = self.choice.chosen[part.key]
        notes = list(self._notes(part, chosen))
        if not chosen and not part.is_required and not self._is_withheld(part):
            return None
        references = []
        for one in chosen:
            for url, resource, is_entry in self._resources(one, patient):
                entries.append(_entry(url, resource))
                references += [{"reference": url}] if is_entry else []
                for number in one.records:
                    sources.setdefault(number, []).append(url)
        made: Made = {
            "title": part.title,
            "code": {"coding": [{"system": _LOINC, "code": part.code, "display": part.display}]},
            "text": table([one.row for one in chosen], notes),
        }
        if references:
            return made | {"entry": references}
        reason = "withheld" if self._is_withheld(part) else "unavailable"
        display = {"withheld": "Information Withheld", "unavailable": "Unavailable"}[reason]
        return made | {"emptyReason": {"coding": [{"system": _EMPTY, "code": reason, "display": display}]}}

    def _is_withheld(self, part: Part) -> bool:
        return part.category.value in self.withheld

    def _notes(self, part: Part, chosen: Collection[Chosen]) -> Iterator[str]:
        if self._is_withheld(part):
            yield f"Withheld: whoever made this summary may not read all of the category {part.category.value}."
        elif not chosen:
            yield "No record says anything of it. That doesn't mean that there is nothing."
        if restricted := [one.value for one in Category if one in RESTRICTED and one.value in self.withheld]:
            yield f"What is closed as {', '.join(restricted)} may be missing here."
        older = self.choice.older.get(part.key, 0)
        if older:
            yield f"{older} older ones are in the records, and not here."
        if unfit := sum(one.made is None for one in chosen):
            yield f"{unfit} of these stand here in words only: they aren't of FHIR R4."

    def _resources(self, one: Chosen, patient: str) -> Iterator[tuple[str, Made, bool]]:
        """Yield a resource with those that it needs: its address, itself, and whether the section names it."""
        if one.made is None:
            return
        kind, subject = one.found.kind, {"reference": patient}
        made: Made = {"resourceType": kind, **_profile(kind, one), **one.made}
        if kind == "Device":
            # The section takes statements of use only: this device lies in the patient's record as theirs.
            url = self._url()
            yield url, {**made, "patient": subject}, False
            use = {"resourceType": "DeviceUseStatement", **_profiled("DeviceUseStatement"), "status": "active"}
            yield (
                self._url(),
                {**use, "subject": subject, "_timingDateTime": ABSENT, "device": {"reference": url}},
                True,
            )
            return
        made["patient" if kind in ("AllergyIntolerance", "Immunization") else "subject"] = subject
        if one.target is not None:
            url = self._url()
            held = elements.carried(one.target.kind, one.target.resource)
            if one.target.kind == "Device":
                held["patient"] = subject
            else:
                held.setdefault("code", ABSENT_CONCEPT)
            yield url, {**held, **_profiled(one.target.kind)}, False
            made["device" if kind == "DeviceUseStatement" else "medicationReference"] = {"reference": url}
        yield self._url(), made, True

    # Whose it is

    def _person_records(self) -> list[int]:
        return list(dict.fromkeys(one.item.number for one in (*self.choice.persons, *self.choice.relatives)))

    def _patient(self) -> Made:
        """Return whom the records are about: as the newest record says, with the contacts of all."""
        persons = sorted(self.choice.persons, key=lambda one: (-one.item.stored_at, -one.item.number))
        carried = [elements.carried("Patient", one.resource) for one in persons]
        made: Made = {"resourceType": "Patient", **_profiled("Patient")}
        names = {
            " ".join(sorted(values.person(one.get("name")).casefold().split())) for one in carried if "name" in one
        }
        born = {one["birthDate"] for one in carried if "birthDate" in one}
        self.differs = len(names) > 1 or len(born) > 1
        # What the newest lacks, an older one may say; but nobody is made of two persons.
        for one in carried[:1] if self.differs else carried:
            made |= {key: value for key, value in one.items() if key not in made}
        made = elements.single(made)
        contacts = [contact for one in carried for contact in one.get("contact", ())]
        contacts += [found for one in self.choice.relatives if (found := _relative(one)) is not None]
        once = list({canonical.dump(contact, sort=True): contact for contact in contacts}.values())
        made.pop("contact", None)
        if once:
            made["contact"] = once[:_MOST_CONTACTS]
        made["name"] = [one for one in made.get("name", ()) if {"text", "family", "given"} & one.keys()] or [
            dict(ABSENT)
        ]
        if "birthDate" not in made:
            made["_birthDate"] = ABSENT
        return made

    def _provenance(self, number: int, targets: list[str], at: str) -> Made:
        item = next(one for one in self.items if one.number == number)
        who: Made = {"identifier": {"system": "urn:panachain:hospital", "value": item.hospital}}
        if item.hospital_name:
            who["display"] = item.hospital_name
        made: Made = {
            "resourceType": "Provenance",
            "target": [{"reference": one} for one in dict.fromkeys(targets)],
            "recorded": _instant(item.stored_at) if item.stored_at else at,
            "agent": [{"type": _AUTHORED, "who": who}],
        }
        if number in self.ids:
            what = {"identifier": {"system": "urn:panachain:record", "value": self.ids[number]}}
            made["entity"] = [{"role": "source", "what": what}]
        return made


_AUTHORED: Final = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "author"}]
}
_AUTHOR: Final = {
    "resourceType": "Device",
    "deviceName": [{"name": "PanaChain", "type": "model-name"}],
    "type": {"text": "software that made this summary"},
}


def _profile(kind: str, one: Chosen) -> Made:
    if kind == "Observation":
        # The profile wants this very code; what is in the laboratory's section without it is an Observation of R4.
        return _profiled(kind) if _LABORATORY in values.codes(one.found.resource.get("category")) else {}
    return _profiled(kind)


def _profiled(kind: str) -> Made:
    return {"meta": {"profile": [_PROFILE + _PROFILES[kind]]}} if kind in _PROFILES else {}


def _relative(one: Found) -> Made | None:
    made = elements.contact(dict(one.resource) | {"name": first(one.resource.get("name"))})
    address = next(objects(one.resource.get("address")), None)
    if made is not None and address is not None and (told := elements.address(address)) is not None:
        made["address"] = told
    return made if made is not None and {"name", "telecom"} & made.keys() else None


def _entry(url: str, resource: Mapping[str, Any]) -> Made:
    return {"fullUrl": url, "resource": {"resourceType": word(resource["resourceType"]), **_with_id(url, resource)}}


def _with_id(url: str, resource: Mapping[str, Any]) -> Made:
    return {"id": url.removeprefix("urn:uuid:"), **resource}


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
