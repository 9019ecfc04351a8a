"""The gate over HTTP: every stranger gets one and the same answer, whatever they ask and however.

Nothing tells them what stands here: no path, no version, no name of a server, no scheme to authenticate with.
Follows docs/spec/gate.md. service.py decides which nodes pass, rules.py what passes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from panachain.chain.access import Token
from panachain.errors import (
    ChainUnavailableError,
    DiskError,
    IntegrityError,
    OutOfScopeError,
    PanaChainError,
    UsageError,
)
from panachain.service.gate.rules import MAX_BODY, Passage, Rules
from panachain.service.gate.service import AuditLog, Gate
from panachain.service.http import read_body
from panachain.service.problems import ProblemError
from panachain.wire.client import WireError
from panachain.wire.forward import ForwardClient

REFUSAL: Final = b'{"error":"unauthorized"}'
"""The body of every 401."""
_BODY_TIME: Final = 20.0
"""Seconds that a request's body may take."""
_MAX_ANSWER: Final = 256 << 20
"""Bytes of one answer of the node."""
_REPORT: Final = 60.0
"""Seconds between two lines about refused strangers: each alone would let them fill the disk."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Forward = Callable[[bytes], Awaitable[bytes]]
"""Sends a body to the node and returns its answer."""
_log = logging.getLogger("panachain.gate")


class Node:
    """The sidechain's node, which nobody but the gate reaches."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """Take its URL, and the seconds that one answer may take."""
        self._client = ForwardClient(url, limit=_MAX_ANSWER, timeout=timeout)

    async def __call__(self, body: bytes) -> bytes:
        """Return the node's answer to a body.

        Raises:
            ChainUnavailableError: it doesn't answer, or with too much.
        """
        try:
            answer = await self._client.post(body)
        except (WireError, TimeoutError) as exc:
            raise ChainUnavailableError(f"the node doesn't answer: {type(exc).__name__}") from exc
        except IntegrityError as exc:
            raise ChainUnavailableError(str(exc)) from exc
        if answer.status != 200:
            raise ChainUnavailableError(f"the node answers with status {answer.status}")
        return answer.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class GateEndpoint:
    """Answers every request to every path, as an ASGI application."""

    def __init__(
        self,
        gate: Gate,
        rules: Rules,
        audit: AuditLog,
        forward: Forward,
        *,
        max_body: int = MAX_BODY,
        body_seconds: float = _BODY_TIME,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the gate, its rules, its log, and the node.

        Args:
            gate: decides which nodes pass.
            rules: decide what passes.
            audit: the log of both.
            forward: sends a request to the node.
            max_body: bytes of one request.
            body_seconds: that its body may take.
            clock: seconds, for what the log tells of refused strangers.
        """
        self._gate = gate
        self._rules = rules
        self._audit = audit
        self._forward = forward
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._clock = clock
        self._refused = 0
        self._next_report = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # A WebSocket is closed before it is accepted, which servers answer with 403 and no body.
            await send({"type": "websocket.close"})
            return
        status, body = await self._answer(scope, receive)
        if status == 401:
            self._count_refusal()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        # 1. Find out which node asks, before a byte of the body is read.
        try:
            token = self._gate.admit([value for name, value in scope["headers"] if name == b"authorization"])
        except ChainUnavailableError as exc:
            return 503, _error(str(exc))
        try:
            # A stranger's is read as a node's is, and takes no memory.
            body = await read_body(
                _pieces(receive), limit=self._max_body, seconds=self._body_seconds, keep=token is not None
            )
        except ProblemError as exc:
            # Only a node is told how much is read, and for how long.
            return (401, REFUSAL) if token is None else (413, _error(str(exc)))
        if token is None or hashlib.sha256(body).digest() != token.body:
            return 401, REFUSAL
        if scope["method"] != "POST" or scope["path"] not in ("", "/"):
            return 404, _error("requests are posted to /")
        # 2. Check what is asked.
        try:
            passage = self._rules.check(body)
        except (UsageError, OutOfScopeError) as exc:
            return await self._refuse(token, exc)
        # 3. Write it down, send it, and write its outcome down before the answer leaves.
        try:
            return 200, await self._pass(token, passage)
        except DiskError:
            _log.error("the audit log takes no line; nothing is served")
            return 503, _error("the gate can't write its audit log; nothing was served")
        except ChainUnavailableError as exc:
            return 502, _error(str(exc))

    async def _pass(self, token: Token, passage: Passage) -> bytes:
        if passage.changes:
            # What changes the chain is on the disk before it happens.
            await run_in_threadpool(self._audit.write, token, passage.methods, "begun", durable=True)
        try:
            answer = await self._forward(passage.body)
        except PanaChainError:
            self._audit.write(token, passage.methods, "failed")
            raise
        self._audit.write(token, passage.methods, "passed")
        return answer

    async def _refuse(self, token: Token, error: PanaChainError) -> tuple[int, bytes]:
        try:
            self._audit.write(token, (), "refused")
        except DiskError:
            return 503, _error("the gate can't write its audit log")
        return 400 if isinstance(error, UsageError) else 403, _error(str(error))

    def _count_refusal(self) -> None:
        self._refused += 1
        now = self._clock()
        if now >= self._next_report:
            _log.warning("%d requests were refused since the last such line", self._refused)
            self._refused, self._next_report = 0, now + _REPORT


def create_app(endpoint: GateEndpoint, *, ends: Callable[[], Awaitable[None]] | None = None) -> FastAPI:
    """Return the application of one gate.

    Args:
        endpoint: answers everything.
        ends: called when the server stops.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if ends is not None:
            await ends()

    # The application describes nothing and has no route: without routes there is no 404 and no 405 either.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.mount("/", endpoint)
    return app


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a request's body as it arrives."""
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)


def _error(message: str) -> bytes:
    """Return an answer to a node: the error object of JSON-RPC."""
    content = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}
    return json.dumps(content).encode()
