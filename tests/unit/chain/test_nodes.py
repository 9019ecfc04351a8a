"""Nodes of a chain, each a function: a lie is found and its node named, and enough true ones outvote it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from panachain.chain import nodes as nodes_module
from panachain.chain.ask import ask_all
from panachain.chain.headers import Header
from panachain.chain.nodes import MAX_AHEAD, Anchor, LaggingError, Nodes, ReorganisedError, UnprovableError, majority
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, NodeRefusedError
from tests.unit.chain.test_block_receipts import block_of as receipts_of
from tests.unit.chain.test_headers import block_of
from tests.unit.chain.test_proofs import CONTRACT, State

WHERE = b"\x11" * 20
START = 1_700_000_000
NOW = START + 12 * 100
STATE = State({7: 11, 8: 0x2200}, others=3)


class Node(Rpc):
    """A node that holds a chain of blocks, one transaction with one log in each."""

    def __init__(self, length: int = 5, url: str = "http://node", *, first: int = 0) -> None:
        super().__init__(url)
        self.chain_id = 5
        self.blocks: list[dict[str, Any]] = []
        self.receipts: dict[str, Any] = {}
        self.lacks: dict[str, Exception] = {}
        """What it answers to methods that it doesn't have."""
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        """Called before each answer."""
        for number in range(length):
            self.mine(first + number)

    def mine(self, data: int = 0, *, time: int | None = None) -> None:
        header, receipts = receipts_of([(2, 1, [(WHERE, [], bytes([data % 256]))])])
        parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "00" * 32
        block = block_of(len(self.blocks), parent, receipt_root=header.receipts_root, state_root=STATE.root, time=time)
        self.blocks.append(block | {"transactions": [one["transactionHash"] for one in receipts]})
        self.receipts[block["hash"]] = receipts

    def fork(self, at: int, length: int, data: int = 200) -> Node:
        """Leave the chain after block `at`, and make as many other blocks."""
        del self.blocks[at + 1 :]
        for _ in range(length):
            self.mine(data)
        return self

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        return self.answer(method, params)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.answer(method, params) for method, params in calls]

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        self.asked.append(method)
        self.before(method)
        if method in self.lacks:
            raise self.lacks[method]
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_blockNumber":
            return hex(len(self.blocks) - 1)
        if method == "eth_getBlockByNumber":
            if params[0] == "latest":
                return self.blocks[-1]
            number = int(params[0], 16)
            return self.blocks[number] if number < len(self.blocks) else None
        if method == "eth_getBlockByHash":
            return next((block for block in self.blocks if block["hash"] == params[0]), None)
        if method == "eth_getBlockReceipts":
            return self.receipts.get(params[0])
        if method == "eth_getProof":
            return STATE.answer(*[int(slot, 16) for slot in params[1]])
        assert method == "eth_getTransactionReceipt"
        return next(one for found in self.receipts.values() for one in found if one["transactionHash"] == params[0])


class Down(Node):
    """A node that doesn't answer."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        raise ChainUnavailableError(f"{self.url} is down")


def nodes_of(*nodes: Node, **options: Any) -> Nodes:
    return Nodes(nodes, chain_id=5, clock=lambda: NOW, **options)


def named(count: int, length: int = 5) -> list[Node]:
    """Return nodes of one chain: http://a, http://b …"""
    return [Node(length, f"http://{letter}") for letter in "abcdefg"[:count]]


def test_one_that_gave_no_answer_is_not_waited_for_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = named(3)
    now, late = [0.0], list[Any]()

    def asking(*args: Any, **more: Any) -> Any:
        late.append(set(more.get("late", ())))
        return ask_all(*args, **more)

    nodes = nodes_of(first, *others, monotonic=lambda: now[0])
    nodes.head()
    first.lacks["eth_getBlockByNumber"] = ChainUnavailableError("it hangs")
    nodes.head()
    monkeypatch.setattr(nodes_module, "ask_all", asking)
    for moment in (1.0, 59.0, 61.0):
        now[0], asked = moment, len(late)
        nodes.head()
        # Not waiting for it doesn't draw its minute out.
        assert late[asked] == ({first.url} if moment < 60 else set())


class TestSession:
    def test_a_node_of_another_chain_is_named(self) -> None:
        node = Node()
        node.chain_id = 6

        with pytest.raises(IntegrityError, match=r"http://node .*chain 6, not 5"):
            nodes_of(node).head()

    def test_a_node_that_gives_another_block_for_the_deployments_is_named(self) -> None:
        for wrong in (0, 3):
            node = Node()
            node.blocks[wrong] = node.blocks[1]
            with pytest.raises(IntegrityError, match=r"http://node .*another block than the one that was asked for"):
                nodes_of(node, anchor=Anchor(3)).head()

    def test_its_chain_is_compared_before_anything_else_is_asked_and_once(self) -> None:
        node = Node()
        nodes = nodes_of(node)

        nodes.headers(0, 4)
        nodes.logs(nodes.headers(1, 2))

        assert node.asked[:2] == ["eth_chainId", "eth_getBlockByNumber"]
        assert node.asked.count("eth_chainId") == 1

    def test_a_chain_without_the_deployments_block_is_refused(self) -> None:
        node, other = Node(), Node(first=50)
        right = Anchor(3, node.blocks[3]["hash"])

        assert nodes_of(node, anchor=right).head().number == 4
        with pytest.raises(IntegrityError, match=r"http://node .*the network's description says"):
            nodes_of(other, anchor=right).head()

    def test_one_that_has_not_come_so_far_is_no_liar(self) -> None:
        with pytest.raises(ChainUnavailableError, match="doesn't have block 9 yet"):
            nodes_of(Node(), anchor=Anchor(9)).head()

    def test_of_several_the_one_of_another_chain_is_passed_over_and_named(self) -> None:
        nodes = [*named(2), Node(9, "http://other", first=50)]
        agreed = nodes_of(*nodes)

        assert agreed.head().hash == nodes[0].blocks[-1]["hash"]
        assert agreed.named.keys() == {"http://other"}
        assert "genesis" in agreed.named["http://other"]

    def test_several_of_different_chains_are_refused(self) -> None:
        with pytest.raises(IntegrityError, match=r"different chains: http://a .*http://other"):
            nodes_of(*named(1), Node(url="http://other", first=50)).head()

    def test_one_that_was_down_at_first_is_compared_when_it_comes_back(self) -> None:
        nodes = named(3)
        nodes[2].lacks["eth_chainId"] = ChainUnavailableError("down")
        agreed = nodes_of(*nodes)
        agreed.head()
        nodes[2].lacks.clear()
        nodes[2].chain_id = 6

        agreed.head()

        assert "chain 6" in agreed.named["http://c"]

    def test_one_that_was_down_at_first_and_is_of_the_chain_counts_when_it_comes_back(self) -> None:
        nodes = named(3)
        nodes[2].lacks["eth_chainId"] = ChainUnavailableError("down")
        agreed = nodes_of(*nodes)
        agreed.head()
        nodes[2].lacks.clear()
        nodes[1].lacks["eth_getBlockByNumber"] = ChainUnavailableError("down")

        assert agreed.head().number == 4
        assert "another one than the others'" not in str(agreed.named)


class TestHead:
    def test_is_the_newest_block_of_a_single_node(self) -> None:
        node = Node()
        nodes = nodes_of(node)

        assert nodes.head().hash == node.blocks[-1]["hash"]
        assert not nodes.several

    def test_a_forged_header_names_the_node(self) -> None:
        node = Node()
        node.blocks[-1] = node.blocks[-1] | {"logsBloom": "0x" + "00" * 255 + "01"}

        with pytest.raises(IntegrityError, match=r"http://node .*has hash"):
            nodes_of(node).head()

    @pytest.mark.parametrize("ahead", [MAX_AHEAD + 1, 3600, 30 * 86_400])
    def test_from_the_future_is_refused_and_names_the_node(self, ahead: int) -> None:
        node = Node()
        node.mine(time=NOW + ahead)

        with pytest.raises(IntegrityError, match=rf"http://node .*{ahead} s ahead of this machine's clock") as caught:
            nodes_of(node).head()
        assert "clock is wrong" in caught.value.hint

    @pytest.mark.parametrize("ahead", [-30 * 86_400, 0, 15, MAX_AHEAD])
    def test_up_to_the_bound_is_taken(self, ahead: int) -> None:
        node = Node()
        node.mine(time=NOW + ahead)

        assert nodes_of(node).head().time == NOW + ahead

    def test_the_bound_is_less_than_the_hour_that_a_lie_is_worth(self) -> None:
        assert MAX_AHEAD < 3600

    def test_of_several_one_from_the_future_is_outvoted_and_named(self) -> None:
        nodes = named(3)
        nodes[0].mine(time=NOW + 3600)
        agreed = nodes_of(*nodes)

        assert agreed.head().number == 4
        assert agreed.named.keys() == {"http://a"}

    def test_one_that_lags_holds_up_nobody_and_is_no_liar(self) -> None:
        nodes = named(3, 9)
        nodes[1].fork(3, 0)
        agreed = nodes_of(*nodes)

        assert agreed.head().hash == nodes[0].blocks[-1]["hash"]
        assert not agreed.named

    def test_one_that_runs_ahead_alone_and_hangs_holds_up_nobody(self) -> None:
        never = threading.Event()
        waited_for: list[str] = []

        class Hangs(Node):
            def answer(self, method: str, params: Sequence[Any]) -> Any:
                if method == "eth_getBlockByNumber" and params[0] == "0x4" and not never.wait(60):
                    waited_for.append(method)
                return super().answer(method, params)

        agreed = nodes_of(*named(2), Hangs(9, "http://ahead"))

        assert agreed.head().number == 4
        assert not waited_for
        never.set()

    def test_is_the_newest_block_that_enough_have(self) -> None:
        nodes = named(3, 9)
        nodes[0].mine()
        nodes[1].fork(3, 0)

        assert nodes_of(*nodes).head().number == 8
        assert nodes_of(*nodes, quorum=3).head().number == 3
        assert nodes_of(*nodes, quorum=1).head().number == 9

    def test_one_that_claims_to_be_far_ahead_is_passed_over(self) -> None:
        nodes = named(3)
        for _ in range(50):
            nodes[2].mine(7, time=NOW)

        assert nodes_of(*nodes).head().hash == nodes[0].blocks[-1]["hash"]

    def test_a_fork_below_the_agreed_head_names_its_node(self) -> None:
        nodes = named(3, 9)
        nodes[1].fork(4, 4)
        agreed = nodes_of(*nodes)

        assert agreed.head().hash == nodes[0].blocks[-1]["hash"]
        assert agreed.named.keys() == {"http://b"}
        assert "shows block" in agreed.named["http://b"]

    def test_two_blocks_on_one_parent_are_a_race_and_nobodys_lie(self) -> None:
        nodes = named(3, 9)
        nodes[1].fork(7, 1)
        agreed = nodes_of(*nodes)

        assert agreed.head().hash == nodes[0].blocks[-1]["hash"]
        assert not agreed.named

    def test_where_the_newest_block_is_disputed_an_older_one_is_agreed_on(self) -> None:
        nodes = named(2, 9)
        nodes[1].fork(5, 3)

        # It steps back by ever more: 8, 7, 6, 4.
        assert nodes_of(*nodes).head().hash == nodes[0].blocks[4]["hash"]

    def test_the_oldest_block_in_sight_is_looked_at_too(self) -> None:
        nodes = named(3, length=6)
        for number, node in enumerate(nodes[:2]):
            node.fork(0, 5, data=100 + number)
        assert nodes_of(*nodes, quorum=2).head().number == 0

    def test_where_nothing_new_is_agreed_on_all_are_named(self) -> None:
        nodes = named(2, 100)
        nodes[1].fork(10, 89)

        with pytest.raises(IntegrityError, match=r"fewer than 2 nodes agree.*http://a shows .*http://b shows"):
            nodes_of(*nodes).head()

    def test_liars_below_the_quorum_forge_no_head(self) -> None:
        for liars in range(1, 4):
            nodes = named(7, 9)
            for one in nodes[:liars]:
                one.fork(2, 40, 99)
            assert nodes_of(*nodes).head().hash == nodes[-1].blocks[-1]["hash"]

    def test_too_few_that_answer_are_told_each_by_its_name(self) -> None:
        with pytest.raises(ChainUnavailableError, match=r"2 of 3 nodes must agree.*http://x.*http://y"):
            nodes_of(*named(1), Down(url="http://x"), Down(url="http://y")).head()

    def test_with_too_few_left_the_liar_is_told_before_those_that_are_down(self) -> None:
        liar = Node(url="http://liar")
        liar.blocks[-1] = liar.blocks[-1] | {"gasUsed": "0x7"}

        with pytest.raises(IntegrityError, match=r"http://liar isn't believed.*http://down"):
            nodes_of(*named(1), liar, Down(url="http://down")).head()

    def test_a_node_that_refuses_the_question_is_unavailable(self) -> None:
        node = Node()
        node.lacks["eth_getBlockByNumber"] = RpcAnswerError("too many requests")

        with pytest.raises(ChainUnavailableError, match=r"http://node refuses .*too many requests"):
            nodes_of(node).head()

    def test_a_liar_is_told_once_by_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        nodes = named(3)
        nodes[1].blocks[-1] = nodes[1].blocks[-1] | {"gasUsed": "0x7"}
        agreed = nodes_of(*nodes)

        with caplog.at_level(logging.WARNING):
            agreed.head()
            agreed.head()

        assert [record.getMessage().split(" isn't")[0] for record in caplog.records] == ["the node at http://b"]

    def test_a_node_alone_is_told_by_the_error_and_not_by_the_log_too(self, caplog: pytest.LogCaptureFixture) -> None:
        for count in (1, 2):
            nodes = named(count)
            nodes[0].blocks[-1] = nodes[0].blocks[-1] | {"gasUsed": "0x7"}
            caplog.clear()
            with caplog.at_level(logging.WARNING), pytest.raises(IntegrityError):
                nodes_of(*nodes).head()
            assert len(caplog.records) == count - 1

    @pytest.mark.parametrize(("anchor", "numbers"), [(None, [0]), (Anchor(), [0]), (Anchor(3), [0, 3])])
    def test_genesis_and_the_deployments_block_are_compared(self, anchor: Anchor | None, numbers: list[int]) -> None:
        class Watched(Node):
            def answer(self, method: str, params: Sequence[Any]) -> Any:
                if method == "eth_getBlockByNumber" and params[0] != "latest":
                    asked.append(int(params[0], 16))
                return super().answer(method, params)

        asked: list[int] = []
        nodes_of(Watched(), anchor=anchor).head()
        assert asked == numbers


class TestHeaders:
    def test_gives_a_linked_chain_up_to_the_head(self) -> None:
        node = Node()
        nodes = nodes_of(node)

        headers = nodes.headers(0, 4)

        assert [header.hash for header in headers] == [block["hash"] for block in node.blocks]
        assert nodes.head() == headers[-1]
        assert nodes.header_at(2) == headers[2]
        assert nodes.headers(3, 2) == []

    def test_blocks_too_large_for_one_answer_are_asked_for_in_halves(self) -> None:
        class Limited(Node):
            def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
                if calls[0][0] == "eth_getBlockByNumber" and len(calls) > 2:
                    raise RpcAnswerError("the answer is too large")
                return super().batch(calls)

        node = Limited(9)
        assert [one.hash for one in nodes_of(node).headers(0, 8)] == [block["hash"] for block in node.blocks]

    def test_a_broken_link_names_the_node(self) -> None:
        node = Node()
        node.blocks[2] = block_of(2, "0x" + "77" * 32)

        with pytest.raises(IntegrityError, match=r"http://node .*as its parent"):
            nodes_of(node).headers(0, 4)

    def test_another_block_than_was_asked_for_names_the_node(self) -> None:
        node = Node()
        node.blocks[2] = node.blocks[3]

        with pytest.raises(IntegrityError, match=r"http://node .*block 3 for block 2"):
            nodes_of(node).header_at(2)

    def test_a_block_that_there_is_not_is_unavailable(self) -> None:
        with pytest.raises(ChainUnavailableError, match=r"http://node doesn't have block 9"):
            nodes_of(Node()).header_at(9)

    @pytest.mark.parametrize("hole", [0, 2, 3])
    def test_a_hole_below_the_head_is_unavailable_and_names_its_number(self, hole: int) -> None:
        node = Node()
        nodes = nodes_of(node)
        nodes.head()
        node.blocks[hole] = None  # type: ignore[call-overload]
        with pytest.raises(ChainUnavailableError, match=rf"http://node doesn't have block {hole}$"):
            nodes.headers(0, 4)
        assert not nodes.named

    def test_a_node_that_gives_not_even_one_block_at_once_is_unavailable(self) -> None:
        class Refusing(Node):
            def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
                if len(calls) and calls[0][0] == "eth_getBlockByNumber":
                    asked.append(len(calls))
                    raise RpcAnswerError("the answer is too large")
                return super().batch(calls)

        asked: list[int] = []
        nodes = nodes_of(Refusing(9))
        with pytest.raises(ChainUnavailableError, match=r"http://node refuses a question: .*too large"):
            nodes.headers(0, 8)
        assert asked == [8, 4, 2, 1]

    @pytest.mark.parametrize("first", [0, 1, 4, 499, 500, 501])
    def test_many_are_asked_for_in_bounded_questions_and_each_once(self, first: int, monkeypatch: Any) -> None:
        monkeypatch.setattr(nodes_module, "_MANY", 4)
        node = Node(13)
        nodes = nodes_of(node)
        nodes.head()
        node.asked.clear()
        first %= 13
        assert [one.number for one in nodes.headers(first, 12)] == list(range(first, 13))
        assert node.asked.count("eth_getBlockByNumber") == 12 - first

    def test_of_several_all_are_of_the_chain_that_enough_agree_on(self) -> None:
        nodes = named(3, 9)
        nodes[0].fork(2, 6)
        agreed = nodes_of(*nodes)

        assert [header.hash for header in agreed.headers(0, 8)] == [block["hash"] for block in nodes[2].blocks]
        assert agreed.header_at(5).hash == nodes[2].blocks[5]["hash"]

    def test_a_height_that_too_few_agree_on_is_refused(self) -> None:
        nodes = named(2, 9)
        nodes[1].fork(4, 4)

        with pytest.raises(IntegrityError, match=r"fewer than 2 nodes agree on block 6: http://a shows"):
            nodes_of(*nodes).header_at(6)

    def test_a_chain_that_is_replaced_meanwhile_is_no_lie(self) -> None:
        node = Node(9)
        nodes = nodes_of(node)
        nodes.head()
        node.fork(4, 4)

        with pytest.raises(ReorganisedError, match="block 8 was replaced"):
            nodes.headers(0, 8)


class TestLogs:
    def test_gives_the_logs_of_each_block(self) -> None:
        nodes = nodes_of(Node(40))

        found = nodes.logs(nodes.headers(0, 39))

        assert [[log.data for log in logs] for logs in found] == [[bytes([number])] for number in range(40)]
        assert [logs[0].block_hash for logs in found] == [header.hash for header in nodes.headers(0, 39)]
        assert nodes.logs([]) == []

    def test_an_altered_log_and_a_missing_receipt_name_the_node(self) -> None:
        node = Node()
        nodes = nodes_of(node)
        headers = nodes.headers(0, 4)
        good = node.receipts[headers[3].hash]

        for wrong in ([], good * 2, [good[0] | {"logs": []}], None):
            node.receipts[headers[3].hash] = wrong
            with pytest.raises(IntegrityError, match=r"http://node .*block 3"):
                nodes.logs(headers)

    def test_whoever_asks_for_logs_first_compares_the_nodes_first(self) -> None:
        headers = nodes_of(Node()).headers(0, 4)
        nodes = named(2)
        nodes[0].chain_id = 6
        agreed = nodes_of(*nodes, quorum=1)
        assert len(agreed.logs(headers)) == 5
        assert agreed.named.keys() == {"http://a"}

    def test_of_several_the_next_is_asked_and_the_liar_named_and_asked_last(self) -> None:
        nodes = named(3)
        for block_hash in nodes[0].receipts:
            nodes[0].receipts[block_hash] = []
        agreed = nodes_of(*nodes)
        headers = agreed.headers(0, 3)

        for _ in range(2):
            assert [len(logs) for logs in agreed.logs(headers)] == [1] * 4

        assert agreed.named.keys() == {"http://a"}
        assert [nodes[place].asked.count("eth_getBlockReceipts") for place in range(3)] == [4, 8, 0]

    def test_blocks_that_were_replaced_are_no_lie(self) -> None:
        node = Node(9)
        nodes = nodes_of(node)
        headers = nodes.headers(0, 8)
        node.receipts.clear()
        node.fork(4, 4)

        with pytest.raises(ReorganisedError, match="block 8 was replaced"):
            nodes.logs(headers[8:])
        assert not nodes.named

    def test_receipts_that_came_one_by_one_from_blocks_that_replaced_it_are_no_lie(self) -> None:
        node = Node(9)
        node.lacks["eth_getBlockReceipts"] = RpcAnswerError("no such method", code=-32601)
        nodes = nodes_of(node)
        head = nodes.headers(8, 8)
        found = node.receipts[head[0].hash]
        # In the block that replaces it, the transaction stands behind another one.
        node.before = lambda method: (
            node.fork(7, 1) and found.__setitem__(0, found[0] | {"cumulativeGasUsed": "0xffff"})
            if method == "eth_getTransactionReceipt"
            else None
        )

        with pytest.raises(ReorganisedError, match="block 8 was replaced"):
            nodes.logs(head)
        assert not nodes.named

    @pytest.mark.parametrize("method", ["eth_getBlockReceipts", "eth_getProof"])
    def test_an_error_of_a_node_that_lags_is_no_lie(self, method: str) -> None:
        nodes = named(2)
        agreed = nodes_of(*nodes)
        head = agreed.head()
        nodes[0].fork(3, 0)
        nodes[0].lacks[method] = RpcAnswerError("header not found", code=-32000)

        if method == "eth_getProof":
            assert agreed.storage(head, CONTRACT, [slot(7)]) == [11]
        else:
            assert len(agreed.logs([head])) == 1
        assert not agreed.named

    def test_a_block_that_was_replaced_is_told_whatever_the_others_say(self) -> None:
        nodes = named(3)
        agreed = nodes_of(*nodes)
        head = agreed.head()
        for node in nodes[:2]:
            node.lacks["eth_getBlockReceipts"] = ChainUnavailableError(f"{node.url} is down")
        nodes[2].fork(3, 1)
        nodes[2].receipts.pop(head.hash)

        with pytest.raises(ReorganisedError, match="block 4 was replaced"):
            agreed.logs([head])

    @pytest.mark.parametrize("error", [RpcAnswerError("no such method", code=-32601), NodeRefusedError("not passed")])
    def test_a_node_without_receipts_of_blocks_is_asked_for_each(self, error: Exception) -> None:
        node = Node(1)
        node.lacks["eth_getBlockReceipts"] = error
        nodes = nodes_of(node)

        assert [log.data for log in nodes.logs(nodes.headers(0, 0))[0]] == [b"\x00"]

    def test_a_node_that_has_a_block_and_not_its_receipts_is_named(self) -> None:
        node = Node()
        nodes = nodes_of(node)
        head = nodes.head()
        node.receipts.pop(head.hash)
        with pytest.raises(IntegrityError, match=r"http://node .*no receipts of block 4, though it has the block"):
            nodes.logs([head])

    def test_a_node_that_gives_no_receipts_though_it_has_the_block_is_named(self) -> None:
        node = Node()
        nodes = nodes_of(node)
        head = nodes.head()
        node.lacks["eth_getBlockReceipts"] = RpcAnswerError("the disk is full")
        with pytest.raises(IntegrityError, match=r"http://node .*doesn't give the receipts of block 4: .*disk is full"):
            nodes.logs([head])

    @pytest.mark.parametrize("count", [1, 15, 16, 17, 33])
    def test_blocks_of_any_number_come_in_their_order(self, count: int) -> None:
        node = Node(count)
        nodes = nodes_of(node)
        found = nodes.logs(nodes.headers(0, count - 1))
        assert [[log.block for log in logs] for logs in found] == [[number] for number in range(count)]

    def test_a_node_without_any_receipts_says_so(self) -> None:
        node = Node(1)
        node.lacks |= {
            "eth_getBlockReceipts": RpcAnswerError("no such method", code=-32601),
            "eth_getTransactionReceipt": RpcAnswerError("no such method", code=-32601),
        }
        nodes = nodes_of(node)

        with pytest.raises(IntegrityError, match=r"http://node .*has neither eth_getBlockReceipts nor"):
            nodes.logs(nodes.headers(0, 0))

    def test_a_node_that_limits_its_answers_is_asked_for_less(self) -> None:
        class Limited(Node):
            def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
                if calls[0][0] == "eth_getBlockReceipts" and len(calls) > 1:
                    raise RpcAnswerError("the answer is too large")
                return super().batch(calls)

        nodes = nodes_of(Limited(9))
        assert [len(logs) for logs in nodes.logs(nodes.headers(0, 8))] == [1] * 9


class TestStorage:
    def test_gives_what_the_state_root_proves(self) -> None:
        nodes = nodes_of(Node())

        assert nodes.storage(nodes.head(), CONTRACT, [slot(7), slot(8), slot(9)]) == [11, 0x2200, 0]

    def test_a_forged_proof_names_the_node_and_the_next_is_asked(self) -> None:
        class Forger(Node):
            def answer(self, method: str, params: Sequence[Any]) -> Any:
                return State({7: 12}).answer(7) if method == "eth_getProof" else super().answer(method, params)

        liar = Forger(url="http://liar")
        alone = nodes_of(liar)
        with pytest.raises(IntegrityError, match="http://liar"):
            alone.storage(alone.head(), CONTRACT, [slot(7)])
        agreed = nodes_of(liar, *named(2))
        assert agreed.storage(agreed.head(), CONTRACT, [slot(7)]) == [11]
        assert agreed.named.keys() == {"http://liar"}

    def test_a_node_that_proves_nothing_is_named(self) -> None:
        node = Node()
        node.lacks["eth_getProof"] = RpcAnswerError("internal error")
        nodes = nodes_of(node)

        with pytest.raises(IntegrityError, match=r"http://node .*can't prove block 4: internal error"):
            nodes.storage(nodes.head(), CONTRACT, [slot(7)])

    def test_a_node_that_keeps_no_old_state_is_no_liar_and_the_next_is_asked(self) -> None:
        pruned = Node(url="http://pruned")
        pruned.lacks["eth_getProof"] = RpcAnswerError("missing trie node 0a (path ) state 0x0b is not available")
        alone = nodes_of(pruned)
        with pytest.raises(ChainUnavailableError, match="http://pruned doesn't keep the state of block 4 any more"):
            alone.storage(alone.head(), CONTRACT, [slot(7)])
        agreed = nodes_of(pruned, *named(2))
        assert agreed.storage(agreed.head(), CONTRACT, [slot(7)]) == [11]
        assert agreed.named == {}

    @pytest.mark.parametrize("code", [-32601, -32004])
    def test_a_node_without_receipts_of_blocks_gives_them_one_by_one(self, code: int) -> None:
        """Hardhat refuses the method by EIP-1474's code."""
        assert RpcAnswerError("eth_getBlockReceipts", code=code).is_missing_method

    @pytest.mark.parametrize("error", [RpcAnswerError("no such method", code=-32601), NodeRefusedError("not passed")])
    def test_a_node_without_the_method_is_no_liar(self, error: Exception) -> None:
        node = Node()
        node.lacks["eth_getProof"] = error
        nodes = nodes_of(node)

        with pytest.raises(UnprovableError, match=r"http://node .*has no eth_getProof"):
            nodes.storage(nodes.head(), CONTRACT, [slot(7)])
        assert not nodes.named

    def test_a_proof_of_a_block_that_was_replaced_is_no_lie(self) -> None:
        node = Node(9)
        nodes = nodes_of(node)
        head = nodes.head()
        node.fork(7, 1)
        node.lacks["eth_getProof"] = IntegrityError("another root")

        with pytest.raises(ReorganisedError, match="block 8 was replaced"):
            nodes.storage(head, CONTRACT, [slot(7)])


class TestFreshHead:
    def test_an_old_head_decides_nothing(self) -> None:
        node = Node()
        node.mine(time=NOW - 600)
        nodes = nodes_of(node, max_age=600)
        assert nodes.fresh_head().time == NOW - 600
        node.blocks.pop()
        node.mine(time=NOW - 601)

        with pytest.raises(ChainUnavailableError, match=r"http://node show is 601 s old, at most 600 s"):
            nodes.at_head(lambda header: header)
        assert nodes.head().time == NOW - 601

    def test_a_chain_that_makes_blocks_only_when_something_happens_has_no_bound(self) -> None:
        node = Node()
        assert nodes_of(node).fresh_head().time < NOW - 1000


class TestAtHead:
    def test_what_is_replaced_meanwhile_is_asked_for_under_the_next_head(self) -> None:
        node = Node(9)
        nodes = nodes_of(node)
        heads: list[Header] = []

        def ask(header: Header) -> Header:
            heads.append(header)
            if len(heads) < 3:
                node.fork(7, 1, 200 + len(heads))
                raise ReorganisedError("replaced")
            return header

        assert nodes.at_head(ask).hash == node.blocks[-1]["hash"]
        assert len({header.hash for header in heads}) == 3

    @pytest.mark.parametrize(("until", "found"), [(5, True), (1e9, False)])
    def test_most_nodes_that_lag_are_waited_for_for_half_a_minute(self, until: float, found: bool) -> None:
        now = [0.0]
        nodes = nodes_of(*named(3), monotonic=lambda: now[0], sleep=lambda seconds: now.insert(0, now[0] + seconds))

        def ask(header: Header) -> int:
            if now[0] < until:
                raise LaggingError("block 3 is the newest; 4 was seen before")
            return header.number

        if found:
            assert nodes.at_head(ask) == 4
            assert now[0] == until
        else:
            with pytest.raises(LaggingError):
                nodes.at_head(ask)
            assert now[0] == 30

    def test_one_node_alone_that_goes_back_is_not_waited_for(self) -> None:
        def ask(header: Header) -> None:
            raise LaggingError("block 3 is the newest; 4 was seen before")

        with pytest.raises(LaggingError):
            nodes_of(Node(), sleep=lambda _: pytest.fail("waited")).at_head(ask)

    def test_a_chain_that_never_stands_still_is_unavailable(self) -> None:
        asked: list[Header] = []

        def ask(header: Header) -> None:
            asked.append(header)
            raise ReorganisedError("replaced")

        with pytest.raises(ReorganisedError):
            nodes_of(Node()).at_head(ask)
        assert len(asked) == 3


class TestQuorum:
    def test_is_the_smallest_majority(self) -> None:
        assert [majority(count) for count in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]

    @pytest.mark.parametrize("quorum", [0, 4, -1])
    def test_that_can_not_be_reached_is_refused(self, quorum: int) -> None:
        with pytest.raises(ValueError, match=r"can't agree"):
            nodes_of(*named(3), quorum=quorum)


def slot(number: int) -> bytes:
    return number.to_bytes(32, "big")
