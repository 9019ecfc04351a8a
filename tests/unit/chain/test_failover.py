"""Several nodes as one connection: one that is down is passed over, and a transaction reaches all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from panachain.chain import failover, fees
from panachain.chain.ask import ask_all
from panachain.chain.failover import Failover, together
from panachain.chain.fees import Market
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, NodeRefusedError

ITS_URL = object()
SEND = "eth_sendRawTransaction"


class Node(Rpc):
    """A node that answers with its URL, or an error."""

    def __init__(self, url: str, error: Exception | None = None) -> None:
        super().__init__(url)
        self.error = error
        self.asked: list[str] = []
        self.closed = False
        self.answer: Any = ITS_URL
        """What it says to everything, or by method."""

    def exchange(self, body: bytes, what: str) -> Any:
        self.asked.append(what)
        if isinstance(self.error, ChainUnavailableError):
            raise self.error
        asked = json.loads(body)
        answers = [
            {"id": one["id"], "error": {"message": str(self.error)}}
            if self.error
            else {"id": one["id"], "result": self._answer(one["method"])}
            for one in (asked if isinstance(asked, list) else [asked])
        ]
        return answers if isinstance(asked, list) else answers[0]

    def _answer(self, method: str) -> Any:
        told = self.url if self.answer is ITS_URL else self.answer
        return told[method] if isinstance(told, dict) else told

    def close(self) -> None:
        self.closed = True


def nodes_of(*errors: Exception | None) -> list[Node]:
    return [Node(f"http://{letter}", error) for letter, error in zip("abcde", errors, strict=False)]


def ask(rpc: Rpc, method: str = "eth_call", params: Sequence[Any] = ()) -> Any:
    return rpc.call(method, params)


DOWN, REFUSED = ChainUnavailableError("down"), NodeRefusedError("not admitted")


def test_the_first_node_answers() -> None:
    nodes = nodes_of(None, None)
    rpc = Failover(nodes)

    assert ask(rpc) == "http://a"
    assert rpc.batch([("a", []), ("b", [])]) == ["http://a"] * 2
    assert (rpc.url, nodes[1].asked) == ("http://a", [])


@pytest.mark.parametrize("error", [DOWN, REFUSED])
def test_the_next_is_asked_where_one_is_down_which_is_asked_last_for_a_minute(error: Exception) -> None:
    now = [0.0]
    nodes = nodes_of(error, None)
    rpc = Failover(nodes, monotonic=lambda: now[0])

    assert [ask(rpc), ask(rpc)] == ["http://b"] * 2
    assert len(nodes[0].asked) == 1
    now[0] = 60.0
    ask(rpc)
    assert len(nodes[0].asked) == 2


def test_an_answer_that_is_an_error_is_an_answer() -> None:
    nodes = nodes_of(RpcAnswerError("execution reverted"), None)

    with pytest.raises(RpcAnswerError, match="reverted"):
        ask(Failover(nodes))


def test_without_any_node_the_first_ones_error_is_told() -> None:
    with pytest.raises(ChainUnavailableError, match="down"):
        ask(Failover(nodes_of(DOWN, REFUSED)))


@pytest.mark.parametrize("many", [False, True])
def test_a_transaction_goes_to_every_node(many: bool) -> None:
    nodes = nodes_of(None, None, None)
    rpc = Failover(nodes)

    rpc.batch([(SEND, ["0x1"]), (SEND, ["0x2"])]) if many else ask(rpc, SEND, ["0x1"])

    assert [len(node.asked) for node in nodes] == [1, 1, 1]


@pytest.mark.parametrize("error", [DOWN, REFUSED, RpcAnswerError("already known")])
def test_a_transaction_that_one_node_took_is_sent(error: Exception) -> None:
    assert ask(Failover(nodes_of(error, error, None)), SEND, ["0x1"]) == "http://c"


def test_what_nodes_say_of_a_transaction_is_told_before_that_one_is_down() -> None:
    with pytest.raises(RpcAnswerError, match="nonce too low"):
        ask(Failover(nodes_of(DOWN, RpcAnswerError("nonce too low"))), SEND, ["0x1"])


class TestAmounts:
    """Nonce, gas and base fee aren't one node's word."""

    COUNT = ("eth_getTransactionCount", ["0x1", "pending"])
    GAS = ("eth_estimateGas", [{}])
    BLOCK = ("eth_getBlockByNumber", ["latest", False])

    @staticmethod
    def nodes(*values: Any) -> list[Node]:
        """Return nodes of which each answers everything with its value."""
        made = nodes_of(*(value if isinstance(value, Exception) else None for value in values))
        for one, value in zip(made, values, strict=True):
            one.answer = value
        return made

    @pytest.mark.parametrize(
        ("said", "taken"),
        [
            (("0x3e8", "0x5", "0x5"), "0x5"),
            (("0x0", "0x5", "0x5"), "0x5"),
            # One honest node may not have seen the newest transaction.
            (("0x5", "0x6", "0x6"), "0x6"),
            (("0x5", "0x6", "0x3e8"), "0x6"),
            ((DOWN, "0x5", "0x3e8"), "0x5"),
            (("0x3e8", "0x3e8", "0x5", "0x5", "0x5"), "0x5"),
            (("0x0", "0x0", "0x5", "0x5", "0x5"), "0x5"),
            ((DOWN, DOWN, "0x5"), "0x5"),
            (("nonsense", "0x5", "0x5"), "0x5"),
            ((None, "0x5", "0x5"), "0x5"),
        ],
    )
    def test_are_what_most_nodes_say(self, said: Sequence[Any], taken: str) -> None:
        rpc = Failover(self.nodes(*said))
        assert [rpc.batch([one])[0] for one in (self.COUNT, self.GAS)] == [taken] * 2
        assert [ask(rpc, *one) for one in (self.COUNT, self.GAS)] == [taken] * 2

    def test_the_base_fee_comes_with_the_nonce(self) -> None:
        blocks = [{"baseFeePerGas": fee} for fee in ("0xffffffff", "0x7", "0x7")]
        nodes = self.nodes(*({self.BLOCK[0]: block, self.COUNT[0]: "0x5"} for block in blocks))
        assert Failover(nodes).batch([self.COUNT, self.BLOCK]) == ["0x5", blocks[1]]

    def test_one_node_that_says_it_would_revert_keeps_nothing_back(self) -> None:
        reverts = RpcAnswerError("reverted")
        assert ask(Failover(self.nodes(reverts, "0x5", "0x5")), *self.GAS) == "0x5"
        with pytest.raises(RpcAnswerError, match="reverted"):
            ask(Failover(self.nodes(reverts, reverts, "0x5")), *self.GAS)

    def test_without_any_node_the_first_ones_error_is_told(self) -> None:
        with pytest.raises(ChainUnavailableError, match="down"):
            ask(Failover(self.nodes(DOWN, DOWN)), *self.COUNT)

    def test_one_that_is_silent_is_not_waited_for_for_a_minute(self) -> None:
        nodes, now, late = self.nodes(DOWN, "0x5", "0x5"), [0.0], list[Any]()

        def asking(*args: Any, **more: Any) -> Any:
            late.append(list(more["late"]))
            return ask_all(*args, **more)

        rpc = Failover(nodes, monotonic=lambda: now[0])
        with patch.object(failover, "ask_all", asking):
            for moment in (0.0, 1.0, 59.0, 61.0):
                now[0] = moment
                assert ask(rpc, *self.COUNT) == "0x5"
        # Its minute isn't drawn out by nobody waiting for it.
        assert late == [[], [nodes[0].url], [nodes[0].url], []]


class TestNews:
    """What whoever waits for a transaction asks: one node that lags or lies neither ends the wait nor draws it out."""

    ASKED: ClassVar = [("eth_getTransactionReceipt", ["0x1"]), ("eth_blockNumber", [])]

    def answers(self, *said: tuple[Any, str]) -> list[Any]:
        nodes = [Node(f"http://{place}") for place in range(len(said))]
        for node, (block, height) in zip(nodes, said, strict=True):
            receipt = {"blockHash": block} if isinstance(block, str) else block
            node.answer = {"eth_getTransactionReceipt": receipt, "eth_blockNumber": height}
        rpc = Failover(nodes)
        found = rpc.batch(self.ASKED)
        assert found == [rpc.call(method, params) for method, params in self.ASKED]
        return found

    @pytest.mark.parametrize(
        ("said", "receipt", "height"),
        [
            # The first one is cut off: it knows neither the block nor the transaction.
            ([(None, "0x5"), ("0xa", "0x9"), ("0xa", "0x9"), ("0xa", "0x9")], {"blockHash": "0xa"}, "0x9"),
            # The first one says that all is done, and that the chain is far ahead.
            ([("0xf", "0xffff"), (None, "0x9"), (None, "0x9"), (None, "0x8")], None, "0x9"),
            ([("0xa", "0x9"), (None, "0x8"), (None, "0x8")], None, "0x8"),
            ([("0xa", "0x9"), ("0xb", "0x9"), ("0xa", "0x9")], {"blockHash": "0xa"}, "0x9"),
            ([("0xa", "0x9"), ("0xb", "0x9"), ({}, "0x9")], None, "0x9"),
            ([(17, "0x9"), ([], "0x9"), ("", "0x9")], None, "0x9"),
        ],
    )
    def test_are_what_most_nodes_have(self, said: Any, receipt: Any, height: str) -> None:
        assert self.answers(*said) == [receipt, height]

    def test_of_nodes_that_are_down_nothing_is_known(self) -> None:
        nodes = nodes_of(DOWN, DOWN, None)
        nodes[2].answer = {"eth_getTransactionReceipt": {"blockHash": "0xa"}, "eth_blockNumber": "0x9"}
        assert Failover(nodes).batch(self.ASKED) == [{"blockHash": "0xa"}, "0x9"]
        with pytest.raises(ChainUnavailableError, match="down"):
            Failover(nodes[:2]).batch(self.ASKED)


def test_one_node_needs_no_other() -> None:
    nodes = nodes_of(None)
    assert together(nodes) is nodes[0]


def test_closes_all() -> None:
    nodes = nodes_of(None, None)
    together(nodes).close()
    assert all(node.closed for node in nodes)


def test_fees_are_what_most_nodes_say() -> None:
    """One that names a tip of a thousand gwei, in its history or as its suggestion, makes nobody pay it."""

    def history(tip: int) -> dict[str, Any]:
        return {"baseFeePerGas": ["0x5", "0x7"], "gasUsedRatio": [0.5], "reward": [[hex(tip)]]}

    nodes = nodes_of(None, None, None)
    for place, tip in enumerate((10**12, 3, 3)):
        nodes[place].answer = {
            "eth_getBlockByNumber": {"baseFeePerGas": "0x7"},
            "eth_feeHistory": history(tip),
            "eth_maxPriorityFeePerGas": hex(tip),
        }
    assert fees.ask(Failover(nodes)) == Market(7, 3)


@pytest.mark.parametrize("damaged", [{"baseFeePerGas": [], "reward": 7}, {"baseFeePerGas": ["x"]}])
def test_a_damaged_history_is_not_counted(damaged: dict[str, Any]) -> None:
    nodes = nodes_of(None, None, None)
    for node in nodes:
        node.answer = {"eth_getTransactionCount": "0x5", "eth_feeHistory": {"baseFeePerGas": ["0x7"]}}
    nodes[0].answer = nodes[0].answer | {"eth_feeHistory": damaged}
    asked = [("eth_getTransactionCount", []), ("eth_feeHistory", [])]
    assert Failover(nodes).batch(asked) == ["0x5", {"baseFeePerGas": ["0x7"]}]
