"""Graphs of blocks: what a block links, and the order in which everything below it comes.

Never knows what a block means, and fetches nothing itself: the caller gives the blocks.
Follows the IPLD codecs dag-cbor and dag-pb (ipld.io/specs/codecs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW

_PB_LINKS: Final = 2
_PB_HASH: Final = 1
"""Fields of a node and of a link, DAG-PB specification."""
_PB_NUMBER: Final = 0
_PB_BYTES: Final = 2
"""Wire types of protobuf."""


def walk(roots: Iterable[CID], get: Callable[[CID], bytes | None]) -> Iterator[tuple[CID, bytes | None]]:
    """Yield every block under `roots` once: depth first, links in their order, as `ipfs dag export` does.

    Args:
        roots: where to begin, in this order.
        get: returns a block that was checked against its CID, or None to go on without its links; asked only for
            blocks that can have links.

    Yields:
        CID and bytes; None for blocks of codec raw, which weren't fetched, and for those that `get` gave None for.

    Raises:
        IntegrityError: a block isn't of its codec.
    """
    seen: set[CID] = set()
    # Paths of links, not calls: manifests form a chain of any length.
    waiting = [iter(roots)]
    while waiting:
        cid = next(waiting[-1], None)
        if cid is None:
            waiting.pop()
        elif cid not in seen:
            seen.add(cid)
            data = None if cid.codec == RAW else get(cid)
            yield cid, data
            if data is not None:
                waiting.append(iter(links(cid, data)))


def links(cid: CID, data: bytes) -> list[CID]:
    """Return the CIDs that a block links, in their order.

    Raises:
        IntegrityError: the block isn't of the codec that its CID names, or links a CID that isn't used here.
    """
    if cid.codec == RAW:
        return []
    return list(_cbor_links(dagcbor.decode(data)) if cid.codec == DAG_CBOR else _pb_links(cid, data))


def _cbor_links(value: object) -> Iterator[CID]:
    if isinstance(value, CID):
        yield value
    elif isinstance(value, list | dict):
        # The decoder accepts no other order of a map than that of the encoding.
        for item in value.values() if isinstance(value, dict) else value:
            yield from _cbor_links(item)


def _pb_links(cid: CID, block: bytes) -> Iterator[CID]:
    """Yield the links of a dag-pb node. Unlike the reader of unixfs.py it follows nodes of any profile, and folders."""
    for field, body in _pb_fields(cid, block):
        if field == _PB_LINKS:
            hashes = [part for number, part in _pb_fields(cid, body) if number == _PB_HASH]
            if len(hashes) != 1:
                raise IntegrityError(f"a link of {cid} has {len(hashes)} CIDs, expected 1")
            yield CID.from_bytes(hashes[0])


def _pb_fields(cid: CID, message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each field of a protobuf message; numbers come as no bytes."""
    position = 0
    while position < len(message):
        tag, position = _pb_varint(cid, message, position)
        size, position = _pb_varint(cid, message, position)
        if tag & 7 == _PB_NUMBER:
            yield tag >> 3, b""
            continue
        if tag & 7 != _PB_BYTES or size > len(message) - position:
            raise IntegrityError(f"{cid} isn't a dag-pb node")
        yield tag >> 3, message[position : position + size]
        position += size


def _pb_varint(cid: CID, message: bytes, position: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(message[position : position + 9]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise IntegrityError(f"{cid} isn't a dag-pb node")
