"""What is signed for proxies: the structs of the specification, hashed as an independent encoder hashes them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_abi import encode
from eth_account.messages import encode_typed_data
from eth_utils import keccak

from panachain.chain.signing import Account
from panachain.chain.typed import (
    answer_signer,
    hash_struct,
    proxy_domain,
    request_hash,
    sign_answer,
    sign_request,
    signer_of,
)
from panachain.errors import IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.proxy_requests import DepositedLane, DepositRequest, ReceiptPart, ReceiptsRequest, ReencryptRequest
from panachain.model.scope import Purpose

WHERE = "0x" + "c0" * 20
DOMAIN = proxy_domain(5, WHERE)
ACCOUNT = Account(b"\x01" * 32)
A, B = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
POLICY = PolicyId("0x" + "33" * 20)
REENCRYPT = ReencryptRequest(
    proxy=A,
    policy_id=POLICY,
    grantee=B,
    requester=ACCOUNT.address,
    purpose=Purpose.TREAT,
    lane=1,
    capsules=(b"\x01" * 98,),
    expires_at=50,
    nonce=b"\x07" * 16,
)
DEPOSIT = DepositRequest(
    proxy=A,
    policy_id=POLICY,
    grantee=B,
    receiving_key=b"\x02" * 33,
    verifying_key=b"\x02" * 33,
    audit_key=b"\x03" * 1216,
    terms=b"\x05" * 32,
    purposes=(Purpose.TREAT, Purpose.HRESCH),
    lanes=(DepositedLane(b"\x02" * 33, b"\x09" * 260),),
    expires_at=50,
    nonce=b"\x07" * 16,
)
RECEIPTS = ReceiptsRequest(A, POLICY, 50, b"\x07" * 16)
ALL = (REENCRYPT, DEPOSIT, RECEIPTS)
OTHER: dict[type, Any] = {str: B, bytes: b"\x08", int: 51}


def changed(request: Any, name: str) -> Any:
    """Return a request of which one field is another."""
    value = getattr(request, name)
    if isinstance(value, tuple):
        return replace(request, **{name: value * 2})
    if isinstance(value, bytes):
        return replace(request, **{name: bytes(255 - byte for byte in value)})
    if isinstance(value, Purpose):
        return replace(request, **{name: Purpose.HRESCH})
    if isinstance(value, ReceiptPart):
        return replace(request, **{name: ReceiptPart.REFUSED})
    return replace(request, **{name: value + 1 if isinstance(value, int) else "0x" + "44" * 20})


def test_the_smallest_struct_is_hashed_as_the_oracle_hashes_it() -> None:
    domain = {"name": "PanaChain Proxy", "version": "2", "chainId": 5, "verifyingContract": WHERE}
    kinds = {"proxy": "address", "policyId": "address", "part": "string", "after": "uint64"}
    kinds |= {"expiresAt": "uint64", "nonce": "bytes16"}
    types = {"Receipts": [{"name": name, "type": kind} for name, kind in kinds.items()]}
    message = {"proxy": A, "policyId": POLICY, "part": "served", "after": 0, "expiresAt": 50, "nonce": b"\x07" * 16}
    oracle = encode_typed_data(domain, types, message)
    assert (oracle.header, oracle.body) == (DOMAIN, request_hash(RECEIPTS))


@pytest.mark.parametrize("request_", ALL, ids=lambda one: type(one).__name__)
class TestRequests:
    def test_is_its_signers(self, request_: Any) -> None:
        signed = sign_request(ACCOUNT, DOMAIN, request_)
        assert signer_of(DOMAIN, signed) == ACCOUNT.address
        assert signer_of(proxy_domain(6, WHERE), signed) != ACCOUNT.address
        assert signer_of(proxy_domain(5, A), signed) != ACCOUNT.address

    def test_every_field_is_signed(self, request_: Any) -> None:
        signed = sign_request(ACCOUNT, DOMAIN, request_)
        for name in (field.name for field in fields(request_) if field.name != "signature"):
            assert signer_of(DOMAIN, changed(signed, name)) != ACCOUNT.address, name

    @pytest.mark.parametrize("signature", [b"", b"\x01" * 64, bytes(65), b"\xff" * 65])
    def test_what_is_no_signature_is_nobodys(self, request_: Any, signature: bytes) -> None:
        assert signer_of(DOMAIN, replace(request_, signature=signature)) is None

    @pytest.mark.parametrize("change", [{"expires_at": -1}, {"expires_at": 1 << 64}, {"nonce": b""}, {"proxy": "x"}])
    def test_what_does_not_fit_the_struct_is_told(self, request_: Any, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError, match="doesn't fit the contract's struct"):
            request_hash(replace(request_, **change))


def test_no_request_is_mistaken_for_one_of_another_kind() -> None:
    assert len({request_hash(one) for one in ALL}) == len(ALL)
    with pytest.raises(TypeError, match="is no request to a proxy"):
        request_hash("text")


def test_a_struct_is_its_type_and_its_words() -> None:
    assert hash_struct(b"\x01" * 32, ["uint8"], [5]) == keccak(encode(["bytes32", "uint8"], [b"\x01" * 32, 5]))


class TestAnswers:
    GIVEN: dict[str, Any] = {"request": request_hash(REENCRYPT), "cfrags": [b"a" * 381, b"b" * 381]}  # noqa: RUF012

    def test_is_bound_to_request_cfrags_and_receipt(self) -> None:
        signature = sign_answer(ACCOUNT, DOMAIN, **self.GIVEN, receipt=b"\x05" * 32)
        good = self.GIVEN | {"receipt": b"\x05" * 32, "signature": signature}
        assert answer_signer(DOMAIN, **good) == ACCOUNT.address
        for change in (
            {"request": request_hash(RECEIPTS)},
            {"cfrags": good["cfrags"][::-1]},
            {"cfrags": good["cfrags"][:1]},
            {"receipt": bytes(32)},
        ):
            assert answer_signer(DOMAIN, **(good | change)) != ACCOUNT.address
        assert answer_signer(DOMAIN, **(good | {"signature": b""})) is None
