"""How every benchmark runs: whatever ends it, what it started ends too, and what the machine lacks is told in a line.

A benchmark's chains, proxies and stores are in sessions of their own, as a devnet's are: neither a signal to the
benchmark nor one to its group reaches them. tests/leftovers.py marks and watches them, as it does for a run of tests.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import _peers


@contextmanager
def running() -> Iterator[None]:
    """Run a benchmark inside."""
    # So that folders are removed and chains end by themselves, too, when this program is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _leftovers().watch()
    with _peers.needed():
        yield


def _leftovers() -> Any:
    # By its path: another version of the package may stand before ours, and some wheel brings a package `tests`.
    spec = importlib.util.spec_from_file_location("leftovers", _peers.ROOT / "tests" / "leftovers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
