"""The shapes that fields of messages share: hex of a size, addresses, times, receipts and problem documents.

They describe a field in an OpenAPI document and check its form; whether a signature holds is checked elsewhere.
Follows docs/spec/proxy.md, JSON Schema 2020-12 and RFC 9457.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from panachain.model import sizes
from panachain.model.policy import ReceiptKind
from panachain.proxy import messages


def _hex(size: int, description: str = "") -> Any:
    """Return the field of `size` bytes in lower-case hex."""
    return Field(pattern=f"^[0-9a-f]{{{2 * size}}}$", description=description or f"{size} bytes in hex")


def one_of(codes: type[Enum]) -> Any:
    """Return the field of one of some codes."""
    names = [code.value for code in codes]
    return Field(pattern=f"^({'|'.join(map(re.escape, names))})$", json_schema_extra={"enum": names})


Address = Annotated[
    str, Field(pattern=f"^0x[0-9a-fA-F]{{{2 * sizes.ADDRESS_SIZE}}}$", description="An account's address")
]
Hash = Annotated[str, _hex(sizes.HASH_SIZE)]
Nonce = Annotated[str, _hex(sizes.NONCE_SIZE, f"{sizes.NONCE_SIZE} random bytes in hex, used once")]
Signature = Annotated[str, _hex(sizes.SIGNATURE_SIZE, f"r ‖ s ‖ v, {sizes.SIGNATURE_SIZE} bytes in hex")]
CompactSignature = Annotated[
    str,
    _hex(sizes.COMPACT_SIGNATURE_SIZE, f"r ‖ (parity, s), {sizes.COMPACT_SIGNATURE_SIZE} bytes in hex (ERC-2098)"),
]
Capsule = Annotated[str, _hex(sizes.CAPSULE_SIZE)]
Cfrag = Annotated[str, _hex(sizes.CFRAG_SIZE)]
Bytes = Annotated[str, Field(pattern="^([0-9a-f]{2})*$", description="Bytes in hex")]
Time = Annotated[int, Field(ge=0, lt=messages.END_OF_TIME, description="Unix seconds")]
KindName = Annotated[str, one_of(ReceiptKind)]


class Message(BaseModel):
    """What all messages have in common: no field but the named ones, no conversion."""

    model_config = ConfigDict(strict=True, extra="forbid")


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
    detail: Bytes
    signature: Signature


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    type: str = Field(description="`urn:panachain:problem/` and the slug of docs/spec/proxy.md")
    title: str
    status: int
    detail: str
