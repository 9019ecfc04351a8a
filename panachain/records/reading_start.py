"""Starting processes that read beside an upload: which program they run, with what, and how many there may be.

They load while a key store opens and the upload's own modules load, so they can be started before anything is known but
that there is much to read. They are told nothing here, and get no secret: what of the environment they see only finds
Python. Follows ADR 74 and ADR 78.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import panachain; del sys.path[0]; "
    "from panachain.records.reading_worker import main; main()"
)
"""What Python runs: the worker of the very package that this one is of, however that was found; all else is found as
always."""
COMMAND: Final = ("-c", PROGRAM, str(Path(__file__).absolute().parents[2]))
WORTH: Final = 1 << 20
"""Bytes to read from which on a process is worth its start, which takes as long as reading half of them."""
MOST_PROCESSES: Final = 4
"""More of them would wait for the one that seals."""
GOODBYE: Final = 10.0
"""Seconds that a killed process is waited for."""
KEPT: Final = ("PATH", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
"""What of the environment a process gets: what finds Python and its modules. The rest may name secrets."""
_MOST_LOOKED_AT: Final = 4096
"""Files of which the size is asked before anything else is known."""


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start Python with a command, and with nothing else than what finds its modules.

    Raises:
        OSError, MemoryError, subprocess.SubprocessError: this machine has no process or pipe left.
    """
    return subprocess.Popen(
        [sys.executable or "", *flags(), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in KEPT if name in os.environ},
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, which has nothing to lose, and wait for that."""
    process.kill()
    # One that hangs in the system itself ends some time later, and says nothing any more.
    with suppress(subprocess.TimeoutExpired):
        process.wait(GOODBYE)


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
            with suppress(OSError, MemoryError, subprocess.SubprocessError):
                self._processes.append(start(COMMAND))

    def __enter__(self) -> Spare:
        return self

    def __exit__(self, *_: object) -> None:
        while (process := self.take()) is not None:
            end(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

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


def flags() -> list[str]:
    """Return what Python is told so that it finds modules where this one does."""
    given = sys.flags
    known = (("-E", given.ignore_environment), ("-s", given.no_user_site), ("-S", given.no_site))
    # -P: no module is taken from the folder that somebody happens to work in.
    return ["-P", *(flag for flag, is_set in known if is_set)]


def most_processes() -> int:
    """Return how many processes read beside an upload on this machine, at most: one for each further core."""
    return min(_cores() - 1, MOST_PROCESSES)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
