"""Transactions: one nonce lane per account, fees, replacements, receipts; panachain/chain/signing.py signs.

The signed raw transaction exists before it is sent, so that what was sent can be told again. A chain that stands still
is told from one that goes on and doesn't take the transaction. Never logs a key.
Follows EIP-1559 and the Ethereum JSON-RPC specification; ADR 21.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from panachain.chain import fees, node
from panachain.chain.abi import revert_reason
from panachain.chain.failover import Failover
from panachain.chain.fees import FREE, Fees
from panachain.chain.lane import Lane
from panachain.chain.refusals import refusal_words
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import ChainUnavailableError, IntegrityError, StuckError, TransactionError
from panachain.model.actors import Address

_RECEIPT_TIMEOUT: Final = 120
"""Seconds to wait for a transaction to be mined, of a chain that goes on."""
_LEAST_BLOCKS: Final = 6
"""Blocks that a slow chain makes before its transaction is given up."""
_STALLED: Final = 90.0
"""Seconds without a new block after which a chain stands still: seven slots of Ethereum's mainnet."""
_STUCK: Final = 20.0
"""Seconds after which a transaction that isn't mined is replaced by one that pays more."""
_FOREIGN: Final = 60.0
"""Seconds that an earlier transaction of the account may wait before one that does nothing takes its place."""
_QUICK: Final = 0.25
"""Seconds between two questions in the first `_QUICKLY` seconds: an eighth of a block of 2 s."""
_QUICKLY: Final = 10.0
_SLOW: Final = 1.0
"""Seconds between two questions later on."""
_NOTHING_GAS: Final = 21_000
"""What a transaction to oneself takes that carries nothing (Yellow Paper, appendix G)."""
_KNOWN: Final = ("already known", "already imported", "known transaction")
"""What nodes say of a transaction that they have (execution-apis, eth_sendRawTransaction)."""
_OVERTAKEN: Final = ("nonce too low", "replace")
"""What nodes say when another transaction has the nonce; also when it is the same one, mined meanwhile."""
_CHEAP: Final = ("underpriced",)
"""What nodes say of a transaction that pays less than they take from anybody, whether or not another has its nonce."""
_POOR: Final = ("insufficient funds",)
"""What nodes say of an account that can't pay."""
_USED: Final = "nonce too low"
"""What of these says that the nonce is mined, and no other one waits."""
_LAGGING: Final = 30.0
"""Seconds that most of several nodes get to see a block of which others know that it used a nonce."""
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


@dataclass(frozen=True)
class Call:
    """What a transaction does."""

    to: str | None
    """The contract, or None to create one."""
    data: str
    """Calldata as hex."""
    what: str
    """What messages call it."""


def receipt_of(rpc: Rpc, tx_hash: str) -> Receipt | None:
    """Return a mined transaction, or None while it isn't mined.

    Raises:
        IntegrityError: the node's receipt lacks a field.
    """
    return _receipt(rpc.call("eth_getTransactionReceipt", [tx_hash]), tx_hash)


def _receipt(found: Any, tx_hash: str) -> Receipt | None:
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


@dataclass
class Pending:
    """A transaction that is on its way, with all that were signed for its nonce."""

    transaction: dict[str, Any]
    """The newest of them, unsigned."""
    what: str
    """What messages call it."""
    sent: list[tuple[str, str]]
    """Hash and raw of each, oldest first."""
    refusal: str = ""
    """What the node said before, which is true if the transaction reverts."""
    receipt: Receipt | None = None
    """Of the one that was mined."""


class Sender:
    """Sends one account's transactions to one chain, in order, from any number of threads and processes."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        account: Account,
        *,
        lock_folder: Path,
        free: bool = False,
        max_fee: int = fees.MAX_FEE,
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
            max_fee: wei per gas that a transaction may cost.
            clock: seconds that only go forward.
            sleep: waits for some seconds.
        """
        self.account = account
        self.address = account.address
        self._rpc = rpc
        self.chain_id = chain_id
        self._free = free
        self._max_fee = max_fee
        self._lane = Lane(lock_folder, chain_id, account.address)
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
        taken: Callable[[], None] | None = None,
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
            taken: called once a nonce is known, before anything is signed with it; what it raises ends the call.

        Raises:
            TransactionError: the contract reverts (decoded).
            StuckError: the chain goes on, and doesn't take the transaction.
            ChainUnavailableError: the node doesn't answer, the chain stands still, or asks for more than is allowed.
        """
        call = Call(to, data, what)
        with self._lane.turn() as remembered:
            try:
                # The estimate runs the call: a revert shows here, before anything is signed.
                limit, refusal = self._estimate(call, gas)
                pending = self._depart(call, limit, refusal, remembered, alone=alone, signed=signed, taken=taken)
            except RpcAnswerError as exc:
                raise refused(what, exc, sender=self.address) from exc
        return self._wait(pending, signed)

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
            found = [receipt_of(self._rpc, tx_hash) for tx_hash in hashes]
            mined = [receipt for receipt in found if receipt is not None and receipt.succeeded]
            return mined[0] if mined else None
        # A reorganisation can take transactions before it away that nobody sends again: without theirs, its nonce never
        # comes.
        self._use_up(transaction["nonce"], [])
        self._push(sent[-1][1])
        return self._wait(Pending(transaction, what, list(sent)), signed)

    def bury(self, sent: Sequence[tuple[str, str]]) -> None:
        """Make sure that transactions that were signed before are mined now or never.

        Args:
            sent: hash and raw of each.

        Raises:
            StuckError: their nonces aren't used up in time.
            ChainUnavailableError: the chain stands still, or asks for more than is allowed.
        """
        raws = [(decode_transaction(raw), raw) for _, raw in sent]
        ours = [transaction for transaction, _ in raws if transaction["chainId"] == self.chain_id]
        if ours:
            self._use_up(max(transaction["nonce"] for transaction in ours) + 1, ours)

    # Before a transaction is sent

    def _estimate(self, call: Call, gas: int | None) -> tuple[int, str]:
        """Return the gas that a call takes, and why the contract would refuse it, which only counts once it did."""
        try:
            return node.quantity(self._rpc.call("eth_estimateGas", [self._asked(call)]), "gas", bits=64), ""
        except RpcAnswerError as exc:
            if gas is None:
                raise
            return gas, revert_reason(exc.data) if exc.data else ""
        except IntegrityError:
            if gas is None:
                raise
            return gas, ""

    def _asked(self, call: Call) -> dict[str, Any]:
        return {"from": self.address, "data": call.data} | ({"to": call.to} if call.to else {})

    def _start(self, remembered: dict[int, str], *, alone: bool = False) -> tuple[int, Fees]:
        """Return the nonce of the next transaction, once what nodes dropped is sent again, and what it offers."""
        asked: list[tuple[str, Sequence[Any]]] = [("eth_getTransactionCount", [self.address, "pending"])]
        if not self._free:
            asked += fees.QUESTIONS
        waiting, *market = fees.answers(self._rpc, asked)
        nonce = node.quantity(waiting, "a nonce", bits=64)
        offer = FREE if self._free else fees.first_offer(fees.market(market), self._max_fee)
        if alone or remembered:
            mined = node.transaction_count(self._rpc, self.address)
            for old in [one for one in remembered if one < mined]:
                del remembered[old]
            if alone:
                return mined, offer
            while nonce in remembered:
                # The nodes have forgotten what was sent, or forbidden it meanwhile.
                try:
                    self._push(remembered[nonce])
                except TransactionError:
                    del remembered[nonce]
                    break
                nonce += 1
        return nonce, offer

    def _offer(self) -> Fees:
        return FREE if self._free else fees.first_offer(fees.ask(self._rpc), self._max_fee)

    def _signed(self, call: Call, gas: int, nonce: int, offer: Fees, refusal: str = "") -> Pending:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": nonce,
            # A fifth more than estimated: the state may change before the transaction is mined.
            "gas": gas * 12 // 10,
            **offer.fields(),
            "value": 0,
            "data": call.data,
        }
        transaction |= {"to": call.to} if call.to else {}
        return Pending(transaction, call.what, [self._sign(transaction)], refusal)

    def _sign(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        raw, tx_hash = self.account.sign_transaction(transaction)
        return tx_hash, raw

    def _depart(
        self,
        call: Call,
        gas: int,
        refusal: str,
        remembered: dict[int, str],
        *,
        alone: bool,
        signed: Signed | None,
        taken: Callable[[], None] | None,
    ) -> Pending:
        """Sign and send a transaction under the next nonce, and under a later one where most nodes lagged.

        While one node is down, a single one that hasn't seen the newest block yet makes an old nonce the next one. All
        nodes that have seen it refuse that, and nothing is under way.

        Raises:
            RpcAnswerError: the nodes refuse it.
        """
        until = self._clock() + _LAGGING
        while True:
            nonce, offer = self._start(remembered, alone=alone)
            if taken is not None:
                taken()
            pending = self._signed(call, gas, nonce, offer, refusal)
            try:
                self._leave(pending, remembered, signed)
            except RpcAnswerError as exc:
                # One node knows best itself.
                if not isinstance(self._rpc, Failover) or not _says(exc, (_USED,)) or self._clock() >= until:
                    raise
                self._sleep(_SLOW)
            else:
                return pending

    def _leave(self, pending: Pending, remembered: dict[int, str], signed: Signed | None) -> None:
        """Have a new transaction written down, and send it; one more time if it pays less than the node's floor.

        Raises:
            RpcAnswerError: the node refuses it.
        """
        nonce = pending.transaction["nonce"]
        while True:
            tx_hash, raw = pending.sent[-1]
            if signed is not None:
                signed(tx_hash, raw)
            remembered[nonce] = raw
            try:
                self._submit(tx_hash, raw)
            except RpcAnswerError as exc:
                del remembered[nonce]
                offer, needed = fees.of_transaction(pending.transaction), fees.needed_tip(str(exc))
                higher = None
                if not self._free and needed > offer.tip:
                    higher = fees.raised(offer, fees.ask(self._rpc), self._max_fee, needed=needed)
                if higher is None or higher.tip < needed:
                    raise
                pending.transaction = {**pending.transaction, **higher.fields()}
                pending.sent.append(self._sign(pending.transaction))
            else:
                return

    def _submit(self, tx_hash: str, raw: str) -> None:
        """Send a new transaction; where an answer was lost, the second attempt finds it waiting or mined already."""
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            if _says(exc, _KNOWN) or (_says(exc, _OVERTAKEN + _CHEAP) and receipt_of(self._rpc, tx_hash)):
                return
            raise

    def _push(self, raw: str) -> str:
        """Send a transaction that the node may know already, or that another one of the same nonce has overtaken.

        Returns:
            What the node says if it pays too little for it, which may change; empty otherwise.

        Raises:
            TransactionError: the node refuses it for another reason.
        """
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            refusal = f"the chain refuses to take a transaction again: {exc}"
            if _says(exc, _KNOWN + _OVERTAKEN):
                return ""
            if _says(exc, _CHEAP):
                return refusal
            raise TransactionError(refusal) from exc
        return ""

    # Until it is mined

    def _wait(self, pending: Pending, signed: Signed | None) -> Receipt:
        """Wait until one of the transactions of a nonce is mined, and return its receipt.

        Raises:
            TransactionError: it reverted.
            StuckError: the chain goes on, and doesn't take it.
            ChainUnavailableError: the chain stands still.
        """
        pace = _Pace(self._clock)
        stuck = pace.began + _STUCK
        pause = 0.01
        while True:
            # The newest one first, because it pays most; but an earlier one may still be the one that is mined.
            hashes = [tx_hash for tx_hash, _ in reversed(pending.sent)]
            asked = [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]
            *found, newest = self._rpc.batch([*asked, ("eth_blockNumber", [])])
            receipts = [_receipt(one, tx_hash) for one, tx_hash in zip(found, hashes, strict=True)]
            pending.receipt = pending.receipt or next((one for one in receipts if one is not None), None)
            if pending.receipt is not None:
                break
            pace.look(node.quantity(newest, "a block's number", bits=64))
            pace.check(pending, self._rpc, free=self._free)
            # Nothing helps a chain that made one block since: the next one may take it as it is.
            if self._clock() >= stuck and pace.blocks_since != 1:
                self._help(pending, signed, pace)
                pace.blocks_since = 0
                stuck = self._clock() + _STUCK
            self._sleep(pause)
            # A development chain mines at once, a public one in seconds: both are asked as often as makes sense.
            pause = min(pause * 2, _QUICK if pace.waited < _QUICKLY else _SLOW)
        return self._checked(pending)

    def _help(self, pending: Pending, signed: Signed | None, pace: _Pace) -> None:
        """Do what may bring a transaction on chain that sticks: free the nonces before it, and pay more."""
        nonce = pending.transaction["nonce"]
        mined = node.transaction_count(self._rpc, self.address)
        if mined > nonce:
            self._check_overtaken(pending)
            return
        if mined < nonce:
            self._fill(range(mined, nonce), pace)
        market = None if self._free else fees.ask(self._rpc)
        offer = fees.of_transaction(pending.transaction)
        higher = None if market is None else fees.raised(offer, market, self._max_fee, needed=pace.needed)
        if higher is not None:
            pending.transaction = {**pending.transaction, **higher.fields()}
            tx_hash, raw = self._sign(pending.transaction)
            if signed is not None:
                signed(tx_hash, raw)
            pending.sent.append((tx_hash, raw))
        # Where the cap leaves no room, too: the nodes may have dropped it.
        try:
            pace.hear(self._push(pending.sent[-1][1]))
        except TransactionError as exc:
            pace.hear(str(exc))

    def _check_overtaken(self, pending: Pending) -> None:
        """Check that a nonce that is used up was used by one of its own transactions, mined meanwhile."""
        for tx_hash, _ in pending.sent:
            pending.receipt = pending.receipt or receipt_of(self._rpc, tx_hash)
        if pending.receipt is None:
            raise TransactionError(
                f"{pending.what}: another transaction of this account took nonce {pending.transaction['nonce']}, so "
                f"transaction {pending.sent[-1][0]} can't be mined any more; it changed nothing",
                hint="the same command again sends it anew",
            )

    def _fill(self, nonces: Sequence[int], pace: _Pace) -> None:
        """Free the nonces before a transaction: what this machine sent comes again, a gap is filled with nothing."""
        waiting = node.quantity(
            self._rpc.call("eth_getTransactionCount", [self.address, "pending"]), "a nonce", bits=64
        )
        with self._lane.turn() as remembered:
            for nonce in nonces:
                if nonce in remembered and pace.waited < _FOREIGN:
                    pace.hear(self._push(remembered[nonce]))
                elif nonce >= waiting or pace.waited >= _FOREIGN:
                    offers = [decode_transaction(remembered[nonce])] if nonce in remembered else []
                    pace.hear(self._push(self._nothing(nonce, offers, needed=pace.needed)))

    def _use_up(self, end: int, ours: Sequence[Mapping[str, Any]]) -> None:
        """Use up all nonces below `end`, with transactions that do nothing.

        Args:
            end: the first nonce that stays.
            ours: transactions that may wait for some of these nonces; more is paid than they pay.
        """
        deadline = self._clock() + _RECEIPT_TIMEOUT
        pause = 0.01
        used, needed, refusal = -1, 0, ""
        while (nonce := node.transaction_count(self._rpc, self.address)) < end:
            if self._clock() >= deadline:
                said = f"; {refusal}" if refusal else ""
                raise StuckError(
                    f"transaction {nonce} of this account wasn't mined within {_RECEIPT_TIMEOUT} s{said}",
                    hint="the same command again goes on where this one stopped",
                )
            if nonce != used:
                refusal = self._push(self._nothing(nonce, ours, needed=needed))
                needed = max(needed, fees.needed_tip(refusal))
                if not refusal:
                    used, pause = nonce, 0.01
                    continue
            self._sleep(pause)
            pause = min(pause * 2, _SLOW)

    def _nothing(self, nonce: int, ours: Sequence[Mapping[str, Any]], *, needed: int = 0) -> str:
        """Return a raw transaction that does nothing.

        Args:
            nonce: of it.
            ours: more is paid than those of them pay that have this nonce.
            needed: the least tip that the node named, in wei per gas; 0 if it named none.
        """
        market = None if self._free else fees.ask(self._rpc)
        offer = FREE if market is None else fees.first_offer(market, self._max_fee)
        for waits in ours:
            if waits["nonce"] == nonce and market is not None:
                offer = fees.raised(fees.of_transaction(waits), market, self._max_fee) or offer
        if market is not None and needed > offer.tip:
            offer = fees.raised(offer, market, self._max_fee, needed=needed) or offer
        pending = self._signed(Call(self.address, "0x", "nothing"), 0, nonce, offer)
        return self._sign(pending.transaction | {"gas": _NOTHING_GAS})[1]

    def _checked(self, pending: Pending) -> Receipt:
        """Return the receipt of a transaction that was mined, which nobody has to remember any more.

        Raises:
            TransactionError: it reverted.
        """
        with self._lane.turn() as remembered:
            remembered.pop(pending.transaction["nonce"], None)
        receipt = pending.receipt
        if receipt is None or not receipt.succeeded:
            tx_hash = pending.sent[-1][0] if receipt is None else receipt.tx_hash
            raise TransactionError(
                f"{pending.what}: transaction {tx_hash} was mined and reverted", reason=pending.refusal
            )
        return receipt


class _Pace:
    """How a chain goes on while somebody waits: by this a stalled chain is told from one that takes something else."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began = clock()
        self._newest = -1
        self._since = self.began
        self._blocks = 0
        self.blocks_since = 0
        """Blocks since the transactions were sent, or sent again."""
        self.needed = 0
        """The least tip that the node named, in wei per gas."""
        self.refusal = ""
        """What the node said of the newest attempt."""

    @property
    def waited(self) -> float:
        """Seconds so far."""
        return self._clock() - self.began

    def hear(self, refusal: str) -> None:
        """Note what the node said of an attempt; empty if it took it."""
        if refusal:
            self.needed = max(self.needed, fees.needed_tip(refusal))
            self.refusal = refusal

    def look(self, newest: int) -> None:
        """Note the newest block; an older one than before is the word of nodes that lag, and none that was made."""
        if newest > self._newest:
            if self._newest >= 0:
                self._blocks += 1
                self.blocks_since += 1
            self._newest, self._since = newest, self._clock()

    def check(self, pending: Pending, rpc: Rpc, *, free: bool) -> None:
        """Check that there is a reason to wait on.

        Raises:
            ChainUnavailableError: the chain stands still.
            StuckError: it goes on, and takes other transactions.
        """
        still = self._clock() - self._since
        tx_hash = pending.sent[-1][0]
        offer = "" if free else f", {fees.of_transaction(pending.transaction).words()}"
        said = f"; the node says: {self.refusal}" if self.refusal else ""
        if still >= _STALLED:
            raise ChainUnavailableError(
                f"{pending.what}: no new block for {still:.0f} s, the chain stands still at block {self._newest}; "
                f"transaction {tx_hash} waits{offer}{said}",
                hint="once the chain goes on, the same command waits for it, and sends nothing twice",
            )
        if self.waited >= _RECEIPT_TIMEOUT and self._blocks >= _LEAST_BLOCKS:
            took = "" if free else f"; {fees.ask(rpc).words()}"
            raise StuckError(
                f"{pending.what}: transaction {tx_hash} wasn't mined within {int(self.waited)} s, though the chain "
                f"made {self._blocks} blocks{offer}{took}{said}",
                hint="the same command again waits for it, and sends nothing twice; max_fee allows it to pay more",
            )


def refused(what: str, exc: RpcAnswerError, *, sender: Address) -> TransactionError:
    """Return the error that says why the chain refuses a transaction, decoded; `sender` is whose it is."""
    reason = revert_reason(exc.data) if exc.data else ""
    hint = f"send ether to {sender}, which pays for it" if _says(exc, _POOR) else ""
    return TransactionError(f"{what}: the chain refuses: {refusal_words(reason) or exc}", reason=reason, hint=hint)


def _says(refusal: RpcAnswerError, what: Sequence[str]) -> bool:
    return any(words in str(refusal).lower() for words in what)
