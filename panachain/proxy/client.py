"""Connections to proxies: kept open, bounded in size and time, and what comes back over them.

Never waits for longer than it is told, and never reads more than an answer may have. Which proxies are asked, and for
how long, `proxy/race.py` decides. Follows docs/spec/proxy.md, section "Clients", and RFC 9457 for what is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from panachain.errors import (
    IntegrityError,
    OpensLaterError,
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyNotActiveError,
    PolicyRevokedError,
    PolicyUnknownError,
    RateLimitedError,
    SuspendedError,
    UnavailableError,
    UsageError,
)
from panachain.model.emergencies import LASTS
from panachain.proxy import messages
from panachain.trust import Trust
from panachain.wire.client import Client, SlowError, WireError, said
from panachain.wire.endpoints import Reach
from panachain.wire.transport import Bounds

PROBLEMS: Final[Mapping[str, type[PanaChainError]]] = {
    "policy-revoked": PolicyRevokedError,
    "policy-expired": PolicyExpiredError,
    "policy-not-active": PolicyNotActiveError,
    "policy-unknown": PolicyUnknownError,
    "out-of-scope": OutOfScopeError,
    "suspended": SuspendedError,
    "not-found": UnavailableError,
    "method-not-allowed": UnavailableError,
    "timeout": UnavailableError,
    "too-large": UsageError,
    "bad-request": UsageError,
    "invalid-request": UsageError,
    "rate-limited": RateLimitedError,
    "unavailable": UnavailableError,
    "internal": UnavailableError,
}
"""RFC 9457 problem types of the service, by the last part of their URI."""
PATIENCE: Final = 8.0
"""Seconds after which an answer comes too late."""
_CONNECT: Final = 2.0
"""Seconds in which a proxy must take a connection."""
_RETRY_AFTER: Final = 60
"""Seconds to wait where a proxy that limits doesn't say how long."""


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP, bounded in size."""

    status: int
    content: bytes = field(repr=False)
    retry_after: str = ""
    source: str = "the proxy"
    """Who answered, for messages."""


class Channels:
    """Connections to proxies, kept open; several threads may use them."""

    def __init__(
        self,
        *,
        ca: Path | None = None,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take whom to trust and where to connect to.

        Args:
            ca: PEM file of the authority that signed the proxies' certificates; None takes the usual ones.
            reach: which endpoints are asked; None takes public ones only.
            clock: seconds that only grow.

        Raises:
            ConfigurationError: the file can't be read.
        """
        self._reach = reach or Reach()
        self._client = Client(trust=Trust(ca), check=self._reach.check_address, clock=clock)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def post(self, endpoint: str, path: str, fields: Mapping[str, Any], *, timeout: float = PATIENCE) -> Reply:
        """Send one message and return what comes back.

        Raises:
            UnavailableError: no answer, or not in time.
            EndpointRefusedError: the endpoint, or the address that it leads to, is refused; an UnavailableError.
            IntegrityError: the answer is too large.
        """
        return self._send("POST", endpoint, path, timeout, messages.canonical(fields))

    def post_text(self, endpoint: str, path: str, text: str, *, timeout: float = PATIENCE) -> Reply:
        """Send a text in place of a message; raises as `post`."""
        return self._send("POST", endpoint, path, timeout, text.encode(), kind="text/plain; charset=utf-8")

    def get(self, endpoint: str, path: str, *, timeout: float = PATIENCE) -> Reply:
        """Ask for one path and return what comes back; raises as `post`."""
        return self._send("GET", endpoint, path, timeout, None)

    def _send(
        self,
        method: str,
        endpoint: str,
        path: str,
        timeout: float,
        body: bytes | None,
        kind: str = "application/json",
    ) -> Reply:
        url = self._reach.url(endpoint) + path
        bounds = Bounds(limit=messages.MAX_ANSWER, total=timeout)
        try:
            if body is None:
                answer = self._client.get(url, bounds=bounds, timeout=timeout, connect=_CONNECT)
            else:
                headers = {"Content-Type": kind}
                answer = self._client.post(url, body, bounds=bounds, timeout=timeout, headers=headers, connect=_CONNECT)
        except SlowError as exc:
            raise UnavailableError(f"no whole answer from {endpoint} within {timeout:.0f} s") from exc
        except WireError as exc:
            raise UnavailableError(f"no answer from {endpoint}: {said(exc)}") from exc
        return Reply(answer.status, answer.content, answer.headers.get("retry-after", ""), endpoint)


def read_bytes(reply: Reply) -> bytes:
    """Return what a proxy answered where that is no JSON.

    Raises:
        PanaChainError: what its problem document says, by its type.
    """
    if reply.status != 200:
        raise _problem(reply)
    return reply.content


def read_answer(reply: Reply) -> dict[str, Any]:
    """Return the object that a proxy answered.

    Raises:
        IntegrityError: it isn't one.
        PanaChainError: what its problem document says, by its type.
    """
    if reply.status != 200:
        raise _problem(reply)
    try:
        return messages.parse_json(reply.content)
    except UsageError as exc:
        raise IntegrityError(f"the answer of {reply.source} can't be read: {exc}") from None


def _problem(reply: Reply) -> PanaChainError:
    try:
        fields = messages.parse_json(reply.content)
    except UsageError:
        fields = {}
    # What a proxy says is cut and mapped to errors of ours; an unknown problem counts as a proxy that is down.
    slug = str(fields.get("type", "")).rpartition("/")[2]
    detail = str(fields.get("detail", ""))[:300] or f"{reply.source} answers with status {reply.status}"
    told = reply.retry_after
    wait = int(told) if told.isascii() and told.isdecimal() and len(told) < 6 else None
    if slug == "rate-limited" or reply.status == 429:
        return RateLimitedError(detail, retry_after=_RETRY_AFTER if wait is None else wait)
    # Only of what waits in an emergency a proxy says when it opens: after now, within the time that emergencies last.
    if slug == "policy-not-active" and wait is not None:
        return OpensLaterError(detail, retry_after=max(1, min(wait, LASTS)))
    return PROBLEMS.get(slug, UnavailableError)(detail)
