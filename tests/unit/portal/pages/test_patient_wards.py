"""Wards by pages: who acts for whom in what, accepted and ended when confirmed, and what was done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.model.actors import Role
from tests.portal.conftest import Client, Portal, text_of
from tests.twin.test_wards import PAPERS, account_for, person
from tests.twin.world import World, running_world
from tests.unit.portal.pages.pressing import failed

DAY = 86_400


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


@pytest.fixture
def client(portal: Portal) -> Client:
    """The patient's, who cares for a child."""
    return portal.client_of(Role.PATIENT)


def proposed(world: World) -> int:
    """Return the number of a wardship that names the patient as carer."""
    child = person(world, "child")
    account = account_for(world, world.patient, child.address)
    made = account.wards.propose(
        child.address,
        world.patient.address,
        PAPERS + "<img src=x>",
        until=world.now + 1000 * DAY,
        keeps=("mental-health",),
        keeps_from=world.now + 10 * DAY,
    )
    return made.number


def test_a_wardship_is_accepted_and_ended_when_that_is_confirmed(world: World, client: Client) -> None:
    assert "You care for nobody here" in text_of(client.page("/wards"))
    number = proposed(world)
    shown = client.page("/wards")
    assert "waits for the carer" in text_of(shown)
    assert PAPERS in text_of(shown)
    assert "<img" not in shown
    asked = client.submit("/wards/accept", wardship=str(number))
    assert "You act for" in text_of(asked.text)
    assert world.patient.wards.find(number).state == "proposed"
    client.finish(client.agree(asked))
    assert world.patient.wards.find(number).state == "accepted"
    world.registrar.wards.start(number)
    shown = text_of(client.page("/wards"))
    assert "in force" in shown
    assert "mental health" in shown
    asked = client.submit("/wards/end", wardship=str(number))
    assert world.patient.wards.find(number).state == "in force"
    client.finish(client.agree(asked))
    assert world.patient.wards.find(number).state == "ended"
    acts = text_of(client.page(f"/wards/{number}"))
    for word in ("proposed to act", "accepted to act", "attested it", "ended it"):
        assert word in acts


def test_others_wardships_show_nothing_and_are_not_ended(world: World, client: Client) -> None:
    child, uncle = person(world, "child"), person(world, "uncle")
    account = account_for(world, uncle, child.address)
    made = account.wards.propose(child.address, uncle.address, PAPERS, until=world.now + 1000 * DAY)
    assert "You care for nobody here" in text_of(client.page("/wards"))
    assert PAPERS not in client.page(f"/wards/{made.number}", status=403)
    asked = client.submit("/wards/end", wardship=str(made.number))
    assert "WardshipNotYours" in failed(client, asked, 500)
    assert uncle.wards.find(made.number).state == "proposed"


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 16, "１"])
def test_what_is_no_number_is_refused(world: World, client: Client, number: str) -> None:
    for path in ("/wards/accept", "/wards/end"):
        client.submit(path, 400, wardship=number)
