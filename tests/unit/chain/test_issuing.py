"""Requests for tokens are a patient's, for one chain, period and list of what is to be signed."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from eth_account.messages import encode_typed_data

from panachain.chain.issuing import TokenRequest, _digest, issuer_domain, sign_token_request, signer_of
from panachain.chain.signing import Account
from panachain.ethereum import keccak

ACCOUNT = Account(b"\x05" * 32)
WHERE = "0x" + "33" * 20
DOMAIN = issuer_domain(5, WHERE)
REQUEST = TokenRequest(ACCOUNT.address, 7, (b"a" * 256, b"b" * 256), 50)


def test_is_hashed_as_the_oracle_hashes_it() -> None:
    domain = {"name": "PanaChain Issuer", "version": "1", "chainId": 5, "verifyingContract": WHERE}
    kinds = {"patient": "address", "period": "uint64", "blinded": "bytes32", "expiresAt": "uint64"}
    types = {"TokenRequest": [{"name": name, "type": kind} for name, kind in kinds.items()]}
    message = {"patient": ACCOUNT.address, "period": 7, "blinded": REQUEST.digest, "expiresAt": 50}
    oracle = encode_typed_data(domain, types, message)
    assert keccak(b"\x19\x01" + oracle.header + oracle.body) == _digest(DOMAIN, REQUEST)


@pytest.mark.parametrize("change", [{"period": 8}, {"blinded": (b"a" * 256,)}, {"expires_at": 51}, {"signature": b""}])
def test_is_its_patients_as_it_was_signed(change: dict[str, object]) -> None:
    signed = sign_token_request(ACCOUNT, DOMAIN, REQUEST)
    assert signer_of(DOMAIN, signed) == ACCOUNT.address
    assert signer_of(issuer_domain(6, WHERE), signed) != ACCOUNT.address
    assert signer_of(DOMAIN, replace(signed, **change)) != ACCOUNT.address  # type: ignore[arg-type]


def test_another_patients_name_is_no_signature_of_theirs() -> None:
    other = Account(os.urandom(32)).address
    assert signer_of(DOMAIN, sign_token_request(ACCOUNT, DOMAIN, replace(REQUEST, patient=other))) != other
