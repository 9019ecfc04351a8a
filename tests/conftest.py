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
FEW = int(os.environ.get("PANACHAIN_EXAMPLES", "0"))
"""Examples that a property is tried with at most, whatever it says: `.ci/run` asks for few on a second Python."""
leftovers.watch()
# Some CI systems let everybody write what is made, and what others may write is refused in many places.
os.umask(0o022)


@pytest.hookimpl
def pytest_itemcollected(item: pytest.Item) -> None:
    if FEW:
        function = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        own = getattr(function, "_hypothesis_internal_use_settings", None)
        if isinstance(own, settings) and own.max_examples > FEW:
            function._hypothesis_internal_use_settings = settings(own, max_examples=FEW)


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
    "pytest_itemcollected",
    "pytest_make_collect_report",
    "pytest_make_parametrize_id",
    "pytest_runtest_makereport",
]
