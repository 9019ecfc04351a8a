"""Receipts of a block's transactions, proven by its header, and the logs in them.

The tree of receipts is built anew from what a node gives, and its root compared with the header's: so no log is
altered, left out, added or moved. It doesn't say which transaction a receipt belongs to, so a log's `tx_hash` is what
the node says: it is shown, and decides nothing.
Follows the Yellow Paper (appendix B: RLP, appendix D: Merkle Patricia trees, section 4.3.1: the receipt), EIP-658
(status) and EIP-2718 (typed receipts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from panachain.chain import rlp
from panachain.chain.headers import Header
from panachain.errors import IntegrityError
from panachain.ethereum import keccak

EMPTY_ROOT: Final = keccak(rlp.encode(b""))
"""Root of a tree without values, 32 bytes."""
_MAX_TYPE: Final = 0x7F
"""The highest type of a transaction (EIP-2718)."""
_MAX_TOPICS: Final = 4
"""Of a log: those of LOG4."""
_HEX: Final = "0123456789abcdef"
_ADDRESS: Final = 2 + 2 * 20
_WORD: Final = 2 + 2 * 32
"""Characters of an address and of a topic, as nodes write them."""
_TOPICS: Final = tuple(rlp.prefix(0xC0, 33 * count).hex() for count in range(_MAX_TOPICS + 1))
"""By their number, what stands before a log's topics: each is a word with its own prefix."""


class Log(NamedTuple):
    """One log, proven by the receipts root of its block.

    A tuple: a first sync makes hundreds of thousands.
    """

    address: bytes
    """The contract that wrote it, 20 bytes."""
    topics: tuple[bytes, ...]
    """0 to 4 words of 32 bytes."""
    data: bytes
    block: int
    block_hash: str
    tx_hash: str
    """As the node says: nothing proves it."""
    place: int
    """Position within the block, counted here."""


def read_receipts(header: Header, receipts: Any) -> list[Log]:
    """Return all logs of a block, from receipts that must have the root that its header says.

    Args:
        header: a checked one.
        receipts: all receipts of the block, as eth_getBlockReceipts gives them.

    Raises:
        IntegrityError: a receipt is malformed, or together they have another root.
    """
    logs: list[Log] = []
    encoded = []
    try:
        for receipt in receipts:
            tx_hash = "0x" + bytes.fromhex(receipt["transactionHash"][2:]).hex()
            if len(tx_hash) != 66:
                raise ValueError("a hash of another size")
            written = []
            for told in receipt["logs"]:
                item, address, topics, data = _read_log(told)
                written.append(item)
                logs.append(Log(address, topics, data, header.number, header.hash, tx_hash, len(logs)))
            encoded.append(_encode(receipt, written))
    # OverflowError: a number below zero, or a type above a byte.
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as exc:
        raise IntegrityError(f"a receipt of block {header.number} is malformed") from exc
    root = ordered_root(encoded)
    if root != header.receipts_root:
        raise IntegrityError(
            f"the {len(encoded)} receipts of block {header.number} have root 0x{root.hex()}, "
            f"its header says 0x{header.receipts_root.hex()}"
        )
    return logs


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Return the root of the tree that holds each value, none of them empty, under the RLP of its place: 32 bytes."""
    if not values:
        return EMPTY_ROOT
    # The order of the keys' digits is the order in which a tree is built from below.
    items = sorted([(_key(place), value) for place, value in enumerate(values)])
    return keccak(_node(items, 0, len(items), 0))


@lru_cache(maxsize=4096)
def _key(place: int) -> str:
    """Return the digits of the key under which a place's value stands."""
    return rlp.encode(rlp.number(place)).hex()


def _node(items: Sequence[tuple[str, bytes]], first: int, last: int, depth: int) -> bytes:
    """Return the encoded node that holds `items[first:last]`, whose keys share their first `depth` digits."""
    key, value = items[first]
    if last - first == 1:
        return _list(_path(key[depth:], 2), _string(value))
    end = items[last - 1][0]
    shared = depth
    # Sorted keys share what the first and the last of them share; and no key here begins another.
    while key[shared] == end[shared]:
        shared += 1
    if shared > depth:
        return _list(_path(key[depth:shared], 0), _child(_node(items, first, last, shared)))
    children = []
    at = first
    for digit in _HEX:
        start = at
        while at < last and items[at][0][depth] == digit:
            at += 1
        children.append(_child(_node(items, start, at, depth + 1)) if at > start else b"\x80")
    return _list(*children, b"\x80")


def _child(node: bytes) -> bytes:
    """Return how a node stands in its parent: itself where it is short, else its hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _path(digits: str, flag: int) -> bytes:
    """Return digits of a key in hex-prefix encoding, as an item; the flag is 2 in a leaf and 0 in an extension."""
    odd = len(digits) & 1
    return _string(bytes.fromhex(f"{flag | odd}{'' if odd else '0'}{digits}"))


def _encode(receipt: Mapping[str, Any], logs: Sequence[bytes]) -> bytes:
    """Return a receipt as it stands in the tree: its type, and the RLP of status, gas, bloom and logs."""
    status = receipt.get("status")
    # Before EIP-658 there was a state root in its place.
    outcome = bytes.fromhex(receipt["root"][2:]) if status is None else rlp.number(int(status, 16))
    body = _list(
        _string(outcome),
        _string(rlp.number(int(receipt["cumulativeGasUsed"], 16))),
        _string(bytes.fromhex(receipt["logsBloom"][2:])),
        _list(*logs),
    )
    kind = int(receipt.get("type") or "0x0", 16)
    if not 0 <= kind <= _MAX_TYPE:
        raise ValueError("no type of a transaction")
    return bytes([kind]) + body if kind else body


def _read_log(told: Mapping[str, Any]) -> tuple[bytes, bytes, tuple[bytes, ...], bytes]:
    """Return a log's RLP, and its address, topics and data.

    Raises:
        ValueError: an address isn't 20 bytes, or a topic 32: their prefixes say so; or no log has so many topics.
    """
    where, words = told["address"], told["topics"]
    count = len(words)
    if count > _MAX_TOPICS or len(where) != _ADDRESS or any(len(word) != _WORD for word in words):
        raise ValueError("an address or a topic of another size, or too many topics")
    # One pass over the digits of all that has a fixed size; from there on everything is a slice.
    head = bytes.fromhex(f"94{where[2:]}{_TOPICS[count]}" + "".join([f"a0{word[2:]}" for word in words]))
    start = 21 + len(_TOPICS[count]) // 2
    # Blanks count as digits above, and as nothing here: what is missing in one place would be taken from the next.
    if len(head) != start + 33 * count:
        raise ValueError("an address or a topic that isn't all digits")
    topics = tuple([head[place + 1 : place + 33] for place in range(start, start + 33 * count, 33)])
    data = bytes.fromhex(told["data"][2:])
    return _list(head, _string(data)), head[1:21], topics, data


def _string(data: bytes) -> bytes:
    length = len(data)
    if length == 1 and data[0] < 0x80:
        return data
    return (bytes([0x80 + length]) if length <= 55 else rlp.prefix(0x80, length)) + data


def _list(*items: bytes) -> bytes:
    """Return a list of items that are encoded already."""
    content = b"".join(items)
    return rlp.prefix(0xC0, len(content)) + content
