"""Reading ahead: while a reader uses one piece, threads fetch the next ones.

Never changes the order. A reader that stops early cancels what hasn't begun.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from panachain.ipld import unixfs
from panachain.ipld.cid import CID
from panachain.storage.blocks import TOGETHER, BlobStore, Near, near

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from panachain.storage.blocks_beside import BlocksBeside

_MOST_COMING: Final = TOGETHER
"""Blocks that are read at once for a reader who asks for all of them, each of at most 64 KiB."""
WORTH: Final = 4096
"""Blocks from which on a process is worth its start, which takes as long as it saves with them, on another core."""
UNDER_WAY: Final = 3
"""Rounds of blocks that a process beside is asked for ahead; what it answers waits in a pipe."""
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


@contextmanager
def reading_beside(store: BlobStore, counts: Iterable[int]) -> Iterator[BlocksBeside | None]:
    """Start a process that reads blocks for `Coming`, if it is worth it; it takes a while until it helps.

    Args:
        store: where they are.
        counts: how many will be read one after the other, as far as one knows, by each `Coming`: it asks beside once
            it has read many, so what many small ones read together doesn't pay.
    """
    if max(counts, default=0) < WORTH:
        yield None
        return
    # Imported here: most readers read little.
    from panachain.storage.blocks_beside import BlocksBeside

    with BlocksBeside(store) as beside:
        beside.start()
        yield beside


class Coming:
    """Blocks that a reader asks for one after the other, of a store that gives some for little more than one.

    Of the first that is asked for only that one is read, then twice as many each time: who wants one block doesn't wait
    for others. Any thread may use it that uses the process beside, if there is one.
    """

    def __init__(self, store: BlobStore, cids: Iterable[CID], beside: BlocksBeside | None = None) -> None:
        """Take the blocks in the order in which they will be asked for, if they are; nothing is read yet.

        Args:
            store: where they are.
            cids: which.
            beside: reads them ahead, once somebody asks for one after the other.
        """
        self._store = store
        self._beside = beside
        self._cids = tuple(cids) if isinstance(store, Near) else ()
        self._places = {cid: place for place, cid in enumerate(self._cids)}
        self._held: dict[CID, bytes] = {}
        self._next = 0
        """Place of the first block that wasn't read yet."""
        self._count = 1
        self._asked: deque[tuple[int, Callable[[], list[bytes | None] | None]]] = deque()
        """Rounds that were asked for beside: where each ends, and what gives it."""

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
            if place > self._next:
                # What was skipped isn't kept, and who skips some may do so again.
                self._count = 1
                self._asked.clear()
            else:
                self._count = min(2 * self._count, _MOST_COMING)
            wanted, blocks = self._round(place)
            self._next = place + len(wanted)
            # Memory holds one round.
            self._held = {one: block for one, block in zip(wanted, blocks, strict=True) if block is not None}
            held = self._held.pop(cid, None)
        return self._store.get_block(cid) if held is None else held

    def _round(self, place: int) -> tuple[tuple[CID, ...], list[bytes | None]]:
        """Return the blocks from a place on that are read now, as far as they are at hand."""
        wanted = self._cids[place : place + self._count]
        blocks = None
        if self._beside is not None and self._beside.is_there and self._count == _MOST_COMING:
            end = self._asked[-1][0] if self._asked else place
            while len(self._asked) < UNDER_WAY and end < len(self._cids):
                start, end = end, min(end + _MOST_COMING, len(self._cids))
                self._asked.append((end, self._beside.ask(self._cids[start:end])))
            _, take = self._asked.popleft()
            blocks = take()
        return wanted, near(self._store, wanted) if blocks is None else blocks


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
