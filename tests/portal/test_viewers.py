"""Software that travels, over HTTP: what runs, what it gets, and the one frame that it gets it in.

What a browser decides is in tests/portal/chromium/test_viewers.py. Follows docs/spec/viewers.md and security rule 30.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed
from panachain.model.actors import Role
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.portal.desk import Seat
from panachain.portal.security import FRAME, FRAME_POLICY, POLICY
from panachain.records.samples import sample_bundle
from panachain.records.viewer_bundle import MEDIA_TYPE, read_bundle, read_folder, sign_bundle
from tests.portal.conftest import ORIGIN, Client, Portal, text_of
from tests.portal.viewers import NAME, write

FETCHED = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}


@dataclass(frozen=True)
class Opened:
    """An opened record that needs no store."""

    info: RecordInfo
    content: bytes
    also_from: Sequence[str] = ()


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


@pytest.fixture(scope="module")
def bundle(world: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made: bytes = world.hospital.viewers.pack(write(tmp_path_factory.mktemp("honest")))
    return made


def seat_of(portal: Portal) -> Seat:
    (seat,) = [session.seat for session in portal.desk._sessions.values() if session.seat is not None]
    return seat


def opened(portal: Portal, content: bytes, media_type: str, category: Category = Category.LABORATORY) -> Opened:
    hospital = portal.world.hospital.address
    info = RecordInfo(hospital, category, 2024, media_type, len(content), bytes(32), 0, "bafyh", "bafyc", "bafye", 0, 0)
    return Opened(info, content)


def put(portal: Portal, bundle: bytes) -> str:
    """Put a bundle among opened records: two of the laboratory, one of allergies."""
    some = [
        opened(portal, bundle, MEDIA_TYPE),
        opened(portal, sample_bundle(), "application/fhir+json"),
        opened(portal, b'{"resourceType":"Observation","id":"second"}', "application/fhir+json"),
        opened(
            portal, b'{"resourceType":"AllergyIntolerance","id":"secret"}', "application/fhir+json", Category.ALLERGIES
        ),
    ]
    return "/opened/" + seat_of(portal).openings.add("My records", some)


def started(client: Client, base: str, *categories: str) -> str:
    """Run the software over some categories, and return the path of its page."""
    asked = client.submit(f"{base}/viewer/1", category=list(categories))
    ran = client.agree(asked)
    return str(ran.url.path)


def test_software_is_named_with_its_publisher_and_runs_only_once_somebody_agreed(
    portal: Portal, client: Client, bundle: bytes
) -> None:
    base = put(portal, bundle)
    overview = text_of(client.page(base))
    assert f"{NAME} ·" in overview
    assert "signed by its publisher" in overview
    page = client.page(f"{base}/viewer/1")
    assert re.search(r'value="laboratory" checked', page)
    assert re.search(r'value="allergies">', page)
    asked = client.submit(f"{base}/viewer/1", category="laboratory")
    shown = text_of(asked.text)
    assert f"{NAME} 1.0 runs: software of" in shown
    assert portal.world.hospital.address in shown
    assert "It gets 2 records, and nothing else." in shown
    assert "reaches no network" in shown
    assert seat_of(portal).keep.get("running") is None
    assert client.agree(asked).url.path.startswith("/running/")


def test_it_gets_what_was_chosen_and_nothing_else(portal: Portal, client: Client, bundle: bytes) -> None:
    path = started(client, put(portal, bundle), "laboratory")
    told = client.get(f"{path}/told").json()
    assert [one["category"] for one in told["records"]] == ["laboratory", "laboratory"]
    assert (told["protocol"], told["language"], told["program"]) == (1, "en", "program.js")
    content = client.get(f"{path}/bytes")
    assert content.headers["content-type"] == "application/octet-stream"
    assert len(content.content) == sum(one["size"] for one in (*told["files"], *told["records"]))
    assert b"second" in content.content
    assert b"secret" not in content.content
    # Software of others isn't handed to software.
    assert bundle not in content.content
    assert b"secret" not in json.dumps(told).encode()


def test_nothing_is_run_without_records(portal: Portal, client: Client, bundle: bytes) -> None:
    base = put(portal, bundle)
    for chosen in ([], ["genetics"], ["unknown"]):
        client.submit(f"{base}/viewer/1", status=400, category=chosen)
    name = seat_of(portal).openings.add("Alone", [opened(portal, bundle, MEDIA_TYPE)])
    assert "nothing to run it over" in client.page(f"/opened/{name}/viewer/1")


def forged(portal: Portal, bundle: bytes, folder: Path) -> Iterator[tuple[str, bytes]]:
    publisher = portal.world.hospital
    made = read_folder(write(folder), publisher.address)
    yield "not signed by its publisher", sign_bundle(made, Seed.random().signer())
    yield "not signed by its publisher", bundle.replace(b"Lists values.", b"Takes values.")
    patient = portal.world.patient
    # A patient is registered, and publishes no software.
    by_patient = replace(read_bundle(bundle).bundle, publisher=patient.address)
    yield "unknown", sign_bundle(by_patient, patient._seed.signer())


def test_what_its_publisher_did_not_sign_never_runs(
    portal: Portal, client: Client, bundle: bytes, tmp_path: Path
) -> None:
    for state, content in forged(portal, bundle, tmp_path):
        base = put(portal, content)
        assert state in text_of(client.page(base))
        page = client.page(f"{base}/viewer/1")
        assert "It isn't run" in text_of(page)
        assert 'name="category"' not in page
        assert client.submit(f"{base}/viewer/1", status=502, category="laboratory").status_code == 502
    assert seat_of(portal).keep.get("running") is None


def test_software_that_cannot_be_read_costs_nothing_else(portal: Portal, client: Client) -> None:
    base = put(portal, b"panachain/viewer/1\n" + bytes(100))
    page = text_of(client.page(base))
    assert "Record 1 can't be read" in page
    assert "Where this comes from" in page


def test_another_session_finds_neither_software_nor_records(portal: Portal, client: Client, bundle: bytes) -> None:
    path = started(client, put(portal, bundle), "laboratory")
    other = portal.client_of(Role.PATIENT)
    for what in ("", "/told", "/bytes"):
        assert client.get(path + what).status_code == 200
        assert other.get(path + what).status_code == 404
        assert portal.browser().get(path + what, follow_redirects=False).status_code == 303


def test_nothing_of_a_run_is_left_when_the_seat_locks(portal: Portal, client: Client, bundle: bytes) -> None:
    path = started(client, put(portal, bundle), "laboratory")
    seat = seat_of(portal)
    client.submit("/lock")
    assert seat.keep == {}
    assert client.get(f"{path}/bytes", follow_redirects=False).status_code == 303


def test_a_run_ends_with_what_was_opened(portal: Portal, client: Client, bundle: bytes) -> None:
    path = started(client, put(portal, bundle), "laboratory")
    for _ in range(16):
        seat_of(portal).openings.add("More", [])
    assert client.get(f"{path}/bytes").status_code == 404


def test_one_page_has_a_frame_and_the_frame_has_a_policy_of_its_own(
    portal: Portal, client: Client, bundle: bytes
) -> None:
    path = started(client, put(portal, bundle), "laboratory")
    page = client.get(path)
    nonce = re.findall(r"script-src 'nonce-([^']+)'", page.headers["content-security-policy"])[0]
    assert page.headers["content-security-policy"] == f"{POLICY.format(nonce=nonce)}; frame-src {ORIGIN}{FRAME}"
    assert re.search(rf'<iframe [^>]*sandbox="allow-scripts" allow="" [^>]*src="{FRAME}"></iframe>', page.text)
    framed = client.get(FRAME, headers=FETCHED)
    nonce = re.findall(r"script-src 'nonce-([^']+)'", framed.headers["content-security-policy"])[0]
    assert framed.headers["content-security-policy"] == FRAME_POLICY.format(nonce=nonce)
    directives = FRAME_POLICY.split("; ")
    assert {"default-src 'none'", "worker-src blob:", "sandbox allow-scripts", "form-action 'none'"} <= set(directives)
    assert not [one for one in directives if one.startswith(("connect-src", "img-src", "style-src", "frame-src"))]
    assert (framed.headers["connection-allowlist"], framed.headers["x-frame-options"]) == ("()", "SAMEORIGIN")
    # It is the same for everybody: neither software nor records stand in it.
    assert NAME not in framed.text
    assert "set-cookie" not in framed.headers


@pytest.mark.parametrize(
    "path", ["/", "/me", "/opened", "/running/x", "/running/x/told", FRAME + "/", "/viewer-frames"]
)
def test_no_other_page_has_or_is_a_frame(client: Client, path: str) -> None:
    answer = client.get(path, headers=FETCHED)
    assert answer.status_code == 403
    assert answer.headers["x-frame-options"] == "DENY"
    assert "sandbox" not in answer.headers["content-security-policy"]
    if path != "/running/x":
        assert "frame-src" not in client.get(path).headers["content-security-policy"]


@pytest.mark.parametrize("destination", ["document", "frame", "object", "embed", "script", "empty", "worker"])
def test_the_frame_is_shown_nowhere_else(client: Client, destination: str) -> None:
    assert client.get(FRAME, headers=FETCHED | {"sec-fetch-dest": destination}).status_code == 403


@pytest.mark.parametrize("path", ["/", FRAME, "/running/x/bytes"])
def test_what_runs_in_the_frame_is_a_stranger_to_the_portal(client: Client, path: str) -> None:
    # Its origin is opaque: a browser says `null` and `cross-site` of whatever it asks for.
    for headers in (
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "origin": "null"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ):
        assert client.get(path, headers=headers).status_code == 403
    posted = client.post("/language", data={"csrf": client.token(), "language": "de"}, headers={"origin": "null"})
    assert posted.status_code == 403
