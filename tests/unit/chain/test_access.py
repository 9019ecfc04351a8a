"""Tokens of nodes are what EIP-712 says, and a file that others may read is no secret."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from eth_account import Account

from panachain.chain.access import (
    LIFE,
    MAX_LIFE,
    SCHEME,
    GateDomain,
    NodeKey,
    Token,
    decode_token,
    normal_url,
    read_header,
    read_key,
)
from panachain.errors import LockedError

KEY = bytes(31) + b"\x07"
URL = "https://gate.example:8443"
TYPES = {
    "Token": [
        {"name": "gate", "type": "string"},
        {"name": "node", "type": "address"},
        {"name": "expiresAt", "type": "uint64"},
        {"name": "nonce", "type": "bytes16"},
        {"name": "body", "type": "bytes32"},
    ]
}


def test_signature_is_that_of_an_independent_eip_712_encoder() -> None:
    token = NodeKey(KEY).token(GateDomain(URL, 31_338), b"{}", now=1_700_000_000)

    message = {
        "gate": URL,
        "node": token.node,
        "expiresAt": token.expires_at,
        "nonce": token.nonce,
        "body": hashlib.sha256(b"{}").digest(),
    }
    domain = {"name": "PanaChain Gate", "version": "1", "chainId": 31_338}
    signed = Account.from_key(KEY).sign_typed_data(domain, TYPES, message)
    assert bytes(signed.signature) == token.signature
    assert Account.from_key(KEY).address == token.node
    assert token.expires_at == 1_700_000_000 + LIFE


def test_token_survives_its_header() -> None:
    token = NodeKey(KEY).token(GateDomain(URL, 1), b"body", now=5)
    assert decode_token(token.encode()) == token


@pytest.mark.parametrize(
    "text",
    ["", "x", "é", "=" * 190, "A" * 189, "A" * 191, base64.urlsafe_b64encode(bytes([2]) + bytes(141)).decode()],
)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert decode_token(text) is None


@pytest.mark.parametrize("size", [0, 141, 143, 200])
def test_a_token_has_one_size(size: int) -> None:
    assert len(NodeKey(KEY).token(GateDomain(URL, 1), b"", now=0).encode()) == 190
    raw = (bytes([1]) + bytes(size))[:size]
    assert decode_token(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) is None
    assert decode_token(base64.urlsafe_b64encode(bytes([2]) + bytes(141)).rstrip(b"=").decode()) is None


def test_token_counts_for_one_gate_and_one_chain() -> None:
    token = NodeKey(KEY).token(GateDomain(URL, 1), b"", now=0)
    assert GateDomain(URL, 1).signer(token) == token.node
    assert GateDomain(URL, 2).signer(token) != token.node
    assert GateDomain("https://other.example", 1).signer(token) != token.node


@pytest.mark.parametrize("field", ["node", "expires_at", "nonce", "body"])
def test_every_field_is_signed(field: str) -> None:
    token = NodeKey(KEY).token(GateDomain(URL, 1), b"", now=0)
    fields = {name: getattr(token, name) for name in ("node", "expires_at", "nonce", "body", "signature")}
    fields[field] = {
        "node": NodeKey(b"\x01" * 32).address,
        "expires_at": token.expires_at + 1,
        "nonce": bytes(16),
        "body": bytes(32),
    }[field]
    changed = Token(**fields)
    assert GateDomain(URL, 1).signer(changed) != changed.node


def test_two_tokens_are_never_the_same() -> None:
    authorise = NodeKey(KEY).authoriser(URL, 1, clock=lambda: 7.0)
    first, second = authorise(b"")["Authorization"], authorise(b"")["Authorization"]
    assert first != second
    assert first.startswith(f"{SCHEME} ")


def test_key_is_never_shown() -> None:
    assert KEY.hex() not in repr(NodeKey(KEY))


def test_urls_that_mean_the_same_are_signed_the_same() -> None:
    assert normal_url("HTTPS://Gate.Example:8443/") == URL


def test_a_token_is_given_half_the_time_that_a_gate_lets_it_count() -> None:
    assert (MAX_LIFE, LIFE) == (60, 30)


def test_a_token_ends_soon() -> None:
    authorise = NodeKey(KEY).authoriser(URL, 5, clock=lambda: 1000.5)
    token = decode_token(authorise(b"x")["Authorization"].removeprefix(f"{SCHEME} "))
    assert token is not None
    assert token.expires_at == 1000 + LIFE


class TestReadHeader:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "header"
        path.write_bytes(text.encode())
        path.chmod(0o600)
        return path

    @pytest.mark.parametrize("text", ["Authorization: Bearer x", " Authorization :  Bearer x \n", "A:b:c"])
    def test_is_a_name_and_a_value(self, tmp_path: Path, text: str) -> None:
        name, _, value = text.strip().partition(":")
        assert read_header(self.write(tmp_path, text)) == {name.strip(): value.strip()}

    @pytest.mark.parametrize("text", ["", "Bearer x", ": x", " : x", "A: b\nC: d", "A: b\rC: d", "A: b\r\nC: d"])
    def test_that_is_none_or_more_than_one_is_sent_to_nobody(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(LockedError, match="holds no header"):
            read_header(self.write(tmp_path, text))


class TestReadKey:
    def test_refuses_a_file_that_others_may_read(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text(KEY.hex())
        path.chmod(0o640)
        with pytest.raises(LockedError, match="permissions 640"):
            read_key(path)

    @pytest.mark.parametrize("text", ["", "00" * 32, "zz" * 32, "11" * 31, "é"])
    def test_refuses_what_is_no_key_without_showing_it(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "key"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(LockedError) as caught:
            read_key(path)
        assert not text or text not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_missing_file_is_a_typed_error(self, tmp_path: Path) -> None:
        with pytest.raises(LockedError, match="can't be read"):
            read_key(tmp_path / "none")
