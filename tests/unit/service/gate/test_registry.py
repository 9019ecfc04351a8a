"""The gate's view of the registry: as a fresh replay after any reorganisation, and without reading it all again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from eth_abi import encode

from panachain.chain.abi import contract
from panachain.chain.mainchain import Mainchain
from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.model.actors import Role, Status
from panachain.service.gate.registry import FollowedActors

REGISTRY = "0x" + "11" * 20
HOSPITAL, PROXY, OTHER = ("0x" + f"{number:040x}" for number in (1, 2, 3))
DEPTH = 4


@dataclass
class Block:
    hash: str
    logs: list[dict[str, Any]] = field(default_factory=list)


class Node:
    """A chain in memory, as its node tells it."""

    def __init__(self) -> None:
        self.blocks = [Block("0x00")]
        self.made = 0
        self.read: list[int] = []
        """Blocks of each question for logs."""
        self.late = 0
        """Newest blocks whose logs it doesn't show yet."""
        self.on_logs: Any = None

    def call(self, method: str, params: Any = ()) -> Any:
        if method == "eth_blockNumber":
            return hex(len(self.blocks) - 1)
        if method == "eth_getBlockByNumber":
            number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
            if number >= len(self.blocks):
                return None
            return {"number": hex(number), "hash": self.blocks[number].hash, "timestamp": "0x0"}
        start, end = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        self.read.append(end - start + 1)
        shown = min(end, len(self.blocks) - 1 - self.late)
        logs = [log for number in range(start, shown + 1) for log in self.blocks[number].logs]
        if self.on_logs is not None:
            self.on_logs()
        return logs

    def mine(self, *logs: dict[str, Any]) -> None:
        self.made += 1
        block = Block(f"0x{self.made:064x}")
        place = {"blockNumber": hex(len(self.blocks)), "blockHash": block.hash, "transactionHash": "0x00"}
        block.logs = [log | place | {"logIndex": hex(index)} for index, log in enumerate(logs)]
        self.blocks.append(block)

    def drop(self, depth: int) -> None:
        """Take the newest blocks away."""
        del self.blocks[max(len(self.blocks) - depth, 1) :]


@cache
def registered(account: str, role: int = 1, endpoint: str = "") -> dict[str, Any]:
    data = encode(["bytes", "bytes", "string", "address"], [b"\x02" * 33, b"\x03" * 33, endpoint, "0x" + "00" * 20])
    return {"topics": [*topics("ActorRegistered", account), f"0x{role:064x}"], "data": "0x" + data.hex()}


@cache
def changed(name: str, account: str) -> dict[str, Any]:
    data = encode(["string"], ["http://new"]).hex() if name == "ActorEndpointChanged" else ""
    return {"topics": topics(name, account), "data": "0x" + data}


def topics(name: str, account: str) -> list[str]:
    return [contract("ActorRegistry").topic(name), "0x" + "00" * 12 + account[2:]]


@pytest.fixture
def node() -> Node:
    return Node()


def mainchain(node: Node) -> Mainchain:
    rpc: Any = node
    return Mainchain(rpc, {"ActorRegistry": REGISTRY}, 1, from_block=1)


def followed(node: Node, **settings: Any) -> FollowedActors:
    return FollowedActors(mainchain(node), depth=DEPTH, **settings)


def test_each_look_reads_only_what_is_new(node: Node) -> None:
    node.mine(registered(HOSPITAL))
    for _ in range(500):
        node.mine()
    watched = followed(node)
    assert [actor.role for actor in watched.actors()] == [Role.HOSPITAL]
    assert node.read == [501]
    for number in range(100):
        node.mine(changed(("ActorSuspended", "ActorReinstated")[number % 2], HOSPITAL))
        assert watched.actors()[0].status is (Status.SUSPENDED, Status.ACTIVE)[number % 2]
    assert max(node.read[1:]) <= 2 * DEPTH + 1


@pytest.mark.parametrize("seed", range(40))
def test_any_history_of_reorganisations_equals_a_fresh_replay(node: Node, seed: int) -> None:
    chance = random.Random(seed)
    watched, accounts = followed(node), (HOSPITAL, PROXY, OTHER)
    known: set[str] = set()
    for _ in range(40):
        if chance.random() < 0.15:
            node.drop(chance.randint(1, 3 * DEPTH))
            known = {actor.address.lower() for actor in mainchain(node).actors.find()}
        for _ in range(chance.randint(0, 6)):
            account, fate = chance.choice(accounts), chance.random()
            names = ("ActorSuspended", "ActorReinstated", "ActorEndpointChanged")
            if fate < 0.5:
                node.mine()
            elif account in known:
                node.mine(changed(chance.choice(names), account))
            else:
                node.mine(registered(account, chance.randint(1, 4)))
                known.add(account)
        assert watched.actors() == mainchain(node).actors.find()


def test_logs_that_a_node_shows_late_are_not_missed(node: Node) -> None:
    node.mine(registered(HOSPITAL))
    for _ in range(50):
        node.mine()
    watched = followed(node)
    watched.actors()
    node.late = DEPTH
    node.mine(changed("ActorSuspended", HOSPITAL))
    for _ in range(10 * DEPTH):
        watched.actors()
        node.mine()
    assert watched.actors()[0].status is Status.SUSPENDED


def test_a_chain_that_changes_while_it_is_read_is_read_again(node: Node) -> None:
    node.mine(registered(HOSPITAL))
    for _ in range(5 * DEPTH):
        node.mine()

    def reorganise() -> None:
        node.on_logs = None
        node.drop(5 * DEPTH)
        for _ in range(5 * DEPTH):
            node.mine(changed("ActorSuspended", HOSPITAL))

    watched = followed(node)
    node.on_logs = reorganise
    with pytest.raises(ChainUnavailableError, match="reorganised"):
        watched.actors()
    assert watched.actors()[0].status is Status.SUSPENDED


def test_what_a_node_left_out_is_found_after_some_minutes(node: Node) -> None:
    now = [0.0]
    node.mine(registered(HOSPITAL))
    node.mine(registered(PROXY, 2))
    hidden, node.blocks[2].logs = node.blocks[2].logs, []
    for _ in range(3 * DEPTH):
        node.mine()
    watched = followed(node, clock=lambda: now[0])
    assert len(watched.actors()) == 1
    node.blocks[2].logs = hidden
    assert len(watched.actors()) == 1
    now[0] += 600
    assert len(watched.actors()) == 2


def test_an_event_of_an_account_that_was_never_registered_is_a_typed_error(node: Node) -> None:
    node.mine(registered(HOSPITAL))
    for _ in range(3 * DEPTH):
        node.mine()
    watched = followed(node)
    watched.actors()
    node.mine(changed("ActorSuspended", PROXY))
    with pytest.raises(IntegrityError, match="hides"):
        watched.actors()
    # Everything is read anew then, in case that only what was kept was wrong.
    node.blocks[2].logs = []
    node.drop(1)
    assert len(watched.actors()) == 1
    assert node.read[-1] == 3 * DEPTH + 1
