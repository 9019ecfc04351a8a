"""Asking for access: what is asked is what was confirmed, and a request can be taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.model.actors import Role
from panachain.model.scope import Category
from panachain.portal.pages.practitioner_requests import WORDS
from tests.portal.conftest import Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import DAY

HOSTILE = "<script>alert(1)</script>\u202e=1+1\x1b[31m"
FIELDS = {"category": ["laboratory", "vitals"], "purpose": "TREAT", "days": "7", "note": "before surgery"}


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def test_asks_what_was_confirmed(portal: Portal, world: World) -> None:
    client = portal.client_of(Role.PRACTITIONER)
    assert "For how long?" in text_of(client.page("/asked/new"))
    asked = client.submit("/asked/new", patient=world.patient.whoami().handle, **FIELDS)
    shown = text_of(asked.text)
    assert "You ask for: laboratory, vital signs." in shown
    assert "7 days" in shown
    assert world.patient.address in shown
    assert world.patient.requests() == []
    client.finish(client.agree(asked))
    (made,) = world.patient.requests()
    assert (made.categories, made.purpose, made.note, made.until) == (
        *(("laboratory", "vitals"), "TREAT", "before surgery", world.now + 7 * DAY),
    )
    client.agree(client.submit("/asked/new", patient=world.patient.address, **FIELDS), 400, days="365")
    assert len(world.patient.requests()) == 1


def test_what_others_write_runs_nowhere(portal: Portal, world: World) -> None:
    client = portal.client_of(Role.PRACTITIONER)
    asked = client.submit("/asked/new", patient=world.patient.address, **(FIELDS | {"note": HOSTILE}))
    client.finish(client.agree(asked))
    for page in (asked.text, client.page("/asked"), client.page("/asked/new", patient=HOSTILE)):
        assert "<script>alert" not in page
        assert "\x1b" not in text_of(page)
        assert "\u202e" not in text_of(page)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"category": []}, 400),
        ({"category": ["genes"]}, 400),
        ({"purpose": "FUN"}, 400),
        ({"days": "9999"}, 400),
        ({"note": "x" * 2001}, 400),
        ({"patient": "nobody"}, 404),
    ],
)
def test_what_no_request_can_say_is_refused_in_words(
    portal: Portal, world: World, changed: dict[str, object], status: int
) -> None:
    client = portal.client_of(Role.PRACTITIONER)
    fields = FIELDS | {"patient": world.patient.address} | changed
    client.submit("/asked/new", status, **fields)
    assert world.clinician.requests() == []


def test_a_hospital_can_not_be_asked(portal: Portal, world: World) -> None:
    portal.client_of(Role.PRACTITIONER).submit("/asked/new", 404, patient=world.hospital.address, **FIELDS)


def test_shows_what_became_of_each(portal: Portal, world: World) -> None:
    client = portal.client_of(Role.PRACTITIONER)
    assert "You asked nobody yet." in text_of(client.page("/asked"))
    first, second = (
        world.clinician.request(world.patient.address, ["laboratory", "vitals"], until=world.now + DAY)
        for _ in range(2)
    )
    world.patient.deny(first)
    world.patient.approve(second, categories="vitals")
    page = text_of(client.page("/asked"))
    assert "refused" in page
    assert "approved What was granted" in page
    assert "Granted: vital signs" in page


def test_takes_an_open_request_back(portal: Portal, world: World) -> None:
    made = world.clinician.request(world.patient.address, "vitals")
    client = portal.client_of(Role.PRACTITIONER)
    asked = client.submit("/asked/withdraw", request=str(made.request_id))
    assert "can't approve it any more" in text_of(asked.text)
    client.finish(client.agree(asked))
    assert [one.state for one in world.patient.requests()] == ["withdrawn"]
    for number in (str(made.request_id), "99", "x", ""):
        client.submit("/asked/withdraw", 400, request=number)


def test_another_ones_request_is_not_taken_back(portal: Portal, world: World) -> None:
    made = world.nurse.request(world.patient.address, "vitals")
    portal.client_of(Role.PRACTITIONER).submit("/asked/withdraw", 400, request=str(made.request_id))
    assert [one.state for one in world.patient.requests()] == ["open"]


def test_is_for_practitioners(portal: Portal) -> None:
    for role in (Role.PATIENT, Role.RESEARCHER):
        portal.client_of(role).page("/asked", status=403)


def test_every_category_can_be_asked_for() -> None:
    assert {one.value for one in Category} < set(WORDS)


def test_refers_to_a_specialist_with_a_reason_and_not_without(portal: Portal, world: World) -> None:
    client, nurse = portal.client_of(Role.PRACTITIONER), world.nurse.address
    named = {"patient": world.patient.address, "specialist": nurse}
    client.submit("/asked/new", 400, **(FIELDS | named | {"note": " "}))
    client.submit("/asked/new", 404, **(FIELDS | named | {"specialist": world.hospital.address}))
    asked = client.submit("/asked/new", **(FIELDS | named))
    assert "who alone reads what is granted" in text_of(asked.text)
    assert world.patient.requests() == []
    client.finish(client.agree(asked))
    (made,) = world.patient.requests()
    assert (made.requester, made.referrer) == (nurse, world.clinician.address)
    assert "Referred by" in text_of(client.page("/asked"))
    shown = text_of(portal.client_of(Role.PATIENT).page("/requests"))
    assert "Referred by" in shown
