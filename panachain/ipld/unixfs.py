"""UnixFS files of the CID profile unixfs-v1-2025: 1 MiB raw leaves under balanced nodes of 1,024 links.

Never trusts a node: its sizes must add up, and its links are followed to a bounded depth.
Follows IPIP-499 (profile `unixfs-v1-2025`), the UnixFS and the DAG-PB specifications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, DAG_PB, RAW, varint

CHUNK: Final = 1 << 20
"""Bytes of a leaf."""
MAX_LINKS: Final = 1024
"""Links of an inner node."""
MAX_DEPTH: Final = 5
"""Levels above the leaves that a reader follows: more than a pebibyte."""

Block = tuple[CID, bytes]


class _Link(NamedTuple):
    cid: CID
    total: int
    """Bytes of the block and everything below it."""
    size: int
    """Bytes of the file's content below it."""


def build(leaves: Iterable[bytes], put: Callable[[CID, bytes], object]) -> CID:
    """Hand each block of a file to `put` and return the file's CID.

    Args:
        leaves: pieces of exactly `CHUNK` bytes, only the last one may be shorter.
        put: takes CID and bytes; leaves come before the nodes that link them.

    Raises:
        IntegrityError: a piece before the last one isn't `CHUNK` bytes long.
    """
    linked: list[tuple[CID, int]] = []
    short = False
    for leaf in leaves:
        if short or len(leaf) > CHUNK:
            raise IntegrityError(f"leaf of {len(leaf)} bytes, or after a short one: leaves have {CHUNK} bytes")
        short = len(leaf) < CHUNK
        cid = CID.of(RAW, leaf)
        put(cid, leaf)
        linked.append((cid, len(leaf)))
    return link(linked, put)


def leaf_sizes(size: int) -> list[int]:
    """Return the bytes of each leaf of a file of `size` bytes."""
    full, rest = divmod(size, CHUNK)
    return [CHUNK] * full + ([rest] if rest else [])


def made(size: int, make: Callable[[int, memoryview], None]) -> Iterator[bytes]:
    """Yield the leaves of a file of `size` bytes, each filled by make(index, buffer), in order."""
    for index, leaf_size in enumerate(leaf_sizes(size)):
        leaf = bytearray(leaf_size)
        make(index, memoryview(leaf))
        yield bytes(leaf)


def link(leaves: Iterable[tuple[CID, int]], put: Callable[[CID, bytes], object]) -> CID:
    """Hand the nodes above leaves that are stored already to `put`, and return the file's CID.

    Args:
        leaves: CID and bytes of each leaf, in order.
        put: takes CID and bytes of each node, or of the empty leaf.
    """
    # levels[0] collects leaves, levels[1] the nodes above them, and so on.
    levels: list[list[_Link]] = [[]]
    for cid, size in leaves:
        _append(levels, 0, _Link(cid, size, size), put)
    if not levels[0]:
        empty = CID.of(RAW, b"")
        put(empty, b"")
        return empty
    for level in range(MAX_DEPTH + 1):
        if level + 1 == len(levels):
            if len(levels[level]) == 1:
                return levels[level][0].cid
            levels.append([])
        # A level with a parent is always folded, also when it has a single child.
        _append(levels, level + 1, _fold(levels[level], put), put)
    raise IntegrityError("the file is too large for the profile")


def _append(levels: list[list[_Link]], level: int, link: _Link, put: Callable[[CID, bytes], object]) -> None:
    # A full node is folded up only when more comes.
    if len(levels[level]) == MAX_LINKS:
        if level + 1 == len(levels):
            levels.append([])
        folded = _fold(levels[level], put)
        levels[level] = []
        _append(levels, level + 1, folded, put)
    levels[level].append(link)


def _fold(links: list[_Link], put: Callable[[CID, bytes], object]) -> _Link:
    content = sum(link.size for link in links)
    unixfs = b"\x08\x02" + b"\x18" + varint(content) + b"".join(b"\x20" + varint(link.size) for link in links)
    node = bytearray()
    for link in links:
        raw = bytes(link.cid)
        body = b"\x0a" + varint(len(raw)) + raw + b"\x12\x00" + b"\x18" + varint(link.total)
        node += b"\x12" + varint(len(body)) + body
    node += b"\x0a" + varint(len(unixfs)) + unixfs
    block = bytes(node)
    cid = CID.of(DAG_PB, block)
    put(cid, block)
    return _Link(cid, len(block) + sum(link.total for link in links), content)


def read(root: CID, get: Callable[[CID], bytes]) -> Iterator[bytes]:
    """Yield the leaves of a file in order.

    Args:
        root: the file's CID.
        get: returns a block that was checked against its CID.

    Raises:
        IntegrityError: a node isn't of this profile, or its sizes don't add up.
    """
    for cid, size in leaves_of(root, get):
        yield leaf(cid, size, get)


def leaf(cid: CID, size: int | None, get: Callable[[CID], bytes]) -> bytes:
    """Return a leaf that `leaves_of` named.

    Raises:
        IntegrityError: it hasn't the size that its node states.
    """
    data = get(cid)
    if size is not None and len(data) != size:
        raise IntegrityError(f"leaf {cid} has {len(data)} bytes, its node states {size}")
    return data


def leaves_of(root: CID, get: Callable[[CID], bytes], depth: int = 0) -> Iterator[tuple[CID, int | None]]:
    """Yield CID and stated size of each leaf; the size is None for a file of one leaf."""
    # A file of at most one chunk is its only leaf; nothing states its size.
    if root.codec == RAW and depth == 0:
        yield root, None
        return
    if root.codec != DAG_PB or depth > MAX_DEPTH:
        raise IntegrityError(f"{root} isn't a file of profile unixfs-v1-2025")
    for cid, size in _parse(root, get(root)):
        if cid.codec == RAW:
            yield cid, size
        else:
            yield from leaves_of(cid, get, depth + 1)


def _parse(cid: CID, block: bytes) -> list[tuple[CID, int]]:
    """Return the links of a node with the sizes that its UnixFS part states.

    Only bytes that `_fold` would write are accepted: the node is built anew from what was read and compared.
    """
    try:
        links: list[tuple[CID, int]] = []
        position = 0
        while block[position : position + 1] == b"\x12":
            size, position = _read_varint(block, position + 1)
            links.append(_parse_link(block[position : position + size]))
            position += size
        if block[position : position + 1] != b"\x0a":
            raise ValueError
        _, position = _read_varint(block, position + 1)
        sizes = _parse_sizes(block[position:])
    except (ValueError, IndexError):
        raise IntegrityError(f"{cid} isn't a node of profile unixfs-v1-2025") from None
    # Protobuf would take any number of either. Both must agree, or sizes would belong to other leaves.
    if not links or len(links) > MAX_LINKS or len(sizes) != len(links):
        raise IntegrityError(f"{cid} has {len(links)} links and {len(sizes)} sizes")
    rebuilt: list[bytes] = []
    _fold(
        [_Link(link, total, size) for (link, total), size in zip(links, sizes, strict=True)],
        lambda _, data: rebuilt.append(data),
    )
    # Compared as a whole: no field that we don't know, no other order and no longer number gets through.
    if rebuilt != [block]:
        raise IntegrityError(f"{cid} isn't in the canonical form of profile unixfs-v1-2025")
    return [(link, size) for (link, _), size in zip(links, sizes, strict=True)]


def _parse_link(body: bytes) -> tuple[CID, int]:
    if body[:2] != b"\x0a\x24" or body[38:41] != b"\x12\x00\x18":
        raise ValueError
    total, end = _read_varint(body, 41)
    if end != len(body):
        raise ValueError
    return CID.from_bytes(body[2:38]), total


def _parse_sizes(unixfs: bytes) -> list[int]:
    if unixfs[:3] != b"\x08\x02\x18":
        raise ValueError
    _, position = _read_varint(unixfs, 3)
    sizes = []
    while position < len(unixfs):
        if unixfs[position] != 0x20:
            raise ValueError
        size, position = _read_varint(unixfs, position + 1)
        sizes.append(size)
    return sizes


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise ValueError
