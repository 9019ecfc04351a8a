"""Key blocks in a whole network: lists need nobody's, and a lost or wrong one costs its owner's part only.

Real actors and proxies over twins of the chains. The machine forgets what it kept: it is as one that never had it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from panachain.errors import (
    BlockNotFoundError,
    IntegrityError,
    PanaChainError,
    PartlyDoneError,
    ProxiesUnavailableError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Role
from panachain.sdk.key_blocks import FOLDER
from panachain.storage.blocks import keep
from tests.twin.world import World, actor_of, resource, running_world, seed_of


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        running.upload("clinic", [resource("laboratory", 2024, 2)])
        yield running


def forget(world: World) -> None:
    """Make this machine one that has read nobody's key block yet."""
    world.network.key_blocks._read.clear()
    for path in (world.home / FOLDER).iterdir():
        path.unlink()


def lose(world: World, actor: Actor, *, lie: bool = False) -> None:
    """Let the store lose an actor's key block, or give another one in its place."""
    forget(world)
    cid = CID(RAW, actor.key_digest)
    if lie:
        # As a store that doesn't check its own blocks would.
        world.network.store.held[cid] = (seed_of("eve").public_keys().encode(), 0.0)
    else:
        world.network.store.delete_blocks([cid])


def grant(world: World, who: str = "clinician") -> Any:
    return world.patient.grant(world.sessions[who].address, ["laboratory"], until=world.now + 1000)


def everybody(world: World) -> list[Actor]:
    chains = world.network.mainchain.actors.find(), world.network.sidechain.identities.find()
    return [*chains[0], *chains[1], *world.network.sidechain.groups.find()]


def reads(world: World, act: Callable[[], object]) -> set[str]:
    """Return whose key blocks an act fetches from the store."""
    forget(world)
    owners = {CID(RAW, actor.key_digest): actor.address for actor in everybody(world)}
    found, real = set(), world.network.store.get_block

    def get(cid: CID) -> bytes:
        found.add(owners.get(cid))
        return real(cid)

    world.network.store.get_block = get
    try:
        act()
    finally:
        world.network.store.get_block = real
    return found - {None}


def test_what_lists_people_fetches_nobodys_block(world: World) -> None:
    group = world.clinician.create_group().group
    world.clinician.add_member(group, world.nurse.address)
    world.clinician.request(world.patient.address, ["allergies"])
    grant(world)
    lists: list[Callable[[], object]] = [
        lambda: everybody(world),
        lambda: world.network.resolve(world.hospital.address, Role.HOSPITAL),
        lambda: world.network.resolver.known([actor.address for actor in everybody(world)]),
        world.network.proxies,
        world.network.hospital_heads,
        lambda: list(world.patient.policies()),
        lambda: list(world.patient.requests()),
        lambda: list(world.clinician.requests()),
        world.clinician.groups,
        world.nurse.invitations,
        world.clinician.whoami,
    ]
    for act in lists:
        assert reads(world, act) == set()


def test_whoever_is_verified_is_fetched_and_nobody_else(world: World) -> None:
    policy = grant(world)
    assert reads(world, lambda: list(world.clinician.inbox())) == {world.patient.address}
    hospitals = {world.hospital.address, world.clinic.address}
    assert reads(world, lambda: list(world.clinician.open(policy))) == {world.patient.address, *hospitals}
    assert reads(world, lambda: list(world.patient.records())) == hospitals
    proxies = {proxy.address for proxy in world.proxies}
    assert reads(world, lambda: grant(world, "nurse")) == {world.nurse.address, *proxies}
    # Once: the next act of this machine fetches nothing.
    found = len(list(world.network.key_blocks._folder.iterdir()))
    assert found == 1 + len(proxies)


@pytest.mark.parametrize("lie", [False, True], ids=["lost", "another block"])
class TestWrongBlocks:
    """A block that the store lost, and one that it lies about."""

    def errors(self, lie: bool) -> type[PanaChainError]:
        return IntegrityError if lie else BlockNotFoundError

    def test_of_a_grantee_is_told_and_nothing_is_granted(self, world: World, lie: bool) -> None:
        lose(world, world.clinician.profile.actor, lie=lie)
        with pytest.raises(self.errors(lie), match=f"key block of {world.clinician.profile.handle}"):
            grant(world)
        assert list(world.patient.policies()) == []
        assert grant(world, "nurse").deposited

    def test_of_one_patient_leaves_out_their_policies(self, world: World, lie: bool) -> None:
        made = grant(world).policy_id
        lose(world, world.patient.profile.actor, lie=lie)
        inbox = world.clinician.inbox()
        assert list(inbox) == []
        (left,) = inbox.left_out
        assert made in str(left)
        assert world.patient.profile.handle in str(left)
        with pytest.raises(self.errors(lie), match=world.patient.profile.handle):
            list(world.clinician.open(made))

    def test_of_one_hospital_costs_its_records_only(self, world: World, lie: bool) -> None:
        made = grant(world).policy_id
        lose(world, world.hospital.profile.actor, lie=lie)
        for opening in (world.clinician.open(made), world.patient.records()):
            found = []
            with pytest.raises(PartlyDoneError, match="left out") as caught:
                found += opening
            assert {one.hospital for one in caught.value.omissions} == {world.hospital.address}
            assert any(world.hospital.profile.handle in str(one) for one in caught.value.omissions)

    def test_of_one_proxy_costs_its_share_only(self, world: World, lie: bool) -> None:
        first = world.proxies[0].actor
        lose(world, first, lie=lie)
        made = grant(world)
        assert (made.deposited, made.lacking) == (2, 1)
        assert len(list(world.clinician.open(made))) == 2
        # Whoever has the block puts it again, and the share is handed out.
        world.network.store.held.pop(CID(RAW, first.key_digest), None)
        keep(world.network.store, first.public_keys.encode())
        forget(world)
        world.patient.settle()
        assert world.patient._grants.lacking() == {}

    def test_of_too_many_proxies_is_told(self, world: World, lie: bool) -> None:
        for proxy in world.proxies[:2]:
            lose(world, proxy.actor, lie=lie)
        with pytest.raises(ProxiesUnavailableError, match="key block"):
            grant(world)

    def test_of_one_member_keeps_no_other_from_new_keys(
        self, world: World, lie: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        group = world.clinician.create_group().group
        world.clinician.add_member(group, world.nurse.address)
        world.nurse.accept_group(group)
        lose(world, world.nurse.profile.actor, lie=lie)
        # `groups` says that a renewal is due, until the block is there again.
        assert world.clinician.renew_group(group).renewal_due
        assert world.nurse.profile.handle in caplog.text
        made = world.patient.grant(group, ["laboratory"], until=world.now + 1000)
        assert [view.policy_id for view in world.clinician.inbox()] == [made.policy_id]
        world.network.store.held.pop(CID(RAW, world.nurse.profile.actor.key_digest), None)
        world.nurse.register()
        assert not world.clinician.renew_group(group).renewal_due
        assert [view.policy_id for view in world.nurse.inbox()] == [made.policy_id]


def test_whoever_registers_again_stores_a_block_that_was_lost(world: World) -> None:
    for name in ("patient", "hospital", "clinician", "researcher"):
        session = world.sessions[name]
        lose(world, session.profile.actor)
        assert not world.network.key_blocks.is_stored(session.whoami())
        session.register()
        cid = CID(RAW, session.profile.actor.key_digest)
        assert world.network.store.get_block(cid) == session.profile.keys.encode()
        assert cid in world.network.store.pinned


def test_who_is_registered_with_other_keys_than_the_profiles_is_told(world: World) -> None:
    registry = world.network.sidechain.identities.find()
    assert registry
    session = world.stranger
    other = actor_of("eve", Role.PRACTITIONER)
    object.__setattr__(session.profile, "keys", other.public_keys)
    with pytest.raises(IntegrityError, match="registered with other keys"):
        session.register()


def test_nobody_is_admitted_whose_block_can_not_be_stored(world: World) -> None:
    newcomer = actor_of("newcomer", Role.PRACTITIONER)
    bare = Actor(newcomer.address, newcomer.role, newcomer.status, newcomer.key_digest)
    with pytest.raises(IntegrityError, match="wasn't fetched"):
        world.registrar.admit(bare)
    assert world.network.sidechain.identities.identity_of(newcomer.address) is None
