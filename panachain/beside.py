"""Processes of this very package that work beside this one: how they are started, and what they get of it.

They get no secret, no file and no terminal: two pipes, and of the environment what finds Python and its modules. None
goes on as a copy of this one, which would have an unlocked seed: each is a program that begins anew. Who starts one
ends it. Follows ADR 74, ADR 79 and ADR 83.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

KEPT: Final = ("PATH", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
"""What of the environment a process gets: what finds Python and its modules. The rest may name secrets."""
_PIPE: Final = 1 << 20
"""Bytes that a pipe may hold: what Linux allows everybody (pipe(7))."""
_SET_SIZE: Final[int | None] = getattr(fcntl, "F_SETPIPE_SZ", None)
"""The command that asks for it; None where a system has none."""
GOODBYE: Final = 10.0
"""Seconds that a killed process is waited for."""
ROOT: Final = Path(__file__).absolute().parents[1]
"""Where this package lies."""


def command(module: str) -> tuple[str, ...]:
    """Return what Python is told to run a module's `main`: of the very package that this one is of, wherever it lies.

    All else is found as always.
    """
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import panachain; del sys.path[0]; "
        f"from {module} import main; main()"
    )
    return "-c", program, str(ROOT)


def flags() -> list[str]:
    """Return what Python is told so that it finds modules where this one does."""
    given = sys.flags
    known = (("-E", given.ignore_environment), ("-s", given.no_user_site), ("-S", given.no_site))
    # -P: no module is taken from the folder that somebody happens to work in.
    return ["-P", *(flag for flag, is_set in known if is_set)]


def start(asked: Sequence[str], *, is_wide: bool = True) -> subprocess.Popen[bytes]:
    """Start Python, with pipes as its standard input and output.

    Args:
        asked: what it is told besides its flags: a `command` and arguments.
        is_wide: whether its pipes hold a MiB, where a system allows that; all of a user's may have 64 together.

    Raises:
        OSError, MemoryError: this machine has none left.
    """
    # Imported here: most commands start none.
    import subprocess

    try:
        process = subprocess.Popen(
            [sys.executable or "", *flags(), *asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            start_new_session=True,
        )
    except subprocess.SubprocessError as exc:
        raise OSError(f"a process died before it began: {exc}") from exc
    if is_wide:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _widen(pipe)
    return process


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole question or answer.

    Else the process waits with each piece of it until a thread of this one has its turn, which in Python is every 5 ms.
    """
    if _SET_SIZE is not None:
        # A system that allows less has a slower pipe.
        with suppress(OSError):
            fcntl.fcntl(pipe, _SET_SIZE, _PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, which has nothing to lose, and wait for that."""
    import subprocess

    process.kill()
    # One that hangs in the system itself ends some time later, and says nothing any more.
    with suppress(subprocess.TimeoutExpired):
        process.wait(GOODBYE)


def close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes to a process that ended."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What was written and is still here goes nowhere any more.
            with suppress(OSError):
                pipe.close()


def bound(memory: int) -> None:
    """Bound what this process may do for another one: whoever takes it over finds nothing, and can keep nothing.

    Args:
        memory: bytes that it may take.
    """
    # What is typed into a terminal is for whoever started this, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bound_memory(memory)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        # No image of its memory, and no byte into any file.
        resource.setrlimit(limit, (0, 0))


def bound_memory(most: int) -> None:
    """Bound what this process may take, to so many bytes or what is allowed to it anyway."""
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    except (ValueError, OSError):
        # There a process has more addresses than that from its beginning on, and the system refuses the bound.
        if sys.platform != "darwin":
            raise


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
