"""HTTP to a node that isn't trusted: every answer is bounded in size and time, to the byte.

The transport below httpx, for our requests and for ipfshttpclient's. httpx's own one bounds a silence, but no head, no
trickle and no body; it drops what a node tells behind a body, and takes four times as long for a large one (ADR 12).
Never follows a redirect, never asks the environment for a proxy, never unpacks a body, and never believes that an
answer is whole because it ended. Follows RFC 9112 (HTTP/1.1) and the trailer `X-Stream-Error` of Kubo's RPC v0.
"""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Final, cast

from panachain.errors import IntegrityError
from panachain.http_client import httpx
from panachain.trust import Trust

MIN_RATE: Final = 32 << 10
"""Bytes a second that an answer must have on average once its time is over: a trickle is no answer."""
MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer where no other limit is given, and of every failure."""
_BOUNDS: Final = "panachain.bounds"
"""Where a request carries its bounds among httpx's extensions."""
_IDLE_CONNECTIONS: Final = 8
_BUFFER: Final = 1 << 17
"""Bytes that are taken from the socket at once; Kubo's chunks have 4 KiB."""
_MAX_LINE: Final = 8192
"""Bytes of a line of a head, or around chunks."""
_MAX_FIELDS: Final = 100
"""Fields of a head, or of a trailer."""
_MAX_INTERIM: Final = 8
"""Answers of status 1xx that may come before the real one."""
_FRAMING: Final = 1 << 20
"""Bytes around a body: head, sizes of chunks, trailer. Where the body is larger, they may be as many as it has."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
"""Field name (a token) and value, RFC 9110, section 5."""
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[^\r\n]*)?\r\n")

Fields = list[tuple[bytes, bytes]]


class LateFailureError(Exception):
    """The node tells behind a body that it failed (`X-Stream-Error`); its message is the argument."""


@dataclass(frozen=True)
class Bounds:
    """What one answer may take at most."""

    limit: int = MAX_ANSWER
    """Bytes of the body."""
    patience: float = 0.0
    """Seconds of waiting that are free of `MIN_RATE`; at least the read timeout is."""
    fresh: bool = False
    """Whether the request gets a connection of its own: those that lie idle may be as old as the one that broke."""
    plain: bool = False
    """Whether HTTP/1.0 is spoken, so that a long body comes without chunks: half the work. Its end proves nothing."""
    piece: int = 0
    """Bytes of each piece in which a plain body is given, but for the last one."""

    def extension(self) -> dict[str, Any]:
        """Return the bounds as an extension of a request."""
        return {_BOUNDS: self}


def bounds_of(request: httpx.Request) -> Bounds:
    """Return the bounds that a request carries, or the usual ones."""
    found = request.extensions.get(_BOUNDS)
    return found if isinstance(found, Bounds) else Bounds()


class BoundedTransport(httpx.BaseTransport):
    """A transport of httpx; any thread may use it.

    Raises httpx's exceptions for connections that fail, IntegrityError for an answer that is too large, and
    LateFailureError.
    """

    def __init__(self, *, uds: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """Take where to connect to; nothing is asked yet.

        Args:
            uds: a socket in the file system, in place of the host and port that requests name.
            clock: seconds that only go forward.
        """
        self._uds = uds
        self._clock = clock
        self._idle: deque[_Connection] = deque()
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, of which the head was read."""
        bounds = bounds_of(request)
        connection = (None if bounds.fresh else self._take(request.url)) or self._connect(request)
        try:
            answer = connection.ask(request, bounds, self._clock)
            body = _Body(answer, lambda: self._give_back(connection), connection.close)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(answer.status, headers=answer.fields, stream=body)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _take(self, url: httpx.URL) -> _Connection | None:
        with self._lock:
            for connection in self._idle:
                if connection.origin == _origin(url):
                    self._idle.remove(connection)
                    return connection
        return None

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self, request: httpx.Request) -> _Connection:
        url, seconds = request.url, _timeout(request, "connect")
        try:
            if self._uds:
                connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    connected.settimeout(seconds)
                    connected.connect(self._uds)
                except BaseException:
                    connected.close()
                    raise
            else:
                port = url.port or (443 if url.scheme == "https" else 80)
                connected = socket.create_connection((url.host, port), timeout=seconds)
                # A request is written in pieces, of which none shall wait for the answer to another.
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if url.scheme == "https":
                    connected = _secured(connected, url)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("no connection in time", request=request) from exc
        except OSError as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc
        return _Connection(connected, _origin(url))


@dataclass
class _Answer:
    """An answer of which the head was read."""

    status: int
    fields: Fields
    file: BinaryIO
    bounds: Bounds
    what: str
    """What messages call the request."""
    sent_all: bool
    """Whether the node took the whole request, so that another one may follow on the connection."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the body."""
        # An error needs no more room than a message, whatever the request may have asked for.
        limit = self.bounds.limit if self.status == 200 else MAX_ANSWER
        if _value(self.fields, b"content-encoding") not in (b"", b"identity"):
            raise httpx.RemoteProtocolError("a packed body, which wasn't asked for")
        if _value(self.fields, b"transfer-encoding").lower() == b"chunked":
            if self.bounds.plain:
                raise httpx.RemoteProtocolError("chunks, where none were asked for")
            return _chunks(self.file, limit, self.what)
        size = _value(self.fields, b"content-length")
        # More digits are no length, and Python would count with them for long.
        if size.isdigit() and len(size) < 20:
            return _counted(self.file, int(size), limit, self.what)
        if self.bounds.plain:
            return _to_the_end(self.file, self.bounds.piece or _BUFFER, limit, self.what)
        # A head that was cut off looks like this too.
        raise httpx.RemoteProtocolError("the body has no length, so its end couldn't be told")


class _Connection:
    """A connection that one request uses at a time."""

    def __init__(self, connected: socket.socket, origin: tuple[str, str, int | None]) -> None:
        self._socket = connected
        self.origin = origin

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: httpx.Request, bounds: Bounds, clock: Callable[[], float]) -> _Answer:
        """Send a request and read the head of its answer."""
        try:
            idle = _timeout(request, "read")
            self._socket.settimeout(idle)
            sent_all = self._send(request, bounds, idle, clock)
            # Twice, because chunks of one byte come with more frame than content.
            most = 2 * max(bounds.limit, MAX_ANSWER) + _FRAMING
            raw = _Bounded(
                self._socket.makefile("rb", buffering=0), seconds=max(idle, bounds.patience), most=most, clock=clock
            )
            file = cast(BinaryIO, io.BufferedReader(raw, _BUFFER))
            status, fields = _head(file)
        except TimeoutError as exc:
            raise httpx.ReadTimeout("no answer in time", request=request) from exc
        except OSError as exc:
            raise httpx.ReadError(str(exc), request=request) from exc
        return _Answer(status, fields, file, bounds, request.url.path, sent_all)

    def _send(self, request: httpx.Request, bounds: Bounds, seconds: float, clock: Callable[[], float]) -> bool:
        """Send a request, and tell whether the node took all of it."""
        version = b"HTTP/1.0" if bounds.plain else b"HTTP/1.1"
        lines = [b"%b %b %b" % (request.method.encode(), request.url.raw_path, version)]
        lines += [name + b": " + value for name, value in request.headers.raw]
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        until = clock() + seconds
        sent = 0
        try:
            self._socket.sendall(head)
            for piece in cast(httpx.SyncByteStream, request.stream):
                self._socket.sendall(piece)
                sent += len(piece)
                if clock() > until + sent / MIN_RATE:
                    raise TimeoutError("the node takes what it is sent too slowly")
        except (BrokenPipeError, ConnectionResetError):
            # A node that fails early answers before it has taken all: the answer says why.
            return False
        return True


class _Bounded(io.RawIOBase):
    """What comes out of a socket, as long as it comes fast enough and is not too much."""

    def __init__(self, raw: io.RawIOBase, *, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._raw = raw
        self._seconds = seconds
        self._clock = clock
        self._waited = 0.0
        self._most = most
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        # Only the time that the node lets its reader wait: how long the reader takes in between is the reader's affair.
        started = self._clock()
        count = self._raw.readinto(buffer)
        self._waited += self._clock() - started
        self._count += count or 0
        if self._waited > self._seconds + self._count / MIN_RATE:
            raise TimeoutError("the answer is too slow")
        if self._count > self._most:
            raise OSError("the answer has no end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Body(httpx.SyncByteStream):
    """The body of an answer. Its connection serves again when all of it was read."""

    def __init__(self, answer: _Answer, give_back: Callable[[], None], drop: Callable[[], None]) -> None:
        self._answer = answer
        self._pieces = answer.pieces()
        self._give_back = give_back
        self._drop = drop
        self._whole = False
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except TimeoutError as exc:
            raise httpx.ReadTimeout("the answer came too slowly") from exc
        except OSError as exc:
            raise httpx.ReadError(str(exc)) from exc
        self._whole = True

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._answer.file.close()
        closing = _value(self._answer.fields, b"connection").lower() == b"close"
        # Only where both sides know that nothing is left on it: the rest of one answer must not be taken for the next.
        if self._whole and self._answer.sent_all and not self._answer.bounds.plain and not closing:
            self._give_back()
        else:
            self._drop()


def read_whole(response: httpx.Response) -> bytes:
    """Return a body of which the transport bounds the size, and close the response."""
    try:
        return b"".join(response.iter_raw())
    finally:
        response.close()


def _head(file: BinaryIO) -> tuple[int, Fields]:
    """Return status and fields of an answer, past those that only announce it."""
    for _ in range(_MAX_INTERIM):
        found = _STATUS.fullmatch(file.readline(_MAX_LINE))
        if found is None:
            raise httpx.RemoteProtocolError("the answer isn't HTTP")
        status, fields = int(found[1]), _fields(file)
        if status >= 200:
            return status, fields
    raise httpx.RemoteProtocolError(f"{_MAX_INTERIM} answers came before the answer")


def _fields(file: BinaryIO) -> Fields:
    """Return the fields of a head or a trailer, which an empty line ends."""
    fields: Fields = []
    for _ in range(_MAX_FIELDS):
        line = file.readline(_MAX_LINE)
        if line == b"\r\n":
            return fields
        found = _FIELD.fullmatch(line)
        if found is None:
            break
        fields.append((found[1], found[2]))
    raise httpx.RemoteProtocolError("the head or the trailer of the answer has no proper end")


def _value(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    values = [value for key, value in fields if key.lower() == name]
    # Two lengths would be two ends; joined they are none that is accepted.
    return b", ".join(values)


def _chunks(file: BinaryIO, limit: int, what: str) -> Iterator[bytes]:
    total = 0
    while size := _chunk_size(file.readline(_MAX_LINE)):
        total += size
        if total > limit:
            raise _too_large(what, limit)
        # With its line end: Kubo cuts a block into 256 chunks, and each call counts.
        data = file.read(size + 2)
        if data[size:] != b"\r\n":
            raise httpx.RemoteProtocolError("a chunk was cut off")
        yield data[:size]
    failure = _value(_fields(file), b"x-stream-error")
    if failure:
        raise LateFailureError(failure.decode(errors="replace").strip()[:500])


def _counted(file: BinaryIO, size: int, limit: int, what: str) -> Iterator[bytes]:
    if size > limit:
        raise _too_large(what, limit)
    body = file.read(size)
    if len(body) < size:
        raise httpx.RemoteProtocolError(f"the body has {len(body)} of {size} bytes")
    yield body


def _to_the_end(file: BinaryIO, piece: int, limit: int, what: str) -> Iterator[bytes]:
    total = 0
    while data := file.read(piece):
        total += len(data)
        if total > limit:
            raise _too_large(what, limit)
        yield data


@lru_cache(maxsize=64)
def _chunk_size(line: bytes) -> int:
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise httpx.RemoteProtocolError("the body isn't made of chunks")
    return int(found[1], 16)


def _too_large(what: str, limit: int) -> IntegrityError:
    return IntegrityError(f"the answer to {what} has more than {limit} bytes; none of it was used")


def _secured(connected: socket.socket, url: httpx.URL) -> socket.socket:
    try:
        return Trust().context(str(url)).wrap_socket(connected, server_hostname=url.host)
    except BaseException:
        connected.close()
        raise


def _timeout(request: httpx.Request, kind: str) -> float:
    """Return one of the timeouts that httpx gives each request, in seconds."""
    value = request.extensions.get("timeout", {}).get(kind)
    # No wait is endless: a caller that names no time gets a minute.
    return 60.0 if value is None else float(value)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
