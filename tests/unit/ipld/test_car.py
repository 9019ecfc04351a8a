"""CAR files: one form, every block checked, and nothing foreign taken for ours."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError
from panachain.ipld import car, dag, dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from tests.support import shared

Block = tuple[CID, bytes]


def raw(data: bytes) -> Block:
    return CID.of(RAW, data), data


def written(roots: list[CID], blocks: Iterable[Block]) -> bytes:
    file = io.BytesIO()
    size = car.write_car(file, roots, blocks)
    assert size == len(file.getvalue())
    return file.getvalue()


def read(data: bytes) -> tuple[list[CID], list[Block]]:
    roots, blocks = car.read_car(io.BytesIO(data))
    return roots, list(blocks)


A, B = raw(b"first"), raw(b"second")
WHOLE = written([A[0]], [A, B])
HEADER_END = len(car.header([A[0]]))


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 5))
def test_what_is_written_is_read(contents: list[bytes], roots: int) -> None:
    blocks = [raw(content) for content in contents]
    named = [cid for cid, _ in blocks][:roots]
    assert read(written(named, blocks)) == (named, blocks)


def test_bytes_are_those_of_the_specification() -> None:
    # The header is the dag-cbor map {"roots": [CID], "version": 1}: 0xa2, "roots", one CID under tag 42, "version", 1.
    assert WHOLE[:HEADER_END] == (b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + bytes(A[0]) + b"\x67version\x01")
    assert WHOLE[HEADER_END : HEADER_END + 42] == bytes([36 + 5]) + bytes(A[0]) + b"first"


def test_same_blocks_give_the_same_bytes() -> None:
    assert written([A[0]], [A, B]) == WHOLE != written([A[0]], [B, A])


def test_largest_block_goes_through_and_a_larger_one_does_not() -> None:
    largest = raw(bytes(car.MAX_BLOCK))
    assert read(written([], [largest]))[1] == [largest]
    with pytest.raises(IntegrityError, match="at most 2097152"):
        written([], [raw(bytes(car.MAX_BLOCK + 1))])


def test_block_under_another_cid_is_not_written() -> None:
    with pytest.raises(IntegrityError):
        written([], [(A[0], b"other")])


def test_header_of_too_many_roots_is_not_written() -> None:
    with pytest.raises(IntegrityError, match="30000 roots"):
        car.header([A[0]] * 30_000)


def test_short_reads_are_gone_on_with() -> None:
    class Drop(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

    roots, blocks = car.read_car(Drop(WHOLE))
    assert (roots, list(blocks)) == ([A[0]], [A, B])


def test_every_truncation_is_found_or_leaves_whole_blocks() -> None:
    for size in range(len(WHOLE)):
        try:
            _, blocks = read(WHOLE[:size])
        except IntegrityError:
            continue
        # Between two sections nothing tells that more was to come; whoever imports looks at the roots.
        assert blocks in ([], [A])
        assert size in (HEADER_END, HEADER_END + 42)


def test_every_flipped_bit_is_found() -> None:
    for position, bit in product(range(len(WHOLE)), range(8)):
        changed = bytearray(WHOLE)
        changed[position] ^= 1 << bit
        try:
            roots, blocks = read(bytes(changed))
        except IntegrityError:
            continue
        # Only the root's own digest isn't proven by the file; the codec of a CID isn't part of the digest either.
        assert [data for _, data in blocks] == [b"first", b"second"]
        assert roots != [A[0]] or [cid.digest for cid, _ in blocks] == [A[0].digest, B[0].digest]


def section(body: bytes, size: bytes | None = None) -> bytes:
    return WHOLE[:HEADER_END] + (car.varint(len(body)) if size is None else size) + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0", "ends too early"),
        (b"\xbb\x00", "shortest form"),
        (b"\xff" * 9, "in the middle of a size"),
        (b"\x80", "in the middle of a size"),
        (car.varint(car.MAX_HEADER + 1), "at most 1048576"),
        (b"\x0a\xa1\x67version\x01", "fields that it must have"),
        (b"\x11\xa2\x65roots\x80\x67version\x02", "of version 1"),
        (b"\x11\xa2\x65roots\x80\x67version\xf5", "of version 1"),
        (b"\x11\xa2\x65roots\xa0\x67version\x01", "fields that it must have"),
        (b"\x12\xa2\x65roots\x81\x01\x67version\x01", "no CID"),
        (b"\x01\x80", "of version 1"),
        (section(b""), "expected 36 to"),
        (section(b"\x01"), "expected 36 to"),
        (section(b"", car.varint(car.MAX_BLOCK + 37)), "expected 36 to"),
        (section(b"", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "expected 36 to"),
        (section(bytes(A[0]) + b"firsT"), "don't fit"),
        (section(bytes(A[0]), car.varint(41)), "cut off"),
        # The CID of version 0 of the same bytes: a bare multihash.
        (section(bytes(A[0])[2:] + b"first" + bytes(10)), "version 0"),
        (section(b"\x01\x55\x1b\x20" + bytes(32) + b"first"), "isn't of version 1 with sha2-256"),
        (section(b"\x01\x78\x12\x20" + A[0].digest + b"first"), "isn't used here"),
        (section(b"\x02" + bytes(A[0])[1:] + b"first"), "isn't of version 1"),
    ],
)
def test_damaged_and_foreign_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(IntegrityError, match=reason):
        read(data)


def test_files_of_others_are_read_to_the_byte_or_refused() -> None:
    folder = shared("vectors")
    same = refused = 0
    for path in sorted(folder.rglob("*.car")):
        data = path.read_bytes()
        try:
            roots, blocks = read(data)
        except IntegrityError:
            # CIDs of version 0, other codecs and hashes.
            refused += 1
            continue
        assert written(roots, blocks) == data, path.name
        same += 1
    assert same >= 3
    assert refused >= 3


def test_a_file_in_the_order_of_the_walk_can_be_read_back_from_it() -> None:
    blocks: dict[CID, bytes] = {}
    root = unixfs.build([os.urandom(unixfs.CHUNK), b"end"], blocks.__setitem__)
    data = dagcbor.encode({"v": 1, "blocks": [root, A[0]]})
    top = CID.of(DAG_CBOR, data)
    blocks |= {top: data, A[0]: A[1]}
    ordered = [(cid, blocks[cid]) for cid, _ in dag.walk([top], blocks.__getitem__)]
    assert len(ordered) == 5
    assert read(written([top], ordered)) == ([top], ordered)
