"""The sorted map beside a proxy's log: by it a patient is shown all receipts of a policy, or none can be missing.

Each stretch of 65,536 receipts (an epoch) has a map of its own, which never changes once the stretch is full. A
policy's receipts of an epoch are numbered from 0 on, and stand in its map under keys that look random to everybody who
doesn't have the patient's audit key. That number n isn't there is proven by the two rows between which it would stand.
Pure: holds no key but for the time of a call. Follows docs/spec/log.md, section "Map", and RFC 6962 (section 2.1).

    key          = HMAC-SHA256(audit key, label ‖ policy ‖ epoch ‖ n)
    row          = key ‖ index of the receipt's leaf (8 bytes) ‖ hash of the leaf
    map's leaf   = epoch (4 bytes) ‖ rows (4 bytes) ‖ tree hash of the rows; the tree of these is what is signed
"""

from __future__ import annotations

import bisect
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from panachain.crypto import labels
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId
from panachain.model.sizes import HASH_SIZE
from panachain.records import tree_hash

EPOCH: Final = 1 << 16
"""Receipts of an epoch."""
_INDEX_SIZE: Final = 8
_BLOCK: Final = 64
"""Bytes of a block of SHA-256."""
ROW_SIZE: Final = HASH_SIZE + _INDEX_SIZE + HASH_SIZE
"""Bytes of a row."""


@dataclass(frozen=True)
class Row:
    """One row of a map."""

    key: bytes
    index: int
    """Of the receipt's leaf in the log, from 0 on."""
    leaf: bytes
    """The leaf's hash."""

    def encode(self) -> bytes:
        """Return the row's bytes."""
        return self.key + self.index.to_bytes(_INDEX_SIZE, "big") + self.leaf

    @classmethod
    def parse(cls, data: bytes) -> Row:
        """Return a row of `ROW_SIZE` bytes.

        Raises:
            IntegrityError: another length.
        """
        if len(data) != ROW_SIZE:
            raise IntegrityError(f"a row of {len(data)} bytes is none of a map")
        index = int.from_bytes(data[HASH_SIZE : HASH_SIZE + _INDEX_SIZE], "big")
        return cls(data[:HASH_SIZE], index, data[HASH_SIZE + _INDEX_SIZE :])


@dataclass(frozen=True)
class Placed:
    """A row with its place in the map, and the path that shows it."""

    place: int
    row: Row
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class MapHead:
    """What is known of one epoch's map."""

    epoch: int
    rows: int
    tree: bytes
    """Tree hash of the rows."""

    def leaf(self) -> bytes:
        """Return the hash by which it stands in the tree of all maps."""
        return tree_hash.row_hash(self.epoch.to_bytes(4, "big") + self.rows.to_bytes(4, "big") + self.tree)


class EpochMap:
    """One epoch's map, as its proxy has it."""

    def __init__(self, epoch: int, rows: Iterable[Row]) -> None:
        """Take the rows, in any order; there is at least one."""
        self._rows = sorted(rows, key=lambda row: row.key)
        self._keys = [row.key for row in self._rows]
        self._levels = _levels([tree_hash.row_hash(row.encode()) for row in self._rows])
        self.head = MapHead(epoch, len(self._rows), self._levels[-1][0])

    def prove(self, key: bytes) -> list[Placed]:
        """Return the row of a key; or where it has none, the rows before and behind its place, as far as there are."""
        place = bisect.bisect_left(self._keys, key)
        if place < len(self._keys) and self._keys[place] == key:
            return [self._placed(place)]
        return [self._placed(one) for one in (place - 1, place) if 0 <= one < len(self._rows)]

    def _placed(self, place: int) -> Placed:
        path, index = list[bytes](), place
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1])
            index >>= 1
        return Placed(place, self._rows[place], tuple(path))


def map_key(audit_key: bytes, policy_id: PolicyId, epoch: int, number: int) -> bytes:
    """Return under which key a policy's receipt of a number stands in an epoch's map, 32 bytes.

    Args:
        audit_key: the patient's, as the deposit has it: the patient and the proxies of the policy know it, nobody else.
        policy_id: whose receipts.
        epoch: from 0 on.
        number: of the receipt among the policy's in the epoch, from 0 on.
    """
    named = bytes.fromhex(policy_id[2:]) + epoch.to_bytes(4, "big") + number.to_bytes(4, "big")
    return hmac.digest(_short(audit_key), labels.LOG_MAP + named, "sha256")


@lru_cache(maxsize=1024)
def _short(key: bytes) -> bytes:
    """Return what HMAC makes of a key that is longer than a block (RFC 2104 section 2), once for all that it keys."""
    return sha256(key).digest() if len(key) > _BLOCK else key


def check_row(head: MapHead, key: bytes, shown: Sequence[Placed]) -> Row | None:
    """Return the row that a map has under a key, or None where it is proven that it has none.

    Raises:
        IntegrityError: it is proven neither that it has one, nor that it has none.
    """
    for one in shown:
        hashed = tree_hash.row_hash(one.row.encode())
        tree_hash.check_path(head.tree, count=head.rows, index=one.place, hashed=hashed, path=one.path)
    if len(shown) == 1:
        (only,) = shown
        if only.row.key == key:
            return only.row
        if (only.place == 0 and key < only.row.key) or (only.place == head.rows - 1 and key > only.row.key):
            return None
    # Next to each other: otherwise the key might be between them.
    if len(shown) == 2 and shown[1].place == shown[0].place + 1 and shown[0].row.key < key < shown[1].row.key:
        return None
    raise IntegrityError("the map's rows say nothing about the number that was asked for")


def maps_tree(heads: Sequence[MapHead]) -> bytes:
    """Return the tree hash of all maps, 32 bytes.

    Raises:
        IndexError: there are none.
    """
    return tree_hash.combined([head.leaf() for head in heads])


def _levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [tree_hash.node_hash(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        levels.append(above + level[len(level) & ~1 :])
    return levels
