"""Events of our contracts: whence they come, and the keys that registries keep in them.

`EventSource` is what the adapters read. `NodeEvents` believes one node, in windows of eth_getLogs that shrink by
themselves; panachain/follow/ keeps a copy that is proven by the blocks' receipts roots, and is handed in from above.
Follows the Ethereum JSON-RPC specification (eth_getLogs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from panachain.chain import node
from panachain.chain.abi import Contract, address
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Address, KeyChange, Role, Status
from panachain.model.block import Block

Topic = str | list[str] | None
"""What a topic must be: a word as hex, one of some words, or anything (eth_getLogs)."""


@dataclass(frozen=True)
class Event:
    """One decoded log with its place on the chain."""

    name: str
    values: Mapping[str, Any]
    block: int
    block_hash: str
    tx_hash: str
    index: int
    """Position within the block."""


class EventSource(Protocol):
    """Blocks and events of one chain; several threads may read."""

    def head(self) -> Block:
        """Return the newest block, after a look for what is new; within `pinned`, the block that is pinned."""
        ...

    def block(self, number: int) -> Block:
        """Return one block of the chain that `head` ends.

        Raises:
            IntegrityError: there is no such block.
        """
        ...

    def events(
        self,
        contract: Contract,
        where: str,
        *,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        """Yield a contract's events in the order of the chain.

        Args:
            contract: how to decode them.
            where: the contract's address.
            topics: as eth_getLogs takes them.
            from_block: first block.
            to_block: last block; None means the newest, after a look for what is new.

        Raises:
            IntegrityError: a log can't be read.
        """
        ...

    def pinned(self) -> AbstractContextManager[object]:
        """Return a context in which everything that this thread reads is of one history, up to one newest block."""
        ...

    def close(self) -> None:
        """Close what the source keeps open."""
        ...


class NodeEvents:
    """What one node says of blocks and events: nothing of it is proven."""

    def __init__(self, rpc: Rpc) -> None:
        """Take the node; nothing is asked yet."""
        self._rpc = rpc

    def head(self) -> Block:
        """Return the newest block, as the node says."""
        return node.head_block(self._rpc)

    def block(self, number: int) -> Block:
        """Return one block, as the node says."""
        return node.block_at(self._rpc, number)

    def events(
        self,
        contract: Contract,
        where: str,
        *,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        """Yield a contract's events, as `read_events` does."""
        return read_events(self._rpc, contract, where, topics=topics, from_block=from_block, to_block=to_block)

    def pinned(self) -> AbstractContextManager[object]:
        """Pin nothing: a node has no memory of what it said."""
        return nullcontext()

    def close(self) -> None:
        """Close nothing: the connection is its maker's."""


def read_events(
    rpc: Rpc,
    contract: Contract,
    where: str,
    *,
    topics: Sequence[Topic] = (),
    from_block: int = 0,
    to_block: int | None = None,
) -> Iterator[Event]:
    """Yield a contract's events in the order of the chain.

    Args:
        rpc: the chain's node.
        contract: how to decode them.
        where: the contract's address.
        topics: as eth_getLogs takes them.
        from_block: first block.
        to_block: last block; None means the newest.

    Raises:
        RpcAnswerError: the node refuses even a single block.
        IntegrityError: a log can't be read.
    """
    # Fixed before the first question, or a chain that grows while it is read would never come to an end.
    last = node.block_number(rpc) if to_block is None else to_block
    # A node that refused a range once isn't asked for as much again.
    start, window = from_block, max(last - from_block + 1, 1)
    if rpc.log_window:
        window = min(window, rpc.log_window)
    while start <= last:
        end = min(start + window - 1, last)
        query = {"address": where, "topics": list(topics), "fromBlock": hex(start), "toBlock": hex(end)}
        try:
            logs = rpc.call("eth_getLogs", [query])
        except RpcAnswerError:
            # Nodes limit how much one answer may hold, each in its own words: ask for less.
            if window == 1:
                raise
            window = max(window // 4, 1)
            rpc.log_window = window
            continue
        yield from _decoded(contract, logs)
        start = end + 1


def actor_from(event: Event, role: Role | None) -> Actor:
    """Return the actor that a registration event describes.

    Raises:
        IntegrityError: the event names no role.
    """
    if role is None:
        raise IntegrityError("a registration names no role")
    values = event.values
    organisation = values["organisation"]
    return Actor(
        address=Address(address(values["account"])),
        role=role,
        status=Status.ACTIVE,
        key_digest=values["keyDigest"],
        endpoint=values.get("endpoint", ""),
        organisation=None if int(organisation, 16) == 0 else Address(address(organisation)),
    )


def changed_from(actor: Actor, event: Event) -> Actor:
    """Return an actor after the change of keys that an event describes."""
    values = event.values
    return actor.changed(values["keyDigest"], KeyChange(values["validFrom"], values["earlierEndsAt"]))


def _decoded(contract: Contract, logs: Sequence[Mapping[str, Any]]) -> list[Event]:
    found = []
    try:
        for log in logs:
            decoded = contract.event(log)
            # `removed` marks what a reorganisation took back.
            if decoded is not None and not log.get("removed", False):
                number, index = int(log["blockNumber"], 16), int(log["logIndex"], 16)
                found.append(Event(*decoded, number, str(log["blockHash"]), str(log["transactionHash"]), index))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError(f"the node's logs of {contract.name} can't be read") from exc
    return found
