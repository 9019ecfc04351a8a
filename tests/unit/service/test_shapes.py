"""Shapes of fields: sizes as cryptography and chain have them, one encoding for each value, no unknown field."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from panachain.chain.signing import Account, compact
from panachain.crypto import umbral
from panachain.model import sizes
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.proxy import messages
from panachain.service import shapes

ACCOUNT = Account(b"\x07" * 32)
WRAP = umbral.wrap(umbral.SecretKey.random().public, os.urandom(32))
SIGNED = ACCOUNT.sign_digest(bytes(32))
SAMPLES = [
    (shapes.Hash, os.urandom(32)),
    (shapes.Nonce, os.urandom(16)),
    (shapes.Signature, SIGNED),
    (shapes.CompactSignature, compact(SIGNED)),
    (shapes.Capsule, umbral.capsule_of(WRAP)),
    (shapes.Cfrag, bytes(sizes.CFRAG_SIZE)),
]


def fits(shape: Any, value: object) -> bool:
    try:
        TypeAdapter(shape).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


# Named, since the values are drawn anew in each process and tests must have the same names in all.
@pytest.mark.parametrize(
    ("shape", "value"),
    SAMPLES,
    ids=["hash", "nonce", "signature", "compact signature", "capsule", "cfrag"],
)
def test_what_is_really_made_fits_and_nothing_of_another_size_or_form(shape: Any, value: bytes) -> None:
    text = value.hex()
    assert fits(shape, text)
    wrong = [text[:-2], text + "00", text[:-1], text[:-2] + "zz", text + "\n", " " + text[1:], "", None, 7, value]
    assert [one for one in wrong if fits(shape, one)] == []
    assert not fits(shape, "AB" * len(value))


def test_umbrals_parts_have_the_sizes_that_messages_expect() -> None:
    delegating, receiving = umbral.SecretKey.random(), umbral.SecretKey.random()
    signer = umbral.Signer(umbral.SecretKey.random())
    kfrag, _ = umbral.delegate(delegating, receiving.public, signer, threshold=2, shares=2)
    keys = {"verifying": signer.public, "delegating": delegating.public, "receiving": receiving.public}
    capsule = umbral.capsule_of(umbral.wrap(delegating.public, os.urandom(32)))
    (cfrag,) = umbral.reencrypt_many([capsule], umbral.check_kfrag(kfrag, **keys), **keys)
    assert (len(kfrag), len(capsule), len(cfrag)) == (sizes.KFRAG_SIZE, sizes.CAPSULE_SIZE, sizes.CFRAG_SIZE)
    assert len(receiving.public) == sizes.PUBLIC_SIZE
    assert (len(SIGNED), len(compact(SIGNED))) == (sizes.SIGNATURE_SIZE, sizes.COMPACT_SIGNATURE_SIZE)


@pytest.mark.parametrize("value", ["0x" + "Aa" * 20, ACCOUNT.address])
def test_an_address_in_any_case_fits(value: str) -> None:
    assert fits(shapes.Address, value)


@pytest.mark.parametrize("value", ["aa" * 20, "0x" + "aa" * 19, "0x" + "aa" * 21, "0X" + "aa" * 20, "0x" + "g" * 40])
def test_what_is_no_address_does_not(value: str) -> None:
    assert not fits(shapes.Address, value)


@pytest.mark.parametrize(
    ("value", "good"), [(0, True), ((1 << 48) - 1, True), (1 << 48, False), (-1, False), (1.0, False)]
)
def test_times_are_those_of_the_contracts(value: object, good: bool) -> None:
    assert fits(shapes.Time, value) is good


def test_a_receipt_as_it_travels_fits_and_with_a_field_more_or_less_it_does_not() -> None:
    receipt = Receipt(
        proxy=Address(ACCOUNT.address),
        sequence=1,
        previous=bytes(32),
        kind=ReceiptKind.DELETED,
        policy_id=PolicyId("0x" + "22" * 20),
        at=5,
        block=6,
        count=7,
        detail=b"",
        signature=SIGNED,
    )
    fields = messages.receipt_fields(receipt)
    assert fits(shapes.ReceiptBody, fields)
    assert not fits(shapes.ReceiptBody, fields | {"more": 1})
    for name in fields:
        assert not fits(shapes.ReceiptBody, {key: value for key, value in fields.items() if key != name})
