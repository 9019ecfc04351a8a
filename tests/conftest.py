"""What holds for every test: how Hypothesis runs its examples, which skips fail, and that no process is left behind.

And how all of them are collected quickly.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests import leftovers
from tests.collecting import pytest_collection, pytest_collection_finish, pytest_collection_modifyitems
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

# No deadline and no complaint about slow examples: both measure the machine, which may be busy, and not the code.
# Drawn anew each time, in CI too, where Hypothesis by itself would repeat the same examples for ever.
settings.register_profile(
    "panachain", deadline=None, max_examples=100, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("panachain")
leftovers.watch()
__all__ = [
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
]
