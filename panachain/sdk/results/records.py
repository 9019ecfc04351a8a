"""A record that can be read, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Protocol

from panachain.errors import TooLargeError
from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.records.content import Content
from panachain.sdk.times import iso


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
        from panachain.records.attachments import MAX_SKELETON, Restoring

        if self.source.size > MAX_SKELETON:
            raise TooLargeError(
                f"a Bundle has {MAX_SKELETON:,} bytes at most without its attachments, this one {self.source.size:,}",
                size=self.source.size,
                limit=MAX_SKELETON,
            )
        restoring = Restoring(self.source.read(), attachments.size_of)
        attachments.allow(self.source, restoring.size, restoring.digests)
        yield from restoring.pieces(attachments.pieces)

    def fhir_provenance(self) -> dict[str, object]:
        """Return where the record comes from as a FHIR R4 Provenance, with the hospital's signature."""
        # Imported here: listing records doesn't need it.
        from panachain.records.provenance import provenance

        return provenance(self.info, signature=self.signature, policy_id=self.provenance.policy_id)

    def to_json(self) -> dict[str, object]:
        """Return everything but the plaintext as JSON, schema `panachain/opened/1`."""
        return {"schema": "panachain/opened/1", **record_json(self.info), "provenance": self.provenance.to_json()}


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
