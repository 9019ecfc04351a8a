"""Processes of this very package that work beside this one: how they are started, and what they get of it.

They get no secret, no file and no terminal: two pipes, and of the environment what finds Python and its modules. None
is started by `fork`, which would copy an unlocked seed. Who starts one ends it. Follows ADR 74 and ADR 79.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

KEPT: Final = ("PATH", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
"""What of the environment a process gets: what finds Python and its modules. The rest may name secrets."""
ROOT: Final = Path(__file__).absolute().parents[1]
"""Where this package lies."""


def command(module: str) -> list[str]:
    """Return what runs a module's `main`: of the very package that this one is of, however that was found.

    All else is found as always.
    """
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import panachain; del sys.path[0]; "
        f"from {module} import main; main()"
    )
    return [sys.executable or "", *flags(), "-c", program, str(ROOT)]


def flags() -> list[str]:
    """Return what Python is told so that it finds modules where this one does."""
    given = sys.flags
    known = (("-E", given.ignore_environment), ("-s", given.no_user_site), ("-S", given.no_site))
    # -P: no module is taken from the folder that somebody happens to work in.
    return ["-P", *(flag for flag, is_set in known if is_set)]


def start(asked: list[str]) -> subprocess.Popen[bytes]:
    """Start a process, with pipes as its standard input and output.

    Args:
        asked: the program and its arguments.

    Raises:
        OSError, subprocess.SubprocessError, MemoryError: this machine has none left.
    """
    # Imported here: most commands start none.
    import subprocess

    return subprocess.Popen(
        asked,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in KEPT if name in os.environ},
        start_new_session=True,
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
