"""Ends what a run of tests started and left behind, however that run ended.

Chains and services are started in sessions of their own, since a devnet outlives the command that starts it. Nothing
takes them along when pytest is killed, or when the time of a test is over, which ends pytest without a word. So every
process of a run carries a mark in its environment, children of children too, and a watcher, which is in nobody's
process group, holds one end of a pipe: when the other end is gone, it ends all that still carry the mark.

    python tests/leftovers.py MARK      the watcher; ends when its standard input does

Needs /proc; elsewhere nothing is watched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

NAME = "PANACHAIN_TEST_RUN"
PATIENCE = 10.0
"""Seconds that a process gets to end by itself, before it is killed."""
_held: list[int] = []
"""This end of the pipes. A fork would hold a copy of them."""


def watch() -> str:
    """Mark all that this process starts from now on, have it watched, and return the mark."""
    mark = os.environ[NAME] = str(uuid.uuid4())
    if not Path("/proc/self/environ").exists():
        return mark
    theirs, ours = os.pipe()
    _held.append(ours)
    # Alone and without site-packages: it starts within milliseconds and holds nothing.
    subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).resolve()), mark],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )
    os.close(theirs)
    return mark


def _let_go() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def marked(mark: str) -> list[int]:
    """Return the processes that carry a mark."""
    found = []
    for folder in Path("/proc").iterdir():
        # Those of others can't be read, and some end meanwhile.
        with suppress(OSError):
            if folder.name.isdigit() and f"{NAME}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def end_all(mark: str) -> None:
    """End all that carry a mark, and what they start meanwhile."""
    begun = time.monotonic()
    while left := marked(mark):
        how = signal.SIGTERM if time.monotonic() < begun + PATIENCE else signal.SIGKILL
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        time.sleep(0.2)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_all(sys.argv[1])
