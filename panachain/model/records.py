"""Records: what is sealed, where it lies, and what is known about it.

Never holds a key. Follows design sections 2, 3 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from panachain.model.actors import Address
from panachain.model.scope import Category


@dataclass(frozen=True)
class PlainRecord:
    """One record before it is sealed: a FHIR Bundle of one category and year, or one file."""

    category: Category
    year: int
    """UNDATED or a year from FIRST_YEAR on."""
    media_type: str
    """`application/fhir+json`, `application/dicom`, `application/pdf`, `application/hl7-v2`, …"""
    content: bytes = field(repr=False)
    source_digest: bytes
    """SHA-256 of the source that the record came from, for idempotence; stays on the hospital's disk and under seal."""


@dataclass(frozen=True)
class RecordInfo:
    """What a reader knows of a record once its header is open."""

    hospital: Address
    category: Category
    year: int
    media_type: str
    size: int
    """Bytes of the plaintext."""
    digest: bytes
    """SHA-256 of the plaintext, 32 bytes; only ever under seal."""
    stored_at: int
    """Unix seconds, by the hospital's clock."""
    header_cid: str
    content_cid: str
    envelope_cid: str
    content_index: int
    """Position within its envelope: part of the associated data."""
    generation: int
