"""The issuer over HTTP: FastAPI in front of IssuerService, problem+json for every refusal.

No line of the log names a patient. Follows docs/spec/relay.md, section "Tokens", and RFC 9457.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException

from panachain.chain.abi import address
from panachain.chain.issuing import TokenRequest
from panachain.crypto.blind_rsa import SIZE
from panachain.errors import PanaChainError, RateLimitedError, UsageError
from panachain.model.actors import Address as Account
from panachain.proxy import messages
from panachain.service import problems
from panachain.service.connections import asked_from
from panachain.service.http import read_request
from panachain.service.issuer.service import MAX_ASKED, IssuerService
from panachain.service.limits import Limiter
from panachain.service.pool import FairPool
from panachain.service.problems import ProblemError
from panachain.service.shapes import Address, Message, Signature, Time

SCHEMA: Final = "panachain/tokens/1"
MAX_BODY: Final = 65_536
"""Bytes of one request: 64 blinded tokens in hex, and the rest."""
_BODY_TIME: Final = 10.0
"""Seconds that a request's body may take."""
_PER_MINUTE: Final = 30
"""Requests of one source in a minute."""
_log = logging.getLogger("panachain.issuer")
Blinded = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * SIZE}}}$", description=f"{SIZE} bytes in hex")]


class TokensBody(Message):
    """A request for tokens, signed by the patient's account (EIP-712, struct `TokenRequest`)."""

    schema_: Literal["panachain/tokens/1"] = Field(alias="schema")
    patient: Address
    period: int = Field(ge=0, lt=1 << 48)
    blinded: list[Blinded] = Field(min_length=1, max_length=MAX_ASKED)
    expires_at: Time
    signature: Signature


def create_app(service: IssuerService, *, clock: Callable[[], float] = time.monotonic) -> FastAPI:
    """Return the application of one issuer.

    Args:
        service: does the work.
        clock: seconds, for limits.
    """
    sources = Limiter(_PER_MINUTE, clock=clock)
    # One thread: a signature is a power of 2,048 bits, and the GIL lets one be made at a time.
    work = FairPool(1, "issuer")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        work.close()

    app = FastAPI(title="PanaChain issuer", version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _fault)

    async def issue(request: Request) -> list[bytes]:
        source = asked_from(request)
        again = sources.take(source)
        if again:
            raise RateLimitedError("too many requests from this address within a minute", retry_after=again)
        asked = _parse(await read_request(request, limit=MAX_BODY, seconds=_BODY_TIME))
        service.authenticate(asked)
        return await work.run(source, service.issue, asked)

    @app.post("/v1/tokens")
    async def tokens(request: Request) -> Response:
        try:
            signed = await issue(request)
        except PanaChainError as exc:
            return problems.respond(exc)
        return JSONResponse({"schema": SCHEMA, "signatures": [one.hex() for one in signed]})

    @app.get("/v1/key")
    def key() -> JSONResponse:
        return JSONResponse({"schema": "panachain/token-key/1", "key": service.key.hex()})

    return app


def _parse(content: bytes) -> TokenRequest:
    try:
        body = TokensBody.model_validate(messages.parse_json(content))
    except UsageError as exc:
        raise ProblemError(problems.INVALID, str(exc)) from None
    except ValidationError:
        # Without its cause, which quotes what was sent.
        raise ProblemError(problems.INVALID, "it isn't JSON with the documented fields") from None
    return TokenRequest(
        patient=Account(address(body.patient)),
        period=body.period,
        blinded=tuple(bytes.fromhex(one) for one in body.blinded),
        expires_at=body.expires_at,
        signature=bytes.fromhex(body.signature),
    )


async def _no_route(_: Request, error: Exception) -> Response:
    return problems.no_route(error)


async def _fault(request: Request, error: Exception) -> Any:
    return problems.fault(request, error, _log)
