"""Event logs of one contract, in windows that shrink by themselves, and the keys that registries keep in events.

Follows the Ethereum JSON-RPC specification (eth_getLogs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panachain.chain import node
from panachain.chain.abi import Contract, address
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Address, Role, Status


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


def read_events(
    rpc: Rpc,
    contract: Contract,
    where: str,
    *,
    topics: Sequence[str | list[str] | None] = (),
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
    start, window = from_block, max(last - from_block + 1, 1)
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
        receiving_key=values["receivingKey"],
        verifying_key=values["verifyingKey"],
        endpoint=values.get("endpoint", ""),
        organisation=None if int(organisation, 16) == 0 else Address(address(organisation)),
    )


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
