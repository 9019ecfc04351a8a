"""Tree hashes of RFC 6962: one digest for a list of rows, and short paths that show which row stands where in it.

Pure: fetches nothing, and knows nothing of manifests. Follows RFC 6962 (section 2.1) and RFC 9162 (section 2.1.3.2).

    hash of a row    = SHA-256(0x00 ‖ row)
    hash of a node   = SHA-256(0x01 ‖ left ‖ right)
    tree of n > 1    = node(tree of the first k, tree of the rest), k = the largest power of two below n
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from panachain.errors import IntegrityError


def row_hash(row: bytes) -> bytes:
    """Return the hash of one row, 32 bytes."""
    return sha256(b"\x00" + row).digest()


def row_hashes(rows: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each of many rows, 32 bytes each."""
    # Without a call for each: a reader hashes all rows of each leaf that they look at.
    return [sha256(b"\x00" + row).digest() for row in rows]


def combined(hashes: Sequence[bytes]) -> bytes:
    """Return the tree hash over subtrees, given the hash of each, 32 bytes.

    All but the last one are complete trees of one size, a power of two; rows are such subtrees of size one.

    Raises:
        IndexError: there are none.
    """
    level = list(hashes)
    while len(level) > 1:
        # The last one of an odd number goes up as it is: so each left side is the largest power of two below.
        above = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        level = above + level[len(level) & ~1 :]
    return level[0]


def path_of(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of one subtree, from below: the hashes that are combined with it on the way up."""
    level, path = list(hashes), list[bytes]()
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        above = [node_hash(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        level, index = above + level[len(level) & ~1 :], index >> 1
    return path


def check_path(tree: bytes, *, count: int, index: int, hashed: bytes, path: Iterable[bytes]) -> None:
    """Check that a row stands at a place of a tree.

    Args:
        tree: the tree hash.
        count: rows of the tree.
        index: the row's place, from 0 on.
        hashed: the row's hash.
        path: from `path_of`.

    Raises:
        IntegrityError: it doesn't, or the path is of another length.
    """
    if not 0 <= index < count:
        raise IntegrityError(f"row {index} is in no tree of {count} rows")
    place, last, found = index, count - 1, hashed
    for other in path:
        if last == 0:
            raise IntegrityError("the path is longer than the tree is high")
        if place & 1 or place == last:
            found = node_hash(other, found)
            # An unpaired node went up as it was.
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, other)
        place, last = place >> 1, last >> 1
    if last or found != tree:
        raise IntegrityError(f"row {index} isn't in the tree, or its path is too short")


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two subtrees, 32 bytes."""
    return sha256(b"\x01" + left + right).digest()
