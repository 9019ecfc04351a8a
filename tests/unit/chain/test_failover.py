"""Several nodes as one connection: one that is down is passed over, and a transaction reaches all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from panachain.chain.failover import Failover, together
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, NodeRefusedError

SEND = "eth_sendRawTransaction"


class Node(Rpc):
    """A node that answers with its URL, or an error."""

    def __init__(self, url: str, error: Exception | None = None) -> None:
        super().__init__(url)
        self.error = error
        self.asked: list[str] = []
        self.closed = False

    def exchange(self, body: bytes, what: str) -> Any:
        self.asked.append(what)
        if isinstance(self.error, ChainUnavailableError):
            raise self.error
        asked = json.loads(body)
        answers = [
            {"id": one["id"], "error": {"message": str(self.error)}}
            if self.error
            else {"id": one["id"], "result": self.url}
            for one in (asked if isinstance(asked, list) else [asked])
        ]
        return answers if isinstance(asked, list) else answers[0]

    def close(self) -> None:
        self.closed = True


def nodes_of(*errors: Exception | None) -> list[Node]:
    return [Node(f"http://{letter}", error) for letter, error in zip("abc", errors, strict=False)]


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


def test_one_node_needs_no_other() -> None:
    nodes = nodes_of(None)
    assert together(nodes) is nodes[0]


def test_closes_all() -> None:
    nodes = nodes_of(None, None)
    together(nodes).close()
    assert all(node.closed for node in nodes)
