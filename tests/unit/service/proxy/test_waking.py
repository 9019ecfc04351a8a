"""A chain without empty blocks is given one, and a chain that stands still isn't flooded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Sender
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import ChainUnavailableError
from panachain.service.proxy import waking
from panachain.service.proxy.waking import Waking
from tests.unit.service.proxy_world import ProxyWorld

ACCOUNT = Account(b"\x05" * 32)


class Node:
    """Mines what it gets at once, unless it stands still."""

    url = "http://node.test"

    def __init__(self) -> None:
        self.stands_still = False
        self.sent: list[dict[str, Any]] = []
        self.mined = 0

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getTransactionCount":
            return hex(len(self.sent) if params[1] == "pending" else self.mined)
        if method == "eth_sendRawTransaction":
            self.sent.append(decode_transaction(params[0]))
            self.mined += not self.stands_still
            return None
        if method == "eth_getTransactionReceipt" and self.mined:
            return {"transactionHash": params[0], "blockNumber": "0x7", "gasUsed": "0x1", "logs": [], "status": "0x1"}
        answers = {"eth_estimateGas": "0x5208", "eth_blockNumber": "0x7", "eth_getBlockByNumber": {"number": "0x7"}}
        if method == "eth_getTransactionReceipt":
            return None
        if method not in answers:
            raise RpcAnswerError(method, code=-32601)
        return answers[method]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*one) for one in calls]


@pytest.fixture
def node() -> Node:
    return Node()


def waking_of(node: Node, folder: Path) -> Waking:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    sender = Sender(node, 5, ACCOUNT, lock_folder=folder, clock=lambda: now[0], sleep=sleep)  # type: ignore[arg-type]
    return Waking(node, sender, monotonic=lambda: now[0])  # type: ignore[arg-type]


def test_an_idle_chain_mines_a_transaction_that_does_nothing(node: Node, tmp_path: Path) -> None:
    made = waking_of(node, tmp_path)
    made.wake()
    (one,) = node.sent
    assert (one["to"].lower(), one["data"], one["value"]) == (ACCOUNT.address.lower(), "0x", 0)
    assert made.said == ""


def test_a_chain_that_stands_still_gets_one_and_no_more(node: Node, tmp_path: Path) -> None:
    node.stands_still = True
    made = waking_of(node, tmp_path)
    for _ in range(3):
        made.wake()
        assert made._running is not None
        made._running.join()
    assert {one["nonce"] for one in node.sent} == {0}
    assert "no new block for" in made.said
    assert made._not_before == pytest.approx(made._monotonic() + waking._PAUSE)


def test_what_waits_already_is_waited_for(node: Node, tmp_path: Path) -> None:
    node.stands_still = True
    node.sent = [{}]
    waking_of(node, tmp_path).wake()
    assert node.sent == [{}]


def test_many_at_once_make_one(node: Node, tmp_path: Path) -> None:
    made = waking_of(node, tmp_path)
    threads = [threading.Thread(target=made.wake) for _ in range(8)]
    real, begun = made._try, threading.Event()

    def slowly() -> None:
        begun.wait(10)
        real()

    made._try = slowly  # type: ignore[method-assign]
    for one in threads:
        one.start()
    begun.set()
    for one in threads:
        one.join()
    assert 1 <= len({one["nonce"] for one in node.sent}) <= 8
    assert len(node.sent) == node.mined


class TestService:
    def test_an_idle_chain_is_no_reason_not_to_serve(self, tmp_path: Path) -> None:
        woken: list[int] = []

        def wake() -> None:
            woken.append(world.chain.age)
            world.chain.age = 0

        world = ProxyWorld(tmp_path, 1, wake=wake)
        world.chain.age = 5000
        assert world.services[0].ready()["proxy"] == world.services[0].address
        assert world.services[0].ready()
        assert woken == [5000]

    def test_a_head_that_stays_old_serves_nobody(self, tmp_path: Path) -> None:
        world = ProxyWorld(tmp_path, 1, wake=lambda: None)
        world.chain.age = 5000
        with pytest.raises(ChainUnavailableError, match="5000 s old"):
            world.services[0].ready()
