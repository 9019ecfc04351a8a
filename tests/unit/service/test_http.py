"""What the services do alike over HTTP: listen, serve until a signal comes, and read bodies within bounds."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from panachain.errors import PanaChainError, UnavailableError
from panachain.service.http import Room, listen, read_body, read_request
from panachain.service.problems import ProblemError
from tests.unit.service.loopback import wait_for

SERVER = """
import sys
from pathlib import Path
from panachain.service.http import listen, serve

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = scope["client"][0].encode() if scope["path"] == "/who" else b"here"
    await send({"type": "http.response.body", "body": body})
    if scope["path"] == "/fault":
        raise ValueError("what was sent")

listening = listen("127.0.0.1", 0)
Path(sys.argv[1], "port").write_text(str(listening.getsockname()[1]))
serve(app, listening, tls=None, grace=5)
Path(sys.argv[1], "after").write_text("")
"""


@pytest.mark.parametrize("caught", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_call_and_what_stands_behind_it_runs(tmp_path: Path, caught: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], env=dict(os.environ))
    try:
        port = tmp_path / "port"
        assert wait_for(lambda: port.exists() and port.read_text() != "", 60)
        with httpx.Client(trust_env=False, timeout=60) as client:
            answer = client.get(f"http://127.0.0.1:{port.read_text()}/")
            # Nobody chooses the address that they count as.
            claimed = client.get(f"http://127.0.0.1:{port.read_text()}/who", headers={"X-Forwarded-For": "192.0.2.7"})
        assert (answer.text, "server" in answer.headers) == ("here", False)
        assert claimed.text == "127.0.0.1"
        process.send_signal(caught)
        assert process.wait(60) == 0
        assert (tmp_path / "after").exists()
    finally:
        process.kill()
        process.wait()


def test_a_stranger_fills_no_log_and_no_traceback_quotes_what_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stderr=written, stdout=written)
    try:
        port = tmp_path / "port"
        assert wait_for(lambda: port.exists() and port.read_text() != "", 60)
        with socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=60) as stranger:
            stranger.sendall(b"this is no HTTP\r\n\r\n")
            assert stranger.recv(1000).startswith(b"HTTP/1.1 400")
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(f"http://127.0.0.1:{port.read_text()}/fault").text == "here"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    told = log.read_text()
    assert "Exception in ASGI application" in told
    assert not [text for text in ("Invalid HTTP", "what was sent", "Traceback") if text in told]


def test_an_address_in_use_is_a_typed_error_that_names_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port} can't be listened on") as caught:
            listen("127.0.0.1", port)
        assert caught.value.hint == "choose another port, or end what listens there already"


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert listening.get_inheritable()


def read(*pieces: bytes, limit: int = 10, seconds: float = 60, ends: bool = True) -> bytes:
    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if not ends:
            await asyncio.Event().wait()

    return asyncio.run(asyncio.wait_for(read_body(arriving(), limit=limit, seconds=seconds), 60))


def test_a_body_is_read_up_to_its_limit() -> None:
    assert read(b"12345", b"", b"67890") == b"1234567890"


def test_one_that_is_not_kept_is_read_within_the_same_limits() -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b"12345"

    assert asyncio.run(read_body(whole(), limit=5, seconds=60, keep=False)) == b""
    with pytest.raises(ProblemError):
        asyncio.run(read_body(whole(), limit=4, seconds=60, keep=False))


def test_a_larger_one_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        read(b"12345", b"678901", ends=False)
    assert caught.value.kind.slug == "too-large"


def test_one_that_does_not_come_is_refused() -> None:
    with pytest.raises(ProblemError, match="5 bytes did") as caught:
        read(b"12345", seconds=0.01, ends=False)
    assert caught.value.kind.slug == "timeout"


class TestRoom:
    def arriving(self, room: Room, *pieces: bytes) -> Any:
        """Return a body that arrives up to its last piece, and then no more."""

        async def read() -> str:
            async def stream() -> AsyncIterator[bytes]:
                for piece in pieces:
                    yield piece
                await asyncio.Event().wait()

            with room.place() as place:
                try:
                    await read_body(stream(), limit=1000, seconds=1000, place=place)
                except PanaChainError as exc:
                    return type(exc).__name__ + ": " + str(exc)
            return "whole"

        return asyncio.ensure_future(read())

    def test_where_it_is_full_the_body_that_arrives_for_longest_gives_way(self) -> None:
        async def test() -> None:
            room = Room(100)
            first, second = self.arriving(room, b"x" * 40), self.arriving(room, b"x" * 40)
            await asyncio.sleep(0)
            third = self.arriving(room, b"x" * 40)
            assert "40 bytes did" in await first
            assert not second.done()
            assert not third.done()
            assert room._used == 80
            for one in (second, third):
                one.cancel()

        asyncio.run(asyncio.wait_for(test(), 60))

    def test_what_is_whole_keeps_its_place_until_it_is_answered(self) -> None:
        async def test() -> None:
            room = Room(100)

            async def stream() -> AsyncIterator[bytes]:
                yield b"x" * 90

            with room.place() as place:
                await read_body(stream(), limit=1000, seconds=1000, place=place)
                assert (await self.arriving(room, b"x" * 20)).startswith("UnavailableError: the service is busy")
            assert room._used == 0

        asyncio.run(asyncio.wait_for(test(), 60))


def test_a_peer_that_goes_away_is_no_fault_of_the_service() -> None:
    async def test() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await read_request(Request(scope, receive), limit=10, seconds=60)

    with pytest.raises(ProblemError, match="went away") as caught:
        asyncio.run(test())
    assert caught.value.kind.slug == "timeout"
