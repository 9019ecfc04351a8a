"""Makes collecting cheap, which each worker pays for all tests: a fifth of what the quick tests cost was that.

Pytest rewrites the assertions of each test file, and keeps the outcome beside it. In a fresh checkout all workers would
rewrite the same files at the same time; here each rewrites its share and finds the others' when it collects. And
Python's collector of garbage would look again and again through tens of thousands of tests, none of which is garbage.

And files that hold no test of the run are not even read: where only the long runs are asked for five in six have none,
and where they are left out, those that are long runs as a whole, which load browsers, chains and statistics.

And names of tests stay short: a parameter may be a megabyte, and each name goes to and from the workers several times.

And the longest files come first, so that no worker is left with one of them when the others have ended.

Never decides which tests run. tests/conftest.py has its hooks from here.
"""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from _pytest.assertion import rewrite

TESTS: Final = Path(__file__).resolve().parent
LONGEST: Final = (
    *("integration/test_benchmarks.py", "integration/test_blocks.py", "portal/chromium/test_pages.py"),
    *("portal/chromium/test_story.py", "integration/test_flood_benchmark.py", "faults/test_uploads.py"),
    *("docs/test_tutorial.py", "integration/test_kubo_swarm.py", "integration/test_proxy_postgres.py"),
    *("integration/test_data.py", "integration/test_nodes.py", "cli/test_mutants.py"),
    *("hostile/test_world.py", "integration/test_network.py", "integration/test_consent_benchmark.py"),
    *("integration/test_linkability.py", "portal/chromium", "cli/test_wheel.py", "integration/test_trip.py"),
    *("integration/test_revocation.py", "integration", "docs", "faults"),
)
"""Files and folders of tests, from the longest on; the others come after them as they are named."""

MARKING: Final = ("tests.unit.service.postgresql",)
"""Modules that mark the tests of those who import them as long runs."""

LEAVING_OUT: Final = re.compile(r"not \w+( and not \w+)*")
"""An expression of marks that only leaves out."""
WHOLE: Final = re.compile(r"^pytestmark = .*$", re.MULTILINE)
"""What marks all tests of a file."""
LONGEST_NAME: Final = 100
"""Characters that a parameter has in a test's name at most."""


def keep_rewritten(path: Path, config: pytest.Config) -> None:
    """Rewrite a file's assertions, if nobody did since it changed, and keep the outcome where pytest looks for it."""
    kept = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
    # A checkout that can't be written to works as well, only slower.
    if rewrite._read_pyc(path, kept) is None and rewrite.try_makedirs(kept.parent):
        status, code = rewrite._rewrite_test(path, config)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, status, kept)


def share(config: pytest.Config, files: list[Path]) -> list[Path]:
    """Return those of some files that are this worker's; none where nobody else collects."""
    given = getattr(config, "workerinput", None)
    return files[int(given["workerid"].removeprefix("gw")) :: given["workercount"]] if given else []


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    gc.disable()
    # The number of a worker that took the place of one that crashed is higher: it finds all of them there.
    if not sys.dont_write_bytecode:
        for path in share(session.config, sorted(TESTS.rglob("*.py"))):
            keep_rewritten(path, session.config)


@pytest.hookimpl
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    # No opinion is None: another plugin may have one.
    return True if is_left_out(collection_path, config.option.markexpr) else None


def is_left_out(path: Path, expression: str) -> bool:
    """Tell whether an expression of marks leaves out all that a file holds, as far as its text tells at once."""
    if expression == "deep":
        return has_no_long_run(path)
    if not path.name.startswith("test_") or path.suffix != ".py" or not LEAVING_OUT.fullmatch(expression):
        return False
    whole = set(re.findall(r"pytest\.mark\.(\w+)", " ".join(WHOLE.findall(path.read_text("utf-8")))))
    return not whole.isdisjoint(re.findall(r"not (\w+)", expression))


@pytest.hookimpl
def pytest_make_parametrize_id(val: object) -> str | None:
    # All others are named as pytest does it, which numbers those of the same name.
    if isinstance(val, str | bytes) and len(val) > LONGEST_NAME:
        return f"{val[:LONGEST_NAME]!r}... {len(val)}"
    return None


def has_no_long_run(path: Path) -> bool:
    """Tell whether a path is a file of tests none of which can be a long run: it names neither the mark nor `MARKING`.

    No other module marks tests: tests/unit/test_collecting.py holds that.
    """
    if not path.name.startswith("test_") or path.suffix != ".py":
        return False
    text = path.read_text("utf-8")
    return not any(name in text for name in ("deep", *MARKING))


def rank(path: Path) -> int:
    """Return when a file's turn is, by the first entry of `LONGEST` that it is or lies in."""
    name = path.relative_to(TESTS).as_posix()
    return next((at for at, one in enumerate(LONGEST) if f"{name}/".startswith(f"{one}/")), len(LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Each file's tests stay together and in their order.
    items.sort(key=lambda item: rank(item.path))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.collect()
    # What is there now stays until the end: no collection looks at it again.
    gc.freeze()
    gc.enable()
