"""The proxy over HTTP: FastAPI in front of ProxyService, problem+json for every refusal.

Limits come before parsing, and a signature before any work: what is refused for its size, form or signature costs the
event loop well under a millisecond and never reaches a thread. Answers to refusals say the kind and nothing of keys or
people. Follows docs/spec/proxy.md, OpenAPI 3.1 and RFC 9457.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from panachain.errors import PanaChainError, RateLimitedError, UnavailableError, UsageError
from panachain.proxy import messages
from panachain.service import problems
from panachain.service.limits import Limiter
from panachain.service.problems import ProblemError
from panachain.service.proxy import metrics, openapi
from panachain.service.proxy.service import ProxyService

_BODY_TIMEOUT: Final = 10.0
"""Seconds in which a request's body must arrive."""
_THREADS: Final = 4
"""Threads that serve. nucypher_core never releases the GIL, so more of them would only wait for each other."""
_WAITING: Final = 128
"""Requests that may wait for a thread; more are told to come back."""
_DEPOSITS: Final = 8
"""Deposits whose bodies are read at once: they are the only large ones."""
_PATIENCE: Final = 8.0
"""Seconds that a deposit may wait for its turn."""
_log = logging.getLogger("panachain.proxy")
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """How much one sender may ask of one process: it stops a flood before it reaches a thread or the database.

    What all processes of a database serve together is counted in the database (`ProxyService`).
    """

    sender_rate: int = 600
    """Requests of one signer in a minute."""
    address_rate: int = 6000
    """Requests from one network address in a minute; 0 means any number, for a proxy behind a gateway."""


class Pool:
    """A bounded pool of threads with a bounded queue."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="proxy")
        self._pending = 0
        self._most = threads + _WAITING

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what `function` returns.

        Raises:
            UnavailableError: too many wait already.
        """
        if self._pending >= self._most:
            raise UnavailableError("the proxy is busy: too many requests wait")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Let the threads end what they do."""
        self._threads.shutdown(wait=True)


def create_app(service: ProxyService, limits: Limits | None = None) -> FastAPI:
    """Return the application of one proxy process."""
    front = _Front(service, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        front.close()

    app = FastAPI(title="PanaChain proxy", version="2", docs_url=None, redoc_url=None, lifespan=lifespan)
    front.mount(app)
    openapi.describe(app)
    app.add_exception_handler(HTTPException, front.no_route)
    app.add_exception_handler(RequestValidationError, front.no_form)
    app.add_exception_handler(Exception, front.fault)
    return app


class _Front:
    """What stands between HTTP and the service."""

    def __init__(self, service: ProxyService, limits: Limits) -> None:
        self._service = service
        self._work = Pool(_THREADS)
        # Of its own, so that a long batch doesn't hold up who only looks.
        self._look = Pool(2)
        self._deposits = asyncio.Semaphore(_DEPOSITS)
        self._addresses = Limiter(limits.address_rate)
        self._senders = Limiter(limits.sender_rate)
        self._metrics = metrics.Metrics()

    def close(self) -> None:
        self._work.close()
        self._look.close()

    def mount(self, app: FastAPI) -> None:
        """Add the endpoints."""
        posts: dict[str, Handler] = {
            "/v1/deposit": self._deposit,
            "/v1/reencrypt": self._reencrypt,
            "/v1/revoke": self._revoke,
            "/v1/receipts": self._receipts,
        }
        gets: dict[str, Handler] = {
            "/v1/head": self._head,
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._metrics_text,
        }
        for method, handlers in (("POST", posts), ("GET", gets)):
            for path, handler in handlers.items():
                app.add_api_route(path, self._counted(path, handler), methods=[method], **openapi.operation(path))

    # Endpoints

    async def _reencrypt(self, request: Request) -> Response:
        admitted = _formed(messages.parse_reencrypt, await _fields(request))
        self._service.authenticate(admitted)
        # After the signature: nobody can use up what another one may ask.
        self._check_rate(admitted.requester)
        answer = await self._work.run(self._service.reencrypt, admitted)
        self._metrics.cfrags.inc(len(admitted.capsules))
        return JSONResponse(answer)

    async def _deposit(self, request: Request) -> Response:
        try:
            # Before the body is read, so that who waits costs a connection only; his policy is on chain already.
            async with asyncio.timeout(_PATIENCE):
                await self._deposits.acquire()
        except TimeoutError:
            raise UnavailableError("the proxy is busy: too many deposits at once") from None
        try:
            sealed = _formed(messages.parse_sealed, await _fields(request, messages.MAX_DEPOSIT + 1024))
            admitted = await self._look.run(self._service.open_deposit, sealed)
            self._check_rate(admitted.policy_id)
            return JSONResponse(await self._work.run(self._service.deposit, admitted))
        finally:
            self._deposits.release()

    async def _revoke(self, request: Request) -> Response:
        policy_id = _formed(messages.parse_revoke, await _fields(request))
        return JSONResponse(await self._work.run(self._service.revoke, policy_id))

    async def _receipts(self, request: Request) -> Response:
        admitted = _formed(messages.parse_receipts, await _fields(request))
        self._service.authenticate(admitted)
        self._check_rate(admitted.policy_id)
        return JSONResponse(await self._work.run(self._service.receipts, admitted))

    async def _head(self, _: Request) -> Response:
        return JSONResponse(await self._look.run(self._service.head))

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"schema": "panachain/health/1", "proxy": self._service.address})

    async def _ready(self, _: Request) -> Response:
        return JSONResponse(await self._look.run(self._service.ready))

    async def _metrics_text(self, _: Request) -> Response:
        sequence, head_age = await self._look.run(self._service.gauges)
        text = await self._look.run(self._metrics.text, sequence, head_age)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    # Refusals that no endpoint makes

    async def no_route(self, _: Request, error: Exception) -> Response:
        """Answer an unknown path or method."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        kind = problems.METHOD if status == 405 else problems.NOT_FOUND
        self._metrics.requests.labels("other", kind.slug).inc()
        answer = problems.respond(ProblemError(kind, kind.title))
        if isinstance(error, HTTPException) and error.headers:
            # RFC 9110, section 15.5.6: a 405 names the methods that the path takes.
            answer.headers.update(error.headers)
        return answer

    async def no_form(self, _: Request, __: Exception) -> Response:
        """Answer what the framework itself can't read."""
        return problems.respond(ProblemError(problems.INVALID, problems.INVALID.title))

    async def fault(self, request: Request, error: Exception) -> Response:
        """Answer when the proxy itself is at fault; the log names the kind, never the content."""
        _log.error("%s: %s", request.url.path, type(error).__name__)
        return problems.respond(ProblemError(problems.INTERNAL, problems.INTERNAL.title))

    # Inside

    def _counted(self, path: str, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            started = time.monotonic()
            outcome = "internal"
            try:
                self._check_address(request)
                answer = await handler(request)
                outcome = "ok"
            except PanaChainError as exc:
                answer = problems.respond(exc)
                outcome = problems.kind_of(exc).slug
            finally:
                seconds = time.monotonic() - started
                self._metrics.requests.labels(path, outcome).inc()
                self._metrics.seconds.labels(path).observe(seconds)
                # Sizes and times only.
                _log.info("%s %s %.1f ms", path, outcome, 1000 * seconds)
            return answer

        return endpoint

    def _check_address(self, request: Request) -> None:
        wait = self._addresses.take(request.client.host if request.client else "")
        if wait:
            raise RateLimitedError("too many requests from this network address", retry_after=wait)

    def _check_rate(self, sender: str) -> None:
        wait = self._senders.take(sender)
        if wait:
            raise RateLimitedError("too many requests of this signer", retry_after=wait)


async def _fields(request: Request, limit: int = messages.MAX_BODY) -> dict[str, Any]:
    """Return a request's body, read up to a limit and within a time."""
    too_large = ProblemError(problems.TOO_LARGE, f"the body is larger than {limit} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            async for piece in request.stream():
                content += piece
                if len(content) > limit:
                    raise too_large
    except TimeoutError:
        raise ProblemError(
            problems.TIMEOUT, f"the body didn't arrive within {_BODY_TIMEOUT:.0f} s, {len(content)} bytes did"
        ) from None
    return _formed(messages.parse_json, bytes(content))


def _formed(parse: Callable[[Any], T], value: Any) -> T:
    """Return what `parse` makes of a message; what has the wrong form is a problem of its own type."""
    try:
        return parse(value)
    except UsageError as exc:
        raise ProblemError(problems.INVALID, str(exc)) from None
