"""A patient's own policies are found from the seed, the chain and the store alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.errors import BlockNotFoundError, IntegrityError, PolicyUnknownError
from panachain.ipld.cid import CID
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import OnChainPolicy, Terms
from panachain.model.scope import Generations, Scope
from panachain.sdk.patient import Patient
from panachain.sdk.policies import POLICY_GAP, policy_view
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import grant


def test_a_new_device_finds_them_all_oldest_first(world: World, tmp_path: Path) -> None:
    made = [grant(world).policy_id, grant(world, "nurse").policy_id]
    elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
    assert [own.policy_id for own in elsewhere._policies] == made
    assert [own.index for own in elsewhere._policies] == [0, 1]
    assert elsewhere._policies.find(made[1]).terms.grantee == world.nurse.address
    assert elsewhere._policies.account(1).address == made[1]


def test_numbers_that_were_never_used_are_passed_over_up_to_the_gap(world: World) -> None:
    journal = world.patient._grants._journal
    journal.use_index(POLICY_GAP - 2)
    found = grant(world).policy_id
    journal.use_index(3 * POLICY_GAP)
    lost = grant(world).policy_id
    assert [own.policy_id for own in world.patient._policies] == [found]
    with pytest.raises(PolicyUnknownError):
        world.patient._policies.find(lost)


def test_the_next_number_follows_what_another_device_used(world: World) -> None:
    assert world.patient._policies.next_index(0) == 0
    grant(world)
    grant(world)
    assert [world.patient._policies.next_index(start) for start in (0, 1, 2, 5)] == [2, 2, 2, 5]


def test_nobody_elses_is_found(world: World) -> None:
    with pytest.raises(PolicyUnknownError, match="isn't one of this patient's"):
        world.patient._policies.find(PolicyId("0x" + "11" * 20))


def test_terms_of_another_policy_are_not_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that swaps two digests is noticed: the terms say which policy they are of."""
    first, second = grant(world).policy_id, grant(world).policy_id
    policies = world.network.mainchain.policies
    real = policies.policies_of

    def swapped(ids: list[PolicyId]) -> dict[PolicyId, OnChainPolicy]:
        found = real(ids)
        if first in found and second in found:
            found[first] = replace(found[first], terms=found[second].terms)
        return found

    monkeypatch.setattr(policies, "policies_of", swapped)
    with pytest.raises(IntegrityError, match="the terms name policy"):
        list(world.patient._policies)


def test_taking_back_is_done_once_on_chain_and_as_often_as_asked_at_the_proxies(world: World) -> None:
    made = grant(world)
    world.proxies[0].up = False
    first = world.patient._policies.take_back(world.patient._policies.find(made.policy_id))
    world.proxies[0].up = True
    second = world.patient._policies.take_back(world.patient._policies.find(made.policy_id))
    assert (bool(first.tx), len(first.receipts), len(first.unreachable)) == (True, PROXIES - 1, 1)
    assert (second.tx, second.gas, len(second.receipts), second.unreachable) == ("", 0, PROXIES, ())
    assert world.patient._policies.find(made.policy_id).is_revoked


def test_lags_behind_a_rotation_of_one_of_its_lanes_only(world: World) -> None:
    made = grant(world, categories=("laboratory", "vitals"))
    own = world.patient._policies.find(made.policy_id)
    assert not own.lags(Generations())
    assert own.lags(Generations(1, {Scope.parse("vitals"): (1,)}))
    assert not own.lags(Generations(1, {Scope.parse("imaging"): (1,)}))


def test_a_view_says_what_terms_and_chain_say(world: World) -> None:
    made = grant(world)
    own = world.patient._policies.find(made.policy_id)
    view = policy_view(own.terms, own.on_chain)
    assert (view.policy_id, view.grantee, view.scopes) == (made.policy_id, world.clinician.address, ("laboratory",))
    assert view == own.view()
    assert view.patient == Address(world.patient.address)


def test_one_is_found_behind_another_whose_terms_are_lost(world: World, tmp_path: Path) -> None:
    lost, kept = grant(world), grant(world, "nurse")
    del world.network.store.held[CID.parse(lost.terms_cid)]
    elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
    assert elsewhere._policies.find(kept.policy_id).terms.grantee == world.nurse.address
    with pytest.raises(BlockNotFoundError):
        elsewhere._policies.find(lost.policy_id)


def test_terms_are_opened_once_in_a_session_and_those_of_the_chain_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [grant(world).policy_id, grant(world, "nurse").policy_id]
    policies, opened = world.patient._policies, list[int]()
    verified = policies._verified

    def counted(index: int, sealed: bytes) -> Terms:
        opened.append(index)
        return verified(index, sealed)

    monkeypatch.setattr(policies, "_verified", counted)
    before = [own.terms for own in policies]
    assert [own.policy_id for own in policies] == made
    assert [own.terms for own in policies] == before
    assert sorted(set(opened)) == sorted(opened)
    # Terms with another digest on chain aren't those that were opened.
    with pytest.raises((BlockNotFoundError, IntegrityError)):
        policies._open(0, replace(policies.find(made[0]).on_chain, terms=b"\1" * 32))
