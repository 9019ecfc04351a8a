"""Looking words up in the portal: a patient in their own records, a reader in those of a grant, and in no address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from panachain.model.actors import Role
from panachain.portal.pages import searching
from tests.portal.conftest import Client, Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import grant
from tests.unit.sdk.test_searching import lab, publish, words_cids


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def looked(client: Client, **fields: str) -> str:
    page: str = client.finish(client.submit("/search", **fields))
    return page


def test_a_patient_finds_what_both_hospitals_published(portal: Portal, world: World) -> None:
    publish(world, lab(1, "before <b>breakfast</b>", 131))
    publish(world, lab(2, "fasting"), where="clinic")
    client = portal.client_of(Role.PATIENT)
    assert "Nobody else learns what you look for." in text_of(client.page("/search"))
    page = looked(client, words="glucose")
    assert "2 records" in text_of(page)
    assert page.count('href="/records/') == 2
    assert text_of(page).count("all that its one storage transaction holds for you") == 2
    assert "131 mg/dL" in text_of(looked(client, words="glucose>126"))
    absent = text_of(looked(client, words="absent x<script>"))
    assert "No record has that." in absent
    assert "Complete: every list of words that was published for you" in absent


def test_the_answer_says_how_it_was_checked_and_what_is_missing(portal: Portal, world: World) -> None:
    publish(world, lab(1, "breakfast"))
    (words,) = words_cids(world)
    publish(world, lab(2, "fasting"), where="clinic")
    whole = text_of(looked(portal.client_of(Role.PATIENT), words="glucose"))
    assert "Complete" in whole
    assert "No server answered" in whole
    world.network.store.held.pop(words)
    told = text_of(looked(portal.client_of(Role.PATIENT), words="glucose"))
    assert "Complete" not in told
    assert "Not everything could be looked through" in told
    assert "Left out" in told
    assert "One record" in told


def test_only_some_records_are_looked_through(portal: Portal, world: World) -> None:
    publish(world, lab(1, "breakfast"))
    client = portal.client_of(Role.PATIENT)
    today = date.fromtimestamp(world.now)
    for fields, found in (
        ({"category": "laboratory"}, True),
        ({"category": "imaging"}, False),
        ({"since": str(today), "until": str(today)}, True),
        ({"until": str(today - timedelta(days=2))}, False),
        ({"since": str(today + timedelta(days=2))}, False),
    ):
        told = text_of(looked(client, words="glucose", **fields))
        assert ("One record" in told) is found, fields
    assert "is no date" in client.submit("/search", 400, words="glucose", since="yesterday").text
    client.submit("/search", 400, words="glucose", category="all")


def test_a_found_record_leads_to_its_page_though_records_were_not_read_yet(portal: Portal, world: World) -> None:
    publish(world, lab(1, "breakfast"))
    client = portal.client_of(Role.PATIENT)
    path = re.search(r'href="(/records/[^"]+)"', looked(client, words="glucose"))
    assert path
    assert "Who can read it" in text_of(client.finish(client.get(path[1])))


def test_a_practitioner_searches_in_a_grant(portal: Portal, world: World) -> None:
    publish(world, lab(1, "breakfast"))
    client = portal.client_of(Role.PRACTITIONER)
    assert "No grant is in force." in text_of(client.page("/search"))
    made = grant(world)
    page = client.page("/search")
    assert made.policy_id in page
    assert "The patient's log tells that you searched" in text_of(page)
    assert "One record" in text_of(looked(client, words="breakfast", policy=made.policy_id))


def test_what_cannot_be_looked_for_is_refused_at_once(portal: Portal, world: World) -> None:
    client = portal.client_of(Role.PATIENT)
    client.submit("/search", status=400, words="gl*")


def test_a_hospital_whose_words_cannot_be_read_is_not_called_complete(portal: Portal, world: World) -> None:
    publish(world, lab(1, "fasting"))
    (cid,) = words_cids(world)
    publish(world, lab(2, "fasting"), where="clinic")
    world.network.store.held.pop(cid)
    page = text_of(looked(portal.client_of(Role.PATIENT), words="fasting"))
    assert page.count("not all that it holds for you") == 1
    assert page.count("all that its one storage transaction holds for you") == 1


def test_whoever_reads_german_finds_german_plurals(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(world, lab(1, "Untersuchungen"))
    client = portal.client_of(Role.PATIENT)
    assert "No record has that." in text_of(looked(client, words="Untersuchung"))
    monkeypatch.setattr(searching, "current", lambda: "de")
    assert "One record" in text_of(looked(client, words="Untersuchung"))
