"""A patient's share of a proxy's log: which receipts of a policy it holds, proven to be all of them.

The proxy walks the numbers of each epoch: each one that is there with its place in the log, and the first that isn't.
Whoever checks follows the same walk, so nothing can be left out, put in or put elsewhere.
Pure. Follows docs/spec/log.md (`panachain/log-proof/1`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.consent.log_checkpoint import Checkpoint
from panachain.consent.log_map import EPOCH, ROW_SIZE, MapHead, Placed, Row, check_row, map_key, maps_tree
from panachain.consent.log_tree import check_inclusion
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId
from panachain.model.sizes import HASH_SIZE
from panachain.records.tree_hash import row_hash

SCHEMA: Final = "panachain/log-proof/1"
PAGE: Final = 256
"""Items of one answer."""
_PLACE_SIZE: Final = 8
_MAX_PATH: Final = 64 * HASH_SIZE
_END: Final = 1 << 53
_MAX_EPOCHS: Final = 1 << 16


@dataclass(frozen=True)
class Item:
    """One step of the walk."""

    epoch: int
    number: int
    shown: tuple[Placed, ...]
    """The number's row; or the rows between which it would stand."""
    path: tuple[bytes, ...] = ()
    """From the receipt's leaf to the root of the log, where the number is there."""


@dataclass(frozen=True)
class Share:
    """One page of a proof, as a proxy answers it; nothing of it is checked."""

    checkpoint: str
    """A note."""
    maps: tuple[MapHead, ...]
    items: tuple[Item, ...]
    cosigned: str = ""
    """The newest checkpoint that others cosigned; empty for none."""
    growth: tuple[bytes, ...] = ()
    """Proof that the log grew from there."""

    def fields(self) -> dict[str, Any]:
        """Return it as it travels."""
        return {
            "schema": SCHEMA,
            "checkpoint": self.checkpoint,
            "maps": b"".join(head.rows.to_bytes(4, "big") + head.tree for head in self.maps),
            "items": [
                {
                    "epoch": item.epoch,
                    "number": item.number,
                    "rows": [
                        one.place.to_bytes(_PLACE_SIZE, "big") + one.row.encode() + b"".join(one.path)
                        for one in item.shown
                    ],
                    "path": b"".join(item.path),
                }
                for item in self.items
            ],
            "cosigned": self.cosigned,
            "growth": b"".join(self.growth),
        }

    @classmethod
    def parse(cls, fields: Any) -> Share:
        """Return a page from the wire.

        Raises:
            IntegrityError: a field is missing, of the wrong type, or too long.
        """
        try:
            if fields["schema"] != SCHEMA or not isinstance(fields["items"], list) or len(fields["items"]) > PAGE:
                raise IntegrityError("the proxy's answer is no proof of its log")
            heads = _pieces(fields["maps"], 4 + HASH_SIZE, _MAX_EPOCHS)
            return cls(
                _text(fields["checkpoint"]),
                tuple(MapHead(epoch, int.from_bytes(one[:4], "big"), one[4:]) for epoch, one in enumerate(heads)),
                tuple(map(_item, fields["items"])),
                _text(fields["cosigned"]),
                tuple(_pieces(fields["growth"], HASH_SIZE, 128)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise IntegrityError("a proxy's proof of its log lacks a field or has one of the wrong type") from exc


@dataclass(frozen=True)
class Place:
    """How far the walk has come."""

    epoch: int = 0
    number: int = 0

    @property
    def cursor(self) -> int:
        """Return the place as one number, in which it is asked for."""
        return self.epoch * EPOCH + self.number

    @classmethod
    def at(cls, cursor: int) -> Place:
        """Return the place that a number stands for."""
        return cls(*divmod(cursor, EPOCH))


def check_share(
    share: Share, checkpoint: Checkpoint, *, audit_key: bytes, policy_id: PolicyId, place: Place
) -> tuple[dict[int, tuple[bytes, tuple[bytes, ...]]], Place]:
    """Return which leaves one page proves to be the policy's, with their paths, and how far the walk has come.

    Args:
        share: the page.
        checkpoint: whose signature was checked.
        audit_key: the patient's public one.
        policy_id: whose receipts.
        place: where the page must begin.

    Returns:
        By their index in the log (from 0 on) the hashes of the leaves and their paths; the walk is over where its epoch
        is the first that the log hasn't.

    Raises:
        IntegrityError: the page proves something else, or nothing.
    """
    _check_maps(share.maps, checkpoint)
    leaves = dict[int, tuple[bytes, tuple[bytes, ...]]]()
    for item in share.items:
        if place.epoch >= checkpoint.epochs or (item.epoch, item.number) != (place.epoch, place.number):
            raise IntegrityError(f"the proof goes on with number {item.number} of epoch {item.epoch}, not in its order")
        key = map_key(audit_key, policy_id, place.epoch, place.number)
        row = check_row(share.maps[place.epoch], key, item.shown)
        if row is None:
            place = Place(place.epoch + 1)
            continue
        # Numbers follow the log: an index that doesn't is of a receipt that was numbered later than one behind it.
        if row.index // EPOCH != place.epoch or row.index <= max(leaves, default=-1):
            raise IntegrityError(f"the map names leaf {row.index} for number {place.number} of epoch {place.epoch}")
        check_inclusion(checkpoint.root, size=checkpoint.size, index=row.index, leaf=row.leaf, path=item.path)
        leaves[row.index] = row.leaf, item.path
        place = Place(place.epoch, place.number + 1)
    if not share.items and place.epoch < checkpoint.epochs:
        raise IntegrityError("the proof shows nothing, and isn't at its end")
    return leaves, place


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a receipt's leaf, by the receipt as it travels (RFC 6962 section 2.1)."""
    return row_hash(entry)


def _check_maps(maps: Sequence[MapHead], checkpoint: Checkpoint) -> None:
    # Each receipt has one row: a map with fewer leaves somebody's out, one with more makes room for two histories.
    if [head.rows for head in maps] != rows_of(checkpoint.size):
        raise IntegrityError("the maps haven't one row for each receipt")
    if maps and maps_tree(maps) != checkpoint.maps:
        raise IntegrityError("the maps aren't those of the checkpoint")


def rows_of(size: int) -> list[int]:
    """Return how many rows the map of each epoch has, in a log of some receipts."""
    full, rest = divmod(size, EPOCH)
    return [EPOCH] * full + ([rest] if rest else [])


def _item(fields: Mapping[str, Any]) -> Item:
    rows = fields["rows"]
    if not isinstance(rows, list) or len(rows) > 2:
        raise TypeError("rows")
    return Item(
        _number(fields["epoch"]),
        _number(fields["number"]),
        tuple(map(_placed, rows)),
        tuple(_pieces(fields["path"], HASH_SIZE, 64)),
    )


def _placed(text: str) -> Placed:
    raw = _raw(text, _PLACE_SIZE + ROW_SIZE + _MAX_PATH)
    row = Row.parse(raw[_PLACE_SIZE : _PLACE_SIZE + ROW_SIZE])
    path = raw[_PLACE_SIZE + ROW_SIZE :]
    if len(path) % HASH_SIZE:
        raise ValueError("path")
    place = int.from_bytes(raw[:_PLACE_SIZE], "big")
    return Placed(place, row, tuple(path[at : at + HASH_SIZE] for at in range(0, len(path), HASH_SIZE)))


def _pieces(text: str, size: int, most: int) -> list[bytes]:
    raw = _raw(text, size * most)
    if len(raw) % size:
        raise ValueError("pieces")
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _raw(text: str, most: int) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * most:
        raise TypeError("bytes")
    return bytes.fromhex(text)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _END:
        raise TypeError("number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value
