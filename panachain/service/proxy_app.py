"""The proxy over HTTP: FastAPI in front of ProxyService, problem+json for every refusal.

Limits come before parsing; answers to refusals say the kind and nothing of keys or people.
Follows docs/spec/proxy.md and RFC 9457.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyNotActiveError,
    PolicyRevokedError,
    PolicyUnknownError,
    SuspendedError,
    UsageError,
)
from panachain.proxy import messages
from panachain.service.proxy_service import ProxyService

_PROBLEMS: Final[tuple[tuple[type[PanaChainError], str, int], ...]] = (
    (PolicyRevokedError, "policy-revoked", 403),
    (PolicyExpiredError, "policy-expired", 403),
    (PolicyNotActiveError, "policy-not-active", 403),
    (PolicyUnknownError, "policy-unknown", 404),
    (OutOfScopeError, "out-of-scope", 403),
    (SuspendedError, "suspended", 403),
    (AccessDeniedError, "out-of-scope", 403),
    (UsageError, "bad-request", 400),
    # A sealed message that doesn't open is the sender's fault here.
    (IntegrityError, "bad-request", 400),
)
_RATE: Final = 600
"""Requests of one kind that one sender may make in a minute."""
_log = logging.getLogger("panachain.proxy")


def create_app(service: ProxyService) -> FastAPI:
    """Return the application of one proxy."""
    app = FastAPI(title="PanaChain proxy", version="1", docs_url=None, redoc_url=None)
    limiter = _Limiter()

    def route(path: str, handler: Callable[[dict[str, Any]], dict[str, Any]], sender: str) -> None:
        async def endpoint(request: Request) -> JSONResponse:
            return await _answer(request, handler, limiter, sender)

        app.post(path)(endpoint)

    route("/v1/deposit", service.deposit, "")
    route("/v1/reencrypt", service.reencrypt, "grantee")
    route("/v1/revoke", service.revoke, "policy_id")
    route("/v1/receipts", service.receipts, "policy_id")

    @app.get("/v1/head")
    def head() -> dict[str, Any]:
        return service.head()

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"schema": "panachain/health/1", "proxy": service.address}

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        try:
            return JSONResponse(service.ready())
        except PanaChainError as exc:
            return _problem(exc)

    return app


async def _answer(
    request: Request, handler: Callable[[dict[str, Any]], dict[str, Any]], limiter: _Limiter, sender: str
) -> JSONResponse:
    started = time.monotonic()
    try:
        fields = await _body(request)
        limiter.check(str(fields.get(sender, request.client.host if request.client else ""))[:128])
        answer = JSONResponse(await run_in_threadpool(handler, fields))
    except PanaChainError as exc:
        answer = _problem(exc)
    # Sizes and times only.
    _log.info("%s %d %.1f ms", request.url.path, answer.status_code, 1000 * (time.monotonic() - started))
    return answer


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > messages.MAX_BODY:
            raise UsageError(f"the request is larger than {messages.MAX_BODY} bytes")
    try:
        fields = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise UsageError("the request isn't JSON") from None
    if not isinstance(fields, dict):
        raise UsageError("the request isn't a JSON object")
    return fields


def _problem(error: PanaChainError) -> JSONResponse:
    slug, status = next(
        ((slug, status) for kind, slug, status in _PROBLEMS if isinstance(error, kind)), ("unavailable", 503)
    )
    content = {"type": f"urn:panachain:problem/{slug}", "title": slug, "status": status, "detail": str(error)}
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


class _Limiter:
    """Counts each sender's requests of the last minute."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def check(self, sender: str) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._times) > 100_000:
                self._times.clear()
            times = self._times[sender]
            while times and times[0] < now - 60:
                times.popleft()
            if len(times) >= _RATE:
                raise UsageError(f"more than {_RATE} requests in a minute")
            times.append(now)
