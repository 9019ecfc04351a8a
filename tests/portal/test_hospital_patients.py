"""A hospital's patients: who is paired, what was published, what was withdrawn and corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Address, Role
from panachain.sdk.contacts import add_contact
from panachain.sdk.hospital import Hospital
from panachain.sdk.results.uploads import PublishedView
from tests.portal.conftest import Client, Portal, forms_of, text_of
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import upload

HOSTILE = "<script>alert(1)</script>"
STRANGER = Address("0x52908400098527886E0F7030069857D2E4169EE7")


def published(world: World, count: int = 1) -> list[str]:
    before = {record.record_id for record in world.hospital.records()}
    upload(world, count)
    return [record.record_id for record in world.hospital.records() if record.record_id not in before]


def page_of(client: Client, world: World, **query: Any) -> str:
    return client.page(f"/patients/{world.patient.address}", **query)


def test_lists_who_is_paired_and_leads_to_each(portal: Portal) -> None:
    published(portal.world)
    page = portal.client_of(Role.HOSPITAL).page("/patients")
    assert f"/patients/{portal.world.patient.address}" in page
    assert "paired" in text_of(page)


def test_a_patients_page_tells_the_pairing_and_each_record(portal: Portal) -> None:
    (record,) = published(portal.world)
    page = page_of(portal.client_of(Role.HOSPITAL), portal.world)
    told = text_of(page)
    assert record in page
    assert "laboratory" in told
    assert "nothing beside what the hospital closes" in told
    assert record not in page_of(portal.client_of(Role.HOSPITAL), portal.world, category="imaging")


def test_a_record_is_withdrawn_once_it_was_confirmed(portal: Portal) -> None:
    world, client = portal.world, portal.client_of(Role.HOSPITAL)
    (record,) = published(world)
    fields = {"patient": world.patient.address, "record": record, "reason": "wrong-patient"}
    asked = client.submit("/patients/withdraw", **fields)
    assert "counts no more, for ever: about another person" in text_of(asked.text)
    assert world.hospital.overview.life().withdrawals == ()
    done = text_of(client.finish(client.agree(asked)))
    assert "1 record counts no more" in done
    assert [one.reason for one in world.hospital.overview.life().withdrawals] == ["wrong-patient"]
    shown = text_of(client.page("/withdrawals"))
    assert "about another person" in shown
    assert f'value="{record}"' not in page_of(client, world)
    assert "statement of this hospital" in text_of(page_of(client, world))
    again = client.agree(client.submit("/patients/withdraw", **fields | {"reason": "entered-in-error"}))
    assert "1 record was withdrawn before" in text_of(client.finish(again))


def test_a_confirmation_withdraws_what_it_showed_and_nothing_else(portal: Portal) -> None:
    world, client = portal.world, portal.client_of(Role.HOSPITAL)
    first, second = published(world, 2)
    before = len(world.hospital.overview.life().withdrawals)
    fields = {"patient": world.patient.address, "record": first, "reason": "entered-in-error"}
    client.agree(client.submit("/patients/withdraw", **fields), 400, record=second)
    client.agree(client.submit("/patients/withdraw", **fields), 400, reason="wrong-patient")
    assert len(world.hospital.overview.life().withdrawals) == before


@pytest.mark.parametrize("fields", [{"record": []}, {"reason": "because"}, {"reason": ""}, {"patient": "nobody"}])
def test_a_withdrawal_needs_records_a_reason_and_a_patient(portal: Portal, fields: dict[str, Any]) -> None:
    world = portal.world
    usual = {"patient": world.patient.address, "record": "bafy", "reason": "wrong-patient"}
    portal.client_of(Role.HOSPITAL).submit("/patients/withdraw", 400, **{**usual, **fields})


@pytest.mark.parametrize("other", [HOSTILE, "bafy", ""])
def test_a_record_of_nobodys_is_refused_before_the_confirmation(portal: Portal, other: str) -> None:
    client, world = portal.client_of(Role.HOSPITAL), portal.world
    (record,) = published(world)
    fields = {"patient": world.patient.address, "reason": "wrong-patient"}
    answer = client.submit("/patients/withdraw", 409, record=[record, other], **fields)
    assert "1 record that was chosen isn't one of this patient" in text_of(answer.text)
    assert HOSTILE not in answer.text
    assert not [hidden for _, hidden in forms_of(answer.text) if "confirmation" in dict(hidden)]


def test_a_confirmation_about_one_patient_withdraws_no_record_of_another(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, world = portal.client_of(Role.HOSPITAL), portal.world
    mine, theirs = published(world, 2)
    records = Hospital.records

    def shared(self: Hospital, **how: Any) -> Iterator[PublishedView]:
        for one in records(self, **how):
            yield replace(one, patient=STRANGER) if one.record_id == theirs else one

    monkeypatch.setattr(Hospital, "records", shared)
    fields = {"patient": world.patient.address, "reason": "wrong-patient"}
    client.submit("/patients/withdraw", 409, record=[mine, theirs], **fields)
    client.submit("/patients/withdraw", 409, record=theirs, **fields)
    asked = client.submit("/patients/withdraw", record=[mine, mine], **fields)
    # A record that is named twice is one record.
    assert "1 record of" in text_of(asked.text)
    assert world.patient.address in text_of(asked.text)


def test_a_correction_shows_its_versions(portal: Portal, tmp_path: Path) -> None:
    world = portal.world
    for number, when in enumerate(("2024-07-01T00:00:00Z", "2025-07-01T00:00:00Z")):
        folder = tmp_path / str(number)
        folder.mkdir()
        one = resource("laboratory", 2024, 90_001) | {"meta": {"lastUpdated": when}, "valueString": when}
        (folder / "a.json").write_text(json.dumps(one))
        world.hospital.upload([folder], world.patient.address)
    told = text_of(page_of(portal.client_of(Role.HOSPITAL), world))
    assert "1 resource has more than one version here" in told


def test_who_took_the_pairing_back_is_told(portal: Portal) -> None:
    world = portal.world
    client = portal.client_of("clinic")
    world.patient.unpair(world.clinic.address)
    try:
        assert "Not paired any more" in text_of(page_of(client, world))
        assert "not paired any more" in text_of(client.page("/patients"))
    finally:
        world.patient.pair(world.clinic.address)


@pytest.mark.parametrize("path", [f"/patients/{HOSTILE}", "/patients/0x12", "/patients/..%2f..%2fetc", "/patients/%00"])
def test_what_is_no_address_is_refused(portal: Portal, path: str) -> None:
    answer = portal.client_of(Role.HOSPITAL).get(path)
    assert answer.status_code in (400, 404)
    assert HOSTILE not in answer.text


@pytest.mark.parametrize("query", [{"category": HOSTILE}, {"page": "x"}, {"page": HOSTILE}])
def test_a_query_that_cannot_be_is_refused(portal: Portal, query: dict[str, str]) -> None:
    answer = portal.client_of(Role.HOSPITAL).get(f"/patients/{portal.world.patient.address}", params=query)
    assert answer.status_code == 400
    assert HOSTILE not in answer.text


@pytest.mark.parametrize("page", [-5, 0, 10**9, 10**30])
def test_a_page_beyond_the_list_is_empty(portal: Portal, page: int) -> None:
    client = portal.client_of(Role.HOSPITAL)
    for path in ("/patients", "/withdrawals", "/batches", f"/patients/{portal.world.patient.address}"):
        assert client.get(path, params={"page": page}).status_code == 200


def test_a_long_list_has_pages(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panachain.portal.pages.hospital_patients.PER_PAGE", 2)
    published(portal.world, 5)
    client = portal.client_of(Role.HOSPITAL)
    first, second = page_of(client, portal.world), page_of(client, portal.world, page=2)
    assert "page=2" in first
    assert {part for part in first.split('"') if part.startswith("bafy")}.isdisjoint(
        part for part in second.split('"') if part.startswith("bafy")
    )


def test_a_hostile_name_of_the_address_book_does_nothing(portal: Portal) -> None:
    folder = portal.world.home
    try:
        add_contact(folder, HOSTILE, portal.world.patient.address)
    except Exception:  # noqa: BLE001 - the address book refuses it, which is as well.
        return
    assert HOSTILE not in portal.client_of(Role.HOSPITAL).page("/patients")
