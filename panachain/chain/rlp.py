"""Recursive Length Prefix: how Ethereum writes transactions, headers and the nodes of its trees.

It reads the one canonical encoding only, to a bounded depth, and what comes from a node is taken for hostile.
tests/unit/chain/test_rlp.py compares it with the `rlp` package, which imports all of `eth_utils`.
Follows the Yellow Paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

Item: TypeAlias = bytes | list["Item"]
"""Bytes, or a list of items."""
Encodable: TypeAlias = bytes | Sequence["Encodable"]
"""What an item can be made of."""
_MAX_DEPTH: Final = 16
"""Lists within lists; a node of a tree has three, a transaction with an access list four."""
_SHORT: Final = 55
"""Bytes of content whose length the first byte holds."""


def encode(item: Encodable) -> bytes:
    """Return the encoding of bytes, or of a list of items."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return prefix(0x80, len(item)) + item
    content = b"".join(map(encode, item))
    return prefix(0xC0, len(content)) + content


def number(value: int) -> bytes:
    """Return a number as it stands in an item: big endian, without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Return the item that `data` encodes, and nothing behind it.

    Raises:
        ValueError: it isn't the canonical encoding of an item, or the item is too deep.
    """
    item, end = _decode(data, 0, len(data), _MAX_DEPTH)
    if end != len(data):
        raise ValueError("bytes after the item")
    return item


@lru_cache(maxsize=4096)
def prefix(kind: int, length: int) -> bytes:
    """Return what stands before some content.

    Args:
        kind: 0x80 for bytes, 0xC0 for a list.
        length: of the content, in bytes.
    """
    if length <= _SHORT:
        return bytes([kind + length])
    size = number(length)
    return bytes([kind + _SHORT + len(size)]) + size


def _decode(data: bytes, at: int, limit: int, depth: int) -> tuple[Item, int]:
    """Return the item that begins at byte `at`, and where it ends, which is at `limit` or before."""
    if at >= limit:
        raise ValueError("the data ends where an item should begin")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, length = _length(data, at, first - (0xC0 if is_list else 0x80))
    end = start + length
    # `limit` is the end of the list around it: an item that reached beyond would be read twice.
    if end > limit:
        raise ValueError("an item that is longer than what holds it")
    if not is_list:
        # One item, one encoding: two of them would be two hashes of one transaction.
        if length == 1 and data[start] < 0x80:
            raise ValueError("a byte with a prefix that it doesn't need")
        return data[start:end], end
    # A header of one byte opens a list, so a short text could nest as deep as Python's stack.
    if depth == 0:
        raise ValueError(f"lists deeper than {_MAX_DEPTH}")
    items: list[Item] = []
    while start < end:
        item, start = _decode(data, start, end, depth - 1)
        items.append(item)
    return items, end


def _length(data: bytes, at: int, short: int) -> tuple[int, int]:
    """Return where an item's content starts, and its length."""
    start = at + 1
    if short <= _SHORT:
        return start, short
    size = data[start : start + short - _SHORT]
    length = int.from_bytes(size, "big")
    if len(size) != short - _SHORT or size[0] == 0 or length <= _SHORT:
        raise ValueError("a length that isn't written in the shortest way")
    return start + len(size), length
