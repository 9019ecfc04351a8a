"""The relay's answers as its OpenAPI description shows them, with every refusal.

They describe; what is answered is made in app.py, and a test holds the two together.
Follows OpenAPI 3.1, RFC 9457 and docs/spec/relay.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from panachain.service import problems
from panachain.service.problems import Kind
from panachain.service.relay.calls import FOREIGN, NOT_REGISTERED, NOT_SIGNED, QUOTA
from panachain.service.relay.service import BUDGET, WOULD_REVERT
from panachain.service.relay.tokens import NEEDED, SPENT
from panachain.service.shapes import Address, Message, Problem

Gas = Annotated[int, Field(ge=0)]
_ALWAYS: Final = (problems.UNAVAILABLE, problems.INTERNAL)
_POLICIES: Final = (NEEDED, SPENT)
_CALLS: Final = (NOT_SIGNED, NOT_REGISTERED, FOREIGN, QUOTA)
_ORDERS: Final = (
    *(WOULD_REVERT, BUDGET, problems.RATE, problems.INVALID, problems.BAD_REQUEST, problems.TOO_LARGE),
    *(problems.TIMEOUT, *_ALWAYS),
)


class RelayedAnswer(Message):
    """What became of a signed statement."""

    schema_: Literal["panachain/relayed/1"] = Field(alias="schema")
    state: Literal["mined", "pending"]
    tx_hash: str = Field(pattern="^(0x[0-9a-f]{64})?$", description="Empty while nothing is signed")
    block: int = Field(ge=0, description="0 while it isn't mined")
    gas_used: Gas = Field(description="Of the whole transaction, which may carry other statements too")


class RelayAnswer(Message):
    """Which network the relay serves, and what it has left."""

    schema_: Literal["panachain/relay/1"] = Field(alias="schema")
    account: Address
    chain_id: int
    policy_registry: Address
    gas_left: Gas
    gas_left_for_revocations: Gas
    token_issuer: str = Field(description="Whose tokens pay for grants; empty where anybody's grants are paid")


class CallRelayAnswer(Message):
    """Which sidechain the relay serves, and what it has left."""

    schema_: Literal["panachain/call-relay/1"] = Field(alias="schema")
    account: Address
    chain_id: int
    forwarder: Address
    gas_left: Gas
    gas_left_for_taking_back: Gas
    calls_per_day: int = Field(ge=0, description="Of one account; as many again that take something back")


class HealthAnswer(Message):
    """The process runs."""

    schema_: Literal["panachain/health/1"] = Field(alias="schema")
    relay: Address


def orders(*, calls: bool) -> dict[int | str, dict[str, Any]]:
    """Return the answers to a signed statement, by status; `calls` says that it is one for the sidechain."""
    answers = {200: _json("Mined", RelayedAnswer), 202: _json("Not mined yet", RelayedAnswer)}
    return answers | _refusals((*(_CALLS if calls else _POLICIES), *_ORDERS))


def look(summary: str, answer: type[BaseModel] | None) -> dict[int | str, dict[str, Any]]:
    """Return the answers to a GET, by status; None is text."""
    text = {"description": summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: text if answer is None else _json(summary, answer)} | _refusals(_ALWAYS)


def _json(summary: str, answer: type[BaseModel]) -> dict[str, Any]:
    return {"description": summary, "content": {"application/json": {"schema": answer.model_json_schema()}}}


def _refusals(kinds: Sequence[Kind]) -> dict[int | str, dict[str, Any]]:
    return problems.described(kinds, Problem.model_json_schema())
