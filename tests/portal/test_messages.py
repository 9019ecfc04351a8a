"""Messages by pages: an address stands nowhere once it was typed, what is told is chosen, and a test arrives."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.sdk.watching import TEST, URGENT, Choice, Kind
from tests.portal.conftest import ORIGIN, Client, Portal, text_of
from tests.unit.sdk.test_notifying import WORD, Receiver, receiver

__all__ = ["receiver"]
SECRETS = (WORD, "secret-path")


@pytest.fixture
def patient(portal: Portal) -> Client:
    notifier = portal.world.patient.watching.notifier
    while notifier.services():
        notifier.remove(1)
    return portal.client_of(Role.PATIENT)


def seen(answer: Any) -> str:
    """Return all that a browser gets of an answer, with those that led to it."""
    every = [*answer.history, answer]
    return " ".join(f"{one.url} {one.headers} {one.text}" for one in every)


def test_an_address_is_typed_once_and_stands_nowhere(
    portal: Portal, patient: Client, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert "Messages go nowhere yet." in text_of(patient.page("/messages"))
    asked = patient.submit("/messages/add", url=receiver.url)
    assert "Messages go by json, too." in text_of(asked.text)
    assert portal.world.patient.watching.notifier.services() == []
    done = patient.agree(asked)
    assert portal.world.patient.watching.notifier.services() == ["json"]
    tested = patient.submit("/messages/test")
    assert "The test went to the one address." in text_of(patient.finish(tested))
    assert [one["message"] for one in receiver.came] == [TEST]
    receiver.status = 500
    failed = patient.submit("/messages/test")
    assert "The test went to 0 of 1 addresses." in text_of(patient.finish(failed))
    pages = " ".join(map(seen, (asked, done, tested, failed, patient.get("/messages"), patient.get("/settings"))))
    session = next(one for one in portal.desk._sessions.values() if one.seat)
    pages += repr(session) + repr(vars(session.seat)["_kept"]) + caplog.text
    for secret in SECRETS:
        assert secret not in pages


@pytest.mark.parametrize("url", ["", "hunter2", f"nothing://{WORD}", f"json://{WORD}\x1b[2J", f"{WORD}" * 400])
def test_what_is_no_address_is_refused_and_not_quoted(patient: Client, url: str) -> None:
    answer = patient.submit("/messages/add", 400, url=url)
    assert "Messages can't be sent to this address" in text_of(answer.text)
    assert WORD not in seen(answer)


def test_an_address_that_waits_counts_once_and_for_its_own_confirmation(patient: Client, receiver: Receiver) -> None:
    first = patient.submit("/messages/add", url=receiver.url)
    second = patient.submit("/messages/add", url=f"{receiver.url}/2")
    assert "isn't known any more" in text_of(patient.agree(first, 400).text)
    patient.agree(second)
    patient.agree(second, 409)


def test_an_address_is_removed_once_that_is_confirmed(portal: Portal, patient: Client, receiver: Receiver) -> None:
    notifier = portal.world.patient.watching.notifier
    notifier.add(receiver.url)
    asked = patient.submit("/messages/remove", number="1")
    assert "not of emergencies either" in text_of(asked.text)
    assert notifier.services() == ["json"]
    notifier.add("ntfys://a-topic")
    assert "changed meanwhile" in text_of(patient.agree(asked, 400).text)
    patient.agree(patient.submit("/messages/remove", number="1"))
    assert notifier.services() == ["ntfys"]
    for wrong in ("0", "2", "x", "-1", "１"):
        patient.submit("/messages/remove", 400, number=wrong)


def test_what_is_told_and_how_often_is_chosen(portal: Portal, patient: Client) -> None:
    watching = portal.world.patient.watching
    asked = patient.submit("/messages/choose", kind=["request", "expiry"], every="86400")
    told = text_of(asked.text)
    assert "You aren't told: a grant was made" in told
    assert "once a day, together" in told
    assert watching.choice() == Choice()
    patient.agree(asked)
    chosen = watching.choice()
    assert chosen.every == 86_400
    assert {Kind.REQUEST, Kind.EXPIRY, *URGENT} <= set(chosen.kinds)
    assert not {Kind.GRANT, Kind.FIRST_OPENING, Kind.ROTATION, Kind.WITHDRAWN} & set(chosen.kinds)
    for fields in ({"kind": ["gossip"], "every": "0"}, {"every": "1"}, {"every": "-1"}):
        patient.submit("/messages/choose", 400, **fields)
    # A practitioner is offered less, and what they aren't offered stays.
    doctor = portal.client_of(Role.PRACTITIONER)
    assert "somebody stated an emergency" not in text_of(doctor.page("/messages"))
    doctor.submit("/messages/choose", 400, kind=["request"], every="0")
    doctor.agree(doctor.submit("/messages/choose", kind=["expiry"], every="0"))
    assert "a colleague's emergency waits for your co-signature" in text_of(doctor.page("/messages"))
    kinds = portal.world.clinician.watching.choice().kinds
    assert Kind.GRANT not in kinds
    assert Kind.REQUEST in kinds
    hospital = portal.client_of(Role.HOSPITAL)
    assert "a proxy of yours doesn't answer" in text_of(hospital.page("/messages"))
    registrar = portal.client_of(Role.REGISTRAR)
    assert "an emergency waits for its review" in text_of(registrar.page("/messages"))


def test_where_many_work_nobody_sets_it_up(
    portal: Portal, patient: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = patient.token()
    monkeypatch.setattr(portal.site, "way", None)
    patient.page("/messages", 403)
    for path in ("add", "remove", "choose", "test"):
        answer = patient.post(f"/messages/{path}", data={"csrf": token}, headers={"origin": str(ORIGIN)})
        assert answer.status_code == 403
