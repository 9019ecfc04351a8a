"""What holds for every test: how Hypothesis runs its examples, which skips fail, and that no process is left behind.

And how all of them are collected quickly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import leftovers
from tests.collecting import (
    pytest_collection,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_ignore_collect,
    pytest_make_parametrize_id,
)
from tests.keystores import make_cheap
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

# No deadline and no complaint about slow examples: both measure the machine, which may be busy, and not the code.
# Drawn anew each time, in CI too, where Hypothesis by itself would repeat the same examples for ever.
settings.register_profile(
    "panachain", deadline=None, max_examples=100, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("panachain")
leftovers.watch()
# Some CI systems let everybody write what is made, and what others may write is refused in many places.
os.umask(0o022)


@pytest.fixture(scope="session", autouse=True)
def _cheap_key_stores() -> Iterator[None]:
    """Key stores that tests make cost less than a tenth of a second; whoever tests the cost takes this back."""
    with pytest.MonkeyPatch.context() as patch:
        make_cheap(patch)
        yield


__all__ = [
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_make_collect_report",
    "pytest_make_parametrize_id",
    "pytest_runtest_makereport",
]
