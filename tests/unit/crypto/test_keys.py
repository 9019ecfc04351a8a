"""Everything that an actor needs follows from one seed, and nothing of it from anything else."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from panachain.crypto import hpke, keys
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Address
from panachain.model.scope import Category, Scope

SEED = keys.Seed(bytes(range(32)))
HOSPITAL = Address("0x" + "33" * 20)
VECTORS = Path(__file__).parents[2] / "vectors" / "keys.json"


def test_derivation_is_the_same_each_time_and_different_for_each_use() -> None:
    again = keys.Seed(bytes(range(32)))
    secrets = [
        SEED.account_key(),
        SEED.store_key(),
        SEED.policy_account(0),
        SEED.policy_account(1),
        SEED.locator_key(Scope.all(), 0),
        SEED.locator_key(Scope.all(), 1),
        SEED.pepper(Scope.all(), 0),
        SEED.pepper(Scope.all(), 1),
        SEED.pepper(Scope.of(Category.VITALS), 0),
        SEED.sealing().public,
        SEED.receiving().public,
        SEED.signer().public,
        SEED.policy_signer(0).public,
        SEED.policy_signer(1).public,
        SEED.of_generation(1).sealing().public,
        SEED.of_generation(1).receiving().public,
        SEED.of_generation(1).signer().public,
        SEED.of_generation(2).receiving().public,
        SEED.audit().public,
        SEED.lane(Scope.all(), 0).public,
        SEED.lane(Scope.all(), 1).public,
        SEED.lane(Scope.of(Category.VITALS), 0).public,
        SEED.lane(Scope.of(Category.VITALS, 2020), 0).public,
    ]
    assert len(set(secrets)) == len(secrets)
    assert keys.address_of(SEED.account_key()) == keys.address_of(again.account_key())
    assert SEED.reveal().hex() not in repr(SEED)


def derived() -> dict[str, str]:
    """Return what of each kind follows from a seed; of a secret key that only the library holds its public half."""
    vitals = Scope.of(Category.VITALS, 2020)
    values = {
        "account": SEED.account_key(),
        "sealing": sha256(SEED.sealing().public).digest(),
        "receiving": SEED.receiving().public,
        "signer": SEED.signer().public,
        "sealing, generation 1": sha256(SEED.of_generation(1).sealing().public).digest(),
        "receiving, generation 1": SEED.of_generation(1).receiving().public,
        "signer, generation 12": SEED.of_generation(12).signer().public,
        "audit": sha256(SEED.audit().public).digest(),
        "store": SEED.store_key(),
        "lane all 0": SEED.lane(Scope.all(), 0).public,
        "lane vitals/2020 3": SEED.lane(vitals, 3).public,
        "locator all 0": SEED.locator_key(Scope.all(), 0),
        "locator vitals/2020 3": SEED.locator_key(vitals, 3),
        "pepper all 0": SEED.pepper(Scope.all(), 0),
        "pepper vitals/2020 3": SEED.pepper(vitals, 3),
        "policy account 7": SEED.policy_account(7),
        "policy signer 7": SEED.policy_signer(7).public,
        "hospital": keys.hospital_key(SEED.locator_key(vitals, 3), HOSPITAL),
        "hospital pepper": keys.hospital_key(SEED.pepper(vitals, 3), HOSPITAL),
        "brief 258 of 259": keys.brief_id(SEED.locator_key(vitals, 3), 259, 258),
    }
    return {name: value.hex() for name, value in values.items()}


def test_what_follows_from_a_seed_never_changes() -> None:
    # A seed is all that a restored account has: another derivation would lose every record and policy of before.
    assert derived() == json.loads(VECTORS.read_text("utf-8"))


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


def test_brief_ids_differ_by_lane_hospital_manifest_and_number() -> None:
    lanes = [SEED.locator_key(Scope.of(category), 0) for category in Category]
    hospitals = [keys.address_of(keys.Seed.random().account_key()) for _ in range(3)]
    places = [(sequence, number) for sequence in range(1, 6) for number in range(10)]
    found = {keys.brief_id(keys.hospital_key(lane, h), *at) for lane in lanes for h in hospitals for at in places}
    assert len(found) == len(lanes) * len(hospitals) * 50
    assert {len(one) for one in found} == {16}


def test_brief_ids_of_many_numbers_are_those_of_each() -> None:
    of = keys.brief_ids(bytes(range(32)), 5)
    for number in (0, 1, 255, 1 << 40, 1):
        assert of(number) == keys.brief_id(bytes(range(32)), 5, number)


def test_a_seed_that_follows_opens_what_was_sealed_to_any_of_its_generations_and_to_the_next() -> None:
    now = [1]
    following = SEED.following(lambda: now[0])
    sealed = [hpke.seal(SEED.of_generation(one).sealing().public, b"x" * 32, b"label") for one in range(4)]

    def opens(key: hpke.SealingKey) -> list[bool]:
        found = []
        for one in sealed:
            try:
                found.append(hpke.open_(key, one, b"label") == b"x" * 32)
            except IntegrityError:
                found.append(False)
        return found

    assert opens(following.sealing()) == [True, True, True, False]
    assert opens(SEED.of_generation(1).sealing()) == [False, True, False, False]
    assert opens(SEED.sealing()) == [True, False, False, False]
    assert following.sealing().public == SEED.of_generation(1).sealing().public
    now[0] = 2
    assert opens(following.sealing()) == [True, True, True, True]
    assert following.public_keys() == SEED.of_generation(2).public_keys()
    assert following.verifying_keys() == [SEED.of_generation(one).signer().public for one in (2, 1, 0)]
    assert [one.receiving().public for one in following.generations()] == [
        SEED.of_generation(one).receiving().public for one in (2, 1, 0)
    ]


def test_keys_that_are_not_the_seeds_count_no_more_than_those_after_them() -> None:
    own = [SEED.of_generation(one).public_keys().digest for one in range(3)]
    strange = keys.Seed(b"t" * 32).public_keys().digest
    assert [keys.generation_among(SEED, own[:count]) for count in (1, 2, 3)] == [0, 1, 2]
    assert keys.generation_among(SEED, [own[0], strange, own[2]]) == 0
    assert keys.generation_among(SEED, [own[0], own[1], strange]) == 1
