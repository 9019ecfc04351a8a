"""Many small blocks of the embedded store at once: a look into its index for all of them, and a read for neighbours.

Never writes, and never gives a byte that doesn't fit its CID. The store does it in its own process
(`storage/embedded.py`), and a process beside it does the same (`storage/block_worker.py`).
Follows docs/spec/formats.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from panachain.errors import BlockNotFoundError, StoreUnavailableError
from panachain.ipld.cid import CID
from panachain.storage.blocks import SMALL, TOGETHER

if TYPE_CHECKING:
    import sqlite3

_RUN: Final = 1 << 16
"""Bytes of neighbours that are read at once: so much stays in a core's own cache until it is hashed."""
_Place = tuple[str, int, int, bytes]
"""Pack, offset, size and CID of a block."""
_PLACES: Final = ", ".join("?" * TOGETHER)
_NAMED: Final = f"SELECT cid FROM block WHERE cid IN ({_PLACES})"  # noqa: S608
_FIND_ALL: Final = f"SELECT pack, offset, size, cid FROM block WHERE cid IN ({_PLACES}) AND size <= ?"  # noqa: S608


def read_near(index: sqlite3.Connection, cids: Sequence[CID], descriptor: Callable[[str], int]) -> list[bytes | None]:
    """Return small blocks in their order, each checked against its CID; None for what must be looked for by itself.

    Args:
        index: of the store.
        cids: at most `TOGETHER` of them.
        descriptor: returns the open file of a pack.

    Raises:
        sqlite3.Error: the index can't be read.
    """
    found: list[bytes | None] = [None] * len(cids)
    places = {bytes(cid): place for place, cid in enumerate(cids)}
    for run in _runs(_find_all(index, list(places))):
        pack, begin, _, _ = run[0]
        _, last, size, _ = run[-1]
        # What can't be read is looked for again by itself, and said to be missing then.
        with suppress(OSError, BlockNotFoundError, StoreUnavailableError):
            together = os.pread(descriptor(pack), last + size - begin, begin)
            for _, offset, size, raw in run:
                place = places[raw]
                block = together[offset - begin : offset - begin + size]
                if sha256(block).digest() == cids[place].digest:
                    found[place] = block
    return found


def named(index: sqlite3.Connection, raws: list[bytes]) -> set[bytes]:
    """Return those of some CIDs that the index of a store names, whatever their size.

    Args:
        index: of the store.
        raws: one at least, and at most `TOGETHER` of them.

    Raises:
        sqlite3.Error: the index can't be read.
    """
    return {raw for (raw,) in index.execute(_NAMED, _filled(raws))}


def _find_all(index: sqlite3.Connection, raws: list[bytes]) -> list[_Place]:
    """Return where the small ones of some blocks lie, in the order of their places."""
    rows: list[_Place] = index.execute(_FIND_ALL, (*_filled(raws), SMALL)).fetchall()
    return sorted(rows)


def _filled(raws: list[bytes]) -> list[bytes]:
    # One statement for all counts, which SQLite prepares once: it is filled up with a block that was asked for.
    return [*raws, *raws[:1] * (TOGETHER - len(raws))]


def _runs(places: Iterable[_Place]) -> Iterator[list[_Place]]:
    """Yield blocks that lie one behind the other, in the order of their places: as many as are read at once."""
    run: list[_Place] = []
    beyond = 0
    for place in places:
        pack, offset, size, _ = place
        if run and (offset != beyond or pack != run[0][0] or offset + size - run[0][1] > _RUN):
            yield run
            run = []
        run.append(place)
        beyond = offset + size
    if run:
        yield run
