"""Block headers that were checked: each has the hash of all its fields, and names its parent.

A header says what its block changed: by its logs bloom which contracts wrote logs, by its receipts root which logs, and
by its state root every slot. Which header to trust is chain/nodes.py's business. Pure: it asks nobody.
Follows the Yellow Paper (section 4.3: the block; section 4.3.1: the bloom of logs) and EIP-1559, 4895, 4844, 4788 and
7685 (later fields).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from panachain.chain import proofs
from panachain.errors import IntegrityError
from panachain.ethereum import keccak

_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Header:
    """What a checked block header says."""

    number: int
    hash: str
    """Keccak-256 of all fields; lower case hex after `0x`, as every hash here."""
    parent_hash: str
    time: int
    """Unix seconds."""
    logs_bloom: bytes
    """256 bytes: which contracts and topics the block's logs may have."""
    receipts_root: bytes
    """Root of the tree of receipts, 32 bytes."""
    state_root: bytes
    """Root of the tree of accounts, 32 bytes."""


def read_header(block: Any) -> Header:
    """Return the header of a block as eth_getBlockByNumber or eth_getBlockByHash gives it.

    Raises:
        IntegrityError: it is none, or it doesn't have the hash that it says.
    """
    if not isinstance(block, Mapping):
        raise IntegrityError("the answer is no block")
    state_root = proofs.check_header(block)
    # The fields were read once to be hashed, so each of them can be read.
    number, time = int(block["number"], 16), int(block["timestamp"], 16)
    # No chain of ours gets there, and no database keeps more.
    if max(number, time) > _MOST:
        raise IntegrityError("the block has a number, or a time, beyond 63 bits")
    return Header(
        number=number,
        hash=_hash(block["hash"]),
        parent_hash=_hash(block["parentHash"]),
        time=time,
        logs_bloom=bytes.fromhex(block["logsBloom"][2:]),
        receipts_root=bytes.fromhex(block["receiptsRoot"][2:]),
        state_root=state_root,
    )


def check_links(headers: Sequence[Header]) -> None:
    """Check that each header names the one before it as its parent.

    Raises:
        IntegrityError: one doesn't.
    """
    for parent, child in pairwise(headers):
        if child.parent_hash != parent.hash or child.number != parent.number + 1:
            raise IntegrityError(
                f"block {child.number} names {child.parent_hash} as its parent, block {parent.number} is {parent.hash}"
            )


def may_hold(header: Header, addresses: Iterable[str]) -> bool:
    """Tell whether a block may hold logs of one of some contracts; where it says no, there are none.

    Args:
        header: a checked one.
        addresses: of the contracts, in whatever case.
    """
    bloom = int.from_bytes(header.logs_bloom, "big")
    return any(bloom & bits == bits for bits in map(_bits_of, addresses))


def bloom_bits(value: bytes) -> int:
    """Return the three bits of a bloom that an address or a topic sets, as a number of 2,048 bits."""
    digest = keccak(value)
    # Yellow Paper, section 4.3.1: the low 11 bits of each of the first three pairs of bytes.
    return sum({1 << (int.from_bytes(digest[at : at + 2], "big") & 2047) for at in (0, 2, 4)})


def _hash(text: str) -> str:
    # Written anew, since reading hex passes over blanks and capitals.
    return "0x" + bytes.fromhex(text[2:]).hex()


@lru_cache(maxsize=1024)
def _bits_of(address: str) -> int:
    return bloom_bits(bytes.fromhex(address[2:]))
