"""A policy's times, status and ID."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from panachain.model.policy import PolicyStatus
from panachain.sdk.results.policies import id_of
from tests.unit.sdk.results.samples import POLICY, VIEW


def test_times_are_seconds_and_aware_datetimes() -> None:
    assert (VIEW.starts, VIEW.expires) == (datetime.fromtimestamp(10, UTC), datetime.fromtimestamp(20, UTC))
    assert VIEW.to_json()["expires_at"] == "1970-01-01T00:00:20Z"


@pytest.mark.parametrize("status", PolicyStatus)
def test_a_policy_is_active_by_its_status_alone(status: PolicyStatus) -> None:
    assert replace(VIEW, status=status).active is (status is PolicyStatus.ACTIVE)


def test_a_view_stands_for_its_id() -> None:
    assert id_of(VIEW) == id_of(POLICY) == id_of(str(POLICY)) == POLICY
