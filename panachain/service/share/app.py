"""Links over HTTP: manifests, sealed files, and one same answer for all that isn't there.

Never has a link's key, and never logs a path: it holds half of a link. Any web page may ask, as the specification's
viewers do; there is no cookie and no session that one could borrow. Follows HL7's SMART Health Cards and Links 1.0.0
(manifest request, direct file request), docs/spec/sharing.md, section "Serving", and security rules 12 and 24.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from panachain.errors import PanaChainError, RateLimitedError, UnknownActorError
from panachain.service import problems
from panachain.service.connections import asked_from
from panachain.service.http import read_request
from panachain.service.limits import Limiter
from panachain.service.pool import FairPool
from panachain.service.problems import ProblemError
from panachain.sharing.link import DIRECT, LONG_TERM
from panachain.sharing.shelf import Share, Shelf
from panachain.wire.json_text import read_json

MAX_BODY: Final = 4096
"""Bytes of a manifest request."""
MOST_EMBEDDED: Final = 1 << 20
"""Characters of a file that stands in the manifest itself, whatever the client takes."""
_MOST_IN_ALL: Final = 4 << 20
"""Characters of all of them together: the others have addresses."""
_MAX_PASSCODE: Final = 200
"""Characters of a passcode."""
_BODY_TIME: Final = 5.0
"""Seconds that a request's body may take."""
_PER_MINUTE: Final = 60
"""Requests of one source in a minute."""
_PIECE: Final = 1 << 16
"""Bytes of a file that are read at once."""
_POLL: Final = "60"
"""Seconds after which whoever follows a link that may change may look again."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_log = logging.getLogger("panachain.share")


def create_app(shelf: Shelf, *, url: str, clock: Callable[[], float] = time.monotonic) -> FastAPI:
    """Return the application of one shelf.

    Args:
        shelf: what is given out.
        url: under which the world reaches `/shl`, without a slash at its end.
        clock: seconds, for limits.
    """
    sources = Limiter(_PER_MINUTE, clock=clock)
    # Two threads: a passcode's hash is made outside the GIL, and takes 32 MiB.
    work = FairPool(2, "share")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        work.close()

    app = FastAPI(title="PanaChain links", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["content-type"]
    )
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _fault)

    async def run(request: Request, function: Callable[..., Response], *arguments: object) -> Response:
        source = asked_from(request)
        again = sources.take(source)
        try:
            if again:
                raise RateLimitedError("too many requests from this address within a minute", retry_after=again)
            answer: Response = await work.run(source, function, *arguments)
        except UnknownActorError:
            answer = _gone()
        except PanaChainError as exc:
            answer = _refusal(exc)
        answer.headers.update(_HEADERS)
        return answer

    @app.post("/shl/{secret}")
    async def manifest(request: Request, secret: str) -> Response:
        try:
            asked = _parse(await read_request(request, limit=MAX_BODY, seconds=_BODY_TIME))
        except PanaChainError as exc:
            return problems.respond(exc)
        return await run(request, _manifest, shelf, url, secret, asked)

    @app.get("/shl/{secret}")
    async def direct(request: Request, secret: str) -> Response:
        return await run(request, _direct, shelf, secret, request.query_params.get("recipient", ""))

    @app.get("/shl/{secret}/{location}")
    async def located(request: Request, secret: str, location: str) -> Response:
        return await run(request, _located, shelf, secret, location)

    @app.get("/healthz")
    def health() -> JSONResponse:
        return JSONResponse({"schema": "panachain/health/1", "alive": True})

    return app


class _Asked:
    """A manifest request, read."""

    __slots__ = ("longest", "passcode", "recipient")

    def __init__(self, recipient: str, passcode: str | None, longest: int) -> None:
        self.recipient, self.passcode, self.longest = recipient, passcode, longest


def _parse(content: bytes) -> _Asked:
    try:
        fields = read_json(content, depth=8, values=256)
    except (ValueError, PanaChainError):
        raise ProblemError(problems.INVALID, "it isn't JSON with the documented fields") from None
    if not isinstance(fields, dict):
        raise ProblemError(problems.INVALID, "it isn't JSON with the documented fields")
    recipient, passcode = fields.get("recipient"), fields.get("passcode")
    longest = fields.get("embeddedLengthMax", MOST_EMBEDDED)
    # Fields that aren't known are ignored, says the specification.
    if not isinstance(recipient, str) or not recipient.strip():
        raise ProblemError(problems.INVALID, "`recipient` must say who asks")
    if not (passcode is None or (isinstance(passcode, str) and len(passcode) <= _MAX_PASSCODE)):
        raise ProblemError(problems.INVALID, "`passcode` must be a text")
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 0:
        raise ProblemError(problems.INVALID, "`embeddedLengthMax` must be a number of characters")
    return _Asked(recipient, passcode, min(longest, MOST_EMBEDDED))


def _manifest(shelf: Shelf, url: str, secret: str, asked: _Asked) -> Response:
    share = shelf.of(secret)
    if share is None or DIRECT in share.flags:
        return _gone()
    if share.attempts_left is not None:
        # Without any passcode nothing was guessed, and nothing is counted.
        left = share.attempts_left if not asked.passcode else shelf.check(share, asked.passcode)
        if left is not None:
            return JSONResponse({"remainingAttempts": left}, status_code=401)
    files, room = [], _MOST_IN_ALL
    for number, one in enumerate(share.files, 1):
        entry: dict[str, object] = {"contentType": one.content_type}
        if one.size <= min(asked.longest, room):
            entry["embedded"] = _whole(shelf, share, number)
            room -= one.size
        else:
            entry["location"] = f"{url}/shl/{secret}/{shelf.location(share, number)}"
        entry["lastUpdated"] = datetime.fromtimestamp(one.updated_at, UTC).isoformat().replace("+00:00", "Z")
        entry["status"] = "can-change" if LONG_TERM in share.flags else "finalized"
        if one.content_type == "application/fhir+json":
            entry["fhirVersion"] = "4.0.1"
        files.append(entry)
    shelf.opened(share, asked.recipient)
    answer = JSONResponse({"files": files})
    if LONG_TERM in share.flags:
        answer.headers["Retry-After"] = _POLL
    return answer


def _direct(shelf: Shelf, secret: str, recipient: str) -> Response:
    share = shelf.of(secret)
    if share is None or DIRECT not in share.flags:
        return _gone()
    answer = _stream(shelf, share, 1)
    shelf.opened(share, recipient)
    return answer


def _located(shelf: Shelf, secret: str, location: str) -> Response:
    share = shelf.of(secret)
    number = None if share is None or DIRECT in share.flags else shelf.file_at(share, location)
    return _gone() if share is None or number is None else _stream(shelf, share, number)


def _whole(shelf: Shelf, share: Share, number: int) -> str:
    file = shelf.file(share, number)
    if file is None:
        raise UnknownActorError("it was deleted meanwhile")
    with file:
        return file.read(MOST_EMBEDDED).decode("ascii")


def _stream(shelf: Shelf, share: Share, number: int) -> Response:
    file = shelf.file(share, number)
    if file is None:
        return _gone()
    headers = {"Content-Length": str(share.files[number - 1].size)}
    return StreamingResponse(_pieces(file), media_type="application/jose", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _gone() -> Response:
    # One answer for what never was, is over, was revoked or was guessed at too often: nobody learns which.
    return problems.respond(ProblemError(problems.NOT_FOUND, "this link leads to nothing"))


def _refusal(error: PanaChainError) -> Response:
    if not isinstance(error, RateLimitedError | ProblemError):
        # What the disk says names folders, which are nobody's business.
        _log.error("a request failed: %s", type(error).__name__)
        return problems.respond(ProblemError(problems.UNAVAILABLE, problems.UNAVAILABLE.title))
    return problems.respond(error)


async def _no_route(_: Request, error: Exception) -> Response:
    return problems.no_route(error)


async def _fault(_: Request, error: Exception) -> Any:
    # Without the path, which every other service logs.
    _log.error("a request failed: %s", type(error).__name__)
    return problems.respond(ProblemError(problems.INTERNAL, problems.INTERNAL.title))
