"""Processes that a test looks at: whether they run, and waiting for what they do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that ended and that nobody waited for doesn't."""
    try:
        os.kill(pid, 0)
        status = Path("/proc", str(pid), "stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_for(done: Callable[[], object]) -> None:
    """Wait until something holds; the test fails where it doesn't within a minute."""
    until = time.monotonic() + 60
    while not done():
        if time.monotonic() > until:
            pytest.fail("it never came")
        time.sleep(0.01)
