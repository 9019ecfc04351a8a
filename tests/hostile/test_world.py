"""Liars of every role meet in all pairs, and honest people go on: tests/hostile/world.py says what holds."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from itertools import combinations
from unittest.mock import patch

import pytest

from panachain.errors import IntegrityError, PanaChainError
from tests.hostile.world import MOVES, Broken, Hostile, play
from tests.twin.world import running_world
from tests.unit.sdk.helpers import again, grant, upload

PAIRS = list(combinations(sorted(MOVES), 2))
FEW = list(zip(sorted(MOVES)[::2], sorted(MOVES)[1::2], strict=False))
SEED = os.environ.get("PANACHAIN_HISTORIES_SEED", "1")
"""What all histories here follow from, but those of the nightly run."""


def test_every_two_roles_are_a_pair() -> None:
    assert sorted(MOVES) == ["hospital", "node", "patient", "practitioner", "proxy", "relay", "store", "stranger"]
    assert len(PAIRS) == 28
    assert {role for pair in FEW for role in pair} == set(MOVES)


# A change lets every role lie once beside another; the long runs let each pair meet.
@pytest.mark.parametrize(
    "roles",
    [pair if pair in FEW else pytest.param(pair, marks=pytest.mark.deep) for pair in PAIRS],
    ids="-".join,
)
def test_two_liars_meet(roles: tuple[str, str]) -> None:
    assert play(f"{SEED} {'-'.join(roles)}", roles, length=4)


def test_all_meet_at_once() -> None:
    assert play(f"{SEED} all", sorted(MOVES), length=6)


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

    def test_a_proxy_that_ignores_a_revocation_unseen_is_found(self, hostile: Hostile) -> None:
        hostile.world.proxies[2].corrupt()
        hostile.revoke()
        hostile._check_alarms()
        orders = hostile.world.patient.profile.orders
        for one in (orders, orders.with_name(f"{orders.name}.copy")):
            one.unlink()
        with pytest.raises(Broken, match="no alarm names"):
            hostile._check_alarms()

    def test_every_culprit_of_a_move_stays_a_suspect(self, hostile: Hostile) -> None:
        def move(_: Hostile) -> list[str]:
            return [next(names)]

        names = iter(("the first", "the second"))
        hostile.let(move)
        hostile.let(move)
        hostile.told(["it was the first", "it was the second"])

    def test_a_stranger_who_reads_is_found(self, hostile: Hostile) -> None:
        (policy,) = hostile.granted
        with pytest.raises(Broken, match="aren't theirs"):
            hostile.check_closed("clinician", policy)

    def test_too_many_requests_are_found(self, hostile: Hostile) -> None:
        hostile.asked = 10_000
        with pytest.raises(Broken, match="10000 requests"):
            hostile._check_requests()


def histories(base: str) -> None:
    """Play as many histories as PANACHAIN_HISTORIES says; PANACHAIN_HISTORIES_FIRST says with which number to begin."""
    first = int(os.environ.get("PANACHAIN_HISTORIES_FIRST", "0"))
    for number in range(first, first + int(os.environ.get("PANACHAIN_HISTORIES", "200"))):
        roles = sorted(MOVES) if number % 8 == 0 else PAIRS[number % len(PAIRS)]
        assert play(f"{base} {number}", roles, length=8)


@pytest.mark.deep
@pytest.mark.timeout(7200)
def test_many_histories() -> None:
    histories(SEED)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_other_histories_each_night() -> None:
    """A failure names the history, which PANACHAIN_HISTORIES_SEED doesn't: `play` repeats it alone."""
    histories(str(random.randrange(2**32)))


def test_a_signature_that_does_not_fit_a_forged_key_tells_against_the_node_that_showed_the_key() -> None:
    with running_world() as world:
        policy_id = grant(world).policy_id
        Hostile(world, random.Random(0)).node_forges_keys()
        # The forged key block lies in the store, so that only the signature shows it.
        with pytest.raises(IntegrityError, match="than the registry keeps"):
            list(again(world, "clinician").open(policy_id))


def test_a_digest_of_which_nobody_has_a_block_tells_against_the_node_that_showed_it_and_not_the_store() -> None:
    with running_world() as world:
        policy_id = grant(world).policy_id
        hostile = Hostile(world, random.Random(1))
        upload(world)
        held = set(world.network.store.held)
        hostile.node_forges_keys()
        assert set(world.network.store.held) == held
        for ask in (
            lambda: list(again(world, "clinician").open(policy_id)),
            lambda: again(world, "hospital").pairing(world.patient.whoami()),
            lambda: again(world).grant(world.clinician.address, ["vitals"], until=world.now + 60, dry_run=True),
        ):
            with pytest.raises(PanaChainError, match="than the registry keeps"):
                ask()


class TestMoves:
    """What liars do here is noticed, so that the histories ask something."""

    @pytest.fixture
    def hostile(self) -> Iterator[Hostile]:
        with running_world() as world:
            made = Hostile(world, random.Random(1))
            made.upload()
            made.grant()
            yield made

    def test_peppers_that_no_hospital_was_told_name_the_patient_who_told_them(self, hostile: Hostile) -> None:
        hostile.let(Hostile.patient_tells_other_peppers)
        # It was granted, and the check was made.
        assert not [line for line in hostile.story if line.startswith("the lying patient")]

    def test_what_a_merged_manifest_omits_is_told_to_who_saw_it(self, hostile: Hostile) -> None:
        hostile.let(Hostile.hospital_omits_what_it_merges)
        assert len(hostile.vanished) == 1
        hostile._check_vanished()
        shutil.rmtree(hostile.world.patient.profile.folder / "kept")
        with pytest.raises(Broken, match="nobody is told"):
            hostile._check_vanished()

    def test_other_marks_of_one_proxy_hide_no_opening(self, hostile: Hostile) -> None:
        hostile.let(Hostile.proxy_tells_other_marks)
        hostile.read()
        assert hostile.seen
        hostile.log()
        for proxy in hostile.world.proxies[:2]:
            proxy.up = False
        # What the others signed is kept: a machine that hasn't asked before has the liar's word only.
        shutil.rmtree(hostile.world.patient.profile.folder / "kept")
        with pytest.raises(Broken, match=r"doesn't tell|is stopped"):
            hostile.log()

    @pytest.mark.parametrize("seed", range(4))
    def test_a_forged_or_lost_key_block_names_the_store(self, hostile: Hostile, seed: int) -> None:
        hostile.chance = random.Random(seed)
        hostile.let(Hostile.store_forges_a_key_block)
        for step in (Hostile.upload, Hostile.grant, Hostile.read, Hostile.own):
            step(hostile)
        assert any("evil-store.test" in text for text in hostile.heard)
