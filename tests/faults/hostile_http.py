"""An HTTP server that answers everything in one hostile way; a port for each way."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

Write = Callable[[bytes], None]
Wait = Callable[[float], object]
Way = Callable[[Write, Wait], None]

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_MOST: Final = 400
"""MiB after which an endless answer ends after all, so that a client without bounds doesn't stop the tests."""


def _sized(body: bytes, more: bytes = b"") -> bytes:
    return _OK + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _endlessly(piece: bytes, head: bytes, size: int = _MOST << 20) -> Way:
    def way(write: Write, _: Wait) -> None:
        write(head)
        for _ in range(size // len(piece)):
            write(piece)

    return way


def _slowly(content: bytes, piece: int, seconds: float) -> Way:
    def way(write: Write, wait: Wait) -> None:
        for start in range(0, len(content), piece):
            write(content[start : start + piece])
            wait(seconds)

    return way


def _once(content: bytes) -> Way:
    return lambda write, _: write(content)


def _bomb(write: Write, _: Wait) -> None:
    # Packed when it is asked for: whoever collects the tests would wait for it.
    write(_sized(gzip.compress(bytes(256 << 20), 1), b"Content-Encoding: gzip\r\n"))


def _nothing(_: Write, wait: Wait) -> None:
    wait(60)


def _result(text: bytes) -> bytes:
    return _sized(b'{"jsonrpc":"2.0","id":1,"result":' + text + b"}")


WAYS: Final[dict[str, Way]] = {
    "a packed bomb": _bomb,
    "a body without end": _endlessly(b"100000\r\n" + b" " * (1 << 20) + b"\r\n", _CHUNKED),
    "a body without end in small chunks": _endlessly(b"1\r\n \r\n" * 10_000, _CHUNKED),
    "a body without length": _endlessly(b" " * (1 << 20), _OK + b"\r\n"),
    "a declared size without end": _once(_OK + b"Content-Length: 99999999999999\r\n\r\n"),
    "a size of many digits": _once(_OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "an endless failure": _endlessly(
        b"100000\r\n" + b" " * (1 << 20) + b"\r\n", _CHUNKED.replace(b"200 OK", b"400 No")
    ),
    "a drip of a body": _slowly(_CHUNKED + b"1\r\n \r\n" * 3000, 6, 0.02),
    "a drip of a head": _slowly(_OK + b"X: " + b"y" * 3000, 1, 0.02),
    "a drip of an interim answer": _slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 200, 1, 0.02),
    "a KiB a second": _slowly(_CHUNKED + (b"400\r\n" + b" " * 1024 + b"\r\n") * 60, 1031, 1.0),
    "a head without end": _endlessly(b"X: y\r\n" * 10_000, _OK),
    "a line without end": _endlessly(b"y" * (1 << 20), _OK + b"X: "),
    "a trailer without end": _endlessly(b"X: y\r\n" * 10_000, _CHUNKED + b"0\r\n"),
    "interim answers without end": _endlessly(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b""),
    "redirects": _once(b"HTTP/1.1 307 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    "deep JSON": _once(_sized(b"[" * 100_000 + b"]" * 100_000)),
    "deep objects": _once(_result(b'{"a":' * 900 + b"1" + b"}" * 900)),
    "many values": _once(_result(b"[" + b"[]," * (2 << 20) + b"[]]")),
    "a long number": _once(_result(b"9" * 1_000_000)),
    "a number beyond doubles": _once(_result(b"1e999999")),
    "no number": _once(_result(b"NaN")),
    "a name twice": _once(_sized(b'{"jsonrpc":"2.0","id":1,"id":1,"result":"0x1","result":"0x2"}')),
    "bytes that are no text": _once(_sized(b'{"jsonrpc":"2.0","id":1,"result":"\xff\xfe"}')),
    "less than declared": _once(_OK + b"Content-Length: 500\r\n\r\n{}"),
    "two sizes": _once(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"),
    "a size and chunks": _once(_OK + b"Content-Length: 2\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}"),
    "another protocol": _once(b"SSH-2.0-OpenSSH_9.7\r\n"),
    "no answer": _nothing,
    "an end at once": lambda _write, _wait: None,
}
"""By what it is; none of them is an answer that any client may take."""


@contextmanager
def hostile(names: list[str]) -> Iterator[dict[str, int]]:
    """Serve in each of these ways, and return the port of each."""
    over = threading.Event()
    servers: list[socket.socket] = []

    def talk(connection: socket.socket, way: Way) -> None:
        # A client that has had enough hangs up: that is what is tested.
        with connection, suppress(OSError):
            connection.settimeout(30)
            asked = b""
            while b"\r\n\r\n" not in asked:
                piece = connection.recv(65536)
                if not piece:
                    return
                asked += piece
            way(connection.sendall, over.wait)
            connection.shutdown(socket.SHUT_WR)
            over.wait(0.05)

    def serve(server: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=talk, args=(connection, way), daemon=True).start()

    try:
        ports = {}
        for name in names:
            server = socket.create_server(("127.0.0.1", 0))
            servers.append(server)
            ports[name] = server.getsockname()[1]
            threading.Thread(target=serve, args=(server, WAYS[name]), daemon=True).start()
        yield ports
    finally:
        over.set()
        for server in servers:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
