"""The proxy's messages as its OpenAPI description shows them.

They describe; proxy/messages.py checks, and a test holds the two together. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from panachain.consent import log_proof
from panachain.model.proxy_requests import ReceiptPart
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.service.shapes import (
    Address,
    Capsule,
    Cfrag,
    CompactSignature,
    Hash,
    Message,
    Nonce,
    ReceiptBody,
    Signature,
    Time,
    one_of,
)

PurposeName = Annotated[str, one_of(Purpose)]
Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})*$")]
PartName = Annotated[str, one_of(ReceiptPart)]


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

    schema_: Literal["panachain/deposit/3"] = Field(alias="schema")
    sealed: str = Field(pattern="^([0-9a-f]{2})+$", max_length=messages.MAX_DEPOSIT)


class RevokeBody(Message):
    """A call to look at the chain, and to delete what a revoked policy has here."""

    schema_: Literal["panachain/revoke/2"] = Field(alias="schema")
    policy_id: Address


class DeleteBody(Message):
    """An order to delete what a policy has here: its revocation as its owner signed it (EIP-712, struct `Revoke`)."""

    schema_: Literal["panachain/delete/1"] = Field(alias="schema")
    policy_id: Address
    signature: CompactSignature


class ReceiptsBody(Message):
    """A request for a policy's receipts, signed by its one-time account (EIP-712, struct `Receipts`)."""

    schema_: Literal["panachain/receipts/3"] = Field(alias="schema")
    proxy: Address
    policy_id: Address
    part: PartName
    after: int = Field(ge=0, lt=messages.END_OF_LOG)
    expires_at: Time
    nonce: Nonce
    signature: Signature


class ReencryptAnswer(Message):
    """cfrags in the order of the capsules, their receipt, and the proxy's signature (EIP-712, struct `Answer`)."""

    schema_: Literal["panachain/reencrypt/2"] = Field(alias="schema")
    cfrags: list[Cfrag]
    receipt: ReceiptBody
    signature: Signature


class DepositAnswer(Message):
    """The receipt `deposited`."""

    schema_: Literal["panachain/deposit/3"] = Field(alias="schema")
    receipt: ReceiptBody


class RevokeAnswer(Message):
    """The receipt `deleted`."""

    schema_: Literal["panachain/revoke/2"] = Field(alias="schema")
    receipt: ReceiptBody


class DeleteAnswer(Message):
    """The receipt `deleted`."""

    schema_: Literal["panachain/delete/1"] = Field(alias="schema")
    receipt: ReceiptBody


class ReceiptsAnswer(Message):
    """A page of one part of a policy's receipts, in the order of the log."""

    schema_: Literal["panachain/receipts/3"] = Field(alias="schema")
    receipts: list[ReceiptBody] = Field(max_length=messages.RECEIPTS_PAGE)
    more: bool = Field(description="Whether the part goes on after these")


class ProofItem(Message):
    """One number of an epoch: that it is there and where in the log, or that it isn't."""

    epoch: int = Field(ge=0)
    number: int = Field(ge=0)
    rows: list[Hex] = Field(max_length=2, description="Place (8 bytes), row (72 bytes) and path, of one or two rows")
    path: Hex = Field(description="From the receipt's leaf to the log's root; empty for a number that isn't there")


class ProofAnswer(Message):
    """A page of the proof of which receipts of a policy there are."""

    schema_: Literal["panachain/log-proof/1"] = Field(alias="schema")
    checkpoint: str = Field(description="A signed note (C2SP tlog-checkpoint)")
    maps: Hex = Field(description="Rows (4 bytes) and tree hash (32 bytes) of each epoch's map")
    items: list[ProofItem] = Field(max_length=log_proof.PAGE)
    cosigned: str = Field(description="The newest checkpoint that others cosigned; empty for none")
    growth: Hex = Field(description="Proof that the log grew from there")


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
