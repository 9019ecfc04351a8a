"""Auditing: one policy's proofs, or all of them, with progress."""

from __future__ import annotations

import pytest

from panachain.errors import PolicyUnknownError
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import grant


def test_one_policy_or_all(world: World) -> None:
    first = grant(world)
    grant(world, "nurse")
    world.wait()
    told: list[tuple[int, int | None]] = []
    proofs = world.patient.auditing.verify(progress=lambda done, total, **_: told.append((done, total)))
    assert len(proofs) == 2 * PROXIES
    assert told == [(1, 2), (2, 2)]
    one = world.patient.auditing.verify(first)
    assert {proof.policy_id for proof in one} == {first.policy_id}
    assert all(proof.proven and proof.to_json()["schema"] == "panachain/log-verified/1" for proof in one)
    with pytest.raises(PolicyUnknownError):
        world.patient.auditing.verify("0x" + "11" * 20)
