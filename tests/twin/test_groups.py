"""A group's key and its generations, with real actors and proxies over twins of the chains.

Somebody who was removed knows nothing of what is granted afterwards; a member reads all; what goes wrong on the way is
said, and repaired by one command.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.consent.terms import open_terms
from panachain.crypto import notice
from panachain.crypto.keys import Seed
from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    PartlyDoneError,
    PolicyUnknownError,
    TransactionError,
    UnknownActorError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId, Role
from panachain.sdk.group_keys import seal_secrets
from panachain.sdk.proxies import Reader
from panachain.storage.blocks import keep
from tests.support import chain_refuses
from tests.twin.world import World, resource, running_world, seed_of


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


@pytest.fixture
def group(world: World) -> str:
    """A group that the clinician manages, with the nurse."""
    made = world.clinician.create_group().group
    world.clinician.add_member(made, world.nurse.address)
    world.nurse.accept_group(made)
    return str(made)


def grant(world: World, group: str) -> PolicyId:
    made: PolicyId = world.patient.grant(group, ["laboratory"], until=world.now + 1000).policy_id
    return made


def reads(world: World, name: str, policy_id: PolicyId) -> bool:
    """Tell whether somebody finds a policy, and opens its one record."""
    session = world.sessions[name]
    found = policy_id in [view.policy_id for view in session.inbox()]
    try:
        opened = len(list(session.open(policy_id)))
    except PolicyUnknownError:
        opened = 0
    assert opened == found
    return found


def secrets(world: World, name: str) -> list[Reader]:
    """Return everything that somebody reads with now."""
    return list(world.sessions[name]._readers())


def view(world: World, name: str = "clinician") -> Any:
    (found,) = world.sessions[name].groups()
    return found


def test_who_was_removed_can_not_open_the_terms_of_what_is_granted_afterwards(world: World, group: str) -> None:
    before, kept = grant(world, group), secrets(world, "nurse")
    assert reads(world, "nurse", before)

    shown = world.clinician.remove_member(group, world.nurse.address)
    after = grant(world, group)

    assert (shown.generation, shown.renewal_due, shown.members) == (1, False, (world.clinician.address,))
    events = {one.policy_id: one for one in world.network.mainchain.policies.events(kind="PolicyGranted")}
    blocks = {one: world.network.store.get_block(CID(RAW, events[one].terms)) for one in (before, after)}
    # The former member kept what they had, and nothing of it opens the newer terms.
    patient = world.patient.whoami().verifying_key
    assert open_terms(blocks[before], kept[-1].sealing).verified(policy_id=before, patient_verifying_key=patient)
    for reader in kept:
        with pytest.raises(IntegrityError):
            open_terms(blocks[after], reader.sealing)
    assert not reads(world, "nurse", before)
    assert not reads(world, "nurse", after)
    assert reads(world, "clinician", before)
    assert reads(world, "clinician", after)


def test_notices_to_a_renewed_key_are_noise_to_who_was_removed(world: World, group: str) -> None:
    kept = secrets(world, "nurse")
    world.clinician.remove_member(group, world.nurse.address)
    newest = world.network.key_blocks.of(world.network.resolve(group, Role.GROUP)).receiving_key
    policy_id = grant(world, group)

    found = [notice.is_for(kept[-1].secret, *notice.announce(newest, policy_id), policy_id) for _ in range(256)]

    # By chance once in 256 times; more than 12 times happens once in 10 billion runs.
    assert sum(found) <= 12


def test_a_new_member_reads_what_was_granted_to_any_generation(world: World, group: str) -> None:
    policies = [grant(world, group)]
    for _ in range(2):
        world.clinician.renew_group(group)
        policies.append(grant(world, group))

    world.clinician.add_member(group, world.stranger.address)
    world.stranger.accept_group(group)

    for name in ("clinician", "nurse", "stranger"):
        assert all(reads(world, name, policy_id) for policy_id in policies)
    # The reader's own key, and three generations.
    assert len(secrets(world, "stranger")) == 4


def test_who_leaves_makes_a_renewal_due_and_the_renewal_shuts_him_out(world: World, group: str) -> None:
    kept = secrets(world, "nurse")
    assert not view(world).renewal_due

    left = world.nurse.remove_member(group, world.nurse.address)

    assert (left.generation, left.renewal_due) == (0, True)
    assert view(world).renewal_due
    # Until then the former member could read the terms of new policies, and no proxy serves them.
    early = world.network.store.get_block(CID(RAW, digest_of(world, grant(world, group))))
    assert open_terms(early, kept[-1].sealing)
    done = world.clinician.renew_group(group)
    assert (done.generation, done.renewal_due) == (1, False)
    late = world.network.store.get_block(CID(RAW, digest_of(world, grant(world, group))))
    for reader in kept:
        with pytest.raises(IntegrityError):
            open_terms(late, reader.sealing)


def digest_of(world: World, policy_id: PolicyId) -> bytes:
    return world.network.mainchain.policies.policy_of(policy_id).terms


def test_only_the_manager_renews(world: World, group: str) -> None:
    for name in ("nurse", "stranger"):
        with pytest.raises(AccessDeniedError, match="doesn't manage"):
            world.sessions[name].renew_group(group)
    with chain_refuses("GroupNotManager"):
        world.stranger.remove_member(group, world.nurse.address)

    assert view(world).generation == 0


def test_a_removal_whose_renewal_fails_stays_and_says_what_to_repeat(world: World, group: str) -> None:
    failing = TransactionError("renewing a group's key: the node is gone", reason="")
    with (
        patch.object(world.network.sidechain.groups, "renew", side_effect=failing),
        pytest.raises(PartlyDoneError, match=r"no member .* isn't renewed: .*the node is gone") as caught,
    ):
        world.clinician.remove_member(group, world.nurse.address)

    handle = view(world).handle
    assert caught.value.hint == f"panachain --profile clinician group renew {handle}"
    assert (view(world).members, view(world).generation) == ((world.clinician.address,), 0)
    assert view(world).renewal_due
    assert not world.clinician.renew_group(handle).renewal_due


def test_the_second_of_two_renewals_from_one_generation_changes_nothing(world: World, group: str) -> None:
    stale = world.network.resolve(group, Role.GROUP)
    world.clinician.renew_group(group)
    policy_id = grant(world, group)

    with chain_refuses("GroupNotNextGeneration"):
        world.clinician._renew(stale)

    assert view(world).generation == 1
    assert reads(world, "nurse", policy_id)


def test_a_member_who_is_added_while_a_renewal_is_on_its_way_gets_its_key_too(world: World, group: str) -> None:
    sidechain, waiting = world.network.sidechain, [world.network.resolve(group, Role.GROUP)]
    add = sidechain.groups.add_member

    def renewed_first(*args: Any) -> Any:
        if waiting:
            world.clinician._renew(waiting.pop())
        return add(*args)

    with patch.object(sidechain.groups, "add_member", side_effect=renewed_first):
        shown = world.clinician.add_member(group, world.stranger.address)
    world.stranger.accept_group(group)

    assert (shown.generation, shown.renewal_due) == (1, False)
    assert reads(world, "stranger", grant(world, group))


def test_who_is_suspended_gets_no_new_key_and_is_let_in_again_by_a_renewal(world: World, group: str) -> None:
    world.registrar.suspend(world.nurse.address)
    assert view(world).renewal_due
    assert not world.clinician.renew_group(group).renewal_due
    policy_id = grant(world, group)

    world.reinstate("nurse")

    assert view(world).renewal_due
    assert not reads(world, "nurse", policy_id)
    assert not world.clinician.add_member(group, world.nurse.address).renewal_due
    assert reads(world, "nurse", policy_id)


def test_who_takes_a_group_over_gets_every_key(world: World, group: str) -> None:
    world.registrar.suspend(world.nurse.address)
    world.clinician.renew_group(group)
    world.reinstate("nurse")

    world.clinician.add_member(group, world.stranger.address)
    world.stranger.accept_group(group)
    for member in (world.nurse, world.stranger):
        manager = next(world.sessions[n] for n in ("clinician", "nurse") if manages(world, n, group))
        manager.hand_over_group(group, member.address)
        assert not member.renew_group(group).renewal_due
    policy_id = grant(world, group)

    assert all(reads(world, name, policy_id) for name in ("clinician", "nurse", "stranger"))


def manages(world: World, name: str, group: str) -> bool:
    found: bool = world.network.sidechain.groups.manager_of(group) == world.sessions[name].address  # type: ignore[arg-type]
    return found


def test_a_manager_who_left_the_list_hands_over_and_can_do_no_more(world: World, group: str) -> None:
    shown = world.clinician.remove_member(group, world.clinician.address)
    assert shown.renewal_due

    for act in (
        lambda: world.clinician.renew_group(group),
        lambda: world.clinician.add_member(group, world.stranger.address),
        lambda: world.clinician.hand_over_group(group, world.stranger.address),
    ):
        with pytest.raises(UnknownActorError, match="0 of 1 keys") as caught:
            act()
        assert "hand-over" in caught.value.hint
    with pytest.raises(PartlyDoneError, match="0 of 1 keys"):
        world.clinician.remove_member(group, world.nurse.address)

    other = world.clinician.create_group().group
    world.clinician.add_member(other, world.nurse.address)
    world.nurse.accept_group(other)
    world.clinician.remove_member(other, world.clinician.address)
    world.clinician.hand_over_group(other, world.nurse.address)
    assert world.nurse.renew_group(other).generation == 1


def test_a_closed_group_is_due_for_nothing(world: World, group: str) -> None:
    world.clinician.close_group(group)

    world.nurse.remove_member(group, world.nurse.address)

    assert not view(world).renewal_due
    with chain_refuses("GroupAlreadyClosed"):
        world.clinician.renew_group(group)


@pytest.mark.parametrize("wrong", ["missing", "garbage", "of another group"])
def test_whoever_lists_a_reader_wrongly_does_not_keep_him_from_the_rest(
    world: World, group: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy_id = grant(world, group)
    trap = world.stranger.create_group()
    sealed = {
        "missing": CID.of(RAW, b"nobody has it").digest,
        "garbage": keep(world.network.store, b"garbage").digest,
        "of another group": keep(
            world.network.store, seal_secrets([Seed.random()], seed_of("nurse").sealing().public)
        ).digest,
    }[wrong]
    world.network.sidechain.groups.add_member(
        world.stranger._sender(sidechain=True), trap.group, world.nurse.address, sealed
    )
    world.nurse.accept_group(trap.group)

    assert reads(world, "nurse", policy_id)
    assert trap.handle in caplog.text


def test_a_granted_policy_names_the_newest_key_and_is_reissued_to_it(world: World, group: str) -> None:
    old = grant(world, group)
    world.clinician.renew_group(group)
    newest = world.network.resolve(group, Role.GROUP)

    new = world.patient.reissue(old).policy_id

    assert len(newest.earlier_keys) == 1
    keys = [world.patient.terms_of(one)[1].key_digest for one in (old, new)]
    assert keys == [newest.earlier_keys[0], newest.key_digest]
    # The group is the same one, whatever its key.
    assert world.patient.terms_of(new)[1].grantee == group
    assert replace(newest, key_digest=newest.earlier_keys[0], earlier_keys=()).handle == newest.handle
    assert reads(world, "nurse", new)
