"""Problem documents: every refusal of a service, by its documented type.

Says the kind and what was expected, and nothing of keys or people. Follows RFC 9457 and docs/spec/proxy.md, section
"Problems".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from panachain.errors import (
    AccessDeniedError,
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
    UsageError,
)

MEDIA_TYPE: Final = "application/problem+json"
PREFIX: Final = "urn:panachain:problem/"
"""Of every type's URI; the last part is the slug."""


@dataclass(frozen=True)
class Kind:
    """One type of problem."""

    slug: str
    status: int
    title: str


REVOKED: Final = Kind("policy-revoked", 403, "The patient revoked the policy")
EXPIRED: Final = Kind("policy-expired", 403, "The policy's window is over")
NOT_ACTIVE: Final = Kind("policy-not-active", 403, "The policy's window hasn't begun")
OUT_OF_SCOPE: Final = Kind("out-of-scope", 403, "Signer, grantee, lane or purpose doesn't fit the policy")
SUSPENDED: Final = Kind("suspended", 403, "The requester isn't active in the registry")
UNKNOWN: Final = Kind("policy-unknown", 404, "This proxy or the chain doesn't know the policy")
NOT_FOUND: Final = Kind("not-found", 404, "There is no such path")
METHOD: Final = Kind("method-not-allowed", 405, "The path doesn't take this method")
TIMEOUT: Final = Kind("timeout", 408, "The request's body didn't arrive in time")
TOO_LARGE: Final = Kind("too-large", 413, "The request's body is too large")
BAD_REQUEST: Final = Kind("bad-request", 400, "The request can't be served as it is")
INVALID: Final = Kind("invalid-request", 422, "The body isn't of the documented form")
RATE: Final = Kind("rate-limited", 429, "Too many requests")
UNAVAILABLE: Final = Kind("unavailable", 503, "The service can't serve now")
INTERNAL: Final = Kind("internal", 500, "A fault of the service")
KINDS: Final = (
    *(REVOKED, EXPIRED, NOT_ACTIVE, OUT_OF_SCOPE, SUSPENDED, UNKNOWN, NOT_FOUND, METHOD, TIMEOUT, TOO_LARGE),
    *(BAD_REQUEST, INVALID, RATE, UNAVAILABLE, INTERNAL),
)
_BY_ERROR: Final[tuple[tuple[type[PanaChainError], Kind], ...]] = (
    (PolicyRevokedError, REVOKED),
    (PolicyExpiredError, EXPIRED),
    (PolicyNotActiveError, NOT_ACTIVE),
    (PolicyUnknownError, UNKNOWN),
    (OutOfScopeError, OUT_OF_SCOPE),
    (SuspendedError, SUSPENDED),
    (AccessDeniedError, OUT_OF_SCOPE),
    (RateLimitedError, RATE),
    (UsageError, BAD_REQUEST),
    # A sealed message that doesn't open is the sender's fault here.
    (IntegrityError, BAD_REQUEST),
)


class ProblemError(PanaChainError):
    """A refusal that has no error of its own: of the transport, not of the rules."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def kind_of(error: PanaChainError) -> Kind:
    """Return which problem an error is."""
    if isinstance(error, ProblemError):
        return error.kind
    return next((kind for known, kind in _BY_ERROR if isinstance(error, known)), UNAVAILABLE)


def described(kinds: Iterable[Kind], schema: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return refusals as an OpenAPI document shows them, by status.

    Args:
        kinds: which refusals an operation may make.
        schema: of a problem document, or a reference to it.
    """
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in same),
            "content": {MEDIA_TYPE: {"schema": dict(schema)}},
        }
        for status, same in sorted(by_status.items())
    }


def kind_of_route(error: Exception) -> Kind:
    """Return which problem it is that no endpoint takes a request."""
    return METHOD if isinstance(error, HTTPException) and error.status_code == 405 else NOT_FOUND


def no_route(error: Exception) -> JSONResponse:
    """Return the answer to a request that no endpoint takes: to an unknown path, or by another method."""
    kind = kind_of_route(error)
    answer = respond(ProblemError(kind, kind.title))
    if isinstance(error, HTTPException):
        # RFC 9110, section 15.5.6: a 405 names the methods that the path takes.
        answer.headers.update(error.headers or {})
    return answer


def fault(request: Request, error: Exception, log: logging.Logger) -> JSONResponse:
    """Return the answer to a request that the service itself failed at."""
    # The kind only: what an error says may hold what was sent.
    log.error("%s: %s", request.url.path, type(error).__name__)
    return respond(ProblemError(INTERNAL, INTERNAL.title))


def respond(error: PanaChainError) -> JSONResponse:
    """Return the problem document of an error."""
    kind = kind_of(error)
    content = {
        "type": PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": str(error)[:300],
    }
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, RateLimitedError | OpensLaterError) else None
    if kind is UNAVAILABLE:
        headers = {"Retry-After": "5"}
    return JSONResponse(content, status_code=kind.status, media_type=MEDIA_TYPE, headers=headers)
