"""HTTP to a node that isn't trusted: every answer is bounded in size and time, to the byte.

The transport of every client (client.py), and below ipfshttpclient (below_httpx.py). httpx's own one bounds a silence,
but no head, no trickle and no body; it drops what a node tells behind a body, and takes four times as long for a large
one (ADR 12).
Never follows a redirect, never asks the environment for a proxy, never unpacks a body, and never believes that an
answer is whole because it ended. Follows RFC 9112 (HTTP/1.1) and the trailer `X-Stream-Error` of Kubo's RPC v0.
"""

from __future__ import annotations

import io
import math
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Final, cast

from panachain.errors import IntegrityError
from panachain.trust import Trust
from panachain.wire.dial import Check, dial, dial_file
from panachain.wire.messages import (
    ConnectError,
    ConnectTimeout,
    Fields,
    LocalProtocolError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    Response,
    Url,
    Whole,
)

MIN_RATE: Final = 32 << 10
"""Bytes a second that an answer must have on average once its time is over: a trickle is no answer."""
MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer where no other limit is given, and of every failure."""
_BOUNDS: Final = "panachain.bounds"
"""Where a request carries its bounds among its extensions."""
_IDLE_CONNECTIONS: Final = 8
"""Connections to one host that are kept while nobody uses them."""
_IDLE_HOSTS: Final = 64
"""Hosts to which connections are kept."""
_KEPT: Final = 4.0
"""Seconds that an idle connection is kept: less than servers keep theirs, so that none is used while it is closed."""
_BUFFER: Final = 1 << 17
"""Bytes that are taken from the socket at once; Kubo's chunks have 4 KiB."""
_MAX_LINE: Final = 8192
"""Bytes of a line of a head, or around chunks."""
_MAX_FIELDS: Final = 100
"""Fields of a head, or of a trailer."""
_MAX_HEAD: Final = 1 << 16
"""Bytes of all fields of a head, or of a trailer."""
_MAX_INTERIM: Final = 8
"""Answers of status 1xx that may come before the real one."""
_MIN_CHUNKS: Final = 4096
"""Chunks of any size that a body may have."""
_MIN_CHUNK: Final = 64
"""Bytes that the other chunks have on average: each takes as much work as a page of bytes."""
_FRAMING: Final = 1 << 20
"""Bytes around a body: head, sizes of chunks, trailer. Where the body is larger, they may be as many as it has."""
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
"""Field name (a token) and value, RFC 9110, section 5."""
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[^\r\n]*)?\r\n")

_Origin = tuple[str, str, int | None]
"""Scheme, host and port."""


class LateFailureError(Exception):
    """The node tells behind a body that it failed (`X-Stream-Error`); its message is the argument."""


@dataclass(frozen=True)
class Bounds:
    """What one answer may take at most."""

    limit: int = MAX_ANSWER
    """Bytes of the body."""
    patience: float = 0.0
    """Seconds of waiting that are free of `MIN_RATE`; at least the read timeout is."""
    total: float = math.inf
    """Seconds from the request's beginning to the answer's last byte, connecting included."""
    fresh: bool = False
    """Whether the request gets a connection of its own: those that lie idle may be as old as the one that broke."""
    plain: bool = False
    """Whether HTTP/1.0 is spoken, so that a long body comes without chunks: half the work. Its end proves nothing."""
    piece: int = 0
    """Bytes of each piece in which a plain body is given, but for the last one."""

    def extension(self) -> dict[str, Any]:
        """Return the bounds as an extension of a request."""
        return {_BOUNDS: self}


def bounds_of(request: Request) -> Bounds:
    """Return the bounds that a request carries, or the usual ones."""
    found = request.extensions.get(_BOUNDS)
    return found if isinstance(found, Bounds) else Bounds()


class BoundedTransport:
    """A transport; any thread may use it.

    Raises a WireError for connections that fail, IntegrityError for an answer that is too large, and
    LateFailureError.
    """

    def __init__(
        self,
        *,
        uds: str = "",
        trust: Trust | None = None,
        check: Check | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where to connect to; nothing is asked yet.

        Args:
            uds: a socket in the file system, in place of the host and port that requests name.
            trust: whom to trust over HTTPS; None takes the usual authorities.
            check: looks at each address before it is connected to; None takes all.
            clock: seconds that only go forward.
        """
        self._uds = uds
        self._trust = trust or Trust()
        self._check = check
        self._clock = clock
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: Request) -> Response:
        """Send a request and return the answer, of which the head was read."""
        bounds = bounds_of(request)
        until = math.inf if bounds.total == math.inf else self._clock() + bounds.total
        connection = (None if bounds.fresh else self._take(request.url)) or self._connect(request, until)
        try:
            answer = connection.ask(request, bounds, until, self._clock)
            body = _Body(answer, lambda: self._give_back(connection), connection.close)
        except BaseException:
            connection.close()
            raise
        return Response(answer.status, answer.fields, body)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for kept in idle.values():
            for connection in kept:
                connection.close()

    def _take(self, url: Url) -> _Connection | None:
        while True:
            with self._lock:
                kept = self._idle.get(_origin(url))
                # The one that was used last: the others may grow old, and are closed.
                connection = kept.pop() if kept else None
            if connection is None or connection.is_fresh():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        dropped: list[_Connection] = []
        with self._lock:
            # The host that was used last stands last.
            kept = self._idle.pop(connection.origin, [])
            connection.idle_since = time.monotonic()
            self._idle[connection.origin] = [*kept[1 - _IDLE_CONNECTIONS :], connection]
            dropped += kept[: 1 - _IDLE_CONNECTIONS]
            if len(self._idle) > _IDLE_HOSTS:
                dropped += self._idle.pop(next(iter(self._idle)))
        for old in dropped:
            old.close()

    def _connect(self, request: Request, until: float) -> _Connection:
        url, seconds = request.url, _timeout(request, "connect")
        if until < math.inf:
            seconds = min(seconds, max(until - self._clock(), 0.0))
        secure = url.scheme == "https"
        try:
            if self._uds:
                connected = dial_file(self._uds, seconds=seconds)
            else:
                port = url.port or (443 if secure else 80)
                tls = self._trust.context(str(url)) if secure else None
                connected = dial(url.host, port, seconds=seconds, check=self._check, tls=tls)
        except TimeoutError as exc:
            raise ConnectTimeout("no connection in time") from exc
        except OSError as exc:
            raise ConnectError(str(exc)) from exc
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
    reusable: bool
    """Whether another request may follow on the connection: the node took all of this one, and will take more."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the body."""
        # An error needs no more room than a message, whatever the request may have asked for.
        limit = self.bounds.limit if self.status in (200, 202, 206) else MAX_ANSWER
        if _value(self.fields, b"content-encoding") not in (b"", b"identity"):
            raise RemoteProtocolError("a packed body, which wasn't asked for")
        coding, size = _value(self.fields, b"transfer-encoding"), _value(self.fields, b"content-length")
        if self.status == 204:
            # It ends with its head (RFC 9112, section 6.3); what names a body all the same hides another answer.
            if coding or size not in (b"", b"0"):
                raise RemoteProtocolError("a body where none may be")
            return iter(())
        if coding:
            if self.bounds.plain or size or coding.lower() != b"chunked":
                # With both, two readers would find two ends (RFC 9112, section 6.1).
                raise RemoteProtocolError("chunks where none were asked for, or beside a length")
            return _chunks(self.file, limit, self.what)
        # More digits are no length, and Python would count with them for long.
        if size.isdigit() and len(size) < 20:
            return _counted(self.file, int(size), limit, self.what)
        if self.bounds.plain:
            return _to_the_end(self.file, self.bounds.piece or _BUFFER, limit, self.what)
        # A head that was cut off looks like this too.
        raise RemoteProtocolError("the body has no length, so its end couldn't be told")


class _Connection:
    """A connection that one request uses at a time."""

    def __init__(self, connected: socket.socket, origin: _Origin) -> None:
        self._socket = connected
        self.origin = origin
        self.idle_since = 0.0

    def close(self) -> None:
        self._socket.close()

    def is_fresh(self) -> bool:
        """Tell whether another request may go over it: it isn't old, and nobody closed it or wrote to it."""
        if time.monotonic() - self.idle_since > _KEPT:
            return False
        # `poll` and not `select`, which takes no descriptor from 1,024 on.
        looking = select.poll()
        looking.register(self._socket, select.POLLIN)
        return not looking.poll(0)

    def ask(self, request: Request, bounds: Bounds, until: float, clock: Callable[[], float]) -> _Answer:
        """Send a request and read the head of its answer, until `until` of the clock."""
        try:
            idle = _timeout(request, "read")
            self._socket.settimeout(idle if until == math.inf else min(idle, max(until - clock(), 0.001)))
            sent_all = self._send(request, bounds, idle, clock)
            # Twice, because chunks of one byte come with more frame than content.
            most = 2 * max(bounds.limit, MAX_ANSWER) + _FRAMING
            seconds = max(idle, bounds.patience)
            raw = _Bounded(self._socket, idle=idle, seconds=seconds, until=until, most=most, clock=clock)
            file = cast(BinaryIO, io.BufferedReader(raw, _BUFFER))
            status, fields, closes = _head(file)
        except TimeoutError as exc:
            raise ReadTimeout("no answer in time") from exc
        except OSError as exc:
            raise ReadError(str(exc)) from exc
        what = f"{request.url.host} to {request.url.path}"
        return _Answer(status, fields, file, bounds, what, reusable=sent_all and not bounds.plain and not closes)

    def _send(self, request: Request, bounds: Bounds, seconds: float, clock: Callable[[], float]) -> bool:
        """Send a request, and tell whether the node took all of it."""
        version = b"HTTP/1.0" if bounds.plain else b"HTTP/1.1"
        lines = [b"%b %b %b" % (request.method.encode(), request.url.raw_path, version)]
        lines += [name + b": " + value for name, value in request.headers.raw]
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise LocalProtocolError("a line of the request holds another one")
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        until = clock() + seconds
        sent = 0
        try:
            pieces = iter(request.stream)
            # In one packet with the beginning of the body, where there is one: most requests are small.
            self._socket.sendall(head + next(pieces, b""))
            for piece in pieces:
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

    def __init__(
        self,
        connected: socket.socket,
        *,
        idle: float,
        seconds: float,
        until: float,
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self._socket = connected
        self._idle = idle
        self._seconds = seconds
        self._until = until
        self._clock = clock
        self._waited = 0.0
        self._most = most
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        # Only the time that the node lets its reader wait: how long the reader takes in between is the reader's affair.
        started = self._clock()
        free = self._seconds + self._count / MIN_RATE - self._waited
        left = min(self._idle, free, self._until - started)
        if left <= 0:
            raise TimeoutError("the answer is too slow")
        self._socket.settimeout(left)
        count = self._socket.recv_into(buffer)
        self._waited += self._clock() - started
        self._count += count
        if self._waited > self._seconds + self._count / MIN_RATE:
            raise TimeoutError("the answer is too slow")
        if self._count > self._most:
            raise OSError("the answer has no end")
        return count


class _Body:
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
            raise ReadTimeout("the answer came too slowly") from exc
        except OSError as exc:
            raise ReadError(str(exc)) from exc
        self._whole = True

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._answer.file.close()
        # Only where both sides know that nothing is left on it: the rest of one answer must not be taken for the next.
        if self._whole and self._answer.reusable:
            self._give_back()
        else:
            self._drop()


def read_whole(response: Whole) -> bytes:
    """Return a body of which the transport bounds the size, and close the response."""
    try:
        return b"".join(response.stream)
    finally:
        response.close()


def _head(file: BinaryIO) -> tuple[int, Fields, bool]:
    """Return status, fields and whether the connection ends with it, of an answer past those that only announce it."""
    for _ in range(_MAX_INTERIM):
        found = _STATUS.fullmatch(file.readline(_MAX_LINE))
        if found is None:
            raise RemoteProtocolError("the answer isn't HTTP")
        status, fields = int(found[2]), _fields(file)
        if status >= 200:
            # RFC 9112, section 9.3. A server of HTTP/1.0 that keeps it open anyway is asked on another one.
            closes = found[1] == b"0" or _value(fields, b"connection").lower() == b"close"
            return status, fields, closes
    raise RemoteProtocolError(f"{_MAX_INTERIM} answers came before the answer")


def _fields(file: BinaryIO) -> Fields:
    """Return the fields of a head or a trailer, which an empty line ends."""
    fields: Fields = []
    size = 0
    for _ in range(_MAX_FIELDS):
        line = file.readline(_MAX_LINE)
        if line == b"\r\n":
            return fields
        size += len(line)
        found = _FIELD.fullmatch(line)
        if found is None or size > _MAX_HEAD:
            break
        fields.append((found[1], found[2]))
    raise RemoteProtocolError("the head or the trailer of the answer has no proper end")


def _value(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    values = [value for key, value in fields if key.lower() == name]
    # Two lengths would be two ends; joined they are none that is accepted.
    return b", ".join(values)


def _chunks(file: BinaryIO, limit: int, what: str) -> Iterator[bytes]:
    total = count = 0
    while size := _chunk_size(file.readline(_MAX_LINE)):
        total += size
        count += 1
        if total > limit:
            raise _too_large(what, limit)
        if count > _MIN_CHUNKS + total // _MIN_CHUNK:
            raise RemoteProtocolError("the body comes in crumbs")
        # With its line end: Kubo cuts a block into 256 chunks, and each call counts.
        data = file.read(size + 2)
        if data[size:] != b"\r\n":
            raise RemoteProtocolError("a chunk was cut off")
        yield data[:size]
    failure = _value(_fields(file), b"x-stream-error")
    if failure:
        raise LateFailureError(failure.decode(errors="replace").strip()[:500])


def _counted(file: BinaryIO, size: int, limit: int, what: str) -> Iterator[bytes]:
    if size > limit:
        raise _too_large(what, limit)
    body = file.read(size)
    if len(body) < size:
        raise RemoteProtocolError(f"the body has {len(body)} of {size} bytes")
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
        raise RemoteProtocolError("the body isn't made of chunks")
    return int(found[1], 16)


def _too_large(what: str, limit: int) -> IntegrityError:
    return IntegrityError(f"the answer of {what} has more than {limit} bytes; none of it was used")


def _timeout(request: Request, kind: str) -> float:
    """Return one of the timeouts that a request carries, in seconds."""
    value = request.extensions.get("timeout", {}).get(kind)
    # No wait is endless: a caller that names no time gets a minute.
    return 60.0 if value is None else float(value)


def _origin(url: Url) -> _Origin:
    return url.scheme, url.host, url.port
