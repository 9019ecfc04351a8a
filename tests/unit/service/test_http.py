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

import httpx
import pytest

from panachain.errors import UnavailableError
from panachain.service.http import listen, read_body
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
    await send({"type": "http.response.body", "body": b"here"})

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
        assert (answer.text, "server" in answer.headers) == ("here", False)
        process.send_signal(caught)
        assert process.wait(60) == 0
        assert (tmp_path / "after").exists()
    finally:
        process.kill()
        process.wait()


def test_an_address_in_use_is_a_typed_error_that_names_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port} can't be listened on"):
            listen("127.0.0.1", port)


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


def test_a_larger_one_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        read(b"12345", b"678901", ends=False)
    assert caught.value.kind.slug == "too-large"


def test_one_that_does_not_come_is_refused() -> None:
    with pytest.raises(ProblemError, match="5 bytes did") as caught:
        read(b"12345", seconds=0.01, ends=False)
    assert caught.value.kind.slug == "timeout"
