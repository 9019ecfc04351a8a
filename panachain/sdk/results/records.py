"""A record that can be read, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from panachain.errors import InputError, IntegrityError, TooLargeError
from panachain.model.actors import Address
from panachain.model.records import Past, RecordInfo
from panachain.records.content import Content
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.records.version_list import VersionList
    from panachain.records.versions import Bundle


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
    """`entered-in-error`, `wrong-patient` or `erroneous-category`."""

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
