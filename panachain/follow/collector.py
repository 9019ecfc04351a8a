"""Python's collector of cycles, which stands still while many blocks are read.

Nothing of what a long sync makes is a cycle, and the collector would look at all of it again and again: a sixth of
the processor time of a first sync. It counts its users, since several chains are followed in one process.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ONE: Final = threading.Lock()
_standing: list[bool] = []
"""For each use that hasn't ended, whether it found the collector at work: one entry at most does."""


@contextmanager
def standing_still(wanted: bool) -> Iterator[None]:
    """Let the collector stand still until all that want it have ended.

    Args:
        wanted: whether it is worth it; else nothing happens.
    """
    if not wanted:
        yield
        return
    with _ONE:
        _standing.append(gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _ONE:
            found = _standing.pop()
            if _standing:
                # Whoever ends last sets it going, if it was at work before the first.
                _standing[0] = _standing[0] or found
            elif found:
                gc.enable()
