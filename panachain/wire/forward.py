"""The client of the gate's own node, for a service that waits for many answers at once.

Bounded in bytes and in seconds as the other clients are (client.py); one deadline covers connecting, head and body.
Never follows a redirect and unpacks nothing. Its host is the operator's own. Follows ADR 16.
"""

from __future__ import annotations

import asyncio

from panachain.errors import IntegrityError
from panachain.http_client import httpx
from panachain.trust import Trust
from panachain.wire.below_httpx import in_our_words
from panachain.wire.client import Answer


class ForwardClient:
    """Connections to one URL, for one event loop."""

    def __init__(self, url: str, *, limit: int, timeout: float) -> None:
        """Take the URL; nothing is sent yet.

        Args:
            url: http or https.
            limit: bytes of one answer.
            timeout: seconds that one answer may take, from its request to its last byte.
        """
        self._transport = httpx.AsyncHTTPTransport(trust_env=False, verify=Trust().context(url))
        self._url = httpx.URL(url)
        self._limit = limit
        self._timeout = timeout
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}

    async def post(self, body: bytes) -> Answer:
        """Send a body and return the answer.

        Raises:
            WireError: no answer, or none that is HTTP.
            TimeoutError: not in time.
            IntegrityError: the answer is too large.
        """
        # Below httpx.Client: cookies, redirects and its headers are of no use here, and take a third of a call.
        headers = {"Host": self._url.netloc.decode(), "Content-Type": "application/json"}
        headers["Content-Length"] = str(len(body))
        request = httpx.Request("POST", self._url, headers=headers, content=body, extensions=self._extensions)
        async with asyncio.timeout(self._timeout):
            with in_our_words():
                response = await self._transport.handle_async_request(request)
                try:
                    content = await self._read(response)
                finally:
                    await response.aclose()
        return Answer(response.status_code, content, response.headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > self._limit:
                raise IntegrityError(f"the answer of {self._url.host} has more than {self._limit} bytes")
        return bytes(content)
