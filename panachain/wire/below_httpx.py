"""The bounded transport below httpx: for ipfshttpclient's client, and for the gate's, which waits for many at once.

Bounds what transport.py bounds, and says its failures in httpx's classes, or httpx's in ours. Follows ADRs 16 and 68.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from panachain.http_client import httpx
from panachain.wire import messages
from panachain.wire.transport import BoundedTransport


class BelowHttpx(httpx.BaseTransport):
    """A transport of httpx; any thread may use it."""

    def __init__(self, transport: BoundedTransport) -> None:
        """Take what carries the requests."""
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, of which the head was read."""
        with _in_its_words(request):
            # It reads as ours does: method, URL, fields, body and extensions have the same names.
            response = self._transport.handle_request(cast(messages.Request, request))
        return httpx.Response(
            response.status_code, headers=response.headers.raw, stream=_Stream(response.stream, request)
        )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._transport.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: messages.Stream, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _in_its_words(self._request):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


@contextmanager
def _in_its_words(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except messages.WireError as exc:
        # The names are the same.
        raise getattr(httpx, type(exc).__name__)(str(exc), request=request) from exc


@contextmanager
def in_our_words() -> Iterator[None]:
    """Raise httpx's failures as ours.

    Raises:
        WireError: no answer, not in time, or none that is HTTP.
    """
    try:
        yield
    except httpx.TransportError as exc:
        kind = messages.SlowError if isinstance(exc, httpx.TimeoutException) else messages.WireError
        raise getattr(messages, type(exc).__name__, kind)(str(exc)) from exc
