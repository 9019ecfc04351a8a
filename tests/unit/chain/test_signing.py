"""What accounts sign, with eth_account as the oracle."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as oracle_rlp
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from panachain.chain.signing import Account, compact, decode_transaction, domain_separator, recover_digest, typed_digest
from panachain.ethereum import checksum_address, keccak

KEY = b"\x11" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEYS = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum_address)
NUMBERS = st.integers(0, 2**64 - 1)
TRANSACTIONS = st.fixed_dictionaries(
    {
        "type": st.just(2),
        "chainId": st.integers(1, 2**53),
        "nonce": NUMBERS,
        "maxPriorityFeePerGas": NUMBERS,
        "maxFeePerGas": NUMBERS,
        "gas": NUMBERS,
        "value": NUMBERS,
        "data": st.binary(max_size=300).map(lambda data: "0x" + data.hex()),
    },
    optional={"to": ADDRESSES},
)
TRANSACTION: dict[str, Any] = {
    "type": 2,
    "chainId": 31_337,
    "nonce": 3,
    "maxPriorityFeePerGas": 10**9,
    "maxFeePerGas": 3 * 10**9,
    "gas": 21_000,
    "value": 0,
    "data": "0x1234",
    "to": checksum_address(b"\x22" * 20),
}
TYPES = {
    "Everything": [
        {"name": "owner", "type": "address"},
        {"name": "window", "type": "uint256"},
        {"name": "number", "type": "uint48"},
        {"name": "terms", "type": "bytes32"},
        {"name": "nonce", "type": "bytes16"},
        {"name": "open", "type": "bool"},
        {"name": "note", "type": "string"},
        {"name": "content", "type": "bytes"},
    ]
}
MESSAGES = st.fixed_dictionaries(
    {
        "owner": ADDRESSES,
        "window": st.integers(0, 2**256 - 1),
        "number": st.integers(0, 2**48 - 1),
        "terms": st.binary(min_size=32, max_size=32),
        "nonce": st.binary(min_size=16, max_size=16),
        "open": st.booleans(),
        "note": st.text(max_size=40),
        "content": st.binary(max_size=80),
    }
)
CONTRACT = checksum_address(b"\x33" * 20)
DOMAIN = {"name": "PanaChain PolicyRegistry", "version": "1", "chainId": 31_337, "verifyingContract": CONTRACT}


@given(key=KEYS)
def test_an_account_has_the_address_that_eth_account_gives_it(key: bytes) -> None:
    assert Account(key).address == EthAccount.from_key(key).address


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\x01" * 33])
def test_refuses_a_key_that_is_no_scalar(key: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Account(key)


def test_shows_nothing_of_its_key() -> None:
    account = Account(KEY)
    assert KEY.hex() not in repr(account) + str(vars(account))


class TestTransactions:
    @given(key=KEYS, transaction=TRANSACTIONS)
    def test_signs_as_eth_account_does(self, key: bytes, transaction: dict[str, Any]) -> None:
        expected = EthAccount.sign_transaction(transaction, key)
        raw, tx_hash = Account(key).sign_transaction(transaction)
        assert raw == "0x" + bytes(expected.raw_transaction).hex()
        assert tx_hash == "0x" + bytes(expected.hash).hex()
        assert EthAccount.recover_transaction(raw) == Account(key).address
        assert decode_transaction(raw) == transaction

    @pytest.mark.parametrize(
        "change",
        [
            {"type": 0},
            {"nonce": -1},
            {"gas": 1 << 256},
            {"value": "1"},
            {"data": "12"},
            {"data": b"\x12"},
            {"to": "0x12"},
            {"to": CONTRACT.lower().replace("3", "2", 1) + "0"},
            {"accessList": []},
            {"gasPrice": 1},
            {"nonce": True},
            {"to": ""},
            {"to": None},
        ],
        ids=repr,
    )
    def test_refuses_to_sign_what_it_does_not_understand(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            Account(KEY).sign_transaction(TRANSACTION | change)

    @pytest.mark.parametrize("missing", ["chainId", "nonce", "maxFeePerGas", "gas", "value", "data", "type"])
    def test_refuses_to_sign_without_a_field(self, missing: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            Account(KEY).sign_transaction({name: value for name, value in TRANSACTION.items() if name != missing})

    @pytest.mark.parametrize("name", ["chainId", "nonce", "maxFeePerGas", "maxPriorityFeePerGas", "gas", "value"])
    def test_a_number_fills_a_word_at_most(self, name: str) -> None:
        for value in (0, 1, (1 << 256) - 1):
            transaction = TRANSACTION | {name: value}
            raw, _ = Account(KEY).sign_transaction(transaction)
            assert decode_transaction(raw)[name] == value
        for value in (-1, 1 << 256):
            with pytest.raises(ValueError, match="out of its bounds"):
                Account(KEY).sign_transaction(TRANSACTION | {name: value})

    def test_reads_no_other_transaction(self) -> None:
        raw, _ = Account(KEY).sign_transaction(TRANSACTION)
        parts = oracle_rlp.decode(bytes.fromhex(raw[4:]))

        def with_part(place: int, part: Any) -> str:
            changed = [*parts[:place], part, *parts[place + 1 :]]
            return "0x02" + oracle_rlp.encode(changed).hex()

        bad = [
            "",
            "0x",
            "0x02",
            raw[2:],
            "0x01" + raw[4:],
            raw[:-2],
            raw + "00",
            "0x02" + oracle_rlp.encode(parts[:11]).hex(),
            "0x02" + oracle_rlp.encode(b"text").hex(),
            with_part(1, b"\0\1"),
            with_part(1, b"\1" * 33),
            with_part(1, []),
            with_part(5, b"\1" * 19),
            with_part(5, []),
            with_part(7, [b"\1"]),
            with_part(8, b"\1"),
            with_part(8, [[b"\1" * 20, []]]),
        ]
        for text in (*bad, None, 7, b"\x02"):
            with pytest.raises(ValueError):  # noqa: PT011
                decode_transaction(text)  # type: ignore[arg-type]


class TestTypedData:
    @given(key=KEYS, message=MESSAGES)
    def test_signs_as_eth_account_does(self, key: bytes, message: dict[str, Any]) -> None:
        signable = encode_typed_data(DOMAIN, TYPES, message)
        expected = EthAccount.sign_message(signable, key)
        assert Account(key).sign_typed(DOMAIN, TYPES, message) == compact(bytes(expected.signature))

    def test_makes_the_domain_that_eth_account_makes(self) -> None:
        signable = encode_typed_data(DOMAIN, {"One": [{"name": "a", "type": "uint8"}]}, {"a": 1})
        assert domain_separator("PanaChain PolicyRegistry", "1", 31_337, contract=CONTRACT) == signable.header
        assert keccak(b"\x19\x01" + signable.header + signable.body) == typed_digest(signable.header, signable.body)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("bytes32[]", [bytes(32)]), ("(uint8)", (1,)), ("string", b"text"), ("bytes", "text"), ("bytes", 5)],
    )
    def test_refuses_what_it_would_hash_as_something_else(self, kind: str, value: Any) -> None:
        types = {"Note": [{"name": "value", "type": kind}]}
        with pytest.raises(ValueError):  # noqa: PT011
            Account(KEY).sign_typed(DOMAIN, types, {"value": value})

    def test_refuses_other_values_than_those_of_the_struct(self) -> None:
        types = {"Revoke": [{"name": "owner", "type": "address"}]}
        for message in ({}, {"owner": CONTRACT, "more": 1}, {"owner": "0x12"}):
            with pytest.raises(ValueError):  # noqa: PT011
                Account(KEY).sign_typed(DOMAIN, types, message)


class TestRecover:
    @given(key=KEYS, digest=st.binary(min_size=32, max_size=32))
    def test_recovers_who_signed_as_eth_account_does(self, key: bytes, digest: bytes) -> None:
        signature = Account(key).sign_digest(digest)
        assert signature == bytes(EthAccount.unsafe_sign_hash(digest, key).signature)
        assert recover_digest(digest, signature) == Account(key).address

    @pytest.mark.parametrize("bad", [b"", bytes(65), b"\xff" * 65, b"\1" * 64 + b"\x1d", b"\1" * 64], ids=repr)
    def test_recovers_nobody_from_what_is_no_signature(self, bad: bytes) -> None:
        assert recover_digest(bytes(32), bad) is None
