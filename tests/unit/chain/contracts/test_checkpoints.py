"""Checkpoints' adapter: in which order validators' signatures are sent, and what the newest checkpoint is."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.contracts.checkpoints import Checkpoints
from panachain.chain.signing import Account
from panachain.errors import IntegrityError
from tests.unit.chain.contracts.node import NOT_OF_THE_ABI, Node, Sender

HASH = b"b" * 32


@pytest.fixture
def node() -> Node:
    return Node("Checkpoints")


def test_signers_ascend_whatever_the_case_of_their_letters(node: Node) -> None:
    checkpoints, sender = node.adapter(Checkpoints), Sender(node)
    validators = [Account(bytes([number]) * 32) for number in range(1, 9)]
    signed = {one.address: checkpoints.sign(one, 7, 5, HASH) for one in validators}

    checkpoints.checkpoint(sender, 5, HASH, signed)

    ((function, (number, block_hash, signers, signatures)),) = sender.sent
    assert (function, number, block_hash) == ("checkpoint", 5, HASH)
    assert list(signers) == sorted(address.lower() for address in signed)
    by_signer = {address.lower(): signature for address, signature in signed.items()}
    assert list(signatures) == [by_signer[signer] for signer in signers]


def test_a_signature_is_for_one_sidechain_and_one_block(node: Node) -> None:
    checkpoints, account = node.adapter(Checkpoints), Account(b"\x07" * 32)
    signatures = {
        checkpoints.sign(account, sidechain, number, block_hash)
        for sidechain, number, block_hash in ((7, 5, HASH), (8, 5, HASH), (7, 6, HASH), (7, 5, b"c" * 32))
    }
    assert len(signatures) == 4
    assert checkpoints.sign(account, 7, 5, HASH) in signatures


def test_newest_is_number_and_hash(node: Node) -> None:
    node.results["newest"] = (5, HASH)
    assert node.adapter(Checkpoints).newest() == (5, HASH)


@pytest.mark.parametrize("answer", NOT_OF_THE_ABI)
def test_what_is_no_checkpoint_is_an_integrity_error(node: Node, answer: Any) -> None:
    node.results["newest"] = answer
    with pytest.raises(IntegrityError):
        node.adapter(Checkpoints).newest()
