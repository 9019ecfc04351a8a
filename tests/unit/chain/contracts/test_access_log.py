"""AccessLog's adapter: what is signed and sent, and what a node that lies can't make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.contracts.access_log import AccessLog
from panachain.chain.receipts import log_domain, receipt_fields
from panachain.chain.signing import Account
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from tests.unit.chain.contracts.node import CHAIN_ID, HOSPITAL, STRANGER, WHERE, Node, Sender, low

ACCOUNT = Account(b"\x07" * 32)
HEAD = b"h" * 32
RECEIPT = Receipt(
    proxy=ACCOUNT.address,
    sequence=3,
    previous=b"p" * 32,
    kind=ReceiptKind.REENCRYPTED,
    policy_id=PolicyId(HOSPITAL),
    at=5,
    block=6,
    count=7,
    detail=b"sealed",
    signature=b"s" * 65,
)


@pytest.fixture
def node() -> Node:
    return Node("AccessLog")


def late(node: Node, receipt: Receipt, **change: Any) -> None:
    values = {"proxy": receipt.proxy, "policyId": receipt.policy_id, "sequence": receipt.sequence, "head": HEAD}
    node.emit("LateServiceProven", **values | change)


class TestAnchor:
    def test_anchor_carries_a_signature_for_this_log_alone(self, node: Node) -> None:
        log, sender = node.adapter(AccessLog), Sender(node)
        signature = log.sign_anchor(ACCOUNT, 9, HEAD)

        log.anchor(sender, ACCOUNT.address, 9, HEAD, signature)

        assert log.domain == log_domain(CHAIN_ID, WHERE)
        assert len(signature) == 64
        assert sender.sent == [("anchor", (*low(ACCOUNT.address), 9, HEAD, (signature[:32], signature[32:])))]

    def test_newest_anchor_is_that_of_the_newest_event(self, node: Node) -> None:
        log = node.adapter(AccessLog)
        assert log.anchor_of(ACCOUNT.address) == (0, bytes(32))
        for proxy, sequence in ((ACCOUNT.address, 4), (ACCOUNT.address, 9), (STRANGER, 11)):
            values = {"proxy": proxy, "sequence": sequence, "head": HEAD, "signature": (bytes(32), bytes(32))}
            node.emit("HeadAnchored", **values)
        assert log.anchor_of(ACCOUNT.address) == (9, HEAD)
        assert node.asked == []

    def test_what_is_no_anchor_is_an_integrity_error(self, node: Node) -> None:
        values = {"proxy": STRANGER, "sequence": 1, "head": HEAD, "signature": (bytes(32), bytes(32))}
        node.emit("HeadAnchored", **values)["data"] = "0x12"
        with pytest.raises(IntegrityError):
            node.adapter(AccessLog).anchor_of(STRANGER)


class TestEvidence:
    def test_late_service_is_proven_by_the_receipt_itself(self, node: Node) -> None:
        log, sender = node.adapter(AccessLog), Sender(node)

        log.prove_late_service(sender, RECEIPT)

        ((function, (proxy, fields, signature)),) = sender.sent
        assert (function, proxy, signature) == ("proveLateService", *low(RECEIPT.proxy), RECEIPT.signature)
        assert fields == tuple(f.lower() if isinstance(f, str) else f for f in receipt_fields(RECEIPT))

    def test_a_fork_is_proven_by_two_signed_heads(self, node: Node) -> None:
        sender = Sender(node)

        node.adapter(AccessLog).prove_fork(sender, ACCOUNT.address, 4, (b"a" * 32, b"1"), (b"b" * 32, b"2"))

        assert sender.sent == [("proveFork", (*low(ACCOUNT.address), 4, b"a" * 32, b"1", b"b" * 32, b"2"))]

    def test_proof_is_that_of_this_receipt(self, node: Node) -> None:
        log = node.adapter(AccessLog)
        assert log.proof_of_late_service(RECEIPT) is None
        late(node, RECEIPT, sequence=4)
        late(node, RECEIPT, policyId=STRANGER)
        late(node, RECEIPT, proxy=STRANGER)
        assert log.proof_of_late_service(RECEIPT) is None
        late(node, RECEIPT)
        node.logs[-1]["transactionHash"] = "0xfound"
        found = log.proof_of_late_service(RECEIPT)
        assert found is not None
        assert found.tx_hash == "0xfound"
        assert log.proof_of_late_service(replace(RECEIPT, sequence=5)) is None

    def test_convictions_are_those_of_one_proxy_of_either_kind(self, node: Node) -> None:
        log = node.adapter(AccessLog)
        assert log.convictions_of(ACCOUNT.address) == []
        late(node, RECEIPT)
        late(node, RECEIPT, proxy=STRANGER)
        node.emit("ForkProven", proxy=ACCOUNT.address, sequence=4, first=HEAD, second=b"g" * 32)
        assert [event.name for event in log.convictions_of(ACCOUNT.address)] == ["LateServiceProven", "ForkProven"]
