"""Our RLP, with the `rlp` package as the oracle."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import rlp as oracle
from hypothesis import given
from hypothesis import strategies as st

from panachain.chain import rlp

ITEMS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.binary(max_size=70), st.integers(0, 255).map(lambda byte: bytes([byte]))),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=30,
)


@given(item=ITEMS)
def test_encodes_and_decodes_as_the_package_does(item: Any) -> None:
    encoded = rlp.encode(item)
    assert encoded == oracle.encode(item)
    with contextlib.suppress(ValueError):  # Lists that are too deep.
        assert rlp.decode(encoded) == item


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_535, 65_536])
def test_encodes_every_size_of_length(size: int) -> None:
    for item in (b"\xff" * size, [b"\x01"] * size):
        assert rlp.encode(item) == oracle.encode(item)
        assert rlp.decode(rlp.encode(item)) == item


@given(data=st.binary(max_size=80))
def test_reads_of_any_bytes_what_the_package_reads(data: bytes) -> None:
    try:
        ours = rlp.decode(data)
    except ValueError:
        with pytest.raises(oracle.DecodingError):
            oracle.decode(data)
        return
    assert ours == oracle.decode(data)


@given(item=ITEMS, place=st.integers(0, 2000), byte=st.integers(0, 255))
def test_reads_of_a_damaged_item_what_the_package_reads(item: Any, place: int, byte: int) -> None:
    data = bytearray(rlp.encode(item))
    data[place % len(data)] = byte
    test_reads_of_any_bytes_what_the_package_reads.hypothesis.inner_test(bytes(data))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81\x01",  # a byte that needs no prefix
        b"\xb8\x01\x80",  # a short length, written long
        b"\xb9\x00\x38" + bytes(56),  # a length with a leading zero
        b"\xbf" + b"\xff" * 8,  # an item of 2^64 bytes
        b"\xc2\x82\x01",  # an item that reaches beyond its list
        b"\x01\x01",  # two items
        b"\xf8",
        b"\xc0" * 2,
    ],
)
def test_refuses_what_is_not_canonical(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        rlp.decode(data)
    with pytest.raises(oracle.DecodingError):
        oracle.decode(data)


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 57, 255, 256, 257, 65_535, 65_536])
def test_an_item_of_each_size_around_a_bound_is_read_as_it_was_written(size: int) -> None:
    for item in (bytes(size), b"\x80" * size, [b"\x80"] * (size // 2), [bytes([1])] * size):
        data = rlp.encode(item)
        assert (data, rlp.decode(data)) == (oracle.encode(item), item)
        for longer in (data + b"\x00", data + b"\x80"):
            with pytest.raises(ValueError, match="bytes after the item"):
                rlp.decode(longer)
        for cut in {1, len(data) // 2, len(data) - 1} - {0, len(data)}:
            with pytest.raises(ValueError):  # noqa: PT011
                rlp.decode(data[:cut])


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF])
def test_a_single_byte_has_one_encoding(byte: int) -> None:
    data = rlp.encode(bytes([byte]))
    assert data == (bytes([byte]) if byte < 0x80 else b"\x81" + bytes([byte]))
    assert rlp.decode(data) == bytes([byte])
    if byte < 0x80:
        with pytest.raises(ValueError, match="prefix that it doesn't need"):
            rlp.decode(b"\x81" + bytes([byte]))


def test_lists_are_read_to_the_depth_that_is_allowed() -> None:
    item: Any = b""
    for depth in range(1, 19):
        item = [item]
        if depth <= 16:
            assert rlp.decode(oracle.encode(item)) == item
            continue
        with pytest.raises(ValueError, match="lists deeper than 16"):
            rlp.decode(oracle.encode(item))


def test_refuses_lists_that_are_too_deep() -> None:
    item: Any = b""
    for _ in range(5000):
        item = [item]
    data = b""
    for _ in range(5000):
        data = rlp.prefix(0xC0, len(data)) + data
    with pytest.raises(ValueError, match="deeper"):
        rlp.decode(data)


@given(value=st.integers(0, 2**300))
def test_writes_numbers_as_the_package_does(value: int) -> None:
    assert rlp.encode(rlp.number(value)) == oracle.encode(value)
