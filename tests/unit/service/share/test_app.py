"""The server of links: what HL7 says it answers, one same answer for all that is gone, and no word in its log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from panachain.crypto import jwe
from panachain.service.share import app as served
from panachain.service.share.app import MAX_BODY, create_app
from panachain.sharing.shelf import ATTEMPTS, Share, Shelf, new_secret, sealed

KEY = bytes(range(32))
URL = "https://links.example"
ASK = {"recipient": "Mercy Hospital"}


class Clock:
    now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A shelf and its server."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.ticks = Clock()
        self.shelf = Shelf(folder / "shares", clock=self.clock)
        self.http = TestClient(create_app(self.shelf, url=URL, clock=self.ticks), base_url=URL)

    def put(self, *contents: bytes, code: str = "", flags: str = "", until: int | None = None) -> tuple[str, Share]:
        secret, chosen = new_secret(), frozenset(flags + ("P" if code else ""))
        files = sealed([("application/fhir+json", one) for one in contents or (b"{}",)], KEY, flags=chosen)
        return secret, self.shelf.put(secret, files, label="", flags=chosen, expires_at=until, code=code)

    def ask(self, secret: str, **fields: Any) -> Any:
        self.ticks.now += 60
        return self.http.post(f"/shl/{secret}", json=ASK | fields)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("panachain.crypto.passcode._COST", 16)
    made = World(tmp_path)
    with made.http:
        yield made


def test_a_manifest_holds_files_that_open_with_the_links_key(world: World) -> None:
    secret, share = world.put(b'{"resourceType":"Bundle"}', b"{}")
    answer = world.ask(secret)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    files = answer.json()["files"]
    assert [jwe.open_(one["embedded"], KEY, most=99).content for one in files] == [b'{"resourceType":"Bundle"}', b"{}"]
    assert {key: value for key, value in files[0].items() if key != "embedded"} == {
        "contentType": "application/fhir+json",
        "lastUpdated": "2030-03-17T17:46:40Z",
        "status": "finalized",
        "fhirVersion": "4.0.1",
    }
    assert [one.recipient for one in world.shelf.named(share.name).openings] == ["Mercy Hospital"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_file_that_is_longer_than_the_reader_takes_has_an_address(world: World) -> None:
    secret, _ = world.put(b"{}", b"%PDF" * 5000)
    sizes = [one.size for one in world.shelf.shares()[0].files]
    one, two = world.ask(secret, embeddedLengthMax=sizes[0]).json()["files"]
    assert "embedded" in one
    assert "embedded" not in two
    assert two["location"].startswith(f"{URL}/shl/{secret}/")
    answer = world.http.get(two["location"])
    assert answer.headers["content-type"] == "application/jose"
    assert jwe.open_(answer.content, KEY, most=1 << 20).content == b"%PDF" * 5000
    world.clock.now += 601
    assert world.http.get(two["location"]).status_code == 404


def test_none_is_embedded_beyond_the_servers_own_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, _ = world.put(b"{}", b"{}", b"{}")
    size = world.shelf.shares()[0].files[0].size
    monkeypatch.setattr(served, "_MOST_IN_ALL", 2 * size)
    files = world.ask(secret, embeddedLengthMax=10**9).json()["files"]
    assert ["embedded" in one for one in files] == [True, True, False]


def test_a_link_that_may_change_says_when_to_look_again(world: World) -> None:
    secret, share = world.put(flags="L")
    answer = world.ask(secret)
    assert answer.headers["retry-after"] == "60"
    assert answer.json()["files"][0]["status"] == "can-change"
    world.shelf.replace(share.digest, sealed([("application/fhir+json", b'{"b":2}')], KEY, flags=share.flags))
    assert jwe.open_(world.ask(secret).json()["files"][0]["embedded"], KEY, most=99).content == b'{"b":2}'


def test_a_direct_link_gives_the_file_itself(world: World) -> None:
    secret, share = world.put(flags="U")
    answer = world.http.get(f"/shl/{secret}", params=ASK)
    assert answer.headers["content-type"] == "application/jose"
    assert jwe.open_(answer.content, KEY, most=99).content == b"{}"
    assert [one.recipient for one in world.shelf.named(share.name).openings] == ["Mercy Hospital"]
    assert world.ask(secret).status_code == 404
    other, _ = world.put()
    assert world.http.get(f"/shl/{other}", params=ASK).status_code == 404


class TestPasscode:
    def test_wrong_ones_are_counted_and_end_the_link(self, world: World) -> None:
        secret, _ = world.put(code="428 913")
        for left in reversed(range(ATTEMPTS)):
            answer = world.ask(secret, passcode="0000")
            assert (answer.status_code, answer.json()) == (401, {"remainingAttempts": left})
        assert world.ask(secret, passcode="428 913").status_code == 404
        assert world.ask(secret, passcode="0000").status_code == 404

    def test_none_at_all_is_no_guess(self, world: World) -> None:
        secret, _ = world.put(code="428 913")
        for fields in ({}, {"passcode": ""}, {"passcode": None}):
            answer = world.ask(secret, **fields)
            assert (answer.status_code, answer.json()) == (401, {"remainingAttempts": ATTEMPTS})
        assert world.ask(secret, passcode="428 913").status_code == 200

    def test_no_file_is_had_without_it(self, world: World) -> None:
        secret, share = world.put(code="428 913")
        for path in (f"/shl/{secret}", f"/shl/{secret}/1", f"/shl/{secret}/1.jwe", f"/shl/{secret}/share.json"):
            assert world.http.get(path, params=ASK).status_code == 404
        assert world.shelf.named(share.name).openings == ()


def test_what_never_was_is_over_or_was_revoked_has_one_answer(world: World) -> None:
    over, _ = world.put(until=int(world.clock.now) + 10)
    revoked, share = world.put()
    large, _ = world.put(flags="U")
    location = world.shelf.location(share, 1)
    assert world.http.get(f"/shl/{revoked}/{location}").status_code == 200
    world.clock.now += 10
    world.shelf.revoke(share)
    answers = [world.ask(one) for one in (over, revoked, large, new_secret(), "x", "%2e%2e", "x" * 3000)]
    answers.append(world.http.get(f"/shl/{revoked}/{location}"))
    assert {one.status_code for one in answers} == {404}
    assert len({one.content for one in answers}) == 1


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"\xff", b'{"recipient":5}', b'{"recipient":" "}', b'{"recipient":"a","recipient":"b"}'),
        *(json.dumps(ASK | {"passcode": code}).encode() for code in (5, [], "x" * 201)),
        *(json.dumps(ASK | {"embeddedLengthMax": most}).encode() for most in ("1", -1, True, 1.5)),
        b'{"recipient":"a","x":' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_manifest_request_is_refused(world: World, body: bytes) -> None:
    secret, share = world.put(code="428 913")
    assert world.http.post(f"/shl/{secret}", content=body).status_code == 422
    assert world.shelf.named(share.name).attempts_left == ATTEMPTS


def test_what_is_new_in_a_request_is_ignored(world: World) -> None:
    secret, _ = world.put()
    assert world.ask(secret, more=[1, {}]).status_code == 200


def test_a_body_is_bounded_before_it_is_read(world: World) -> None:
    secret, _ = world.put()
    assert world.http.post(f"/shl/{secret}", content=b" " * (MAX_BODY + 1)).status_code == 413


def test_an_address_asks_so_often_in_a_minute(world: World) -> None:
    secret, _ = world.put()
    statuses = [world.http.post(f"/shl/{secret}", json=ASK).status_code for _ in range(62)]
    assert statuses == [200] * 60 + [429] * 2


def test_any_web_page_may_ask_and_no_cookie_is_set(world: World) -> None:
    secret, _ = world.put()
    asked = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"}
    before = world.http.options(f"/shl/{secret}", headers=asked | {"Access-Control-Request-Headers": "content-type"})
    assert before.status_code == 200
    answer = world.http.post(f"/shl/{secret}", json=ASK, headers={"Origin": "https://viewer.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_no_log_and_no_failure_tells_an_address_or_a_passcode(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, share = world.put(code="428 913")
    caplog.set_level(logging.DEBUG, logger="panachain")
    world.ask(secret, passcode="000 111")
    world.ask(secret, passcode="428 913")
    world.http.get(f"/nothing/{secret}")
    (world.shelf._folder / share.digest / "share.json").write_text("damaged")
    broken = world.ask(secret, passcode="428 913")
    assert broken.status_code == 503
    with TestClient(create_app(world.shelf, url=URL), base_url=URL, raise_server_exceptions=False) as http:
        monkeypatch.setattr(served, "_manifest", lambda *_: 1 / 0)
        fault = http.post(f"/shl/{secret}", json=ASK)
    assert fault.status_code == 500
    told = caplog.text + broken.text + fault.text
    assert "a request failed" in caplog.text
    for what in (secret, share.digest, "000 111", "428 913", "Mercy"):
        assert what not in told


def test_tells_whether_it_lives(world: World) -> None:
    assert world.http.get("/healthz").json()["alive"] is True
    assert world.http.get("/openapi.json").status_code == 404
