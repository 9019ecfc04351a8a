"""The messages between patients, grantees and proxies, as canonical JSON.

Neither signs nor checks a signature: callers do, with what `signed_bytes` returns. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from panachain.errors import IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind

DEPOSIT: Final = "panachain/deposit/1"
REENCRYPT: Final = "panachain/reencrypt/1"
REVOKE: Final = "panachain/revoke/1"
RECEIPTS: Final = "panachain/receipts/1"
RECEIPT: Final = "panachain/receipt/2"

MAX_CAPSULES: Final = 1000
"""Capsules of one request."""
MAX_BODY: Final = 4 << 20
"""Bytes of one request."""
MAX_AGE: Final = 60
"""Seconds for which a signed request counts."""


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return one value's one encoding: JSON with sorted keys and no blanks; bytes are hex."""
    return json.dumps(_plain(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def signed_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return what a request's signature covers: everything but the signature."""
    return canonical({name: value for name, value in fields.items() if name != "signature"})


def receipt_fields(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as it travels."""
    return {
        "schema": RECEIPT,
        "proxy": receipt.proxy,
        "sequence": receipt.sequence,
        "previous": receipt.previous.hex(),
        "kind": receipt.kind.value,
        "policy_id": receipt.policy_id,
        "at": receipt.at,
        "block": receipt.block,
        "count": receipt.count,
        "detail": receipt.detail.hex(),
        "signature": receipt.signature.hex(),
    }


def parse_receipt(fields: Any) -> Receipt:
    """Return a receipt from the wire; its signature is still unchecked.

    Raises:
        IntegrityError: a field is missing or of the wrong type.
    """
    try:
        if fields["schema"] != RECEIPT:
            raise IntegrityError("the proxy's answer is no receipt of version 2")
        return Receipt(
            proxy=Address(str(fields["proxy"])),
            sequence=int(fields["sequence"]),
            previous=bytes.fromhex(fields["previous"]),
            kind=ReceiptKind(fields["kind"]),
            policy_id=PolicyId(str(fields["policy_id"])),
            at=int(fields["at"]),
            block=int(fields["block"]),
            count=int(fields["count"]),
            detail=bytes.fromhex(fields["detail"]),
            signature=bytes.fromhex(fields["signature"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError("a proxy's receipt lacks a field or has one of the wrong type") from exc


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
