"""The client of every service: whole answers or failures of one class, and connections that serve again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from panachain.errors import IntegrityError
from panachain.wire.client import Client, SlowError, WireError
from panachain.wire.transport import Bounds

BOUNDS = Bounds(limit=100, total=20)


@contextmanager
def serving(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Let a server give one answer to each request, and return its URL and the requests."""
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            # A client that has had enough of an answer may reset the connection.
            with connection, suppress(ConnectionError):
                while asked := connection.recv(65536):
                    requests.append(asked)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", requests
        server.shutdown(socket.SHUT_RDWR)


def test_asks_for_nothing_packed_and_gives_headers_in_any_case() -> None:
    with serving(b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nhi") as (url, requests):
        answer = Client().post(f"{url}/a", b"{}", bounds=BOUNDS, timeout=20, headers={"Content-Type": "x/y"})
    assert (answer.status, answer.content, answer.headers["retry-after"]) == (429, b"hi", "7")
    (request,) = requests
    assert request.startswith(b"POST /a HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")
    assert b"accept-encoding: identity\r\n" in request.lower()


def test_never_follows_a_redirect() -> None:
    with serving(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as (
        url,
        requests,
    ):
        assert Client().get(url, bounds=BOUNDS, timeout=20).status == 302
    assert len(requests) == 1


def test_what_is_told_behind_a_body_is_a_failure_like_others() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Stream-Error: no\r\n\r\n"
    with serving(answer) as (url, _), pytest.raises(WireError):
        Client().get(url, bounds=BOUNDS, timeout=20)


@pytest.mark.parametrize(
    "url", ["", "x", "file:///etc/passwd", "http://", "http://[::1", "http://a\x00b/", "unix:/run/x", "http://x:99999/"]
)
def test_what_is_no_url_is_a_failure_like_others(url: str) -> None:
    with pytest.raises(WireError):
        Client().get(url, bounds=BOUNDS, timeout=1)


def test_a_header_holds_no_second_line() -> None:
    with serving(b"") as (url, requests), pytest.raises(WireError):
        Client().post(url, b"", bounds=BOUNDS, timeout=20, headers={"X": "a\r\nY: b"})
    assert requests == []


def test_a_connection_that_the_server_closed_meanwhile_is_not_asked_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
            closed.release()

    closed = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        client, url = Client(), f"http://127.0.0.1:{server.getsockname()[1]}"
        for _ in range(2):
            assert client.get(url, bounds=BOUNDS, timeout=20).content == b"hi"
            assert closed.acquire(timeout=20)


def test_one_deadline_covers_head_and_body() -> None:
    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            try:
                for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
                    connection.sendall(bytes([byte]))
                    gone.wait(0.02)
            except OSError:
                pass

    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        with pytest.raises(SlowError):
            Client().get(f"http://127.0.0.1:{server.getsockname()[1]}", bounds=Bounds(total=0.3), timeout=20)
        gone.set()


def test_too_large_an_answer_names_its_host() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + bytes(101)
    with serving(answer) as (url, _), pytest.raises(IntegrityError, match=r"127\.0\.0\.1 to /big has more than 100"):
        Client().get(f"{url}/big", bounds=BOUNDS, timeout=20)
