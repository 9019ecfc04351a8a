"""Runs of the benchmarks as programs of their own, for the tests that look at what they print."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from panachain.chain import anvil
from panachain.errors import ConfigurationError

LONGEST = 600
"""Seconds for one program, on a machine that runs other tests beside it."""
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def bench(name: str, *arguments: str, **variables: str) -> str:
    """Run a benchmark, and return what it printed."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    return finished(command, **variables)


def finished(command: list[str], **variables: str) -> str:
    """Run a program that must succeed, and return what it printed; one that takes too long ends what it started."""
    environment = os.environ | variables
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            printed, told = running.communicate(timeout=LONGEST)
        except BaseException:
            running.send_signal(signal.SIGINT)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
            raise
    assert running.returncode == 0, told[-2000:]
    assert "Traceback" not in told
    return printed


def has_anvil() -> bool:
    """Tell whether there is a chain to start."""
    try:
        anvil.find_anvil()
    except ConfigurationError:
        return False
    return True


def check_rows(rows: Iterable[str], printed: str) -> None:
    """Check that each row is printed."""
    for row in rows:
        assert any(line.startswith(row) for line in printed.splitlines()), row
