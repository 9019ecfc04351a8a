"""Nodes of a chain, each a function: a lie is found and its node named, and the next node is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from panachain.chain.block_receipts import ordered_root
from panachain.chain.nodes import Nodes
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, NodeRefusedError
from tests.unit.chain.test_block_receipts import block_of as receipts_of
from tests.unit.chain.test_headers import block_of

WHERE = b"\x11" * 20


class Node(Rpc):
    """A node that holds a chain of blocks, one transaction with one log in each."""

    def __init__(self, length: int = 5, url: str = "http://node") -> None:
        super().__init__(url)
        self.blocks: list[dict[str, Any]] = []
        self.receipts: dict[str, list[dict[str, Any]]] = {}
        self.lacks: dict[str, Exception] = {}
        """What it answers to methods that it doesn't have."""
        for number in range(length):
            self.mine(number)

    def mine(self, data: int) -> None:
        header, receipts = receipts_of([(2, 1, [(WHERE, [], bytes([data]))])])
        parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "00" * 32
        block = block_of(len(self.blocks), parent, receipt_root=header.receipts_root)
        self.blocks.append(block | {"transactions": [one["transactionHash"] for one in receipts]})
        self.receipts[block["hash"]] = receipts

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        return self.answer(method, params)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.answer(method, params) for method, params in calls]

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method in self.lacks:
            raise self.lacks[method]
        if method == "eth_getBlockByNumber":
            if params[0] == "latest":
                return self.blocks[-1]
            number = int(params[0], 16)
            return self.blocks[number] if number < len(self.blocks) else None
        if method == "eth_getBlockByHash":
            return next((block for block in self.blocks if block["hash"] == params[0]), None)
        if method == "eth_getBlockReceipts":
            return self.receipts.get(params[0])
        assert method == "eth_getTransactionReceipt"
        return next(one for found in self.receipts.values() for one in found if one["transactionHash"] == params[0])


def nodes_of(*nodes: Node) -> Nodes:
    return Nodes(nodes, chain_id=5)


class TestHeaders:
    def test_gives_a_linked_chain_up_to_the_head(self) -> None:
        node = Node()
        nodes = nodes_of(node)

        headers = nodes.headers(0, 4)

        assert [header.hash for header in headers] == [block["hash"] for block in node.blocks]
        assert nodes.head() == headers[-1]
        assert nodes.header_at(2) == headers[2]

    def test_a_broken_link_names_the_node(self) -> None:
        node = Node()
        node.blocks[2] = block_of(2, "0x" + "77" * 32)

        with pytest.raises(IntegrityError, match=r"http://node .*as its parent"):
            nodes_of(node).headers(0, 4)

    def test_another_block_than_was_asked_for_names_the_node(self) -> None:
        node = Node()
        node.blocks[2] = node.blocks[3]

        with pytest.raises(IntegrityError, match="http://node"):
            nodes_of(node).header_at(2)

    def test_a_forged_header_names_the_node(self) -> None:
        node = Node()
        node.blocks[-1] = node.blocks[-1] | {"logsBloom": "0x" + "00" * 255 + "01"}

        with pytest.raises(IntegrityError, match=r"http://node .*has hash"):
            nodes_of(node).head()


class TestLogs:
    def test_gives_the_logs_of_each_block(self) -> None:
        nodes = nodes_of(Node(40))

        found = nodes.logs(nodes.headers(0, 39))

        assert [[log.data for log in logs] for logs in found] == [[bytes([number])] for number in range(40)]
        assert [logs[0].block_hash for logs in found] == [header.hash for header in nodes.headers(0, 39)]

    def test_an_altered_log_and_a_missing_receipt_name_the_node(self) -> None:
        node = Node()
        nodes = nodes_of(node)
        headers = nodes.headers(0, 4)
        good = node.receipts[headers[3].hash]

        for wrong in ([], good * 2, [good[0] | {"logs": []}], None):
            node.receipts[headers[3].hash] = wrong  # type: ignore[assignment]
            with pytest.raises(IntegrityError, match=r"http://node .*block 3"):
                nodes.logs(headers)

    @pytest.mark.parametrize("error", [RpcAnswerError("no such method", code=-32601), NodeRefusedError("not passed")])
    def test_a_node_without_receipts_of_blocks_is_asked_for_each(self, error: Exception) -> None:
        node = Node(1)
        node.lacks["eth_getBlockReceipts"] = error
        nodes = nodes_of(node)

        assert [log.data for log in nodes.logs(nodes.headers(0, 0))[0]] == [b"\x00"]

    def test_a_node_without_any_receipts_says_so(self) -> None:
        node = Node(1)
        node.lacks |= {
            "eth_getBlockReceipts": RpcAnswerError("no such method", code=-32601),
            "eth_getTransactionReceipt": RpcAnswerError("no such method", code=-32601),
        }
        nodes = nodes_of(node)

        with pytest.raises(IntegrityError, match="eth_getBlockReceipts"):
            nodes.logs(nodes.headers(0, 0))

    def test_a_node_that_limits_its_answers_is_asked_for_less(self) -> None:
        class Limited(Node):
            def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
                if calls[0][0] == "eth_getBlockReceipts" and len(calls) > 1:
                    raise RpcAnswerError("the answer is too large")
                return super().batch(calls)

        nodes = nodes_of(Limited(9))
        assert [len(logs) for logs in nodes.logs(nodes.headers(0, 8))] == [1] * 9


class TestSeveral:
    def test_the_next_node_is_asked_when_one_is_down_or_lies(self) -> None:
        down, liar, good = Node(url="http://down"), Node(url="http://liar"), Node(url="http://good")
        down.lacks["eth_getBlockByNumber"] = ChainUnavailableError("down")
        liar.blocks[-1] = liar.blocks[-1] | {"gasUsed": "0x7"}

        assert nodes_of(down, liar, good).head().hash == good.blocks[-1]["hash"]


def test_an_empty_block_has_the_root_of_an_empty_tree() -> None:
    node = Node(0)
    node.blocks.append(block_of(0, receipt_root=ordered_root([])))
    node.receipts[node.blocks[0]["hash"]] = []
    nodes = nodes_of(node)

    assert nodes.logs(nodes.headers(0, 0)) == [[]]
