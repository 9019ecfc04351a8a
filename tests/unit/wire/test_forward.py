"""The gate's way to its node: bounded bytes and one deadline for head and body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from panachain.errors import IntegrityError
from panachain.wire.client import Answer, WireError
from panachain.wire.forward import ForwardClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Serve = Callable[[asyncio.StreamWriter], object]


def asked(pieces: list[bytes], *, pause: float = 0.0, limit: int = 100, timeout: float = 20.0) -> Answer:
    """Return what comes of a node that writes these pieces, with a pause before each, and then says nothing more."""

    async def run() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    await asyncio.sleep(pause)
                    writer.write(piece)
                    await writer.drain()
                await reader.read()
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = ForwardClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", limit=limit, timeout=timeout)
        try:
            return await client.post(b"{}")
        finally:
            await client.close()
            server.close()

    return asyncio.run(run())


def test_a_whole_answer_comes_back() -> None:
    answer = asked([HEAD + b"Content-Length: 5\r\n\r\nhe", b"llo"])
    assert (answer.status, answer.content, answer.headers["CONTENT-TYPE"]) == (200, b"hello", "application/json")


def test_too_much_is_an_error() -> None:
    with pytest.raises(IntegrityError, match=r"127\.0\.0\.1 has more than 100 bytes"):
        asked([HEAD + b"Content-Length: 101\r\n\r\n" + bytes(101)])


@pytest.mark.parametrize(
    "pieces", [[HEAD, *[b"x: y\r\n"] * 1000], [HEAD + b"Content-Length: 99\r\n\r\n", *[b"x"] * 98]]
)
def test_a_trickle_of_head_or_body_ends(pieces: list[bytes]) -> None:
    with pytest.raises(TimeoutError):
        asked(pieces, pause=0.02, timeout=0.2)


def test_an_endless_head_is_an_error() -> None:
    with pytest.raises(WireError):
        asked([HEAD, *[b"x" * 50 + b": y\r\n"] * 10_000])
