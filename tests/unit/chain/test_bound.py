"""One contract at one address: what is asked of the node, in which batches, and what typed data is signed for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.chain.bound import BoundContract, Contracts, halves
from panachain.chain.logs import Event, NodeEvents
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import ChainUnavailableError, ConfigurationError, IntegrityError
from panachain.model.block import Block

WHERE = "0x" + "11" * 20
PERSON = "0x" + "Ab" * 20
ONE = "0x" + "00" * 31 + "01"


class Node:
    """Answers every call with the same word, and remembers how it was asked."""

    def __init__(self, answer: Any = ONE) -> None:
        self.answer = answer
        self.calls: list[tuple[str, list[Any]]] = []
        self.log_window = 0
        self.url = ""
        self.code = "0x60" + contract("PolicyRegistry").selector("statusOf").hex()

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        self.calls.append((method, list(params)))
        if method == "eth_blockNumber":
            return "0x9"
        if method == "eth_getLogs":
            return []
        if method == "eth_getCode":
            return self.code
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def bound(node: Node, name: str = "PolicyRegistry") -> BoundContract:
    return BoundContract(node, name, WHERE, chain_id=5, from_block=3)  # type: ignore[arg-type]


def topics(node: Node) -> list[Any]:
    found: list[Any] = node.calls[-1][1][0]["topics"]
    return found


class TestRead:
    def test_asks_the_contract_at_one_block(self) -> None:
        node = Node()
        assert bound(node).read("statusOf", PERSON.lower(), at="0x7") == 1
        data = contract("PolicyRegistry").calldata("statusOf", PERSON.lower())
        assert node.calls == [("eth_call", [{"to": WHERE, "data": data}, "0x7"])]

    @pytest.mark.parametrize("answer", [RpcAnswerError("no"), "0x", "0x12", None])
    def test_what_is_no_answer_is_an_integrity_error(self, answer: Any) -> None:
        with pytest.raises(IntegrityError, match=r"PolicyRegistry\.statusOf"):
            bound(Node(answer)).read("statusOf", PERSON.lower())

    @pytest.mark.parametrize(
        ("code", "said"), [("0x", "nothing is there"), ("0x6001", "what is there isn't PolicyRegistry")]
    )
    @pytest.mark.parametrize("answer", ["0x", RpcAnswerError("execution reverted")])
    def test_an_address_without_our_contract_is_told(self, answer: Any, code: str, said: str) -> None:
        node = Node(answer)
        node.code = code
        with pytest.raises(ConfigurationError, match=rf"no contract of ours at {WHERE} on chain 5: {said}"):
            bound(node).read("statusOf", PERSON.lower())

    def test_a_state_that_is_not_kept_is_no_lie(self) -> None:
        node = Node(RpcAnswerError("missing trie node 0a"))
        node.url = "http://node"
        with pytest.raises(ChainUnavailableError, match="http://node doesn't keep the state of block 0x5"):
            bound(node).read("statusOf", PERSON.lower(), at="0x5")


class TestEvents:
    def test_all_events_are_asked_without_topics(self) -> None:
        node = Node()
        assert list(bound(node).events()) == []
        assert topics(node) == []
        assert node.calls[-1][1][0]["fromBlock"] == "0x3"

    def test_names_and_indexed_fields_become_topics(self) -> None:
        node, abi = Node(), contract("PolicyRegistry")
        word = "0x" + "00" * 12 + PERSON[2:].lower()
        for names, where, expected in (
            (["PolicyRevoked"], [], [abi.topic("PolicyRevoked")]),
            (["PolicyGranted", "PolicyRevoked"], [], [[abi.topic("PolicyGranted"), abi.topic("PolicyRevoked")]]),
            ([], [PERSON], [None, word]),
            ([], [[PERSON, PERSON]], [None, [word, word]]),
            ([], [None, 255], [None, None, f"0x{255:064x}"]),
        ):
            assert list(bound(node).events(*names, where=where)) == []  # type: ignore[arg-type]
            assert topics(node) == expected

    def test_blocks_can_be_bounded(self) -> None:
        node = Node()
        assert list(bound(node).events(from_block=5, to_block=6)) == []
        query = node.calls[-1][1][0]
        assert (query["fromBlock"], query["toBlock"], query["address"]) == ("0x5", "0x6", WHERE)


def test_typed_data_is_for_one_contract_of_one_chain() -> None:
    assert bound(Node(), "Checkpoints").domain() == {
        "name": "PanaChain Checkpoints",
        "version": "1",
        "chainId": 5,
        "verifyingContract": WHERE,
    }


def test_a_contract_that_no_description_names_is_told() -> None:
    chain = Contracts(Node(), {"PolicyRegistry": WHERE}, 5)  # type: ignore[arg-type]
    assert chain.bind("PolicyRegistry").address == WHERE
    with pytest.raises(ConfigurationError, match="no contract Checkpoints"):
        chain.bind("Checkpoints")


class Elsewhere(NodeEvents):
    """A source of its own, which asks no node."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def head(self) -> Block:
        return Block(7, "0x07", 70)

    def block(self, number: int) -> Block:
        return Block(number, f"0x{number:02x}", number * 10)

    def events(self, contract: Any, where: str, **asked: Any) -> Iterator[Event]:
        self.asked.append(asked | {"name": contract.name, "where": where})
        return iter([Event("PolicyRevoked", {}, 5, "0x05", "0x", 0)])


def test_blocks_and_events_come_from_the_source_that_is_handed_in() -> None:
    node, source = Node(), Elsewhere()
    chain = Contracts(node, {"PolicyRegistry": WHERE}, 5, from_block=3, source=source)  # type: ignore[arg-type]
    assert (chain.head_block().number, chain.block(4).time) == (7, 40)
    with chain.source.pinned():
        assert [event.block for event in chain.bind("PolicyRegistry").events("PolicyRevoked", to_block=6)] == [5]
    topic = contract("PolicyRegistry").topic("PolicyRevoked")
    expected = {"name": "PolicyRegistry", "where": WHERE, "topics": [topic], "from_block": 3, "to_block": 6}
    assert source.asked == [expected]
    assert node.calls == []


def test_closing_closes_the_connections_and_the_copy_of_the_chain() -> None:
    closed: list[str] = []
    node, source = Node(), Elsewhere()
    node.close = lambda: closed.append("node")  # type: ignore[attr-defined]
    source.close = lambda: closed.append("copy")  # type: ignore[method-assign]
    Contracts(node, {}, 5, source=source).close()  # type: ignore[arg-type]
    assert closed == ["node", "copy"]


def test_a_node_alone_is_the_only_one_and_those_that_are_handed_in_stay() -> None:
    node: Any = Node()
    node.url = "http://alone"
    alone = Contracts(node, {}, 5).nodes
    assert (alone.urls, alone.quorum) == (("http://alone",), 1)
    assert Contracts(node, {}, 5, nodes=alone).nodes is alone


def test_a_compact_signature_has_two_halves() -> None:
    assert halves(b"r" * 32 + b"s" * 32) == (b"r" * 32, b"s" * 32)
