"""The messages between patients, grantees and proxies, as JSON; byte strings are lower-case hex.

Neither signs nor checks a signature: chain/typed.py does. Never raises anything but the errors that it names, whatever
the bytes are: size, depth, repeated names and numbers that JSON doesn't have are refused. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import LogHead, Receipt, ReceiptKind
from panachain.model.proxy_requests import (
    DepositedLane,
    DepositRequest,
    ReceiptPart,
    ReceiptsRequest,
    ReencryptRequest,
)
from panachain.model.scope import Purpose
from panachain.model.sizes import (
    CAPSULE_SIZE,
    CFRAG_SIZE,
    COMPACT_SIGNATURE_SIZE,
    HASH_SIZE,
    KFRAG_SIZE,
    NONCE_SIZE,
    PUBLIC_SIZE,
    SEALING_SIZE,
    SIGNATURE_SIZE,
)
from panachain.model.transactions import Revocation

DEPOSIT: Final = "panachain/deposit/3"
REENCRYPT: Final = "panachain/reencrypt/2"
REVOKE: Final = "panachain/revoke/2"
DELETE: Final = "panachain/delete/1"
RECEIPTS: Final = "panachain/receipts/3"
RECEIPT: Final = "panachain/receipt/2"
LOG_HEAD: Final = "panachain/log-head/2"

MAX_CAPSULES: Final = 1000
"""Capsules of one request."""
MAX_LANES: Final = 4096
"""Lanes of one policy."""
MAX_BODY: Final = 256 << 10
"""Bytes of one request other than a deposit: 1,000 capsules of 213 bytes in JSON, and the rest."""
MAX_DEPOSIT: Final = 8 << 20
"""Bytes of one deposit: 4,096 lanes, twice in hex."""
MAX_ANSWER: Final = 8 << 20
"""Bytes of one answer."""
RECEIPTS_PAGE: Final = 256
"""Receipts of one answer: some 900 KB."""
MAX_DETAIL: Final = 16_384
"""Bytes of a receipt's sealed detail; an honest one has some 1,400, and 10 more for each capsule."""
MAX_AGE: Final = 60
"""Seconds by which a request's end may be ahead."""
END_OF_LOG: Final = 1 << 53
"""Sequences and blocks are below it: up to there every reader of JSON keeps a number exactly (RFC 8259 section 6)."""
END_OF_TIME: Final = 1 << 48
"""Unix seconds of messages are below it: the contracts keep them as uint48."""
_DEPTH: Final = 4
"""Levels of JSON that any message needs: object, list, object, one to spare."""
_BRACKETS: Final = 2 * (MAX_LANES + 16)
"""Brackets of any message: those of a deposit's lanes, and some."""
_NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_HEX: Final = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Answer:
    """What a proxy answers to a re-encryption; nothing of it is checked yet but its form."""

    cfrags: tuple[bytes, ...] = field(repr=False)
    """`CFRAG_SIZE` bytes each, in the order of the capsules."""
    receipt: Receipt
    signature: bytes
    """The proxy's, over the request, the cfrags and the receipt; `SIGNATURE_SIZE` bytes."""


def parse_json(content: bytes) -> dict[str, Any]:
    """Return the JSON object in `content`, whose size the caller has bounded.

    Raises:
        UsageError: it is no JSON object, too deep, names a field twice, or holds NaN or Infinity.
    """
    # First, because the parser would go as deep as the message says.
    _check_depth(content)
    try:
        fields = json.loads(content, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # Without its cause: the parser's message quotes what it read.
        raise UsageError("the message isn't JSON, or names a field twice") from None
    if not isinstance(fields, dict):
        raise UsageError("the message isn't a JSON object")
    return fields


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return one value's one encoding: JSON with sorted keys and no blanks; bytes are hex."""
    return json.dumps(_plain(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def reencrypt_fields(request: ReencryptRequest) -> dict[str, Any]:
    """Return a request for cfrags as it travels."""
    return {
        "schema": REENCRYPT,
        "proxy": request.proxy,
        "policy_id": request.policy_id,
        "grantee": request.grantee,
        "requester": request.requester,
        "purpose": request.purpose.value,
        "lane": request.lane,
        "capsules": [capsule.hex() for capsule in request.capsules],
        "expires_at": request.expires_at,
        "nonce": request.nonce.hex(),
        "signature": request.signature.hex(),
    }


def parse_reencrypt(fields: Mapping[str, Any]) -> ReencryptRequest:
    """Return a request for cfrags; its signature is still unchecked.

    Raises:
        UsageError: a field is missing, unknown, of the wrong type or size.
    """
    _names(fields, REENCRYPT, _REENCRYPT)
    capsules = fields["capsules"]
    if not isinstance(capsules, list) or not 0 < len(capsules) <= MAX_CAPSULES:
        raise UsageError(f"capsules must be a list of 1 to {MAX_CAPSULES}")
    return ReencryptRequest(
        proxy=Address(_address(fields, "proxy")),
        policy_id=PolicyId(_address(fields, "policy_id")),
        grantee=Address(_address(fields, "grantee")),
        requester=Address(_address(fields, "requester")),
        purpose=_purpose(fields["purpose"]),
        lane=_number(fields, "lane", MAX_LANES),
        # Only their size is looked at here; whether they are capsules, the wrapper of Umbral says, behind the
        # signature.
        capsules=tuple(_bytes(capsule, "capsules", CAPSULE_SIZE) for capsule in capsules),
        expires_at=_number(fields, "expires_at", END_OF_TIME),
        nonce=_sized(fields, "nonce", NONCE_SIZE),
        signature=_sized(fields, "signature", SIGNATURE_SIZE),
    )


def deposit_fields(request: DepositRequest) -> dict[str, Any]:
    """Return a deposit as it is sealed to its proxy."""
    return {
        "schema": DEPOSIT,
        "proxy": request.proxy,
        "policy_id": request.policy_id,
        "grantee": request.grantee,
        "receiving_key": request.receiving_key.hex(),
        "verifying_key": request.verifying_key.hex(),
        "audit_key": request.audit_key.hex(),
        "terms": request.terms.hex(),
        "purposes": [purpose.value for purpose in request.purposes],
        "lanes": [{"delegating_key": one.delegating_key.hex(), "kfrag": one.kfrag.hex()} for one in request.lanes],
        "expires_at": request.expires_at,
        "nonce": request.nonce.hex(),
        "signature": request.signature.hex(),
    }


def parse_deposit(fields: Mapping[str, Any]) -> DepositRequest:
    """Return an opened deposit; its signature is still unchecked.

    Raises:
        UsageError: a field is missing, unknown, of the wrong type or size.
    """
    _names(fields, DEPOSIT, _DEPOSIT)
    lanes, purposes = fields["lanes"], fields["purposes"]
    if not isinstance(lanes, list) or not 0 < len(lanes) <= MAX_LANES:
        raise UsageError(f"lanes must be a list of 1 to {MAX_LANES}")
    if not isinstance(purposes, list) or not 0 < len(purposes) <= len(Purpose):
        raise UsageError(f"purposes must be a list of 1 to {len(Purpose)}")
    return DepositRequest(
        proxy=Address(_address(fields, "proxy")),
        policy_id=PolicyId(_address(fields, "policy_id")),
        grantee=Address(_address(fields, "grantee")),
        receiving_key=_sized(fields, "receiving_key", PUBLIC_SIZE),
        verifying_key=_sized(fields, "verifying_key", PUBLIC_SIZE),
        audit_key=_sized(fields, "audit_key", SEALING_SIZE),
        terms=_sized(fields, "terms", HASH_SIZE),
        purposes=tuple(_purpose(purpose) for purpose in purposes),
        lanes=tuple(
            DepositedLane(_sized(lane, "delegating_key", PUBLIC_SIZE), _sized(lane, "kfrag", KFRAG_SIZE))
            for lane in lanes
        ),
        expires_at=_number(fields, "expires_at", END_OF_TIME),
        nonce=_sized(fields, "nonce", NONCE_SIZE),
        signature=_sized(fields, "signature", SIGNATURE_SIZE),
    )


def sealed_fields(sealed: bytes) -> dict[str, Any]:
    """Return a sealed deposit as it travels."""
    return {"schema": DEPOSIT, "sealed": sealed.hex()}


def parse_sealed(fields: Mapping[str, Any]) -> bytes:
    """Return the box in a deposit.

    Raises:
        UsageError: there is none.
    """
    _names(fields, DEPOSIT, ("sealed",))
    sealed = fields["sealed"]
    if not isinstance(sealed, str) or not 0 < len(sealed) <= MAX_DEPOSIT:
        raise UsageError("sealed must be bytes in lower-case hex")
    return _bytes(sealed, "sealed", len(sealed) // 2)


def receipts_fields(request: ReceiptsRequest) -> dict[str, Any]:
    """Return a request for receipts as it travels."""
    return {
        "schema": RECEIPTS,
        "proxy": request.proxy,
        "policy_id": request.policy_id,
        "part": request.part.value,
        "after": request.after,
        "expires_at": request.expires_at,
        "nonce": request.nonce.hex(),
        "signature": request.signature.hex(),
    }


def parse_receipts(fields: Mapping[str, Any]) -> ReceiptsRequest:
    """Return a request for receipts; its signature is still unchecked.

    Raises:
        UsageError: a field is missing, unknown, of the wrong type or size.
    """
    _names(fields, RECEIPTS, _RECEIPTS)
    try:
        part = ReceiptPart(fields["part"])
    except ValueError:
        raise UsageError("part must be one of the known ones") from None
    return ReceiptsRequest(
        part=part,
        after=_number(fields, "after", END_OF_LOG),
        proxy=Address(_address(fields, "proxy")),
        policy_id=PolicyId(_address(fields, "policy_id")),
        expires_at=_number(fields, "expires_at", END_OF_TIME),
        nonce=_sized(fields, "nonce", NONCE_SIZE),
        signature=_sized(fields, "signature", SIGNATURE_SIZE),
    )


def revoke_fields(policy_id: PolicyId) -> dict[str, Any]:
    """Return a call to look at a policy's revocation as it travels."""
    return {"schema": REVOKE, "policy_id": policy_id}


def parse_revoke(fields: Mapping[str, Any]) -> PolicyId:
    """Return whose revocation to look at.

    Raises:
        UsageError: a field is missing, unknown, of the wrong type or size.
    """
    _names(fields, REVOKE, ("policy_id",))
    return PolicyId(_address(fields, "policy_id"))


def delete_fields(revocation: Revocation) -> dict[str, Any]:
    """Return an order to delete what a policy has here as it travels."""
    return {"schema": DELETE, "policy_id": revocation.policy_id, "signature": revocation.signature.hex()}


def parse_delete(fields: Mapping[str, Any]) -> Revocation:
    """Return a signed revocation; its signature is still unchecked.

    Raises:
        UsageError: a field is missing, unknown, of the wrong type or size.
    """
    _names(fields, DELETE, ("policy_id", "signature"))
    return Revocation(PolicyId(_address(fields, "policy_id")), _sized(fields, "signature", COMPACT_SIGNATURE_SIZE))


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Return a proxy's answer to a re-encryption as it travels."""
    return {
        "schema": REENCRYPT,
        "cfrags": [cfrag.hex() for cfrag in answer.cfrags],
        "receipt": receipt_fields(answer.receipt),
        "signature": answer.signature.hex(),
    }


def parse_answer(fields: Any, *, count: int) -> Answer:
    """Return a proxy's answer to a re-encryption of `count` capsules; nothing of it is checked yet but its form.

    Raises:
        IntegrityError: a field is missing, of the wrong type or size, or the number of cfrags is another one.
    """
    cfrags = fields.get("cfrags") if isinstance(fields, dict) else None
    if not isinstance(cfrags, list):
        raise IntegrityError("the proxy's answer lacks a field or has one of the wrong type")
    if len(cfrags) != count:
        raise IntegrityError(f"the proxy answered {len(cfrags)} cfrags for {count} capsules")
    try:
        parsed = tuple(_bytes(cfrag, "cfrags", CFRAG_SIZE) for cfrag in cfrags)
        signature = _sized(fields, "signature", SIGNATURE_SIZE)
    except UsageError as exc:
        raise IntegrityError(f"the proxy's answer can't be read: {exc}") from None
    return Answer(parsed, parse_receipt(fields.get("receipt")), signature)


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


def head_fields(head: LogHead) -> dict[str, Any]:
    """Return the head of a proxy's log as it travels."""
    return {
        "schema": LOG_HEAD,
        "proxy": head.proxy,
        "sequence": head.sequence,
        "head": head.head.hex(),
        "signature": head.signature.hex(),
    }


def parse_head(fields: Any) -> LogHead:
    """Return the head of a proxy's log from the wire; its signature is still unchecked.

    Raises:
        IntegrityError: a field is missing or of the wrong type.
    """
    try:
        if fields["schema"] != LOG_HEAD:
            raise IntegrityError("the proxy's answer is no log head of version 2")
        return LogHead(
            proxy=Address(_address(fields, "proxy")),
            sequence=_number(fields, "sequence", END_OF_LOG),
            head=_sized(fields, "head", HASH_SIZE),
            signature=_sized(fields, "signature", SIGNATURE_SIZE),
        )
    except (KeyError, TypeError, ValueError, OverflowError, UsageError) as exc:
        raise IntegrityError("a proxy's log head lacks a field or has one of the wrong type") from exc


def page_fields(receipts: Sequence[Receipt], *, more: bool) -> dict[str, Any]:
    """Return a page of receipts as it travels.

    Args:
        receipts: in the order of the log.
        more: whether the part goes on after them.
    """
    return {"schema": RECEIPTS, "receipts": [receipt_fields(receipt) for receipt in receipts], "more": more}


def parse_page(fields: Any, *, after: int) -> tuple[list[Receipt], bool]:
    """Return a page of receipts, and whether there are more; their signatures are still unchecked.

    Args:
        fields: the answer.
        after: what was asked for; a page that doesn't go on from there would never end.

    Raises:
        IntegrityError: a field is missing or of the wrong type, the page is too long, or doesn't go on.
    """
    listed, more = (fields.get("receipts"), fields.get("more")) if isinstance(fields, Mapping) else (None, None)
    if not isinstance(listed, list) or not isinstance(more, bool) or len(listed) > RECEIPTS_PAGE:
        raise IntegrityError("the proxy answered no page of receipts")
    receipts = [parse_receipt(one) for one in listed]
    for receipt in receipts:
        if receipt.sequence <= after:
            raise IntegrityError("the proxy's page of receipts isn't in the order of its log")
        after = receipt.sequence
    if more and not receipts:
        raise IntegrityError("the proxy says that there are more receipts, and shows none")
    return receipts, more


def parse_receipt(fields: Any) -> Receipt:
    """Return a receipt from the wire; its signature is still unchecked.

    Raises:
        IntegrityError: a field is missing or of the wrong type.
    """
    try:
        if fields["schema"] != RECEIPT:
            raise IntegrityError("the proxy's answer is no receipt of version 2")
        detail = fields["detail"]
        if not isinstance(detail, str) or len(detail) > 2 * MAX_DETAIL:
            raise IntegrityError(f"a proxy's receipt has a detail that isn't at most {MAX_DETAIL} bytes")
        # Each number and text has one form: what a proxy writes in another one, it didn't sign.
        return Receipt(
            proxy=Address(_address(fields, "proxy")),
            sequence=_number(fields, "sequence", END_OF_LOG),
            previous=_sized(fields, "previous", HASH_SIZE),
            kind=ReceiptKind(fields["kind"]),
            policy_id=PolicyId(_address(fields, "policy_id")),
            at=_number(fields, "at", END_OF_TIME),
            block=_number(fields, "block", END_OF_LOG),
            count=_number(fields, "count", 1 << 32),
            detail=_bytes(detail, "detail", len(detail) // 2),
            signature=_sized(fields, "signature", SIGNATURE_SIZE),
        )
    except (KeyError, TypeError, ValueError, OverflowError, UsageError) as exc:
        raise IntegrityError("a proxy's receipt lacks a field or has one of the wrong type") from exc


_SIGNED: Final = ("proxy", "policy_id", "expires_at", "nonce", "signature")
_RECEIPTS: Final = (*_SIGNED, "part", "after")
_REENCRYPT: Final = (*_SIGNED, "grantee", "requester", "purpose", "lane", "capsules")
_DEPOSIT: Final = (
    *(*_SIGNED, "grantee", "receiving_key", "verifying_key", "audit_key"),
    *("terms", "purposes", "lanes"),
)


def _check_depth(content: bytes) -> None:
    # Brackets inside texts count too: no text of ours has one.
    brackets = content.translate(None, _NO_BRACKET)
    depth = 0
    for bracket in brackets[: _BRACKETS + 1]:
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEPTH:
            raise UsageError(f"the message nests deeper than {_DEPTH} levels")
    if len(brackets) > _BRACKETS:
        raise UsageError(f"the message has more than {_BRACKETS} brackets")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _names(fields: Mapping[str, Any], schema: str, names: Sequence[str]) -> None:
    if fields.get("schema") != schema:
        raise UsageError(f"schema must be {schema}")
    missing = sorted(set(names) - set(fields))
    if missing:
        raise UsageError(f"{missing[0]} is missing")
    # All names are there, and `schema` is one more.
    if len(fields) > len(names) + 1:
        raise UsageError("the message has a field that isn't known")


def _address(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or len(value) != 42 or value[:2] != "0x" or not _HEX.issuperset(value[2:]):
        raise UsageError(f"{name} must be an address")
    return value


def _purpose(value: Any) -> Purpose:
    try:
        return Purpose(value)
    except ValueError:
        raise UsageError("a purpose must be one of the known codes") from None


def _number(fields: Mapping[str, Any], name: str, limit: int) -> int:
    value = fields[name]
    # In Python True is a whole number too; in JSON it isn't.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise UsageError(f"{name} must be a whole number from 0 to below {limit}")
    return value


def _sized(fields: Any, name: str, size: int) -> bytes:
    return _bytes(fields.get(name) if isinstance(fields, Mapping) else None, name, size)


def _bytes(value: Any, name: str, size: int) -> bytes:
    parsed = None
    if isinstance(value, str) and len(value) == 2 * size:
        with contextlib.suppress(ValueError):
            parsed = bytes.fromhex(value)
    # `fromhex` takes blanks and capitals too, and one value would have several encodings. The error is made only where
    # it is raised: a deposit has thousands of fields.
    if parsed is None or parsed.hex() != value:
        raise UsageError(f"{name} must be {size} bytes in lower-case hex")
    return parsed


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
