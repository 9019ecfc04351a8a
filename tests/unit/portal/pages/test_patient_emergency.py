"""Emergencies by pages: prepared and vetoed by the patient, asked for, co-signed and opened at work, and reviewed."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from panachain.model.actors import Address, Role
from panachain.sdk.results.emergencies import EmergencyView
from tests.portal.conftest import ORIGIN, Client, Portal, text_of
from tests.twin.world import World
from tests.unit.portal.hostile import TEXTS, harmless
from tests.unit.sdk.helpers import upload

REASON = "found unconscious, no relatives"


def desk_of(world: World) -> Address:
    """Return an emergency desk: the clinician, and a nurse of the same hospital."""
    group = world.clinician.create_group()
    world.clinician.add_member(group.group, world.nurse.address)
    world.nurse.accept_group(group.group)
    return Address(group.group)


def prepared(portal: Portal) -> Client:
    """Let the patient prepare by pages."""
    client = portal.client_of(Role.PATIENT)
    asked = client.submit("/emergency/own/prepare", desk=desk_of(portal.world), years="2")
    assert "a second one of the same hospital co-signs" in text_of(asked.text)
    assert "It ends in 2 years" in text_of(asked.text)
    assert "and never else" in text_of(client.finish(client.agree(asked)))
    return client


def broken(portal: Portal, client: Client, reason: str = REASON) -> int:
    """Break the glass by pages, and return the number of the emergency."""
    world = portal.world
    fields = {"patient": world.patient.address, "colleague": world.nurse.address, "reason": reason}
    question = client.submit("/emergency/request", **fields)
    assert "The patient is told at once who asked and why" in text_of(question.text)
    told = text_of(client.finish(client.agree(question)))
    found = re.search(r"co-sign emergency (\d+) within an hour", told)
    assert found
    return int(found[1])


def ended(client: Client, answer: Any) -> str:
    """Wait for work that fails, and return what its page says."""
    for _ in range(2_000):
        if "data-running" not in answer.text:
            break
        time.sleep(0.02)
        answer = client.get(answer.url.path)
    return text_of(answer.text)


def test_what_shall_wait_is_chosen_with_its_time(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    desk = desk_of(portal.world)
    wait = {"desk": desk, "years": "1", "later": ["conditions", "mental-health"]}
    for wrong in ({}, {"delay": "0"}, {"delay": "20"}, {"delay": "240"}, {"delay": "30", "later": ["gossip"]}):
        client.submit("/emergency/own/prepare", 400, **(wait | wrong))
    client.submit("/emergency/own/prepare", 400, desk=desk, years="1", delay="30")
    asked = client.submit("/emergency/own/prepare", **wait, delay="30")
    told = text_of(asked.text)
    assert "only 30 minutes after the second signature: conditions, mental health" in told.lower().replace("  ", " ")
    assert "Blood groups" in told
    client.finish(client.agree(asked))
    delays = sorted(own.terms.emergency_delay for own in portal.world.patient.emergency._active())
    assert delays[-2:] == [0, 1800]
    assert "mental health" in text_of(client.page("/emergency/own")).lower()


def test_what_was_prepared_opens_with_two_signatures_and_the_patient_sees_it(portal: Portal) -> None:
    patient = prepared(portal)
    upload(portal.world, 1, category="allergies")
    assert "An emergency desk" in text_of(patient.page("/emergency/own"))
    client = portal.client_of(Role.PRACTITIONER)
    number = broken(portal, client)
    page = client.page("/emergency")
    assert REASON in text_of(page)
    # Nothing opens before the co-signature, and no button says that it would.
    assert "Open the emergency summary" not in page
    refused = client.post(
        "/emergency/open", data={"csrf": client.token(), "emergency": str(number)}, headers={"origin": str(ORIGIN)}
    )
    assert "it opens something only while it is active" in ended(client, refused)
    portal.world.nurse.emergency.cosign(number)
    assert "Open the emergency summary" in text_of(client.page("/emergency"))
    done = client.finish(client.submit("/emergency/open", emergency=str(number)))
    assert "One record was opened" in text_of(done) or "records were opened" in text_of(done)
    assert "/opened/" in done
    told = text_of(portal.client_of(Role.PATIENT).page("/emergency/own"))
    assert REASON in told
    assert "active now" in told
    # And the registrar holds the review, once.
    registrar = portal.client_of(Role.REGISTRAR)
    assert REASON not in registrar.page("/reviews")
    question = registrar.submit("/reviews/hold", emergency=str(number))
    assert "can't be taken back" in text_of(question.text)
    assert "the review was held" in text_of(registrar.finish(registrar.agree(question)))
    assert f'value="{number}"' not in registrar.page("/reviews")


def test_a_colleague_cosigns_by_a_page_and_nobody_for_themselves(portal: Portal) -> None:
    prepared(portal)
    world, client = portal.world, portal.client_of(Role.PRACTITIONER)
    asked: EmergencyView = world.nurse.emergency.request(
        world.patient.address, REASON, colleague=world.clinician.address
    )
    assert "Co-sign" in text_of(client.page("/emergency"))
    question = client.submit("/emergency/cosign", emergency=str(asked.emergency_id))
    assert REASON in text_of(question.text)
    assert "You co-signed" in text_of(client.finish(client.agree(question)))
    assert world.nurse.emergency.find(asked).state == "active"
    own = broken(portal, client)
    assert f'aria-label="Co-sign emergency {own}"' not in client.page("/emergency")


def test_a_veto_is_confirmed_and_closes(portal: Portal) -> None:
    client = prepared(portal)
    question = client.submit("/emergency/own/veto")
    assert "Nobody will be able to open your emergency summary" in text_of(question.text)
    assert portal.world.patient.emergency.policies()
    assert "deleted their shares" in text_of(client.finish(client.agree(question)))
    assert portal.world.patient.emergency.policies() == []
    assert "No emergency desk can open anything" in text_of(client.page("/emergency/own"))


def test_the_card_shows_the_handle_and_nothing_that_opens(portal: Portal) -> None:
    page = portal.client_of(Role.PATIENT).page("/emergency/own/card")
    assert portal.world.patient.whoami().handle in page
    assert "<svg" in page


@pytest.mark.parametrize(
    ("role", "path", "fields"),
    [
        (Role.PATIENT, "/emergency/own/prepare", {"desk": "x", "years": "7"}),
        (Role.PATIENT, "/emergency/own/prepare", {"desk": "nobody", "years": "1"}),
        (Role.PRACTITIONER, "/emergency/request", {"patient": "x", "colleague": "y", "reason": "  "}),
        (Role.PRACTITIONER, "/emergency/request", {"patient": "x", "colleague": "y", "reason": "x" * 2001}),
        (Role.PRACTITIONER, "/emergency/cosign", {"emergency": "one"}),
        (Role.PRACTITIONER, "/emergency/open", {"emergency": "9" * 16}),
        (Role.REGISTRAR, "/reviews/hold", {"emergency": "-1"}),
    ],
)
def test_what_a_form_cannot_mean_is_refused(portal: Portal, role: Role, path: str, fields: dict[str, str]) -> None:
    client = portal.client_of(role)
    answer = client.post(path, data={"csrf": client.token(), **fields}, headers={"origin": str(ORIGIN)})
    assert answer.status_code in (400, 404), text_of(answer.text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_reason_is_harmless(portal: Portal, text: str) -> None:
    world = portal.world
    world.clinician.emergency.request(world.patient.address, text[:2000], colleague=world.nurse.address)
    assert harmless(portal.client_of(Role.PATIENT).page("/emergency/own"))
    assert harmless(portal.client_of(Role.PRACTITIONER).page("/emergency"))
