"""How long a sender waits, in virtual time: a transaction that sticks is replaced, and given up in the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Sender
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import TransactionError

WHERE = "0x" + "11" * 20
STUCK, GIVEN_UP, SLOWEST = 20, 120, 1.0
"""Seconds: before it pays more, in all, and between two questions."""


class Node:
    """Mines the transaction with a number, 1 for the first, at a time; and is the clock."""

    def __init__(self, mines: int, at: float) -> None:
        self.mines, self.at, self.now = mines, at, 0.0
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.slept: list[float] = []
        self._hashes: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_estimateGas":
            return hex(50_000)
        if method == "eth_getBlockByNumber":
            return {"baseFeePerGas": hex(7)}
        if method == "eth_getTransactionCount":
            return hex(3)
        if method == "eth_sendRawTransaction":
            self.sent.append((self.now, decode_transaction(params[0])))
            return None
        assert method == "eth_getTransactionReceipt"
        if params[0] not in self._hashes:
            self._hashes.append(params[0])
        if self._hashes.index(params[0]) + 1 != self.mines or self.now < self.at:
            return None
        return {"transactionHash": params[0], "blockNumber": "0x7", "gasUsed": "0x1", "logs": [], "status": "0x1"}

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*call) for call in calls]

    def sender(self, folder: Path) -> Sender:
        account = Account(b"\x07" * 32)
        clock: Any = {"clock": lambda: self.now, "sleep": self.sleep}
        return Sender(self, 5, account, lock_folder=folder, **clock)  # type: ignore[arg-type]


def test_one_that_is_mined_in_time_is_sent_once_and_asked_for_ever_more_slowly(tmp_path: Path) -> None:
    node = Node(1, at=15)
    assert node.sender(tmp_path).send(WHERE, "0x", what="it").block == 7
    assert len(node.sent) == 1
    assert node.slept == sorted(node.slept)
    assert (node.slept[0], node.slept[-1]) == (0.01, SLOWEST)


def test_one_that_sticks_is_replaced_by_one_that_pays_more_for_the_same_nonce(tmp_path: Path) -> None:
    node = Node(3, at=50)
    signed: list[str] = []
    receipt = node.sender(tmp_path).send(WHERE, "0x", what="it", signed=lambda tx_hash, _: signed.append(tx_hash))
    times, transactions = zip(*node.sent, strict=True)
    assert [int(time) // STUCK for time in times] == [0, 1, 2]
    assert {one["nonce"] for one in transactions} == {3}
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert [one[fee] for one in transactions] == sorted({one[fee] for one in transactions})
    # Each was told before it was sent, and the one that was mined is among them.
    assert receipt.tx_hash == signed[2]


def test_one_that_is_never_mined_is_given_up(tmp_path: Path) -> None:
    node = Node(0, at=0)
    with pytest.raises(TransactionError, match=f"wasn't mined within {GIVEN_UP} s") as raised:
        node.sender(tmp_path).send(WHERE, "0x", what="it")
    assert GIVEN_UP <= node.now <= GIVEN_UP + SLOWEST
    assert "sends nothing twice" in str(raised.value.hint)
