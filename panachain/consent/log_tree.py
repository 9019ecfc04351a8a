"""The tree over a proxy's receipts: tiles, inclusion and consistency proofs, for whoever keeps it or checks it.

Pure: hashes come in, hashes go out. Tiles are 256 hashes wide, so a log of any length is read by a few of them.
Follows RFC 6962 (section 2.1), RFC 9162 (section 2.1.4) and C2SP tlog-tiles 1.0.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from panachain.errors import IntegrityError
from panachain.model.sizes import HASH_SIZE
from panachain.records import tree_hash

WIDTH: Final = 256
"""Hashes of a full tile."""
HEIGHT: Final = 8
"""Levels of the tree that a tile stands for."""
_KEPT: Final = 512
"""Tiles that a tree keeps in memory, some 8 MB."""
EMPTY: Final = sha256(b"").digest()
"""Root of a tree without leaves (RFC 6962 section 2.1)."""
Tile = Callable[[int, int, int], Sequence[bytes]]
"""Gives the first hashes of a tile by its level, its number and how many are wanted."""


class LogTree:
    """A tree of some leaves, by its tiles."""

    def __init__(self, tile: Tile, size: int) -> None:
        """Take where tiles come from, and how many leaves count."""
        self._tile = tile
        self.size = size
        self._seen: dict[tuple[int, int], Sequence[bytes]] = {}

    def root(self) -> bytes:
        """Return the tree's root, 32 bytes."""
        return self._range(0, self.size) if self.size else EMPTY

    def inclusion(self, index: int) -> list[bytes]:
        """Return the audit path of one leaf, from below.

        Raises:
            IntegrityError: there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise IntegrityError(f"leaf {index} is in no tree of {self.size} leaves")
        path, start, end = list[bytes](), 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, before: int) -> list[bytes]:
        """Return the proof that a tree of the first `before` leaves became this one (RFC 9162 section 2.1.4.1).

        Raises:
            IntegrityError: this tree is smaller.
        """
        if not 0 <= before <= self.size:
            raise IntegrityError(f"a tree of {before} leaves can't have become one of {self.size}")
        if before in (0, self.size):
            return []
        proof, start, end, whole = list[bytes](), 0, self.size, True
        # Down to where the old tree ends; `whole` says that the part that is left is the old tree itself.
        while before != end:
            middle = start + _split(end - start)
            if before <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self._range(start, end))
        return proof[::-1]

    def tile(self, level: int, number: int) -> Sequence[bytes]:
        """Return a tile as far as this tree has it.

        Raises:
            IntegrityError: it has none of it.
        """
        width = min(WIDTH, (self.size >> HEIGHT * level) - number * WIDTH)
        if width <= 0:
            raise IntegrityError(f"a tree of {self.size} leaves has no tile {number} of level {level}")
        found = self._seen.get((level, number))
        if found is None:
            found = self._tile(level, number, width)
            if len(found) != width:
                raise IntegrityError(f"tile {number} of level {level} has {len(found)} hashes, not {width}")
            while len(self._seen) >= _KEPT:
                del self._seen[next(iter(self._seen))]
            self._seen[level, number] = found
        return found

    def _range(self, start: int, end: int) -> bytes:
        """Return the hash of some leaves that are a subtree: they begin at a multiple of the power of two above."""
        parts, count = list[bytes](), end - start
        while count:
            level = count.bit_length() - 1
            parts.append(self._node(level, start >> level))
            start, count = start + (1 << level), count - (1 << level)
        found = parts.pop()
        while parts:
            found = tree_hash.node_hash(parts.pop(), found)
        return found

    def _node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree of 2^level leaves."""
        tile_level, within = divmod(level, HEIGHT)
        first = index << within
        hashes = self.tile(tile_level, first // WIDTH)
        begin = first % WIDTH
        return tree_hash.combined(hashes[begin : begin + (1 << within)])


def check_inclusion(root: bytes, *, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> None:
    """Check that a leaf stands at a place of a tree; `leaf` is its hash.

    Raises:
        IntegrityError: it doesn't.
    """
    tree_hash.check_path(root, count=size, index=index, hashed=leaf, path=path)


def check_consistency(old: bytes, new: bytes, *, before: int, size: int, proof: Sequence[bytes]) -> None:
    """Check that a tree of `before` leaves became one of `size`, and no leaf changed (RFC 9162 section 2.1.4.2).

    Raises:
        IntegrityError: it didn't, or the proof is of another length.
    """
    if not 0 <= before <= size:
        raise IntegrityError(f"a log of {before} entries can't have become one of {size}")
    if before == size or before == 0:
        if proof or (before == size and old != new) or (before == 0 and old != EMPTY):
            raise IntegrityError("the log isn't the one that it was")
        return
    # A complete old tree is a node of the new one, and proves itself.
    path = list(proof) if before & (before - 1) else [old, *proof]
    if not path:
        raise IntegrityError("the proof of the log's growth is empty")
    place, last = before - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for other in path[1:]:
        if last == 0:
            raise IntegrityError("the proof of the log's growth is too long")
        if place & 1 or place == last:
            first, second = tree_hash.node_hash(other, first), tree_hash.node_hash(other, second)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = tree_hash.node_hash(second, other)
        place, last = place >> 1, last >> 1
    if last or first != old or second != new:
        raise IntegrityError("the log isn't the one that it was, continued")


def tile_path(level: int, number: int, width: int = WIDTH) -> str:
    """Return where a tile is found, below the log's own path."""
    digits = f"{number:03d}"
    groups = [digits[max(end - 3, 0) : end] for end in range(len(digits), 0, -3)][::-1]
    name = "/".join([f"x{int(group):03d}" for group in groups[:-1]] + [f"{int(groups[-1]):03d}"])
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


def parse_tile_path(level: str, rest: str) -> tuple[int, int, int]:
    """Return level, number and width of a tile that is asked for.

    Raises:
        IntegrityError: it is no tile's path.
    """
    name, partial, width_text = rest.partition(".p/")
    parts = name.split("/")
    number_text = "".join(part.removeprefix("x") for part in parts)
    numbers = (level, number_text, width_text) if partial else (level, number_text)
    if not all(text.isascii() and text.isdecimal() for text in numbers):
        raise IntegrityError("this is no tile's path")
    if len(level) > 2 or len(number_text) > 15 or len(width_text) > 3:
        raise IntegrityError("this is no tile's path")
    found = int(level), int(number_text), int(width_text) if partial else WIDTH
    # One path for each tile: no other spelling of the number.
    if tile_path(*found) != f"tile/{level}/{rest}" or not 0 < found[2] <= WIDTH:
        raise IntegrityError("this is no tile's path")
    return found


def hashes_of(content: bytes) -> list[bytes]:
    """Return the hashes of a tile's bytes.

    Raises:
        IntegrityError: it isn't made of hashes.
    """
    if len(content) % HASH_SIZE or len(content) > WIDTH * HASH_SIZE:
        raise IntegrityError(f"a tile of {len(content)} bytes isn't made of hashes")
    return [content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE)]


def _split(count: int) -> int:
    """Return the largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1
