"""Openings while two of three proxies' processes are killed and started again, in turn: how many succeed.

    ./pana bench losses [--rounds 5] [--quick]

Prints figures, and fails nothing. Runs a development network of its own, so it needs `anvil`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import _peers
from _measure import row
from _running import running

from panachain.chain import anvil


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5, help="times that each of the two is killed")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args()
    anvil.find_anvil()
    # The world and the killer that the tests use; named here, since some wheel brings a package `tests` too.
    package = ModuleType("tests")
    package.__dict__["__path__"] = [str(_peers.ROOT / "tests")]
    sys.modules["tests"] = package
    from tests.integration.test_proxy_loss import granted, open_meanwhile
    from tests.support import running_world

    with running_world() as world, tempfile.TemporaryDirectory() as folder:
        found = open_meanwhile(world, granted(world, Path(folder)), 1 if given.quick else given.rounds)
    share = 100 * (found.done - len(found.failures)) / found.done
    figure = f"{found.done - len(found.failures)} of {found.done} at {found.kills} kills"
    row("openings while two of three proxies are killed in turn", figure, "100 %", share, bound=100)
    for failure in found.failures[:5]:
        print(f"  {failure}")


if __name__ == "__main__":
    with running():
        main()
