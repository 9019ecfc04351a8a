"""What comes back from a proxy over HTTP: an object, a problem of ours, or the proxy's fault."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from panachain.errors import (
    EndpointRefusedError,
    IntegrityError,
    OpensLaterError,
    PolicyNotActiveError,
    RateLimitedError,
    UnavailableError,
)
from panachain.model.emergencies import LASTS
from panachain.proxy.client import Channels, Reply, read_answer
from panachain.wire import dial
from panachain.wire.endpoints import Reach


@pytest.fixture
def inside() -> Iterator[socket.socket]:
    """A service of the reader's own machine, which nobody may be led to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield server


def nobody_came(server: socket.socket) -> bool:
    try:
        server.accept()
    except TimeoutError:
        return True
    return False


class TestEndpoints:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://127.0.0.1:{}/api/v0/shutdown?x=",
            "http://127.0.0.1:{}/api/v0/pin/rm#",
            "https://127.0.0.1:{}",
            "http://localhost:{}",
            "https://2130706433:{}",
            "https://[::ffff:127.0.0.1]:{}",
            "http://user:pw@127.0.0.1:{}/a",
            "",
        ],
    )
    def test_nothing_is_sent_to_a_service_of_the_readers_own(self, inside: socket.socket, endpoint: str) -> None:
        channels = Channels()
        for ask in (lambda url: channels.post(url, "/v1/reencrypt", {}), lambda url: channels.get(url, "/readyz")):
            with pytest.raises(EndpointRefusedError):
                ask(endpoint.format(inside.getsockname()[1]))
        assert nobody_came(inside)

    def test_nothing_is_sent_to_a_name_that_leads_inside(
        self, inside: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = inside.getsockname()[1]
        answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(dial.socket, "getaddrinfo", lambda *_, **__: answers)
        with pytest.raises(EndpointRefusedError, match=r"127\.0\.0\.1"):
            Channels().get(f"https://proxy.example:{port}", "/readyz")
        with pytest.raises(EndpointRefusedError):
            Channels(reach=Reach.of("10.0.0.0/8", development=False)).get(f"https://proxy.example:{port}", "/readyz")
        assert nobody_came(inside)

    def test_a_development_networks_loopback_gets_no_more_than_a_path(self, inside: socket.socket) -> None:
        channels = Channels(reach=Reach(development=True))
        with pytest.raises(EndpointRefusedError):
            channels.post(f"http://127.0.0.1:{inside.getsockname()[1]}/api/v0/shutdown?", "/v1/reencrypt", {})
        assert nobody_came(inside)


class TestReadAnswer:
    @pytest.mark.parametrize("content", [b"", b"[]", b"x", b"[" * 5000, b'{"a":1,"a":2}'])
    def test_what_is_no_object_is_the_proxys_fault(self, content: bytes) -> None:
        with pytest.raises(IntegrityError):
            read_answer(Reply(200, content))

    def test_what_came_is_shown_by_no_repr(self) -> None:
        assert "secret" not in repr(Reply(200, b"secret"))

    @pytest.mark.parametrize(
        ("told", "wait"),
        [("7", 7), ("99999", 99_999), ("100000", 60), ("", 60), ("soon", 60), ("-1", 60), ("9999999", 60), ("٣", 60)],
    )
    def test_a_limit_says_how_long_to_wait(self, told: str, wait: int) -> None:
        with pytest.raises(RateLimitedError) as caught:
            read_answer(Reply(429, b"{}", told))
        assert caught.value.retry_after == wait

    @pytest.mark.parametrize(("told", "wait"), [("7", 7), ("0", 1), ("99999", LASTS)])
    def test_what_waits_in_an_emergency_opens_after_seconds_that_are_bounded(self, told: str, wait: int) -> None:
        with pytest.raises(OpensLaterError, match="at this proxy") as caught:
            read_answer(Reply(403, self.NOT_ACTIVE, told))
        assert caught.value.retry_after == wait

    @pytest.mark.parametrize("told", ["", "soon", "-1", "100000"])
    def test_a_policy_that_hasnt_begun_says_no_seconds(self, told: str) -> None:
        with pytest.raises(PolicyNotActiveError) as caught:
            read_answer(Reply(403, self.NOT_ACTIVE, told))
        assert type(caught.value) is PolicyNotActiveError

    NOT_ACTIVE = b'{"type": "urn:panachain:problem/policy-not-active", "detail": "at this proxy"}'

    def test_an_unknown_problem_is_a_proxy_that_is_down(self) -> None:
        with pytest.raises(UnavailableError, match="status 502"):
            read_answer(Reply(502, b"<html>"))


class TestChannels:
    """Against a proxy on loopback, as in a development network."""

    @pytest.fixture
    def asked(self) -> list[tuple[str, str, str, bytes]]:
        """Method, path, content type and body of each request."""
        return []

    @pytest.fixture
    def endpoint(self, asked: list[tuple[str, str, str, bytes]]) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, self.path, self.headers.get("Content-Type") or "", body))
                self.send_response(429)
                self.send_header("Retry-After", "7")
                # One byte more than ever comes, where the path says so.
                self.send_header("Content-Length", "3" if self.path == "/slow" else "2")
                self.end_headers()
                self.wfile.write(b"{}")
                self.wfile.flush()
                if self.path == "/slow":
                    over.wait(60)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        over = threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()
        server.server_close()
        thread.join(60)

    def test_a_message_is_posted_in_its_canonical_form_and_a_path_is_got(
        self, endpoint: str, asked: list[tuple[str, str, str, bytes]]
    ) -> None:
        channels = Channels(reach=Reach(development=True))
        posted = channels.post(endpoint, "/v1/deposit", {"b": 1, "a": 2})
        got = channels.get(endpoint, "/readyz")
        assert asked == [
            ("POST", "/v1/deposit", "application/json", b'{"a":2,"b":1}'),
            ("GET", "/readyz", "", b""),
        ]
        for reply in (posted, got):
            assert (reply.status, reply.content, reply.retry_after, reply.source) == (429, b"{}", "7", endpoint)
        channels.close()

    def test_an_answer_that_never_comes_to_its_end_is_given_up(self, endpoint: str) -> None:
        channels = Channels(reach=Reach(development=True))
        with pytest.raises(UnavailableError, match=rf"no (whole )?answer from {endpoint}"):
            channels.get(endpoint, "/slow", timeout=0.1)
        channels.close()

    def test_closing_closes_the_connections(self) -> None:
        channels, closed = Channels(), list[bool]()
        channels._client.close = lambda: closed.append(True)  # type: ignore[method-assign]
        channels.close()
        assert closed == [True]
