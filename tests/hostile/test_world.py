"""Liars of every role meet in all pairs, and honest people go on: tests/hostile/world.py says what holds."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import combinations
from unittest.mock import patch

import pytest

from tests.hostile.world import MOVES, Broken, Hostile, play
from tests.twin.world import running_world

PAIRS = list(combinations(sorted(MOVES), 2))


def test_every_two_roles_are_a_pair() -> None:
    assert sorted(MOVES) == ["hospital", "node", "patient", "practitioner", "proxy", "relay", "store", "stranger"]
    assert len(PAIRS) == 28


@pytest.mark.parametrize("roles", PAIRS, ids="-".join)
def test_two_liars_meet(roles: tuple[str, str]) -> None:
    seed = random.randrange(2**32)
    assert play(seed, roles, length=4), seed


def test_all_meet_at_once() -> None:
    seed = random.randrange(2**32)
    assert play(seed, sorted(MOVES), length=6), seed


class TestTeeth:
    """What the invariants say is checked: each of these worlds is worse than people can stand, and is found out."""

    @pytest.fixture
    def hostile(self) -> Iterator[Hostile]:
        with running_world() as world:
            made = Hostile(world, random.Random(1))
            made.upload()
            made.grant()
            yield made

    def test_a_lost_record_is_found(self, hostile: Hostile) -> None:
        hostile.published["00" * 32] = "laboratory"
        with pytest.raises(Broken, match="misses 1 of 2"):
            hostile.own()

    def test_an_honest_user_who_is_stopped_is_found(self, hostile: Hostile) -> None:
        hostile.world.network.store.down = True
        with pytest.raises(Broken, match="is stopped"):
            hostile.own()

    def test_an_untyped_error_is_found(self, hostile: Hostile) -> None:
        store = hostile.world.network.store
        with patch.object(store, "get_block", side_effect=KeyError), pytest.raises(Broken, match="untyped"):
            hostile.own()

    def test_a_culprit_that_nobody_names_is_found(self, hostile: Hostile) -> None:
        hostile.suspects["move"] = ["0xculprit"]
        with pytest.raises(Broken, match="nobody is named"):
            hostile.told(["something went wrong"])
        hostile.told(["it was 0xCulprit"])

    def test_a_stranger_who_reads_is_found(self, hostile: Hostile) -> None:
        (policy,) = hostile.granted
        with pytest.raises(Broken, match="aren't theirs"):
            hostile.check_closed("clinician", policy)

    def test_too_many_requests_are_found(self, hostile: Hostile) -> None:
        hostile.asked = 10_000
        with pytest.raises(Broken, match="10000 requests"):
            hostile._check_requests()


@pytest.mark.deep
@pytest.mark.timeout(7200)
def test_many_histories() -> None:
    """As many as the nightly run has time for; PANACHAIN_HISTORIES names another number, such as 1000."""
    for number in range(int(os.environ.get("PANACHAIN_HISTORIES", "200"))):
        seed = random.randrange(2**32)
        roles = sorted(MOVES) if number % 8 == 0 else PAIRS[number % len(PAIRS)]
        assert play(seed, roles, length=8), seed
