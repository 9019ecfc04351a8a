"""Receipts and the signatures that make them evidence, with eth_account's EIP-712 as the oracle."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import SignableMessage, encode_defunct, encode_typed_data
from eth_utils import keccak, to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.chain.contracts.record_ledger import RecordLedger
from panachain.chain.mainchain import Mainchain
from panachain.chain.receipts import check_head, log_domain, receipt_fields, receipt_hash, sign_head
from panachain.chain.signing import Account, recover_digest
from panachain.consent.receipts import check_receipt
from panachain.errors import IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind

CHAIN_ID = 31337
LOG = to_checksum_address("0x" + "a1" * 20)
OTHER_LOG = to_checksum_address("0x" + "a2" * 20)
DOMAIN = log_domain(CHAIN_ID, LOG)
PROXY, STRANGER = Account(b"\x01" * 32), Account(b"\x02" * 32)
HEAD = b"h" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1's group, SEC 2 section 2.4.1."""
TYPES = {
    "Receipt": [
        {"name": "sequence", "type": "uint64"},
        {"name": "previous", "type": "bytes32"},
        {"name": "kind", "type": "uint8"},
        {"name": "policyId", "type": "address"},
        {"name": "blockTime", "type": "uint48"},
        {"name": "blockNumber", "type": "uint64"},
        {"name": "count", "type": "uint32"},
        {"name": "detail", "type": "bytes32"},
    ],
    "LogHead": [{"name": "sequence", "type": "uint64"}, {"name": "head", "type": "bytes32"}],
}
"""As contracts/mainchain/AccessLog.sol hashes them."""


def typed(kind: str, message: dict[str, Any], chain_id: int = CHAIN_ID, log: str = LOG) -> SignableMessage:
    """Return what eth_account would sign."""
    domain = {"name": "PanaChain AccessLog", "version": "1", "chainId": chain_id, "verifyingContract": log}
    return encode_typed_data(domain, {kind: TYPES[kind]}, message)


RECEIPT = Receipt(
    proxy=PROXY.address,
    sequence=4,
    previous=b"p" * 32,
    kind=ReceiptKind.REENCRYPTED,
    policy_id=PolicyId(STRANGER.address),
    at=1_700_000_000,
    block=9,
    count=3,
    detail=b"sealed",
    signature=b"",
)
RECEIPTS = st.builds(
    Receipt,
    proxy=st.just(PROXY.address),
    sequence=st.integers(0, 2**64 - 1),
    previous=st.binary(min_size=32, max_size=32),
    kind=st.sampled_from(ReceiptKind),
    policy_id=st.binary(min_size=20, max_size=20).map(lambda account: PolicyId(to_checksum_address(account))),
    at=st.integers(0, 2**48 - 1),
    block=st.integers(0, 2**64 - 1),
    count=st.integers(0, 2**32 - 1),
    detail=st.binary(max_size=100),
    signature=st.just(b""),
)
CHANGES: list[dict[str, Any]] = [
    {"sequence": 5},
    {"previous": b"q" * 32},
    {"kind": ReceiptKind.DENIED},
    {"policy_id": PolicyId(PROXY.address)},
    {"at": 1_700_000_001},
    {"block": 10},
    {"count": 2},
    {"detail": b""},
]
"""One for each field that is signed."""


def sign(receipt: Receipt, account: Account = PROXY, domain: bytes = DOMAIN) -> Receipt:
    signature = sign_head(account, domain, sequence=receipt.sequence, head=receipt_hash(receipt))
    return replace(receipt, signature=signature)


class TestLogDomain:
    @given(chain_id=st.integers(0, 2**256 - 1), log=st.binary(min_size=20, max_size=20).map(to_checksum_address))
    @settings(max_examples=30)
    def test_is_the_domain_separator_of_the_oracle(self, chain_id: int, log: str) -> None:
        oracle = typed("LogHead", {"sequence": 1, "head": HEAD}, chain_id, log)

        assert log_domain(chain_id, log) == oracle.header

    def test_names_chain_and_contract(self) -> None:
        domains = {log_domain(CHAIN_ID, LOG), log_domain(CHAIN_ID + 1, LOG), log_domain(CHAIN_ID, OTHER_LOG)}

        assert len(domains) == 3

    def test_is_what_the_mainchain_tells(self) -> None:
        # Only the domain is used: chain ID and contract address.
        mainchain = Mainchain(SimpleNamespace(), {"AccessLog": LOG}, CHAIN_ID)  # type: ignore[arg-type]

        assert mainchain.log.domain == DOMAIN


class TestReceiptHash:
    @given(receipt=RECEIPTS)
    @settings(max_examples=100)
    def test_is_the_struct_hash_of_the_oracle(self, receipt: Receipt) -> None:
        message = {
            "sequence": receipt.sequence,
            "previous": receipt.previous,
            "kind": receipt.kind.code,
            "policyId": receipt.policy_id,
            "blockTime": receipt.at,
            "blockNumber": receipt.block,
            "count": receipt.count,
            "detail": hashlib.sha256(receipt.detail).digest(),
        }

        assert receipt_hash(receipt) == typed("Receipt", message).body
        assert receipt_fields(receipt) == tuple(message.values())

    @pytest.mark.parametrize("change", CHANGES, ids=str)
    def test_covers_every_field(self, change: dict[str, Any]) -> None:
        assert receipt_hash(replace(RECEIPT, **change)) != receipt_hash(RECEIPT)

    def test_names_neither_proxy_nor_signature(self) -> None:
        # They are the signature's business; a log's head is the same for whoever reads it.
        assert receipt_hash(replace(RECEIPT, proxy=STRANGER.address, signature=b"s")) == receipt_hash(RECEIPT)

    @pytest.mark.parametrize(
        "change",
        [
            {"sequence": -1},
            {"sequence": 2**64},
            {"previous": b""},
            {"previous": bytes(31)},
            {"previous": bytes(33)},
            {"policy_id": PolicyId("0x12")},
            {"policy_id": PolicyId("nobody")},
            {"at": -1},
            {"at": 2**48},
            {"block": 2**64},
            {"count": 2**32},
        ],
        ids=str,
    )
    def test_rejects_what_the_contract_could_not_take(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            receipt_hash(replace(RECEIPT, **change))


class TestSignHead:
    @given(sequence=st.integers(0, 2**64 - 1), head=st.binary(min_size=32, max_size=32))
    @settings(max_examples=30)
    def test_signs_the_digest_of_the_oracle(self, sequence: int, head: bytes) -> None:
        signature = sign_head(PROXY, DOMAIN, sequence=sequence, head=head)

        oracle = typed("LogHead", {"sequence": sequence, "head": head})
        # Both are deterministic (RFC 6979).
        assert signature == EthAccount.sign_message(oracle, b"\x01" * 32).signature
        assert EthAccount.recover_message(oracle, signature=signature) == PROXY.address
        digest = keccak(b"\x19" + oracle.version + oracle.header + oracle.body)
        assert recover_digest(digest, signature) == PROXY.address

    @pytest.mark.parametrize("change", [{"sequence": -1}, {"sequence": 2**64}, {"head": b"h"}, {"head": bytes(33)}])
    def test_refuses_what_the_contract_could_not_take(self, change: dict[str, Any]) -> None:
        said: dict[str, Any] = {"sequence": 4, "head": HEAD}

        with pytest.raises(IntegrityError):
            sign_head(PROXY, DOMAIN, **(said | change))


class TestCheckHead:
    SIGNATURE = sign_head(PROXY, DOMAIN, sequence=4, head=HEAD)

    def check(self, **change: Any) -> None:
        said: dict[str, Any] = {"proxy": PROXY.address, "sequence": 4, "head": HEAD, "signature": self.SIGNATURE}
        check_head(change.pop("domain", DOMAIN), **(said | change))

    @given(
        key=st.integers(1, 2**128).map(lambda number: number.to_bytes(32, "big")),
        sequence=st.integers(0, 2**64 - 1),
        head=st.binary(min_size=32, max_size=32),
    )
    @settings(max_examples=30)
    def test_takes_what_the_proxy_signed(self, key: bytes, sequence: int, head: bytes) -> None:
        proxy = Account(key)
        signature = sign_head(proxy, DOMAIN, sequence=sequence, head=head)

        check_head(DOMAIN, proxy=proxy.address, sequence=sequence, head=head, signature=signature)

    @pytest.mark.parametrize(
        "change",
        [
            {"proxy": STRANGER.address},
            {"proxy": Address("0x" + "00" * 20)},
            {"domain": log_domain(CHAIN_ID + 1, LOG)},
            {"domain": log_domain(CHAIN_ID, OTHER_LOG)},
            {"sequence": 3},
            {"sequence": 5},
            {"sequence": -1},
            {"sequence": 2**64},
            {"head": b"i" * 32},
            {"head": HEAD[:-1]},
            {"head": HEAD + b"\x00"},
        ],
        ids=str,
    )
    def test_rejects_another_signer_chain_contract_sequence_or_head(self, change: dict[str, Any]) -> None:
        self.check()
        with pytest.raises(IntegrityError):
            self.check(**change)

    @pytest.mark.parametrize("size", [0, 1, 63, 64, 66, 130])
    def test_rejects_signatures_of_another_size(self, size: int) -> None:
        with pytest.raises(IntegrityError):
            self.check(signature=(self.SIGNATURE * 2)[:size])

    @pytest.mark.parametrize("bit", [0, 7])
    def test_rejects_every_changed_byte(self, bit: int) -> None:
        for position in range(65):
            changed = bytearray(self.SIGNATURE)
            changed[position] ^= 1 << bit
            with pytest.raises(IntegrityError):
                self.check(signature=bytes(changed))

    @pytest.mark.parametrize("bad", [bytes(65), b"\xff" * 65, bytes(64) + b"\x1b", b"\xff" * 64 + b"\x1c"], ids=repr)
    def test_rejects_what_is_no_signature(self, bad: bytes) -> None:
        with pytest.raises(IntegrityError):
            self.check(signature=bad)

    def test_rejects_the_twin_that_the_contract_refuses(self) -> None:
        # The same point with the other s: a proxy that hands it out would escape conviction.
        r, s, v = self.SIGNATURE[:32], int.from_bytes(self.SIGNATURE[32:64], "big"), self.SIGNATURE[64]
        twin = r + (ORDER - s).to_bytes(32, "big") + bytes([27 + 28 - v])

        with pytest.raises(IntegrityError):
            self.check(signature=twin)

    def test_rejects_the_signature_of_a_receipt_by_another_way(self) -> None:
        # EIP-191 text and a bare digest say something else than LogHead.
        text = bytes(EthAccount.sign_message(encode_defunct(HEAD), b"\x01" * 32).signature)
        for signature in (text, PROXY.sign_digest(HEAD)):
            with pytest.raises(IntegrityError):
                self.check(signature=signature)


class TestCheckReceipt:
    @given(receipt=RECEIPTS)
    @settings(max_examples=30)
    def test_takes_what_the_proxy_signed(self, receipt: Receipt) -> None:
        check_receipt(sign(receipt), proxy=PROXY.address, domain=DOMAIN, policy_id=receipt.policy_id)

    @pytest.mark.parametrize("change", CHANGES, ids=str)
    def test_rejects_every_changed_field(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            check_receipt(
                replace(sign(RECEIPT), **change), proxy=PROXY.address, domain=DOMAIN, policy_id=RECEIPT.policy_id
            )

    def test_rejects_another_proxy_signer_or_log(self) -> None:
        good = sign(RECEIPT)
        cases = [
            (good, STRANGER.address, DOMAIN),
            (replace(good, proxy=STRANGER.address), PROXY.address, DOMAIN),
            (replace(good, proxy=STRANGER.address), STRANGER.address, DOMAIN),
            (sign(RECEIPT, STRANGER), PROXY.address, DOMAIN),
            (good, PROXY.address, log_domain(CHAIN_ID, OTHER_LOG)),
        ]

        for receipt, proxy, domain in cases:
            with pytest.raises(IntegrityError):
                check_receipt(receipt, proxy=proxy, domain=domain, policy_id=RECEIPT.policy_id)

    @pytest.mark.parametrize("change", [{"sequence": 2**64}, {"policy_id": PolicyId("nobody")}, {"at": -1}], ids=str)
    def test_rejects_receipts_that_no_contract_could_judge(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            check_receipt(
                replace(sign(RECEIPT), **change), proxy=PROXY.address, domain=DOMAIN, policy_id=RECEIPT.policy_id
            )

    def test_one_signature_covers_the_receipts_before_it(self) -> None:
        log = [replace(RECEIPT, sequence=1, previous=bytes(32))]
        for sequence in range(2, 6):
            log.append(replace(RECEIPT, sequence=sequence, previous=receipt_hash(log[-1])))
        newest = sign(log[-1])
        check_receipt(newest, proxy=PROXY.address, domain=DOMAIN, policy_id=RECEIPT.policy_id)

        changed = replace(log[0], count=99)
        for receipt in log[1:]:
            changed = replace(receipt, previous=receipt_hash(changed))

        with pytest.raises(IntegrityError):
            check_receipt(
                replace(changed, signature=newest.signature),
                proxy=PROXY.address,
                domain=DOMAIN,
                policy_id=RECEIPT.policy_id,
            )


class TestFoldHeads:
    @given(
        first=st.binary(min_size=32, max_size=32),
        batches=st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 2**32 - 1)), max_size=8),
    )
    @settings(max_examples=60)
    def test_is_the_naive_fold(self, first: bytes, batches: list[tuple[bytes, int]]) -> None:
        head = first
        for manifest, count in batches:
            head = keccak(head + manifest + count.to_bytes(32, "big"))

        assert RecordLedger.fold_heads(first, batches) == head

    def test_of_nothing_is_the_first_head(self) -> None:
        assert RecordLedger.fold_heads(HEAD, []) == HEAD

    def test_may_stop_and_go_on(self) -> None:
        batches = [(bytes([number]) * 32, number) for number in range(1, 6)]

        for cut in range(6):
            middle = RecordLedger.fold_heads(HEAD, batches[:cut])
            assert RecordLedger.fold_heads(middle, batches[cut:]) == RecordLedger.fold_heads(HEAD, batches)

    def test_depends_on_every_batch_and_their_order(self) -> None:
        batches = [(b"a" * 32, 1), (b"b" * 32, 2)]
        variants = [batches, batches[::-1], batches[:1], [(b"a" * 32, 2), (b"b" * 32, 1)], [*batches, (b"c" * 32, 1)]]

        assert len({RecordLedger.fold_heads(HEAD, variant) for variant in variants}) == len(variants)

    def test_first_head_names_chain_contract_and_hospital(self) -> None:
        def first(chain_id: int, ledger: str, hospital: Account) -> bytes:
            # Only addresses are used.
            mainchain = Mainchain(SimpleNamespace(), {"RecordLedger": ledger}, chain_id)  # type: ignore[arg-type]
            return mainchain.ledger.first_head(hospital.address)

        found = [
            first(CHAIN_ID, LOG, PROXY),
            first(CHAIN_ID + 1, LOG, PROXY),
            first(CHAIN_ID, OTHER_LOG, PROXY),
            first(CHAIN_ID, LOG, STRANGER),
        ]
        padded = (bytes(12) + bytes.fromhex(text[2:]) for text in (LOG, PROXY.address))

        assert len(set(found)) == len(found)
        assert found[0] == keccak(CHAIN_ID.to_bytes(32, "big") + b"".join(padded))

    def test_rejects_what_is_about_another_policy_or_deed(self) -> None:
        good, fields = sign(RECEIPT), {"proxy": PROXY.address, "domain": DOMAIN}
        other = next(kind for kind in ReceiptKind if kind is not RECEIPT.kind)
        check_receipt(good, **fields, policy_id=RECEIPT.policy_id, kind=RECEIPT.kind, not_before=RECEIPT.at + 120)
        for change in ({"policy_id": PolicyId(OTHER_LOG)}, {"kind": other}, {"not_before": RECEIPT.at + 121}):
            with pytest.raises(IntegrityError):
                check_receipt(good, **(fields | {"policy_id": RECEIPT.policy_id} | change))
