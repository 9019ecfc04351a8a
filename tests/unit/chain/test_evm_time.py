"""How long a sender waits, in virtual time: a transaction that sticks is replaced, and given up in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Sender
from panachain.chain.failover import Failover
from panachain.chain.fees import GWEI
from panachain.chain.rpc import Rpc, RpcAnswerError
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


def test_heights_that_go_back_and_forth_are_no_new_blocks(tmp_path: Path) -> None:
    """Of several nodes now these answer in time, now those that lag: the chain stands still all the same."""

    class Swaying(Node):
        def call(self, method: str, params: Sequence[Any] = ()) -> Any:
            if method == "eth_blockNumber":
                return hex(7 - int(self.now) % 2)
            return super().call(method, params)

    with pytest.raises(ChainUnavailableError, match=r"no new block for 9\d s, the chain stands still at block 7"):
        Swaying(0, at=0).sender(tmp_path).send(WHERE, "0x", what="it")


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


class TestForgotten:
    """What an account sent before, and nodes forgot, took meanwhile, or don't want any more."""

    def sent_in_vain(self, node: Node, folder: Path, *data: str) -> None:
        for number, one in enumerate(data):
            node.answers["nonce"] = hex(3 + number)
            with pytest.raises(StuckError):
                node.sender(folder).send(WHERE, one, what="it")
        node.sent.clear()
        node.answers["nonce"] = "0x3"

    def test_all_of_them_are_sent_again_in_their_order(self, tmp_path: Path) -> None:
        node = Node(0, at=0)
        self.sent_in_vain(node, tmp_path, "0x12", "0x34")
        node.mines, node.at = len(node._hashes) + 1, 0
        node.sender(tmp_path).send(WHERE, "0x56", what="another")
        assert [(one["nonce"], one["data"]) for _, one in node.sent] == [(3, "0x12"), (4, "0x34"), (5, "0x56")]

    def test_what_was_mined_meanwhile_is_forgotten(self, tmp_path: Path) -> None:
        node = Node(0, at=0)
        self.sent_in_vain(node, tmp_path, "0x12", "0x34")
        node.answers["nonce"], node.counts["latest"] = "0x4", 4
        node.mines, node.at = len(node._hashes) + 1, 0
        node.sender(tmp_path).send(WHERE, "0x56", what="another")
        assert [(one["nonce"], one["data"]) for _, one in node.sent] == [(4, "0x34"), (5, "0x56")]

    def test_the_place_of_what_nodes_refuse_now_is_taken_by_the_next(self, tmp_path: Path) -> None:
        node = Node(0, at=0)
        self.sent_in_vain(node, tmp_path, "0x12", "0x34")

        def refuse(transaction: dict[str, Any]) -> None:
            if transaction["data"] == "0x12":
                raise RpcAnswerError("intrinsic gas too low")

        node.told = refuse
        node.mines, node.at = len(node._hashes) + 1, 0
        node.sender(tmp_path).send(WHERE, "0x56", what="another")
        # What came after it would be mined after the new one: it isn't sent again, since nobody waits for it here.
        assert [(one["nonce"], one["data"]) for _, one in node.sent] == [(3, "0x12"), (3, "0x56")]

    @pytest.mark.parametrize("words", ["already known", "nonce too low", "replacement transaction underpriced"])
    def test_one_that_the_node_has_after_all_keeps_its_place(self, tmp_path: Path, words: str) -> None:
        node = Node(0, at=0)
        self.sent_in_vain(node, tmp_path, "0x12")

        def has(transaction: dict[str, Any]) -> None:
            if transaction["data"] == "0x12":
                raise RpcAnswerError(words)

        node.told = has
        node.mines, node.at = len(node._hashes) + 1, 0
        node.sender(tmp_path).send(WHERE, "0x56", what="another")
        assert [one["nonce"] for _, one in node.sent] == [3, 4]


class TestFloor:
    """A node that names the least tip that it takes."""

    @pytest.mark.parametrize("needed", [GWEI + 1, 30 * GWEI])
    def test_is_met_at_once_and_both_were_told_before_they_were_sent(self, tmp_path: Path, needed: int) -> None:
        node = Node(1, at=0)
        first: list[dict[str, Any]] = []

        def floor(transaction: dict[str, Any]) -> None:
            if transaction["maxPriorityFeePerGas"] < needed:
                first.append(transaction)
                raise RpcAnswerError(f"gas tip cap 1, minimum needed {needed}")

        node.told = floor
        told: list[str] = []
        node.sender(tmp_path).send(WHERE, "0x12", what="it", signed=lambda tx_hash, _: told.append(tx_hash))
        assert len(first) == 1
        assert len(told) == len(node.sent) == 2
        (_, refused), (when, taken) = node.sent
        assert when == 0
        assert taken["maxPriorityFeePerGas"] >= needed
        assert (taken["nonce"], taken["data"], taken["gas"]) == (refused["nonce"], refused["data"], refused["gas"])

    @pytest.mark.parametrize("more", [{"max_fee": 3 * GWEI}, {"free": True}])
    def test_one_that_may_not_be_met_is_told_and_nothing_is_remembered(self, tmp_path: Path, more: Any) -> None:
        node = Node(1, at=0)

        def floor(_: dict[str, Any]) -> None:
            raise RpcAnswerError("gas price below minimum: minimum needed 30000000000")

        node.told = floor
        with pytest.raises(TransactionError, match=r"it: the chain refuses: .*minimum needed"):
            node.sender(tmp_path, **more).send(WHERE, "0x12", what="it")
        assert len(node.sent) == 1
        node.told = lambda _: None
        node.sender(tmp_path, **more).send(WHERE, "0x34", what="it")
        assert [(one["nonce"], one["data"]) for _, one in node.sent] == [(3, "0x12"), (3, "0x34")]

    def test_one_that_was_offered_already_is_no_reason_to_offer_more(self, tmp_path: Path) -> None:
        node = Node(1, at=0)

        def floor(_: dict[str, Any]) -> None:
            raise RpcAnswerError(f"something else, minimum needed {GWEI}")

        node.told = floor
        with pytest.raises(TransactionError, match="something else"):
            node.sender(tmp_path).send(WHERE, "0x12", what="it")
        assert len(node.sent) == 1

    @pytest.mark.parametrize(
        "words", ["transaction underpriced: gas tip cap 1, minimum needed 30000000000", "Underpriced"]
    )
    def test_of_one_that_pays_too_little_is_told_and_is_no_other_transaction(self, tmp_path: Path, words: str) -> None:
        """A pool that is full takes less and less from nobody: that isn't a nonce that another transaction has."""
        node = Node(0, at=0)

        def floor(_: dict[str, Any]) -> None:
            if len(node.sent) > 1:
                raise RpcAnswerError(words)

        node.told = floor
        with pytest.raises(StuckError, match=words):
            node.sender(tmp_path).send(WHERE, "0x12", what="it")
        assert (node.sent[-1][1]["maxPriorityFeePerGas"] >= 30 * GWEI) is ("minimum" in words)

    @pytest.mark.parametrize("needed", ["", ", minimum needed 30000000000"])
    def test_holds_for_what_only_uses_a_nonce_up(self, tmp_path: Path, needed: str) -> None:
        node = Node(0, at=0)
        held: list[tuple[str, str]] = []
        with pytest.raises(TransactionError):
            node.sender(tmp_path).send(WHERE, "0x12", what="it", signed=lambda *one: held.append(one))
        node.sent.clear()
        until = node.now + 30

        def floor(transaction: dict[str, Any]) -> None:
            if (needed and transaction["maxPriorityFeePerGas"] < 30 * GWEI) or (not needed and node.now < until):
                raise RpcAnswerError(f"transaction underpriced{needed}")
            node.counts = {"pending": 4, "latest": 4}

        node.told = floor
        node.sender(tmp_path).bury(held)
        assert len(node.sent) == 2 if needed else len(node.sent) > 2

        node.counts = {"pending": 3, "latest": 3}

        def refuses(_: dict[str, Any]) -> None:
            raise RpcAnswerError("transaction underpriced")

        node.told = refuses
        with pytest.raises(StuckError, match=r"wasn't mined within 120 s; .*underpriced"):
            node.sender(tmp_path).bury(held)

    def test_one_that_is_named_while_it_waits_counts_for_the_next_offer(self, tmp_path: Path) -> None:
        node = Node(0, at=0)

        def floor(transaction: dict[str, Any]) -> None:
            if len(node.sent) == 2:
                raise RpcAnswerError("gas price below minimum: minimum needed 30000000000")
            if len(node.sent) == 3:
                node.mines = 3

        node.told = floor
        node.sender(tmp_path).send(WHERE, "0x12", what="it")
        tips = [one["maxPriorityFeePerGas"] for _, one in node.sent]
        assert tips[0] < tips[1] < 30 * GWEI <= tips[2]


def test_what_the_node_said_of_the_last_attempt_is_told_with_what_sticks(tmp_path: Path) -> None:
    node = Node(0, at=0)

    def refuse(_: dict[str, Any]) -> None:
        if len(node.sent) > 1:
            raise RpcAnswerError("the pool is full")

    node.told = refuse
    with pytest.raises(StuckError, match=r"the node says: .*the pool is full"):
        node.sender(tmp_path).send(WHERE, "0x", what="it")


def test_a_free_chain_is_told_without_prices(tmp_path: Path) -> None:
    node = Node(0, at=0)
    with pytest.raises(StuckError) as told:
        node.sender(tmp_path, free=True).send(WHERE, "0x", what="it")
    assert "gwei" not in str(told.value)
    assert {one["maxFeePerGas"] for _, one in node.sent} == {0}
    # Nodes forget what waits: it is sent again as it is.
    assert len({one["nonce"] for _, one in node.sent}) == 1
    assert len(node.sent) == GIVEN_UP // STUCK


def test_one_that_was_mined_just_when_somebody_looked_closer_is_no_other_ones(tmp_path: Path) -> None:
    class Slow(Node):
        """Has the receipt when it is asked for alone only: between two questions the block came."""

        def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
            return [None if call[0] == "eth_getTransactionReceipt" else self.call(*call) for call in calls]

    node = Slow(1, at=0)
    node.told = lambda _: node.counts.update(latest=4)
    assert node.sender(tmp_path).send(WHERE, "0x", what="it").block == 7
    assert len(node.sent) == 1


def test_a_gap_that_nobody_of_the_nodes_knows_is_filled_as_soon_as_it_sticks(tmp_path: Path) -> None:
    node = Node(0, at=0)
    node.answers["nonce"] = "0x5"

    def dropped(transaction: dict[str, Any]) -> None:
        node.answers["nonce"] = "0x3"
        if transaction["nonce"] == 4:
            node.mines = 1

    node.told = dropped
    node.sender(tmp_path).send(WHERE, "0x12", what="it")
    assert [(one["nonce"], one["data"]) for _, one in node.sent[:3]] == [(5, "0x12"), (3, "0x"), (4, "0x")]
    assert node.now < 2 * STUCK
    # They pay as others do, and take what a transaction without anything in it takes.
    assert all(one["maxPriorityFeePerGas"] > 0 for _, one in node.sent)
    assert {one["gas"] for _, one in node.sent[1:3]} == {21_000}


@pytest.mark.parametrize("blocks", [5, 6, 7])
def test_a_slow_chain_is_given_six_blocks_and_no_more(tmp_path: Path, blocks: int) -> None:
    node = Node(1, at=blocks * 60 + 1)
    node.period = 60
    if blocks < 6:
        assert node.sender(tmp_path).send(WHERE, "0x", what="it").block == 7
        return
    with pytest.raises(StuckError, match="though the chain made 6 blocks"):
        node.sender(tmp_path).send(WHERE, "0x", what="it")


class Seen(Rpc):
    """How one of several nodes shows a chain: from a time on it knows that nonce 3 is used."""

    def __init__(self, url: str, chain: Node, since: float) -> None:
        super().__init__(url)
        self._chain, self._since = chain, since

    def exchange(self, body: bytes, what: str) -> Any:
        asked = json.loads(body)
        found = [self._said(one) for one in (asked if isinstance(asked, list) else [asked])]
        return found if isinstance(asked, list) else found[0]

    def _said(self, one: Any) -> dict[str, Any]:
        try:
            return {"id": one["id"], "result": self._answer(one["method"], one["params"])}
        except RpcAnswerError as exc:
            return {"id": one["id"], "error": {"code": exc.code, "message": str(exc)}}

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getTransactionCount":
            return hex(4 if self._chain.now >= self._since else 3)
        if method == "eth_sendRawTransaction" and decode_transaction(params[0])["nonce"] < 4:
            raise RpcAnswerError("nonce too low: next nonce 4, tx nonce 3", code=-32000)
        found = self._chain.call(method, params)
        return found | {"blockHash": "0x07"} if found and method == "eth_getTransactionReceipt" else found


class TestLaggingNodes:
    """One that is down and one that lags make an old nonce the next one, which the others refuse."""

    def sender(self, folder: Path, chain: Node, *since: float) -> Sender:
        nodes: Any = [Seen(f"http://{number}", chain, one) for number, one in enumerate(since)]
        account = Account(b"\x07" * 32)
        clock: Any = {"clock": lambda: chain.now, "sleep": chain.sleep}
        return Sender(Failover(nodes), 5, account, lock_folder=folder, **clock)

    @pytest.mark.parametrize("alone", [False, True])
    def test_the_next_nonce_is_taken_as_soon_as_most_nodes_know_it(self, tmp_path: Path, alone: bool) -> None:
        # Of the two that are signed the second one is mined: nobody takes the first.
        chain = Node(2, at=10)
        taken: list[float] = []
        sender = self.sender(tmp_path, chain, 0, 3, 3)
        receipt = sender.send(WHERE, "0x", what="it", alone=alone, taken=lambda: taken.append(chain.now))
        assert receipt.block == 7
        assert {one["nonce"] for _, one in chain.sent} == {4}
        # What must hold when a nonce is known is looked at with each.
        assert taken == [0, 1, 2, 3]

    def test_who_is_told_that_it_may_not_go_on_sends_nothing(self, tmp_path: Path) -> None:
        chain, asked = Node(1, at=10), list[float]()

        def taken() -> None:
            asked.append(chain.now)
            if chain.now:
                raise TransactionError("another machine published meanwhile")

        with pytest.raises(TransactionError, match="another machine"):
            self.sender(tmp_path, chain, 0, 3, 3).send(WHERE, "0x", what="it", alone=True, taken=taken)
        assert (asked, chain.sent) == ([0, 1], [])

    def test_nodes_that_lag_for_long_are_told_with_what_the_others_say(self, tmp_path: Path) -> None:
        chain = Node(0, at=0)
        with pytest.raises(TransactionError, match="nonce too low: next nonce 4"):
            self.sender(tmp_path, chain, 0, 1e9, 1e9).send(WHERE, "0x", what="it")
        assert (chain.sent, chain.now) == ([], 30)
