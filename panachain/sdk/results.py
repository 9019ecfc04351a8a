"""What the SDK's methods return: frozen values that print themselves as JSON with a `schema`.

Times are Unix seconds where a field ends in `_at`, and aware datetimes under the shorter name: `expires_at`, `expires`.
Plaintext and content keys are in `OpenedRecord` alone, and stay out of its `repr`.
Schemas are documented in docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property

from panachain.model.actors import Address, PolicyId, Status
from panachain.model.policy import PolicyStatus, Receipt
from panachain.model.records import RecordInfo
from panachain.records.content import Content
from panachain.sdk.times import iso as iso
from panachain.sdk.times import utc


@dataclass(frozen=True)
class PolicyView:
    """A policy as its patient or its grantee sees it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.grant("nurse", "vitals", until=timedelta(hours=8), dry_run=True)
        >>> policy.scopes, policy.purposes, policy.expires - policy.starts <= timedelta(hours=8)
        (('vitals',), ('TREAT',), True)
    """

    policy_id: PolicyId
    status: PolicyStatus
    patient: Address
    grantee: Address
    scopes: tuple[str, ...]
    purposes: tuple[str, ...]
    starts_at: int
    expires_at: int
    threshold: int
    proxies: int
    terms_cid: str
    tx: str = ""
    """Hash of the transaction, when this call sent one."""
    gas: int = 0
    deposited: int = 0
    """How many proxies hold kfrags, when this call deposited them."""
    lacking: int = 0
    """How many proxies lack theirs, as far as this machine knows; `settle` hands them out."""
    disclosed: bool = False
    """Whether the chain shows purposes and categories: the patient made it open."""
    stage: str = ""
    """Of a revoked policy: how far the revocation has come (`RevocationReport.stage`); or until when it waits."""
    dry_run: bool = False

    @property
    def starts(self) -> datetime:
        """When the policy begins, that moment included; in UTC."""
        return utc(self.starts_at)

    @property
    def expires(self) -> datetime:
        """When the policy ends, that moment excluded; in UTC."""
        return utc(self.expires_at)

    @property
    def active(self) -> bool:
        """Whether its grantee can read now, as far as the chain says."""
        return self.status is PolicyStatus.ACTIVE

    def to_json(self) -> dict[str, object]:
        """Return the view as JSON, schema `panachain/policy/1`."""
        return {
            "schema": "panachain/policy/1",
            "policy_id": self.policy_id,
            "status": self.status.name.lower(),
            "patient": self.patient,
            "grantee": self.grantee,
            "scopes": list(self.scopes),
            "purposes": list(self.purposes),
            "starts_at": iso(self.starts_at),
            "expires_at": iso(self.expires_at),
            "threshold": self.threshold,
            "proxies": self.proxies,
            "terms_cid": self.terms_cid,
            "tx": self.tx,
            "gas": self.gas,
            "deposited": self.deposited,
            "lacking": self.lacking,
            "open": self.disclosed,
            "stage": self.stage,
            "dry_run": self.dry_run,
        }


AnyPolicy = PolicyId | str | PolicyView
"""A policy, or its ID."""


def id_of(policy: AnyPolicy) -> PolicyId:
    """Return the ID of a policy that is given as a view or as the ID itself."""
    return policy.policy_id if isinstance(policy, PolicyView) else PolicyId(policy)


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
    dry_run: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/upload/1`."""
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
            "dry_run": self.dry_run,
        }


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
class RecordProvenance:
    """Where a record comes from, and what allowed that it was opened.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        >>> record.provenance.opened_as
        'patient'
    """

    hospital: Address
    """Who published it."""
    opened_as: str = ""
    """`patient` for the patient's own keys; empty where a policy allowed it, of which the fields below tell."""
    patient: str = ""
    grantee: str = ""
    """To whom the policy was granted: the reader, or a group of theirs."""
    policy_id: str = ""
    lane: str = ""
    """Scope of the lane by which it was found."""
    purpose: str = ""
    block: int = 0
    """Number of the mainchain block that the policy was read at."""
    block_time: int = 0
    """Unix seconds of that block."""
    threshold: int = 0
    """How many proxies helped."""

    def to_json(self) -> dict[str, object]:
        """Return the fields that say something."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class OpenedRecord:
    """A record that can be read, with where it comes from. Its bytes are fetched when they are asked for.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        ...     record.read_range(0, 1)
        b'{'
    """

    info: RecordInfo
    provenance: RecordProvenance
    """Hospital, policy and proxies."""
    source: Content = field(repr=False)
    """The sealed content, with its key."""
    signature: bytes = b""
    """The hospital's, over the header, 64 bytes."""
    attachment: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    """Returns the attachment of a digest, for a Bundle whose attachments were sealed by themselves."""

    @cached_property
    def content(self) -> bytes:
        """The whole plaintext, checked.

        Raises:
            IntegrityError: any byte doesn't fit.
        """
        plain = self.source.read()
        if self.attachment is None:
            return plain
        # Imported here: only Bundles have attachments.
        from panachain.records.attachments import restore

        return restore(plain, self.attachment)

    def chunks(self) -> Iterator[bytes]:
        """Yield the plaintext in pieces, so that it may be larger than memory; only the end proves that all fits.

        Raises:
            IntegrityError: any byte doesn't fit.
        """
        if self.attachment is None:
            return self.source.chunks()
        return iter([self.content])

    def read_range(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset` on; of a large image at the cost of the leaves that hold them."""
        if self.attachment is None:
            return self.source.read_range(offset, size)
        return self.content[offset : offset + size]

    def fhir_provenance(self) -> dict[str, object]:
        """Return where the record comes from as a FHIR R4 Provenance, with the hospital's signature."""
        # Imported here: listing records doesn't need it.
        from panachain.records.provenance import provenance

        return provenance(self.info, signature=self.signature, policy_id=self.provenance.policy_id)

    def to_json(self) -> dict[str, object]:
        """Return everything but the plaintext as JSON, schema `panachain/opened/1`."""
        return {"schema": "panachain/opened/1", **record_json(self.info), "provenance": self.provenance.to_json()}


@dataclass(frozen=True)
class RevocationReport:
    """How far a revocation has come: R1 to R4 of design section 8.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.grant("nurse", "vitals", until=timedelta(hours=8))
        ...     report = patient.revoke(policy)
        >>> report.final, report.stage
        (True, 'final')
    """

    policy_id: PolicyId
    tx: str
    gas: int
    receipts: tuple[Receipt, ...]
    """Deletion receipts, one for each proxy that answered."""
    needed: int
    """Deletion receipts that make the revocation final: n - t + 1."""
    shares: int
    unreachable: tuple[str, ...] = ()
    """Why a proxy gave no receipt, one line each."""
    rotated: bool = False
    """Whether every lane of the policy has a newer generation, which later records are wrapped to."""
    rewrapped: bool = False
    """Whether none of the old headers is left in the store."""
    hospitals: tuple[Address, ...] = ()
    """Which hospitals this call told of new lanes or of records to re-wrap."""
    regranted: Mapping[PolicyId, PolicyId] = field(default_factory=dict)
    """Other grantees' policies that this call replaced, old to new."""

    @property
    def deleted(self) -> int:
        """How many proxies signed that they deleted their kfrags."""
        return len(self.receipts)

    @property
    def final(self) -> bool:
        """Whether fewer than the threshold of proxies can still hold kfrags."""
        return self.deleted >= self.needed

    @property
    def stage(self) -> str:
        """The highest step that is reached."""
        if not self.shares:
            return "withdrawn before it was sent"
        if self.rotated:
            return "headers re-wrapped" if self.rewrapped else "lane rotated"
        if self.final:
            return "final"
        return f"{self.deleted} of {self.shares} proxies deleted" if self.deleted else "revoked on chain"

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/revocation/1`."""
        return {
            "schema": "panachain/revocation/1",
            "policy_id": self.policy_id,
            "stage": self.stage,
            "tx": self.tx,
            "gas": self.gas,
            "deleted": self.deleted,
            "needed": self.needed,
            "shares": self.shares,
            "final": self.final,
            "rotated": self.rotated,
            "rewrapped": self.rewrapped,
            "hospitals": list(self.hospitals),
            "regranted": dict(self.regranted),
            "receipts": [receipt_json(receipt) for receipt in self.receipts],
            "unreachable": list(self.unreachable),
        }


@dataclass(frozen=True)
class LogEntry:
    """One line of a patient's read log: what one proxy signed.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     receipt = patient.receipts()[0]
        >>> receipt.kind, receipt.when.tzinfo is not None
        ('deposited', True)
    """

    at: int
    kind: str
    policy_id: PolicyId
    proxy: Address
    count: int
    grantee: str = ""
    """To whom the policy was granted: a person or a group."""
    requester: str = ""
    """The person who asked."""
    purpose: str = ""
    scopes: tuple[str, ...] = ()
    late: bool = False
    """Whether the proxy served when the policy didn't allow it: its receipt convicts it."""

    @property
    def when(self) -> datetime:
        """When the proxy signed, by the block that it looked at; in UTC."""
        return utc(self.at)

    def to_json(self) -> dict[str, object]:
        """Return the line as JSON, schema `panachain/log/1`."""
        return {
            "schema": "panachain/log/1",
            "at": iso(self.at),
            "kind": self.kind,
            "policy_id": self.policy_id,
            "proxy": self.proxy,
            "count": self.count,
            "grantee": self.grantee,
            "requester": self.requester,
            "purpose": self.purpose,
            "scopes": list(self.scopes),
            "late": self.late,
        }


@dataclass(frozen=True)
class RequestView:
    """A practitioner's request for access, as the practitioner and the patient see it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     request = patient.requests()[0]
        >>> request.categories, request.wanted_until <= request.expires
        (('allergies',), True)
    """

    request_id: int
    state: str
    requester: Address
    patient: Address
    categories: tuple[str, ...]
    purpose: str
    note: str
    expires_at: int
    until: int = 0
    """Until when the requester wants to read, Unix seconds."""
    organisation: str = ""
    """The requester's, as the registry knows it."""
    policy_id: str = ""
    """What the approval granted, for the two who may know."""
    granted: tuple[str, ...] = ()
    """Which categories it granted."""

    @property
    def expires(self) -> datetime:
        """When the request lapses if nobody answers it; in UTC."""
        return utc(self.expires_at)

    @property
    def wanted_until(self) -> datetime:
        """Until when the requester wants to read; in UTC."""
        return utc(self.until)

    def to_json(self) -> dict[str, object]:
        """Return the request as JSON, schema `panachain/request/1`."""
        return {
            "schema": "panachain/request/1",
            "id": self.request_id,
            "state": self.state,
            "requester": self.requester,
            "patient": self.patient,
            "categories": list(self.categories),
            "purpose": self.purpose,
            "note": self.note,
            "expires_at": iso(self.expires_at),
            "until": iso(self.until),
            "organisation": self.organisation,
            "policy_id": self.policy_id,
            "granted": list(self.granted),
        }


@dataclass(frozen=True)
class RequestReport:
    """A request for access that was made.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     asked = doctor.request("me", "vitals", until=timedelta(days=14))
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.approve(asked)
        >>> policy.scopes
        ('vitals',)
    """

    request_id: int

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/requested/1`."""
        return {"schema": "panachain/requested/1", "id": self.request_id}


AnyRequest = int | RequestView | RequestReport
"""A request, or its number."""


def number_of(request: AnyRequest) -> int:
    """Return the number of a request that is given as a view, as a report or as the number itself."""
    return request if isinstance(request, int) else request.request_id


@dataclass(frozen=True)
class DenialReport:
    """A request that a patient refused.

    Examples:
        >>> with connect("nurse", role="practitioner") as nurse:
        ...     asked = nurse.request("me", "all")
        >>> with connect("me", role="patient") as patient:
        ...     denied = patient.deny(asked)
        >>> denied.request_id == asked.request_id
        True
    """

    request_id: int
    tx: str
    """Hash of the transaction."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/denial/1`."""
        return {"schema": "panachain/denial/1", "id": self.request_id, "state": "denied", "tx": self.tx}


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

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/pairing/1`."""
        return {
            "schema": "panachain/pairing/1",
            "hospital": self.hospital,
            "pairing_cid": self.pairing_cid,
            "lanes": self.lanes,
            "epoch": self.epoch,
            "tx": self.tx,
        }


@dataclass(frozen=True)
class ConvictionReport:
    """Receipts that were submitted as evidence against the proxies that signed them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     report = patient.convict(next(patient.policies()))
        >>> report.transactions
        ()
    """

    policy_id: PolicyId
    transactions: tuple[str, ...]
    """Hashes, one for each proxy that served when the policy didn't allow it."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/conviction/1`."""
        return {
            "schema": "panachain/conviction/1",
            "policy_id": self.policy_id,
            "transactions": list(self.transactions),
        }


@dataclass(frozen=True)
class GroupView:
    """A care team or department, as its members see it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     team = doctor.create_group()
        ...     team = doctor.add_member(team.handle, "nurse")
        >>> len(team.members)
        2
    """

    group: Address
    handle: str
    status: Status
    """Suspended for a group that was closed."""
    organisation: str
    manager: Address
    members: tuple[Address, ...]
    generation: int = 0
    """How often the group's receiving key was renewed."""
    renewal_due: bool = False
    """Whether somebody who is no member now has the newest key, or a member lacks it."""

    def to_json(self) -> dict[str, object]:
        """Return the group as JSON, schema `panachain/group/1`."""
        return {
            "schema": "panachain/group/1",
            "group": self.group,
            "handle": self.handle,
            "status": self.status.name.lower(),
            "organisation": self.organisation,
            "manager": self.manager,
            "members": list(self.members),
            "generation": self.generation,
            "renewal_due": self.renewal_due,
        }


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

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/settled/1`."""
        return {"schema": "panachain/settled/1", "transactions": self.transactions}


@dataclass(frozen=True)
class RewrapReport:
    """What a hospital moved to new lanes because patients asked for it.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     hospital.rewrap().moved
        0
    """

    moved: int
    """Records that got a new header."""
    deleted: int
    """Old headers and envelopes that were deleted from the store."""
    transactions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/rewrap/1`."""
        return {
            "schema": "panachain/rewrap/1",
            "moved": self.moved,
            "deleted": self.deleted,
            "transactions": list(self.transactions),
        }


def record_json(info: RecordInfo) -> dict[str, object]:
    """Return what is known of a record as JSON; the digest of its plaintext stays out."""
    return {
        "id": info.header_cid,
        "hospital": info.hospital,
        "category": info.category.value,
        "year": info.year,
        "media_type": info.media_type,
        "size": info.size,
        "stored_at": iso(info.stored_at),
        "content_cid": info.content_cid,
    }


def receipt_json(receipt: Receipt) -> dict[str, object]:
    """Return a receipt as JSON, so that anybody can check its signature."""
    return {
        "proxy": receipt.proxy,
        "sequence": receipt.sequence,
        "previous": receipt.previous.hex(),
        "kind": receipt.kind.value,
        "policy_id": receipt.policy_id,
        "at": iso(receipt.at),
        "block": receipt.block,
        "count": receipt.count,
        "signature": receipt.signature.hex(),
    }
