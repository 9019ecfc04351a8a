"""A patient's records by pages: listed in parts, each with who can and who did read it, and moved when confirmed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from panachain.model.actors import Role
from panachain.model.scope import Category
from panachain.portal.pages.patient_records import Records, listed, opens_wider
from panachain.sdk.lanes import OwnLanes
from panachain.sdk.results.records import LeftBehind
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, label, seat_of
from tests.unit.sdk.helpers import grant, opened, upload


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def the_list(client: Client) -> str:
    return client.finish(client.get("/records"))


def ids(portal: Portal) -> list[str]:
    return [record.info.header_cid for record in portal.world.patient.records()]


def test_records_are_listed_by_year_and_category(portal: Portal, client: Client) -> None:
    upload(portal.world, 2)
    upload(portal.world, 1, "clinic", "allergies")
    page = the_list(client)
    assert all(one in page for one in ids(portal))
    assert f"All ({len(ids(portal))})" in text_of(page)
    chosen = client.page("/records", category="allergies")
    assert chosen.count('href="/records/baf') == 1


def test_what_is_published_since_is_said_and_read_again(portal: Portal, client: Client) -> None:
    the_list(client)
    upload(portal.world)
    page = client.page("/records")
    assert "A hospital published something since" in text_of(page)
    again = client.finish(client.submit("/records/again"))
    assert all(one in again for one in ids(portal))
    assert "published something since" not in text_of(client.page("/records"))


def test_a_record_says_who_can_read_it_and_who_did(portal: Portal, client: Client) -> None:
    upload(portal.world)
    made = grant(portal.world)
    the_list(client)
    record = next(one for one in portal.world.patient.records() if one.info.category is Category.LABORATORY)
    name = record.info.header_cid
    page = client.page(f"/records/{name}")
    assert made.policy_id in page
    assert "Provenance as FHIR" in page
    assert "Nobody has opened" in text_of(client.finish(client.submit("/records/who", record=name)))
    assert opened(portal.world, made.policy_id) > 0
    told = text_of(client.finish(client.submit("/records/who", record=name)))
    assert "clinician read" in told
    # It stays with the record, and says by which grant.
    page = client.page(f"/records/{name}")
    assert "clinician read" in text_of(page)
    assert page.count(f'href="/grants/{made.policy_id}"') >= 2
    assert "Nothing in it has another version" in text_of(
        client.get(f"/records/{name}").text if client.finish(client.submit("/records/versions", record=name)) else ""
    )


def test_a_record_moves_once_that_is_confirmed(portal: Portal, client: Client) -> None:
    upload(portal.world)
    the_list(client)
    name = ids(portal)[0]
    asked = client.submit("/records/move", record=name, to="private")
    assert "Whoever opened it before keeps what they saw." in text_of(asked.text)
    assert "More people" not in text_of(asked.text)
    assert portal.world.patient.hospitals.all()[0].orders == 0
    assert "is asked to move it" in text_of(client.finish(client.agree(asked)))
    assert sum(one.orders for one in portal.world.patient.hospitals.all()) == 1


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        ("laboratory", "vitals", False),
        ("laboratory", "private", False),
        ("private", "laboratory", True),
        ("laboratory", "allergies", True),
        ("allergies", "laboratory", False),
        ("mental-health", "private", False),
    ],
)
def test_more_people_are_told_of_exactly_where_there_are_more(
    portal: Portal, before: str, after: str, wider: bool
) -> None:
    record: Any = next(portal.world.patient.records())
    there = replace(record, info=replace(record.info, category=Category(before)))
    assert opens_wider(there, Category(after)) is wider


def test_a_record_goes_to_the_viewer(portal: Portal, client: Client) -> None:
    the_list(client)
    name = ids(portal)[0]
    answer = client.post(
        "/records/view",
        data={"csrf": client.token(), "record": name},
        headers={"origin": str(client.base_url).rstrip("/")},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"].startswith("/opened/")) == (303, True)
    ((_, opening),) = seat_of(portal).openings.items()
    assert [one.info.header_cid for one in opening.records] == [name]
    assert "laboratory" in text_of(client.page(answer.headers["location"]))


def test_a_withdrawn_record_is_listed_apart(portal: Portal, client: Client) -> None:
    upload(portal.world)
    name = next(record.record_id for record in portal.world.hospital.records())
    portal.world.hospital.withdraw([name], "wrong-patient")
    the_list(client)
    page = client.page("/records/withdrawn")
    assert name in page
    assert "of another patient" in text_of(page)
    client.page(f"/records/{name}", status=404)


@pytest.mark.parametrize("text", TEXTS, ids=label)
def test_hostile_records_and_addresses_are_shown_as_text(portal: Portal, client: Client, text: str) -> None:
    the_list(client)
    seat = seat_of(portal)
    kept: Records = seat.keep["records"]
    info = replace(kept.records[0].info, media_type=text)
    seat.put("records", replace(kept, records=[replace(kept.records[0], info=info)]))
    assert harmless(client.page("/records"))
    assert harmless(client.page(f"/records/{info.header_cid}"))
    assert harmless(client.get("/records", params={"category": text, "page": text}).text)
    assert harmless(client.get(f"/records/{quote(text[:40], safe='')}").text)


def test_five_thousand_records_are_shown_in_parts(portal: Portal) -> None:
    record: Any = next(portal.world.patient.records())
    many = [replace(record, info=replace(record.info, header_cid=f"c{n}")) for n in range(5_000)]
    kept = Records(many, (), (), (), LeftBehind(), (), 0)
    shown = listed(kept, page="100")
    assert (shown.part.pages, len(shown.part.items), shown.part.items[-1].info.header_cid) == (100, 50, "c4999")


@pytest.fixture(autouse=True)
def _something_there(world: Any) -> None:
    if not list(world.patient.records()):
        upload(world)


def test_of_a_record_that_moved_who_may_have_kept_it_is_named(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(portal.world)
    made = grant(portal.world)
    portal.world.patient.revoke(made.policy_id, rotate=True)
    portal.world.hospital.rewrap()
    the_list(client)
    record = next(one for one in portal.world.patient.records() if one.info.category is Category.LABORATORY)
    headers, read = OwnLanes.headers, list[object]()

    def count(self: OwnLanes, findings: Any = None) -> Any:
        read.append(findings)
        return headers(self, findings)

    monkeypatch.setattr(OwnLanes, "headers", count)
    page = client.finish(client.submit("/records/who", record=record.info.header_cid))
    # All lanes at one look, and what is lacking is told once.
    assert len(read) == 1
    text = text_of(page)
    assert text.count("Openings of where it lies now are told here from this time on") == 1
    assert "Openings of where it lies now are told here from this time on" in text
    assert "Who may have kept where it lay before it was moved" in text
    assert "whether they kept it, nobody can tell" in text
    assert f'href="/grants/{made.policy_id}"' in page
