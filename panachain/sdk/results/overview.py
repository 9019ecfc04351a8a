"""What a hospital's people look at: its patients, its batches, and what became of its records."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.errors import Omission
from panachain.model.actors import Address
from panachain.records.journal_overview import JournalVersion, JournalWithdrawal, Waiting


@dataclass(frozen=True)
class PatientOfHospital:
    """A patient who is, or was, paired with a hospital, or of whom it published something.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     [(one.paired, one.records > 0) for one in hospital.overview.patients()]
        [(True, True)]
    """

    patient: Address
    paired: bool
    """Whether records may be published for them now."""
    records: int
    """Published by this hospital and known to its journal."""
    newest: int
    """The newest storage transaction with one of them; 0 if there is none."""


@dataclass(frozen=True)
class PairingOfPatient:
    """What a patient's pairing lets a hospital do, and what the patient asks for in it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.overview.pairing("me").closed
        ()
    """

    patient: Address
    lanes: int
    last_year: int
    """The last year that has lanes."""
    rotations: int
    """How often the patient rotated lanes."""
    closed: tuple[str, ...]
    """Kinds that the patient closes at every hospital, as codes of HL7 v3 ActCode."""
    emergency: tuple[str, ...]
    """Kinds that the emergency summary holds although they are closed."""


@dataclass(frozen=True)
class BatchView:
    """One storage transaction of a hospital.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     [batch.is_on_chain for batch in hospital.overview.batches().batches]
        [True]
    """

    sequence: int
    records: int
    manifest_cid: str
    tx: str
    """Hash of its transaction; empty while it isn't known to be mined."""
    block: int
    """In which block; 0 while it isn't known to be mined."""

    @property
    def is_on_chain(self) -> bool:
        """Whether it is known to be mined."""
        return bool(self.tx)


@dataclass(frozen=True)
class BatchesView:
    """All storage transactions of a hospital, the newest first, and what waits for the next ones."""

    batches: tuple[BatchView, ...]
    waiting: Waiting

    @property
    def pending(self) -> tuple[BatchView, ...]:
        """Those that aren't known to be on chain: `settle` finishes them."""
        return tuple(one for one in self.batches if not one.is_on_chain)


@dataclass(frozen=True)
class DueView:
    """What patients asked for and a hospital hasn't done yet: `rewrap` does it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.overview.due().records
        0
    """

    moves: tuple[tuple[Address, int], ...]
    """Patients, each with the records that shall get new headers in rotated lanes."""
    reseals: tuple[tuple[Address, int], ...]
    """Patients, each with the records that shall lie in another category."""
    omissions: tuple[Omission, ...] = ()
    """Pairings and orders that can't be read."""

    @property
    def records(self) -> int:
        """How many records are due."""
        return sum(count for _, count in (*self.moves, *self.reseals))


@dataclass(frozen=True)
class PublishedRecord:
    """A record as the hospital that published it looks at it: never its content.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     sorted(one.category for one in hospital.overview.records("me").records)
        ['allergies', 'laboratory']
    """

    record_id: str
    """CID of its header."""
    category: str
    year: int
    """UNDATED for none."""
    media_type: str
    size: int
    """Bytes of its content."""
    stored_at: int
    """Unix seconds, by the hospital's clock."""
    sequence: int
    """Of the storage transaction that holds its header."""
    is_statement: bool
    """Whether it is what the hospital says of other records, and no record by itself."""
    withdrawn: str = ""
    """Why it was withdrawn; empty if it wasn't."""


@dataclass(frozen=True)
class RecordsOfPatient:
    """One page of what a hospital published for a patient, the newest first."""

    patient: Address
    records: tuple[PublishedRecord, ...]
    total: int
    omissions: tuple[Omission, ...] = ()
    """Records whose headers can't be read."""


@dataclass(frozen=True)
class LifeOfRecords:
    """What was taken back and corrected of a patient's records, or of everybody's.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.overview.life("me").corrections
        ()
    """

    withdrawals: tuple[JournalWithdrawal, ...]
    """The newest first."""
    corrections: tuple[tuple[JournalVersion, ...], ...] = ()
    """The versions of each resource of which several were published, oldest first."""
