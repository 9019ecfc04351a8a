"""The hospital: publishes records to its patients' lanes, and finds its own again.

Can open nothing that it published: the envelope keys are forgotten as soon as they are wrapped. This class says what a
hospital can do; sdk/uploads.py, sdk/moves.py and sdk/batches.py do it. Follows design section 8 (Publish).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from panachain.errors import AccessDeniedError, PartlyDoneError, UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.model.file_content import NO_COPIES
from panachain.model.progress import Progress
from panachain.model.records import Reason
from panachain.model.scope import Category
from panachain.plain import were
from panachain.sdk.hospital_routing import HospitalRouting
from panachain.sdk.words import category_of, reason_of

# What publishes is imported where something is published: most commands of a hospital publish nothing.
if TYPE_CHECKING:
    from panachain.records.pairing import Pairing
    from panachain.records.reading_start import Spare
    from panachain.sdk.hospital_erasures import HospitalErasures
    from panachain.sdk.hospital_overview import HospitalOverview
    from panachain.sdk.report_pdf import Report
    from panachain.sdk.results.uploads import PublishedView, RewrapReport, SettleReport, UploadReport, WithdrawReport
    from panachain.sdk.uploads import Explain
    from panachain.sdk.watching import Watching


class Hospital(HospitalRouting):
    """A hospital at work: what `connect` returns for a profile of this role.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     report = hospital.upload(["records"], "me")
        ...     sorted(record.scope for record in hospital.records())
        ['allergies/2025', 'laboratory/2024']
    """

    role = Role.HOSPITAL

    def pairing(self, patient: Actor) -> Pairing:
        """Fetch and open the pairing with a patient.

        Raises:
            AccessDeniedError: the patient hasn't paired with this hospital.
        """
        return self.pairings([patient])[0]

    def pairings(self, patients: Sequence[Actor]) -> list[Pairing]:
        """Fetch and open the pairings with several patients.

        Raises:
            AccessDeniedError: one of them hasn't paired with this hospital.
        """
        return [pairing for pairing in self._pairings.of(patients) if pairing is not None]

    def upload(
        self,
        paths: Sequence[Path | str],
        patient: str,
        category: Category | str | None = None,
        *,
        dry_run: bool = False,
        jitter: int | timedelta | None = None,
        verify: bool = False,
        strict: bool = False,
        confirm_patient: bool = False,
        progress: Progress | None = None,
    ) -> UploadReport:
        """Publish files and folders to a patient's lanes; see `upload_many`.

        Args:
            paths: files and folders.
            patient: whom they are about: profile name, handle or address.
            category: for files whose kind doesn't tell.
            dry_run: read and split only.
            jitter: how long a record waits at most.
            verify: read back what was published.
            strict: refuse whatever can't be published, instead of leaving it out.
            confirm_patient: as `upload_many`.
            progress: told how many bytes and records were read.
        """
        assigned = [(path, patient) for path in paths]
        more: dict[str, Any] = {
            "dry_run": dry_run,
            "verify": verify,
            "strict": strict,
            "confirm_patient": confirm_patient,
        }
        return self.upload_many(assigned, category, jitter=jitter, progress=progress, **more)

    def upload_many(
        self,
        assigned: Sequence[tuple[Path | str, str]],
        category: Category | str | None = None,
        *,
        dry_run: bool = False,
        jitter: int | timedelta | None = None,
        verify: bool = False,
        strict: bool = False,
        confirm_patient: bool = False,
        explain: Explain | None = None,
        copies: Mapping[Path, bytes] = NO_COPIES,
        progress: Progress | None = None,
        spare: Spare | None = None,
    ) -> UploadReport:
        """Publish files and folders of any number of patients, in as few storage transactions as hold them.

        The same source is published once for one patient; a killed upload is finished by the same call.

        Args:
            assigned: files and folders, each with the patient whom it is about: profile name, handle or address.
            category: for files whose kind doesn't tell.
            dry_run: read and split only.
            jitter: how long a record waits at most, each for a time of its own; what waits is published by a later
                call with the same sources, at most one record of a patient in each. None takes the setting.
            verify: read back what is published of these sources, by this call or an earlier one, as their patients
                would: find it by lane, fetch it whole, and check it. Nobody but they can open it.
            strict: end with the first file that can't be read, is no record or is about another person, instead of
                publishing the others.
            confirm_patient: publish what names another person than the patient's other records, or several.
            explain: in a dry run told where each resource goes and why, as `panachain classify` tells it.
            copies: the SHA-256 of files that were copied to where they lie, by their paths without links: a large one
                is known by it instead of by its place, so that it is published once however often it is copied.
            progress: told how many bytes and records were read.
            spare: processes to read beside it that load already, of whoever knows that there will be much to read.

        Raises:
            InputError: no file can be read as what it claims to be; with `strict`, the first that can't: nothing of
                its batch was published.
            AccessDeniedError: no patient has paired with this hospital; nothing was published.
            PartlyDoneError: some patients haven't, or their pairing is broken, or some files can't be read. All else
                was published: `result` is the report.
            UsageError: there is nothing to publish, `verify` with `dry_run`, or `explain` without it.
            IntegrityError: `verify` finds that a record can't be read.
        """
        from panachain.records.findings import Findings
        from panachain.records.sensitivity.profiles import profile_of
        from panachain.records.sources import find_sources
        from panachain.sdk.kept_persons import KeptPersons
        from panachain.sdk.pairings import closed_for
        from panachain.sdk.uploads import Tally, size_of

        publishing = self._publishing(dry_run=dry_run, jitter=jitter, verify=verify, explain=explain, spare=spare)
        kind = None if category is None else category_of(category)
        names = list(dict.fromkeys(patient for _, patient in assigned))
        patients = self.network.resolver.resolve_many(names, Role.PATIENT)
        findings = Findings()
        # Of a ward there are two ways: the carer's lanes, and their own.
        ways = dict(zip(names, self._pairings.ways(patients, findings), strict=True))
        pairings = {actor.address: pairing for found in ways.values() for actor, pairing in found}
        actors = {actor.address: actor for found in ways.values() for actor, _ in found}
        pairings = self._pairings.with_wishes(pairings, actors, findings)
        profiles = closed_for(pairings, profile_of(self.network.config.sensitivity), findings)
        if findings.omissions and not profiles:
            raise findings.omissions[0].error
        # One patient's pairing that is missing or broken keeps no other patient's records back.
        chosen = [
            (Path(path), actor.address)
            for path, patient in assigned
            for actor, _ in ways[patient]
            if actor.address in profiles
        ]
        tally = Tally(progress, size_of([path for path, _ in chosen]), strict=strict)
        find = partial(find_sources, category=kind, passed_over=tally.pass_over, copies=copies)
        sources = tally.coming.each(chosen, pairings, lambda path, account: find([path], profile=profiles[account]))
        persons = KeptPersons(self.profile.folder, self._seed, confirmed=confirm_patient)
        return publishing.run(sources, tally, persons, findings.omissions, len(profiles))

    @cached_property
    def overview(self) -> HospitalOverview:
        """What this hospital's people look at: patients, batches, what waits, what was withdrawn and corrected."""
        from panachain.sdk.hospital_overview import HospitalOverview

        return HospitalOverview(self.network, self.address, self._seed, self.profile.folder, self._pairings)

    @property
    def erasures(self) -> HospitalErasures:
        """What patients ask this hospital to erase, and what it erases of its own accord."""
        # Imported here: most commands of a hospital erase nothing.
        from panachain.sdk.hospital_erasures import HospitalErasures

        self._check_registered()
        return HospitalErasures(self.network, self.whoami(), self._seed, self.profile.folder, self._pairings)

    @property
    def watching(self) -> Watching:
        """What happened since this machine looked last, and messages about it: orders, erasures, its proxies' logs."""
        # Imported here: most commands of a hospital watch nothing.
        from panachain.sdk.proxies import Proxies
        from panachain.sdk.watching import Watching, of_hospital

        sources = of_hospital(self, lambda: Proxies(self.network, ca=self.network.proxy_ca))
        return Watching(self.profile.folder, self._seed, sources, clock=self.network.clock)

    def report(self, year: int, shares: Sequence[tuple[str, bytes]], *, name: str = "") -> Report:
        """Return what this hospital's practitioners opened in a year, for whom, by the shares that they handed in.

        It tells what they state and proves none of it, and says who of them handed in nothing, and what doesn't count.

        Args:
            year: by UTC.
            shares: files as a practitioner's `share.hand_in` makes them, each with a name for the report.
            name: what the report calls the hospital; empty for the profile's name.

        Raises:
            UsageError: there is no such year yet.
        """
        # Imported here: most commands of a hospital report nothing.
        from panachain.sdk.own_shares import report_of_house
        from panachain.sdk.proxies import Proxies

        proxies = Proxies(self.network, ca=self.network.proxy_ca)
        try:
            called = name or self.profile.name
            return report_of_house(
                self.network, proxies, year, shares, house=self.address, name=called, names=self._names
            )
        finally:
            proxies.close()

    def settle(self) -> SettleReport:
        """Finish what an interrupted upload began, and send again what a reorganisation took away; see `settled`."""
        from panachain.sdk.batches import settled

        return settled(self.network, self.address, self._seed, self.profile.folder)

    def rewrap(self, *, progress: Progress | None = None) -> RewrapReport:
        """Move records to new lanes or other categories for patients who asked for it, and delete the old headers.

        What goes into another category is opened with the key that its patient's order hands over, and sealed anew.
        A killed run is finished by the same call: what was moved isn't moved again.

        Args:
            progress: is told how many records have their new header on chain.

        Raises:
            PartlyDoneError: an order isn't its patient's, or names what this hospital didn't publish for that patient.
                All others were followed: `result` is the report.
        """
        from panachain.sdk.batches import open_batches
        from panachain.sdk.moves import Moves

        self._check_registered()
        with open_batches(self.network, self.address, self._seed, self.profile.folder) as batches:
            batches.reconcile()
            report = Moves(self.network, self.address, self._seed, batches, self._pairings).run(progress)
        if report.omissions:
            done = f"{were(report.moved + report.resealed, 'record')} moved"
            raise PartlyDoneError.of(report.omissions, done=done, result=report)
        return report

    def withdraw(self, record_ids: Sequence[str], reason: Reason | str) -> WithdrawReport:
        """Say of records of this hospital that they count no more: whoever reads leaves them out, and is told.

        Whoever opened one before keeps what they saw; only the patient's log can show who that was.

        Args:
            record_ids: as `records` names them.
            reason: `entered-in-error`, `wrong-patient` or `erroneous-category`.

        Raises:
            UsageError: there is no such reason, or none or too many records are named; nothing was withdrawn.
            UnknownActorError: this hospital published no such record.
            AccessDeniedError: a patient isn't paired with this hospital any more.
        """
        from panachain.sdk.batches import open_batches
        from panachain.sdk.withdrawals import Withdrawals

        self._check_registered()
        with open_batches(self.network, self.address, self._seed, self.profile.folder) as batches:
            return Withdrawals(self.network, batches, self.pairings).run(record_ids, reason_of(reason))

    def records(self, *, history: bool = False) -> Iterator[PublishedView]:
        """Yield what this hospital published, from its journal; `history` is for patients, who can open it."""
        if history:
            raise UsageError("a hospital can't open what it published, so it has no history to show")
        from panachain.sdk.batches import open_journal
        from panachain.sdk.results.uploads import PublishedView

        with open_journal(self.profile.folder) as journal:
            for record in journal.records():
                yield PublishedView(record.header, Address(record.patient), record.scope, record.sequence)

    def get(self, record_id: str) -> NoReturn:
        """Raise AccessDeniedError: a hospital can't open what it published."""
        raise AccessDeniedError(
            f"{self.profile.handle} can't open record {record_id}: a hospital keeps no key to what it publishes",
            hint="ask the patient for a grant: a practitioner of yours runs panachain --profile PRACTITIONER request",
        )
