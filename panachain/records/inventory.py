"""Inventories: what lies under one envelope, so that a reader sees that nothing was left out.

An inventory names type, size and digest of each content in the order of their indexes. It is sealed under a key that
only the envelope key gives, and tells of its own envelope alone: the reader of one lane learns nothing of another.
Follows docs/spec/formats.md (`panachain/inventory/1`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.records import RecordInfo
from panachain.storage.blocks import BlobStore

MAX_RECORDS: Final = 10_000
"""Contents of one envelope."""
_MAX_SEGMENTS: Final = 2
"""A list of `MAX_RECORDS` fits."""


@dataclass(frozen=True)
class Item:
    """One content of an envelope."""

    media_type: str
    size: int
    """Bytes of the plaintext."""
    digest: bytes
    """SHA-256 of the plaintext, or empty (ADR 7)."""


def seal(items: Sequence[Item], envelope_key: EnvelopeKey) -> list[bytes]:
    """Return the segments of a sealed inventory."""
    types = sorted({item.media_type for item in items})
    body = {
        "v": 1,
        "types": types,
        "items": [[types.index(item.media_type), item.size, item.digest] for item in items],
    }
    plain = padding.pad(dagcbor.encode(body))
    return list(stream.seal_segments(plain, envelope_key.inventory_key(), labels.ENVELOPE_INVENTORY))


def open_(store: BlobStore, cid: CID, envelope_key: EnvelopeKey) -> list[Item]:
    """Fetch and open an inventory.

    Raises:
        IntegrityError: it doesn't open, or isn't one.
        BlockNotFoundError: the store lacks a block.
    """
    segments: list[bytes] = []
    for segment in store.read_file(cid):
        segments.append(segment)
        if len(segments) > _MAX_SEGMENTS:
            raise IntegrityError(f"inventory {cid} is larger than {_MAX_SEGMENTS} segments")
    key = envelope_key.inventory_key()
    plain = b"".join(stream.open_segments(segments, key, labels.ENVELOPE_INVENTORY))
    body = dagcbor.decode(padding.unpad(plain))
    try:
        if body["v"] != 1:
            raise IntegrityError(f"inventory {cid} is of version {body['v']!r}, expected 1")
        items = [Item(body["types"][kind], size, digest) for kind, size, digest in body["items"]]
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise IntegrityError(f"inventory {cid} lacks a field or has one of the wrong type") from exc
    if not all(
        isinstance(item.media_type, str) and type(item.size) is int and isinstance(item.digest, bytes) for item in items
    ):
        raise IntegrityError(f"inventory {cid} has an item of the wrong type")
    return items


def check_complete(items: Sequence[Item], found: Iterable[RecordInfo]) -> None:
    """Check that the records of one envelope that a lane finds are all that its hospital put there.

    Raises:
        IntegrityError: one is missing, is there twice, or differs.
    """
    ordered = sorted(found, key=lambda info: info.content_index)
    # The indexes must be 0, 1, 2 …: a gap is a record that is kept back, a double one a record in two versions.
    if [info.content_index for info in ordered] != list(range(len(items))):
        raise IntegrityError(f"the hospital put {len(items)} records under one envelope, the lane finds {len(ordered)}")
    for item, info in zip(items, ordered, strict=True):
        if (info.media_type, info.size, info.digest) != (item.media_type, item.size, item.digest):
            raise IntegrityError(f"record {info.header_cid} isn't the one that its inventory names")
