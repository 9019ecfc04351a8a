"""Starting processes that read beside an upload: which program they run, with what, and how many there may be.

They load while a key store opens and the upload's own modules load, so they can be started before anything is known but
that there is much to read. They are told nothing here, and get no secret: what of the environment they see only finds
Python. Follows ADR 74 and ADR 78.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.beside import close, command, cores, end, start

if TYPE_CHECKING:
    import subprocess

COMMAND: Final = command("panachain.records.reading_worker")
"""What Python runs."""
WORTH: Final = 1 << 20
"""Bytes to read from which on a process is worth its start, which takes as long as reading half of them."""
MOST_PROCESSES: Final = 4
"""More of them would wait for the one that seals."""
_MOST_LOOKED_AT: Final = 4096
"""Files of which the size is asked before anything else is known."""


class Spare:
    """Processes that load before there is anything to read; those that nobody took end with the context."""

    def __init__(self) -> None:
        """Start none yet."""
        self._processes: deque[subprocess.Popen[bytes]] = deque()

    def start(self, paths: Iterable[Path | str]) -> None:
        """Start as many as an upload of these files and folders takes: none where there is little to read."""
        most = most_processes()
        if most < 1 or not is_worth_it(paths):
            return
        for _ in range(most):
            # Without them the upload starts what it needs, or reads by itself.
            with suppress(OSError, MemoryError):
                self._processes.append(start(COMMAND))

    def __enter__(self) -> Spare:
        return self

    def __exit__(self, *_: object) -> None:
        while (process := self.take()) is not None:
            end(process)
            close(process)

    def take(self) -> subprocess.Popen[bytes] | None:
        """Return one that from now on is whoever's takes it, or None."""
        return self._processes.popleft() if self._processes else None


def is_worth_it(paths: Iterable[Path | str]) -> bool:
    """Tell whether files and folders hold enough to read; what can't be looked at counts nothing."""
    found = 0
    for count, size in enumerate(_sizes(paths)):
        found += size
        if found >= WORTH:
            return True
        if count >= _MOST_LOOKED_AT:
            return False
    return False


def _sizes(paths: Iterable[Path | str]) -> Iterator[int]:
    for path in map(Path, paths):
        # A name that no path can be; what is gone; folders that may not be read.
        with suppress(OSError, ValueError):
            if path.is_dir():
                yield from (Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
            else:
                yield path.stat().st_size


def most_processes() -> int:
    """Return how many processes read beside an upload on this machine, at most: one for each further core."""
    return min(cores() - 1, MOST_PROCESSES)
