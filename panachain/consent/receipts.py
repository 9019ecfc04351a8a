"""Receipts: checking what a proxy signed, and opening what it sealed to the patient.

Follows docs/spec/proxy.md (`panachain/receipt/2`).
"""

from __future__ import annotations

import json
from typing import Any

from panachain.chain.receipts import check_head, receipt_hash
from panachain.crypto import box, labels, umbral
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.policy import Receipt


def check_receipt(receipt: Receipt, *, proxy: Address, domain: bytes) -> None:
    """Check that a proxy signed a receipt, so that it convicts the proxy if it tells of a wrong.

    Args:
        receipt: what the proxy handed out.
        proxy: whose it must be.
        domain: of the access log that judges it (`Mainchain.log_domain`).

    Raises:
        IntegrityError: another proxy is named, or the signature doesn't fit.
    """
    if receipt.proxy != proxy:
        raise IntegrityError(f"the receipt names proxy {receipt.proxy}, expected {proxy}")
    head = receipt_hash(receipt)
    check_head(domain, proxy=proxy, sequence=receipt.sequence, head=head, signature=receipt.signature)


def open_detail(receipt: Receipt, audit: umbral.SecretKey) -> dict[str, Any]:
    """Return what a receipt tells the patient only: who asked, for which purpose and lane.

    Raises:
        IntegrityError: it doesn't open with this audit key.
    """
    if not receipt.detail:
        return {}
    try:
        detail: dict[str, Any] = json.loads(box.open_box(audit, receipt.detail, labels.RECEIPT_DETAIL))
    except ValueError as exc:
        raise IntegrityError(f"receipt {receipt.sequence} of proxy {receipt.proxy} holds no JSON") from exc
    return detail
