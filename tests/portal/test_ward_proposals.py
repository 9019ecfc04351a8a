"""Wards by pages: proposed by a carer, attested by the registrar, taken over by the ward; no passphrase on a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.sdk import base, profiles
from tests.keystores import make_cheap
from tests.portal.conftest import ORIGIN, PASSPHRASE, Client, Portal, text_of
from tests.twin.test_wards import PAPERS, account_for, person
from tests.twin.world import World, running_world
from tests.unit.portal.pages.pressing import failed

SECRET = "words of a profile more"
DAY = 86_400


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with running_world() as made:
        make_cheap(monkeypatch, for_this_process_only=True)
        twins = base.unlock

        def unlock(profile: Any, secret: Any) -> Any:
            # What the portal makes has a key store of its own.
            return profiles.unlock(profile, secret) if profile.name.startswith("my-") else twins(profile, secret)

        monkeypatch.setattr(base, "unlock", unlock)
        yield made


def form(world: World, whom: str, **changed: Any) -> dict[str, Any]:
    return {
        "ward": whom,
        "name": "my-child",
        "papers": PAPERS,
        "until": str(date.fromtimestamp(world.now) + timedelta(days=1000)),
        "keeps": ["mental-health"],
        "keeps_from": "",
        "passphrase": SECRET,
        "again": SECRET,
    } | changed


def test_a_carer_proposes_and_the_registrar_attests(portal: Portal, world: World) -> None:
    child = person(world, "child")
    carer, registrar = portal.client_of(Role.PATIENT), portal.client_of(Role.REGISTRAR)
    assert 'href="/wards/new"' in carer.page("/wards")
    asked = carer.submit("/wards/new", **form(world, child.profile.handle))
    told = text_of(asked.text)
    assert child.address in told
    assert "You act in: everything." in told
    assert "They keep to themselves: mental health, from the beginning on." in told
    assert PAPERS in told
    assert SECRET not in asked.text
    assert not world.patient.wards.all()
    done = carer.agree(asked)
    assert "Show your papers to the registrar" in text_of(carer.finish(done))
    (made,) = world.patient.wards.all()
    assert (made.state, made.keeps) == ("accepted", ("mental-health",))
    assert SECRET not in done.text
    carer.agree(asked, 409)

    page = registrar.page("/wardships")
    assert "waits for the registrar" in text_of(page)
    assert PAPERS not in page
    asked = registrar.submit("/wardships/start", wardship=str(made.number))
    told = text_of(asked.text)
    assert world.patient.address in told
    assert "The ward keeps to themselves: mental health" in told
    assert world.patient.wards.find(made.number).state == "accepted"
    assert "It is attested" in text_of(registrar.finish(registrar.agree(asked)))
    assert world.patient.wards.find(made.number).state == "in force"
    registrar.submit("/wardships/start", 400, wardship=str(made.number))

    asked = registrar.submit("/wardships/end", wardship=str(made.number))
    assert "It can't be undone" in text_of(asked.text)
    assert "It is ended" in text_of(registrar.finish(registrar.agree(asked)))
    assert world.patient.wards.find(made.number).state == "ended"


def test_what_is_missing_or_wrong_is_refused_before_anything_is_made(portal: Portal, world: World) -> None:
    child = person(world, "child")
    carer = portal.client_of(Role.PATIENT)
    for wrong in (
        {"again": "another one"},
        {"passphrase": "short", "again": "short"},
        {"until": ""},
        {"until": "soon"},
        {"papers": " "},
        {"name": ""},
        {"ward": ""},
        {"keeps": ["gossip"]},
    ):
        answer = carer.submit("/wards/new", 400, **form(world, child.address, **wrong))
        assert SECRET not in answer.text
    carer.submit("/wards/new", 404, **form(world, "nobody"))
    # A name that is somebody's stays theirs.
    asked = carer.submit("/wards/new", **form(world, child.address, name="clinician"))
    assert "stays as it is" in failed(carer, asked, 400)
    assert world.clinician.profile.address == next(
        one.address for one in profiles.list_profiles(world.home) if one.name == "clinician"
    )
    assert not world.patient.wards.all()


def test_a_ward_takes_over_with_a_passphrase_that_stands_nowhere(portal: Portal, world: World) -> None:
    uncle = person(world, "uncle")
    account = account_for(world, uncle, world.patient.address)
    made = account.wards.propose(world.patient.address, uncle.address, PAPERS, until=world.now + 1000 * DAY)
    uncle.wards.accept(made)
    world.registrar.wards.start(made.number)
    ward = portal.client_of(Role.PATIENT)
    assert 'action="/wards/take-over"' in ward.page("/wards")
    fields = {"wardship": str(made.number), "name": "my-childhood", "passphrase": SECRET, "again": SECRET}
    asked = ward.submit("/wards/take-over", **fields)
    assert SECRET not in asked.text
    assert "my-childhood" not in [one.name for one in profiles.list_profiles(world.home)]
    told = text_of(ward.finish(ward.agree(asked)))
    assert "is yours." in told
    taken = next(one for one in profiles.list_profiles(world.home) if one.name == "my-childhood")
    assert taken.address == account.address


def test_only_the_registrar_attests_and_no_profile_is_made_where_many_work(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    carer: Client = portal.client_of(Role.PATIENT)
    carer.page("/wardships", 403)
    for path in ("start", "end"):
        carer.submit(f"/wardships/{path}", 403, wardship="1")
    token = carer.token()
    monkeypatch.setattr(portal.site, "way", None)
    carer.page("/wards/new", 403)
    for path in ("new", "take-over"):
        answer = carer.post(f"/wards/{path}", data={"csrf": token}, headers={"origin": str(ORIGIN)})
        assert answer.status_code == 403
    assert PASSPHRASE not in carer.page("/wards")
