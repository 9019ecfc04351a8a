"""A patient's first page: who can read what until when, what waits, and the way to everything in two clicks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.portal.pages.patient_home import SOON, waiting
from tests.portal.conftest import Portal, text_of
from tests.unit.sdk.helpers import DAY, grant
from tests.unit.sdk.test_access import view


def test_nobody_reads_and_nothing_waits_at_first(portal: Portal) -> None:
    text = text_of(portal.client_of(Role.PATIENT).page("/home"))
    assert "Nobody but you can read your records." in text
    assert "Nothing waits for you." in text


def test_the_first_page_after_unlocking_is_the_overview(portal: Portal) -> None:
    assert portal.client_of(Role.PATIENT).get("/").url.path == "/home"


def test_a_person_finds_grant_log_and_revoke_in_two_clicks(portal: Portal) -> None:
    made = grant(portal.world, until=portal.world.now + 40 * DAY)
    client = portal.client_of(Role.PATIENT)
    home = client.page("/home")
    links = set(re.findall(r'href="(/[^"#]*)"', home))
    assert {"/grants/new", "/log", f"/grants/{made.policy_id}"} <= links
    assert 'action="/grants/revoke"' in client.page(f"/grants/{made.policy_id}")
    assert 'action="/grants/revoke"' in client.page("/grants")
    portal.world.patient.revoke(made)


def test_the_matrix_says_who_reads_which_category_until_when(portal: Portal) -> None:
    made = grant(portal.world, categories=("laboratory", "vitals"), until=portal.world.now + 40 * DAY)
    page = portal.client_of(Role.PATIENT).page("/home")
    table = page[page.index("<table") : page.index("</table>")]
    assert [re.sub("<[^>]+>", "", one) for one in re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", table)] == [
        "Person",
        "laboratory",
        "vital signs",
        "Grants",
    ]
    assert table.count("<time") == 2
    assert made.policy_id in table
    portal.world.patient.revoke(made)


def test_a_request_and_what_is_unfinished_wait(portal: Portal) -> None:
    world = portal.world
    world.clinician.request(world.patient.address, ["allergies"], "TREAT", "please", until=world.now + DAY)
    made = grant(world)
    for proxy in world.proxies[1:]:
        proxy.up = False
    world.patient.revoke(made)
    client = portal.client_of(Role.PATIENT)
    text = text_of(client.page("/home"))
    assert "asks for allergies" in text
    assert "1 of 3 proxies deleted their shares" in text
    for proxy in world.proxies:
        proxy.up = True
    asked = client.submit("/settle")
    assert "Nothing is granted that you didn't grant before." in text_of(asked.text)
    ended = client.finish(client.agree(asked))
    assert "the proxies deleted their shares" in text_of(ended)
    text = text_of(client.page("/home"))
    assert "1 of 3" not in text


def test_the_overview_is_for_patients_alone(portal: Portal) -> None:
    portal.client_of(Role.PRACTITIONER).page("/home", status=403)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"expires_at": 1000 + SOON}, "ending"),
        ({"lacking": 1, "expires_at": 10**9}, "unfinished"),
        ({"stage": "waiting until 2030-01-01T00:00:00Z", "status": PolicyStatus.UNKNOWN}, "unfinished"),
        ({"stage": "sent, not proven yet", "expires_at": 10**9}, "revocations"),
        ({"stage": "revoked on chain", "status": PolicyStatus.REVOKED}, "revocations"),
        ({"stage": "1 of 3 proxies deleted", "status": PolicyStatus.REVOKED}, "revocations"),
        ({"stage": "revoked elsewhere", "status": PolicyStatus.REVOKED}, "revocations"),
    ],
)
def test_each_thing_waits_in_one_place(changes: dict[str, Any], name: str) -> None:
    found = waiting([replace(view(1, "laboratory"), **changes)], [], now=1000.0)
    assert (len(getattr(found, name)), found.total) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": 10**9},
        {"stage": "final", "status": PolicyStatus.REVOKED},
        {"stage": "lane rotated", "status": PolicyStatus.REVOKED},
        {"stage": "headers re-wrapped", "status": PolicyStatus.REVOKED},
        {"status": PolicyStatus.EXPIRED, "lacking": 1},
    ],
)
def test_what_is_done_or_over_waits_nowhere(changes: dict[str, Any]) -> None:
    assert waiting([replace(view(1, "laboratory"), **changes)], [], now=1000.0).total == 0
