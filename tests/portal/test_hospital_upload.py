"""A hospital's upload by the portal: dropped, read, looked at, confirmed, published; never otherwise."""

from __future__ import annotations

import asyncio
import html
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.portal.pages.hospital_upload import arriving
from panachain.portal.refusals import RefusedError
from panachain.portal.staging import FOLDER
from tests.portal.conftest import ORIGIN, Client, Portal, forms_of, text_of
from tests.twin.world import World, resource

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e.json'


def staged(world: World) -> list[Path]:
    """Return what lies in the hospital's place of uploads."""
    folder = world.hospital.profile.folder / FOLDER
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def content(number: int, category: str = "laboratory") -> bytes:
    return json.dumps(resource(category, 2025, number)).encode()


def send(client: Client, files: dict[str, bytes], status: int = 200, **fields: str) -> Any:
    """Send the form of the page as a browser does, with the token first."""
    data = {"csrf": client.token(), "whose": "", "patient": "", "category": "", "named": "", **fields}
    sent = [("files", (name, body, "application/octet-stream")) for name, body in files.items()]
    answer = client.post("/upload", data=data, files=sent, headers={"origin": str(ORIGIN)})
    assert answer.status_code == status, text_of(answer.text)
    return answer


def hidden(page: str, path: str) -> dict[str, str]:
    return dict(next(fields for action, fields in forms_of(page) if action == path))


def press(client: Client, page: str, path: str, status: int = 200, **fields: str) -> Any:
    """Press the button of a page's form."""
    answer = client.post(path, data=hidden(page, path) | fields, headers={"origin": str(ORIGIN)})
    assert answer.status_code == status, text_of(answer.text)
    return answer


def test_from_the_drop_to_the_patients_record(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    before = len(list(portal.world.hospital.records()))
    page = client.finish(send(client, {"FOLDER/a.json": content(100)}, whose=portal.world.patient.address))
    told = text_of(page)
    assert "1 record would be published" in told
    assert "Nothing was published" in told
    assert "laboratory" in told
    assert len(list(portal.world.hospital.records())) == before
    assert len(staged(portal.world)) == 1
    asked = press(client, page, "/upload/publish", verify="on")
    assert "1 record is sealed and published for" in text_of(asked.text)
    # Whom it goes to is said by more than a name that somebody here made up.
    assert portal.world.patient.address in text_of(asked.text)
    assert portal.world.patient.profile.handle in text_of(asked.text)
    assert len(list(portal.world.hospital.records())) == before
    done = text_of(client.finish(client.agree(asked)))
    assert "1 record was published" in done
    assert "Read back" in done
    assert len(list(portal.world.hospital.records())) == before + 1
    assert staged(portal.world) == []


def test_the_same_again_publishes_nothing(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    for expected in ("1 record would be published", "There is nothing new to publish"):
        page = client.finish(send(client, {"a.json": content(101)}, whose=portal.world.patient.address))
        assert expected in text_of(page)
        if "nothing new" not in expected:
            client.finish(client.agree(press(client, page, "/upload/publish")))
    assert "/upload/publish" not in [path for path, _ in forms_of(page)]


@pytest.mark.parametrize("name", [HOSTILE, "folder/" + HOSTILE, "a" * 400 + ".json", "'+alert(1)+'.json"])
def test_hostile_names_are_shown_and_do_nothing(portal: Portal, name: str) -> None:
    client = portal.client_of(Role.HOSPITAL)
    page = client.finish(send(client, {name: b"{", "b.json": content(102)}, whose=portal.world.patient.address))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert str(portal.world.home) not in page
    press(client, page, "/upload/discard")
    assert staged(portal.world) == []


@pytest.mark.parametrize("name", ["../evil.json", "a/../../evil.json", "/etc/evil.json", "a//b.json"])
def test_a_name_that_leads_out_refuses_the_whole_upload(portal: Portal, name: str) -> None:
    client = portal.client_of(Role.HOSPITAL)
    answer = send(client, {"a.json": content(103), name: b"x"}, 400, whose=portal.world.patient.address)
    assert "nothing of this upload was kept" in text_of(answer.text)
    assert staged(portal.world) == []
    assert not list(portal.world.home.rglob("evil.json"))


def test_a_token_of_another_session_stores_nothing(portal: Portal) -> None:
    client, other = portal.client_of(Role.HOSPITAL), portal.client_of(Role.HOSPITAL)
    for token in (other.token(), "", "x"):
        send(client, {"a.json": content(104)}, 403, csrf=token, whose=portal.world.patient.address)
    assert staged(portal.world) == []


def test_a_file_before_the_token_stores_nothing(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    sent: list[Any] = [
        ("files", ("a.json", content(105), "x/y")),
        ("csrf", (None, client.token())),
        ("whose", (None, portal.world.patient.address)),
    ]
    answer = client.post("/upload", files=sent, headers={"origin": str(ORIGIN)})
    assert answer.status_code == 400
    assert staged(portal.world) == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_another_origin_stores_nothing(portal: Portal, origin: str) -> None:
    client = portal.client_of(Role.HOSPITAL)
    headers = {"origin": origin} if origin else {}
    data, files = {"csrf": client.token()}, [("files", ("a.json", content(106), "x/y"))]
    assert client.post("/upload", data=data, files=files, headers=headers).status_code == 403
    assert staged(portal.world) == []


@pytest.mark.parametrize("role", [Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER])
def test_nobody_but_a_hospital_uploads(portal: Portal, role: Role) -> None:
    client = portal.client_of(role)
    client.page("/upload", 403)
    data, files = {"csrf": client.token()}, [("files", ("a.json", content(107), "x/y"))]
    assert client.post("/upload", data=data, files=files, headers={"origin": str(ORIGIN)}).status_code == 403
    assert staged(portal.world) == []


def test_the_lock_removes_what_waits(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    client.finish(send(client, {"a.json": content(108)}, whose=portal.world.patient.address))
    assert staged(portal.world)
    client.submit("/lock")
    assert staged(portal.world) == []


def test_an_idle_session_loses_what_waits(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    client.finish(send(client, {"a.json": content(109)}, whose=portal.world.patient.address))
    portal.clock.now += portal.desk.idle + 1
    portal.desk.sweep()
    assert staged(portal.world) == []


def test_a_choice_can_be_mended_without_sending_the_files_again(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    page = client.finish(send(client, {"a.json": content(110)}, patient="nobody-of-this-name"))
    assert "Nothing can be published as it is" in text_of(page)
    again = press(client, page, "/upload/read", whose=portal.world.patient.address, patient="", category="", named="")
    page = client.finish(again)
    assert "1 record would be published" in text_of(page)
    press(client, page, "/upload/discard")


def test_a_reading_that_was_not_shown_is_not_published(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    page = client.finish(send(client, {"a.json": content(111)}, whose=portal.world.patient.address))
    asked = press(client, page, "/upload/publish")
    again = press(
        client, page, "/upload/read", whose=portal.world.patient.address, patient="", category="imaging", named=""
    )
    fresh = client.finish(again)
    client.agree(asked, 409)
    press(client, page, "/upload/publish", 409, mark="0" * 32)
    press(client, fresh, "/upload/discard")
    assert staged(portal.world) == []


def test_files_that_are_being_read_are_not_read_in_another_way_meanwhile(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    page = client.finish(send(client, {"a.json": content(116)}, whose=portal.world.patient.address))
    asked = press(client, page, "/upload/publish")
    (seat,) = (one.seat for one in portal.desk._sessions.values() if one.seat is not None)
    gate, other = threading.Event(), {"whose": portal.world.patient.address, "patient": "", "named": ""}
    seat.start("Something else", lambda hospital, progress: gate.wait(60), template="job.html")
    try:
        again = press(client, page, "/upload/read", category="imaging", **other)
        answer = press(client, page, "/upload/read", 409, category="laboratory", **other)
        assert "being read or published already" in text_of(answer.text)
        # What was confirmed was shown before; the files are to be read otherwise.
        client.agree(asked, 409)
    finally:
        gate.set()
    press(client, client.finish(again), "/upload/discard")
    assert staged(portal.world) == []


def test_what_waits_is_listed_and_shown_again(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    client.finish(send(client, {"a.json": content(112)}, whose=portal.world.patient.address))
    listed = client.page("/upload")
    assert "Waiting for your decision" in text_of(listed)
    place = next(part for part in listed.split('"') if part.startswith("/upload/") and len(part) > 30)
    shown = client.page(html.unescape(place))
    assert "1 record would be published" in text_of(shown)
    press(client, shown, "/upload/discard")
    client.page(place, 400)


def test_nobody_elses_upload_can_be_named(portal: Portal) -> None:
    client, other = portal.client_of(Role.HOSPITAL), portal.client_of("clinic")
    page = client.finish(send(client, {"a.json": content(113)}, whose=portal.world.patient.address))
    name = hidden(page, "/upload/discard")["upload"]
    other.page(f"/upload/{name}", 400)
    other.submit("/upload/publish", 400, upload=name, mark="x")
    other.submit("/upload/discard", upload=name)
    assert len(staged(portal.world)) == 1
    press(client, page, "/upload/discard")


def test_whose_the_files_are_must_be_said(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    send(client, {"a.json": content(114)}, 400)
    send(client, {"a.json": content(115)}, 400, whose=portal.world.patient.address, category="nonsense")
    assert staged(portal.world) == []


def test_the_form_works_without_scripts_and_its_token_comes_first(portal: Portal) -> None:
    page = portal.client_of(Role.HOSPITAL).page("/upload")
    form = page[page.index('action="/upload" enctype="multipart/form-data"') :]
    assert form.index('name="csrf"') < form.index('name="whose"') < form.index('type="file"')


def test_what_arrives_for_long_keeps_the_session_open_and_the_lock_ends_it(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    (session,) = portal.desk._sessions.values()
    seat, taken = session.seat, list[bytes]()
    assert seat is not None

    async def stream() -> AsyncIterator[bytes]:
        for number in range(20):
            portal.clock.now += portal.desk.idle / 2
            portal.desk.sweep()
            if number == 10:
                client.submit("/lock")
            yield b"x"

    async def take() -> None:
        request: Any = SimpleNamespace(stream=stream, state=SimpleNamespace(desk=portal.desk, session=session))
        async for piece in arriving(request, seat):
            taken.append(piece)

    with pytest.raises(RefusedError, match="locked while the files arrived"):
        asyncio.run(take())
    assert len(taken) == 10
