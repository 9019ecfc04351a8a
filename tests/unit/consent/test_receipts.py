"""What a proxy seals into a receipt for the patient is read as what it is, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.receipts import log_domain, receipt_hash, sign_head
from panachain.chain.signing import Account
from panachain.consent.receipts import (
    MARK_SIZE,
    MAX_LAG,
    MAX_LEAD,
    check_receipt,
    mark_of,
    marks_in,
    marks_text,
    opened_detail,
    read_detail,
)
from panachain.crypto import box, labels
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ethereum import checksum_address
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt, ReceiptKind

AUDIT = Seed(b"\1" * 32).audit()
DOCTOR = checksum_address(b"\xab" * 20)
DETAIL = {"requester": DOCTOR, "grantee": DOCTOR, "purpose": "TREAT", "lane": 0, "capsules": 1}


def opened(content: object) -> dict[str, Any]:
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    sealed = box.seal_to(AUDIT.public, plain, labels.RECEIPT_DETAIL)
    receipt = Receipt(
        checksum_address(b"\1" * 20),
        *(1, bytes(32), ReceiptKind.REENCRYPTED, PolicyId(checksum_address(b"\2" * 20))),
        *(1, 1, 1, sealed, bytes(65)),
    )
    return read_detail(receipt, opened_detail(receipt, AUDIT))


def test_people_come_in_their_one_spelling_so_that_names_of_this_machine_fit() -> None:
    assert opened(DETAIL) == DETAIL
    assert opened(DETAIL | {"requester": DOCTOR.lower()})["requester"] == DOCTOR


def test_what_a_proxy_does_not_say_is_filled_with_nothing() -> None:
    receipt = replace(receipt_of(NOW), detail=b"")
    assert opened_detail(receipt, AUDIT) == b""
    assert read_detail(receipt, b"") == {}
    assert read_detail(receipt, None) == {}
    assert opened({}) == {}


def test_a_detail_that_is_sealed_to_somebody_else_names_the_proxy() -> None:
    sealed = box.seal_to(Seed(b"\2" * 32).audit().public, json.dumps(DETAIL).encode(), labels.RECEIPT_DETAIL)
    receipt = replace(receipt_of(NOW), detail=sealed)
    assert opened_detail(receipt, AUDIT) is None
    with pytest.raises(IntegrityError, match=rf"receipt 1 of proxy {PROXY.address} isn't sealed to this patient"):
        read_detail(receipt, None)


def test_a_purpose_has_up_to_32_characters() -> None:
    assert opened(DETAIL | {"purpose": "T" * 32})["purpose"] == "T" * 32


@pytest.mark.parametrize(
    "content",
    [
        b"no JSON",
        b"[" * 3000,
        [],
        "text",
        None,
        *(DETAIL | {"requester": who} for who in ("cardiologist", "pra-vovkxk5lvovkw", "", None, 7, DOCTOR[:10])),
        DETAIL | {"grantee": "my team"},
        *(DETAIL | {"lane": lane} for lane in (-1, -100, True, "0", 0.5, None)),
        *(DETAIL | {"purpose": purpose} for purpose in (7, None, "T" * 33)),
        # No base64, of another alphabet, no whole marks, more than one request has.
        *(DETAIL | {"opened": text} for text in (7, None, "?", "AAAAAAA_", "AAAA", "AAAAAAAA" * 1001)),
    ],
    ids=repr,
)
def test_what_no_proxy_writes_is_a_lie_that_names_the_proxy(content: object) -> None:
    with pytest.raises(IntegrityError, match="receipt 1 of proxy 0x0101"):
        opened(content)


NOW = 1_800_000_000
DOMAIN = log_domain(1, "0x" + "22" * 20)
PROXY = Account(b"\x05" * 32)


def receipt_of(at: int) -> Receipt:
    """Return a receipt that a proxy signed."""
    unsigned = Receipt(
        PROXY.address,
        *(1, bytes(32), ReceiptKind.REENCRYPTED, PolicyId(checksum_address(b"\2" * 20))),
        *(at, 1, 1, b"", b""),
    )
    signature = sign_head(PROXY, DOMAIN, sequence=1, head=receipt_hash(unsigned))
    return replace(unsigned, signature=signature)


@pytest.mark.parametrize("at", [NOW + MAX_LEAD, NOW, NOW - 86_400])
def test_a_receipt_up_to_now_is_evidence(at: int) -> None:
    receipt = receipt_of(at)
    check_receipt(receipt, proxy=PROXY.address, domain=DOMAIN, policy_id=receipt.policy_id, now=NOW + 0.9)


@pytest.mark.parametrize("ahead", [MAX_LEAD + 1, 3600, 30 * 86_400])
def test_a_receipt_from_the_future_is_none(ahead: int) -> None:
    """It would convict a proxy that was honest, once the patient revokes."""
    receipt = receipt_of(NOW + ahead)
    named = {"proxy": PROXY.address, "domain": DOMAIN, "policy_id": receipt.policy_id}
    with pytest.raises(IntegrityError, match=f"{ahead} s from now"):
        check_receipt(receipt, **named, now=NOW)
    # Where no clock counts, the signature does.
    check_receipt(receipt, **named)


def test_a_receipt_that_its_proxy_did_not_sign_is_none() -> None:
    receipt, other = receipt_of(NOW), Account(b"\x06" * 32)
    named = {"domain": DOMAIN, "policy_id": receipt.policy_id}
    forged = sign_head(other, DOMAIN, sequence=1, head=receipt_hash(receipt))
    for bad in (bytes(65), forged, receipt.signature[:64] + bytes([receipt.signature[64] ^ 1])):
        with pytest.raises(IntegrityError):
            check_receipt(replace(receipt, signature=bad), proxy=PROXY.address, **named)
    with pytest.raises(IntegrityError):
        check_receipt(replace(receipt, sequence=2), proxy=PROXY.address, **named)
    with pytest.raises(IntegrityError, match="the receipt names proxy"):
        check_receipt(receipt, proxy=other.address, **named)


def test_a_receipt_is_of_its_policy_its_kind_and_a_block_that_is_new_enough() -> None:
    receipt = receipt_of(NOW)
    named = {"proxy": PROXY.address, "domain": DOMAIN}
    check_receipt(receipt, policy_id=receipt.policy_id, kind=receipt.kind, not_before=NOW + MAX_LAG, **named)
    with pytest.raises(IntegrityError, match="something else"):
        check_receipt(receipt, policy_id=PolicyId(DOCTOR), **named)
    with pytest.raises(IntegrityError, match="something else"):
        check_receipt(receipt, policy_id=receipt.policy_id, kind=ReceiptKind.DELETED, **named)
    with pytest.raises(IntegrityError, match=f"{MAX_LAG + 1} s behind"):
        check_receipt(receipt, policy_id=receipt.policy_id, not_before=NOW + MAX_LAG + 1, **named)


def test_a_receipt_names_capsules_by_marks_that_only_whoever_has_them_can_make() -> None:
    capsules = [bytes([n]) * 105 for n in range(200)]
    detail = opened(DETAIL | {"opened": marks_text(capsules)})
    assert marks_in(detail) == set(map(mark_of, capsules))
    assert {len(mark) for mark in marks_in(detail)} == {MARK_SIZE}
    assert mark_of(b"\xff" * 105) not in marks_in(detail)
    # Receipts about anything else name none.
    assert marks_in(opened(DETAIL)) == marks_in({}) == frozenset()
