"""The relay over HTTP: FastAPI in front of RelayService, problem+json for every refusal.

Limits come before parsing. No line of the log, and nothing on disk, links a client's address with a policy.
Follows docs/spec/relay.md and RFC 9457.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field, ValidationError, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from panachain.chain.abi import address
from panachain.crypto.tokens import TOKEN_SIZE
from panachain.errors import PanaChainError, RateLimitedError, UsageError
from panachain.model.actors import Address as Account
from panachain.model.actors import PolicyId
from panachain.model.policy import Disclosure, Receipt
from panachain.model.sizes import HASH_SIZE
from panachain.model.transactions import Call, Grant
from panachain.proxy import messages
from panachain.service import problems
from panachain.service.connections import asked_from
from panachain.service.http import read_request
from panachain.service.limits import Limiter
from panachain.service.pool import FairPool
from panachain.service.problems import ProblemError
from panachain.service.relay.calls import CallRelayService
from panachain.service.relay.openapi import CallRelayAnswer, HealthAnswer, RelayAnswer, look, orders
from panachain.service.relay.service import Matter, Order, Outcome, Relaying, RelayService
from panachain.service.shapes import Address, CompactSignature, Hash, Message, ReceiptBody, Time

MAX_BODY: Final = 16_384
"""Bytes of one request; the largest, a receipt with its sealed detail, has some 2,000."""
_BODY_TIME: Final = 10.0
"""Seconds that a request's body may take."""
_NOTHING: Final = "00" * HASH_SIZE
_log = logging.getLogger("panachain.relay")
Token = Annotated[
    str,
    Field(pattern=f"^([0-9a-f]{{{2 * TOKEN_SIZE}}})?$", description="A patient's token (RFC 9578) in hex, or empty"),
]


class GrantBody(Message):
    """A signed grant."""

    policy_id: Address
    starts_at: Time
    expires_at: Time
    deadline: Time
    view_tag: Annotated[int, Field(ge=0, le=255)] = 0
    terms: Hash
    announcement: Hash = _NOTHING
    disclosure: Hash = _NOTHING
    signature: CompactSignature
    token: Token = ""


class RevokeBody(Message):
    """A signed revocation."""

    policy_id: Address
    signature: CompactSignature
    token: Token = ""


class CallBody(Message):
    """A signed call of a contract of the sidechain."""

    signer: Address
    to: Address
    data: Annotated[str, Field(pattern="^([0-9a-f]{2}){4,}$", description="Calldata in hex")]
    gas: Annotated[int, Field(ge=1, lt=1 << 32)]
    nonce: Annotated[int, Field(ge=0, lt=1 << 64)]
    deadline: Time
    signature: Annotated[str, Field(pattern="^[0-9a-f]{130}$", description="r, s and v in hex")]


class EvidenceBody(Message):
    """A receipt by which a proxy convicts itself, as `panachain/receipt/2` says."""

    receipt: Annotated[dict[str, Any], WithJsonSchema(ReceiptBody.model_json_schema())]


Parsed = TypeVar("Parsed", bound=Message)
T = TypeVar("T")


def create_app(
    service: Relaying,
    *,
    per_minute: int,
    wait: float,
    starts: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the application of one relay.

    Args:
        service: does the work.
        per_minute: requests that one source may make, revocations apart from the others.
        wait: seconds that a request waits until its transaction is mined.
        starts: whether the service starts and stops with the application.
        clock: seconds, for limits and durations.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if starts:
            service.start()
        yield
        desk.close()
        if starts:
            await run_in_threadpool(service.stop)

    app = FastAPI(title="PanaChain relay", version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    desk = _Desk(service, per_minute=per_minute, wait=wait, clock=clock)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(PanaChainError, _fault)
    app.add_exception_handler(Exception, _fault)
    _add_orders(app, desk, service)
    _add_looks(app, desk, service)
    return app


def _add_looks(app: FastAPI, desk: _Desk, service: Relaying) -> None:
    described = CallRelayAnswer if isinstance(service, CallRelayService) else RelayAnswer

    def ready() -> dict[str, Any]:
        service.check_ready()
        return service.describe()

    @app.get("/v1/relay", responses=look("What it serves and has left", described))
    async def describe(request: Request) -> JSONResponse:
        return JSONResponse(await desk.look(request, service.describe))

    @app.get("/healthz", responses=look("The process runs", HealthAnswer))
    async def healthz() -> JSONResponse:
        return JSONResponse({"schema": "panachain/health/1", "relay": service.address})

    @app.get("/readyz", responses=look("It can pay now", described))
    async def readyz(request: Request) -> JSONResponse:
        return JSONResponse(await desk.look(request, ready))

    @app.get("/metrics", responses=look("Metrics in Prometheus' text format", None), response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        return Response(await desk.look(request, desk.metrics), media_type="text/plain; version=0.0.4")


def _add_orders(app: FastAPI, desk: _Desk, service: Relaying) -> None:
    def route(path: str, model: type[Parsed], order: Callable[[Parsed], Order], *, urgent: bool = False) -> None:
        async def endpoint(request: Request) -> JSONResponse:
            return await desk.answer(request, model, order, urgent=urgent)

        schema = {"application/json": {"schema": model.model_json_schema()}}
        extra = {"requestBody": {"required": True, "content": schema}}
        name = path.rpartition("/")[2]
        app.post(path, operation_id=name, responses=orders(calls=calls), openapi_extra=extra)(endpoint)

    calls = isinstance(service, CallRelayService)
    if isinstance(service, CallRelayService):
        paid = service

        def take_back(body: CallBody) -> Order:
            order = paid.call(*_call(body))
            if order.matter is not Matter.TAKE_BACK:
                # Whatever else came this way would take the turn of what takes back.
                raise ProblemError(problems.INVALID, "this call takes nothing back: /v1/call takes it")
            return order

        route("/v1/call", CallBody, lambda body: paid.call(*_call(body)))
        route("/v1/take-back", CallBody, take_back, urgent=True)
        return
    assert isinstance(service, RelayService)  # noqa: S101 - there are two kinds
    route("/v1/grant", GrantBody, lambda body: service.grant(_grant(body), bytes.fromhex(body.signature)))
    route(
        "/v1/revoke",
        RevokeBody,
        lambda body: service.revocation(PolicyId(address(body.policy_id)), bytes.fromhex(body.signature)),
        urgent=True,
    )
    route("/v1/evidence", EvidenceBody, lambda body: service.evidence(_receipt(body)))


class _Desk:
    """Takes requests: limits, parses, submits, waits, counts."""

    def __init__(self, service: Relaying, *, per_minute: int, wait: float, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock
        self._wait = wait
        # A flood of grants doesn't take a revocation's turn away.
        self._urgent = Limiter(per_minute, clock=clock)
        self._others = Limiter(per_minute, clock=clock)
        # Looks have a thread of their own, in turns: they need no key, and take none of an order's threads.
        self._looks = FairPool(1, "look")
        self._counts: Counter[tuple[str, int]] = Counter()

    def close(self) -> None:
        """Let the thread end what it does."""
        self._looks.close()

    async def look(self, request: Request, function: Callable[[], T]) -> T:
        """Return what a function returns that only looks; raises UnavailableError where too many wait."""
        return await self._looks.run(asked_from(request), function)

    async def answer(
        self, request: Request, model: type[Parsed], order: Callable[[Parsed], Order], *, urgent: bool
    ) -> JSONResponse:
        started = self._clock()
        try:
            self._limit(request, urgent=urgent)
            body = _parse(await read_request(request, limit=MAX_BODY, seconds=_BODY_TIME), model)
            outcome = await self._outcome(order(body), bytes.fromhex(getattr(body, "token", "")))
            answer = JSONResponse(_outcome_fields(outcome), status_code=200 if outcome.state == "mined" else 202)
        except PanaChainError as exc:
            answer = problems.respond(exc)
        name = request.url.path.rpartition("/")[2]
        self._counts[name, answer.status_code] += 1
        # The line has kind, outcome and time only: by its time it could be put together with one that names an address.
        _log.info("%s %d %.0f ms", name, answer.status_code, 1000 * (self._clock() - started))
        return answer

    async def _outcome(self, order: Order, token: bytes) -> Outcome:
        done = asyncio.wrap_future(await run_in_threadpool(self._service.submit, order, token))
        try:
            # Shielded: a client that goes away doesn't take the order with it, for which another may wait too.
            return await asyncio.wait_for(asyncio.shield(done), self._wait)
        except TimeoutError:
            return await run_in_threadpool(self._service.pending, order)

    def _limit(self, request: Request, *, urgent: bool) -> None:
        limiter = self._urgent if urgent else self._others
        again = limiter.take(asked_from(request))
        if again:
            raise RateLimitedError("too many requests from this address within a minute", retry_after=again)

    def metrics(self) -> str:
        """Return all metrics in Prometheus' text format (exposition format 0.0.4)."""
        for_all, for_revocations = self._service.left()
        lines = ["# TYPE panachain_relay_requests_total counter"]
        for (name, status), count in sorted(self._counts.items()):
            lines.append(f'panachain_relay_requests_total{{kind="{name}",status="{status}"}} {count}')
        lines.append("# TYPE panachain_relay_gas_left gauge")
        lines.append(f'panachain_relay_gas_left{{for="all"}} {for_all}')
        lines.append(f'panachain_relay_gas_left{{for="revocations"}} {for_revocations}')
        lines.append("# TYPE panachain_relay_waiting gauge")
        lines.append(f"panachain_relay_waiting {self._service.waiting()}")
        return "\n".join(lines) + "\n"


def _parse(content: bytes, model: type[Parsed]) -> Parsed:
    try:
        # This reader bounds the depth and refuses a key that stands twice; pydantic's own would take the last one.
        return model.model_validate(messages.parse_json(content))
    except UsageError as exc:
        raise ProblemError(problems.INVALID, str(exc)) from None
    except ValidationError as exc:
        # The fields' names are ours; what was sent isn't repeated.
        fields = {".".join(str(part) for part in error["loc"][:1]) for error in exc.errors(include_input=False)}
        known = sorted(fields & set(model.model_fields))
        detail = f"wrong or missing: {', '.join(known)}" if known else "it isn't JSON with the documented fields"
        raise ProblemError(problems.INVALID, detail) from None


def _grant(body: GrantBody) -> Grant:
    return Grant(
        owner=PolicyId(address(body.policy_id)),
        starts_at=body.starts_at,
        expires_at=body.expires_at,
        deadline=body.deadline,
        terms=bytes.fromhex(body.terms),
        disclosure=Disclosure.from_word(int(body.disclosure, 16)),
        view_tag=body.view_tag,
        announcement=bytes.fromhex(body.announcement),
    )


def _call(body: CallBody) -> tuple[Call, bytes]:
    call = Call(
        signer=Account(address(body.signer)),
        to=Account(address(body.to)),
        data=bytes.fromhex(body.data),
        gas=body.gas,
        nonce=body.nonce,
        deadline=body.deadline,
    )
    return call, bytes.fromhex(body.signature)


def _receipt(body: EvidenceBody) -> Receipt:
    try:
        ReceiptBody.model_validate(body.receipt)
    except ValidationError:
        # Without its cause, which quotes what was sent.
        raise UsageError("the receipt isn't of the documented form") from None
    return messages.parse_receipt(body.receipt)


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": "panachain/relayed/1",
        "state": outcome.state,
        "tx_hash": outcome.tx_hash,
        "block": outcome.block,
        "gas_used": outcome.gas_used,
    }


async def _no_route(_: Request, error: Exception) -> Response:
    return problems.no_route(error)


async def _fault(request: Request, error: Exception) -> Response:
    return problems.respond(error) if isinstance(error, PanaChainError) else problems.fault(request, error, _log)
