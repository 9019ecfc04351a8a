"""Links of others: what is wrong with one file costs that file, and nothing is sent where nothing may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from panachain.crypto import jwe
from panachain.errors import (
    AccessDeniedError,
    EndpointRefusedError,
    IntegrityError,
    LockedError,
    PanaChainError,
    RateLimitedError,
    UnavailableError,
)
from panachain.sharing import reading
from panachain.sharing.link import Link
from panachain.sharing.reading import Linked, LinkReader
from panachain.wire.client import Client
from panachain.wire.endpoints import Reach
from panachain.wire.messages import ConnectError

KEY = bytes(range(32))
URL = "https://links.example/shl/secret-of-the-link"
NOW = 1_900_000_000


class Host(httpx.BaseTransport):
    """A server of links that answers what a test says, and keeps what it was asked."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.asked.append((request.method, str(request.url), json.loads(body) if body else None))
        return self.answer(request)


def follow(
    host: Host, link: Link | None = None, *, passcode: str = "", reach: Reach | None = None, now: int = NOW
) -> Linked:
    reader = LinkReader(Client(transport=host), reach or Reach(), clock=lambda: now)
    return reader.follow(link or Link(URL, KEY), recipient="Mercy Hospital", passcode=passcode)


def manifest(*files: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, content=json.dumps({"files": files}).encode())


def embedded(content: bytes = b"{}", kind: str = "application/fhir+json", key: bytes = KEY) -> dict[str, str]:
    return {"contentType": kind, "embedded": jwe.seal(content, key, kind)}


def test_asks_for_the_manifest_as_the_specification_says() -> None:
    host = Host(manifest(embedded(b'{"a":1}')))
    link = Link(URL, KEY, frozenset("P"), "Summary")
    found = follow(host, link, passcode="428 913")
    assert [(one.content, one.content_type) for one in found.files] == [(b'{"a":1}', "application/fhir+json")]
    expected = {"recipient": "Mercy Hospital", "passcode": "428 913", "embeddedLengthMax": 1 << 20}
    assert host.asked == [("POST", URL, expected)]


def test_fetches_files_that_have_addresses() -> None:
    place = "https://files.example/1?sig=a%2Fb&x=1"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return manifest({"contentType": "text/x", "location": place, "lastUpdated": "2026-01-01T00:00:00Z"})(
                request
            )
        return httpx.Response(200, content=jwe.seal(b"x", KEY, "text/x").encode())

    host = Host(answer)
    assert [(one.content, one.updated) for one in follow(host).files] == [(b"x", "2026-01-01T00:00:00Z")]
    assert host.asked[1][:2] == ("GET", place)


@pytest.mark.parametrize(("url", "asked"), [(URL, f"{URL}?recipient="), (f"{URL}?a=b", f"{URL}?a=b&recipient=")])
def test_asks_for_the_file_itself_where_the_link_says_so(url: str, asked: str) -> None:
    host = Host(lambda _: httpx.Response(200, content=jwe.seal(b"x", KEY, "t").encode()))
    found = follow(host, Link(url, KEY, frozenset("LU")))
    assert [one.content for one in found.files] == [b"x"]
    assert host.asked == [("GET", f"{asked}Mercy%20Hospital", None)]


class TestNothingIsSent:
    def test_for_a_link_that_is_over(self) -> None:
        host = Host(manifest())
        with pytest.raises(AccessDeniedError, match="is over"):
            follow(host, Link(URL, KEY, expires_at=NOW))
        assert host.asked == []
        assert follow(host, Link(URL, KEY, expires_at=NOW + 1)).files == []

    def test_without_the_passcode_that_it_wants(self) -> None:
        host = Host(manifest())
        with pytest.raises(LockedError):
            follow(host, Link(URL, KEY, frozenset("P")))
        assert host.asked == []

    @pytest.mark.parametrize(
        "url",
        [
            "http://links.example/x",
            "https://127.0.0.1/x",
            "https://localhost/x",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/x",
            "https://[fd00::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://0x7f000001/x",
            "https://2130706433/x",
            "https://user@links.example/x",
            "https://links.example@127.0.0.1/x",
            "https://links.example\\@127.0.0.1/x",
            "https://links.example:22/x",
            "https://links/x",
            "https://links.example/a b",
        ],
    )
    def test_to_machines_of_a_private_network(self, url: str) -> None:
        for link, host in (
            (Link(url, KEY), Host(manifest())),
            (Link(url, KEY, frozenset("U")), Host(manifest())),
        ):
            with pytest.raises(EndpointRefusedError) as caught:
                follow(host, link)
            assert host.asked == []
            assert url not in str(caught.value)

    def test_for_a_file_of_a_good_manifest_either(self) -> None:
        host = Host(manifest({"contentType": "t", "location": "https://10.0.0.1/x"}, embedded(b"good")))
        found = follow(host)
        assert [one.content for one in found.files] == [b"good"]
        assert [type(one.error) for one in found.omissions] == [EndpointRefusedError]
        assert len(host.asked) == 1

    def test_to_an_address_that_a_name_leads_to(self) -> None:
        """The client itself looks at each address that it connects to."""
        reach = Reach()
        reader = LinkReader(Client(check=reach.check_address), reach, clock=lambda: NOW)
        reader._reach = Reach(development=True)  # only the client's own check is left
        with pytest.raises(EndpointRefusedError):
            reader.follow(Link("http://localhost:9/x", KEY), recipient="r")


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (httpx.Response(401, content=b'{"remainingAttempts":3}'), LockedError, "takes 3 more"),
        (httpx.Response(401, content=b"\xff"), LockedError, "isn't this link's"),
        (httpx.Response(401, content=b'{"remainingAttempts":"x"}'), LockedError, "isn't this link's"),
        (httpx.Response(401, content=b"[" * 10_000), LockedError, "isn't this link's"),
        (httpx.Response(404), AccessDeniedError, "nothing any more"),
        (httpx.Response(410), AccessDeniedError, "nothing any more"),
        (httpx.Response(429, headers={"Retry-After": "7"}), RateLimitedError, "no more requests"),
        (httpx.Response(302, headers={"Location": "https://10.0.0.1"}), UnavailableError, "isn't followed"),
        (httpx.Response(500), UnavailableError, "status 500"),
        (httpx.Response(200, content=b"<html>"), IntegrityError, "no manifest"),
        (httpx.Response(200, content=b"[]"), IntegrityError, "no manifest"),
        (httpx.Response(200, content=b'{"files":5}'), IntegrityError, "no manifest"),
        (httpx.Response(200, content=b'{"files":[5]}'), IntegrityError, "no manifest"),
        (httpx.Response(200, content=json.dumps({"files": [{}] * 101}).encode()), IntegrityError, "101 files"),
    ],
)
def test_each_answer_has_its_error(answer: httpx.Response, error: type[PanaChainError], told: str) -> None:
    host = Host(lambda _: answer)
    with pytest.raises(error, match=told) as caught:
        follow(host, Link(URL, KEY, frozenset("P")), passcode="1234")
    assert len(host.asked) == 1, "nothing is asked again, and nothing elsewhere"
    for secret in ("secret-of-the-link", "1234", jwe.encode(KEY)):
        assert secret not in str(caught.value) + caught.value.hint


def test_how_long_to_wait_is_told() -> None:
    with pytest.raises(RateLimitedError) as caught:
        follow(Host(lambda _: httpx.Response(429, headers={"Retry-After": "7"})))
    assert caught.value.retry_after == 7


def test_a_server_that_does_not_answer_is_told() -> None:
    def fails(_: httpx.Request) -> httpx.Response:
        raise ConnectError(f"at {URL}")

    with pytest.raises(UnavailableError) as caught:
        follow(Host(fails))
    assert URL not in str(caught.value)


def test_what_is_wrong_with_one_file_costs_that_file() -> None:
    other = embedded(b"x") | {"contentType": "application/smart-health-card"}
    wrong = [embedded(key=bytes(32)), {"contentType": "t"}, {"embedded": 5}, other, {"embedded": "a.b.c.d.e"}]
    found = follow(Host(manifest(wrong[0], embedded(b"one"), *wrong[1:], embedded(b"two"))))
    assert [one.content for one in found.files] == [b"one", b"two"]
    assert [one.what for one in found.omissions] == [f"file {number} of the link" for number in (1, 3, 4, 5, 6)]


def test_all_files_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ALL", 1000)
    found = follow(Host(manifest(*[embedded(bytes(400))] * 4)))
    assert (len(found.files), len(found.omissions)) == (2, 2)


def test_no_repr_shows_what_is_in_a_file() -> None:
    assert "canary" not in repr(follow(Host(manifest(embedded(b"canary")))))
