"""What tells that a record of a source is one that is published already, when the journal doesn't know its source.

Category, year, kind, size and SHA-256 of the content, which the hospital's own headers state. Content of more than
64 MiB has no digest there (ADR 7), and is like nothing. Follows ADR 20.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from panachain.ipld import dagcbor
from panachain.model.records import PlainRecord, RecordInfo
from panachain.records.content import HASHED

_PIECE: Final = 1 << 20
"""Bytes of a file that are read at once."""


def of_header(info: RecordInfo) -> bytes:
    """Return what tells the record of a header, or nothing if its content is too large."""
    return _likeness(info.category.value, info.year, info.media_type, info.size, info.digest)


def of_record(record: PlainRecord) -> bytes:
    """Return what tells a record that isn't sealed yet, or nothing if its content is too large.

    Raises:
        OSError: its file can't be read.
    """
    if record.size > HASHED:
        return b""
    hasher = sha256()
    if isinstance(record.content, bytes):
        hasher.update(record.content)
    else:
        with open(record.content.path, "rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
    return _likeness(record.category.value, record.year, record.media_type, record.size, hasher.digest())


def _likeness(category: str, year: int, media_type: str, size: int, digest: bytes) -> bytes:
    if not digest:
        return b""
    return sha256(dagcbor.encode([category, year, media_type, size, digest])).digest()
