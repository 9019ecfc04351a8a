"""Tokens: for one relay and period each, signed blindly, and of RFC 9577's form."""

from __future__ import annotations

import hashlib

import pytest

from panachain.crypto import labels
from panachain.crypto import tokens as subject
from panachain.crypto.blind_rsa import IssuerKey
from panachain.errors import IntegrityError
from tests.unit.crypto.test_blind_rsa import given


@pytest.fixture(scope="module")
def issuer() -> IssuerKey:
    return IssuerKey.random()


def test_the_rfcs_token_answers_the_rfcs_challenge() -> None:
    from panachain.crypto.blind_rsa import TokenKey

    key = TokenKey.parse(given("pkS"))
    subject.check_token(given("token"), key, given("token_challenge"))
    assert subject.spent_as(given("token")) == given("nonce")
    made = subject.ask(key, given("token_challenge"), nonce=given("nonce"))
    assert made.message == given("token")[:98]


def test_a_challenge_has_the_rfcs_form() -> None:
    made = subject.challenge("issuer.example", "origin.example", 7)
    empty = given("token_challenge")
    # The RFC's vector has no redemption context, and ours one of 32 bytes.
    assert (made[:18], made[18], made[-16:]) == (empty[:18], 32, empty[-16:])
    assert len(made) == len(empty) + 32
    # The period, so that a token of another one answers another challenge.
    assert made[19:51] == hashlib.sha256(labels.TOKEN_PERIOD + bytes(7) + b"\x07").digest()


def test_is_for_one_issuer_relay_and_period(issuer: IssuerKey) -> None:
    asked = subject.challenge("issuer", "https://relay", 5)
    made = subject.ask(issuer.public, asked)
    token = made.token(issuer.sign_blinded(made.blinded))
    assert len(token) == subject.TOKEN_SIZE
    subject.check_token(token, issuer.public, asked)
    for other in (("other", "https://relay", 5), ("issuer", "https://other", 5), ("issuer", "https://relay", 6)):
        with pytest.raises(IntegrityError, match="another relay, issuer or period"):
            subject.check_token(token, issuer.public, subject.challenge(*other))
    with pytest.raises(IntegrityError, match="another relay, issuer or period"):
        subject.check_token(token, IssuerKey.random().public, asked)


def test_a_changed_token_is_none(issuer: IssuerKey) -> None:
    asked = subject.challenge("issuer", "https://relay", 5)
    made = subject.ask(issuer.public, asked)
    token = made.token(issuer.sign_blinded(made.blinded))
    for at in (0, 1, 2, 40, 70, 98, 353):
        changed = bytearray(token)
        changed[at] ^= 1
        with pytest.raises(IntegrityError):
            subject.check_token(bytes(changed), issuer.public, asked)
    for wrong in (b"", token[:-1], token + b"\x00"):
        with pytest.raises(IntegrityError, match="expected 354"):
            subject.check_token(wrong, issuer.public, asked)


def test_what_would_link_a_token_to_its_issue_is_shown_by_no_repr(issuer: IssuerKey) -> None:
    made = subject.ask(issuer.public, subject.challenge("issuer", "https://relay", 5))
    shown = repr(made)
    assert not any(name in shown for name in ("message", "blinded", "inverse"))


def test_names_are_bounded() -> None:
    for names in (("x" * 65_536, "relay"), ("issuer", "x" * 65_536), ("é" * 32_768, "relay")):
        with pytest.raises(IntegrityError, match="more than 65535 bytes"):
            subject.challenge(*names, 0)
    assert subject.challenge("x" * 65_535, "y" * 65_535, 0).count(b"x") == 65_535
