"""The proxy's messages as its OpenAPI description shows them.

They describe; proxy/messages.py checks, and a test holds the two together. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from panachain.model.policy import ReceiptKind
from panachain.model.scope import Purpose
from panachain.proxy import messages

_HEX = "[0-9a-f]"
Address = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$", description="An account's address")]
Signature = Annotated[str, Field(pattern=f"^{_HEX}{{130}}$", description="r ‖ s ‖ v, 65 bytes in hex")]
Nonce = Annotated[str, Field(pattern=f"^{_HEX}{{32}}$", description="16 random bytes in hex, used once")]
Hash = Annotated[str, Field(pattern=f"^{_HEX}{{64}}$", description="32 bytes in hex")]
Capsule = Annotated[str, Field(pattern=f"^{_HEX}{{210}}$")]
Cfrag = Annotated[str, Field(pattern=f"^{_HEX}{{762}}$")]
Time = Annotated[int, Field(ge=0, lt=1 << 48, description="Unix seconds")]
PurposeName = Annotated[str, Field(json_schema_extra={"enum": [purpose.value for purpose in Purpose]})]
KindName = Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in ReceiptKind]})]


class Message(BaseModel):
    """What all messages have in common: no field but the named ones, no conversion."""

    model_config = ConfigDict(strict=True, extra="forbid")


class ReencryptBody(Message):
    """A request for cfrags, signed by its requester (EIP-712, struct `Reencrypt`)."""

    schema_: Literal["panachain/reencrypt/2"] = Field(alias="schema")
    proxy: Address
    policy_id: Address
    grantee: Address
    requester: Address
    purpose: PurposeName
    lane: int = Field(ge=0, lt=messages.MAX_LANES)
    capsules: list[Capsule] = Field(min_length=1, max_length=messages.MAX_CAPSULES)
    expires_at: Time
    nonce: Nonce
    signature: Signature


class DepositBody(Message):
    """A deposit, sealed to the proxy; what is inside stands in docs/spec/proxy.md (EIP-712, struct `Deposit`)."""

    schema_: Literal["panachain/deposit/2"] = Field(alias="schema")
    sealed: str = Field(pattern=f"^({_HEX}{{2}})+$", max_length=messages.MAX_DEPOSIT)


class RevokeBody(Message):
    """A call to look at the chain, and to delete what a revoked policy has here."""

    schema_: Literal["panachain/revoke/2"] = Field(alias="schema")
    policy_id: Address


class ReceiptsBody(Message):
    """A request for a policy's receipts, signed by its one-time account (EIP-712, struct `Receipts`)."""

    schema_: Literal["panachain/receipts/2"] = Field(alias="schema")
    proxy: Address
    policy_id: Address
    expires_at: Time
    nonce: Nonce
    signature: Signature


class ReceiptBody(Message):
    """A receipt, one entry of the proxy's log."""

    schema_: Literal["panachain/receipt/2"] = Field(alias="schema")
    proxy: Address
    sequence: int = Field(ge=1)
    previous: Hash
    kind: KindName
    policy_id: Address
    at: Time
    block: int = Field(ge=0)
    count: int = Field(ge=0)
    detail: str = Field(pattern=f"^({_HEX}{{2}})*$")
    signature: Signature


class ReencryptAnswer(Message):
    """cfrags in the order of the capsules, their receipt, and the proxy's signature (EIP-712, struct `Answer`)."""

    schema_: Literal["panachain/reencrypt/2"] = Field(alias="schema")
    cfrags: list[Cfrag]
    receipt: ReceiptBody
    signature: Signature


class DepositAnswer(Message):
    """The receipt `deposited`."""

    schema_: Literal["panachain/deposit/2"] = Field(alias="schema")
    receipt: ReceiptBody


class RevokeAnswer(Message):
    """The receipt `deleted`."""

    schema_: Literal["panachain/revoke/2"] = Field(alias="schema")
    receipt: ReceiptBody


class ReceiptsAnswer(Message):
    """A policy's receipts in the order of the log."""

    schema_: Literal["panachain/receipts/2"] = Field(alias="schema")
    receipts: list[ReceiptBody]


class HeadAnswer(Message):
    """The signed head of the receipt log."""

    schema_: Literal["panachain/log-head/2"] = Field(alias="schema")
    proxy: Address
    sequence: int = Field(ge=0)
    head: Hash
    signature: Signature


class HealthAnswer(Message):
    """The process runs."""

    schema_: Literal["panachain/health/1"] = Field(alias="schema")
    proxy: Address


class ReadyAnswer(Message):
    """The proxy can serve."""

    schema_: Literal["panachain/ready/1"] = Field(alias="schema")
    proxy: Address


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    type: str = Field(description="`urn:panachain:problem/` and the slug of docs/spec/proxy.md")
    title: str
    status: int
    detail: str
