"""What somebody opened, in the portal: pages, pictures and files for their session, harmless whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from panachain.model.actors import Address, Role
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.portal.desk import Seat
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.viewer.items import Told
from tests.portal.conftest import Client, Portal, text_of
from tests.portal.harmless import Page
from tests.portal.hostile_records import records

HOSPITAL = Address("0x52908400098527886E0F7030069857D2E4169EE7")


@dataclass(frozen=True)
class Opened:
    """An opened record that needs no store."""

    info: RecordInfo
    content: bytes
    also_from: Sequence[str] = ()


def opened(
    content: bytes, media_type: str = "application/fhir+json", category: Category = Category.LABORATORY
) -> Opened:
    info = RecordInfo(HOSPITAL, category, 2024, media_type, len(content), bytes(32), 0, "bafyh", "bafyc", "bafye", 0, 0)
    return Opened(info, content)


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def seat_of(portal: Portal) -> Seat:
    (seat,) = [session.seat for session in portal.desk._sessions.values() if session.seat is not None]
    return seat


def put(portal: Portal, *some: Opened) -> str:
    return "/opened/" + seat_of(portal).openings.add("My records", some)


def test_shows_the_overview_sections_and_the_record_itself(portal: Portal, client: Client) -> None:
    base = put(portal, opened(sample_bundle()))
    overview = client.page(base)
    assert "My records" in text_of(overview)
    for key in re.findall(rf'href="{base}/section/([a-z]+)"', overview):
        assert "<h1>" in client.page(f"{base}/section/{key}")
    assert "<svg" in client.page(f"{base}/section/laboratory") + client.page(f"{base}/section/vitals")
    assert "Observation" in text_of(client.page(f"{base}/record/1"))
    assert "My records" in text_of(client.page("/opened"))


def test_what_is_not_among_the_records_stands_first(portal: Portal, client: Client) -> None:
    told = Told(omissions=("City clinic, record x: a block is missing",), withheld=("mental-health",))
    name = seat_of(portal).openings.add("My records", (opened(sample_bundle()),), told)
    page = text_of(client.page(f"/opened/{name}"))
    assert "City clinic, record x: a block is missing" in page
    assert "mental health" in page


def test_a_picture_is_drawn_anew_in_the_window_that_somebody_chose(portal: Portal, client: Client) -> None:
    base = put(portal, opened(sample_dicom(), "application/dicom", Category.IMAGING))
    page = client.page(f"{base}/document/1")
    assert f"{base}/picture/1/frame" in page
    first = client.get(f"{base}/picture/1/frame")
    assert (first.status_code, first.headers["content-type"]) == (200, "image/png")
    chosen = client.page(f"{base}/document/1", centre=100, width=50)
    assert f"{base}/picture/1/own_100_50" in chosen
    assert client.get(f"{base}/picture/1/own_100_50").content.startswith(b"\x89PNG")
    for wrong in ("own_1e999_1", "own_nan_1", "window-99", "..", "x"):
        assert client.get(f"{base}/picture/1/{wrong}").status_code == 404


def test_a_file_is_saved_and_never_shown_by_the_browser(portal: Portal, client: Client) -> None:
    evil = b"<html><script>alert(1)</script></html>"
    base = put(portal, opened(evil, "application/pdf", Category.DOCUMENTS))
    answer = client.get(f"{base}/file/1")
    assert answer.content == evil
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="record-1.bin"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_session_finds_nothing(portal: Portal, client: Client) -> None:
    base = put(portal, opened(sample_bundle()))
    other = portal.client_of(Role.PRACTITIONER)
    for path in ("", "/section/laboratory", "/document/1", "/picture/1/frame", "/file/1", "/record/1"):
        assert other.get(base + path, follow_redirects=False).status_code == 404


def test_nothing_of_it_is_left_when_the_seat_locks(portal: Portal, client: Client) -> None:
    base = put(portal, opened(sample_bundle()))
    client.page(base)
    seat = seat_of(portal)
    client.submit("/lock")
    assert (dict(seat.keep), seat.openings.items()) == ({}, [])
    assert client.get(base, follow_redirects=False).status_code == 303


def test_what_is_not_there_is_not_found(portal: Portal, client: Client) -> None:
    base = put(portal, opened(sample_bundle()))
    for path in ("/section/nothing", "/document/9", "/picture/9/frame", "/file/9", "/record/9", "/record/0"):
        client.page(base + path, status=404)


@pytest.mark.deep
def test_no_page_of_hostile_records_holds_anything_that_runs_or_loads(portal: Portal, client: Client) -> None:
    base = put(portal, *(opened(one.content, one.media_type, Category(one.category)) for one in records()))
    seen, todo = set[str](), [base]
    while todo:
        path = todo.pop().replace("&amp;", "&")
        if path in seen:
            continue
        seen.add(path)
        page = client.page(path)
        main = page.partition("<main")[2].partition("</main>")[0]
        read = Page(rf"{base}(/[A-Za-z0-9_%./?=-]*)?|#[a-z0-9]+", ("form", "input", "label", "button"))
        read.feed("<main" + main)
        assert (path, read.wrong) == (path, [])
        todo += [one for one in read.links if re.match(rf"{base}/(section|document)", one)]
    assert len(seen) > 40
