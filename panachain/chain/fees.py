"""What a transaction pays: asked of the node, capped by a setting, raised when it sticks, and said in gwei.

Never pays more per gas than the cap: a chain that asks for more is told of, and nothing is signed. A node that lies
about fees can at most have the cap paid, or keep a transaction waiting.
Follows EIP-1559 and the Ethereum JSON-RPC specification (eth_feeHistory, eth_maxPriorityFeePerGas).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.chain import node
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account
from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.model.sizes import KEY_SIZE

GWEI: Final = 10**9
"""Wei."""
MAX_FEE: Final = 500 * GWEI
"""Wei per gas that a transaction may cost unless a setting says otherwise: ten times what busy days of chains took."""
_USUAL_TIP: Final = GWEI
"""Wei per gas where a node has no word on tips."""
_HEADROOM: Final = 2
"""The fee cap is this many times the base fee, plus the tip: six full blocks double the base fee (EIP-1559)."""
_BLOCKS: Final = 10
"""Newest blocks whose tips are looked at."""
_HISTORY: Final = ("eth_feeHistory", [hex(_BLOCKS), "latest", [50]])
"""Each block's base fee, how full it was, and the tip of the transaction in the middle of its gas."""
_SUGGESTION: Final[tuple[str, Sequence[Any]]] = ("eth_maxPriorityFeePerGas", [])
_RAISE: Final = (5, 4)
"""By how much a transaction that sticks pays more, where the cap leaves room for it."""
_LEAST_RAISE: Final = (9, 8)
"""From what nodes take a replacement of the same nonce: geth from 1.1, others from 1.125 on."""
_NEEDED: Final = re.compile(r"\bminimum(?: needed| required)?:? (\d{1,24})\b", re.ASCII | re.IGNORECASE)
"""What nodes say with a refusal for a tip below their floor: "gas tip cap 1, minimum needed 1000000000" (geth)."""
QUESTIONS: Final[Sequence[tuple[str, Sequence[Any]]]] = (
    ("eth_getBlockByNumber", ["latest", False]),
    _HISTORY,
    _SUGGESTION,
)
"""What `market` reads the answers of."""


@dataclass(frozen=True)
class Market:
    """What the newest blocks took, in wei per gas."""

    base: int
    """Of the next block."""
    tip: int
    """What the node suggests, or what half of the gas of the newest blocks paid, if that is more."""

    def words(self) -> str:
        """Return what messages say of it."""
        return f"the newest blocks took a base fee of {gwei(self.base)} and tips of {gwei(self.tip)}"


@dataclass(frozen=True)
class Fees:
    """What one transaction offers, in wei per gas."""

    tip: int
    most: int
    """Base fee and tip together."""

    def fields(self) -> dict[str, int]:
        """Return the fields of a transaction."""
        return {"maxFeePerGas": self.most, "maxPriorityFeePerGas": self.tip}

    def words(self) -> str:
        """Return what messages say of it."""
        return f"tip {gwei(self.tip)}, at most {gwei(self.most)} per gas"


FREE: Final = Fees(0, 0)
"""What is paid on a chain that takes no gas price."""


def of_transaction(transaction: Mapping[str, Any]) -> Fees:
    """Return what a transaction offers."""
    return Fees(int(transaction["maxPriorityFeePerGas"]), int(transaction["maxFeePerGas"]))


def ask(rpc: Rpc) -> Market:
    """Ask a node what the newest blocks took.

    Raises:
        IntegrityError: an answer is none.
        ChainUnavailableError: it doesn't answer.
    """
    return market(answers(rpc, QUESTIONS))


def answers(rpc: Rpc, questions: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """Return the answers to some questions, None for each method that the node doesn't have.

    Raises:
        RpcAnswerError: the node refuses a question for another reason.
        ChainUnavailableError: it doesn't answer.
    """
    try:
        return rpc.batch(questions)
    except RpcAnswerError as exc:
        if not exc.is_missing_method:
            raise
        return [_answer(rpc, method, params) for method, params in questions]


def _answer(rpc: Rpc, method: str, params: Sequence[Any]) -> Any:
    try:
        return rpc.call(method, params)
    except RpcAnswerError as exc:
        if not exc.is_missing_method:
            raise
        return None


def market(answers: Sequence[Any]) -> Market:
    """Return what a node's answers to `QUESTIONS` say.

    Raises:
        IntegrityError: an answer is none.
    """
    block, history, suggestion = answers
    bases, tips = _history(history)
    if suggestion is not None:
        tips.append(node.quantity(suggestion, "a tip", bits=96))
    return Market(bases[-1] if bases else base_fee(block), max(tips) if tips else _USUAL_TIP)


def takes_no_price(rpc: Rpc, chain_id: int, *, to: str | None = None) -> bool:
    """Tell whether a chain takes transactions that pay nothing, by one of an account that nobody has.

    Args:
        rpc: a node.
        chain_id: of its chain.
        to: whom it calls, without data; None lets it call itself. A gate passes the sidechain's contracts only.

    Raises:
        ChainUnavailableError: the node doesn't answer.
        IntegrityError: its newest block is none.
    """
    if has_base_fee(rpc):
        return False
    nobody = Account(os.urandom(KEY_SIZE))
    transaction = {"type": 2, "chainId": chain_id, "nonce": 0, "gas": 50_000, "value": 0, "data": "0x"}
    raw, _ = nobody.sign_transaction(transaction | FREE.fields() | {"to": to or nobody.address})
    try:
        rpc.call("eth_sendRawTransaction", [raw])
    except RpcAnswerError:
        return False
    return True


def has_base_fee(rpc: Rpc) -> bool:
    """Tell whether gas costs something on a chain, whatever its price.

    Raises:
        ChainUnavailableError: the node doesn't answer.
        IntegrityError: its newest block is none.
    """
    return base_fee(rpc.call("eth_getBlockByNumber", ["latest", False])) > 0


def base_fee(block: object) -> int:
    """Return a block's base fee, in wei; a chain without fees has none.

    Raises:
        IntegrityError: the node gives no block, or no number.
    """
    if not isinstance(block, dict):
        raise IntegrityError("the node's newest block is none")
    return node.quantity(block.get("baseFeePerGas") or "0x0", "a base fee", bits=96)


def first_offer(found: Market, cap: int) -> Fees:
    """Return what a new transaction offers.

    Args:
        found: what the newest blocks took.
        cap: wei per gas that it may cost.

    Raises:
        ChainUnavailableError: the chain asks for more.
    """
    if found.base + found.tip > cap:
        raise ChainUnavailableError(
            f"the chain asks for {gwei(found.base + found.tip)} per gas (base fee {gwei(found.base)}, tip "
            f"{gwei(found.tip)}), the setting max_fee allows {gwei(cap)}; nothing was sent",
            hint="wait until the chain is less busy, or allow more: PANACHAIN_MAX_FEE, in gwei",
        )
    return Fees(found.tip, min(_HEADROOM * found.base + found.tip, cap))


def raised(offer: Fees, found: Market, cap: int, *, needed: int = 0) -> Fees | None:
    """Return what a replacement offers, or None where the cap leaves no room for what nodes take as one.

    Args:
        offer: what the transaction offers that sticks.
        found: what the newest blocks took.
        cap: wei per gas that it may cost.
        needed: the tip that the node named as its least, if it did.
    """
    up, down = _RAISE
    tip = max(-(-offer.tip * up // down), found.tip, needed)
    most = max(-(-offer.most * up // down), _HEADROOM * found.base + tip)
    if most > cap:
        # What the cap leaves counts as a replacement only if both fields rise by so much.
        tip, most = min(tip, cap), cap
        up, down = _LEAST_RAISE
        if most * down < offer.most * up or tip * down < offer.tip * up:
            return None
    return Fees(tip, most)


def needed_tip(refusal: str) -> int:
    """Return the least tip that a refusal names, in wei per gas; 0 where it names none."""
    return max(map(int, _NEEDED.findall(refusal)), default=0)


def gwei(wei: int) -> str:
    """Return an amount in gwei as people write it."""
    return f"{wei / GWEI:.9f}".rstrip("0").rstrip(".") + " gwei" if wei < GWEI else f"{wei / GWEI:.4g} gwei"


def _history(history: object) -> tuple[list[int], list[int]]:
    """Return the base fees of the newest blocks and the next one, and the tips of those that weren't empty."""
    if history is None:
        return [], []
    if not isinstance(history, dict):
        raise IntegrityError("the node's fee history is none")
    try:
        bases = [node.quantity(one, "a base fee", bits=96) for one in history.get("baseFeePerGas") or ()]
        rewards, filled = history.get("reward") or (), history.get("gasUsedRatio") or ()
        # Empty blocks show a tip of 0, and say nothing of what a full one takes.
        tips = [
            node.quantity(reward[0], "a tip", bits=96)
            for reward, ratio in zip(rewards, filled, strict=False)
            if ratio and reward
        ]
    except (TypeError, IndexError, AttributeError) as exc:
        raise IntegrityError("the node's fee history can't be read") from exc
    return bases, [sorted(tips)[len(tips) // 2]] if tips else []


def read_max_fee(value: object) -> int:
    """Return a cap in wei per gas from a number of gwei.

    Raises:
        ValueError: it is none above 0, or so large that it caps nothing.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("maxFee must be gwei per gas, above 0")
    wei = int(float(value) * GWEI)
    if not 0 < wei < 1 << 80:
        raise ValueError(f"maxFee is {value}, it must be gwei per gas, above 0")
    return wei
