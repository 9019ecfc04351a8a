"""Connections of a service: how many there may be, and how long a peer may take over each part of a request.

A half-sent request, a body of one byte a second, an answer that nobody reads and a handshake that never ends cost a
connection for seconds and nothing else; no reverse proxy is needed for it, and where there is one, both find the same
end of each request. Nothing here looks at what is asked.
Follows RFC 9112, docs/spec/proxy.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.requests import Request

_HANDSHAKE: Final = 5.0
"""Seconds that a TLS handshake may take."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What peers may do to one process."""

    most: int = 768
    """Connections in all; below the 1,024 files that a process may usually have open."""
    most_per_source: int = 128
    """Of one source; 0 means any number, for a service behind a gateway."""
    head_seconds: float = 5.0
    """In which a request's line and headers must arrive, from the connection's or the request's first moment."""
    body_seconds: float = 25.0
    """In which its body must, once the headers are there."""
    answer_seconds: float = 20.0
    """In which a peer must take what is sent to it."""


class Stage(Enum):
    """Where a connection stands."""

    IDLE = "idle"
    """Between two requests."""
    HEAD = "head"
    """A request's line and headers arrive."""
    BODY = "body"
    """Its body arrives."""
    SERVED = "served"
    """The request is whole, and is worked on."""


def source_of(host: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 that one site has of IPv6."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if not isinstance(parsed, IPv6Address):
        return host
    # A socket that listens for both kinds shows IPv4 addresses mapped into one /64: a stranger would spend what all
    # of IPv4 may.
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    # One customer has 2^64 addresses of IPv6, so single ones couldn't be limited.
    return parsed.exploded[:19]


def asked_from(request: Request) -> str:
    """Return the source of whoever sent a request, as `source_of` does; "" where nobody is known."""
    return source_of(request.client.host) if request.client else ""


class Connections:
    """The open connections of one process, oldest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        """Take the limits."""
        self.limits = limits
        self._open: dict[BoundedProtocol, str] = {}
        self._sources: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    def enter(self, entering: BoundedProtocol) -> None:
        """Count a new connection, and cut another one where there are too many.

        The one that has waited for the longest time for a request goes first: an honest client's arrives at once. A
        request that is being served is never cut. If there is nothing but such ones, the new connection goes.
        """
        source = source_of(entering.client[0]) if entering.client else ""
        self._open[entering] = source
        self._sources[source] += 1
        per_source = self.limits.most_per_source
        if per_source and self._sources[source] > per_source:
            self._cut(entering, source)
        if len(self._open) > self.limits.most:
            self._cut(entering, None)

    def leave(self, leaving: BoundedProtocol) -> None:
        """Forget a connection that is closed."""
        source = self._open.pop(leaving, None)
        if source is not None:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    def _cut(self, entering: BoundedProtocol, source: str | None) -> None:
        victims = (
            one
            for one, of in self._open.items()
            if one is not entering and source in (None, of) and one.stage is not Stage.SERVED
        )
        victim = next(victims, entering)
        self.leave(victim)
        victim.cut()


class _OneEnd:
    """An application that gets no request in which two readers would find two ends (RFC 9112, section 6.1).

    A reverse proxy that takes the other one would take what stands behind it for another client's request.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or _has_one_end(scope):
            await self._app(scope, receive, send)
            return
        # Whatever follows on this connection isn't read: it may be a part of this one.
        headers = [(b"connection", b"close"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _has_one_end(scope: Any) -> bool:
    framing = [name for name, _ in scope["headers"] if name in (b"content-length", b"transfer-encoding")]
    return len(framing) < 2 and not (b"transfer-encoding" in framing and scope["http_version"] == "1.0")


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 whose every part has its time, and whose every request has one end."""

    known: Connections
    """Of this process; `bounded` makes a class for each."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **options)
        self.app = _OneEnd(self.app)
        self.stage = Stage.HEAD
        self._deadline: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and wait for a request."""
        super().connection_made(transport)
        self._begin(Stage.HEAD)
        self.known.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.known.leave(self)
        self._stop()
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see whether the request is whole now."""
        super().data_received(data)
        self._look(more=True)

    def on_response_complete(self) -> None:
        """Note that a request was answered."""
        super().on_response_complete()
        self._look(more=False)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also if its peer doesn't read."""
        super().timeout_keep_alive_handler()
        self._await_taking()

    def pause_writing(self) -> None:
        """Give the peer its time to read what waits."""
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        """Note that the peer reads."""
        super().resume_writing()
        self._taken()

    def cut(self) -> None:
        """Close at once, whatever the peer does."""
        self._stop()
        self._taken()
        self.transport.abort()

    def _look(self, *, more: bool) -> None:
        """See where the connection stands.

        Args:
            more: whether something arrived just now.
        """
        if self.transport.is_closing():
            self._stop()
            self._await_taking()
            return
        theirs, ours = str(self.conn.their_state), str(self.conn.our_state)
        if theirs == "SEND_BODY":
            # Also when it was answered already: what is still on its way has no more time for it.
            self._begin(Stage.BODY)
        elif theirs == "IDLE":
            # The first byte of a request begins its time; the next ones don't begin it anew.
            self._begin(Stage.HEAD if more or self.cycle is None else Stage.IDLE)
        elif ours in ("SEND_RESPONSE", "SEND_BODY"):
            self._begin(Stage.SERVED)
        else:
            self._begin(Stage.IDLE)

    def _begin(self, stage: Stage) -> None:
        if stage is self.stage and self._deadline is not None:
            return
        self._stop()
        self.stage = stage
        limits = self.known.limits
        seconds = {Stage.HEAD: limits.head_seconds, Stage.BODY: limits.body_seconds}.get(stage)
        if seconds is not None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(seconds, self.cut)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _await_taking(self) -> None:
        # Closing flushes first: without this, a peer that reads nothing would keep its connection and the answer.
        if self._flush is None:
            self._flush = self.loop.call_later(self.known.limits.answer_seconds, self.cut)

    def _taken(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None


def bounded(limits: ConnectionLimits, base: type[BoundedProtocol] = BoundedProtocol) -> type[BoundedProtocol]:
    """Return the protocol for one process.

    Args:
        limits: of its connections.
        base: what it is made of.
    """
    return type("BoundedProtocol", (base,), {"known": Connections(limits)})


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose TLS handshakes have their time: a peer could begin one and say no more for a minute."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """Listen, as asyncio does."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = _HANDSHAKE
        return await super().create_server(*args, **options)
