"""How long a sender waits, in virtual time: a transaction that sticks is replaced, and given up in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Sender
from panachain.chain.fees import GWEI
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import ChainUnavailableError, StuckError, TransactionError

WHERE = "0x" + "11" * 20
STUCK, GIVEN_UP, SLOWEST = 20, 120, 1.0
"""Seconds: before it pays more, in all, and between two questions."""


def history(bases: Sequence[int], tips: Sequence[int]) -> dict[str, Any]:
    """Return a fee history of full blocks: base fees, one more than tips."""
    return {
        "baseFeePerGas": list(map(hex, bases)),
        "gasUsedRatio": [1.0 for _ in tips],
        "reward": [[hex(tip)] for tip in tips],
    }


class Node:
    """Mines the transaction with a number, 1 for the first, at a time; and is the clock."""

    def __init__(self, mines: int, at: float) -> None:
        self.mines, self.at, self.now = mines, at, 0.0
        self.period = 2.0
        """Seconds between two blocks."""
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.slept: list[float] = []
        self.counts = {"pending": 3, "latest": 3}
        self.answers: dict[str, Any] = {}
        self.told: Callable[[dict[str, Any]], object] = lambda _: None
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
            return (
                self.answers.get("nonce")
                if params[1] == "pending" and "nonce" in self.answers
                else hex(self.counts[params[1]])
            )
        if method == "eth_sendRawTransaction":
            self.sent.append((self.now, decode_transaction(params[0])))
            self.told(self.sent[-1][1])
            return None
        if method == "eth_blockNumber":
            return hex(int(self.now / self.period))
        if method in self.answers:
            return self.answers[method]
        if method != "eth_getTransactionReceipt":
            raise RpcAnswerError(f"{method}: the method isn't here", code=-32601)
        if params[0] not in self._hashes:
            self._hashes.append(params[0])
        if self._hashes.index(params[0]) + 1 != self.mines or self.now < self.at:
            return None
        return {"transactionHash": params[0], "blockNumber": "0x7", "gasUsed": "0x1", "logs": [], "status": "0x1"}

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*call) for call in calls]

    def sender(self, folder: Path, **more: Any) -> Sender:
        account = Account(b"\x07" * 32)
        clock: Any = {"clock": lambda: self.now, "sleep": self.sleep}
        return Sender(self, 5, account, lock_folder=folder, **clock, **more)  # type: ignore[arg-type]


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


def test_a_chain_that_stands_still_is_told_from_one_that_goes_on(tmp_path: Path) -> None:
    node = Node(0, at=0)
    node.period = 1e9
    with pytest.raises(ChainUnavailableError, match=r"no new block for 9\d s, the chain stands still at block 0"):
        node.sender(tmp_path).send(WHERE, "0x", what="it")
    # It was offered more once meanwhile: a chain that mines on demand may have wanted that.
    assert 1 < len(node.sent) < 6


def test_a_slow_chain_gets_the_blocks_that_it_needs(tmp_path: Path) -> None:
    node = Node(1, at=300)
    node.period = 60
    assert node.sender(tmp_path).send(WHERE, "0x", what="it").block == 7


def test_what_sticks_is_told_with_what_it_pays_and_what_others_paid(tmp_path: Path) -> None:
    node = Node(0, at=0)
    node.answers["eth_feeHistory"] = history([20 * GWEI] * 3, [30 * GWEI] * 2)
    with pytest.raises(
        StuckError, match=r"tip \S+ gwei, at most 100 gwei per gas; the newest blocks took a base fee of 20"
    ) as told:
        node.sender(tmp_path, max_fee=100 * GWEI).send(WHERE, "0x", what="it")
    assert told.value.exit_code == 3
    assert all(one["maxFeePerGas"] <= 100 * GWEI for _, one in node.sent)


def test_a_nonce_that_nobody_fills_is_filled_with_nothing(tmp_path: Path) -> None:
    """Transactions of another machine were dropped: those after them would wait for ever."""
    node = Node(0, at=0)
    node.counts = {"pending": 3, "latest": 3}
    sender = node.sender(tmp_path)
    node.answers["nonce"] = "0x5"
    node.counts["latest"] = 3

    def freed(raw: dict[str, Any]) -> None:
        if raw["nonce"] == 4:
            node.mines = 1

    node.told = freed
    sender.send(WHERE, "0x12", what="it")
    nothing = [one for _, one in node.sent if one["data"] == "0x"]
    assert [one["nonce"] for one in nothing] == [3, 4]
    assert {one["to"].lower() for one in nothing} == {sender.address.lower()}


def test_what_nodes_forgot_is_sent_again_before_the_next(tmp_path: Path) -> None:
    node = Node(0, at=0)
    with pytest.raises(StuckError):
        node.sender(tmp_path).send(WHERE, "0x12", what="it")
    newest = node.sent[-1][1]
    node.sent.clear()
    node.mines, node.at = len(node._hashes) + 1, 0
    node.sender(tmp_path).send(WHERE, "0x34", what="another")
    assert [(one["nonce"], one["data"]) for _, one in node.sent] == [(3, "0x12"), (4, "0x34")]
    assert newest["nonce"] == 3


def test_one_that_another_machine_overtook_is_told(tmp_path: Path) -> None:
    node = Node(0, at=0)
    sender = node.sender(tmp_path)
    node.told = lambda raw: node.counts.update(latest=4)
    with pytest.raises(TransactionError, match="another transaction of this account took nonce 3"):
        sender.send(WHERE, "0x", what="it")
