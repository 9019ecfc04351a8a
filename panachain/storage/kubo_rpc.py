"""Kubo's RPC over HTTP: one request, one answer that is bounded in size and time.

Never believes that an answer is whole because it ended: bodies without a length, or cut before it, are failures, and
so is what Kubo tells behind a body, in the trailer `X-Stream-Error`. Never asks again after an answer, only after
a broken connection. Written on the standard library: ipfshttpclient gathers answers of any size, takes half an
answer for a whole one and has no bound in time.
Follows Kubo's RPC v0 (docs.ipfs.tech/reference/kubo/rpc) and RFC 9112, section 7.1 (chunked bodies).
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

from panachain.errors import IntegrityError, StoreUnavailableError

MIN_RATE: Final = 32 << 10
"""Bytes a second that an answer must have on average once its time is over: a trickle is no answer."""
MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer where no other limit is given."""
_IDLE_CONNECTIONS: Final = 8
_BUFFER: Final = 1 << 17
"""Bytes that are taken from the socket at once; Kubo's chunks have 4 KiB."""
_MAX_LINE: Final = 8192
"""Bytes of a line around chunks."""
_FRAMING: Final = 1 << 20
"""Bytes around a body: head, sizes of chunks, trailer. Where the body is larger, they may be as many as it has."""
_MAX_VALUE: Final = 1 << 16
"""Bytes of one JSON object in a long answer."""
_MAX_BRACKETS: Final = 64
"""Opening brackets of one JSON object."""
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[^\r\n]*)?\r\n")


class Refused(Exception):  # noqa: N818 - an answer, no failure of ours; kubo.py makes it an error of the tree.
    """The node answered that it can't or won't."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _BrokenAnswerError(Exception):
    """The answer isn't whole, or isn't HTTP."""


_TRANSPORT: Final = (OSError, http.client.HTTPException, _BrokenAnswerError)


@dataclass(frozen=True)
class Request:
    """One call of the RPC."""

    path: str
    """Such as `block/get`."""
    arguments: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    """The file that goes with it, in pieces; empty for none."""
    patient: bool = False
    """Whether the node may think four times as long before it answers."""
    patience: float = 0.0
    """Seconds that the whole answer may take at any rate, as long as it shows signs of life."""

    @property
    def target(self) -> str:
        """The request's path and query, below the RPC's base."""
        return f"{self.path}?{urlencode([*self.options, *(('arg', argument) for argument in self.arguments)])}"


class KuboRpc:
    """The RPC of one node; any thread may use it."""

    def __init__(
        self, base: str, *, name: str, socket_path: str = "", timeout: float, tries: int, pause: float
    ) -> None:
        """Take the node's address; nothing is asked yet.

        Args:
            base: URL below which the RPC's paths lie, such as `http://127.0.0.1:5001/api/v0/`.
            name: what messages call the node.
            socket_path: a socket in the file system, in place of the URL's host and port.
            timeout: seconds of silence after which a connection is given up.
            tries: how often a request is sent at most.
            pause: seconds before the second try; doubled before each further one.
        """
        parts = urlsplit(base)
        self._host, self._port, self._secure = parts.hostname or "", parts.port, parts.scheme == "https"
        self._base = parts.path
        self._socket_path = socket_path
        # Drawn anew: a block of somebody's CAR could hold a fixed one, and end the part too early.
        self._boundary = os.urandom(16).hex()
        self.name = name
        self._timeout, self._tries, self._pause = timeout, max(tries, 1), pause
        self._connections: deque[http.client.HTTPConnection] = deque(maxlen=_IDLE_CONNECTIONS)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            while self._connections:
                self._connections.pop().close()

    def call(self, request: Request, *, limit: int = MAX_ANSWER) -> bytes:
        """Return the answer's body.

        Raises:
            Refused: the node answers with a failure.
            IntegrityError: the answer has more than `limit` bytes.
            StoreUnavailableError: the node doesn't answer, or not in time.
        """
        failure: BaseException | None = None
        for attempt in range(self._tries):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
            try:
                # After a failure a connection of its own: those that lie idle may be as old as the one that broke.
                return self._once(request, limit, self._connect() if attempt else self._take())
            except TimeoutError as exc:
                # It had its time: asking again would only multiply the wait.
                raise self._unavailable(request, exc) from exc
            except _TRANSPORT as exc:
                failure = exc
        raise self._unavailable(request, failure) from failure

    def values(self, request: Request, *, limit: int = MAX_ANSWER) -> list[dict[str, Any]]:
        """Return the JSON objects of an answer, of which none is a failure.

        Raises:
            Refused: one of them is a failure.
            IntegrityError: the answer isn't made of JSON objects, or has more than `limit` bytes.
            StoreUnavailableError: as for `call`.
        """
        lines = self.call(request, limit=limit).splitlines()
        return [self._value(request, line) for line in lines]

    def stream(self, request: Request, *, limit: int) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a long answer as they come; only the end proves that they are all.

        Raises:
            Refused: one of them is a failure.
            IntegrityError: as for `values`.
            StoreUnavailableError: the node doesn't answer, or breaks off.
        """
        connection = self._connect()
        rest = b""
        try:
            response = self._ask(connection, request, limit)
            if response.status != 200:
                raise Refused(response.status, _message(_read_body(response, MAX_ANSWER, "a failure")))
            if not response.chunked:
                raise _BrokenAnswerError("no chunks, so its end couldn't be told")
            for chunk in _chunks(response.fp, limit, f"the {self.name}'s answer to {request.path}"):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_VALUE:
                    raise _too_large(f"a line of the {self.name}'s answer to {request.path}", _MAX_VALUE)
                for line in lines:
                    yield self._value(request, line)
            if rest:
                yield self._value(request, rest)
        except _TRANSPORT as exc:
            raise self._unavailable(request, exc) from exc
        finally:
            connection.close()

    @contextmanager
    def plain(self, request: Request, *, limit: int) -> Iterator[io.BufferedIOBase]:
        """Give a long answer as it comes, without chunks around it: HTTP 1.0, one connection for each.

        It costs half the work of a chunked answer. Its end proves nothing: the reader knows what must come.

        Raises:
            Refused: the node answers with a failure.
            StoreUnavailableError: the node doesn't answer, or breaks off while the body is read.
        """
        connection = self._connect()
        # Kubo's server takes the version at its word, and sends the bytes as they are.
        connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
        try:
            response = self._ask(connection, request, limit)
            if response.status != 200:
                raise Refused(response.status, _message(response.fp.read(MAX_ANSWER)))
            if response.chunked:
                raise _BrokenAnswerError("chunks, where none were asked for")
            with response:
                yield response.fp
        except _TRANSPORT as exc:
            raise self._unavailable(request, exc) from exc
        finally:
            connection.close()

    def _value(self, request: Request, line: bytes) -> dict[str, Any]:
        value = _json(line)
        if not isinstance(value, dict):
            raise IntegrityError(f"the {self.name} answers {request.path} with something that is no JSON object")
        if value.get("Type") == "error":
            raise Refused(200, str(value.get("Message", ""))[:500])
        return value

    def _once(self, request: Request, limit: int, connection: http.client.HTTPConnection) -> bytes:
        try:
            response = self._ask(connection, request, limit)
            good = response.status == 200
            body = _read_body(response, limit if good else MAX_ANSWER, f"the {self.name}'s answer to {request.path}")
        except BaseException:
            connection.close()
            raise
        response.close()
        if response.sent_all:
            self._give_back(connection)
        else:
            connection.close()
        if not good:
            raise Refused(response.status, _message(body))
        return body

    def _ask(self, connection: http.client.HTTPConnection, request: Request, limit: int) -> _Response:
        """Send a request and return the answer, of which the head was read."""
        idle = self._timeout * (4 if request.body or request.patient else 1)
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(idle)
        sent_all = self._send(connection, request, idle)
        bounds = {"seconds": max(idle, request.patience), "most": 2 * max(limit, MAX_ANSWER) + _FRAMING}
        connection.response_class = partial(_Response, bounds)  # type: ignore[assignment]
        response = cast(_Response, connection.getresponse())
        response.sent_all = sent_all
        if response.status in (502, 503, 504):
            # Something before the node says that it can't reach the node.
            raise _BrokenAnswerError(f"HTTP status {response.status}")
        return response

    def _send(self, connection: http.client.HTTPConnection, request: Request, seconds: float) -> bool:
        """Send a request, and tell whether the node took all of it."""
        target = self._base + request.target
        if not request.body:
            connection.request("POST", target)
            return True
        head, tail = _multipart(self._boundary)
        size = len(head) + sum(map(len, request.body)) + len(tail)
        headers = {"Content-Type": f"multipart/form-data; boundary={self._boundary}", "Content-Length": str(size)}
        try:
            body = _paced((head, *request.body, tail), seconds)
            connection.request("POST", target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # A node that fails early answers before it has taken all: the answer says why.
            return False
        return True

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._connections:
                return self._connections.pop()
        return self._connect()

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._connections) < _IDLE_CONNECTIONS:
                self._connections.append(connection)
                return
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            # The certificate is checked against the system's authorities.
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout)
        if self._socket_path:
            return _UnixConnection(self._socket_path, timeout=self._timeout)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _unavailable(self, request: Request, failure: BaseException | None) -> StoreUnavailableError:
        if isinstance(failure, TimeoutError):
            reason = f"within {self._timeout:g} s, or too slowly"
        else:
            reason = f"({type(failure).__name__})"
        return StoreUnavailableError(f"the {self.name} doesn't answer {request.path} {reason}")


class _Bounded(io.RawIOBase):
    """What comes out of a socket, as long as it comes fast enough and is not too much."""

    def __init__(self, raw: io.RawIOBase, *, seconds: float, most: int) -> None:
        self._raw = raw
        self._seconds = seconds
        self._waited = 0.0
        self._most = most
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        # Only the time that the node lets its reader wait: how long the reader takes in between is his own affair.
        started = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited += time.monotonic() - started
        self._count += count or 0
        if self._waited > self._seconds + self._count / MIN_RATE:
            raise TimeoutError("the answer is too slow")
        if self._count > self._most:
            raise _BrokenAnswerError("the answer has no end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response of which every byte, also those of its head, comes through `_Bounded`."""

    sent_all = True
    """Whether the node took the whole request, so that another one may follow on the connection."""

    def __init__(self, bounds: dict[str, Any], sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Bounded(sock.makefile("rb", buffering=0), **bounds), _BUFFER)


class _UnixConnection(http.client.HTTPConnection):
    """A connection through a socket in the file system."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(self.timeout)
            connected.connect(self._path)
        except BaseException:
            connected.close()
            raise
        self.sock = connected


def _paced(pieces: Sequence[bytes], seconds: float) -> Iterator[bytes]:
    """Yield what is to be sent, as long as the node takes it fast enough."""
    until = time.monotonic() + seconds
    sent = 0
    for piece in pieces:
        yield piece
        sent += len(piece)
        if time.monotonic() > until + sent / MIN_RATE:
            raise TimeoutError("the node takes what it is sent too slowly")


def _read_body(response: http.client.HTTPResponse, limit: int, what: str) -> bytes:
    """Return a whole body.

    Raises:
        IntegrityError: it has more than `limit` bytes.
        Refused: the node tells behind the body that it failed.
        _BrokenAnswerError: it was cut off.
    """
    if response.chunked:
        return b"".join(_chunks(response.fp, limit, what))
    size = response.length
    if size is None:
        # A head that was cut off looks like this too.
        raise _BrokenAnswerError("the body has no length")
    if size > limit:
        raise _too_large(what, limit)
    body = response.fp.read(size)
    if len(body) < size:
        raise _BrokenAnswerError(f"{len(body)} of {size} bytes")
    return body


def _chunks(file: io.BufferedIOBase, limit: int, what: str) -> Iterator[memoryview]:
    total = 0
    while size := _chunk_size(file.readline(_MAX_LINE)):
        total += size
        if total > limit:
            raise _too_large(what, limit)
        # With its line end: Kubo cuts a block into 256 chunks, and each call counts.
        data = memoryview(file.read(size + 2))
        if bytes(data[size:]) != b"\r\n":
            raise _BrokenAnswerError("a chunk was cut off")
        yield data[:size]
    for _ in range(16):
        line = file.readline(_MAX_LINE)
        if line == b"\r\n":
            return
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n"):
            break
        if name.lower() == b"x-stream-error":
            raise Refused(200, value.decode(errors="replace").strip()[:500])
    raise _BrokenAnswerError("the body has no proper end")


@lru_cache(maxsize=64)
def _chunk_size(line: bytes) -> int:
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise _BrokenAnswerError("the body isn't made of chunks")
    return int(found[1], 16)


def _too_large(what: str, limit: int) -> IntegrityError:
    return IntegrityError(f"{what} has more than {limit} bytes; none of it was used")


def _message(body: bytes) -> str:
    value = _json(body)
    message = value.get("Message") if isinstance(value, dict) else body.decode(errors="replace")
    return str(message).strip()[:500]


def _json(text: bytes) -> Any:
    """Return a JSON value, or None for what isn't one; Kubo's are flat."""
    # Counted first: Python's parser recurses, and how deep it may is whatever the process set for itself.
    if text.count(b"[") + text.count(b"{") > _MAX_BRACKETS:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _multipart(boundary: str) -> tuple[bytes, bytes]:
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="blocks"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()
