"""Groups: each act says what it does before it does it, and does it by the SDK."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.model.actors import Role
from panachain.portal.pages.practitioner_groups import ACTS
from tests.portal.conftest import Client, Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.portal.pages.pressing import failed
from tests.unit.sdk.helpers import DAY, upload


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def do(client: Client, act: str, **fields: str) -> str:
    """Do something to a group, and return what the page of the outcome shows."""
    return text_of(client.finish(client.agree(client.submit(f"/groups/{act}", **fields))))


def test_a_group_lives_from_its_making_to_its_end(portal: Portal, world: World) -> None:
    manager, member = portal.client_of("clinician"), portal.client_of("nurse")
    assert "You are in no group." in text_of(manager.page("/groups"))
    assert "The group is there." in do(manager, "create")
    (group,) = world.clinician.groups()
    asked = text_of(manager.submit("/groups/invite", group=group.handle, who=world.nurse.address).text)
    assert "Once they accept" in asked
    # Whom a name means is said whole.
    assert world.nurse.address in asked
    assert group.group in asked
    assert world.clinician.groups()[0].invited == ()
    do(manager, "invite", group=group.group, who=world.nurse.whoami().handle)
    assert group.handle in text_of(member.page("/groups"))
    member.page(f"/groups/{group.handle}", status=404)
    assert "You are a member now." in do(member, "accept", group=group.group)
    assert "Leave" in text_of(member.page(f"/groups/{group.handle}"))
    upload(world)
    made = world.patient.grant(group.handle, "laboratory", until=world.now + DAY)
    assert f"member of {group.handle}" in text_of(member.page("/inbox"))
    assert "the group's key is renewed" in do(manager, "remove", group=group.group, who=world.nurse.address)
    assert world.clinician.groups()[0].generation == 1
    assert "renewed once" in text_of(manager.page(f"/groups/{group.handle}"))
    assert made.policy_id not in member.page("/inbox")
    do(manager, "renew", group=group.group)
    assert world.clinician.groups()[0].generation == 2
    assert "The group is closed." in do(manager, "close", group=group.group)
    assert "closed" in text_of(manager.page("/groups"))


def test_an_invitation_is_declined_and_a_member_leaves(portal: Portal, world: World) -> None:
    group = world.clinician.create_group()
    world.clinician.add_member(group.handle, world.nurse.address)
    client = portal.client_of("nurse")
    assert "You aren't in the group." in do(client, "decline", group=group.group)
    assert world.nurse.invitations() == []
    world.clinician.add_member(group.handle, world.nurse.address)
    world.nurse.accept_group(group.handle)
    assert "You aren't in the group any more." in do(client, "leave", group=group.group)
    assert "a renewal is due" in text_of(portal.client_of("clinician").page(f"/groups/{group.handle}"))


def test_a_group_is_handed_over(portal: Portal, world: World) -> None:
    group = world.clinician.create_group()
    world.clinician.add_member(group.handle, world.nurse.address)
    world.nurse.accept_group(group.handle)
    client = portal.client_of("clinician")
    do(client, "hand-over", group=group.group, who=world.nurse.address)
    assert "Invite somebody" in text_of(portal.client_of("nurse").page(f"/groups/{group.handle}"))
    assert "Invite somebody" not in text_of(client.page(f"/groups/{group.handle}"))


def test_what_is_confirmed_is_about_those_who_were_shown(portal: Portal, world: World) -> None:
    group = world.clinician.create_group()
    client = portal.client_of("clinician")
    asked = client.submit("/groups/invite", group=group.group, who=world.nurse.address)
    client.agree(asked, 400, who=world.stranger.address)
    assert world.clinician.groups()[0].invited == ()


def test_whoever_does_not_manage_a_group_changes_nothing(portal: Portal, world: World) -> None:
    group = world.clinician.create_group()
    client = portal.client_of("nurse")
    asked = client.submit("/groups/invite", group=group.group, who=world.stranger.address)
    assert "doesn't manage" in text_of(failed(client, asked, 403))


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("unmake", {}, 404),
        ("accept", {}, 400),
        ("invite", {"group": "GROUP"}, 400),
        ("accept", {"group": "<b>"}, 404),
        ("invite", {"group": "GROUP", "who": "nobody"}, 404),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    portal: Portal, world: World, path: str, fields: dict[str, str], status: int
) -> None:
    group = world.clinician.create_group()
    given = {name: group.group if value == "GROUP" else value for name, value in fields.items()}
    portal.client_of("clinician").submit(f"/groups/{path}", status, **given)


def test_each_act_has_its_words() -> None:
    for act in ACTS.values():
        assert act.sentences
        assert act.done
        told = [sentence % {"group": "g", "who": "w"} for sentence in act.sentences]
        assert any("%(who)s" in sentence for sentence in act.sentences) == act.names_somebody
        assert all(told)


def test_is_for_practitioners(portal: Portal) -> None:
    portal.client_of(Role.PATIENT).page("/groups", status=403)
