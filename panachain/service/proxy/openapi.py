"""The proxy's OpenAPI description: every operation with its request, its answer and its refusals.

Follows OpenAPI 3.1, RFC 9457 and docs/spec/proxy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from panachain.service import problems, shapes
from panachain.service.problems import Kind
from panachain.service.proxy import models

_LIMITED: Final = (problems.RATE, problems.UNAVAILABLE, problems.INTERNAL)
_BODY: Final = (problems.TIMEOUT, problems.TOO_LARGE, problems.INVALID, problems.BAD_REQUEST)
_RULES: Final = (
    *(problems.REVOKED, problems.EXPIRED, problems.NOT_ACTIVE, problems.OUT_OF_SCOPE, problems.SUSPENDED),
    problems.UNKNOWN,
)


@dataclass(frozen=True)
class _Operation:
    summary: str
    answer: type[BaseModel] | None
    problems: tuple[Kind, ...]
    body: type[BaseModel] | None = None


_OPERATIONS: Final = {
    "/v1/deposit": _Operation(
        "Take a patient's key fragments for one policy",
        models.DepositAnswer,
        (*_BODY, *_RULES, *_LIMITED),
        models.DepositBody,
    ),
    "/v1/reencrypt": _Operation(
        "Turn capsules of one lane into cfrags for the policy's grantee",
        models.ReencryptAnswer,
        (*_BODY, *_RULES, *_LIMITED),
        models.ReencryptBody,
    ),
    "/v1/revoke": _Operation(
        "Look at the chain, and delete a revoked policy's key fragments",
        models.RevokeAnswer,
        (*_BODY, problems.UNKNOWN, *_LIMITED),
        models.RevokeBody,
    ),
    "/v1/delete": _Operation(
        "Delete a policy's key fragments by its signed revocation, whatever a node says",
        models.DeleteAnswer,
        (*_BODY, problems.UNKNOWN, *_LIMITED),
        models.DeleteBody,
    ),
    "/v1/receipts": _Operation(
        "Return a policy's receipts to its owner",
        models.ReceiptsAnswer,
        (*_BODY, problems.OUT_OF_SCOPE, *_LIMITED),
        models.ReceiptsBody,
    ),
    "/v1/proof": _Operation(
        "Prove to a policy's owner which of its receipts there are",
        models.ProofAnswer,
        (*_BODY, problems.OUT_OF_SCOPE, *_LIMITED),
        models.ReceiptsBody,
    ),
    "/v1/witness/add-checkpoint": _Operation(
        "Cosign another proxy's checkpoint (C2SP tlog-witness)", None, (*_BODY, problems.OUT_OF_SCOPE, *_LIMITED)
    ),
    "/v1/log/checkpoint": _Operation("Return the log's checkpoint (C2SP tlog-tiles)", None, _LIMITED),
    "/v1/log/tile/{level}/{rest:path}": _Operation(
        # A path with a line end in it is no tile's, so the router knows none.
        "Return a tile of the log (C2SP tlog-tiles)",
        None,
        (problems.BAD_REQUEST, problems.NOT_FOUND, *_LIMITED),
    ),
    "/v1/head": _Operation("Return the signed head of the receipt log", models.HeadAnswer, _LIMITED),
    "/healthz": _Operation("Tell that the process runs", models.HealthAnswer, _LIMITED),
    "/readyz": _Operation("Tell that the proxy can serve", models.ReadyAnswer, _LIMITED),
    "/metrics": _Operation("Return metrics in Prometheus' text format", None, _LIMITED),
}

_TEXTS: Final = ("/v1/witness/add-checkpoint",)
"""What takes a text in place of JSON."""


def operation(path: str) -> dict[str, Any]:
    """Return what FastAPI must know of an endpoint's description."""
    known = _OPERATIONS[path]
    responses = problems.described(known.problems, {"$ref": "#/components/schemas/Problem"})
    extra: dict[str, Any] = {}
    if known.body is not None:
        schema = {"$ref": f"#/components/schemas/{known.body.__name__}"}
        extra = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    if known.body is None and path in _TEXTS:
        extra = {"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}}
    if "{" in path:
        # What stands behind the level is one parameter with slashes in it.
        usual = {"in": "path", "required": True, "schema": {"type": "string"}}
        extra = {"parameters": [{"name": name, **usual} for name in ("level", "rest")]}
    if known.answer is None:
        responses[200] = {"description": known.summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    else:
        schema = {"$ref": f"#/components/schemas/{known.answer.__name__}"}
        responses[200] = {"description": known.summary, "content": {"application/json": {"schema": schema}}}
    return {"summary": known.summary, "responses": responses, "openapi_extra": extra, "response_model": None}


def describe(app: FastAPI) -> None:
    """Let an application answer `/openapi.json` with the whole description."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes, description=__doc__)
            schema.setdefault("components", {})["schemas"] = _schemas()
            app.openapi_schema = schema
        return app.openapi_schema

    # The framework's own way to replace its description.
    app.openapi = openapi  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    shown: list[type[BaseModel]] = [shapes.Problem, shapes.ReceiptBody, models.ProofItem]
    for known in _OPERATIONS.values():
        shown += [model for model in (known.body, known.answer) if model is not None]
    template = "#/components/schemas/{model}"
    schemas: dict[str, Any] = {}
    for model in shown:
        schema = model.model_json_schema(by_alias=True, ref_template=template)
        # Nested models are in the list themselves.
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    return schemas
