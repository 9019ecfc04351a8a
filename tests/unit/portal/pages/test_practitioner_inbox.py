"""What was granted, by patient: looked at, opened in whole or in part, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from panachain.ipld.cid import CID
from panachain.model.actors import Role
from panachain.portal.jobs import Job
from panachain.portal.pages import practitioner_inbox, viewing
from panachain.sdk.names import Names
from tests.portal.conftest import Client, Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.portal.pages.pressing import failed
from tests.unit.sdk.helpers import DAY, forge, grant, upload

HOSTILE = "<img src=x onerror=alert(1)>'\"&{{7*7}}"


@pytest.fixture
def world() -> Iterator[World]:
    """A world of its own for each test: what is granted is what the page shows."""
    with running_world() as made:
        yield made


def place(world: World) -> str:
    return f"/inbox/{world.patient.address}"


def opened(client: Client, path: str, **wish: str) -> str:
    """Open what is wished, and return the page of the outcome."""
    return client.finish(client.agree(client.submit(f"{path}/open", **wish)))


class TestInbox:
    def test_says_what_why_until_when_and_what_ends_soon(self, portal: Portal, world: World) -> None:
        grant(world, categories=("laboratory", "vitals"), until=world.now + 2 * DAY)
        page = text_of(portal.client_of(Role.PRACTITIONER).page("/inbox"))
        assert "What you can open now" in page
        assert "laboratory, vital signs" in page
        assert "treatment" in page
        assert "ends soon" in page
        assert "yourself" in page

    def test_tells_what_was_taken_back_from_what_has_ended(self, portal: Portal, world: World) -> None:
        world.patient.revoke(grant(world).policy_id)
        client = portal.client_of(Role.PRACTITIONER)
        page = text_of(client.page("/inbox"))
        assert "Taken back" in page
        assert "Ended These" not in page
        assert "ends soon" not in page
        grant(world, until=world.now + 60)
        world.advance(120)
        page = text_of(client.page("/inbox"))
        assert "nobody took them back" in page
        assert "In force" not in page

    def test_says_of_which_group_the_reader_is_a_member(self, portal: Portal, world: World) -> None:
        group = world.clinician.create_group()
        world.patient.grant(group.handle, "laboratory", until=world.now + DAY)
        assert f"member of {group.handle}" in text_of(portal.client_of(Role.PRACTITIONER).page("/inbox"))

    def test_names_what_can_not_be_read(self, portal: Portal, world: World) -> None:
        forged = forge(world, world.patient.address)
        grant(world)
        page = portal.client_of(Role.PRACTITIONER).page("/inbox")
        assert forged in page
        assert "One item can't be shown" in text_of(page)

    def test_finds_patients_by_their_names_and_says_when_there_is_none(self, portal: Portal, world: World) -> None:
        client = portal.client_of(Role.PRACTITIONER)
        assert "Nobody granted you anything yet." in text_of(client.page("/inbox"))
        grant(world)
        assert "No patient of this name" in text_of(client.page("/inbox", q=HOSTILE))
        assert world.patient.address in client.page("/inbox", q=world.patient.address[:8].upper())
        assert world.patient.address in client.page("/inbox", page=999)

    def test_a_researcher_has_it_and_a_patient_does_not(self, portal: Portal, world: World) -> None:
        grant(world, "researcher", purpose="HRESCH")
        assert "research" in text_of(portal.client_of(Role.RESEARCHER).page("/inbox"))
        portal.client_of(Role.PATIENT).page("/inbox", status=403)

    def test_a_name_is_shown_and_runs_nowhere(
        self, portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        world.patient.revoke(grant(world))
        grant(world)
        monkeypatch.setattr(Names, "of", lambda *_: HOSTILE)
        client = portal.client_of(Role.PRACTITIONER)
        client.finish(client.submit(f"{place(world)}/look"))
        asked = client.submit(f"{place(world)}/open")
        for page in (client.page("/inbox"), client.page(place(world)), asked.text):
            assert "<img" not in page
            assert "onerror=alert(1)" in page


class TestPatient:
    def test_somebody_who_granted_nothing_is_not_there(self, portal: Portal, world: World) -> None:
        client = portal.client_of(Role.PRACTITIONER)
        for name in (world.patient.address, "0x12", HOSTILE.replace("/", "")):
            assert "granted you nothing" in text_of(client.page(f"/inbox/{name}", status=404))

    def test_offers_the_categories_that_were_granted(self, portal: Portal, world: World) -> None:
        grant(world, categories=("laboratory",))
        page = portal.client_of(Role.PRACTITIONER).page(place(world))
        assert '<option value="laboratory">' in page
        assert '<option value="vitals">' not in page
        grant(world, categories=("all",))
        assert '<option value="vitals">' in portal.client_of(Role.PRACTITIONER).page(place(world))

    def test_counts_what_is_there_and_opens_nothing_for_it(self, portal: Portal, world: World) -> None:
        upload(world, 3)
        grant(world)
        client = portal.client_of(Role.PRACTITIONER)
        assert "3 records are there." in text_of(client.finish(client.submit(f"{place(world)}/look")))
        page = text_of(client.page(place(world)))
        assert "laboratory 2025" in page
        world.wait()
        assert list(world.patient.log()) == []

    def test_says_that_the_patient_took_it_back(self, portal: Portal, world: World) -> None:
        world.patient.revoke(grant(world).policy_id)
        client = portal.client_of(Role.PRACTITIONER)
        assert "the patient took back what they had granted you" in text_of(client.page(place(world)))
        assert "so nothing was opened" in text_of(client.submit(f"{place(world)}/open", 400).text)


class TestOpen:
    def test_says_first_what_it_does_and_then_does_it(self, portal: Portal, world: World) -> None:
        upload(world, 2)
        grant(world)
        client = portal.client_of(Role.PRACTITIONER)
        asked = client.submit(f"{place(world)}/open")
        assert "The patient sees it in their log" in text_of(asked.text)
        # Two contacts can be called alike: whose records these are say the handle and the address, too.
        for part in (world.patient.profile.handle, world.patient.address):
            assert part in text_of(asked.text)
        world.wait()
        assert list(world.patient.log()) == []
        page = client.finish(client.agree(asked))
        assert "2 records were opened." in text_of(page)
        seat = next(one.seat for one in portal.desk._sessions.values() if one.seat is not None)
        ((name, opening),) = seat.openings.items()
        assert f"/opened/{name}" in page
        # They are in order by then: the first look waits for nothing.
        with patch.object(viewing, "chart", side_effect=AssertionError):
            assert "Where this comes from" in text_of(client.page(f"/opened/{name}"))
        assert len(opening.records) == 2
        world.wait()
        assert len(list(world.patient.log())) == 1

    def test_opens_a_category_or_a_year_alone(self, portal: Portal, world: World) -> None:
        upload(world)
        upload(world, category="vitals")
        grant(world, categories=("laboratory", "vitals"))
        client = portal.client_of(Role.PRACTITIONER)
        assert "One record was opened." in text_of(opened(client, place(world), category="vitals"))
        assert "0 records were opened." in text_of(opened(client, place(world), year="0"))
        assert "2 records were opened." in text_of(opened(client, place(world), year="2025"))

    @pytest.mark.parametrize("wish", [{"category": "genes"}, {"year": "20255"}, {"year": "-1"}, {"purpose": "FUN"}])
    def test_a_wish_that_no_page_offers_opens_nothing(self, portal: Portal, world: World, wish: dict[str, str]) -> None:
        grant(world)
        portal.client_of(Role.PRACTITIONER).submit(f"{place(world)}/open", 400, **wish)

    def test_names_each_culprit_and_opens_the_rest(self, portal: Portal, world: World) -> None:
        upload(world)
        upload(world, where="clinic")
        made = grant(world)
        broken = next(one for one in world.clinician.open(made) if one.info.hospital == world.clinic.address)
        world.network.store.delete_block(CID.parse(broken.info.content_cid))
        client = portal.client_of(Role.PRACTITIONER)
        page = opened(client, place(world))
        assert "Opened in part" in text_of(page)
        assert "One record was opened." in text_of(page)
        assert broken.info.header_cid in page
        assert world.clinic.address in page

    def test_where_nothing_can_be_opened_all_culprits_are_named(self, portal: Portal, world: World) -> None:
        upload(world, 2)
        made = grant(world)
        records = list(world.clinician.open(made))
        for record in records:
            world.network.store.delete_block(CID.parse(record.info.content_cid))
        page = opened(portal.client_of(Role.PRACTITIONER), place(world))
        assert "Nothing could be opened" in text_of(page)
        assert all(record.info.header_cid in page for record in records)
        assert "/opened/" not in page

    def test_a_large_record_is_fetched_when_somebody_looks_at_it(
        self, portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        grant(world)
        monkeypatch.setattr(practitioner_inbox, "FETCHED", 10)
        client = portal.client_of(Role.PRACTITIONER)
        assert "One record was opened." in text_of(opened(client, place(world)))
        seat = next(one.seat for one in portal.desk._sessions.values() if one.seat is not None)
        ((_name, opening),) = seat.openings.items()
        assert "content" not in vars(opening.records[0])
        assert opening.records[0].content.startswith(b"{")

    def test_an_opening_that_ends_after_the_lock_keeps_nothing(
        self, portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        grant(world)
        client = portal.client_of(Role.PRACTITIONER)
        asked = client.submit(f"{place(world)}/open")
        seat = next(one.seat for one in portal.desk._sessions.values() if one.seat is not None)
        monkeypatch.setattr(practitioner_inbox, "_fetch", lambda _: seat.leave())
        begun: list[Job] = []
        start = seat.start
        monkeypatch.setattr(seat, "start", lambda *args, **values: begun.append(start(*args, **values)) or begun[0])
        client.agree(asked)
        (job,) = begun
        assert job.ended.wait(60)
        assert seat.openings.items() == []
        assert job.result is None
        # A session whose seat is closed is locked, however that came.
        assert client.get("/inbox", follow_redirects=False).headers["location"].startswith("/unlock")

    def test_a_record_of_two_grants_is_opened_once(self, portal: Portal, world: World) -> None:
        upload(world)
        grant(world, categories=("all",))
        grant(world)
        assert "One record was opened." in text_of(opened(portal.client_of(Role.PRACTITIONER), place(world)))

    def test_only_what_was_confirmed_is_opened(self, portal: Portal, world: World) -> None:
        upload(world, category="vitals")
        grant(world)
        client = portal.client_of(Role.PRACTITIONER)
        asked = client.submit(f"{place(world)}/open")
        grant(world, categories=("vitals",))
        assert "0 records were opened." in text_of(client.finish(client.agree(asked)))
        changed = client.submit(f"{place(world)}/open")
        client.agree(changed, 400, category="vitals")

    def test_what_is_revoked_between_the_question_and_the_answer_is_refused_in_words(
        self, portal: Portal, world: World
    ) -> None:
        upload(world)
        made = grant(world)
        client = portal.client_of(Role.PRACTITIONER)
        asked = client.submit(f"{place(world)}/open")
        world.patient.revoke(made.policy_id)
        page = text_of(client.agree(asked, 400).text)
        assert "so nothing was opened" in page

    def test_a_refusal_while_opening_is_told_with_what_was_left(
        self, portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        grant(world)
        for proxy in world.proxies:
            proxy.up = False
        client = portal.client_of(Role.PRACTITIONER)
        page = text_of(failed(client, client.submit(f"{place(world)}/open"), 503))
        assert "nothing was kept here" in page


def test_the_story_of_a_grant_ends_with_its_revocation(portal: Portal, world: World) -> None:
    """Asked, granted, looked at, opened, taken back, refused: each step on the page of whoever does it."""
    upload(world, 2)
    client = portal.client_of(Role.PRACTITIONER)
    fields = {"patient": world.patient.address, "category": "laboratory", "purpose": "TREAT", "days": "7"}
    client.finish(client.agree(client.submit("/asked/new", note=HOSTILE, **fields)))
    (asked,) = world.patient.requests()
    made = world.patient.approve(asked)
    assert "approved" in text_of(client.page("/asked"))
    assert "<img" not in client.page("/asked")
    page = opened(client, place(world))
    assert "2 records were opened." in text_of(page)
    shown = next(part.partition('"')[0] for part in page.split('href="') if part.startswith("/opened/"))
    assert "2025" in text_of(client.page(shown))
    assert "laboratory" not in text_of(client.page("/readings")).partition("Grant")[0]
    assert world.patient.address in client.page("/readings")
    world.patient.revoke(made)
    assert "took back" in text_of(client.page(place(world)))
    client.submit(f"{place(world)}/open", 400)
