"""What proxy, relay and gate do alike over HTTP: listen, serve until they are told to stop, and read a body.

Never says in an answer what serves it. Follows RFC 9110, docs/spec/proxy.md, docs/spec/relay.md and docs/spec/gate.md.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect, Request

from panachain.errors import UnavailableError
from panachain.service import problems
from panachain.service.problems import ProblemError
from panachain.service.tls import TlsConfig

if TYPE_CHECKING:
    from panachain.service.connections import BoundedProtocol, ConnectionLimits

_BACKLOG: Final = 1024
"""Connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, which a process may leave to its children.

    Raises:
        UnavailableError: the address is in use, isn't this machine's, or needs more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening: socket.socket | None = None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it, and asyncio doesn't set it on sockets that it didn't make: an answer's body would wait
        # for the acknowledgement of its head, 40 ms (Nagle's algorithm, RFC 9293 section 3.7.4).
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
        listening.set_inheritable(True)
    except OSError as exc:
        if listening is not None:
            listening.close()
        raise UnavailableError(
            f"{host}:{port} can't be listened on: {exc.strerror}",
            hint="choose another port, or end what listens there already",
        ) from exc
    return listening


def serve(
    app: Any,
    listening: socket.socket,
    *,
    also: Sequence[socket.socket] = (),
    tls: TlsConfig | None,
    grace: float,
    behind: str = "",
    limits: ConnectionLimits | None = None,
    http: type[BoundedProtocol] | None = None,
    **options: Any,
) -> None:
    """Serve until SIGTERM or SIGINT, let the requests under way end, and return.

    Args:
        app: an ASGI application.
        listening: where clients connect.
        also: where they connect as well: a name may lead to several addresses of one machine.
        tls: files for TLS; None for none.
        grace: seconds that requests under way get.
        behind: addresses of the reverse proxies, with commas, whose `X-Forwarded-For` is believed; empty for none.
        limits: of the connections; None takes the usual ones, and behind a reverse proxy none for each source.
        http: the protocol that they speak; None takes the usual one.
        options: further ones of uvicorn.
    """
    # Imported here: a configuration is checked before the server's code is loaded.
    import uvicorn

    from panachain.service.connections import BoundedProtocol, bounded

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(grace),
            http=bounded(limits or behind_limits(behind), http or BoundedProtocol),
            loop="panachain.service.connections:Loop",
            **({} if tls is None else tls.settings()),
            # uvicorn would believe whoever connects from loopback, a tunnel's strangers too, which address they have.
            proxy_headers=bool(behind),
            forwarded_allow_ips=behind or None,
            **options,
        )
    )
    # After the server, which sets its logging up.
    logging.getLogger("uvicorn.error").addFilter(_quiet)
    # uvicorn catches both while it serves, and raises them once more at its end: with this, a signal that comes before
    # stops it too, and one that comes after harms nobody's clean-up.
    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, server.handle_exit)
    server.run(sockets=[listening, *also])


def behind_limits(behind: str) -> ConnectionLimits:
    """Return the limits of connections for a service that may stand behind reverse proxies.

    Args:
        behind: the reverse proxies' addresses; empty where there is none.
    """
    from panachain.service.connections import ConnectionLimits

    # Every client's connection comes from the reverse proxy, which has to share them out: one of its clients would
    # use up all of them.
    return ConnectionLimits(most_per_source=0) if behind else ConnectionLimits()


def _quiet(record: logging.LogRecord) -> bool:
    """Let what the server itself tells of failures pass, without tracebacks, which can quote what was sent.

    It would also warn of each request that isn't HTTP, and a stranger could fill the disk.
    """
    record.exc_info = None
    return record.levelno >= logging.ERROR


class Room:
    """The memory that bodies of one process may take, from their first byte until their requests are answered."""

    def __init__(self, most: int) -> None:
        """Take the bytes that they may have together."""
        self._most = most
        self._used = 0
        self._places: dict[Place, None] = {}

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Yield a place for one body, which is free again afterwards."""
        place = Place(self)
        self._places[place] = None
        try:
            yield place
        finally:
            self._clear(place)
            del self._places[place]

    def grow(self, place: Place, size: int) -> None:
        """Give a place more bytes, if need be at the cost of the body that has been arriving for the longest time.

        Raises:
            UnavailableError: every body in the room is whole.
        """
        place.size += size
        self._used += size
        for other in self._places:
            if self._used <= self._most:
                return
            # An honest body arrives at once; what has been on its way for long is most likely never whole.
            if other is not place and other.timeout is not None and other.size:
                self._clear(other)
                other.timeout.reschedule(0)
        if self._used > self._most:
            raise UnavailableError("the service is busy: too many large requests at once")

    def _clear(self, place: Place) -> None:
        self._used -= place.size
        place.size = 0


class Place:
    """What one body takes of a room."""

    def __init__(self, room: Room) -> None:
        """Take the room; `Room.place` makes it."""
        self._room = room
        self.size = 0
        self.timeout: asyncio.Timeout | None = None
        """Of the body while it arrives."""

    def grow(self, size: int) -> None:
        """Take more bytes; raises as `Room.grow`."""
        self._room.grow(self, size)


async def read_request(request: Request, *, limit: int, seconds: float, place: Place | None = None) -> bytes:
    """Return a request's body, whose announced size is looked at first; raises as `read_body`."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    try:
        return await read_body(request.stream(), limit=limit, seconds=seconds, place=place)
    except ClientDisconnect:
        # Nobody hears it. A fault of the service would be logged, and a peer that goes away could fill the disk.
        raise ProblemError(problems.TIMEOUT, "the peer went away before its body was whole") from None


async def read_body(
    pieces: AsyncIterable[bytes], *, limit: int, seconds: float, place: Place | None = None, keep: bool = True
) -> bytes:
    """Return a request's body; nothing is kept of one that is too large or too slow.

    Args:
        pieces: the body as it arrives.
        limit: bytes that it may have.
        seconds: that it may take.
        place: what it takes of the memory for bodies.
        keep: whether it is kept; else it is read all the same, and nothing of it is returned.

    Raises:
        ProblemError: it is larger, or takes longer, or others need its memory.
        UnavailableError: there is no memory for it.
    """
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(seconds) as timeout:
            if place is not None:
                place.timeout = timeout
            async for piece in pieces:
                size += len(piece)
                if keep:
                    body += piece
                if size > limit:
                    raise _too_large(limit)
                if place is not None:
                    place.grow(len(piece))
    except TimeoutError:
        raise ProblemError(
            problems.TIMEOUT, f"the body didn't arrive within {seconds:.0f} s, {size} bytes did"
        ) from None
    finally:
        if place is not None:
            place.timeout = None
    return bytes(body)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(problems.TOO_LARGE, f"a body of more than {limit} bytes isn't read")
