"""What changes something is confirmed: what was shown is what is done, once, in the session that saw it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.portal import rendering
from panachain.sdk.contacts import list_contacts
from tests.portal.conftest import ORIGIN, Client, Portal, forms_of

STRANGER = "0x52908400098527886E0F7030069857D2E4169EE7"
OTHER = "0x8617E340B3D01FA5F11F306F4090FD50E238070D"


@pytest.fixture
def patient(portal: Portal) -> Client:
    (portal.world.home / "contacts.json").unlink(missing_ok=True)
    return portal.client_of(Role.PATIENT)


def asked(client: Client) -> Any:
    return client.submit("/contacts/add", name="elsewhere", who=STRANGER)


@pytest.mark.parametrize(
    "changed",
    [
        {"who": OTHER},
        {"name": "doctor"},
        {"more": "1"},
        {"who": [STRANGER, OTHER]},
        {"confirmation": "0" * 64},
        {"confirmation": "é"},
        {"confirmation_shown": json.dumps(["Nothing happens"])},
        # Before any page was shown: a second later may be when this one is.
        {"confirmation_at": str(int(time.time()) - 1)},
    ],
)
def test_what_was_shown_is_what_is_done(portal: Portal, patient: Client, changed: dict[str, Any]) -> None:
    patient.agree(asked(patient), status=400, **changed)
    assert not list_contacts(portal.world.home)


def test_a_confirmation_counts_for_its_own_path_only(portal: Portal, patient: Client) -> None:
    page = patient.submit("/contacts/remove", name="elsewhere").text
    ((_, hidden),) = [form for form in forms_of(page) if "confirmation" in dict(form[1])]
    answer = patient.post("/contacts/rename", data=dict(hidden) | {"new": "x"}, headers={"origin": str(ORIGIN)})
    assert answer.status_code in (400, 404)


def test_a_confirmation_counts_once(portal: Portal, patient: Client) -> None:
    page = asked(patient)
    patient.agree(page)
    assert list_contacts(portal.world.home)
    patient.agree(patient.submit("/contacts/remove", name="elsewhere"))
    # The same button once more, from the browser's memory.
    patient.agree(page, status=409)
    assert not list_contacts(portal.world.home)


def test_a_confirmation_counts_in_its_own_session_only(portal: Portal, patient: Client) -> None:
    page = asked(patient)
    other = portal.client_of("nurse")
    other.agree(page, status=403)
    # Also with that session's own token.
    other.agree(page, status=400, csrf=other.token())
    assert not list_contacts(portal.world.home)


def test_an_old_confirmation_counts_no_more(portal: Portal, patient: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    page = asked(patient)
    later = time.time() + rendering.VALID + 5
    monkeypatch.setattr(rendering.time, "time", lambda: later)
    patient.agree(page, status=409)
    assert not list_contacts(portal.world.home)


def test_no_form_alone_changes_anything(portal: Portal, patient: Client) -> None:
    asked(patient)
    patient.submit("/blocked/add", who=portal.world.nurse.address)
    assert not list_contacts(portal.world.home)
    assert not portal.world.patient.blocked.accounts()


def test_the_confirmation_says_what_it_does_and_can_be_left(patient: Client) -> None:
    page = asked(patient).text
    assert STRANGER in page
    assert 'href="/contacts"' in page
