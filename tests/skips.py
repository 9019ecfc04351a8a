"""What a skipped test means: in CI a failure, since a tool that is missing there would turn a check off without a word.

With `CI=true` a test may be skipped for the reasons of `ALLOWED`, and for a tool that `PANACHAIN_WITHOUT` names. A test
that docs/security/rules.md names may be skipped nowhere: a rule whose proof didn't run isn't proven. tests/conftest.py
has its hooks from here.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

RULES: Final = Path(__file__).resolve().parents[1] / "docs" / "security" / "rules.md"
ALLOWED: Final[dict[str, str]] = {
    r"^Skipped: no systemd on this machine$|^no systemd on this machine$": "units are written where no systemd is, too",
    r"outside data \S+ isn't beside the project": "vectors and samples of others, which a checkout alone doesn't have",
}
"""Patterns of the reasons for which CI may skip, and why each is no missing tool."""
ELSEWHERE: Final[dict[str, tuple[str, Callable[[], bool]]]] = {
    r"nucypher-core has no wheel for this Python": (
        "the same tests run on 3.11 and 3.12, which have it",
        lambda: has_wheels(),
    ),
    r"coincurve has no wheel for this Python": (
        "the same tests run on 3.11 to 3.13, which have it",
        lambda: sys.version_info < (3, 14),
    ),
}
"""Patterns of what an outside implementation lacks on a Python it has no wheels for, rules or not.

Each with why that is no hole, and whether this Python has it: where it does, it is a failure like any other.
"""
TOOLS: Final[dict[str, str]] = {
    "go": r"no (Kubo|geth|Go) program",
    "chromium": r"no chromium is installed",
    "postgresql": r"no PostgreSQL server of the system",
    "postgresql-versions": r"no PostgreSQL server of version \d+",
}
"""By name the tools that a machine may be said to lack, and the reasons of the tests that want them.

`PANACHAIN_WITHOUT` says it: `.ci/run` names there what it does without, and prints it beside its result.
"""


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of a skipped test into a failure if the test may not be skipped here."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    why = _reason(report)
    if any(re.search(pattern, why) and not is_here() for pattern, (_, is_here) in ELSEWHERE.items()):
        return
    if _is_named(report.nodeid):
        said = f"it proves a rule of docs/security/rules.md, and was skipped: {why}"
    elif os.environ.get("CI") == "true" and not any(re.search(pattern, why) for pattern in (*ALLOWED, *_lacking())):
        said = f"it was skipped, and CI has to have what it needs: {why}"
    else:
        return
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: {said}"


def has_wheels() -> bool:
    """Tell whether nucypher-core has a wheel for this Python and machine."""
    return sys.version_info < (3, 13) and (sys.platform, platform.machine()) != ("linux", "aarch64")


def _lacking() -> list[str]:
    """Return the reasons for which tests may be skipped on this machine, by what it is said to lack."""
    return [TOOLS[tool] for tool in os.environ.get("PANACHAIN_WITHOUT", "").split()]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A tuple of file, line and reason, as pytest makes it of each skip.
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _is_named(node: str) -> bool:
    """Tell whether a rule names a test, or one in a file or class that was skipped as a whole."""
    file, _, rest = node.partition("::")
    test = rest.rpartition("::")[2].partition("[")[0]
    named = _named().get(file, set())
    # A file that is skipped has no test in its ID, and a rule may name a whole file.
    return bool(named) if not rest else test in named or "" in named


@cache
def _named() -> dict[str, set[str]]:
    """Return the tests that the rules name, by file; an empty name stands for all of a file."""
    found: dict[str, set[str]] = {}
    for name in re.findall(r"^- `([^`]+)`$", RULES.read_text("utf-8"), re.MULTILINE):
        file, _, test = name.partition("::")
        found.setdefault(file, set()).add(test)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    judge(report)
    return report
