"""Reading ahead: while a reader uses one piece, threads fetch the next ones.

Never changes the order. A reader that stops early cancels what hasn't begun.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from panachain.ipld import unixfs
from panachain.ipld.cid import CID
from panachain.storage.blocks import BlobStore, Near, near

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_MOST_COMING: Final = 64
"""Blocks that are read at once for a reader who asks for all of them, each of at most 64 KiB."""
AHEAD: Final = 4
"""Pieces that are fetched ahead of the reader."""
WORKERS: Final = min(os.cpu_count() or 1, 4)
"""Threads that make, hash, write or read a file's leaves."""
_S = TypeVar("_S")
_T = TypeVar("_T")


def in_order(pool: Executor, work: Callable[[_S], _T], items: Iterable[_S]) -> Iterator[_T]:
    """Yield work(item) for each item in order; `AHEAD` of them are worked on before they are asked for."""
    waiting: deque[Future[_T]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class Coming:
    """Blocks that a reader asks for one after the other, of a store that gives some for little more than one.

    Of the first that is asked for only that one is read, then twice as many each time: who wants one block doesn't wait
    for others. Any thread may use it.
    """

    def __init__(self, store: BlobStore, cids: Iterable[CID]) -> None:
        """Take the blocks in the order in which they will be asked for, if they are; nothing is read yet."""
        self._store = store
        self._cids = tuple(cids) if isinstance(store, Near) else ()
        self._places = {cid: place for place, cid in enumerate(self._cids)}
        self._held: dict[CID, bytes] = {}
        self._next = 0
        """Place of the first block that wasn't read yet."""
        self._count = 1

    def get_block(self, cid: CID) -> bytes:
        """Return what the store's `get_block` returns, whichever block it is.

        Raises:
            BlockNotFoundError: the store doesn't have it.
            IntegrityError: the store gives other bytes.
        """
        held = self._held.pop(cid, None)
        if held is not None:
            return held
        place = self._places.get(cid, -1)
        # One that was read before is asked for again: what follows it was as well.
        if place >= self._next:
            self._count = min(2 * self._count, _MOST_COMING) if place == self._next else 1
            wanted = self._cids[place : place + self._count]
            self._next = place + len(wanted)
            # What was skipped isn't kept: memory holds one round.
            self._held = {one: block for one, block in zip(wanted, near(self._store, wanted), strict=True) if block}
            held = self._held.pop(cid, None)
        return self._store.get_block(cid) if held is None else held


def read_file(root: CID, get: Callable[[CID], bytes]) -> Iterator[bytes]:
    """Yield what `unixfs.read` yields, with some leaves fetched ahead by threads: hashing them takes the time.

    Args:
        root: the file's CID.
        get: returns a block that was checked against its CID; any thread may call it.
    """
    leaves = list(unixfs.leaves_of(root, get))
    if len(leaves) <= 2:
        yield from unixfs.read(root, get)
        return
    # Imported here: most commands read no file.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="read") as pool:
        yield from in_order(pool, lambda leaf: unixfs.leaf(*leaf, get), leaves)
