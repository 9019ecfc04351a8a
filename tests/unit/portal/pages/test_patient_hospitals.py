"""Hospitals by pages: paired and unpaired when confirmed, what each knows, and what all of them close."""

from __future__ import annotations

import pytest

from panachain.model.actors import Role
from panachain.portal.i18n import speaking
from panachain.portal.pages.patient_hospitals import word_of
from panachain.records.sensitivity.kinds import kinds
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, label
from tests.unit.portal.pages.pressing import failed


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def paired(portal: Portal) -> set[str]:
    return {one.hospital for one in portal.world.patient.hospitals.all() if one.paired}


def test_each_hospital_is_shown_with_what_it_knows(portal: Portal, client: Client) -> None:
    text = text_of(client.page("/hospitals"))
    assert text.count("public keys: of your categories and their years, up to") == 2
    assert "hospital" in text
    assert "clinic" in text


def test_a_hospital_is_unpaired_and_paired_when_that_is_confirmed(portal: Portal, client: Client) -> None:
    clinic = portal.world.clinic.address
    asked = client.submit("/hospitals/unpair", hospital=clinic)
    assert "may publish no more" in text_of(asked.text)
    assert clinic in paired(portal)
    client.finish(client.agree(asked))
    assert clinic not in paired(portal)
    asked = client.submit("/hospitals/pair", hospital="clinic")
    assert clinic in text_of(asked.text)
    assert clinic not in paired(portal)
    client.finish(client.agree(asked))
    assert clinic in paired(portal)


@pytest.mark.parametrize("text", ["nobody-here", "clinician", *TEXTS], ids=label)
def test_nobody_else_is_paired(portal: Portal, client: Client, text: str) -> None:
    before = paired(portal)
    answer = client.submit("/hospitals/pair", status=404, hospital=text)
    assert harmless(answer.text)
    assert paired(portal) == before


def test_choices_say_what_they_change_and_hospitals_are_told(portal: Portal, client: Client) -> None:
    page = client.page("/choices")
    assert page.count('name="closed"') == len(kinds())
    asked = client.submit("/choices", closed=["ETHUD"], emergency=["HIV"])
    text = text_of(asked.text)
    assert "Closed from now on: alcohol use." in text
    assert "In the emergency summary although closed: HIV and AIDS." in text
    assert portal.world.patient.choices.now().closed == ()
    assert "2 hospitals were told." in text_of(client.finish(client.agree(asked)))
    assert portal.world.patient.choices.now().closed == ("ETHUD",)
    asked = client.submit("/choices")
    assert "Left to each hospital again: alcohol use." in text_of(asked.text)
    client.finish(client.agree(asked))
    assert portal.world.patient.choices.now().closed == ()


def test_choices_that_changed_since_they_were_shown_are_not_changed_otherwise(portal: Portal, client: Client) -> None:
    choices = portal.world.patient.choices
    asked = client.submit("/choices", closed=["ETHUD"])
    choices.change(close={"HIV"})
    try:
        assert "was changed since" in failed(client, asked, 400)
        # It would have left this to hospitals again, which no sentence said.
        assert choices.now().closed == ("HIV",)
    finally:
        choices.change(reopen={"HIV"})


def test_no_change_asks_for_nothing(client: Client) -> None:
    answer = client.submit("/choices", closed=["no such kind", *TEXTS])
    assert answer.url.path == "/choices"


def test_every_kind_has_german_words() -> None:
    with speaking("de"):
        assert [code for code in kinds() if word_of(code) == kinds()[code].display] == []
        assert word_of("OTHER") == "OTHER"
