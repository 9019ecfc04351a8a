"""Scopes: the path of a record, and what of it the emergency lane holds."""

from __future__ import annotations

import pytest

from panachain.model.scope import EMERGENCY, IN_PART, RESTRICTED, Category, Scope, path_of
from panachain.records.header import SLOTS


@pytest.mark.parametrize("category", Category, ids=lambda one: one.value)
def test_a_record_lies_in_the_emergency_lane_by_its_category_or_by_itself(
    category: Category,
) -> None:
    plain, chosen = path_of(category, 2024), path_of(category, 2024, emergency=True)
    assert (Scope.emergency() in plain) is (category in EMERGENCY)
    assert (Scope.emergency() in chosen) is (category in EMERGENCY | IN_PART)
    assert [scope for scope in chosen if scope != Scope.emergency()] == [
        scope for scope in plain if scope != Scope.emergency()
    ]
    # Whatever the patient includes, `all` doesn't cover what is restricted.
    assert (Scope.all() in chosen) is (category not in RESTRICTED)
    assert len(chosen) <= SLOTS
