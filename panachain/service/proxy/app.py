"""The proxy over HTTP: FastAPI in front of ProxyService, problem+json for every refusal.

Limits come before parsing, and a signature before any work. What is refused for its size costs the event loop well
under a millisecond; form and signature of those that weren't served lately are looked at in turns. Answers to refusals
say the kind and nothing of keys or people. Follows docs/spec/proxy.md, OpenAPI 3.1 and RFC 9457.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from panachain.crypto.notes import MAX_NOTE
from panachain.errors import AccessDeniedError, IntegrityError, PanaChainError, RateLimitedError, UsageError
from panachain.model.proxy_requests import DepositRequest, SignedRequest
from panachain.proxy import messages
from panachain.service import problems
from panachain.service.connections import asked_from
from panachain.service.http import Place, Room, read_request
from panachain.service.limits import Limiter
from panachain.service.pool import FairPool
from panachain.service.problems import ProblemError
from panachain.service.proxy import metrics, openapi
from panachain.service.proxy.service import ProxyService
from panachain.service.proxy.work import Deposit, Reencryption
from panachain.service.standing import Rank, Standing

_THREADS: Final = 2
"""Threads that write answers and look: the database takes its time without the GIL."""
_LOOK: Final = 16
"""Steps of work after which it is seen whether its client still waits."""
_ENVELOPE: Final = 1024
"""Bytes of JSON around a sealed deposit, at the most."""
_SMALL: Final = 1 << 18
"""Bytes of a body that is a small one: any but a deposit of some hundred lanes."""
_ROOM: Final = 64 << 20
"""Bytes that all small bodies of a process may take at once, and all large ones."""
_UNIT: Final = 16 << 10
"""Bytes of a body that count like one request of its address: what is large is work before anybody has signed it."""
_CONFLICT: Final = 409
"""Status of a witness that knows another size (C2SP tlog-witness)."""
_log = logging.getLogger("panachain.proxy")
T = TypeVar("T")
R = TypeVar("R", bound=SignedRequest)
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
    body_seconds: float = 10.0
    """Seconds in which a request's body must arrive."""


def create_app(
    service: ProxyService,
    limits: Limits | None = None,
    *,
    threads: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the application of one proxy process.

    Args:
        service: does the work.
        limits: how much one sender may ask.
        threads: how many compute for openings and deposits.
        clock: seconds, for limits and durations.
    """
    front = _Front(service, limits or Limits(), clock, threads)

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

    def __init__(self, service: ProxyService, limits: Limits, clock: Callable[[], float], threads: int) -> None:
        self._service = service
        self._limits = limits
        self._clock = clock
        # No more threads than compute at the same time: one that waits for a processor would take part of another
        # one's time for somebody whose turn it isn't. Openings and deposits don't take each other's places in the
        # queue.
        self._work = FairPool(threads, "work")
        # One thread for those of whom it isn't known yet whether they may ask: however many there are, they take no
        # more of the process than that.
        self._door = FairPool(1, "door")
        self._look = FairPool(_THREADS, "look")
        self._revocations = FairPool(1, "revocations")
        self._standing = Standing(clock=clock)
        self._small, self._large = Room(_ROOM), Room(_ROOM)
        self._addresses = Limiter(limits.address_rate, clock=clock)
        self._senders = Limiter(limits.sender_rate, clock=clock)
        self._metrics = metrics.Metrics()

    def close(self) -> None:
        for pool in (self._work, self._door, self._revocations, self._look):
            pool.close()

    def mount(self, app: FastAPI) -> None:
        """Add the endpoints."""
        posts: dict[str, Handler] = {
            "/v1/deposit": self._deposit,
            "/v1/reencrypt": self._reencrypt,
            "/v1/revoke": self._revoke,
            "/v1/delete": self._delete,
            "/v1/receipts": self._receipts,
            "/v1/proof": self._proof,
            "/v1/witness/add-checkpoint": self._cosign,
        }
        gets: dict[str, Handler] = {
            "/v1/head": self._head,
            "/v1/log/checkpoint": self._checkpoint,
            "/v1/log/tile/{level}/{rest:path}": self._tile,
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._metrics_text,
        }
        for method, handlers in (("POST", posts), ("GET", gets)):
            for path, handler in handlers.items():
                app.add_api_route(path, self._counted(path, handler), methods=[method], **openapi.operation(path))

    # Endpoints

    async def _reencrypt(self, request: Request) -> Response:
        source = asked_from(request)
        with self._small.place() as place, self._judged(source) as judged:
            body = await self._body(request, place)
            admitted = await self._at_door(source, lambda: self._signed(messages.parse_reencrypt, body))
            # After the signature, so that nobody can use up what somebody else may ask.
            requester = admitted.requester
            self._check_rate(requester)
            # Until it is known that the signer may ask, they are a stranger: they wait among those of their address.
            rank = self._standing.of(requester)
            sender = requester if rank is Rank.GOOD else source
            rank = min(rank, self._standing.of(source))
            begin = self._service.begin_reencryption
            work = await self._door.run(sender, begin, admitted, kind="opening", rank=rank)
            judged.append(requester)
            await self._finish(request, work, requester, Rank.ADMITTED, kind="opening")
            answer = await self._look.run(requester, self._service.finish_reencryption, work, kind="answer")
        self._metrics.cfrags.inc(len(admitted.capsules))
        return JSONResponse(answer)

    async def _deposit(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        room = self._small if length.isdecimal() and int(length[:20]) <= _SMALL else self._large
        source = asked_from(request)
        with room.place() as place, self._judged(source):
            body = await self._body(request, place, messages.MAX_DEPOSIT + _ENVELOPE)

            def opened() -> DepositRequest:
                return self._service.open_deposit(_formed(messages.parse_sealed, _formed(messages.parse_json, body)))

            rank = self._standing.of(source)
            admitted = await self._work.run(source, opened, kind="sealed", rank=rank)
            self._check_rate(admitted.policy_id)
            work = await self._door.run(source, self._service.begin_deposit, admitted, kind="deposit", rank=rank)
            # A policy is granted once, so its sender is known by where it comes from.
            usual = Rank.ADMITTED if rank is Rank.UNKNOWN else rank
            await self._finish(request, work, admitted.policy_id, usual, kind="deposit")
            answer = await self._look.run(admitted.policy_id, self._service.finish_deposit, work, kind="answer")
            return JSONResponse(answer)

    async def _finish(
        self, request: Request, work: Deposit | Reencryption, sender: str, usual: Rank, *, kind: str
    ) -> None:
        """Do all steps of some work, one at each turn of its sender, for as long as somebody waits for it."""

        def steps() -> bool:
            # A second or so at most before it is seen whether somebody still waits.
            work.step()
            return not work.done and work.steps % _LOOK != 0

        while not work.done:
            await self._work.run_while(sender, steps, kind=kind, rank=self._standing.of(sender, usual))
            if not work.done and await request.is_disconnected():
                raise ProblemError(problems.TIMEOUT, "the client went away before its answer was made")

    async def _revoke(self, request: Request) -> Response:
        with self._small.place() as place:
            policy_id = _formed(messages.parse_revoke, await self._fields(request, place))
            return JSONResponse(await self._revocations.run(asked_from(request), self._service.revoke, policy_id))

    async def _delete(self, request: Request) -> Response:
        with self._small.place() as place:
            revocation = _formed(messages.parse_delete, await self._fields(request, place))
            return JSONResponse(await self._revocations.run(asked_from(request), self._service.delete, revocation))

    async def _receipts(self, request: Request) -> Response:
        with self._small.place() as place:
            body = await self._body(request, place)
            admitted = await self._at_door(asked_from(request), lambda: self._signed(messages.parse_receipts, body))
            self._check_rate(admitted.policy_id)
            return JSONResponse(await self._look.run(admitted.policy_id, self._service.receipts, admitted))

    async def _proof(self, request: Request) -> Response:
        with self._small.place() as place:
            body = await self._body(request, place)
            admitted = await self._at_door(asked_from(request), lambda: self._signed(messages.parse_receipts, body))
            self._check_rate(admitted.policy_id)
            answer = await self._look.run(admitted.policy_id, self._service.proof, admitted)
            return Response(messages.canonical(answer), media_type="application/json")

    async def _checkpoint(self, request: Request) -> Response:
        note = await self._look.run(asked_from(request), self._service.log.checkpoint)
        return Response(note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})

    async def _tile(self, request: Request) -> Response:
        parts = request.path_params
        hashes = await self._look.run(asked_from(request), self._service.log.tile, parts["level"], parts["rest"])
        return Response(hashes, media_type="application/octet-stream")

    async def _cosign(self, request: Request) -> Response:
        with self._small.place() as place:
            body = await self._body(request, place, MAX_NOTE)
            known, lines = await self._door.run(asked_from(request), self._service.cosign, body, kind="form")
        if known is not None:
            return Response(f"{known}\n", status_code=_CONFLICT, media_type="text/x.tlog.size")
        return Response(lines, media_type="text/plain; charset=utf-8")

    async def _head(self, request: Request) -> Response:
        return JSONResponse(await self._look.run(asked_from(request), self._service.head))

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"schema": "panachain/health/1", "proxy": self._service.address})

    async def _ready(self, request: Request) -> Response:
        return JSONResponse(await self._look.run(asked_from(request), self._service.ready))

    async def _metrics_text(self, request: Request) -> Response:
        sequence, head_age = await self._look.run(asked_from(request), self._service.gauges)
        text = await self._look.run(asked_from(request), self._metrics.text, sequence, head_age)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    # Refusals that no endpoint makes

    async def no_route(self, _: Request, error: Exception) -> Response:
        """Answer an unknown path or method."""
        self._metrics.requests.labels("other", problems.kind_of_route(error).slug).inc()
        return problems.no_route(error)

    async def no_form(self, _: Request, __: Exception) -> Response:
        """Answer what the framework itself can't read."""
        return problems.respond(ProblemError(problems.INVALID, problems.INVALID.title))

    async def fault(self, request: Request, error: Exception) -> Response:
        """Answer when the proxy itself is at fault."""
        return problems.fault(request, error, _log)

    # Inside

    @contextmanager
    def _judged(self, source: str) -> Iterator[list[str]]:
        """Note how a request ends, for its source and whoever is added."""
        senders = [source]
        try:
            yield senders
        except IntegrityError:
            for sender in senders:
                self._standing.failed(sender)
            raise
        except (AccessDeniedError, UsageError, ProblemError):
            # Honest people ask for what is over, too; they are nobody's equal then until they are served again.
            self._standing.refused(source)
            raise
        for sender in senders:
            self._standing.served(sender)

    async def _at_door(self, source: str, function: Callable[[], T]) -> T:
        """Return what a function makes of a body: at once for a source that was served lately, the others wait."""
        rank = self._standing.of(source)
        if rank is Rank.GOOD:
            return function()
        return await self._door.run(source, function, kind="form", rank=rank)

    def _signed(self, parse: Callable[[Any], R], body: bytes) -> R:
        """Return the request in a body, whose signature was checked."""
        request = _formed(parse, _formed(messages.parse_json, body))
        self._service.authenticate(request)
        return request

    async def _fields(self, request: Request, place: Place) -> dict[str, Any]:
        """Return the fields of a small request's body."""
        return _formed(messages.parse_json, await self._body(request, place))

    async def _body(self, request: Request, place: Place, limit: int = messages.MAX_BODY) -> bytes:
        """Return a request's body."""
        body = await read_request(request, limit=limit, seconds=self._limits.body_seconds, place=place)
        if len(body) > _UNIT:
            self._check_address(request, len(body) // _UNIT)
        return body

    def _counted(self, path: str, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            started = self._clock()
            outcome = "internal"
            try:
                self._check_address(request)
                answer = await handler(request)
                outcome = "ok"
            except PanaChainError as exc:
                answer = problems.respond(exc)
                outcome = problems.kind_of(exc).slug
            finally:
                seconds = self._clock() - started
                self._metrics.requests.labels(path, outcome).inc()
                self._metrics.seconds.labels(path).observe(seconds)
                # Sizes and times only.
                _log.info("%s %s %.1f ms", path, outcome, 1000 * seconds)
            return answer

        return endpoint

    def _check_address(self, request: Request, weight: int = 1) -> None:
        wait = self._addresses.take(asked_from(request), weight)
        if wait:
            raise RateLimitedError("too many requests from this network address", retry_after=wait)

    def _check_rate(self, sender: str) -> None:
        wait = self._senders.take(sender)
        if wait:
            raise RateLimitedError("too many requests of this signer", retry_after=wait)


def _formed(parse: Callable[[Any], T], value: Any) -> T:
    """Return what `parse` makes of a message; what has the wrong form is a problem of its own type."""
    try:
        return parse(value)
    except UsageError as exc:
        raise ProblemError(problems.INVALID, str(exc)) from None
