"""Several nodes of one chain as if they were one, for what decides nothing: estimates, nonces, receipts, sending.

What one node doesn't answer, the next one is asked. A transaction goes to all of them, so that none can keep it back.
What it is made of (nonce, gas, fees), most of them must say: by one node's word alone it would wait for ever, or cost
more than it had to. So it is with whether it was mined, and whether the chain goes on: a node that is cut off from the
others shows a chain that stands still. Whether an answer is true is never said here: chain/nodes.py does that for what
decides.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from panachain.chain import node
from panachain.chain.ask import ask_all
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, PanaChainError

_SEND: Final = "eth_sendRawTransaction"
_AMOUNTS: Final = frozenset(
    ("eth_getTransactionCount", "eth_estimateGas", "eth_feeHistory", "eth_maxPriorityFeePerGas")
)
"""What makes a transaction wait for ever, or cost more."""
_RECEIPT: Final = "eth_getTransactionReceipt"
_NEWS: Final = frozenset((_RECEIPT, "eth_blockNumber"))
"""What whoever waits for a transaction asks again and again."""
_SHUNNED: Final = 60.0
"""Seconds for which a node that didn't answer is asked after the others."""


class Failover(Rpc):
    """The nodes of one chain; several threads may use them."""

    # No call of Rpc's own __init__: its one connection is what this class has several of.
    def __init__(self, nodes: Sequence[Rpc], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the nodes in the order in which they are asked.

        Args:
            nodes: at least one.
            monotonic: seconds that only go forward.
        """
        self._nodes = tuple(nodes)
        self._monotonic = monotonic
        self._shunned: dict[str, float] = {}
        self._ids = itertools.count(1)
        self.url = self._nodes[0].url

    def close(self) -> None:
        """Close the connections."""
        for rpc in self._nodes:
            rpc.close()

    def exchange(self, body: bytes, what: str) -> Any:
        """Return what the first node that answers says to a body of JSON-RPC.

        Raises:
            ChainUnavailableError: none of them answers.
            RpcAnswerError: an answer is too large.
        """
        now = self._monotonic()
        errors: list[ChainUnavailableError] = []
        for rpc in sorted(self._nodes, key=lambda rpc: self._shunned.get(rpc.url, 0) > now):
            try:
                return rpc.exchange(body, what)
            except ChainUnavailableError as exc:
                self._shunned[rpc.url] = now + _SHUNNED
                errors.append(exc)
        raise errors[0]

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one call; a transaction goes to every node.

        Raises:
            ChainUnavailableError: none of them answers.
            RpcAnswerError: the node answered with an error; of a transaction, every node did.
        """
        if method == _SEND:
            return self._send(lambda rpc: rpc.call(method, params))
        if method in _AMOUNTS:
            return self._most([(method, params)])[0]
        if method in _NEWS:
            return self._news([(method, params)])[0]
        return super().call(method, params)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the results of several calls; with a transaction among them they go to every node.

        Raises:
            ChainUnavailableError: none of them answers all.
            RpcAnswerError: one of the calls failed; with a transaction, at every node.
        """
        if any(method == _SEND for method, _ in calls):
            found: list[Any] = self._send(lambda rpc: rpc.batch(calls))
            return found
        if any(method in _AMOUNTS for method, _ in calls):
            return self._most(calls)
        if calls and all(method in _NEWS for method, _ in calls):
            return self._news(calls)
        return super().batch(calls)

    def _most(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Ask all nodes at once; of each number return what most of them say, or less than the others of them do.

        A block stands for its base fee here. Of nodes that don't answer nothing is known, and nobody waits for them.

        Raises:
            ChainUnavailableError: none of them answers all.
            RpcAnswerError: more of them answer with an error than without.
        """
        said, most = self._said(lambda rpc: _readable(rpc.batch(calls)))
        # The value that so many nodes at least say: liars who are fewer can neither raise it nor, where all answer,
        # lower it.
        return [sorted(one, key=_amount, reverse=True)[most - 1] for one in zip(*said, strict=True)]

    def _news(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Ask all nodes at once; of each height return what most of them have reached, a receipt if most have it.

        Raises:
            ChainUnavailableError: none of them answers all.
            RpcAnswerError: more of them answer with an error than without.
        """
        said, most = self._said(lambda rpc: rpc.batch(calls))
        return [
            _shared(one, most) if method == _RECEIPT else sorted(_readable(list(one)), key=_amount)[-most]
            for (method, _), one in zip(calls, zip(*said, strict=True), strict=True)
        ]

    def _said(self, ask: Callable[[Rpc], list[Any]]) -> tuple[list[list[Any]], int]:
        """Return what the nodes that answer say, and how many of these are most of all nodes, or all of these.

        Raises:
            ChainUnavailableError: none of them answers.
            RpcAnswerError: more of them answer with an error than without.
        """
        now = self._monotonic()
        late = [url for url, until in self._shunned.items() if until > now]
        answers = ask_all(self._nodes, ask, needed=len(self._nodes) // 2 + 1, late=late)
        self._shunned |= {rpc.url: now + _SHUNNED for rpc, error in answers.bad if _is_silent(error, rpc, late)}
        refusals = [error for _, error in answers.bad if isinstance(error, RpcAnswerError)]
        if not answers.good or len(refusals) > len(answers.good):
            errors: list[PanaChainError] = [*refusals, *(error for _, error in answers.bad)]
            raise errors[0]
        return [results for _, results in answers.good], min(len(self._nodes) // 2 + 1, len(answers.good))

    def _send(self, send: Callable[[Rpc], Any]) -> Any:
        """Send to all nodes at once; it is sent once one has taken it."""
        answers = ask_all(self._nodes, send, needed=1)
        if answers.good:
            return answers.good[0][1]
        # What a node says of the transaction tells more than that another one is down.
        errors: list[PanaChainError] = [error for _, error in answers.bad]
        raise next((error for error in errors if isinstance(error, RpcAnswerError)), errors[0])


def _readable(results: list[Any]) -> list[Any]:
    """Return a node's answers if each is a number, or a block with its base fee.

    Raises:
        IntegrityError: one is neither.
    """
    for one in results:
        _amount(one)
    return results


def _amount(result: Any) -> int:
    fee = (result.get("baseFeePerGas") or "0x0") if isinstance(result, dict) else result
    if isinstance(fee, list):
        return _history_amount(result)
    return node.quantity(fee, "an amount")


def _history_amount(history: dict[str, Any]) -> int:
    """Return what a fee history makes a transaction cost at most: so a node's word stands for both its numbers."""
    try:
        tips = [one for reward in history.get("reward") or () for one in reward]
        return sum(
            max((node.quantity(one, "an amount") for one in some), default=0)
            for some in (history["baseFeePerGas"][-1:], tips)
        )
    except (TypeError, KeyError) as exc:
        raise IntegrityError("the node's fee history can't be read") from exc


def _shared(receipts: Sequence[Any], most: int) -> Any:
    """Return the receipt that so many nodes have of one block, or None."""
    blocks = [one.get("blockHash") if isinstance(one, dict) else None for one in receipts]
    return next(
        (one for one, block in zip(receipts, blocks, strict=True) if block and blocks.count(block) >= most), None
    )


def _is_silent(error: PanaChainError, rpc: Rpc, late: Sequence[str]) -> bool:
    return isinstance(error, ChainUnavailableError) and rpc.url not in late


def together(nodes: Sequence[Rpc]) -> Rpc:
    """Return some nodes as one connection."""
    return nodes[0] if len(nodes) == 1 else Failover(nodes)
