"""A group's people have names."""

from __future__ import annotations

from tests.twin.world import World


def test_a_group_its_manager_and_its_members_have_names_beside_their_addresses(world: World) -> None:
    made = world.clinician.create_group()
    assert made.group_name == made.handle
    assert made.manager_name in (world.clinician.profile.handle, world.clinician.profile.name)
    assert made.member_names == (made.manager_name,)
    assert made.members == (world.clinician.address,)
    assert not {"group_name", "manager_name", "member_names"} & made.to_json().keys()
