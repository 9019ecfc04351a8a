"""Records: what is sealed, where it lies, and what is known about it.

Never holds a key. Follows design sections 2, 3 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from panachain.model.actors import Address
from panachain.model.file_content import FileContent as FileContent
from panachain.model.frozen import frozen
from panachain.model.scope import Category

STATEMENT: Final = "application/panachain"
"""Media type of what a hospital says of records that it published (records/statements.py); as long as that of FHIR, so
that a header's size doesn't tell whether its record is one."""


class Reason(Enum):
    """Why a record counts no more: its hospital withdrew it, or erased it."""

    ENTERED_IN_ERROR = "entered-in-error"
    WRONG_PATIENT = "wrong-patient"
    ERRONEOUS_CATEGORY = "erroneous-category"
    ERASED = "erased"
    """Its header and content were deleted (ADR 59); never a reason to withdraw what is still there."""


WITHDRAWING: Final = (Reason.ENTERED_IN_ERROR, Reason.WRONG_PATIENT, Reason.ERRONEOUS_CATEGORY)
"""The reasons for which a hospital withdraws a record."""


class Past(Enum):
    """Why a version of a resource isn't what counts now."""

    SUPERSEDED = "superseded"
    IN_ERROR = "in_error"
    DELETED = "deleted"
    ELSEWHERE = "elsewhere"
    """Superseded by a version of another category or year."""
    SAME = "same"
    """Another hospital's record holds it as well, and was delivered."""


@dataclass(frozen=True)
class ReadBefore:
    """What is known of a content, where that was read together with it."""

    content: bytes = field(repr=False)
    """The content, by which whoever changes a record's content has all of this read anew."""
    packed: bytes | None = field(repr=False)
    """What it is found by, as its list takes it (records/word_list.py); None where there are no words."""
    bundle: object = field(default=None, repr=False)
    """Its entries, if it is FHIR that has any (records/versions.py), and they are known."""


@dataclass(frozen=True)
class PlainRecord:
    """One record before it is sealed: a FHIR Bundle of one category and year, one attachment, or one file."""

    category: Category
    year: int
    """UNDATED or a year from FIRST_YEAR on; of a mistaken date also one that is far away."""
    media_type: str
    """`application/fhir+json`, `application/dicom`, `application/pdf`, `application/hl7-v2`, …"""
    content: bytes | FileContent = field(repr=False)
    source: bytes
    """What identifies the source that the record came from, 32 bytes; stays on the hospital's disk."""
    part: int = 0
    """Which of the source's records this is, from 0: the same source always splits the same way."""
    emergency: bool = False
    """Whether the emergency lane has it although its category as a whole isn't in there."""
    known: ReadBefore | None = field(default=None, repr=False, compare=False)
    """What was read of it already."""

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self.content.size if isinstance(self.content, FileContent) else len(self.content)


@dataclass(frozen=True)
class RecordInfo:
    """What a reader knows of a record once its header is open.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     sorted(record.info.category.value for record in patient.records())
        ['allergies', 'laboratory']
    """

    hospital: Address
    category: Category
    year: int
    media_type: str
    size: int
    """Bytes of the plaintext."""
    digest: bytes
    """SHA-256 of the plaintext, 32 bytes, only ever under seal; empty where key and CID stand for it (ADR 7)."""
    stored_at: int
    """Unix seconds, by the hospital's clock."""
    header_cid: str
    content_cid: str
    envelope_cid: str
    content_index: int
    """Position within its envelope: part of the associated data."""
    generation: int

    def with_header(self, header_cid: str) -> RecordInfo:
        """Return the same with the CID of the header, which isn't known before the header is made."""
        return frozen(RecordInfo, **{**vars(self), "header_cid": header_cid})
