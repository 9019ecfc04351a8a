"""Several nodes of one chain, of which none is believed: heads that enough of them agree on, and what those prove.

A node that lags is passed over; one that lies is named, and the next one is asked. With one node its head is believed,
and nothing else of what it says: what follows from the head is recomputed (ADR 14).
Follows the Ethereum JSON-RPC specification, EIP-1186 (eth_getProof) and docs/spec/network.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from panachain.chain.block_receipts import Log, read_receipts
from panachain.chain.headers import Header, check_links, read_header
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, NodeRefusedError

MANY: Final = 500
"""Headers in one request."""
_BLOCKS: Final = 16
"""Blocks whose receipts are asked for in one request; an answer that is too large is asked for in halves."""
_NO_METHOD: Final = -32601
"""What JSON-RPC says of a method that a node doesn't have."""
T = TypeVar("T")


class Nodes:
    """The nodes of one chain."""

    def __init__(self, nodes: Sequence[Rpc], *, chain_id: int, clock: Callable[[], float] = time.time) -> None:
        """Take the nodes; nothing is asked yet.

        Args:
            nodes: at least one.
            chain_id: what each of them must say.
            clock: the time, Unix seconds.
        """
        self._nodes = list(nodes)
        self._chain_id = chain_id
        self._clock = clock

    def head(self) -> Header:
        """Return the newest header that enough nodes agree on.

        Raises:
            IntegrityError: a node's header isn't one.
            ChainUnavailableError: too few nodes answer.
        """
        return self._from_any(lambda rpc: _header(rpc, "latest"))

    def header_at(self, number: int) -> Header:
        """Return the header of one block of the chain that enough nodes agree on.

        Raises:
            IntegrityError: a node's header isn't one, or is another block's.
            ChainUnavailableError: too few nodes answer.
        """
        return self.headers(number, number)[0]

    def headers(self, first: int, last: int) -> list[Header]:
        """Return the headers of the blocks from `first` to `last`, each the parent of the next.

        Raises:
            IntegrityError: a header isn't one, or isn't linked.
            ChainUnavailableError: too few nodes answer.
        """
        return self._from_any(lambda rpc: _headers(rpc, first, last))

    def logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        """Return all logs of each of some blocks, proven by the receipts root of its header.

        Args:
            headers: checked ones.

        Raises:
            IntegrityError: every node that answers leaves out, adds or alters a log; or has no such block.
            ChainUnavailableError: no node answers.
        """
        return [logs for at in range(0, len(headers), _BLOCKS) for logs in self._logs(headers[at : at + _BLOCKS])]

    def _logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        return self._from_any(lambda rpc: _logs(rpc, headers))

    def _from_any(self, ask: Callable[[Rpc], T]) -> T:
        """Return the first good answer; a bad one is the node's whom the error names."""
        errors: list[IntegrityError | ChainUnavailableError] = []
        for rpc in self._nodes:
            try:
                return ask(rpc)
            except IntegrityError as exc:
                errors.append(IntegrityError(f"the node at {rpc.url} lies: {exc}"))
            except ChainUnavailableError as exc:
                errors.append(exc)
        raise next((error for error in errors if isinstance(error, IntegrityError)), errors[0])


def _header(rpc: Rpc, tag: str) -> Header:
    return read_header(rpc.call("eth_getBlockByNumber", [tag, False]))


def _headers(rpc: Rpc, first: int, last: int) -> list[Header]:
    found: list[Header] = []
    for start in range(first, last + 1, MANY):
        numbers = range(start, min(start + MANY, last + 1))
        blocks = rpc.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
        found += map(read_header, blocks)
    if [header.number for header in found] != list(range(first, last + 1)):
        raise IntegrityError(f"it gives other blocks than {first} to {last}")
    check_links(found)
    return found


def _logs(rpc: Rpc, headers: Sequence[Header]) -> list[list[Log]]:
    return [read_receipts(header, found) for header, found in zip(headers, _receipts(rpc, headers), strict=True)]


def _receipts(rpc: Rpc, headers: Sequence[Header]) -> list[Any]:
    """Return the receipts of each of some blocks, as the node gives them."""
    # By hash: a chain that is reorganised meanwhile has another block at this height, and its node doesn't lie.
    asked = [("eth_getBlockReceipts", [header.hash]) for header in headers]
    try:
        return rpc.batch(asked)
    except (RpcAnswerError, NodeRefusedError) as exc:
        if isinstance(exc, NodeRefusedError) or exc.code == _NO_METHOD:
            return [_one_by_one(rpc, header) for header in headers]
        if len(headers) == 1:
            raise IntegrityError(f"it doesn't give the receipts of block {headers[0].number}: {exc}") from exc
        half = len(headers) // 2
        return _receipts(rpc, headers[:half]) + _receipts(rpc, headers[half:])


def _one_by_one(rpc: Rpc, header: Header) -> list[Any]:
    """Return a block's receipts from a node that gives each by its transaction only.

    Raises:
        IntegrityError: it doesn't have the block, or doesn't give them this way either.
    """
    try:
        block = rpc.call("eth_getBlockByHash", [header.hash, False])
        hashes = block["transactions"]
        return [
            receipt
            for start in range(0, len(hashes), MANY)
            for receipt in rpc.batch(
                [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes[start : start + MANY]]
            )
        ]
    except (KeyError, TypeError, RpcAnswerError) as exc:
        raise IntegrityError(
            f"it has neither eth_getBlockReceipts nor the receipts of block {header.number} one by one"
        ) from exc
