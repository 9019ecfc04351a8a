"""Measuring: whole processes, in pairs that take turns, so that both meet the same machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run of a program."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of processor time, user and system."""
    peak: int
    """Bytes of memory at most."""
    output: str


def run(command: Sequence[str | Path], *, environment: dict[str, str] | None = None, cwd: Path | None = None) -> Run:
    """Run a program to its end and measure it.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | (environment or {}),
        cwd=cwd,
    )
    assert process.stdout is not None
    output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} exited with {process.returncode}: {output[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


def in_turns(first: Callable[[], Run], second: Callable[[], Run] | None, rounds: int) -> tuple[list[Run], list[Run]]:
    """Run both by turns."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(first())
        if second is not None:
            theirs.append(second())
    return ours, theirs


def median(runs: Sequence[Run]) -> float:
    """Return the median wall time."""
    return statistics.median(one.wall for one in runs)


def row(what: str, figure: str, goal: str, ratio: float | None, *, at_least: bool = True, bound: float = 0) -> None:
    """Print one line of a table."""
    met = "" if ratio is None else ("met" if (ratio >= bound if at_least else ratio <= bound) else "SHORT")
    shown = "" if ratio is None else f"{ratio:.2f}"
    print(f"{what:58} {figure:44} {goal:22} {shown:>8}  {met}", flush=True)
