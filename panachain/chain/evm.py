"""Transactions: one nonce lane per account, replacements, receipts; panachain/chain/signing.py signs.

The signed raw transaction exists before it is sent, so that what was sent can be told again. Never logs a key.
Follows EIP-1559 and the Ethereum JSON-RPC specification.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from panachain.chain import node
from panachain.chain.abi import revert_reason
from panachain.chain.refusals import refusal_words
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import IntegrityError, TransactionError
from panachain.private_files import open_private

_RECEIPT_TIMEOUT: Final = 120
"""Seconds to wait for a transaction to be mined."""
_STUCK: Final = 20.0
"""Seconds after which a transaction that isn't mined is replaced by one that pays more."""
_RAISE: Final = 1.25
"""By how much; nodes take a replacement from 1.1 on."""
_FEE_HEADROOM: Final = 2
"""The fee cap is this many times the base fee, plus the tip."""
_FEES: Final = ("maxFeePerGas", "maxPriorityFeePerGas")
_NOTHING_GAS: Final = 21_000
"""What a transaction to oneself takes that carries nothing (Yellow Paper, appendix G)."""
_KNOWN: Final = ("already known", "already imported", "known transaction")
"""What nodes say of a transaction that they have (execution-apis, eth_sendRawTransaction)."""
_OVERTAKEN: Final = ("nonce too low", "underpriced")
"""What nodes say when another transaction has the nonce; also when it is the same one, mined meanwhile."""
Signed = Callable[[str, str], None]
"""Called with hash and raw form of a signed transaction before it is sent."""


@dataclass(frozen=True)
class Receipt:
    """A mined transaction."""

    tx_hash: str
    block: int
    gas_used: int
    contract: str | None = None
    """Address of the contract that it created."""
    logs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    succeeded: bool = True
    """False where the contract reverted: the gas is spent, and nothing else changed."""


def receipt_of(rpc: Rpc, tx_hash: str) -> Receipt | None:
    """Return a mined transaction, or None while it isn't mined.

    Raises:
        IntegrityError: the node's receipt lacks a field.
    """
    found = rpc.call("eth_getTransactionReceipt", [tx_hash])
    if found is None:
        return None
    try:
        return Receipt(
            str(found["transactionHash"]),
            node.quantity(found["blockNumber"], "a block's number", bits=64),
            node.quantity(found["gasUsed"], "gas", bits=64),
            found.get("contractAddress"),
            tuple(found["logs"]),
            succeeded=node.quantity(found["status"], "a status") == 1,
        )
    except (IntegrityError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError(f"the node's receipt of transaction {tx_hash} lacks a field") from exc


class Sender:
    """Sends one account's transactions to one chain, in order, from any number of threads and processes."""

    _locks: ClassVar[dict[str, threading.Lock]] = {}

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        account: Account,
        *,
        lock_folder: Path,
        free: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the account and the chain.

        Args:
            rpc: the chain's node.
            chain_id: signed into each transaction (EIP-155).
            account: who pays and signs.
            lock_folder: where the processes of this machine agree on whose turn it is.
            free: the chain takes no gas price.
            clock: seconds that only go forward.
            sleep: waits for some seconds.
        """
        self.account = account
        self.address = account.address
        self._rpc = rpc
        self.chain_id = chain_id
        self._free = free
        self._folder = lock_folder
        self._clock, self._sleep = clock, sleep

    def send(
        self,
        to: str | None,
        data: str,
        *,
        what: str,
        signed: Signed | None = None,
        alone: bool = False,
        gas: int | None = None,
    ) -> Receipt:
        """Send one transaction and wait until it is mined; one that sticks is replaced, so that one of them is.

        Args:
            to: the contract, or None to create one.
            data: calldata as hex.
            what: what messages call it.
            signed: called as signed(hash, raw) before each of them is sent, so that a journal can hold it.
            alone: take the nonce after the last mined transaction, so that none of this account's that still waits,
                from whatever machine, can be mined before it.
            gas: that it takes at most, of a transaction that leaves also when the node says that it would revert; None
                for one that doesn't.

        Raises:
            TransactionError: the contract reverts (decoded), or the transaction isn't mined in time.
            ChainUnavailableError: the node doesn't answer.
        """
        call: dict[str, Any] = {"from": self.address, "data": data} | ({"to": to} if to else {})
        with self._turn():
            try:
                # The estimate runs the call: a revert shows here, before anything is signed.
                limit, refusal = self._estimate(call, gas)
                transaction = self._transaction(to, data, limit)
                if alone:
                    transaction["nonce"] = node.transaction_count(self._rpc, self.address)
                raw, tx_hash = self.account.sign_transaction(transaction)
                if signed is not None:
                    signed(tx_hash, raw)
                self._submit(raw, tx_hash)
            except RpcAnswerError as exc:
                reason = revert_reason(exc.data) if exc.data else ""
                raise TransactionError(
                    f"{what}: the chain refuses: {refusal_words(reason) or exc}", reason=reason
                ) from exc
        try:
            return self._wait([(tx_hash, raw)], transaction, what, signed)
        except TransactionError as exc:
            # What the node said before is true if the transaction reverted.
            exc.reason = exc.reason or refusal
            raise

    def resend(self, sent: Sequence[tuple[str, str]], *, what: str, signed: Signed | None = None) -> Receipt | None:
        """Send transactions again that were signed before, and wait.

        None when none of them did anything and none can be mined any more, or they are of another chain.

        Args:
            sent: hash and raw of each, all with one nonce, oldest first.
            what: what messages call it.
            signed: as `send`.
        """
        hashes = [tx_hash for tx_hash, _ in sent]
        transaction = decode_transaction(sent[-1][1])
        if transaction["chainId"] != self.chain_id:
            return None
        if node.transaction_count(self._rpc, self.address) > transaction["nonce"]:
            # The nonce is used up: by one of these, or by a transaction that isn't of this journal. One that reverted
            # did nothing, and is no reason never to do it.
            mined = [receipt for receipt in map(self._receipt, hashes) if receipt is not None and receipt.succeeded]
            return mined[0] if mined else None
        # A reorganisation can take transactions before it away that nobody sends again: without theirs, its nonce never
        # comes.
        self._use_up(transaction["nonce"], [])
        self._push(sent[-1][1])
        return self._wait(list(sent), transaction, what, signed)

    def bury(self, sent: Sequence[tuple[str, str]]) -> None:
        """Make sure that transactions that were signed before are mined now or never.

        Args:
            sent: hash and raw of each.

        Raises:
            TransactionError: their nonces aren't used up in time.
        """
        raws = [(decode_transaction(raw), raw) for _, raw in sent]
        ours = [transaction for transaction, _ in raws if transaction["chainId"] == self.chain_id]
        if ours:
            self._use_up(max(transaction["nonce"] for transaction in ours) + 1, ours)

    def _use_up(self, end: int, ours: Sequence[Mapping[str, Any]]) -> None:
        """Use up all nonces below `end`, with transactions that do nothing.

        Args:
            end: the first nonce that stays.
            ours: transactions that may wait for some of these nonces; more is paid than they pay.
        """
        deadline = self._clock() + _RECEIPT_TIMEOUT
        pause = 0.01
        used = -1
        while (nonce := node.transaction_count(self._rpc, self.address)) < end:
            if self._clock() >= deadline:
                raise TransactionError(
                    f"transaction {nonce} of this account wasn't mined within {_RECEIPT_TIMEOUT} s",
                    hint="the same command again goes on where this one stopped",
                )
            if nonce != used:
                transaction = self._transaction(self.address, "0x", 0) | {"nonce": nonce, "gas": _NOTHING_GAS}
                for waits in ours:
                    if waits["nonce"] == nonce:
                        transaction |= {fee: max(transaction[fee], int(waits[fee] * _RAISE) + 1) for fee in _FEES}
                self._push(self.account.sign_transaction(transaction)[0])
                used, pause = nonce, 0.01
            else:
                self._sleep(pause)
                pause = min(pause * 2, 1.0)

    def _estimate(self, call: Mapping[str, Any], gas: int | None) -> tuple[int, str]:
        """Return the gas that a call takes, and why the contract would refuse it, which only counts once it did."""
        try:
            return node.quantity(self._rpc.call("eth_estimateGas", [call]), "gas", bits=64), ""
        except RpcAnswerError as exc:
            if gas is None:
                raise
            return gas, revert_reason(exc.data) if exc.data else ""
        except IntegrityError:
            if gas is None:
                raise
            return gas, ""

    def _transaction(self, to: str | None, data: str, gas: int) -> dict[str, Any]:
        nonce, block = self._rpc.batch(
            [("eth_getTransactionCount", [self.address, "pending"]), ("eth_getBlockByNumber", ["latest", False])]
        )
        tip = 0 if self._free else 10**9
        fee = 0 if self._free else _FEE_HEADROOM * _base_fee(block) + tip
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": node.quantity(nonce, "a nonce", bits=64),
            # A fifth more than estimated: the state may change before the transaction is mined.
            "gas": gas * 12 // 10,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
            "value": 0,
            "data": data,
        }
        return transaction | ({"to": to} if to else {})

    def _wait(
        self, sent: list[tuple[str, str]], transaction: dict[str, Any], what: str, signed: Signed | None
    ) -> Receipt:
        """Wait until one of several transactions with the same nonce is mined."""
        deadline = self._clock() + _RECEIPT_TIMEOUT
        stuck = self._clock() + _STUCK
        pause = 0.01
        while self._clock() < deadline:
            # The newest one first, because it pays most; but an earlier one may still be the one that is mined.
            for tx_hash, _ in reversed(sent):
                receipt = self._receipt(tx_hash)
                if receipt is not None:
                    return self._checked(receipt, what)
            # A node replaces a waiting transaction only by one of the same nonce that pays a tenth more.
            if self._clock() >= stuck:
                transaction = self._dearer(transaction)
                raw, tx_hash = self.account.sign_transaction(transaction)
                if signed is not None:
                    signed(tx_hash, raw)
                sent.append((tx_hash, raw))
                self._push(raw)
                stuck = self._clock() + _STUCK
            self._sleep(pause)
            # A development chain mines at once, a public one in seconds: both are asked as often as makes sense.
            pause = min(pause * 2, 1.0)
        raise TransactionError(
            f"{what}: transaction {sent[-1][0]} wasn't mined within {_RECEIPT_TIMEOUT} s",
            hint="the same command again waits for it, and sends nothing twice",
        )

    def _receipt(self, tx_hash: str) -> Receipt | None:
        return receipt_of(self._rpc, tx_hash)

    def _checked(self, receipt: Receipt, what: str) -> Receipt:
        if not receipt.succeeded:
            raise TransactionError(f"{what}: transaction {receipt.tx_hash} was mined and reverted")
        return receipt

    def _dearer(self, transaction: Mapping[str, Any]) -> dict[str, Any]:
        """Return the transaction with the fees that a replacement needs, and that the newest block asks for."""
        if self._free:
            return dict(transaction)
        block = self._rpc.call("eth_getBlockByNumber", ["latest", False])
        tip = int(transaction["maxPriorityFeePerGas"] * _RAISE) + 1
        floor = _FEE_HEADROOM * _base_fee(block) + tip
        fee = max(int(transaction["maxFeePerGas"] * _RAISE) + 1, floor)
        return {**transaction, "maxPriorityFeePerGas": tip, "maxFeePerGas": fee}

    def _submit(self, raw: str, tx_hash: str) -> None:
        """Send a new transaction; where an answer was lost, the second attempt finds it waiting or mined already."""
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            if not _says(exc, _KNOWN) and not (_says(exc, _OVERTAKEN) and self._receipt(tx_hash)):
                raise

    def _push(self, raw: str) -> None:
        """Send a transaction that the node may know already, or that another one of the same nonce has overtaken."""
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            if not _says(exc, _KNOWN + _OVERTAKEN):
                raise TransactionError(f"the chain refuses to take a transaction again: {exc}") from exc

    @contextmanager
    def _turn(self) -> Iterator[None]:
        lane = f"{self.chain_id}-{self.address}"
        with self._locks.setdefault(lane, threading.Lock()):
            # Hashed: the folder doesn't list accounts in the clear.
            path = self._folder / f"{hashlib.sha256(lane.encode()).hexdigest()[:16]}.lock"
            with open(open_private(path, os.O_WRONLY), "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


def _base_fee(block: object) -> int:
    """Return a block's base fee, in wei; a chain without fees has none.

    Raises:
        IntegrityError: the node gives no block, or no number.
    """
    if not isinstance(block, dict):
        raise IntegrityError("the node's newest block is none")
    return node.quantity(block.get("baseFeePerGas", "0x0"), "a base fee", bits=64)


def _says(refusal: RpcAnswerError, what: Sequence[str]) -> bool:
    return any(words in str(refusal).lower() for words in what)
