"""Receipts: checking what a proxy signed, and opening what it sealed to the patient.

Follows docs/spec/proxy.md (`panachain/receipt/2`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from panachain.chain.receipts import check_head, receipt_hash
from panachain.consent.times import MAX_DIFFERENCE
from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError
from panachain.ethereum import parse_address
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind

MAX_LAG: Final = 120
"""Seconds by which a proxy's newest block may be older than the client's."""
MAX_LEAD: Final = MAX_DIFFERENCE
"""Seconds by which a receipt may be ahead of the client's clock."""
MARK_SIZE: Final = 6
"""Bytes by which a receipt names a capsule."""
_MOST_MARKS: Final = 1000
"""Capsules of one request (docs/spec/proxy.md)."""
_MAX_PURPOSE: Final = 32
"""Characters of a purpose's code, also of one that only newer programs know."""


def check_receipt(
    receipt: Receipt,
    *,
    proxy: Address,
    domain: bytes,
    policy_id: PolicyId,
    kind: ReceiptKind | None = None,
    not_before: int = 0,
    now: float | None = None,
) -> None:
    """Check that a proxy signed a receipt, so that it convicts the proxy if it tells of a wrong.

    Args:
        receipt: what the proxy handed out.
        proxy: whose it must be.
        domain: of the access log that judges it (`Mainchain.log.domain`).
        policy_id: which policy it must be about.
        kind: what it must be a receipt for; None takes any. A proxy that serves and signs something else could never
            be convicted of it.
        not_before: time of the newest block that the client knew when it asked. A proxy that states a much older one
            to hide a late service convicts itself of nothing (ADR 6), so such a receipt is no receipt.
        now: the client's clock, Unix seconds; None where the time doesn't count. A receipt from the future could
            convict a proxy that was honest.

    Raises:
        IntegrityError: another proxy, policy or kind is named, the signature doesn't fit, or the block is too old or
            from the future.
    """
    if receipt.policy_id != policy_id or kind not in (None, receipt.kind):
        raise IntegrityError(f"the receipt of proxy {proxy} is about something else: {receipt.kind.value}")
    # More than the lag that an honest proxy may have.
    if receipt.at + MAX_LAG < not_before:
        raise IntegrityError(f"proxy {proxy} looked at a block of {receipt.at}, {not_before - receipt.at} s behind")
    if now is not None and receipt.at > int(now) + MAX_LEAD:
        raise IntegrityError(f"proxy {proxy} states a block of {receipt.at}, {receipt.at - int(now)} s from now")
    if receipt.proxy != proxy:
        raise IntegrityError(f"the receipt names proxy {receipt.proxy}, expected {proxy}")
    head = receipt_hash(receipt)
    check_head(domain, proxy=proxy, sequence=receipt.sequence, head=head, signature=receipt.signature)


def opened_detail(receipt: Receipt, audit: SealingKey) -> bytes | None:
    """Return the bytes of what a receipt tells the patient only, or None where they don't open with this audit key."""
    try:
        return box.open_box(audit, receipt.detail, labels.RECEIPT_DETAIL) if receipt.detail else b""
    except IntegrityError:
        return None


def mark_of(capsule: bytes) -> bytes:
    """Return by which bytes a receipt names a capsule: whoever has the envelope finds it, and nobody else."""
    return sha256(labels.CAPSULE_MARK + capsule).digest()[:MARK_SIZE]


def marks_text(capsules: Iterable[bytes]) -> str:
    """Return the marks of capsules as a receipt's detail has them: base64 of one after the other."""
    return b64encode(b"".join(map(mark_of, capsules))).decode()


def marks_in(detail: dict[str, Any]) -> frozenset[bytes]:
    """Return the marks of the capsules that a proxy says it re-encrypted; see `read_detail`."""
    marks: bytes = detail.get("opened", b"")
    return frozenset(marks[start : start + MARK_SIZE] for start in range(0, len(marks), MARK_SIZE))


def read_detail(receipt: Receipt, plain: bytes | None) -> dict[str, Any]:
    """Return what a receipt tells the patient only: who asked, for which purpose, lane and capsules.

    Args:
        receipt: what the proxy handed out.
        plain: what `opened_detail` gave.

    Raises:
        IntegrityError: it didn't open, or isn't what a proxy writes.
    """
    if not receipt.detail:
        return {}
    if plain is None:
        raise IntegrityError(f"receipt {receipt.sequence} of proxy {receipt.proxy} isn't sealed to this patient")
    try:
        return _checked(json.loads(plain))
    except (ValueError, TypeError, RecursionError) as exc:
        raise IntegrityError(
            f"receipt {receipt.sequence} of proxy {receipt.proxy} doesn't tell who asked for what"
        ) from exc


def _checked(detail: Any) -> dict[str, Any]:
    """Return a detail: people are addresses in their one spelling, the lane is a number, the marks are bytes.

    A proxy seals what it likes: a name of this machine's in place of an address would be shown as if it were known.

    Raises:
        ValueError, TypeError: it isn't what a proxy writes.
    """
    if not isinstance(detail, dict):
        raise TypeError("no object")
    people = {name: parse_address(detail[name]) for name in ("requester", "grantee") if name in detail}
    lane, purpose = detail.get("lane", 0), detail.get("purpose", "")
    if type(lane) is not int or lane < 0 or not isinstance(purpose, str) or len(purpose) > _MAX_PURPOSE:
        raise ValueError("no lane or no purpose")
    checked = detail | people
    if "opened" in detail:
        checked["opened"] = b64decode(detail["opened"], validate=True)
        if len(checked["opened"]) % MARK_SIZE or len(checked["opened"]) > MARK_SIZE * _MOST_MARKS:
            raise ValueError("no marks")
    return checked
