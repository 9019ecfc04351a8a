"""Kubo's RPC: one request, one answer that is bounded in size and time, or a typed error.

Two kinds of requests go over one bounded connection pool: those for data are ours, and those of ipfshttpclient control
the node (kubo_control.py). Never asks again after an answer, only after a broken connection.
Follows Kubo's RPC v0 (docs.ipfs.tech/reference/kubo/rpc) and ADR 12.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from panachain.errors import IntegrityError, StoreUnavailableError
from panachain.http_client import httpx
from panachain.wire.below_httpx import BelowHttpx
from panachain.wire.json_text import read_json
from panachain.wire.messages import said
from panachain.wire.transport import MAX_ANSWER, BoundedTransport, Bounds, LateFailureError, read_whole

MAX_VALUE: Final = 1 << 16
"""Bytes of one JSON object in a long answer."""
PATIENT: Final = 4
"""How many times as long a node may think before it answers, where it has much to do."""
_MAX_VALUES: Final = 1 << 20
"""Values of one JSON object, for answers that aren't flat; the bytes of the others bound theirs."""
MAX_BRACKETS: Final = 64
"""Opening brackets of one JSON object."""
_T = TypeVar("_T")


class Refused(Exception):  # noqa: N818 - an answer, no failure of ours; kubo.py makes it an error of the tree.
    """The node answered that it can't or won't."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


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


class KuboRpc:
    """The RPC of one node; any thread may use it."""

    def __init__(
        self,
        base: str,
        *,
        name: str,
        socket_path: str = "",
        timeout: float,
        tries: int,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the node's address; nothing is asked yet.

        Args:
            base: URL below which the RPC's paths lie, such as `http://127.0.0.1:5001/api/v0/`.
            name: what messages call the node.
            socket_path: a socket in the file system, in place of the URL's host and port.
            timeout: seconds of silence after which a connection is given up.
            tries: how often a request is sent at most.
            pause: seconds before the second try; doubled before each further one.
            clock: seconds that only go forward.
            sleep: waits for some seconds.
        """
        self.name = name
        self.timeout = timeout
        self._tries, self._pause, self._sleep = max(tries, 1), pause, sleep
        # Drawn anew: a block of somebody's CAR could hold a fixed one, and end the part too early.
        self._boundary = os.urandom(16).hex()
        self._client = httpx.Client(
            transport=BelowHttpx(BoundedTransport(uds=socket_path, clock=clock)),
            base_url="http://localhost/api/v0/" if socket_path else base,
            # A packed body could grow without bound when it is unpacked.
            headers={"Accept-Encoding": "identity", "User-Agent": "panachain"},
            follow_redirects=False,
            trust_env=False,
            timeout=timeout,
        )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._client.close()

    def call(self, request: Request, *, limit: int = MAX_ANSWER) -> bytes:
        """Return the answer's body.

        Raises:
            Refused: the node answers with a failure.
            IntegrityError: the answer has more than `limit` bytes.
            StoreUnavailableError: the node doesn't answer, or not in time.
        """
        return self.trying(request.path, lambda fresh: read_whole(self.open(request, Bounds(limit=limit, fresh=fresh))))

    def values(self, request: Request, *, limit: int = MAX_ANSWER) -> list[dict[str, Any]]:
        """Return the JSON objects of an answer, of which none is a failure.

        Raises:
            Refused: one of them is a failure.
            IntegrityError: the answer isn't made of JSON objects, or has more than `limit` bytes.
            StoreUnavailableError: as for `call`.
        """
        lines = self.call(request, limit=limit).splitlines()
        return [self.object_of(request.path, line) for line in lines]

    def stream(self, request: Request, *, limit: int) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a long answer as they come; only the end proves that they are all.

        Raises:
            Refused: one of them is a failure.
            IntegrityError: as for `values`.
            StoreUnavailableError: the node doesn't answer, or breaks off.
        """
        with self.mapped(request.path):
            response = self.open(request, Bounds(limit=limit, fresh=True))
            try:
                for line in self.lines(request.path, response.iter_raw()):
                    yield self.object_of(request.path, line)
            finally:
                response.close()

    @contextmanager
    def plain(self, request: Request, *, limit: int, piece: int) -> Iterator[Iterator[bytes]]:
        """Give a long answer as it comes, without chunks around it: HTTP 1.0, one connection for each.

        It costs half the work of a chunked answer. Its end proves nothing: the reader knows what must come.

        Args:
            request: what is asked.
            limit: bytes of the answer.
            piece: bytes of each piece but the last one.

        Raises:
            Refused: the node answers with a failure.
            StoreUnavailableError: the node doesn't answer, or breaks off while the body is read.
        """
        with self.mapped(request.path):
            response = self.open(request, Bounds(limit=limit, fresh=True, plain=True, piece=piece))
            try:
                yield response.iter_raw()
            finally:
                response.close()

    def trying(self, path: str, ask: Callable[[bool], _T]) -> _T:
        """Return ask(fresh), asking again where a connection broke; `fresh` asks for a connection of its own.

        Raises:
            StoreUnavailableError: the node doesn't answer, or not in time.
            Refused: it tells behind its answer that it failed.
        """
        failure: httpx.TransportError | None = None
        for attempt in range(self._tries):
            if attempt:
                self._sleep(self._pause * 2 ** (attempt - 1))
            try:
                return ask(attempt > 0)
            except httpx.TimeoutException as exc:
                # It had its time: asking again would only multiply the wait.
                raise self.unavailable(path, exc) from exc
            except httpx.TransportError as exc:
                failure = exc
            except LateFailureError as exc:
                raise Refused(200, str(exc)) from exc
        raise self.unavailable(path, failure) from failure

    def unavailable(self, path: str, failure: BaseException | None) -> StoreUnavailableError:
        """Return the error for a node that doesn't answer."""
        if isinstance(failure, httpx.TimeoutException):
            reason = f"within {self.timeout:g} s, or too slowly"
        else:
            reason = f"({said(failure)})"
        return StoreUnavailableError(f"the {self.name} doesn't answer {path} {reason}")

    def open(self, request: Request, bounds: Bounds) -> httpx.Response:
        """Send a request and return the answer, of which the head was read and tells success.

        Raises:
            Refused: the node answers with a failure.
            TransportError: the node doesn't answer, or not in time.
        """
        # The node thinks before it answers a large request.
        idle = self.timeout * (PATIENT if request.body or request.patient else 1)
        headers = {"Connection": "close"} if bounds.plain else {}
        content: Sequence[bytes] = ()
        if request.body:
            head, tail = _multipart(self._boundary)
            content = (head, *request.body, tail)
            headers["Content-Type"] = f"multipart/form-data; boundary={self._boundary}"
            headers["Content-Length"] = str(sum(map(len, content)))
        built = self._client.build_request(
            "POST",
            request.path,
            params=[*request.options, *(("arg", argument) for argument in request.arguments)],
            headers=headers,
            content=iter(content) if content else None,
            timeout=httpx.Timeout(idle, connect=self.timeout),
            extensions=bounds.extension(),
        )
        response = self._client.send(built, stream=True)
        if response.status_code == 200:
            return response
        body = read_whole(response)
        if response.status_code in (502, 503, 504):
            # Something before the node says that it can't reach the node.
            raise httpx.RemoteProtocolError(f"HTTP status {response.status_code}")
        raise Refused(response.status_code, _message(body))

    @contextmanager
    def mapped(self, path: str) -> Iterator[None]:
        """Map what a long answer may end in to errors of the tree, and to Refused."""
        try:
            yield
        except httpx.TransportError as exc:
            raise self.unavailable(path, exc) from exc
        except LateFailureError as exc:
            raise Refused(200, str(exc)) from exc

    def lines(self, path: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines of an answer, without their ends.

        Raises:
            IntegrityError: one is longer than any that a node writes.
        """
        rest = b""
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > MAX_VALUE:
                raise IntegrityError(f"a line of the {self.name}'s answer to {path} has no end")
            yield from lines
        if rest:
            yield rest

    def object_of(self, path: str, line: bytes, *, brackets: int = MAX_BRACKETS) -> dict[str, Any]:
        """Return the JSON object in a line of an answer.

        Raises:
            Refused: it is a failure.
            IntegrityError: it is something else, or nested beyond measure.
        """
        value = _json(line, brackets=brackets)
        if not isinstance(value, dict):
            raise IntegrityError(f"the {self.name} answers {path} with something that is no JSON object")
        if value.get("Type") == "error":
            raise Refused(200, str(value.get("Message", ""))[:500])
        return value


def _message(body: bytes) -> str:
    value = _json(body)
    message = value.get("Message") if isinstance(value, dict) else body.decode(errors="replace")
    return str(message).strip()[:500]


def _json(text: bytes, *, brackets: int = MAX_BRACKETS) -> Any:
    """Return a JSON value, or None for what isn't one; Kubo's are flat."""
    # Counted first: Python's parser recurses, and how deep it may is whatever the process set for itself.
    if text.count(b"[") + text.count(b"{") > brackets:
        return None
    try:
        return read_json(text, values=_MAX_VALUES)
    except (ValueError, IntegrityError):
        return None


def _multipart(boundary: str) -> tuple[bytes, bytes]:
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="blocks"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()
