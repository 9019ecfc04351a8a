"""What the tests of reading and splitting share."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from panachain.model.records import PlainRecord
from panachain.records.attachments import restore
from panachain.records.split import MEDIA_TYPE, Piece


def content_of(record: PlainRecord | Piece) -> bytes:
    """Return the bytes of a record, wherever they are."""
    return record.content if isinstance(record.content, bytes) else record.content.path.read_bytes()


def bundles(records: Iterable[PlainRecord | Piece]) -> list[bytes]:
    """Return the Bundles among the records of one source, their attachments put back from the other records."""
    found = list(records)
    files = {sha256(content).digest(): content for content in map(content_of, found)}
    return [restore(content_of(record), files.__getitem__) for record in found if record.media_type == MEDIA_TYPE]
