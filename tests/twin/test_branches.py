"""Branches of a hospital group: keys of their own under one organisation, and a desk that reads what was granted to it.

The patient does nothing more than for one hospital, and sees which organisation a branch belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest

from panachain.errors import PanaChainError
from panachain.model.actors import Role
from panachain.sdk.names import Names
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.resolve import Resolver
from tests.twin.world import World, resource, running_world


def admit(self: World) -> None:
    """Register everybody, the clinic and all practitioners under the hospital, and pair the patient with both."""
    for proxy in self.proxies:
        self.registrar.admit(proxy.actor)
    for name, session in self.sessions.items():
        if name != "registrar":
            under = name == "clinic" or isinstance(session, Practitioner)
            organisation = self.hospital.address if under else None
            self.registrar.admit(replace(session.profile.actor, organisation=organisation))
    for name in ("hospital", "clinic"):
        self.patient.pair(self.sessions[name].address)


@pytest.fixture
def world() -> Iterator[World]:
    with patch.object(World, "admit", admit), running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1), resource("medications", 2024, 2)])
        running.upload("clinic", [resource("laboratory", 2024, 3)])
        yield running


@pytest.fixture
def desk(world: World) -> str:
    """The group's desk: a care group of the organisation, with two people."""
    made = world.clinician.create_group()
    assert made.organisation == world.hospital.address
    world.clinician.add_member(made.group, world.nurse.address)
    world.nurse.accept_group(made.group)
    return str(made.group)


def test_the_desk_opens_the_records_of_all_branches_and_only_what_was_granted(world: World, desk: str) -> None:
    policy = world.patient.grant(desk, ["laboratory"], until=world.now + 1000)
    for name in ("clinician", "nurse"):
        assert [view.policy_id for view in world.sessions[name].inbox()] == [policy.policy_id]
        opened = list(world.sessions[name].open(policy.policy_id))
        assert {record.info.hospital for record in opened} == {world.hospital.address, world.clinic.address}
        assert {record.info.category.name.lower() for record in opened} == {"laboratory"}
    for name in ("stranger", "hospital", "clinic"):
        with pytest.raises((PanaChainError, AttributeError)):
            list(world.sessions[name].open(policy.policy_id))


def test_a_branch_has_keys_of_its_own_and_opens_nothing_of_anothers(world: World) -> None:
    branch, head = world.clinic.whoami(), world.hospital.whoami()
    assert (branch.organisation, head.organisation) == (head.address, None)
    assert branch.receiving_key != head.receiving_key
    assert branch.verifying_key != head.verifying_key


def test_the_patient_sees_a_branch_under_its_organisation_and_may_type_it_so(world: World, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    resolver: Resolver = world.network.resolver
    names = Names(tmp_path_factory.mktemp("another machine"), resolver)
    names.learn([world.clinic.address, world.hospital.address])
    shown = names.of(world.clinic.address)
    assert shown == f"{world.clinic.whoami().handle} ({world.hospital.whoami().handle})"
    assert resolver.resolve(shown, Role.HOSPITAL).address == world.clinic.address
    assert names.of(world.hospital.address) == world.hospital.whoami().handle


def test_revoking_at_the_desk_ends_it_for_all_branches_records(world: World, desk: str) -> None:
    policy = world.patient.grant(desk, ["laboratory"], until=world.now + 1000)
    assert len(list(world.nurse.open(policy.policy_id))) == 2
    world.patient.revoke(policy.policy_id)
    with pytest.raises(PanaChainError):
        list(world.nurse.open(policy.policy_id))
