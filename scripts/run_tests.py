#!/usr/bin/env python3
"""Run the tests: `./pana test` calls this in the project's environment.

Without arguments all tests that a change needs run: those of the contracts in a process of their own, since ape can't
share its chain with workers, and beside it the others under pytest-xdist, a file at a time. Three workers keep two
cores busy, and in the long runs four do, where tests of whole networks wait for blocks, processes and browsers. Files
come in the order of tests/collecting.py, which begins with the longest: by itself xdist begins with those of the most
tests, so that a file with one test of minutes would be the last, and all other workers would wait for it.
Where ape doesn't run, which is from Python 3.13 on, the tests of contracts are left out, and it says so: everything
else needs no ape.
With `--deep` the long runs, and only them, the same way. With other arguments pytest runs once, with them.

    scripts/run_tests.py [--deep] [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CONTRACTS: Final = ["tests/contracts"]
# Without ape's plugin, which would look for a chain before each test.
OTHERS: Final = [
    *("tests", "--ignore=tests/contracts", "-p", "no:ape_test"),
    *("--dist=loadfile", "--no-loadscope-reorder"),
]
QUICK_WORKERS: Final = "--numprocesses=3"
DEEP_WORKERS: Final = "--numprocesses=4"

WITHOUT_APE: Final = (
    "ape has no packages for Python {}.{}: the tests of tests/contracts are left out, and run on Python 3.11 and 3.12. "
    "All others follow."
)


def pytest(*arguments: str) -> list[str]:
    """Return the command that runs pytest."""
    return [sys.executable, "-m", "pytest", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of pytest, which keeps what it made of each test file, as Python keeps bytecode.

    Images of containers forbid that by a variable, and every worker of every run would do it anew.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run_all(workers: str, *more: str) -> int:
    """Run both halves side by side, print one after the other, and return the first code that isn't 0.

    Where ape isn't installed the half of the contracts is left out, with a sentence.

    Args:
        workers: argument of pytest for the others.
        more: arguments of pytest for either half.
    """
    others_command = pytest(*OTHERS, workers, *more)
    if find_spec("ape") is None:
        print(WITHOUT_APE.format(*sys.version_info), flush=True)
        return subprocess.run(others_command, cwd=ROOT, env=environment(), check=False).returncode
    with tempfile.TemporaryFile() as output:
        contracts = subprocess.Popen(
            pytest(*CONTRACTS, *more), cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            others = subprocess.run(others_command, cwd=ROOT, env=environment(), check=False).returncode
            code = contracts.wait()
        except BaseException:
            contracts.terminate()
            contracts.wait()
            raise
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.buffer.flush()
    return others or code


def main(arguments: list[str]) -> int:
    """Run what the arguments name; return pytest's code, which is 5 when no test ran."""
    if not arguments:
        return run_all(QUICK_WORKERS)
    more = [argument for argument in arguments if argument != "--deep"]
    deep = ["-m", "deep"] if len(more) < len(arguments) else []
    if deep and not more:
        return run_all(DEEP_WORKERS, *deep)
    return subprocess.run(pytest(*deep, *more), cwd=ROOT, env=environment(), check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
