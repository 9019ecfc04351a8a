"""Fetching and verifying a file from a Kubo node on loopback, against `ipfs cat` on the same node."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import _peers
from _measure import row

MIB = 1 << 20


def nodes_of_tests(what: str, goal: str) -> ModuleType | None:
    """Return the module of the tests that runs nodes, or None after a row that says what is missing."""
    if _peers.ipfs() is None:
        row(what, "no ipfs program: scripts/build_kubo.sh", goal, None)
        return None
    # The node that the tests run: private, on loopback, in a folder of its own.
    spec = importlib.util.spec_from_file_location("nodes", _peers.ROOT / "tests" / "integration" / "test_kubo.py")
    assert spec is not None
    assert spec.loader is not None
    nodes = importlib.util.module_from_spec(spec)
    sys.modules["nodes"] = nodes
    try:
        spec.loader.exec_module(nodes)
    except ModuleNotFoundError as exc:
        row(what, f"no Python package {exc.name}: ./pana setup dev", goal, None)
        return None
    return nodes


def compare(folder: Path, mib: int = 256, rounds: int = 5) -> None:
    """Print the rows; without a Kubo program one row says so."""
    what = f"fetching {mib} MiB from Kubo, each block verified"
    nodes = nodes_of_tests(what, ">= 0.9 x ipfs cat")
    if nodes is None:
        return
    place = folder / "kubo"
    place.mkdir()
    with nodes.running(place) as node:
        data = [os.urandom(MIB) for _ in range(mib)]
        started = time.perf_counter()
        cid = node.store.add_file(iter(data))
        row("storing it there", f"{mib * MIB / 1e6 / (time.perf_counter() - started):.0f} MB/s", "", None)
        ours, theirs = [], []
        for _ in range(rounds):
            started = time.perf_counter()
            assert sum(len(leaf) for leaf in node.store.read_file(cid)) == mib * MIB
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            command = [node.program, "--api", node.api, "cat", str(cid)]
            subprocess.run(command, env=node.environment, stdout=subprocess.DEVNULL, check=True, timeout=120)
            theirs.append(time.perf_counter() - started)
        ratio = statistics.median(theirs) / statistics.median(ours)
        figure = f"{statistics.median(ours):.2f} s, ipfs cat {statistics.median(theirs):.2f} s"
        row(what, figure, ">= 0.9 x ipfs cat", ratio, bound=0.9)
