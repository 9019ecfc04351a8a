"""The read log by pages: filtered, refused attempts too, each line with the receipts that prove it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from panachain.errors import PanaChainError, UsageError
from panachain.model.actors import Role
from panachain.portal.pages.patient_log import Log, Wanted
from panachain.sdk.readings import Dissent, Reading
from panachain.sdk.results.log import LogEntry
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, label, seat_of
from tests.unit.sdk.helpers import grant, opened, upload
from tests.unit.sdk.test_access import DOCTOR, NURSE


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def test_the_log_asks_shows_and_proves(portal: Portal, client: Client) -> None:
    upload(portal.world)
    made = grant(portal.world)
    assert opened(portal.world, made.policy_id) > 0
    portal.world.wait()
    page = client.finish(client.get("/log"))
    text = text_of(page)
    assert "clinician" in text
    assert "laboratory (treatment)" in text
    assert "practitioner, hospital" in text
    assert re.search(r"[23] proxies signed it, 2 must help", text)
    assert "clinician" in text_of(client.page("/log", who="hospit"))
    assert "No reading fits." in text_of(client.page("/log", only="doubtful"))
    proof = client.page("/log/1")
    assert "Who signed it" in proof
    answer = client.get("/log/1/receipts.json")
    document = json.loads(answer.text)
    assert {one["kind"] for one in document["receipts"]} == {"reencrypted"}
    assert all(len(one["signature"]) == 130 for one in document["receipts"])
    assert len({one["proxy"] for one in document["receipts"]}) >= 2


def test_the_log_is_filtered_by_the_query(portal: Portal, client: Client) -> None:
    client.finish(client.get("/log"))
    assert "clinician" in text_of(client.page("/log", who="clin"))
    for name, value in (
        ("who", "stranger"),
        ("category", "vitals"),
        ("only", "refused"),
        ("only", "late"),
        ("until", "2001-01-01"),
    ):
        assert "No reading fits." in text_of(client.page("/log", **{name: value})), name
    client.page("/log", status=400, since="yesterday")


def test_a_reading_that_there_is_not_leads_back_to_the_log(client: Client) -> None:
    client.finish(client.get("/log"))
    for number in ("0", "999", "x", "-1"):
        assert client.get(f"/log/{number}", follow_redirects=False).headers["location"] == "/log"


def reading(at: int, **changes: Any) -> Reading:
    made = Reading(
        requester=DOCTOR,
        granted_to=DOCTOR,
        policy_id="0x" + "01" * 20,  # type: ignore[arg-type]
        what=("laboratory/2024",),
        purpose="TREAT",
        at=at,
        ended_at=at,
        permitted=True,
        envelopes=1,
        proxies=(DOCTOR, NURSE),
        who="doctor",
    )
    return replace(made, **changes)


DAY = 86_400
FOUND = [
    reading(10 * DAY),
    reading(20 * DAY, who="nurse", requester=NURSE, permitted=False),
    reading(30 * DAY, what=("vitals",), late=(DOCTOR,)),
]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(), [0, 1, 2]),
        (Wanted(who="NUR"), [1]),
        (Wanted(who=NURSE[:8]), [1]),
        (Wanted(category="laboratory"), [0, 1]),
        (Wanted(category="labor"), []),
        (Wanted(only="refused"), [1]),
        (Wanted(only="late"), [2]),
        (Wanted(since="1970-01-15"), [1, 2]),
        (Wanted(until="1970-01-15"), [0]),
        (Wanted(since="1970-01-15", until="1970-01-25"), [1]),
        (Wanted(policy="0x" + "02" * 20), []),
    ],
)
def test_filters_choose_what_they_say(wanted: Wanted, places: list[int]) -> None:
    assert wanted.chosen(FOUND) == [FOUND[place] for place in places]


@pytest.mark.parametrize("text", ["x", "2027-13-01", *TEXTS], ids=label)
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Wanted(since=text).chosen(FOUND)


@pytest.mark.parametrize("path", ["/log", "/records"])
def test_what_the_work_shows_is_the_page_in_the_navigation_too(client: Client, path: str) -> None:
    shown = client.finish(client.get(path))
    assert re.search(rf'<a href="{path}" aria-current="page">', shown)
    assert f'name="back" value="{path}"' in shown


@pytest.mark.parametrize("text", TEXTS, ids=label)
def test_hostile_texts_in_the_log_are_shown_as_text(portal: Portal, client: Client, text: str) -> None:
    client.finish(client.get("/log"))
    changes: dict[str, Any] = {
        "requester": text,
        "granted_to": text + "x",
        "what": (text,),
        "purpose": text,
        "who": text,
        "role": text,
        "organisation": text,
        "organisation_name": text,
        "needed": 2,
        "unconfirmed": 1,
        "silent": (text,),
        "dissents": tuple(
            Dissent(NURSE, says, text) for says in ("refused", "served", "requester", "granted_to", "purpose", text)
        ),
    }
    fault = LogEntry(1, "lied", "0x" + "01" * 20, DOCTOR, 0, reason=str(PanaChainError(text)))  # type: ignore[arg-type]
    silent = replace(fault, kind="silent", proxy=NURSE)
    seat_of(portal).put("log", Log([fault, silent], [reading(DAY, **changes)], (), 5))
    assert harmless(client.page("/log"))
    assert harmless(client.page("/log/1"))
    assert harmless(client.get("/log", params={"who": text, "category": text, "policy": text, "page": text}).text)
    assert harmless(client.get("/log", params={"since": text}).text)


def test_where_proxies_do_not_agree_the_log_says_so(portal: Portal, client: Client) -> None:
    client.finish(client.get("/log"))
    agreed = reading(DAY, who="doctor", needed=2, proxies=(DOCTOR, NURSE))
    doubted = replace(agreed, at=2 * DAY, ended_at=2 * DAY, dissents=(Dissent(NURSE, "purpose", "HRESCH"),))
    few = replace(agreed, at=3 * DAY, ended_at=3 * DAY, proxies=(DOCTOR,), unconfirmed=1)
    seat_of(portal).put("log", Log([], [few, doubted, agreed], (), 5))
    text = text_of(client.page("/log"))
    assert text.count("2 proxies signed it, 2 must help") == 2
    assert "1 proxy signed otherwise" in text
    assert "said to be read, by too few proxies" in text
    assert text_of(client.page("/log", only="doubtful")).count("must help") == 2
    proof = text_of(client.page("/log/2"))
    assert "The proxies don't agree on this." in proof
    assert "names another purpose: research" in proof
    assert "fewer proxies signed than an opening takes" in text_of(client.page("/log/3"))
    # What was granted to others is told as the sidechain knows it.
    team = replace(agreed, granted_to=NURSE, dissents=())
    told = [
        replace(team, standing=one, at=at, ended_at=at) for at, one in enumerate(("member", "emergency", "outside"))
    ]
    seat_of(portal).put("log", Log([], told, (), 5))
    text = text_of(client.page("/log"))
    assert "in an emergency" in text
    assert "to whom they didn't belong then" in text
    assert text.count("as a member of") == 1
    assert "in an emergency" in text_of(client.page("/log/2"))
    assert "honest proxies refuse that" in text_of(client.page("/log/1"))
    assert "<strong>although" in client.page("/log")
    assert "<strong>although" in client.page("/log/1")
    # Of a grant for emergencies there is no group, and what isn't known is neither.
    against = replace(told[2], standing="no-emergency")
    unknown = replace(told[2], standing="", at=1, ended_at=1)
    seat_of(portal).put("log", Log([], [unknown, against], (), 5))
    text = text_of(client.page("/log"))
    assert "granted only for emergencies, and not in an emergency of theirs" in text
    assert "it isn't known in what capacity they read" in text
    assert "as a member of" not in text
    assert "didn't belong" not in text
    for number, words in ((1, "not in an emergency of theirs"), (2, "isn't known in what capacity")):
        proof = text_of(client.page(f"/log/{number}"))
        assert words in proof
        assert "As a member of" not in proof
    # What one proxy alone says, or what was refused, doesn't stand out.
    lone = replace(told[2], proxies=(DOCTOR,), envelopes=0, unconfirmed=1)
    few_say = replace(lone, needed=3, proxies=(DOCTOR, NURSE), at=1, ended_at=1)
    seat_of(portal).put("log", Log([], [lone, few_say, replace(lone, permitted=False, at=0, ended_at=0)], (), 5))
    for path in ("/log", "/log/1", "/log/2", "/log/3"):
        assert "<strong>although" not in client.page(path)
    text = text_of(client.page("/log"))
    assert text.count("to whom they didn't belong then") == 3
    assert (text.count("says one proxy alone"), text.count("say 2 proxies, too few for an opening")) == (1, 1)
    # One proxy's word that it served too late is one proxy's word.
    late = replace(few, late=(DOCTOR,))
    refused = replace(agreed, permitted=False, proxies=(DOCTOR,), asked=3)
    seat_of(portal).put("log", Log([], [late, refused], (), 5))
    text = text_of(client.page("/log"))
    assert "said to be read, by too few proxies" in text
    assert "read after the end" not in text
    assert "refused, says one proxy alone" in text


def test_evidence_is_submitted_once_that_is_confirmed(portal: Portal, client: Client) -> None:
    made = grant(portal.world)
    asked = client.submit("/log/convict", policy=made.policy_id)
    assert "The contract suspends such a proxy" in text_of(asked.text)
    assert "No receipt convicts anybody" in text_of(client.finish(client.agree(asked)))


def test_the_log_is_proven_and_taken_along(portal: Portal, client: Client) -> None:
    upload(portal.world)
    opened(portal.world, grant(portal.world).policy_id)
    portal.world.wait()
    assert client.get("/log/audit.json").headers.get("location") in ("/log", None)
    page = client.finish(client.get("/log"))
    assert "Have it proven that nothing is missing" in page
    text = text_of(client.finish(client.submit("/log/verify")))
    assert "Each proxy proved that it left nothing out." in text
    assert "nothing is left out" in text
    bundle = json.loads(client.get("/log/audit.json").text)
    assert bundle["entry"][0]["resource"]["resourceType"] == "AuditEvent"
    table = client.get("/log/readings.csv")
    assert table.text.startswith("when,until,who")
    assert "attachment" in table.headers["content-disposition"]


def test_a_proxy_that_contradicts_itself_is_shown(portal: Portal, client: Client) -> None:
    upload(portal.world)
    made = grant(portal.world)
    opened(portal.world, made.policy_id)
    portal.world.wait()
    liar = portal.world.proxies[0]
    true = liar.answer

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        status, content = true(path, body)
        if path != "/v1/proof":
            return status, content
        fields = json.loads(content)
        fields["items"] = fields["items"][::-1]
        return status, json.dumps(fields).encode()

    liar.answer = answer
    text = text_of(client.finish(client.submit("/log/verify")))
    liar.answer = true
    assert "A proxy contradicts its own log." in text
    assert "not in its order" in text
