"""Event logs: every block once, in windows that shrink where a node refuses, and no damaged log passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.chain.logs import Event, NodeEvents, actor_from, read_events
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import IntegrityError
from panachain.model.actors import Role
from tests.unit.chain.fake import log

WHO, WHERE = "0x" + "11" * 20, "0x" + "c0" * 20
GOOD = log("PolicyRegistry", "PolicyRevoked", policyId=WHO)


class Node:
    """Has one event in each block, and gives at most `limit` blocks in one answer."""

    def __init__(self, limit: int = 10**9, head: int = 99) -> None:
        self.limit, self.head = limit, head
        self.log_window = 0
        self.refused = 0
        self.windows: list[tuple[int, int]] = []
        self.change: dict[str, Any] = {}

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_blockNumber":
            return hex(self.head)
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first + 1 > self.limit:
            self.refused += 1
            raise RpcAnswerError("query returned more than 10000 results")
        self.windows.append((first, last))
        return [GOOD | {"blockNumber": hex(number)} | self.change for number in range(first, last + 1)]


def read(node: Any, **bounds: Any) -> list[Event]:
    return list(read_events(node, contract("PolicyRegistry"), WHERE, **bounds))


class TestWindows:
    def test_what_a_node_refused_it_is_not_asked_for_again(self) -> None:
        node = Node(limit=10)
        assert len(read(node)) == 100
        assert node.refused > 0
        node.refused = 0
        assert len(read(node)) == 100
        assert node.refused == 0

    @pytest.mark.parametrize("limit", [1, 3, 7, 10**9])
    def test_every_block_is_read_once_in_order(self, limit: int) -> None:
        node = Node(limit)
        assert [event.block for event in read(node, from_block=5)] == list(range(5, 100))
        assert all(last - first + 1 <= limit for first, last in node.windows)

    def test_the_last_block_may_be_named(self) -> None:
        assert [event.block for event in read(Node(), from_block=5, to_block=6)] == [5, 6]

    def test_nothing_is_asked_beyond_the_head(self) -> None:
        node = Node(head=3)
        assert read(node, from_block=4) == []
        assert node.windows == []

    def test_a_node_that_refuses_a_single_block_is_told(self) -> None:
        with pytest.raises(RpcAnswerError, match="more than 10000"):
            read(Node(limit=0))


class TestLogs:
    def test_a_log_of_a_vanished_block_and_of_another_event_count_for_nothing(self) -> None:
        for change in ({"removed": True}, {"topics": ["0x" + "00" * 32]}):
            node = Node(head=0)
            node.change = change
            assert read(node) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"blockNumber": "zz"},
            {"blockNumber": None},
            {"logIndex": {}},
            {"topics": 5},
            {"data": "0x01"},
        ],
    )
    def test_a_damaged_one_is_the_nodes(self, change: dict[str, Any]) -> None:
        node = Node(head=0)
        node.change = change
        with pytest.raises(IntegrityError):
            read(node)

    @pytest.mark.parametrize("answer", [None, 5, [None], ["log"], {"a": 1}])
    def test_what_is_no_list_of_logs_is_the_nodes(self, answer: Any) -> None:
        node = Node(head=0)
        node.call = lambda method, _=(): "0x0" if method == "eth_blockNumber" else answer  # type: ignore[method-assign]
        with pytest.raises(IntegrityError, match=r"logs? of PolicyRegistry"):
            read(node)


def test_a_node_alone_is_a_source_too_and_pins_nothing() -> None:
    source = NodeEvents(Node())  # type: ignore[arg-type]
    with source.pinned():
        assert [event.block for event in source.events(contract("PolicyRegistry"), WHERE, from_block=98)] == [98, 99]


def test_a_registration_without_a_role_makes_no_actor() -> None:
    values = {"account": WHO, "keyDigest": b"k" * 32, "organisation": "0x" + "00" * 20}
    made = Event("ActorRegistered", values, 1, "0x", "0x", 0)
    actor = actor_from(made, Role.HOSPITAL)
    assert (actor.address, actor.key_digest, actor.organisation, actor.endpoint) == (WHO, b"k" * 32, None, "")
    with pytest.raises(IntegrityError, match="names no role"):
        actor_from(made, None)
