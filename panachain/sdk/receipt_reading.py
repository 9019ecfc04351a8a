"""Asking proxies what they signed about a patient's policies: only for what is new, and all of them at once.

A proxy's head says whether anything is new; what is asked for must go on from what is kept. A proxy that now tells
another history than the one that it signed before is named, and what it signed is kept as evidence. Believes no proxy:
each receipt is checked when it comes (sdk/proxies.py). Follows docs/spec/proxy.md (section "Clients") and ADR 25.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.chain.receipts import receipt_hash
from panachain.consent.receipts import opened_detail
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError, PanaChainError, UnavailableError
from panachain.model.actors import Address
from panachain.model.policy import LogHead, ProxyRef, Receipt
from panachain.proxy.race import Failure
from panachain.sdk.kept_receipts import KeptReceipts, Statement, Told
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies, OwnPolicy
from panachain.sdk.proxies import TIMEOUT, Proxies, no_log

SELDOM: Final = 86_400
"""Seconds for which a proxy isn't asked again about a policy that is over and of which it signed the deletion."""
_AT_ONCE: Final = 4
"""Questions that one proxy gets at once."""
_EACH: Final = 1.0
"""Seconds that each further question to a proxy may take on the average."""
_STRIKES: Final = 2
"""Questions in a row without an answer after which a proxy isn't asked any more."""


@dataclass(frozen=True)
class PolicyLog:
    """What the proxies of one policy signed about it."""

    own: OwnPolicy
    statements: list[Statement]
    failures: list[Failure]
    """Of proxies that told nothing, or not all, or something else than before."""

    @property
    def is_answered(self) -> bool:
        """Whether one of the proxies told what it had to."""
        return len(self.failures) < len(self.own.terms.proxies)

    def check(self) -> None:
        """Check that one of the proxies told what it had to.

        Raises:
            ProxiesUnavailableError: none did: there is only what was kept, and what came before their faults.
            IntegrityError: none did, and one of them lies.
        """
        if self.is_answered:
            return
        for failure in self.failures:
            if isinstance(failure.error, IntegrityError):
                raise failure.error
        raise no_log(self.own.policy_id, self.failures)


@dataclass
class _Work:
    """One policy, and what is still to be learnt of it."""

    own: OwnPolicy
    kept: dict[Address, Told]
    told: dict[Address, Told] = field(default_factory=dict)
    """What is known of each proxy now; it replaces what is kept."""
    statements: list[Statement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    waiting: int = 0
    """Questions that aren't answered yet."""


@dataclass
class _Asked:
    """One question to one proxy, and what came of it."""

    work: _Work
    proxy: ProxyRef
    after: int
    came: list[Receipt] = field(default_factory=list)
    error: PanaChainError | None = None


class ReceiptReading:
    """One reading of what the proxies of some policies signed."""

    def __init__(
        self, network: Network, policies: OwnPolicies, proxies: Proxies, kept: KeptReceipts, audit: SealingKey
    ) -> None:
        """Take whom to ask and what is kept; `audit` opens what a receipt says of people."""
        self._network = network
        self._policies = policies
        self._proxies = proxies
        self._kept = kept
        self._audit = audit
        self._seen: tuple[int, int] | None = None
        """The clock's second, and what it was taken for."""

    def read(self, chosen: Sequence[OwnPolicy], *, sparing: bool) -> Iterator[PolicyLog]:
        """Yield what was signed about each of some policies, in their order.

        Args:
            chosen: the patient's.
            sparing: ask seldom about what is over. An honest proxy that signed the deletion can serve nothing any more,
                and a receipt of one that isn't convicts it whenever it is found.
        """
        known = {proxy.address: proxy for own in chosen for proxy in own.terms.proxies}
        reached = {proxy.address: proxy for proxy in self._network.reachable(list(known.values()))}
        history = _History(self._kept.heads())
        heads, silent = self._proxies.heads(list(reached.values()))
        failed = {failure.proxy.address: failure.error for failure in silent}
        for address, head in heads.items():
            error = self._compared(reached[address], head, history)
            if error is not None:
                failed[address] = error
        works = [_Work(own, self._kept.of(own.index, own.policy_id)) for own in chosen]
        for work in works:
            for told in work.kept.values():
                for one in told.statements:
                    history.add(one.receipt)
        questions: dict[Address, deque[_Asked]] = {}
        for work in works:
            for asked in self._questions(work, reached, heads, failed, sparing=sparing):
                questions.setdefault(asked.proxy.address, deque()).append(asked)
        answers = self._answers(questions)
        for work in works:
            while work.waiting:
                self._take(next(answers), heads, history)
            self._keep(work)
            yield PolicyLog(work.own, work.statements, work.failures)
        self._kept.keep_heads(history.heads)

    def _questions(
        self,
        work: _Work,
        reached: Mapping[Address, ProxyRef],
        heads: Mapping[Address, LogHead],
        failed: Mapping[Address, PanaChainError],
        *,
        sparing: bool,
    ) -> Iterator[_Asked]:
        """Yield what is to be asked about a policy; what isn't is taken from what is kept."""
        now = int(self._network.clock())
        for proxy in work.own.terms.proxies:
            address = proxy.address
            kept = work.kept.get(address)
            over = sparing and kept is not None and work.own.has_ended and kept.has_deleted
            if kept is not None:
                # A clock that was set back is no reason never to ask.
                is_new = over and 0 <= now - kept.at < SELDOM
                if is_new or (address in heads and address not in failed and heads[address].sequence == kept.upto):
                    work.told[address] = kept
                    work.statements += kept.statements
                    continue
            if address in failed:
                work.statements += kept.statements if kept is not None else ()
                work.failures.append(Failure(reached[address], failed[address]))
                continue
            work.waiting += 1
            yield _Asked(work, reached[address], kept.before() if kept is not None else 0)

    def _answers(self, questions: Mapping[Address, deque[_Asked]]) -> Iterator[_Asked]:
        """Ask everything, and yield each question once it is answered, or given up."""
        done: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        left = {id(asked): asked for several in questions.values() for asked in several}
        longest = max(map(len, questions.values()), default=0)
        for several in questions.values():
            line = _Line(several, done, self._ask)
            for _ in range(min(_AT_ONCE, len(several))):
                # Daemons: nobody waits for a proxy that hangs, not even the end of the program.
                threading.Thread(target=line.run, daemon=True).start()
        until = time.monotonic() + TIMEOUT + 1.0 + _EACH * longest
        while left:
            try:
                asked = done.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            yield left.pop(id(asked))
        for asked in list(left.values()):
            error = UnavailableError("no answer in time")
            # A new one: a thread that comes late changes nothing any more.
            yield _Asked(asked.work, asked.proxy, asked.after, list(asked.came), error)

    def _ask(self, asked: _Asked) -> None:
        own = asked.work.own
        try:
            self._proxies.read_receipts(
                *(asked.proxy, own.policy_id, self._policies.account(own.index)),
                into=asked.came,
                after=asked.after,
                now=self._now,
            )
        except PanaChainError as exc:
            asked.error = exc
        except Exception as exc:  # noqa: BLE001
            # A thread's last frame: the fault must reach whoever waits, as one of this proxy's.
            asked.error = UnavailableError(f"failed: {type(exc).__name__}")

    def _take(self, asked: _Asked, heads: Mapping[Address, LogHead], history: _History) -> None:
        """Put an answer beside what is kept, if it goes on from there."""
        work, address = asked.work, asked.proxy.address
        work.waiting -= 1
        kept = work.kept.get(address)
        before = kept.statements if kept is not None else ()
        known = {one.receipt.sequence: one for one in before}
        new: dict[int, Statement] = {}
        error = asked.error
        for receipt in sorted(asked.came, key=lambda receipt: receipt.sequence):
            same = known.get(receipt.sequence)
            if same is not None and same.receipt == receipt:
                continue
            new[receipt.sequence] = Statement(receipt, opened_detail(receipt, self._audit))
            heads_of_one_place = history.conflict(receipt)
            if heads_of_one_place is not None and error is None:
                error = self._forked(asked.proxy, *heads_of_one_place)
        if error is None:
            shown = {receipt.sequence for receipt in asked.came}
            hidden = [number for number in known if number > asked.after and number not in shown]
            if hidden:
                error = IntegrityError(
                    f"proxy {address} doesn't show receipt {hidden[0]} of its log any more, which it signed before"
                )
        work.statements += [*before, *(one for _, one in sorted(new.items()))]
        if error is not None:
            work.failures.append(Failure(asked.proxy, error))
            return
        for one in new.values():
            history.add(one.receipt)
        told = sorted((known | new).items())
        # The head was asked for before anything else: whatever came later is read again.
        work.told[address] = Told(tuple(one for _, one in told), heads[address].sequence, int(self._network.clock()))

    def _keep(self, work: _Work) -> None:
        """Keep what was read to its end; what a proxy didn't end is read again."""
        known = work.kept | work.told
        if known != work.kept:
            self._kept.keep(work.own.index, work.own.policy_id, known)

    def _compared(self, proxy: ProxyRef, head: LogHead, history: _History) -> PanaChainError | None:
        """Compare a proxy's head with the newest one that it signed before; return what is wrong with it."""
        before = history.heads.get(proxy.address)
        if before is None or head.sequence > before.sequence:
            history.go_on(head)
            return None
        if head.sequence == before.sequence:
            return None if head.head == before.head else self._forked(proxy, before, head)
        return IntegrityError(
            f"proxy {proxy.address} takes back its log: it goes to {head.sequence} now, and it signed {before.sequence}"
        )

    def _forked(self, proxy: ProxyRef, before: LogHead, now: LogHead) -> IntegrityError:
        reason = (
            f"proxy {proxy.address} tells two histories: {now.sequence} of its log has the hash "
            f"0x{now.head.hex()}, and had 0x{before.head.hex()} before"
        )
        # A hash that only a later receipt names isn't signed by itself: it names the proxy, and convicts it of nothing.
        if before.signature and now.signature:
            self._proxies.keep_fork(proxy, before, now, reason)
        return IntegrityError(reason)

    def _now(self) -> int:
        """Return the time of a request, by one look at the chain a second."""
        second = int(self._network.clock())
        seen = self._seen
        if seen is None or seen[0] != second:
            seen = self._seen = (second, self._proxies.now())
        return seen[1]


class _Line:
    """The questions to one proxy, and the threads that ask them."""

    def __init__(
        self, questions: deque[_Asked], done: queue.SimpleQueue[_Asked], ask: Callable[[_Asked], None]
    ) -> None:
        self._questions = questions
        self._done = done
        self._ask = ask
        self._strikes = 0
        self._last: PanaChainError | None = None

    def run(self) -> None:
        """Ask until nothing is left, or the proxy is silent."""
        while True:
            try:
                asked = self._questions.popleft()
            except IndexError:
                return
            if self._strikes >= _STRIKES:
                asked.error = self._last
            else:
                self._ask(asked)
                silent = isinstance(asked.error, UnavailableError)
                self._strikes = self._strikes + 1 if silent else 0
                self._last = asked.error
            self._done.put(asked)


class _History:
    """What proxies have signed of their logs: hashes by their places."""

    def __init__(self, heads: dict[Address, LogHead]) -> None:
        self.heads = heads
        self._signed = {(head.proxy, head.sequence): head for head in heads.values()}

    def add(self, receipt: Receipt) -> None:
        """Note a receipt that goes on from what is known."""
        own, before = _heads_in(receipt)
        self._signed[own.proxy, own.sequence] = own
        self._signed.setdefault((before.proxy, before.sequence), before)

    def go_on(self, head: LogHead) -> None:
        """Note a newer head of a proxy's log."""
        self.heads[head.proxy] = head
        self._signed.setdefault((head.proxy, head.sequence), head)

    def conflict(self, receipt: Receipt) -> tuple[LogHead, LogHead] | None:
        """Return what a proxy signed of one place of its log before, and what a receipt says of it, if they differ."""
        for head in _heads_in(receipt):
            other = self._signed.get((head.proxy, head.sequence))
            if other is not None and other.head != head.head:
                return other, head
        return None


def _heads_in(receipt: Receipt) -> tuple[LogHead, LogHead]:
    """Return what a receipt says of its log: its own hash, and the one before it, which has no signature here."""
    proxy, sequence = receipt.proxy, receipt.sequence
    own = LogHead(proxy, sequence, receipt_hash(receipt), receipt.signature)
    return own, LogHead(proxy, sequence - 1, receipt.previous, b"")
