"""A portal as a person starts it: `panachain portal` in a process of its own, for the demo, pictures and figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATIENCE: Final = 120.0
"""Seconds until a portal that said nothing is ended; a bound for what would hang."""
_ADDRESS: Final = re.compile(r"http://(?:127\.0\.0\.1|\w+\.localhost):\d+/#\S+")


class PortalError(Exception):
    """A portal ended, or said nothing, before it said where it is."""


@contextmanager
def running_portal(home: Path, profile: str, *, numeric: bool = True) -> Iterator[str]:
    """Start the portal of a profile on a free port, yield the address that opens it, and end it.

    Args:
        home: the folder of all state.
        profile: the only one that it unlocks.
        numeric: its address is 127.0.0.1: names below `localhost` lead here in a browser, and not in every program.

    Raises:
        PortalError: it didn't start.
    """
    environment = os.environ | {"PANACHAIN_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "panachain.cli", "--profile", profile, "portal", "--no-browser", "--port", "0"]
    command += ["--numeric"] if numeric else []
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    ended = threading.Timer(PATIENCE, process.kill)
    ended.start()
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := _ADDRESS.search(line):
                ended.cancel()
                # Whatever it says later must not fill the pipe.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                yield found[0]
                return
        raise PortalError(f"panachain portal said no address: {''.join(said)[-500:]}")
    finally:
        ended.cancel()
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
