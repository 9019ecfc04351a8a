"""Everything that an actor needs follows from one seed, and nothing of it from anything else."""

from __future__ import annotations

import pytest

from panachain.crypto import keys
from panachain.errors import UsageError
from panachain.model.scope import Category, Scope

SEED = keys.Seed(bytes(range(32)))


def test_derivation_is_the_same_each_time_and_different_for_each_use() -> None:
    again = keys.Seed(bytes(range(32)))
    secrets = [
        SEED.account_key(),
        SEED.store_key(),
        SEED.policy_account(0),
        SEED.policy_account(1),
        SEED.locator_key(Scope.all(), 0),
        SEED.locator_key(Scope.all(), 1),
        SEED.receiving().public,
        SEED.signer().public,
        SEED.policy_signer(0).public,
        SEED.policy_signer(1).public,
        SEED.audit().public,
        SEED.lane(Scope.all(), 0).public,
        SEED.lane(Scope.all(), 1).public,
        SEED.lane(Scope.of(Category.VITALS), 0).public,
        SEED.lane(Scope.of(Category.VITALS, 2020), 0).public,
    ]
    assert len(set(secrets)) == len(secrets)
    assert keys.address_of(SEED.account_key()) == keys.address_of(again.account_key())
    assert SEED.reveal().hex() not in repr(SEED)


def test_no_two_fresh_seeds_are_the_same() -> None:
    assert keys.Seed.random().reveal() != keys.Seed.random().reveal()


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_a_seed_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(UsageError):
        keys.Seed(seed)


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, bytes(33)])
def test_an_account_key_is_a_scalar_and_never_shown(key: bytes) -> None:
    with pytest.raises(UsageError, match="not an account key") as caught:
        keys.address_of(key)
    assert key.hex() not in str(caught.value) or not key


def test_brief_ids_differ_by_lane_hospital_and_counter() -> None:
    lanes = [SEED.locator_key(Scope.of(category), 0) for category in Category]
    hospitals = [keys.address_of(keys.Seed.random().account_key()) for _ in range(3)]
    found = {keys.brief_id(keys.hospital_key(lane, h), n) for lane in lanes for h in hospitals for n in range(50)}
    assert len(found) == len(lanes) * len(hospitals) * 50
    assert {len(one) for one in found} == {16}
