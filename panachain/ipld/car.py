"""CAR, version 1: blocks with their CIDs in one file, to carry them between IPFS implementations.

Never hands out a block that doesn't fit its CID, and writes one form only: the shortest varints, and CIDs of version 1
with sha2-256. Other CIDs in somebody's file are refused, not skipped: what was left out couldn't be told from what
was never there. Follows the CARv1 specification (ipld.io/specs/transport/car/carv1).

    car     = size ‖ dag-cbor {roots: [CID, …], version: 1} ‖ section ‖ section …
    section = size ‖ CID (36) ‖ bytes of the block            size: an unsigned varint of what follows it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CALLER, CID, varint

VERSION: Final = 1
MAX_HEADER: Final = 1 << 20
"""Bytes of the header; about 25,000 roots fit."""
MAX_BLOCK: Final = 2 << 20
"""Bytes of a block: what IPFS implementations pass on."""
CID_SIZE: Final = 36
"""Bytes of a CID of version 1 with sha2-256."""
_MAX_VARINT: Final = 9
"""Bytes, multiformats/unsigned-varint."""


def write_car(file: BinaryIO, roots: Sequence[CID], blocks: Iterable[tuple[CID, bytes]]) -> int:
    """Write blocks in the order in which they come, and return how many bytes the CAR has.

    Args:
        file: open for writing; not synced and not closed.
        roots: what the reader is to begin with.
        blocks: each with its CID; a caller that wants the same bytes every time gives them in a fixed order.

    Raises:
        IntegrityError: a block doesn't fit its CID, or is larger than a reader accepts.
    """
    written = file.write(header(roots))
    for cid, data in blocks:
        written += file.write(section_head(cid, cid.check(data, CALLER)))
        written += file.write(data)
    return written


def header(roots: Sequence[CID]) -> bytes:
    """Return what a CAR begins with.

    Raises:
        IntegrityError: there are more roots than a reader accepts.
    """
    body = dagcbor.encode({"roots": list(roots), "version": VERSION})
    if len(body) > MAX_HEADER:
        raise IntegrityError(
            f"{len(roots)} roots make a CAR header of {len(body)} bytes, at most {MAX_HEADER} are read"
        )
    return varint(len(body)) + body


def section_head(cid: CID, data: bytes) -> bytes:
    """Return what stands before a block's bytes.

    Raises:
        IntegrityError: the block is larger than a reader accepts.
    """
    if len(data) > MAX_BLOCK:
        raise IntegrityError(f"block {cid} has {len(data)} bytes, at most {MAX_BLOCK} go into a CAR")
    return varint(CID_SIZE + len(data)) + bytes(cid)


def read_car(file: BinaryIO) -> tuple[list[CID], Iterator[tuple[CID, bytes]]]:
    """Return the roots of a CAR and an iterator over its blocks, each checked against its CID.

    The file is read as far as the iterator is; only its end proves that nothing was cut off.

    Raises:
        IntegrityError: at once or while iterating: truncated, too large, damaged, of another version, or with CIDs
            that aren't used here.
    """
    size = _read_size(file)
    if size is None:
        raise IntegrityError("the CAR is empty")
    if size > MAX_HEADER:
        raise IntegrityError(f"the CAR's header states {size} bytes, at most {MAX_HEADER} are read")
    return _roots(dagcbor.decode(_read_exactly(file, size))), _sections(file)


def _roots(fields: object) -> list[CID]:
    if not isinstance(fields, dict) or fields.get("version") != VERSION or isinstance(fields["version"], bool):
        raise IntegrityError(f"the CAR isn't of version {VERSION}")
    roots = fields.get("roots")
    if set(fields) != {"roots", "version"} or not isinstance(roots, list):
        raise IntegrityError("the CAR's header doesn't have the fields that it must have")
    if not all(isinstance(root, CID) for root in roots):
        raise IntegrityError("the CAR's header names a root that is no CID")
    return roots


def _sections(file: BinaryIO) -> Iterator[tuple[CID, bytes]]:
    while (size := _read_size(file)) is not None:
        if not CID_SIZE <= size <= CID_SIZE + MAX_BLOCK:
            raise IntegrityError(
                f"a section of the CAR states {size} bytes, expected {CID_SIZE} to {CID_SIZE + MAX_BLOCK}"
            )
        raw = _read_exactly(file, CID_SIZE)
        # Told apart by its first bytes, a bare sha2-256 multihash: as a CID of version 1 it would be read as nonsense.
        if raw[:2] == b"\x12\x20":
            raise IntegrityError("the CAR holds a CID of version 0, which isn't used here")
        cid = CID.from_bytes(raw)
        # Checked here, so that nobody downstream ever holds bytes under a CID that isn't theirs.
        yield cid, cid.check(_read_exactly(file, size - CID_SIZE), "CAR")


def _read_size(file: BinaryIO) -> int | None:
    """Return the next varint, or None at the end of the file."""
    number = 0
    for position in range(_MAX_VARINT):
        raw = file.read(1)
        if not raw:
            if position == 0:
                return None
            break
        number |= (raw[0] & 0x7F) << 7 * position
        if not raw[0] & 0x80:
            # One number, one encoding: otherwise one content had many CARs.
            if raw == b"\0" and position > 0:
                raise IntegrityError("a size in the CAR isn't in its shortest form")
            return number
    raise IntegrityError("the CAR ends, or goes astray, in the middle of a size")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    while len(data) < size:
        # An unbuffered file may give less than it was asked for.
        more = file.read(size - len(data))
        if not more:
            raise IntegrityError(f"the CAR is cut off: {size} bytes were announced, {len(data)} are there")
        data += more
    return data
