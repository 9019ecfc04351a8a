"""Granting and revoking by pages: shown in plain words first, then exactly what was shown, in English and German."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from panachain.cli.patient import policy_words
from panachain.consent.explain import HEADINGS, explain_offer
from panachain.model.actors import Role
from panachain.model.policy import Disclosure, PolicyStatus
from panachain.model.scope import Category, Purpose
from panachain.portal.i18n import speaking
from panachain.portal.pages.patient_grants import told
from panachain.portal.rendering import moment
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.consent.test_explain import PATIENT, STATES, offer_of, terms_of
from tests.unit.consent.test_explain import told as explained
from tests.unit.portal.hostile import TEXTS, harmless, label
from tests.unit.sdk.helpers import DAY, grant


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def choice(portal: Portal, **changes: Any) -> dict[str, Any]:
    return {
        "who": portal.world.clinician.address,
        "categories": ["laboratory", "vitals"],
        "years": "",
        "purposes": ["TREAT"],
        "length": "30d",
        "day": "",
        **changes,
    }


def policies(portal: Portal) -> list[Any]:
    return list(portal.world.patient.policies())


def test_a_grant_says_what_it_allows_and_is_made_as_it_was_shown(portal: Portal, client: Client) -> None:
    world, before = portal.world, len(policies(portal))
    asked = client.submit("/grants/new", **choice(portal, years="2024"))
    text = text_of(asked.text)
    for part in (
        world.clinician.address,
        "laboratory, vital signs (2024)",
        f"For treatment, from {moment(world.now)} until {moment(world.now + 30 * DAY)}, that moment excluded.",
        "nothing is signed or sent before you confirm it",
        "Held by nobody: What was opened can't be called back",
        "Fewer than 2 of the 3 proxies open nothing",
    ):
        assert part in text, part
    assert len(policies(portal)) == before
    ended = client.finish(client.agree(asked))
    assert "can read" in text_of(ended)
    made = policies(portal)[-1]
    assert (made.grantee, made.scopes, made.status) == (
        world.clinician.address,
        ("laboratory/2024", "vitals/2024"),
        PolicyStatus.ACTIVE,
    )
    assert made.expires_at == world.now + 30 * DAY


def test_what_a_grant_allows_is_said_in_the_words_and_times_of_its_reader(portal: Portal) -> None:
    client, until = portal.client_of(Role.PATIENT, language="de"), portal.world.now + 30 * DAY
    asked = text_of(client.submit("/grants/new", **choice(portal)).text)
    with speaking("de"):
        assert f"bis {moment(until)}" in asked
    client.finish(client.agree(client.submit("/grants/new", **choice(portal))))
    shown = text_of(client.page(f"/grants/{policies(portal)[-1].policy_id}"))
    for page in (asked, shown):
        assert "TREAT" not in page
        assert "UTC" not in page


@pytest.mark.parametrize(
    "change",
    [
        {"until": "2000000000"},
        {"categories": "all"},
        {"grantee": "0x" + "11" * 20},
        {"purposes": "HRESCH"},
        {"years": ""},
    ],
)
def test_what_was_confirmed_can_not_be_changed(portal: Portal, client: Client, change: dict[str, str]) -> None:
    before = len(policies(portal))
    asked = client.submit("/grants/new", **choice(portal, years="2024"))
    client.agree(asked, status=400, **change)
    assert len(policies(portal)) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"who": ""},
        {"who": "nobody-here"},
        {"categories": []},
        {"categories": ["all"], "years": "2024"},
        {"purposes": []},
        {"length": ""},
        {"length": "date", "day": "2020-01-01"},
        {"years": "later"},
    ],
)
def test_what_does_not_fit_shows_the_form_again_with_what_was_typed(
    portal: Portal, client: Client, wrong: dict[str, Any]
) -> None:
    before = len(policies(portal))
    answer = client.submit("/grants/new", status=400, **choice(portal, **wrong))
    assert "Nothing was granted." in text_of(answer.text)
    if "categories" not in wrong:
        assert re.search(r'value="vitals" checked', answer.text)
    assert len(policies(portal)) == before


@pytest.mark.parametrize("text", TEXTS, ids=label)
def test_hostile_input_is_shown_as_text(portal: Portal, client: Client, text: str) -> None:
    for name in ("who", "years", "day", "length"):
        answer = client.submit("/grants/new", status=400, **choice(portal, **{"length": "date", name: text}))
        assert harmless(answer.text), name
    assert harmless(client.get("/grants/new", params={"to": text}).text)
    assert harmless(client.get("/grants", params={"show": text, "page": text}).text)
    assert harmless(client.get(f"/grants/{quote(text[:50], safe='')}").text)


def test_a_person_is_found_by_the_name_that_this_machine_has(portal: Portal, client: Client) -> None:
    assert 'value="clinician"' in client.page("/grants/new")
    asked = client.submit("/grants/new", **choice(portal, who="clinician"))
    text = text_of(asked.text)
    assert "patient lets clinician read" in text
    assert portal.world.clinician.address in text


def test_a_grant_has_a_page_with_what_it_allows_and_a_consent(portal: Portal, client: Client) -> None:
    made = grant(portal.world)
    text = text_of(client.page(f"/grants/{made.policy_id}"))
    for part in ("What it allows", "Held by mathematics", "Held by honest proxies", "Held by nobody", "laboratory"):
        assert part in text, part
    answer = client.get(f"/grants/{made.policy_id}/consent.json")
    document = json.loads(answer.text)
    assert (document["resourceType"], answer.headers["content-type"].split(";")[0]) == (
        "Consent",
        "application/fhir+json",
    )
    assert answer.headers["content-disposition"].startswith("attachment")


def test_what_opens_in_an_emergency_alone_is_marked_with_its_delay(portal: Portal, client: Client) -> None:
    world = portal.world
    desk = world.clinician.create_group().group
    world.patient.emergency.prepare(
        [desk], until=world.now + 30 * DAY, later=["conditions"], delay=timedelta(minutes=30)
    )
    text = text_of(client.page("/grants"))
    assert "only in an emergency, from the second signature on" in text
    assert "only in an emergency, 30 minutes after the second signature" in text
    (later,) = [one for one in policies(portal) if one.emergency_delay]
    assert "30 minutes after the second signature" in text_of(client.page(f"/grants/{later.policy_id}"))
    assert (later.emergency_delay, later.to_json()["emergency_delay"]) == (1800, 1800)
    assert policy_words(later.to_json())["state"] == "active, in an emergency, 30 min after the second signature"
    german = text_of(portal.client_of(Role.PATIENT, language="de").page("/grants"))
    assert "nur in einem Notfall, 30 Minuten nach der zweiten Unterschrift" in german
    made = grant(world)
    assert (made.emergency_delay, "emergency" in str(policy_words(made.to_json())["state"])) == (None, False)


def test_a_revocation_shows_its_steps_and_what_it_can_not_do(portal: Portal, client: Client) -> None:
    made = grant(portal.world)
    asked = client.submit("/grants/revoke", policy=made.policy_id)
    text = text_of(asked.text)
    assert "What was opened before can't be called back by anybody" in text
    assert "clinician reads laboratory by it." in text
    assert portal.world.patient.terms_of(made)[0].status is PolicyStatus.ACTIVE
    text = text_of(client.finish(client.agree(asked)))
    for part in ("the revocation is final", "3 of 3 signed, 2 are needed", "not asked for", "kept a copy"):
        assert part in text, part
    assert portal.world.patient.terms_of(made)[0].status is PolicyStatus.REVOKED
    assert "In force" in client.page("/grants")
    assert made.policy_id in client.page("/grants", show="over")


def test_new_lanes_are_told_before_and_done_after(portal: Portal, client: Client) -> None:
    world = portal.world
    made, other = grant(world), grant(world, who="nurse")
    asked = client.submit("/grants/revoke", policy=made.policy_id, rotate="yes")
    assert "Everybody else who reads these categories is granted anew" in text_of(asked.text)
    text = text_of(client.finish(client.agree(asked)))
    assert "grants of others moved to the new keys" in text or "grant of others moved" in text
    assert world.patient.terms_of(other)[0].status is PolicyStatus.REVOKED
    looked = client.finish(client.submit("/grants/look", policy=made.policy_id))
    assert "waits for the hospitals" in text_of(looked) or "done" in text_of(looked)


def test_a_revocation_that_too_few_proxies_heard_is_not_called_final(portal: Portal, client: Client) -> None:
    made = grant(portal.world)
    for proxy in portal.world.proxies[1:]:
        proxy.up = False
    try:
        text = text_of(client.finish(client.agree(client.submit("/grants/revoke", policy=made.policy_id))))
    finally:
        for proxy in portal.world.proxies:
            proxy.up = True
    assert "isn't final yet" in text
    assert "1 of 3 signed, 2 are needed" in text


def test_a_grant_of_somebody_else_is_no_page(client: Client) -> None:
    client.page("/grants/0x52908400098527886E0F7030069857D2E4169EE7", status=403)


@pytest.mark.parametrize("status", list(PolicyStatus))
@pytest.mark.parametrize("state", ["", *STATES])
def test_every_sentence_of_an_explanation_is_there_in_german(status: PolicyStatus, state: str) -> None:
    asked: set[str] = set()

    def remember(template: str) -> str:
        asked.add(template)
        return template

    everything = terms_of(("all", "emergency", *(one.value for one in Category)))
    narrow = terms_of(("all", "mental-health"), ()), terms_of(("laboratory",), (0, 2019, 2020))
    for terms in (everything, *narrow, replace(narrow[1], expires_at=2**47, purposes=tuple(Purpose))):
        for is_group in (False, True):
            explained(terms, status, is_group=is_group, revocation=state, nodes=3, quorum=2, translate=remember)
    explained(narrow[0], status, nodes=1, quorum=1, disclosure=Disclosure(purposes=1), translate=remember)
    explain_offer(offer_of(), patient=PATIENT, translate=remember)
    asked |= {heading for _, heading in HEADINGS}
    same = {"Person", "imaging"}
    with speaking("de"):
        assert {one for one in asked if told(one) == one} <= same


def test_in_german_everything_is_german(portal: Portal) -> None:
    german = portal.client_of(Role.PATIENT, language="de")
    # Whoever came first mustn't decide the language of the rest.
    portal.client_of(Role.PATIENT).page("/grants/new")
    form = text_of(german.page("/grants/new"))
    assert "die Notfallübersicht" in form
    assert "the emergency summary" not in form
    asked = german.submit("/grants/new", **choice(portal, categories=["all", "mental-health"]))
    text = text_of(asked.text)
    assert "alles außer" in text
    for english in (" lets ", "proxies open nothing", "can't be called back", "It isn't granted yet", "Held by"):
        assert english not in text, english
