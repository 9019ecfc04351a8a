"""Routing: what a mixed folder or a bulk export holds goes to the patient whom it is about, or to nobody.

A person is whoever a table says or, without one, the paired patient whose kept fingerprints leave nothing open
(kept_persons.py). Publishes nothing itself. Follows docs/spec/persons.md, section "Many patients at once".
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from panachain.errors import DiskError, InputError, Omission, UnknownActorError, UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.model.scope import Category
from panachain.records.exports import Export, FoundPatient
from panachain.records.findings import Findings
from panachain.records.others import server_of
from panachain.records.pairing import Pairing
from panachain.records.persons import FIELDS, distinct
from panachain.records.sensitivity import DEFAULT, Profile, matcher_of
from panachain.records.sensitivity.profiles import profile_of
from panachain.records.sources import Source, find_sources
from panachain.records.walk import spelled
from panachain.sdk.kept_persons import KeptPersons
from panachain.sdk.network import Network
from panachain.sdk.pairings import Pairings, closed_for
from panachain.sdk.publishing import Publishing
from panachain.sdk.results.uploads import Proposal, UploadReport
from panachain.sdk.uploads import Tally

_TABLE: Final = "name their patient in the file of --assign: a line Patient/ID,PATIENT; or the files, path,PATIENT"
_ONLY_REFERRED: Final = "nothing says who they are, they are only referred to"
_UNPAIRED: Final = "they aren't paired with this hospital"
_SEVERAL: Final = "it is about several patients: upload --by-patient gives each of them their part"
_SOME: Final = "some of its resources name two patients or nobody: upload --by-patient names them"
_SHARED_ONLY: Final = "it is about nobody"
_NOBODY: Final = "it doesn't say whom it is about"


@dataclass(frozen=True)
class Reading:
    """What is read, and how."""

    paths: Sequence[Path]
    """Files and folders; what one of them holds is one export, within which references hold."""
    named: Mapping[str, str]
    """Patients by what means them in the export (`Patient/ID`, `system|value`, an address), or by a file."""
    category: Category | None = None
    """As `find_sources`."""
    profile: Profile = DEFAULT
    """Says what is sensitive."""
    by_file: bool = False
    """Whether each file is an export of its own: a mixed folder comes from several systems, which share no ids."""
    copies: Mapping[Path, bytes] = field(default_factory=dict)
    """As `find_sources`."""


def publish_each(
    publishing: Publishing, pairings: Pairings, persons: KeptPersons, tally: Tally, reading: Reading
) -> UploadReport:
    """Publish what files hold of many patients.

    Raises:
        PartlyDoneError: something was left out; all else was published.
        DiskError: the disk is full.
        UsageError, InputError: as `Routing.read` and `Publishing.run`.
    """
    network = publishing.network
    reading = replace(reading, profile=profile_of(network.config.sensitivity))
    with Export(persons.key) as export:
        routing = Routing(network, pairings, persons, export, tally)
        with _disk():
            routing.read(reading)
        found = routing.omissions, routing.patients, routing.unassigned
        return publishing.run(routing.sources(reading), tally, persons, *found)


@contextmanager
def _disk() -> Iterator[None]:
    """Tell of a disk that has no place for what is to be worked out."""
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise DiskError(f"whose each resource is can't be worked out on this disk: {exc}") from exc


def propose(network: Network, pairings: Pairings, persons: KeptPersons, paths: Sequence[Path]) -> list[Proposal]:
    """Return whose each file seems to be; publishes nothing.

    Raises:
        UsageError: there is no such file.
    """
    tally = Tally()
    with Export(persons.key) as export:
        routing = Routing(network, pairings, persons, export, tally)
        with _disk():
            routing.read(Reading(paths, {}, profile=profile_of(network.config.sensitivity), by_file=True))
            found = routing.proposals()
    found += [Proposal(spelled(source.file), "", str(error)) for source, error in tally.unread]
    files: dict[str, Proposal] = {}
    for one in found:
        known = files.setdefault(one.file, one)
        if (known.patient, known.why) != (one.patient, one.why):
            # An archive of which not all members are the same person's.
            files[one.file] = Proposal(one.file, "", _SEVERAL if known.patient or one.patient else known.why)
    return sorted(files.values(), key=lambda one: one.file)


class Routing:
    """Whom the files of one call go to."""

    def __init__(
        self, network: Network, pairings: Pairings, persons: KeptPersons, export: Export, tally: Tally
    ) -> None:
        """Take what decides, and what counts.

        Args:
            network: knows the actors.
            pairings: of the hospital.
            persons: know whom the hospital's patients are.
            export: is filled.
            tally: is told of files that can't be read.
        """
        self._network = network
        self._pairings = pairings
        self._persons = persons
        self._export = export
        self._tally = tally
        self._files: list[tuple[Source, Address]] = []
        self._nobodys: list[tuple[Source, str]] = []
        self._decided: dict[int, tuple[str, str]] = {}
        """Of each patient of the export who they are, or why nobody knows."""
        self._places: dict[Address, tuple[Path, int]] = {}
        self._paired: dict[Address, list[Pairing]] = {}
        self._profiles: Mapping[Address, Profile] = {}
        """What is closed for each patient who gets something."""
        self._scopes = 0
        self.omissions: list[Omission] = []
        """What goes to nobody, each with why."""
        self.unassigned: Counter[str] = Counter()
        """Why, and how many patients, resources and files go to nobody for it."""

    @property
    def patients(self) -> int:
        """How many patients get something."""
        return len(self._paired)

    def read(self, reading: Reading) -> None:
        """Read what there is, and decide whose it is.

        Raises:
            UsageError: a name means nobody in the export, several, or one person is named twice.
            InputError: a file can't be read, and the tally is strict.
        """
        named, category, profile = reading.named, reading.category, reading.profile
        names = list(dict.fromkeys(named.values()))
        actors = dict(zip(names, self._network.resolver.resolve_many(names, Role.PATIENT), strict=True))
        told = {what: actors[name].address for what, name in named.items()}
        places = {os.path.realpath(what): what for what in told if "\0" not in what}
        files = set()
        for path in reading.paths:
            server = server_of(path)
            found = find_sources([path], category, profile, passed_over=self._tally.pass_over, copies=reading.copies)
            for source in found:
                try:
                    if not self._export.add(source, self._scopes, server):
                        what = places.get(os.path.realpath(source.path), "")
                        files.add(what)
                        self._add_file(source, told.get(what))
                except InputError as exc:
                    self._tally.leave_out(source, exc)
                source.release()
                self._scopes += reading.by_file
            self._scopes += 1
        self._settle(told, files, profile)
        if self._tally.strict and self.omissions:
            raise self.omissions[0].named()

    def sources(self, reading: Reading) -> Iterator[tuple[Source, Pairing]]:
        """Yield what each patient gets, with the pairing; of a ward twice, for the carer's lanes and for their own."""
        for owner, (address, (path, resource)) in enumerate(self._places.items()):
            if address in self._paired:
                shown = Path(f"{path}!resource-{resource}.ndjson")
                for pairing in self._paired[address]:
                    closed = self._profiles[pairing.patient]
                    with _disk():
                        part = self._export.part(owner, shown, reading.category, matcher_of(closed))
                    if part is not None:
                        yield part, pairing
        for source, address in self._files:
            for pairing in self._paired.get(address, ()):
                yield source.with_profile(self._profiles[pairing.patient]), pairing

    def proposals(self) -> list[Proposal]:
        """Return whose each file is, those that can't be read left out."""
        found = []
        for path, numbers, out in self._export.files():
            whose = {self._decided[number] for number in numbers}
            if len(whose) > 1:
                patient, why = "", _SEVERAL
            elif out:
                patient, why = "", _SOME
            else:
                patient, why = next(iter(whose), ("", _SHARED_ONLY))
            found.append((path, patient, why))
        found += [(source.file, address, "") for source, address in self._files]
        found += [(source.file, "", why) for source, why in self._nobodys]
        return [
            Proposal(spelled(path), patient, "")
            if patient in self._paired
            else Proposal(spelled(path), "", why or _UNPAIRED)
            for path, patient, why in found
        ]

    def _add_file(self, source: Source, told: Address | None) -> None:
        """Decide whose a file is that is no FHIR in JSON: all of it is one person's, or nobody's."""
        found = source.persons()
        if told is None and (not found or found[0].form == "reference"):
            self._refuse(source, _NOBODY)
            return
        if told is None:
            form = found[0].form
            several, field = distinct(found, self._persons.key)
            if field is not None:
                self._refuse(source, f"it is about several persons ({FIELDS[form][field]})")
                return
            told, why = self._persons.recognise(several, form)
            if told is None:
                self._refuse(source, why)
                return
        self._files.append((source, told))

    def _settle(self, named: Mapping[str, Address], files: set[str], profile: Profile) -> None:
        """Decide whose each resource is."""
        patients = self._export.patients()
        told = self._told(named, files)
        owners: dict[int, int] = {}
        numbers: dict[Address, int] = {}
        for patient in patients:
            address, why = self._whose(patient, told)
            self._decided[patient.number] = (address or "", why)
            if address is None:
                what = "the patient of" if patient.prints else "a patient whom it refers to:"
                self._leave_out(f"{what} {spelled(patient.path)}, resource {patient.resource}", why)
                continue
            owners[patient.number] = numbers.setdefault(address, len(numbers))
            self._places.setdefault(address, (patient.path, patient.resource))
        self._export.settle(owners)
        for one in self._export.left_out():
            self._leave_out(f"{spelled(one.path)}, resource {one.resource}", one.why)
        self._tally.passed_over += [
            (spelled(path), f"{count} of its resources: about nobody, and nobody's refer to them")
            for path, count in self._export.unused()
        ]
        self._pair({*self._places, *(address for _, address in self._files)}, profile)

    def _told(self, named: Mapping[str, Address], files: set[str]) -> dict[int, Address]:
        """Return whom the table names, by number."""
        told: dict[int, Address] = {}
        for place, (reference, address) in enumerate(named.items(), start=1):
            found = self._export.named(reference, self._scopes)
            if len(found) + (reference in files) != 1:
                means = "several patients of" if found else "nobody in"
                raise UsageError(f"line {place} of the table means {means} what was read; nothing was published")
            for number in found:
                if told.setdefault(number, address) != address:
                    raise UsageError(f"line {place} of the table gives a person to another patient than a line before")
        return told

    def _whose(self, patient: FoundPatient, told: Mapping[int, Address]) -> tuple[Address | None, str]:
        if patient.number in told:
            return told[patient.number], ""
        if patient.prints is None:
            return None, _ONLY_REFERRED
        if patient.differs is not None:
            return None, f"two Patients of one id are different ones ({FIELDS['fhir'][patient.differs]})"
        return self._persons.recognise(self._export.each_of(patient.number), "fhir")

    def _pair(self, addresses: set[Address], profile: Profile) -> None:
        """Fetch the pairings; whoever has none gets nothing, and is told."""
        whose = self._actors(sorted(addresses))
        findings = Findings()
        ways = dict(zip(whose, self._pairings.ways(list(whose.values()), findings), strict=True))
        paired = {actor.address: pairing for found in ways.values() for actor, pairing in found}
        actors = {actor.address: actor for found in ways.values() for actor, _ in found}
        paired = self._pairings.with_wishes(paired, actors, findings)
        self._profiles = closed_for(paired, profile, findings)
        for address, found in ways.items():
            # As the export names them: an account that guardians moved away from, or a ward.
            if good := [paired[actor.address] for actor, _ in found if actor.address in self._profiles]:
                self._paired[address] = good
        self.omissions += findings.omissions
        self.unassigned.update({_UNPAIRED: left} if (left := len(addresses) - len(self._paired)) else {})

    def _actors(self, addresses: list[Address]) -> dict[Address, Actor]:
        """Return the patients who have these accounts, or whom guardians moved from them to others."""
        resolver = self._network.resolver
        try:
            return dict(zip(addresses, resolver.resolve_many(addresses, Role.PATIENT), strict=True))
        except UnknownActorError:
            found = {}
            for address in addresses:
                try:
                    found[address] = resolver.resolve(address, Role.PATIENT)
                except UnknownActorError as exc:
                    self.omissions.append(Omission("", f"patient {address}", exc))
            return found

    def _refuse(self, source: Source, why: str) -> None:
        self._nobodys.append((source, why))
        self._leave_out(spelled(source.path), why)

    def _leave_out(self, what: str, why: str) -> None:
        self.omissions.append(Omission("", what, InputError(f"{why}; nothing of it was published", hint=_TABLE)))
        self.unassigned[why] += 1
