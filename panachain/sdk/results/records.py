"""A record that can be read, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from panachain.errors import InputError, IntegrityError, Omission, TooLargeError
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.records import Past, RecordInfo
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.records.content import Content
    from panachain.records.version_list import VersionList
    from panachain.records.versions import Bundle
    from panachain.sdk.results.people import People


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
        # Texts and numbers alone, which need no copies.
        return {name: value for name, value in vars(self).items() if value}


class Attachments(Protocol):
    """Where a Bundle finds the attachments that were sealed by themselves."""

    def size_of(self, digest: bytes) -> int:
        """Return the bytes of the attachment of a digest."""
        ...

    def pieces(self, digest: bytes) -> Iterator[bytes]:
        """Yield the attachment of a digest in pieces."""
        ...

    def allow(self, skeleton: Content, full: int, digests: Sequence[bytes]) -> None:
        """Check that the whole Bundle isn't larger than it may be."""
        ...


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
    attachments: Attachments | None = field(default=None, repr=False)
    """For a Bundle, whose attachments may have been sealed by themselves."""
    listed: VersionList | None = field(default=None, repr=False)
    """The resources in it, as its hospital listed them; None where it listed none, or nothing depends on it."""
    places: tuple[int, ...] | None = None
    """The entries of it that count now; None for the whole record as it was published."""
    past: tuple[Past, ...] = ()
    """Why each of the others doesn't."""
    also_from: tuple[Address, ...] = ()
    """Other hospitals that published some of the same resources, which are shown here only."""

    @cached_property
    def content(self) -> bytes:
        """The whole plaintext, checked.

        Raises:
            IntegrityError: any byte doesn't fit.
            TooLargeError: with its attachments it is larger than the settings allow; none of them was fetched.
        """
        if self.attachments is None:
            return self.source.read()
        return b"".join(self._restored(self.attachments))

    def checked_bundle(self) -> Bundle | None:
        """Return its entries, attachments taken out, as they were published; None if it has none.

        Raises:
            IntegrityError: any byte doesn't fit, or it holds something else than its hospital listed.
            TooLargeError: it is larger than any Bundle that a hospital makes.
        """
        bundle = cut(self.source)
        if self.listed is not None:
            self.listed.check(bundle)
        return bundle

    def chunks(self) -> Iterator[bytes]:
        """Yield the plaintext in pieces, so that it may be larger than memory; only the end proves that all fits.

        Raises:
            IntegrityError: any byte doesn't fit.
            TooLargeError: with its attachments it is larger than the settings allow; none of them was fetched.
        """
        if self.attachments is None:
            return self.source.chunks()
        return self._restored(self.attachments)

    def read_range(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset` on; of a large image at the cost of the leaves that hold them."""
        if self.attachments is None:
            return self.source.read_range(offset, size)
        return self.content[offset : offset + size]

    def _restored(self, attachments: Attachments) -> Iterator[bytes]:
        """Yield a Bundle with its attachments in their places."""
        # Imported here: only Bundles have attachments.
        from panachain.records.attachments import Restoring

        if self.listed is None:
            _check_size(self.source)
            skeleton = self.source.read()
        else:
            bundle = self.checked_bundle()
            count = len(self.listed.versions)
            # The very bytes of each entry, and no entry that doesn't count any more.
            skeleton = (
                b"" if bundle is None else bundle.holding(self.places if self.places is not None else range(count))
            )
        restoring = Restoring(skeleton, attachments.size_of)
        attachments.allow(self.source, restoring.size, restoring.digests)
        yield from restoring.pieces(attachments.pieces)

    def fhir_provenance(self) -> dict[str, object]:
        """Return where the record comes from as a FHIR R4 Provenance, with the hospital's signature."""
        # Imported here: listing records doesn't need it.
        from panachain.records.provenance import provenance

        return provenance(self.info, signature=self.signature, policy_id=self.provenance.policy_id)

    def to_json(self) -> dict[str, object]:
        """Return everything but the plaintext as JSON, schema `panachain/opened/1`."""
        told: dict[str, object] = {
            "schema": "panachain/opened/1",
            **record_json(self.info),
            "provenance": self.provenance.to_json(),
        }
        if self.past:
            told["left_out"] = {why.value: self.past.count(why) for why in Past if why in self.past}
        if self.also_from:
            told["also_from"] = list(self.also_from)
        return told


def cut(source: Content) -> Bundle | None:
    """Return the entries of a record of FHIR, attachments taken out; None if it has none.

    Raises:
        IntegrityError: any byte doesn't fit, or it isn't what a hospital makes of FHIR.
        TooLargeError: it is larger than any that a hospital makes.
    """
    # Imported here: listing records doesn't need it.
    from panachain.records.versions import bundle_of

    _check_size(source)
    try:
        return bundle_of(source.read())
    except InputError as exc:
        raise IntegrityError(f"it isn't what a hospital makes of FHIR: {exc}") from None


def _check_size(source: Content) -> None:
    from panachain.records.attachments import MAX_SKELETON

    if source.size > MAX_SKELETON:
        raise TooLargeError(
            f"a Bundle has {MAX_SKELETON:,} bytes at most without its attachments, this one {source.size:,}",
            size=source.size,
            limit=MAX_SKELETON,
        )


@dataclass(frozen=True)
class LeftBehind:
    """What an opening left out because it doesn't count any more: nothing of it is wrong, and `history` shows it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     opening = patient.records()
        ...     records = list(opening)
        >>> opening.behind.total
        0
    """

    superseded: int = 0
    """Versions of resources of which a newer one is there."""
    in_error: int = 0
    """Versions of resources that were entered in error, by their hospital's own word."""
    deleted: int = 0
    """Versions of resources that their hospital deleted, and what says so."""
    elsewhere: int = 0
    """Versions of resources of which a newer one lies in another category or year."""
    same: int = 0
    """Resources that another hospital's record holds as they are, which was delivered."""
    attachments: int = 0
    """Attachments that only such versions name."""

    @property
    def total(self) -> int:
        """How many resources were left out."""
        return self.superseded + self.in_error + self.deleted + self.elsewhere + self.same

    def to_json(self) -> dict[str, object]:
        """Return the numbers as JSON, schema `panachain/left-behind/1`."""
        return {"schema": "panachain/left-behind/1", **asdict(self)}


@dataclass(frozen=True)
class WithdrawnRecord:
    """A record that its hospital withdrew: it isn't opened any more.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     opening = patient.records()
        ...     records = list(opening)
        >>> all(gone.hospital and gone.reason for gone in opening.withdrawn)
        True
    """

    record_id: str
    """CID of the record's header."""
    hospital: Address
    """Who published it, and withdrew it."""
    category: str
    year: int
    stored_at: int
    """When it was published: Unix seconds, by the hospital's clock."""
    withdrawn_at: int
    """When it was withdrawn."""
    reason: str
    """`entered-in-error`, `wrong-patient` or `erroneous-category`; `erased` if its hospital deleted it (ADR 59)."""
    attested_at: int = 0
    """When its hospital found that none of its stores has it any more, as it signed; 0 if it didn't say so."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/withdrawn/1`."""
        return {
            "schema": "panachain/withdrawn/1",
            "id": self.record_id,
            "hospital": self.hospital,
            "category": self.category,
            "year": self.year,
            "stored_at": iso(self.stored_at),
            "withdrawn_at": iso(self.withdrawn_at),
            "reason": self.reason,
            **({"attested_at": iso(self.attested_at)} if self.attested_at else {}),
        }


@dataclass(frozen=True)
class ResourceVersion:
    """One version of a resource, in one record.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     opening = patient.records(history=True)
        ...     records = list(opening)
        ...     opening.histories()
        []
    """

    record: str
    """CID of the record's header."""
    stored_at: int
    """Unix seconds, by the hospital's clock."""
    number: str
    """`meta.versionId`, or empty."""
    updated: str
    """`meta.lastUpdated`, or empty."""
    state: str
    """`current`, or why it doesn't count: `superseded`, `in_error`, `deleted`, `elsewhere`."""
    changed: tuple[str, ...]
    """The JSON members that differ from the version before, such as `code.text`; none for the first one."""

    def to_json(self) -> dict[str, object]:
        """Return the version as JSON, schema `panachain/resource-version/1`."""
        told = asdict(self) | {"changed": list(self.changed), "stored_at": iso(self.stored_at)}
        return {"schema": "panachain/resource-version/1", **told}


@dataclass(frozen=True)
class ResourceHistory:
    """All versions of one resource of one hospital, oldest first.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     opening = patient.records(history=True)
        ...     records = list(opening)
        ...     opening.histories()
        []
    """

    resource: str
    """Type and id."""
    hospital: Address
    versions: tuple[ResourceVersion, ...]

    def to_json(self) -> dict[str, object]:
        """Return the history as JSON, schema `panachain/resource-history/1`."""
        return {
            "schema": "panachain/resource-history/1",
            "resource": self.resource,
            "hospital": self.hospital,
            "versions": [version.to_json() for version in self.versions],
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


@dataclass(frozen=True)
class SurveyPart:
    """Records of one category, year and hospital that a policy opens, as their headers tell.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     (part,) = doctor.open(next(one for one in doctor.inbox() if one.active)).survey().parts
        >>> part.category, part.year, part.records
        ('laboratory', 2024, 1)
    """

    category: str
    year: int
    """0 for records without a date."""
    hospital: Address
    records: int
    size: int
    """Bytes of them all, before attachments are put back."""
    newest_at: int
    """When the hospital stored the newest one, Unix seconds."""

    def to_json(self) -> dict[str, object]:
        """Return the part as JSON, schema `panachain/survey-part/1`."""
        return {"schema": "panachain/survey-part/1", **asdict(self), "newest_at": iso(self.newest_at)}


@dataclass(frozen=True)
class Survey:
    """What a policy opens, before anything is opened: no proxy is asked, and the patient's log says nothing of it.

    Records are counted as they were published: which of them count now is known once they are open.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     survey = doctor.open(next(one for one in doctor.inbox() if one.active)).survey()
        >>> [(part.category, part.year) for part in survey.parts], survey.records
        ([('laboratory', 2024)], 1)
    """

    policy_id: PolicyId
    parts: tuple[SurveyPart, ...]
    omissions: tuple[Omission, ...] = ()
    """What can't be read even as far as its header, of which nothing is counted."""
    withheld: tuple[str, ...] = ()
    """Categories that an emergency summary leaves out by rule, whether or not there is anything in them."""

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(part.records for part in self.parts)

    def to_json(self) -> dict[str, object]:
        """Return the survey as JSON, schema `panachain/survey/1`."""
        return {
            "schema": "panachain/survey/1",
            "policy_id": self.policy_id,
            "parts": [part.to_json() for part in self.parts],
            "omissions": [omission.to_json() for omission in self.omissions],
            "withheld": list(self.withheld),
        }


@dataclass(frozen=True)
class OwnReceipt:
    """What one proxy signed of an opening of one's own: where in its log it stands, so that the log can prove it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     receipts = [one for reading in doctor.readings for one in reading.receipts]
        >>> all(len(one.leaf) == 32 for one in receipts)
        True
    """

    proxy: Address
    sequence: int
    leaf: bytes
    """SHA-256 of the leaf (RFC 6962), 32 bytes."""


@dataclass(frozen=True)
class OwnReading:
    """An opening of one's own, as this machine remembers it: the patient's log has what the proxies signed.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     opened = list(doctor.open(next(one for one in doctor.inbox() if one.active)))
        ...     readings = doctor.readings
        >>> readings[-1].records == len(opened)
        True
    """

    policy_id: PolicyId
    patient: Address
    purpose: str
    """A code of HL7 v3 PurposeOfUse."""
    at: int
    """When it began, Unix seconds."""
    records: int
    """How many were handed out."""
    left_out: int = 0
    """How many things couldn't be read."""
    categories: tuple[str, ...] = ()
    """Which ones alone were asked for; empty for all that the policy opens."""
    years: tuple[int, ...] = ()
    """Which ones alone were asked for; empty for all that the policy opens."""
    receipts: tuple[OwnReceipt, ...] = field(default=(), compare=False, repr=False)
    """What the proxies that helped signed of it."""
    patient_name: str = field(default="", compare=False)
    """What the reader of this result calls the patient (sdk/names.py): for people; a program takes `patient`."""

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as the role is known."""
        return ()

    def named(self, names: People) -> OwnReading:
        """Return the reading with a name for the patient."""
        return replace(self, patient_name=names.of(self.patient, Role.PATIENT))

    def to_json(self) -> dict[str, object]:
        """Return the reading as JSON, schema `panachain/own-reading/1`."""
        return {
            "schema": "panachain/own-reading/1",
            "policy_id": self.policy_id,
            "patient": self.patient,
            "purpose": self.purpose,
            "when": iso(self.at),
            "records": self.records,
            "left_out": self.left_out,
            "categories": list(self.categories),
            "years": list(self.years),
            "receipts": [
                {"proxy": one.proxy, "sequence": one.sequence, "leaf": one.leaf.hex()} for one in self.receipts
            ],
        }


@dataclass(frozen=True)
class ProvenReading:
    """An opening of one's own, and what the proxies' logs say of it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     proven = doctor.share.prove(2026)
        >>> all(not one.missing for one in proven)
        True
    """

    reading: OwnReading
    proven: tuple[Address, ...]
    """Proxies whose logs have what they signed of it."""
    missing: tuple[Address, ...]
    """Proxies whose logs have something else there."""
    open: tuple[Address, ...] = ()
    """Proxies that don't answer now, or whose newest checkpoint is from before it."""


@dataclass(frozen=True)
class HandedIn:
    """A share that a reader signed for their hospital: what they state, which proves no opening.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     len(doctor.share.hand_in(2026)) > 0
        True
    """

    reader: Address
    year: int
    made_at: int
    """Unix seconds, as the reader says."""
    dropped: int
    """How many openings of the year the reader's machine doesn't remember any more."""
    readings: tuple[OwnReading, ...]
