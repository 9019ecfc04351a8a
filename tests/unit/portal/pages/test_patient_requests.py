"""Requests by pages: granted whole or in part, refused, and their senders blocked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, label
from tests.unit.sdk.helpers import DAY


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def ask(portal: Portal, *categories: str, note: str = "", who: str = "clinician") -> int:
    world = portal.world
    wanted = list(categories) or ["laboratory", "vitals"]
    made = world.sessions[who].request(world.patient.address, wanted, "TREAT", note, until=world.now + 20 * DAY)
    return int(made.request_id)


@pytest.fixture(autouse=True)
def _nothing_waits(portal: Portal) -> Iterator[None]:
    """Answer what a test asked: a practitioner can only wait for so much."""
    yield
    patient = portal.world.patient
    for one in patient.requests():
        if one.state == "open":
            patient.deny(one)


def view(portal: Portal, number: int) -> Any:
    return next(one for one in portal.world.patient.requests() if one.request_id == number)


def test_a_request_is_granted_in_part_and_for_shorter(portal: Portal, client: Client) -> None:
    number = ask(portal)
    assert f'id="request-{number}"' in client.page("/requests")
    asked = client.submit("/requests/approve", request=str(number), categories=["vitals"], length="7d")
    assert "read: vital signs." in text_of(asked.text)
    assert view(portal, number).state == "open"
    client.finish(client.agree(asked))
    answered = view(portal, number)
    assert (answered.state, answered.granted) == ("approved", ("vitals",))
    made = next(one for one in portal.world.patient.policies() if one.policy_id == answered.policy_id)
    assert (made.status, made.expires_at) == (PolicyStatus.ACTIVE, portal.world.now + 7 * DAY)
    assert f'id="request-{number}"' in client.page("/requests", show="answered")


def test_a_request_is_granted_whole_as_long_as_it_asks(portal: Portal, client: Client) -> None:
    number = ask(portal)
    wanted = ["laboratory", "vitals"]
    client.finish(
        client.agree(client.submit("/requests/approve", request=str(number), categories=wanted, length="asked"))
    )
    answered = view(portal, number)
    assert answered.granted == ("laboratory", "vitals")


@pytest.mark.parametrize(
    "change",
    [
        {"categories": ["all"]},
        {"categories": ["laboratory", "gender"]},
        {"categories": []},
        {"length": "365d"},
        {"request": "999999"},
        {"request": "-1"},
        {"request": "x"},
    ],
)
def test_more_than_was_asked_for_is_no_answer(portal: Portal, client: Client, change: dict[str, Any]) -> None:
    number = ask(portal)
    fields = {"request": str(number), "categories": ["laboratory"], "length": "asked", **change}
    answer = client.post(
        "/requests/approve",
        data={"csrf": client.token(), **fields},
        headers={"origin": str(client.base_url).rstrip("/")},
    )
    assert answer.status_code == 400
    assert view(portal, number).state == "open"


def test_a_request_is_refused(portal: Portal, client: Client) -> None:
    number = ask(portal)
    asked = client.submit("/requests/deny", request=str(number))
    assert view(portal, number).state == "open"
    assert "is refused" in text_of(client.finish(client.agree(asked)))
    assert view(portal, number).state == "denied"


@pytest.mark.parametrize("text", TEXTS[:-1], ids=label)
def test_a_hostile_note_is_shown_as_text(portal: Portal, client: Client, text: str) -> None:
    ask(portal, note=text[:200])
    assert harmless(client.page("/requests"))
    assert harmless(client.page("/home"))


def test_a_sender_is_blocked_from_the_list_and_not_heard_until_unblocked(portal: Portal, client: Client) -> None:
    number, who = ask(portal, who="nurse"), portal.world.nurse.address
    page = client.page("/requests")
    assert f'id="request-{number}"' in page
    assert 'action="/blocked/add"' in page
    client.agree(client.submit("/blocked/add", who=who))
    assert f'id="request-{number}"' not in client.page("/requests")
    client.agree(client.submit("/blocked/remove", who=who))
    assert f'id="request-{number}"' in client.page("/requests")
