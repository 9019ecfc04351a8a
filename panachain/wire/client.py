"""The client of every service that isn't trusted: one request, one whole answer within bounds, or a failure.

Never follows a redirect, keeps no cookie, takes nothing from the environment, unpacks nothing and never asks again by
itself. Whoever uses it maps its failures to errors of the tree, and names the host. Follows ADR 16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from panachain.trust import Trust
from panachain.wire.dial import Check
from panachain.wire.messages import RemoteProtocolError, Request, Transport, url_of
from panachain.wire.messages import SlowError as SlowError
from panachain.wire.messages import WireError as WireError
from panachain.wire.messages import said as said
from panachain.wire.transport import BoundedTransport, Bounds, LateFailureError, read_whole

_HEADERS: Final = MappingProxyType({"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "panachain"})
"""Of every request. A packed answer could grow without bound when it is unpacked."""


@dataclass(frozen=True)
class Answer:
    """What came back, within bounds and not unpacked."""

    status: int
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By their names, in any case."""


class Client:
    """Connections to any hosts, kept open for a while; several threads may use it."""

    def __init__(
        self,
        *,
        trust: Trust | None = None,
        check: Check | None = None,
        clock: Callable[[], float] = time.monotonic,
        transport: Transport | None = None,
    ) -> None:
        """Take whom to trust and where to connect to; nothing is sent yet.

        Args:
            trust: over HTTPS; None takes the usual authorities.
            check: looks at each address before it is connected to; None takes all, for hosts of the operator's choice.
            clock: seconds that only go forward.
            transport: replaces the bounded one, in tests.
        """
        self._transport = transport or BoundedTransport(trust=trust, check=check, clock=clock)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._transport.close()

    def post(
        self,
        url: str,
        body: bytes,
        *,
        bounds: Bounds,
        timeout: float,
        headers: Mapping[str, str],
        connect: float | None = None,
    ) -> Answer:
        """Send a body and return the answer.

        Args:
            url: http or https.
            body: of the request.
            bounds: what the answer may take.
            timeout: seconds of silence, and that connecting may take.
            headers: beside the usual ones.
            connect: seconds that connecting may take, where they are fewer.

        Raises:
            WireError: no answer, not in time, or none that is HTTP.
            IntegrityError: the answer is too large.
            PanaChainError: what `check` raises.
        """
        times = {"connect": timeout if connect is None else min(connect, timeout), "read": timeout}
        return self._send("POST", url, body, bounds, times, headers)

    def get(self, url: str, *, bounds: Bounds, timeout: float, connect: float | None = None) -> Answer:
        """Ask for a path and return the answer; raises as `post`."""
        times = {"connect": timeout if connect is None else min(connect, timeout), "read": timeout}
        return self._send("GET", url, None, bounds, times, {})

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        bounds: Bounds,
        timeout: float,
        headers: Mapping[str, str],
    ) -> Answer:
        """Ask in any method; raises as `post`.

        Args:
            method: such as `PUT`.
            url: http or https.
            body: of the request; None for none.
            bounds: what the answer may take.
            timeout: seconds of silence, and that connecting may take.
            headers: beside the usual ones.
        """
        return self._send(method, url, body, bounds, {"connect": timeout, "read": timeout}, headers)

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        bounds: Bounds,
        times: Mapping[str, float],
        headers: Mapping[str, str],
    ) -> Answer:
        # Without httpx.Client: cookies, redirects and its pool are of no use here, and take a third of a call.
        request = Request(
            method,
            url_of(url),
            headers=_HEADERS | headers,
            content=body,
            extensions=bounds.extension() | {"timeout": times},
        )
        try:
            response = self._transport.handle_request(request)
            content = read_whole(response)
        except LateFailureError as exc:
            # Only Kubo tells something behind a body; of anybody else it is an answer that broke off.
            raise RemoteProtocolError("the answer broke off") from exc
        return Answer(response.status_code, content, response.headers)
