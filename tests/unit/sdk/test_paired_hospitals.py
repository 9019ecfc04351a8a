"""A patient's hospitals: who may publish, what each knows, and that one broken pairing hides none of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.errors import IntegrityError
from panachain.model.actors import Role
from panachain.sdk import lanes
from panachain.sdk.contacts import add_contact
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload


def by_name(world: World) -> dict[str, Any]:
    known = {world.sessions[name].address: name for name in ("hospital", "clinic")}
    return {known[one.hospital]: one for one in world.patient.hospitals.all()}


def test_each_hospital_is_there_with_what_it_knows(world: World) -> None:
    upload(world)
    found = by_name(world)
    assert {name: (one.paired, one.current, one.published) for name, one in found.items()} == {
        "hospital": (True, True, 1),
        "clinic": (True, True, 0),
    }
    assert all(one.lanes > 20 and one.last_year >= 2027 and one.orders == 0 for one in found.values())


def test_a_former_hospital_stays_in_the_list_and_learns_nothing_new(world: World) -> None:
    upload(world)
    world.patient.unpair(world.clinic.address)
    world.patient.revoke(grant(world), rotate=True)
    found = by_name(world)
    assert (found["clinic"].paired, found["clinic"].current) == (False, False)
    assert (found["hospital"].paired, found["hospital"].current) == (True, True)
    assert found["hospital"].orders > 0


def test_a_pairing_that_cannot_be_read_hides_no_other_hospital(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = lanes.OwnLanes.stated_by

    def broken(self: Any, event: Any) -> Any:
        if event.hospital == world.clinic.address:
            raise IntegrityError("it isn't this patient's own")
        return real(self, event)

    monkeypatch.setattr(lanes.OwnLanes, "stated_by", broken)
    found = world.patient.hospitals.all()
    assert [one.hospital for one in found] == [world.hospital.address]
    assert [left.item for left in found.left_out] == [world.clinic.address]


def test_hospitals_are_called_what_this_machine_calls_them(world: World) -> None:
    add_contact(world.home, "city", world.hospital.address, Role.HOSPITAL)
    names = {one.hospital: one.name for one in world.patient.hospitals.all()}
    assert names[world.hospital.address] == "city"


def test_what_was_published_changes_with_every_batch_and_every_pairing(world: World) -> None:
    seen = [world.patient.hospitals.published()]
    upload(world)
    seen.append(world.patient.hospitals.published())
    world.patient.unpair(world.clinic.address)
    seen.append(world.patient.hospitals.published())
    assert len(set(seen)) == 3
    assert world.patient.hospitals.published() == seen[-1]


def test_one_is_named_without_being_changed(world: World) -> None:
    one = world.patient.hospitals.all()[0]
    assert replace(one, name="other") == one
