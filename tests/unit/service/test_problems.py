"""Problem documents: every error of ours has its kind, and a fault of the service tells nothing of what was sent."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from panachain import errors
from panachain.service import problems
from panachain.service.problems import Kind, ProblemError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.PolicyRevokedError("x"), problems.REVOKED),
        (errors.PolicyExpiredError("x"), problems.EXPIRED),
        (errors.PolicyNotActiveError("x"), problems.NOT_ACTIVE),
        (errors.OpensLaterError("x", retry_after=7), problems.NOT_ACTIVE),
        (errors.PolicyUnknownError("x"), problems.UNKNOWN),
        (errors.OutOfScopeError("x"), problems.OUT_OF_SCOPE),
        (errors.SuspendedError("x"), problems.SUSPENDED),
        (errors.RateLimitedError("x", retry_after=7), problems.RATE),
        (errors.UsageError("x"), problems.BAD_REQUEST),
        (errors.IntegrityError("x"), problems.BAD_REQUEST),
        (errors.ChainUnavailableError("x"), problems.UNAVAILABLE),
        (errors.DiskError("x"), problems.UNAVAILABLE),
        (ProblemError(problems.TIMEOUT, "x"), problems.TIMEOUT),
    ],
)
def test_an_error_is_answered_by_its_kind(error: errors.PanaChainError, kind: Kind) -> None:
    answer = problems.respond(error)
    fields = json.loads(bytes(answer.body))
    assert (answer.status_code, answer.media_type) == (kind.status, "application/problem+json")
    assert fields == {
        "type": f"urn:panachain:problem/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "x",
    }


def test_kinds_have_slugs_of_their_own() -> None:
    assert len({kind.slug for kind in problems.KINDS}) == len(problems.KINDS)


def test_a_limit_and_a_service_that_is_down_say_when_to_come_again() -> None:
    limited = problems.respond(errors.RateLimitedError("x", retry_after=7))
    assert limited.headers["retry-after"] == "7"
    assert problems.respond(errors.OpensLaterError("x", retry_after=60)).headers["retry-after"] == "60"
    assert "retry-after" not in problems.respond(errors.PolicyNotActiveError("x")).headers
    assert problems.respond(errors.ChainUnavailableError("x")).headers["retry-after"] == "5"
    assert "retry-after" not in problems.respond(errors.UsageError("x")).headers


def test_a_detail_is_cut() -> None:
    assert len(json.loads(bytes(problems.respond(errors.UsageError("x" * 9999)).body))["detail"]) == 300


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (HTTPException(405, headers={"Allow": "POST"}), problems.METHOD),
        (HTTPException(404), problems.NOT_FOUND),
        (ValueError(), problems.NOT_FOUND),
    ],
)
def test_what_no_endpoint_takes_is_a_problem_too(error: Exception, kind: Kind) -> None:
    answer = problems.no_route(error)
    assert answer.status_code == kind.status
    assert answer.headers.get("allow") == ("POST" if kind is problems.METHOD else None)


def test_a_fault_names_its_kind_in_the_log_and_nothing_anywhere_else(caplog: pytest.LogCaptureFixture) -> None:
    request: Any = SimpleNamespace(url=SimpleNamespace(path="/v1/deposit"))
    answer = problems.fault(request, ValueError("what was sent"), logging.getLogger("panachain.test"))
    assert answer.status_code == 500
    assert caplog.messages == ["/v1/deposit: ValueError"]
    assert b"what was sent" not in bytes(answer.body)


def test_a_description_names_kinds_of_one_status_together() -> None:
    described = problems.described([problems.REVOKED, problems.RATE, problems.EXPIRED], {"$ref": "#/x"})
    assert list(described) == [403, 429]
    assert described[403]["description"] == (
        f"`policy-revoked`: {problems.REVOKED.title}; `policy-expired`: {problems.EXPIRED.title}"
    )
    assert described[429]["content"] == {"application/problem+json": {"schema": {"$ref": "#/x"}}}
