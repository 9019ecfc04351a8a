"""The transport below httpx: bounded heads, bodies and waits, in virtual time where time is the subject."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import httpx
import pytest

from panachain.errors import IntegrityError
from panachain.wire.below_httpx import BelowHttpx
from panachain.wire.transport import (
    MAX_ANSWER,
    MIN_RATE,
    BoundedTransport,
    Bounds,
    LateFailureError,
    bounds_of,
    read_whole,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Let a server give these answers, each on a connection of its own, and return its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(20)
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(20)


def over(transport: BoundedTransport) -> httpx.Client:
    """Return httpx's client with ours below it."""
    return httpx.Client(transport=BelowHttpx(transport), trust_env=False)


def asked(answer: bytes, bounds: Bounds | None = None, clock: Callable[[], float] = lambda: 0.0) -> tuple[int, bytes]:
    with (
        answering(answer) as url,
        over(BoundedTransport(clock=clock)) as client,
    ):
        request = client.build_request("POST", url, extensions=(bounds or Bounds()).extension(), timeout=20)
        response = client.send(request, stream=True)
        return response.status_code, read_whole(response)


def test_bounds_ride_on_the_request() -> None:
    bounds = Bounds(limit=5)
    assert bounds_of(httpx.Request("POST", "http://x", extensions=bounds.extension())) == bounds
    assert bounds_of(httpx.Request("POST", "http://x")) == Bounds()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length:5\r\nConnection: close\r\n\r\nhello",
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nX-Other: fine\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_whole_answers_are_read(answer: bytes) -> None:
    assert asked(answer) == (200, b"hello")


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
def test_an_answer_that_has_no_body_ends_with_its_head(length: bytes) -> None:
    assert asked(b"HTTP/1.1 204 No Content\r\n" + length + b"\r\n") == (204, b"")


@pytest.mark.parametrize("named", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_body_where_none_may_be_is_refused(named: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        asked(b"HTTP/1.1 204 No Content\r\n" + named + b"\r\n\r\nhello")


def test_a_part_may_be_as_long_as_what_was_asked_for() -> None:
    size = MAX_ANSWER + 1
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n" % size
    assert asked(head + bytes(size), Bounds(limit=size)) == (206, bytes(size))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
    ],
)
def test_other_answers_are_failures_of_the_connection(answer: bytes) -> None:
    with pytest.raises(httpx.TransportError):
        asked(answer)


def test_what_is_told_behind_the_body_is_heard() -> None:
    with pytest.raises(LateFailureError, match="the disk is broken"):
        asked(CHUNKED + b"5\r\nhello\r\n0\r\nX-Stream-Error: the disk is broken\r\n\r\n")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_body_is_as_large_as_its_limit_at_most(answer: bytes) -> None:
    assert asked(answer, Bounds(limit=5))[1] == b"hello"
    with pytest.raises(IntegrityError, match="more than 4 bytes"):
        asked(answer, Bounds(limit=4))


class TestTime:
    """Each look at the clock takes a while: the node's answer comes as slowly as that."""

    def clock(self, step: float) -> Callable[[], float]:
        # The two first looks are those of sending.
        looks = count()

        def read() -> float:
            return max(next(looks) - 1, 0) * step

        return read

    def body(self, size: int) -> bytes:
        return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)

    def test_an_answer_that_keeps_the_rate_may_take_long(self) -> None:
        # Each read of a socket takes one second and brings 128 KiB at most, but 1 MiB pays for 32 seconds.
        assert len(asked(self.body(1 << 20), clock=self.clock(1.0))[1]) == 1 << 20

    def test_a_trickle_is_no_answer(self) -> None:
        with pytest.raises(httpx.TimeoutException):
            asked(self.body(10), clock=self.clock(25.0))

    def test_patience_is_free_of_the_rate(self) -> None:
        assert asked(self.body(10), Bounds(patience=1000.0), clock=self.clock(25.0))[0] == 200
        assert MIN_RATE * 30 < 1 << 20


def test_a_connection_serves_again_only_when_its_answer_was_read_whole() -> None:
    served: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(3):
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(20)
                number = 0
                while connection.recv(65536):
                    number += 1
                    served.append(number)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with over(BoundedTransport()) as client:
            for leave in (False, True, False):
                response = client.send(client.build_request("GET", url), stream=True)
                response.close() if leave else read_whole(response)
            request = client.build_request("GET", url, extensions=Bounds(fresh=True).extension())
            read_whole(client.send(request, stream=True))
        thread.join(20)
    # The second answer was left unread: the third request had a connection of its own, and so had the last one.
    assert served == [1, 2, 1, 1]


def test_a_server_of_http_1_0_is_asked_on_a_connection_of_its_own_each_time() -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with (
        answering(answer, answer) as url,
        over(BoundedTransport()) as client,
    ):
        for _ in range(2):
            assert read_whole(client.send(client.build_request("GET", url), stream=True)) == b"hello"


def test_a_refused_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        over(BoundedTransport()) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get(f"http://127.0.0.1:{port}/")
    with (
        over(BoundedTransport(uds="/nowhere/api.sock")) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("http://localhost/")
