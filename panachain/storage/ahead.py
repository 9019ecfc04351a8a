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

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

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
