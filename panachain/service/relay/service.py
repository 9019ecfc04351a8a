"""The relay: pays for signed statements under a budget, and can neither change nor repeat them.

Nothing that would revert is paid for: each request is simulated when it comes and once more before it is sent. What
waits is sent together. Never logs a policy or an account. Free of HTTP, which is in app.py; calls on the sidechain are
in calls.py.
Follows docs/spec/relay.md, design section 6 and security rules 3, 5 and 12.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Final

from panachain.chain import node
from panachain.chain.abi import revert_reason
from panachain.chain.bound import Contracts
from panachain.chain.evm import Sender, receipt_of
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import IntegrityError, PanaChainError, PolicyUnknownError, TransactionError, UnavailableError
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.policy import Receipt as ProxyReceipt
from panachain.model.transactions import Grant
from panachain.service.periodic import Periodic
from panachain.service.problems import Kind, ProblemError
from panachain.service.relay.store import RelayStore
from panachain.service.relay.tokens import SPENT, Till

WOULD_REVERT: Final = Kind("would-revert", 409, "The contract would refuse it; nothing was sent")
BUDGET: Final = Kind("budget-exhausted", 503, "The relay has spent what it may spend in a day")
MAX_BATCH: Final = 50
"""Policy transactions in one transaction of the chain."""
_MAX_GAS: Final = 12_000_000
"""Gas put aside for one transaction: below the cap of 2^24 (EIP-7825)."""
_MAX_WAITING: Final = 1000
_MARGIN: Final = (12, 10)
"""`Sender` signs this much more gas than the node estimates."""
_REVERTED: Final = 3
"""JSON-RPC error code of a reverted call, as clients use it."""
_WHAT: Final = "the relayed transaction"
"""What messages call it."""
_IDLE: Final = 5.0
"""Seconds between two looks at transactions that were left open."""
_log = logging.getLogger("panachain.relay")


class Matter(Enum):
    """What a relay sends."""

    GRANT = "grant"
    REVOKE = "revoke"
    EVIDENCE = "evidence"
    CALL = "call"
    TAKE_BACK = "take-back"
    """A call by which a person takes something back, leaves or refuses."""


_BATCHED: Final = (Matter.GRANT, Matter.REVOKE, Matter.CALL, Matter.TAKE_BACK)
"""What goes together in one transaction."""


@dataclass(frozen=True)
class Order:
    """One signed statement, as it goes to its contract."""

    matter: Matter
    to: str
    data: str
    """Calldata for the statement alone."""
    signed: Any
    """The statement with its signature, as a batch of its matter takes it; None where there is no batch."""
    about: str
    """The policy, or the account whose call it is."""

    @property
    def key(self) -> str:
        """What tells one statement from another; the same one has the same key."""
        return hashlib.sha256(self.data.encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of an order."""

    state: str
    """`mined`, or `pending`."""
    tx_hash: str
    """Empty while nothing is signed."""
    block: int = 0
    gas_used: int = 0
    """Of the whole transaction, which may carry others too."""


@dataclass(frozen=True)
class Budget:
    """What a relay spends in 24 hours."""

    gas: int
    """For everything."""
    reserve: int
    """On top of it, for revocations of granted policies, or for calls that take something back."""


@dataclass(eq=False)
class Ticket:
    """An order on its way."""

    order: Order
    gas: int
    """That it costs at most."""
    put_aside: bool = False
    """Whether the database counts that gas already."""
    done: Future[Outcome] = field(default_factory=Future)


class Relaying(ABC):
    """What a relay does with orders, whatever they are about."""

    WORKERS: ClassVar[Sequence[tuple[str, tuple[Matter, ...]]]]
    """Name and matters of each thread that sends."""

    def __init__(
        self, chain: Contracts, sender: Sender, store: RelayStore, budget: Budget, *, max_batch: int = MAX_BATCH
    ) -> None:
        """Take the chain, the account that pays, and what it may spend.

        Args:
            chain: where what was signed goes.
            sender: the relay's account.
            store: its database.
            budget: what it may spend.
            max_batch: statements in one transaction.
        """
        self._chain = chain
        self._sender = sender
        self._store = store
        self._budget = budget
        self._max_batch = max_batch
        self.address = sender.address
        self._lock = threading.Condition()
        self._waiting: list[Ticket] = []
        self._tickets: dict[str, Ticket] = {}
        self._in_hand: set[int] = set()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(matters,), name=name, daemon=True)
            for name, matters in self.WORKERS
        ]
        # A chain that doesn't answer now is no reason to forget a transaction: it is looked for again at the next turn.
        duties = {"transactions that were left open can't be looked for": self.watch}
        self._watching = Periodic(duties, every=_IDLE, name="relay-watch", log=_log, at_start=True)

    # Orders

    def submit(self, order: Order, token: bytes = b"") -> Future[Outcome]:
        """Take an order, and return what will become of it.

        The same order again gives the first one's outcome, also after a restart.

        Args:
            order: what is to be sent.
            token: of a patient, where this relay takes tokens; empty for none.

        Raises:
            ProblemError: whoever sent it may not, or no more today, a token is needed or was spent,
                the contract would refuse it, or the budget is used up.
            UnavailableError: the chain doesn't answer, or too much waits.
        """
        # 1. The same order again, before anything is asked of the chain.
        known = self._known(order)
        if known is not None:
            return known
        # 2. Whether somebody who may spend sent it: a stranger's order costs no call of the chain's node.
        reserved, charged = self._admit(order, token)
        # 3. What it costs, and what may be spent for it.
        gas = self._simulate(order)
        limit = self._budget.gas + (self._budget.reserve if reserved else 0)
        # 4. Under the lock, so that two orders at once can't both take the last of the budget.
        with self._lock:
            known = self._known(order)
            if known is not None:
                return known
            # What was taken and isn't written yet counts too, or a flood between two writes would overdraw the purse.
            if self._store.spent() + self._unwritten() + gas > limit:
                raise ProblemError(BUDGET, f"less than {gas} gas is left for this in the last 24 hours' budget")
            # Bounded, so that a chain that stands still doesn't fill the memory.
            if len(self._waiting) >= _MAX_WAITING:
                raise UnavailableError(f"{_MAX_WAITING} transactions wait already")
            # Last, so that what buys nothing isn't counted.
            self._charge(order, charged)
            ticket = Ticket(order, gas)
            self._tickets[order.key] = ticket
            self._waiting.append(ticket)
            self._lock.notify_all()
        return ticket.done

    def pending(self, order: Order) -> Outcome:
        """Return what is known now of an order that takes its time."""
        payment = self._store.payment_of(order.key)
        return Outcome("pending", payment.tx_hash if payment else "")

    # What it says of itself

    def left(self) -> tuple[int, int]:
        """Return the gas that is left for grants and evidence, and for revocations of granted policies."""
        spent = self._store.spent()
        return max(self._budget.gas - spent, 0), max(self._budget.gas + self._budget.reserve - spent, 0)

    def waiting(self) -> int:
        """Return how many orders wait to be sent."""
        return len(self._waiting)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return which network this relay serves, and what it has left."""

    def check_ready(self) -> None:
        """Check that the chain answers, and that the account holds something to pay with.

        Raises:
            ChainUnavailableError: it doesn't answer.
            UnavailableError: the account is empty.
        """
        if node.balance(self._chain.rpc, self.address) == 0:
            raise UnavailableError(f"the relay's account {self.address} is empty")

    # Work

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()
        self._watching.start()

    def stop(self, *, timeout: float = 10.0) -> None:
        """Stop taking new work; what becomes of a transaction that was sent is found out now or at the next start."""
        self._end.set()
        with self._lock:
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        self._watching.stop(timeout=timeout)

    # What depends on what is relayed

    @abstractmethod
    def _admit(self, order: Order, token: bytes) -> tuple[bool, bytes | None]:
        """Return whether an order may spend the reserve, and what it is charged to: a token or an account, or None.

        Raises:
            ProblemError: whoever sent it may not.
        """

    @abstractmethod
    def _charge(self, order: Order, charged: bytes | None) -> None:
        """Count an order that is taken, under the lock.

        Raises:
            ProblemError: there is nothing left to count it on.
        """

    @abstractmethod
    def _batch(self, matter: Matter, signed: Sequence[Any]) -> str:
        """Return the calldata of several statements of one matter, all or none."""

    def _same(self, order: Order) -> Ticket | None:
        """Return an order on its way that does what another one would do, though it isn't the same."""
        return None

    def _unwritten(self) -> int:
        """Return the gas of orders that the database doesn't count yet."""
        return sum(ticket.gas for ticket in list(self._tickets.values()) if not ticket.put_aside)

    def _known(self, order: Order) -> Future[Outcome] | None:
        ticket = self._tickets.get(order.key) or self._same(order)
        if ticket is not None:
            return ticket.done
        payment = self._store.payment_of(order.key)
        if payment is None:
            return None
        done: Future[Outcome] = Future()
        mined = payment.state == "mined"
        done.set_result(
            Outcome("mined", payment.tx_hash, payment.block, payment.gas)
            if mined
            else Outcome("pending", payment.tx_hash)
        )
        return done

    def _simulate(self, order: Order) -> int:
        """Return the gas to put aside for an order alone.

        Raises:
            ProblemError: the contract would refuse it.
            UnavailableError: the node can't tell.
        """
        try:
            gas = node.estimate_gas(self._chain.rpc, sender=self.address, to=order.to, data=order.data)
        except RpcAnswerError as exc:
            if not exc.data and exc.code != _REVERTED:
                # The order isn't to blame, but for example an account without ether.
                _log.error("the node refuses to estimate: %s", exc)
                raise UnavailableError("the relay can't pay now") from exc
            raise ProblemError(WOULD_REVERT, revert_reason(exc.data)) from exc
        return gas * _MARGIN[0] // _MARGIN[1]

    def _work(self, matters: Sequence[Matter]) -> None:
        while True:
            tickets = self._take(matters)
            if not tickets:
                return
            try:
                for part in self._parts(tickets):
                    self._send(part)
            except PanaChainError as exc:
                self._fail(tickets, exc)
            except Exception as exc:  # noqa: BLE001 - the worker must outlive it, and nobody may wait for ever.
                _log.error("unforeseen %s", type(exc).__name__)
                self._fail(tickets, UnavailableError("the relay failed; look at the chain before you ask again"))

    def _take(self, matters: Sequence[Matter]) -> list[Ticket]:
        """Wait for orders of some matters and return those that can go together; none when the relay ends."""
        with self._lock:
            while True:
                first = next((ticket for ticket in self._waiting if ticket.order.matter in matters), None)
                if first is not None:
                    break
                if self._end.is_set():
                    return []
                self._lock.wait(_IDLE)
            taken, gas = [first], first.gas
            for ticket in self._waiting:
                fits = ticket.order.matter is first.order.matter and gas + ticket.gas <= _MAX_GAS
                if ticket is not first and first.order.matter in _BATCHED and fits and len(taken) < self._max_batch:
                    taken.append(ticket)
                    gas += ticket.gas
            self._waiting = [ticket for ticket in self._waiting if ticket not in taken]
            return taken

    def _parts(self, tickets: list[Ticket]) -> list[list[Ticket]]:
        """Return the tickets in parts that this chain's blocks have room for, each at least one.

        Raises:
            UnavailableError: the node doesn't say how large blocks are.
        """
        if len(tickets) == 1:
            return [tickets]
        try:
            # Half of a block is what it holds on average (EIP-1559): what is larger would wait for an empty one.
            room = min(_MAX_GAS, node.block_gas(self._chain.rpc) // 2)
        except (IntegrityError, RpcAnswerError) as exc:
            _log.error("the node doesn't say how large blocks are: %s", exc)
            raise UnavailableError("the relay can't pay now") from exc
        parts: list[list[Ticket]] = []
        left = 0
        for ticket in tickets:
            if not parts or ticket.gas > left:
                parts.append([])
                left = room
            parts[-1].append(ticket)
            left -= ticket.gas
        return parts

    def _send(self, tickets: list[Ticket], *, again: bool = True) -> None:
        """Send orders in one transaction, and tell the clients that wait what became of it.

        Args:
            tickets: of one matter.
            again: whether each is sent alone if they revert together.
        """
        # 1. Simulate once more: what would revert by now isn't sent.
        tickets = self._passing(tickets)
        if not tickets:
            return
        # 2. Put the gas aside. Under the lock, because a payment that is begun and in no worker's hand is taken for the
        #    rest of an earlier run.
        with self._lock:
            number = self._store.begin([ticket.order.key for ticket in tickets], sum(ticket.gas for ticket in tickets))
            self._in_hand.add(number)
        for ticket in tickets:
            ticket.put_aside = True
        # 3. Send; each signed transaction is on the disk before it leaves.
        signed: list[str] = []

        def keep(tx_hash: str, raw: str) -> None:
            self._store.signed(number, tx_hash, raw)
            signed.append(tx_hash)

        to, data = self._calldata(tickets)
        # 4. Note what became of it, and tell.
        try:
            receipt = self._sender.send(to, data, what=_WHAT, signed=keep)
        except PanaChainError as exc:
            self._failed(tickets, number, signed, exc, again=again)
        else:
            self._store.mined(number, receipt.tx_hash, receipt.block, receipt.gas_used)
            self._finish(tickets, Outcome("mined", receipt.tx_hash, receipt.block, receipt.gas_used))
        finally:
            self._in_hand.discard(number)

    def _calldata(self, tickets: Sequence[Ticket]) -> tuple[str, str]:
        """Return where a transaction goes that carries these orders, and its calldata."""
        first = tickets[0].order
        if len(tickets) == 1:
            return first.to, first.data
        return first.to, self._batch(first.matter, [ticket.order.signed for ticket in tickets])

    def _passing(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Return the tickets whose orders the contract would take now; the others are told."""
        passing = []
        for ticket in tickets:
            try:
                self._simulate(ticket.order)
            except PanaChainError as exc:
                self._fail([ticket], exc)
            else:
                passing.append(ticket)
        return passing

    def _failed(
        self, tickets: list[Ticket], number: int, signed: Sequence[str], error: PanaChainError, *, again: bool
    ) -> None:
        """Tell the clients that wait what became of a transaction that wasn't mined as it should be."""
        if not signed:
            self._store.drop(number)
        elif isinstance(error, TransactionError) and self._reverted(signed):
            # Somebody else sent the same statement before: the transaction was paid for nothing.
            self._store.failed(number)
        elif isinstance(error, TransactionError) and self._unknown(signed):
            # The node never took it: the account is empty, or the node is.
            _log.error("the node refuses the relay's transaction: %s", error)
            self._store.drop(number)
            self._fail(tickets, UnavailableError("the relay can't pay now"))
            return
        else:
            # Nobody knows yet: `watch` finds it out, and a client that asks again is told.
            self._finish(tickets, Outcome("pending", signed[-1]))
            return
        if not again or not isinstance(error, TransactionError):
            self._fail(tickets, error)
            return
        # One of them was overtaken and took the others with it: each alone is mined or says why it can't be.
        for ticket in tickets:
            ticket.put_aside = False
            self._send([ticket], again=False)

    def _reverted(self, hashes: Sequence[str]) -> bool:
        receipts = [receipt_of(self._chain.rpc, tx_hash) for tx_hash in hashes]
        return any(receipt is not None and not receipt.succeeded for receipt in receipts)

    def _unknown(self, hashes: Sequence[str]) -> bool:
        return not any(node.has_transaction(self._chain.rpc, tx_hash) for tx_hash in hashes)

    def _finish(self, tickets: Sequence[Ticket], outcome: Outcome) -> None:
        for ticket in tickets:
            self._tickets.pop(ticket.order.key, None)
            if not ticket.done.done():
                ticket.done.set_result(outcome)

    def _fail(self, tickets: Sequence[Ticket], error: PanaChainError) -> None:
        for ticket in tickets:
            self._tickets.pop(ticket.order.key, None)
            if not ticket.done.done():
                ticket.done.set_exception(error)

    def watch(self) -> None:
        """Find out what became of the transactions that an earlier run, or a lost answer, left open.

        Raises:
            ChainUnavailableError: the chain doesn't answer.
        """
        with self._lock:
            left = [(number, sent) for number, sent in self._store.open_payments() if number not in self._in_hand]
        for number, sent in left:
            if sent:
                self._look_after(number, sent)
            else:
                # It was never signed, so it can't have been sent.
                self._store.drop(number)

    def _look_after(self, number: int, sent: list[tuple[str, str]]) -> None:
        """Send a signed transaction again unless it is mined, and note what became of it."""
        try:
            receipt = self._sender.resend(sent, what=_WHAT, signed=partial(self._store.signed, number))
        except TransactionError:
            hashes = [tx_hash for tx_hash, _ in sent]
            if self._reverted(hashes):
                self._store.failed(number)
            elif self._unknown(hashes):
                self._store.drop(number)
            return
        if receipt is None:
            self._store.drop(number)
        else:
            self._store.mined(number, receipt.tx_hash, receipt.block, receipt.gas_used)


class RelayService(Relaying):
    """One relay of policy transactions: its duties."""

    # Revocations have a worker of their own: they don't even wait for a grant to be mined.
    WORKERS = (("relay-revocations", (Matter.REVOKE,)), ("relay", (Matter.GRANT, Matter.EVIDENCE)))

    def __init__(
        self,
        mainchain: Mainchain,
        sender: Sender,
        store: RelayStore,
        budget: Budget,
        *,
        max_batch: int = MAX_BATCH,
        till: Till | None = None,
    ) -> None:
        """Take the chain, the account that pays, and what it may spend.

        Args:
            mainchain: where policy transactions go.
            sender: the relay's account.
            store: its database.
            budget: what it may spend.
            max_batch: policy transactions in one transaction.
            till: takes patients' tokens; None pays for anybody.
        """
        super().__init__(mainchain, sender, store, budget, max_batch=max_batch)
        self._mainchain = mainchain
        self._till = till

    def grant(self, grant: Grant, signature: bytes) -> Order:
        """Return the order for a signed grant."""
        data = self._mainchain.policies.grant_by_signature_calldata(grant, signature)
        return Order(Matter.GRANT, self._registry, data, (grant, signature), grant.owner)

    def revocation(self, policy_id: PolicyId, signature: bytes) -> Order:
        """Return the order for a signed revocation."""
        data = self._mainchain.policies.revoke_by_signature_calldata(policy_id, signature)
        return Order(Matter.REVOKE, self._registry, data, (policy_id, signature), policy_id)

    def evidence(self, receipt: ProxyReceipt) -> Order:
        """Return the order for a receipt by which a proxy convicts itself."""
        data = self._mainchain.log.prove_late_service_calldata(receipt)
        return Order(Matter.EVIDENCE, self._mainchain.log.address, data, None, receipt.policy_id)

    def describe(self) -> dict[str, Any]:
        """Return which network this relay serves, and what it has left."""
        for_all, for_revocations = self.left()
        return {
            "schema": "panachain/relay/1",
            "account": self.address,
            "chain_id": self._mainchain.chain_id,
            "policy_registry": self._registry,
            "gas_left": for_all,
            "gas_left_for_revocations": for_revocations,
            "token_issuer": self._till.rules.issuer if self._till else "",
        }

    def _admit(self, order: Order, token: bytes) -> tuple[bool, bytes | None]:
        granted = order.matter is Matter.REVOKE and self._is_granted(order)
        return granted, self._token(order, token, granted=granted)

    def _charge(self, order: Order, charged: bytes | None) -> None:
        if self._till and charged and not self._store.spend(charged, order.key, since=self._till.kept_since()):
            raise ProblemError(SPENT, SPENT.title)

    def _batch(self, matter: Matter, signed: Sequence[Any]) -> str:
        policies = self._mainchain.policies
        return (policies.grant_batch_calldata if matter is Matter.GRANT else policies.revoke_batch_calldata)(signed)

    @property
    def _registry(self) -> str:
        return self._mainchain.policies.address

    def _same(self, order: Order) -> Ticket | None:
        """Return the revocation of the same policy that is on its way, whatever the bytes of its signature are."""
        if order.matter is not Matter.REVOKE:
            return None
        waiting = list(self._tickets.values())
        same = (one for one in waiting if one.order.matter is Matter.REVOKE and one.order.about == order.about)
        return next(same, None)

    def _is_granted(self, order: Order) -> bool:
        """Tell whether a revocation is of a policy that was granted.

        Everything spends from one purse; the reserve lies below it, for revocations. It isn't for revocations of
        policies that were never granted, which anybody could sign without end.
        """
        # The chain is asked, and not the relay's own memory: another relay may have paid for the grant.
        try:
            return self._mainchain.policies.policy_of(PolicyId(order.about)).status is not PolicyStatus.UNKNOWN
        except PolicyUnknownError:
            return False

    def _token(self, order: Order, token: bytes, *, granted: bool) -> bytes | None:
        """Return what is remembered of an order's token, or None where it needs none.

        Neither a revocation of a granted policy nor evidence does: the contract takes each once, and what is revoked
        was paid for with a token, what is proven with a proxy's place in the registry.

        Raises:
            ProblemError: it needs one, and has none that is good.
        """
        if self._till is None or granted or order.matter is Matter.EVIDENCE:
            return None
        return self._till.spent_as(token)
