"""The access rules, each with its allowed twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.consent.rules import check_access
from panachain.errors import (
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyNotActiveError,
    PolicyRevokedError,
    PolicyUnknownError,
    SuspendedError,
)
from panachain.model.actors import Address, PolicyId, Status
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.model.scope import Purpose

GRANTEE, STRANGER = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
POLICY = OnChainPolicy(PolicyId("0x" + "cc" * 20), PolicyStatus.ACTIVE, 100, 200, b"t" * 32, block=5, block_time=150)
ALLOWED: dict[str, Any] = {
    "grantee": GRANTEE,
    "requester": GRANTEE,
    "requester_status": Status.ACTIVE,
    "is_member": False,
    "purpose": Purpose.TREAT,
    "purposes": (Purpose.TREAT, Purpose.ETREAT),
    "terms": b"t" * 32,
    "revocation_in_sight": False,
}


def test_allows_what_was_granted() -> None:
    check_access(POLICY, **ALLOWED)
    check_access(replace(POLICY, block_time=100), **ALLOWED)
    check_access(replace(POLICY, block_time=199), **ALLOWED)
    check_access(POLICY, **(ALLOWED | {"requester": STRANGER, "is_member": True}))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"revocation_in_sight": True}, PolicyRevokedError),
        ({"requester": STRANGER}, OutOfScopeError),
        ({"purpose": Purpose.HRESCH}, OutOfScopeError),
        ({"terms": b"u" * 32}, OutOfScopeError),
        ({"requester_status": Status.SUSPENDED}, SuspendedError),
        ({"requester_status": Status.UNKNOWN}, SuspendedError),
        ({"requester": STRANGER, "is_member": True, "requester_status": Status.SUSPENDED}, SuspendedError),
    ],
)
def test_refuses_another_question(change: dict[str, Any], error: type[PanaChainError]) -> None:
    with pytest.raises(error):
        check_access(POLICY, **(ALLOWED | change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"status": PolicyStatus.REVOKED}, PolicyRevokedError),
        ({"status": PolicyStatus.UNKNOWN}, PolicyUnknownError),
        ({"status": PolicyStatus.NOT_YET}, PolicyNotActiveError),
        ({"status": PolicyStatus.EXPIRED}, PolicyNotActiveError),
        ({"block_time": 99}, PolicyNotActiveError),
        ({"block_time": 200}, PolicyExpiredError),
    ],
)
def test_refuses_another_policy(change: dict[str, Any], error: type[PanaChainError]) -> None:
    with pytest.raises(error):
        check_access(replace(POLICY, **change), **ALLOWED)
