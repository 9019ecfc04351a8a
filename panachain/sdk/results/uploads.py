"""What a hospital published, moved and finished, and for whom it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panachain.errors import Omission
    from panachain.model.actors import Address
    from panachain.model.records import RecordInfo
    from panachain.sdk.results.people import People


@dataclass(frozen=True)
class ReadBack:
    """What an upload with `verify` read again, as the patients would: found by their lanes, fetched and checked.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     report = hospital.upload(["records"], "me", verify=True)
        >>> report.read_back.records
        2
    """

    records: int
    """Each found in every lane of its path, its header's signature checked."""
    blocks: int
    """Headers, envelopes, inventories and segments of content that were fetched."""
    size: int
    """Bytes of envelopes, inventories and sealed content."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/read-back/1`, a part of `panachain/upload/1`."""
        return {
            "schema": "panachain/read-back/1",
            "records": self.records,
            "blocks": self.blocks,
            "size": self.size,
        }


@dataclass(frozen=True)
class UploadReport:
    """What an upload published.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     report = hospital.upload(["records"], "me")
        >>> len(report.records), report.skipped
        (0, 2)
    """

    records: tuple[RecordInfo, ...]
    skipped: int
    """Records whose source was published before."""
    plain_bytes: int
    sealed_bytes: int
    manifest_cid: str = ""
    sequence: int = 0
    tx: str = ""
    gas: int = 0
    """Of all transactions together."""
    transactions: tuple[str, ...] = ()
    """Hashes of the storage transactions, oldest first; the fields above tell of the last one."""
    waiting: int = 0
    """Records that wait for a later call, because of jitter."""
    unchanged: int = 0
    """Resources that earlier sources held as they are, so that they weren't published again."""
    erased: int = 0
    """Resources and files that weren't published because their patient asked to have them erased."""
    dry_run: bool = False
    read_back: ReadBack | None = None
    """What was read again; None without `verify`."""
    omissions: tuple[Omission, ...] = ()
    """Patients for whom nothing could be published, since their pairing is missing or broken, and files that can't be
    read."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Paths of files beside the records that are none, each with what it is."""
    closed: tuple[tuple[str, str], ...] = ()
    """Paths of documents that are closed as a whole, each with a section that closes it."""
    wordless: tuple[str, ...] = ()
    """Paths of files with records that are published and that no search finds: images, scans, what can't be read."""

    unassigned: Mapping[str, int] = field(default_factory=dict)
    """Of an upload that finds out whose each resource is: why, and how many patients, resources and files of the source
    go to nobody for it."""
    of_patients: Mapping[Address, int] = field(default_factory=dict)
    """How many of the records are each patient's; not in the JSON."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/upload/1`."""
        from panachain.sdk.results.records import record_json

        return {
            "schema": "panachain/upload/1",
            "records": [record_json(record) for record in self.records],
            "skipped": self.skipped,
            "plain_bytes": self.plain_bytes,
            "sealed_bytes": self.sealed_bytes,
            "manifest_cid": self.manifest_cid,
            "sequence": self.sequence,
            "tx": self.tx,
            "gas": self.gas,
            "transactions": list(self.transactions),
            "waiting": self.waiting,
            "unchanged": self.unchanged,
            "erased": self.erased,
            "dry_run": self.dry_run,
            "read_back": None if self.read_back is None else self.read_back.to_json(),
            "omissions": [omission.to_json() for omission in self.omissions],
            "passed_over": [{"path": path, "what": what} for path, what in self.passed_over],
            "closed": [{"path": path, "by": name} for path, name in self.closed],
            "wordless": list(self.wordless),
            "unassigned": [{"why": why, "count": count} for why, count in self.unassigned.items()],
        }


@dataclass(frozen=True)
class Proposal:
    """Whose a file seems to be.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     [one.patient for one in hospital.propose(["records"])]
        ['', '']
    """

    file: str
    """Its path."""
    patient: str
    """The account of the patient; empty if it is nobody's, several's, or nobody knows for sure."""
    why: str
    """Why it is nobody's, by the name of a field; empty with a patient."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/proposed/1`."""
        return {"schema": "panachain/proposed/1", "file": self.file, "patient": self.patient, "why": self.why}


@dataclass(frozen=True)
class PublishedView:
    """A record as the hospital that published it lists it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     sorted(record.scope for record in hospital.records())
        ['allergies/2025', 'laboratory/2024']
    """

    record_id: str
    """CID of the record's header."""
    patient: Address
    scope: str
    sequence: int

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON, schema `panachain/published/1`."""
        return {
            "schema": "panachain/published/1",
            "id": self.record_id,
            "patient": self.patient,
            "scope": self.scope,
            "sequence": self.sequence,
        }


@dataclass(frozen=True)
class WithdrawReport:
    """What a hospital withdrew.

    Who opened a record before isn't in it: proxies sign that to the patient, and the hospital can't know it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     wrong = next(record.record_id for record in hospital.records())
        ...     report = hospital.withdraw([wrong], "entered-in-error")
        >>> [record.record_id for record in report.records] == [wrong]
        True
    """

    records: tuple[PublishedView, ...]
    reason: str
    tx: str = ""
    """Hash of the storage transaction with the statements."""
    gas: int = 0
    already: tuple[PublishedView, ...] = ()
    """Of those that were named, the ones that were withdrawn before."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/withdraw/1`."""
        return {
            "schema": "panachain/withdraw/1",
            "records": [record.to_json() for record in self.records],
            "reason": self.reason,
            "tx": self.tx,
            "gas": self.gas,
            "already": [record.to_json() for record in self.already],
            "opened_by": None,
        }


@dataclass(frozen=True)
class PairingReport:
    """A hospital that may publish to a patient's lanes from now on.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     paired = patient.pair("clinic")
        >>> paired.lanes > 0
        True
    """

    hospital: Address
    pairing_cid: str
    """CID of the pairing, which is sealed to the hospital."""
    lanes: int
    """How many lanes the hospital got keys of."""
    epoch: int
    """How many rotations of lanes there were."""
    tx: str
    """Hash of the transaction."""
    omissions: tuple[Omission, ...] = ()
    """Earlier records of the hospital's that it couldn't be asked to move to new lanes; other hospitals that couldn't
    be told what the patient closes."""
    closed: tuple[str, ...] = ()
    """Kinds that the patient closes at every hospital, as codes of HL7 v3 ActCode."""
    emergency: tuple[str, ...] = ()
    """Kinds that the emergency summary holds although they are closed."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/pairing/1`."""
        return {
            "schema": "panachain/pairing/1",
            "hospital": self.hospital,
            "pairing_cid": self.pairing_cid,
            "lanes": self.lanes,
            "epoch": self.epoch,
            "tx": self.tx,
            "closed": list(self.closed),
            "emergency": list(self.emergency),
            "omissions": [omission.to_json() for omission in self.omissions],
        }


@dataclass(frozen=True)
class PairedHospital:
    """A hospital that a patient is or was paired with, and what it knows by that.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     clinic = patient.hospitals.all()[0]
        >>> clinic.paired, clinic.current
        (True, True)
    """

    hospital: Address
    paired: bool
    """Whether it may publish now."""
    published: int
    """How many storage transactions of its own are on chain, for whichever patients."""
    lanes: int
    """How many lanes it knows the public keys of; it reads nothing with them."""
    last_year: int
    """The last year that it has lanes of; a record of a later year needs a new pairing."""
    current: bool
    """Whether it knows the newest lanes and choices: after a rotation it is told, if it is paired."""
    orders: int
    """How many orders of the patient's it was given: to move records to new lanes, or to other categories."""
    name: str = field(default="", compare=False)
    """What this machine calls it."""

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: it may be a branch of an organisation."""
        return (self.hospital,)

    def named(self, names: People) -> PairedHospital:
        """Return the same with the hospital's name."""
        return replace(self, name=names.of(self.hospital, None))

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/paired-hospital/1`."""
        return {
            "schema": "panachain/paired-hospital/1",
            "hospital": self.hospital,
            "paired": self.paired,
            "published": self.published,
            "lanes": self.lanes,
            "last_year": self.last_year,
            "current": self.current,
            "orders": self.orders,
        }


@dataclass(frozen=True)
class UnpairingReport:
    """A hospital that may publish to this patient's lanes no more.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     gone = patient.unpair("clinic")
        ...     paired = patient.pair("clinic")
        >>> gone.hospital == paired.hospital
        True
    """

    hospital: Address
    tx: str
    """Hash of the transaction."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/unpairing/1`."""
        return {"schema": "panachain/unpairing/1", "hospital": self.hospital, "tx": self.tx}


@dataclass(frozen=True)
class SettleReport:
    """What a hospital's interrupted uploads still needed.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.settle().transactions
        0
    """

    transactions: int
    """How many storage transactions were sent."""
    omissions: tuple[Omission, ...] = ()
    """What was sealed and not sent, since its patient has given new keys to lanes or changed choices: its files must be
    uploaded again."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/settled/1`."""
        return {
            "schema": "panachain/settled/1",
            "transactions": self.transactions,
            "omissions": [omission.to_json() for omission in self.omissions],
        }


@dataclass(frozen=True)
class RewrapReport:
    """What a hospital moved to new lanes or other categories because patients asked for it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.rewrap().moved
        0
    """

    moved: int
    """Records that got a new header and lie where they lay."""
    deleted: int
    """Old headers and envelopes that were deleted from the store."""
    transactions: tuple[str, ...] = ()
    omissions: tuple[Omission, ...] = ()
    """Orders, and patients' pairings, that couldn't be followed; all others were."""
    resealed: int = 0
    """Records that were sealed anew in another category."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/rewrap/1`."""
        return {
            "schema": "panachain/rewrap/1",
            "moved": self.moved,
            "resealed": self.resealed,
            "deleted": self.deleted,
            "transactions": list(self.transactions),
            "omissions": [omission.to_json() for omission in self.omissions],
        }
