"""The overview of a hospital: its patients, its batches, and what became of its records.

Only reads, and waits for no upload that runs meanwhile: what is being published shows once it is in the journal.
Opens no record: a hospital has no key to what it published. Follows ADR 41.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panachain.crypto.keys import Seed
from panachain.errors import UsageError
from panachain.model.actors import Address, Role
from panachain.model.records import STATEMENT
from panachain.model.scope import Category
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header
from panachain.records.journal import JournalRecord
from panachain.records.rewrap import Reseal
from panachain.sdk.batches import open_journal
from panachain.sdk.network import Network
from panachain.sdk.own_history import OwnHistory
from panachain.sdk.pairings import Pairings
from panachain.sdk.results.overview import (
    BatchesView,
    BatchView,
    DueView,
    LifeOfRecords,
    PairingOfPatient,
    PatientOfHospital,
    PublishedRecord,
    RecordsOfPatient,
)

MOST: Final = 200
"""Records of one page: each takes a block of the store."""


class HospitalOverview:
    """What the people of one hospital look at.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     [batch.sequence for batch in hospital.overview.batches().batches]
        [1]
    """

    def __init__(self, network: Network, hospital: Address, seed: Seed, folder: Path, pairings: Pairings) -> None:
        """Take the hospital's account and seed, its profile's folder, and the pairings with its patients."""
        self._network = network
        self._hospital = hospital
        self._folder = folder
        self._pairings = pairings
        self._history = OwnHistory(network, hospital, seed)

    def patients(self) -> list[PatientOfHospital]:
        """Return everybody who is or was paired, or of whom something is published; who paired last comes first."""
        with open_journal(self._folder) as journal:
            counts = journal.overview.counts()
        events = self._network.sidechain.identities.paired(hospital=self._hospital)
        paired = {event.patient: event.paired for event in reversed(events)}
        everybody = paired | {patient: False for patient in counts if patient not in paired}
        return [
            PatientOfHospital(patient, is_paired, *counts.get(patient, (0, 0)))
            for patient, is_paired in everybody.items()
        ]

    def pairing(self, patient: str) -> PairingOfPatient:
        """Return what a patient's pairing lets this hospital do.

        Args:
            patient: profile name, handle or address.

        Raises:
            AccessDeniedError: the patient isn't paired with this hospital.
            IntegrityError: the pairing isn't the patient's.
        """
        (found,) = self._pairings.of([self._network.resolve(patient, Role.PATIENT)])
        if found is None:
            raise TypeError("without findings a missing pairing is an error")
        choices = found.choices
        return PairingOfPatient(
            found.patient,
            len(found.lanes),
            found.last_year,
            found.generations.epoch,
            tuple(sorted(choices.closed)),
            tuple(sorted(choices.emergency)),
        )

    def batches(self) -> BatchesView:
        """Return the storage transactions that the journal knows, and what waits."""
        with open_journal(self._folder) as journal:
            found = journal.batches()
            waiting = journal.overview.waiting()
        views = [BatchView(one.sequence, one.count, one.manifest, one.tx or "", one.block or 0) for one in found]
        return BatchesView(tuple(reversed(views)), waiting)

    def due(self) -> DueView:
        """Return what paired patients asked to have moved; opens the pairing of each, which takes its time."""
        findings = Findings()
        moves, reseals = list[tuple[Address, int]](), list[tuple[Address, int]]()
        with open_journal(self._folder) as journal:
            for patient, pairing in self._pairings.all(findings):
                headers, leaving = set[str](), set[str]()
                for cid in pairing.orders:
                    with findings.alone("", f"order {cid} of patient {patient.handle}"):
                        order = self._pairings.order(patient, cid)
                        if not isinstance(order, Reseal):
                            headers |= {str(move.header) for move in order if journal.has(str(move.header))}
                        elif order.to is not None and not journal.followed.has(str(cid)):
                            leaving |= {str(leaf) for leaf in order.leaves}
                moves += [(patient.address, len(headers))] if headers else []
                reseals += [(patient.address, len(leaving))] if leaving else []
        return DueView(tuple(moves), tuple(reseals), tuple(findings.omissions))

    def records(
        self, patient: str, *, start: int = 0, count: int = 50, category: Category | None = None
    ) -> RecordsOfPatient:
        """Return a page of what is published for a patient, the newest first.

        Args:
            patient: profile name, handle or address.
            start: how many newer ones are passed over.
            count: how many at most.
            category: only those of it.

        Raises:
            UsageError: more than `MOST` are asked for, or less than none.
        """
        if not 0 <= count <= MOST or start < 0:
            raise UsageError(f"a page has at most {MOST} records")
        address = self._network.resolve(patient, Role.PATIENT).address
        with open_journal(self._folder) as journal:
            mine = [one for one in journal.records(address) if category is None or _is_of(one, category)]
            mine.reverse()
            withdrawn = {one.content: one.reason for one in journal.overview.withdrawn(address)}
        findings = Findings()
        shown = mine[start : start + count]
        headers = self._headers(shown, findings)
        found = [_published(one, headers[one.header], withdrawn) for one in shown if one.header in headers]
        return RecordsOfPatient(address, tuple(found), len(mine), tuple(findings.omissions))

    def life(self, patient: str = "") -> LifeOfRecords:
        """Return what was withdrawn, and of one patient what was corrected too.

        Args:
            patient: profile name, handle or address; nobody in particular if it is left out.
        """
        with open_journal(self._folder) as journal:
            if not patient:
                return LifeOfRecords(tuple(journal.overview.withdrawn()))
            address = self._network.resolve(patient, Role.PATIENT).address
            return LifeOfRecords(
                tuple(journal.overview.withdrawn(address)),
                tuple(tuple(versions) for versions in journal.overview.corrected(address)),
            )

    def _headers(self, records: Sequence[JournalRecord], findings: Findings) -> dict[str, Header]:
        """Return the headers of records, together if that goes, else those that can be read."""
        try:
            return self._history.headers_of(records)
        except LEFT_OUT:
            found: dict[str, Header] = {}
            for one in records:
                with findings.alone("", f"record {one.header}"):
                    found |= self._history.headers_of([one])
            return found


def _is_of(record: JournalRecord, category: Category) -> bool:
    return record.scope.partition("/")[0] == str(category.value)


def _published(record: JournalRecord, header: Header, withdrawn: dict[str, str]) -> PublishedRecord:
    info = header.info
    return PublishedRecord(
        record.header,
        info.category.value,
        info.year,
        info.media_type,
        info.size,
        info.stored_at,
        record.sequence,
        info.media_type == STATEMENT,
        withdrawn.get(info.content_cid, ""),
    )
