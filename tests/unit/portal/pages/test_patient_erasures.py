"""Erasures by pages: a patient asks once they read what can't be undone, the hospital does it or says why not."""

from __future__ import annotations

import pytest

from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.sdk.results.erasures import Erasures, ErasureView
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, seat_of
from tests.unit.sdk.helpers import grant, upload


def asked(portal: Portal, count: int = 1) -> tuple[Client, list[str]]:
    """Let the patient ask by pages to have records erased that were just published; return them."""
    before = {one.info.header_cid for one in portal.world.patient.records()}
    upload(portal.world, count)
    records = [one.info.header_cid for one in portal.world.patient.records() if one.info.header_cid not in before]
    client = portal.client_of(Role.PATIENT)
    client.finish(client.submit("/records/again"))
    for record in records:
        question = client.submit("/erasures/own/ask", record=record)
        assert "can't be undone" in text_of(question.text)
        assert "keeps what they saw" in text_of(question.text)
        assert "The hospital was asked" in text_of(client.finish(client.agree(question)))
    return client, records


def wishes(portal: Portal) -> tuple[Client, str]:
    """Let the hospital look what patients ask for."""
    client = portal.client_of(Role.HOSPITAL)
    client.finish(client.submit("/erasures/look"))
    return client, client.page("/erasures")


def test_a_grant_that_opens_nothing_any_more_is_ended(portal: Portal) -> None:
    policy = grant(portal.world, categories=("immunizations",)).policy_id
    patient = portal.client_of(Role.PATIENT)
    seat = seat_of(portal)
    seat.put("erasures", Erasures(()))
    assert "Grants that open nothing any more" not in text_of(patient.page("/erasures/own"))
    seat.put("erasures", Erasures((), idle=(policy,)))
    assert "Grants that open nothing any more" in text_of(patient.page("/erasures/own"))
    question = patient.submit("/erasures/own/end")
    assert "isn't granted to anybody any more" in text_of(question.text)
    # What opens nothing any more is looked for again: this one waits for what comes, so it stays.
    told = text_of(patient.finish(patient.agree(question)))
    assert "were ended. The proxies' logs say that" in told.replace("was ended", "were ended")
    assert portal.world.patient.terms_of(policy)[0].status is PolicyStatus.ACTIVE


def test_a_record_is_erased_and_both_see_it(portal: Portal) -> None:
    patient, (record,) = asked(portal)
    hospital, page = wishes(portal)
    assert f'value="{record}"' in page
    question = hospital.submit("/erasures/do", record=record)
    assert "1 record is deleted from every store of this hospital, for ever." in text_of(question.text)
    done = text_of(hospital.finish(hospital.agree(question)))
    assert "1 record is gone from every store, and that is attested on chain." in done
    assert record[:8] in hospital.page("/erasures")
    patient.finish(patient.submit("/erasures/own/look"))
    shown = patient.page("/erasures/own")
    assert "erased, and attested on chain" in text_of(shown)
    assert record in shown
    # The list of records names it as erased, and nothing as broken.
    listed = patient.finish(patient.submit("/records/again"))
    assert record not in listed
    assert "erased for ever" in text_of(patient.page("/records/withdrawn"))
    assert "erased this record" in text_of(patient.page(f"/records/{record}", 404))


def test_a_refusal_is_read_by_the_patient(portal: Portal) -> None:
    patient, (first, second) = asked(portal, 2)
    hospital, _ = wishes(portal)
    question = hospital.submit("/erasures/refuse", record=first, why="  until   2034 ")
    assert "until 2034" in text_of(question.text)
    assert "They may ask again" in text_of(hospital.finish(hospital.agree(question)))
    _, page = wishes(portal)
    assert f'value="{first}"' not in page
    assert f'value="{second}"' in page
    patient.finish(patient.submit("/erasures/own/look"))
    told = text_of(patient.page("/erasures/own"))
    assert "refused by the hospital" in told
    assert "until 2034" in told


@pytest.mark.parametrize("fields", [{}, {"record": "bafy"}, {"why": "x"}, {"record": "bafy", "why": "x" * 501}])
def test_a_refusal_needs_records_and_a_reason(portal: Portal, fields: dict[str, str]) -> None:
    portal.client_of(Role.HOSPITAL).submit("/erasures/refuse", 400, **fields)


def test_nothing_is_erased_that_nobody_chose_or_confirmed(portal: Portal) -> None:
    _, (record,) = asked(portal)
    client = portal.client_of(Role.HOSPITAL)
    client.submit("/erasures/do", 400)
    client.agree(client.submit("/erasures/do", record=record), 400, record="bafy")
    assert record in {one.record_id for one in portal.world.hospital.records()}


def test_what_was_interrupted_is_finished(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    assert "There was nothing to erase" in text_of(client.finish(client.submit("/erasures/finish")))


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_reason_is_harmless(portal: Portal, text: str) -> None:
    client = portal.client_of(Role.PATIENT)
    who = portal.world.hospital.address
    view = ErasureView("", who, portal.world.patient.address, "laboratory", 2025, "refused", why=text)
    seat_of(portal).put("erasures", Erasures((view,)))
    assert harmless(client.page("/erasures/own"))
