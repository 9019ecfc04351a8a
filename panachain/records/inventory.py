"""Inventories: what lies under one envelope, so that a reader sees that nothing was left out.

An inventory names type, size and digest of each content in the order of their indexes, and of FHIR also the resources
in it. It is sealed under a key that only the envelope key gives, and tells of its own envelope alone: the reader of one
lane learns nothing of another. Follows docs/spec/formats.md (`panachain/inventory/1` to `panachain/inventory/3`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.records import RecordInfo
from panachain.records.version_list import VersionList, from_rows, to_row
from panachain.storage.blocks import BlobStore

MAX_RECORDS: Final = 10_000
"""Contents of one envelope."""
_MAX_SEGMENTS: Final = 64
"""A list of `MAX_RECORDS` fits, and lists of as many resources as an envelope may name."""
_MAX_SIZE: Final = _MAX_SEGMENTS << 20


@dataclass(frozen=True)
class Item:
    """One content of an envelope."""

    media_type: str
    size: int
    """Bytes of the plaintext."""
    digest: bytes
    """SHA-256 of the plaintext, or empty (ADR 7)."""


@dataclass(frozen=True)
class Inventory:
    """What lies under one envelope."""

    items: tuple[Item | None, ...]
    """In the order of their indexes; None in the place of a record that left for another category."""
    sequence: int = 0
    """Number of the storage transaction that published it first; 0 where no resources are listed."""
    lists: Mapping[int, VersionList] = field(default_factory=dict)
    """The resources in each record of FHIR, by the index of its content."""
    words: CID | None = None
    """Where the envelope's list of words lies (records/word_list.py); None if it has none."""


def seal(
    items: Sequence[Item | None],
    envelope_key: EnvelopeKey,
    *,
    sequence: int = 0,
    lists: Sequence[VersionList] = (),
    words: CID | None = None,
) -> list[bytes]:
    """Return the segments of a sealed inventory.

    Args:
        items: the contents, in the order of their indexes; None where one left.
        envelope_key: of their envelope.
        sequence: number of the storage transaction to come, where the order of publication counts; else 0.
        lists: the resources in some of them.
        words: where the envelope's list of words lies.
    """
    types = sorted({item.media_type for item in items if item is not None})
    body: dict[str, object] = {
        "v": 1,
        "types": types,
        "items": [None if item is None else [types.index(item.media_type), item.size, item.digest] for item in items],
    }
    if sequence or words is not None:
        body |= {"v": 2, "sequence": sequence, "lists": [to_row(one) for one in lists]}
    if words is not None:
        body |= {"v": 3, "words": words}
    plain = padding.pad(dagcbor.encode(body))
    return list(stream.seal_segments(plain, envelope_key.inventory_key(), labels.ENVELOPE_INVENTORY))


def open_(store: BlobStore, cid: CID, envelope_key: EnvelopeKey) -> Inventory:
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
    body = dagcbor.decode(padding.unpad(plain), limit=_MAX_SIZE)
    try:
        if body["v"] not in (1, 2, 3):
            raise IntegrityError(f"inventory {cid} is of version {body['v']!r}, expected 1 to 3")
        sequence, rows = (0, []) if body["v"] == 1 else (body["sequence"], body["lists"])
        words = body["words"] if body["v"] == 3 else None
        lists = {one.index: one for one in from_rows(rows)}
        items = [None if row is None else _item(body["types"], *row) for row in body["items"]]
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise IntegrityError(f"inventory {cid} lacks a field or has one of the wrong type") from exc
    if not all(
        isinstance(item.media_type, str) and type(item.size) is int and isinstance(item.digest, bytes)
        for item in items
        if item is not None
    ):
        raise IntegrityError(f"inventory {cid} has an item of the wrong type")
    if words is not None and not isinstance(words, CID):
        raise IntegrityError(f"inventory {cid} names no CID as its list of words")
    if type(sequence) is not int or not 0 <= sequence < 1 << 63 or len(lists) != len(rows):
        raise IntegrityError(f"inventory {cid} has a wrong number, or two lists of one record")
    if any(not 0 <= index < len(items) or items[index] is None for index in lists):
        raise IntegrityError(f"inventory {cid} lists the resources of a record that isn't there")
    return Inventory(tuple(items), sequence, lists, words)


def _item(types: Sequence[str], kind: int, size: int, digest: bytes) -> Item:
    return Item(types[kind], size, digest)


def check_complete(items: Sequence[Item | None], found: Iterable[RecordInfo]) -> None:
    """Check that the records of one envelope that a lane finds are all that its hospital put there.

    Raises:
        IntegrityError: one is missing, is there twice, or differs.
    """
    ordered = sorted(found, key=lambda info: info.content_index)
    there = [(index, item) for index, item in enumerate(items) if item is not None]
    # The indexes must be 0, 1, 2 … but for those that left: another gap is a record that is kept back, a double one a
    # record in two versions.
    if [info.content_index for info in ordered] != [index for index, _ in there]:
        raise IntegrityError(f"the hospital put {len(there)} records under one envelope, the lane finds {len(ordered)}")
    for (_, item), info in zip(there, ordered, strict=True):
        if (info.media_type, info.size, info.digest) != (item.media_type, item.size, item.digest):
            raise IntegrityError(f"record {info.header_cid} isn't the one that its inventory names")
