"""Blind RSA signatures against RFC 9578's vector, `cryptography`'s own verification, and an issuer that looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from panachain.crypto.blind_rsa import SIZE, IssuerKey, TokenKey
from panachain.errors import IntegrityError

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "privacypass.json").read_text(encoding="utf-8")
)


def given(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


@pytest.fixture(scope="module")
def issuer() -> IssuerKey:
    return IssuerKey.random()


class TestVector:
    def test_the_key_is_encoded_as_the_rfc_encodes_it(self) -> None:
        key = TokenKey.parse(given("pkS"))
        assert key.encoded == given("pkS")
        assert key.id == given("token")[66:98]
        # The truncated key ID of the request is its last byte.
        assert key.id[-1:] == given("token_request")[2:3]

    def test_what_is_blinded_is_the_rfcs(self) -> None:
        key = TokenKey.parse(given("pkS"))
        blinded, _ = key.blind(given("token")[:98], salt=given("salt"), blind=int(VECTOR["blind"], 16))
        assert blinded == given("token_request")[3:]

    def test_what_is_unblinded_is_the_rfcs(self) -> None:
        key, message = TokenKey.parse(given("pkS")), given("token")[:98]
        _, inverse = key.blind(message, salt=given("salt"), blind=int(VECTOR["blind"], 16))
        assert message + key.finalize(message, given("token_response"), inverse) == given("token")

    def test_the_rfcs_token_verifies(self) -> None:
        TokenKey.parse(given("pkS")).verify(given("token")[:98], given("token")[98:])


def test_an_issuer_signs_what_it_never_sees(issuer: IssuerKey) -> None:
    message = b"one of the patients"
    blinded, inverse = issuer.public.blind(message)
    answered = issuer.sign_blinded(blinded)
    signature = issuer.public.finalize(message, answered, inverse)
    issuer.public.verify(message, signature)
    assert len({blinded, answered, signature}) == 3
    with pytest.raises(IntegrityError, match="didn't sign this"):
        issuer.public.verify(b"another message", signature)


def test_the_same_message_is_never_blinded_twice_in_the_same_way(issuer: IssuerKey) -> None:
    assert issuer.public.blind(b"message")[0] != issuer.public.blind(b"message")[0]


def test_an_answer_that_signs_something_else_is_refused(issuer: IssuerKey) -> None:
    blinded, inverse = issuer.public.blind(b"message")
    other, _ = issuer.public.blind(b"other")
    good = issuer.sign_blinded(blinded)
    # A zero before it changes no number: an answer has one form.
    for answer in (issuer.sign_blinded(other), bytes(SIZE), b"", good[:-1], b"\0" + good):
        with pytest.raises(IntegrityError):
            issuer.public.finalize(b"message", answer, inverse)


@pytest.mark.parametrize("blinded", [b"", bytes(SIZE), b"\xff" * SIZE, b"\x01" * (SIZE + 1)])
def test_what_is_no_number_below_the_modulus_is_not_signed(issuer: IssuerKey, blinded: bytes) -> None:
    with pytest.raises(IntegrityError, match="below the issuer's modulus"):
        issuer.sign_blinded(blinded)


def test_a_wrong_power_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = IssuerKey.random()
    blinded, _ = wrong.public.blind(b"message")
    monkeypatch.setattr(wrong, "_d", wrong._d + 2)
    with pytest.raises(IntegrityError, match="doesn't verify"):
        wrong.sign_blinded(blinded)


def test_a_key_comes_back_from_its_file_and_shows_nothing(issuer: IssuerKey) -> None:
    again = IssuerKey.from_pem(issuer.to_pem())
    assert again.public.encoded == issuer.public.encoded == TokenKey.parse(issuer.public.encoded).encoded
    assert repr(issuer) == "IssuerKey(…)"


def test_other_keys_are_refused(issuer: IssuerKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"no key", curve):
        with pytest.raises(IntegrityError):
            IssuerKey.from_pem(content)
    with pytest.raises(IntegrityError, match="expected 2048"):
        IssuerKey(rsa.generate_private_key(65_537, 1024))
    with pytest.raises(IntegrityError, match="exponent"):
        IssuerKey(rsa.generate_private_key(3, 2048))
    for encoded in (b"", issuer.public.encoded[:-1], issuer.public.encoded[:-1] + b"\x03", b"\x31" + given("pkS")[1:]):
        with pytest.raises(IntegrityError):
            TokenKey.parse(encoded)
