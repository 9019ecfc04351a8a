"""The race between proxies: ask in parallel, take the first good answers, hedge, name those that failed and why.

Never believes an answer: the caller hands in the check. Never waits for a proxy that others can do without, and never
longer than its pace allows. Knows no HTTP: the caller hands in how one proxy is asked. Follows design section 8 (Open,
step 5) and docs/spec/proxy.md, section "Clients".
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    OpensLaterError,
    PanaChainError,
    PolicyNotActiveError,
    ProxiesUnavailableError,
    RateLimitedError,
    UnavailableError,
)
from panachain.model.actors import Address
from panachain.model.policy import ProxyRef
from panachain.proxy.client import PATIENCE

FIRST: Final = 32
"""Capsules of the first piece, which every proxy gets: it shows which are fast."""
PIECE: Final = 256
"""Capsules of the others at most: so many that a request's own cost is small, so few that work overlaps."""
_AHEAD: Final = 2
"""Pieces that a proxy has at once, so that it works while the client does."""
_AGAIN: Final = 60
"""Seconds after which to ask again where proxies say when it opens, and others that may serve before don't answer."""
_STRIKES: Final = 2
"""Failures after which a proxy isn't asked again."""
A = TypeVar("A")


@dataclass(frozen=True)
class Pace:
    """How long a client waits for proxies."""

    patience: float = PATIENCE
    """Seconds after which an answer comes too late."""
    slower: float = 3.0
    """How many times longer than its earlier pieces a proxy's piece may take before another proxy is asked too."""
    floor: float = 0.25
    """Seconds that a piece may always take."""
    grace: float = 1.0
    """Seconds for which a failure that is sure waits for the others' reasons, and enough good answers for the rest."""


PACE: Final = Pace()
"""How long clients wait unless they are told otherwise."""


@dataclass(frozen=True)
class Failure:
    """Why one proxy gave no good answer."""

    proxy: ProxyRef
    error: PanaChainError

    def __str__(self) -> str:
        return f"proxy {self.proxy.address}: {self.error}"


@dataclass(frozen=True)
class Event(Generic[A]):
    """What came back from one proxy for one piece."""

    proxy: ProxyRef
    piece: int
    at: float
    """Seconds of the couriers' clock."""
    answer: A | None
    error: PanaChainError | None

    def good(self) -> A:
        """Return the answer of an event without an error."""
        if self.answer is None:
            raise TypeError("the event holds no answer")
        return self.answer


class Couriers(Protocol[A]):
    """What carries questions to proxies and brings events back, and tells the time meanwhile."""

    def now(self) -> float:
        """Return seconds that only grow."""
        ...

    def send(self, proxy: ProxyRef, piece: int, ask: Callable[[ProxyRef, int], A]) -> None:
        """Ask a proxy for a piece, beside everything else."""
        ...

    def next(self, seconds: float) -> Event[A] | None:
        """Return the next event, or None when there is none within some seconds."""
        ...


class Threads(Generic[A]):
    """Couriers that are threads of this process, in real time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock whose seconds only grow."""
        self.now = clock
        self._done: queue.Queue[Event[A]] = queue.Queue()

    def send(self, proxy: ProxyRef, piece: int, ask: Callable[[ProxyRef, int], A]) -> None:
        """Ask a proxy for a piece in a thread of its own."""
        # A daemon: nobody waits for a proxy that hangs, not even the end of the program.
        threading.Thread(target=self._run, args=(proxy, piece, ask), name=f"ask {proxy.address}", daemon=True).start()

    def next(self, seconds: float) -> Event[A] | None:
        """Return the next event, or None when there is none within some seconds."""
        try:
            return self._done.get(timeout=seconds) if seconds > 0 else self._done.get_nowait()
        except queue.Empty:
            return None

    def _run(self, proxy: ProxyRef, piece: int, ask: Callable[[ProxyRef, int], A]) -> None:
        answer, error = None, None
        try:
            answer = ask(proxy, piece)
        except PanaChainError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001
            # A thread's last frame: the fault must reach the caller that waits, as one of this proxy's.
            error = UnavailableError(f"failed: {type(exc).__name__}")
        self._done.put(Event(proxy, piece, self.now(), answer, error))


def ask_all(
    proxies: Sequence[ProxyRef],
    ask: Callable[[ProxyRef], A],
    *,
    timeout: float = PATIENCE,
    enough: int | None = None,
    pace: Pace | None = None,
    couriers: Couriers[A] | None = None,
) -> tuple[list[tuple[ProxyRef, A]], list[Failure]]:
    """Ask all proxies at once, and return the good answers and the failures, each in the order of the proxies.

    Args:
        proxies: those to ask.
        ask: asks one proxy and checks the answer; raises PanaChainError for a bad one.
        timeout: seconds; a proxy that is silent for longer has failed.
        enough: good answers after which the others get as long again and again as these took, or a moment, and no
            more; None waits for all.
        pace: how long its other waits take.
        couriers: carry the questions; threads where there are none.
    """
    carriers = couriers or Threads[A]()
    for proxy in proxies:
        carriers.send(proxy, 0, lambda proxy, _: ask(proxy))
    # A little longer than each of them may take, so that the last failure comes with its own reason and not with ours.
    paced, begun = pace or PACE, carriers.now()
    deadline = begun + timeout + paced.grace
    events: dict[Address, Event[A]] = {}
    while len(events) < len(proxies):
        event = carriers.next(max(deadline - carriers.now(), 0.0))
        if event is None:
            break
        events[event.proxy.address] = event
        if event.error is None and sum(one.error is None for one in events.values()) == enough:
            # Nobody waits the whole time for one that is down or slow while the others have served.
            took = carriers.now() - begun
            deadline = min(deadline, begun + max(paced.slower * took, took + paced.grace))
    good, failures = [], []
    for proxy in proxies:
        found = events.get(proxy.address)
        if found is None:
            waited = carriers.now() - begun
            failures.append(Failure(proxy, UnavailableError(f"no answer within {waited:.1f} s")))
        elif found.error is not None:
            failures.append(Failure(proxy, found.error))
        else:
            good.append((proxy, found.good()))
    return good, failures


def piece_sizes(count: int) -> list[int]:
    """Return how many capsules each piece of the work gets."""
    first = min(FIRST, count)
    rest = count - first
    if rest == 0:
        return [first]
    # Two at least, so that proxies and client work at the same time.
    pieces = max(-(-rest // PIECE), 2 if rest > FIRST else 1)
    return [first, *(rest // pieces + (number < rest % pieces) for number in range(pieces))]


class Race(Generic[A]):
    """Gets every piece of a work done by `needed` of some proxies, whatever the others do.

    The first piece goes to all proxies at once, the rest to those that were fastest. A proxy that fails is replaced at
    once, and one that is late gets another one beside it. No proxy gets a piece twice.
    """

    def __init__(
        self,
        proxies: Sequence[ProxyRef],
        sizes: Sequence[int],
        *,
        needed: int,
        ask: Callable[[ProxyRef, int], A],
        combine: Callable[[int, Mapping[Address, A]], Mapping[Address, PanaChainError]],
        what: str,
        pace: Pace | None = None,
        couriers: Couriers[A] | None = None,
    ) -> None:
        """Take the work.

        Args:
            proxies: those to ask.
            sizes: of the pieces, for what a piece may take.
            needed: how many good answers a piece needs.
            ask: asks a proxy for a piece and checks what is cheap to check; runs in a thread; raises PanaChainError.
            combine: makes the work of `needed` answers to a piece, and returns which of them are lies and how; empty
                when the piece is done. Runs in the caller's thread, while proxies work at other pieces.
            what: what messages call it.
            pace: how long it waits.
            couriers: carry the questions; threads where there are none.
        """
        self._pace = pace or PACE
        self._couriers = couriers or Threads[A]()
        self._all = {proxy.address: _Runner(proxy) for proxy in proxies}
        self._pieces = [_Piece[A](number, size) for number, size in enumerate(sizes)]
        self._needed = needed
        self._ask = ask
        self._combine = combine
        self._what = what

    def run(self) -> None:
        """Do all pieces.

        Raises:
            AccessDeniedError: too few good answers to a piece, and proxies refused for this reason.
            IntegrityError: too few good answers, and proxies lied.
            ProxiesUnavailableError: too few answered.
        """
        # Each round gives proxies work, then uses what has come or waits for the next event.
        while open_pieces := [piece for piece in self._pieces if not piece.done]:
            for piece in open_pieces:
                self._staff(piece)
            ready = next((piece for piece in open_pieces if len(piece.good) >= self._needed), None)
            if ready is not None:
                # The proxies work at other pieces meanwhile.
                self._try(ready)
                self._drain(wait=0.0)
            else:
                self._drain(wait=self._until_next_look())
                self._expire()

    # Which proxy works at what

    def _staff(self, piece: _Piece[A]) -> None:
        """Let as many proxies work at a piece as it needs now."""
        if piece.number == 0:
            wanted = len(self._all) if not piece.asked else self._needed
        elif not self._pieces[0].done and len(self._pieces[0].good) < self._needed:
            # Which proxies are fast isn't known yet.
            return
        else:
            wanted = self._needed
        late = sum(self._is_late(piece, runner) for runner in piece.pending.values())
        missing = wanted + late - len(piece.good) - len(piece.pending)
        replaces = bool(late or piece.failures)
        for runner in sorted(self._free_for(piece), key=_Runner.rank):
            if missing <= 0:
                return
            if runner.pieces < _AHEAD or replaces:
                self._start(piece, runner)
                missing -= 1
            else:
                # The fast ones are busy; they will be free sooner than a slow one is done.
                return

    def _free_for(self, piece: _Piece[A]) -> list[_Runner]:
        return [runner for address, runner in self._all.items() if address not in piece.asked and not runner.out]

    def _start(self, piece: _Piece[A], runner: _Runner) -> None:
        piece.asked[runner.proxy.address] = self._couriers.now()
        piece.pending[runner.proxy.address] = runner
        runner.pieces += 1
        # Pieces of one proxy wait for each other.
        piece.limits[runner.proxy.address] = max(
            self._pace.floor, self._pace.slower * runner.rate * piece.size * runner.pieces
        )
        self._couriers.send(runner.proxy, piece.number, self._ask)

    def _is_late(self, piece: _Piece[A], runner: _Runner) -> bool:
        address = runner.proxy.address
        late = self._couriers.now() - piece.asked[address] > piece.limits[address]
        # A proxy whose rate isn't known yet isn't called late: its first piece shows the rate.
        if late and runner.rate > 0:
            runner.late = True
        return late

    # What comes back

    def _until_next_look(self) -> float:
        now = self._couriers.now()
        moments = [
            piece.asked[address] + moment
            for piece in self._pieces
            for address in piece.pending
            for moment in (piece.limits[address], self._pace.patience)
        ]
        return min((moment - now for moment in moments if moment > now), default=0.05) + 0.001

    def _drain(self, *, wait: float) -> None:
        while (event := self._couriers.next(wait)) is not None:
            self._take(event)
            # What else has come already, without waiting for more.
            wait = 0.0

    def _take(self, event: Event[A]) -> None:
        piece, address = self._pieces[event.piece], event.proxy.address
        runner = piece.pending.pop(address, None)
        if runner is None:
            # It came after its time was over.
            return
        runner.pieces -= 1
        if event.error is None:
            piece.good[address] = event.good()
            runner.rate = (event.at - piece.asked[address]) / piece.size
            return
        self._failed(piece, runner, event.error)

    def _expire(self) -> None:
        for piece in self._pieces:
            for address, runner in list(piece.pending.items()):
                if self._couriers.now() - piece.asked[address] > self._pace.patience:
                    piece.pending.pop(address)
                    # It hangs, so it isn't asked again, and how much it has in hand counts no more.
                    runner.strikes = _STRIKES
                    self._failed(piece, runner, UnavailableError(f"no answer within {self._pace.patience:.0f} s"))

    def _failed(self, piece: _Piece[A], runner: _Runner, error: PanaChainError) -> None:
        piece.failures.append(Failure(runner.proxy, error))
        # A lie or a refusal won't become an answer by asking again; a failure of the network may.
        runner.strikes += _STRIKES if isinstance(error, IntegrityError | AccessDeniedError) else 1
        self._check_possible(piece)

    def _try(self, piece: _Piece[A]) -> None:
        # The first answers that came; a later one replaces an answer that turns out to be a lie.
        chosen = dict(list(piece.good.items())[: self._needed])
        liars = self._combine(piece.number, chosen)
        if not liars:
            piece.done = True
            piece.good.clear()
            return
        for address, error in liars.items():
            piece.good.pop(address)
            self._failed(piece, self._all[address], error)

    def _check_possible(self, piece: _Piece[A]) -> None:
        """Check that a piece can still be done.

        Raises:
            PanaChainError: it can't, whatever comes.
        """
        if piece.done or piece.failing:
            return
        if len(piece.good) + len(piece.pending) + len(self._free_for(piece)) >= self._needed:
            return
        piece.failing = True
        # What the others say belongs to the reason: a denial shouldn't look like a failure of the network.
        deadline = self._couriers.now() + self._pace.grace
        while piece.pending and self._couriers.now() < deadline:
            self._drain(wait=max(deadline - self._couriers.now(), 0.001))
        raise shortfall(len(piece.good), piece.failures, len(self._all), self._needed, self._what)


def shortfall(good: int, failures: Sequence[Failure], asked: int, needed: int, what: str) -> PanaChainError:
    """Return the error that says why too few proxies gave a good answer."""
    reasons = "; ".join(str(failure) for failure in failures)
    denials = [failure.error for failure in failures if isinstance(failure.error, AccessDeniedError)]
    # Each proxy keeps the time by itself: it opens when enough of them say so, whatever the others do.
    waits = sorted(error.retry_after for error in denials if isinstance(error, OpensLaterError))
    if good < needed <= good + len(waits):
        told, wait = f"{what}: {needed} proxies are needed: {reasons}", waits[needed - good - 1]
        lies = sum(isinstance(failure.error, IntegrityError) for failure in failures)
        if good + len(denials) + lies < asked:
            # Others are down, busy or slow, and may serve before: one proxy that waits doesn't pick the time alone.
            return OpensLaterError(
                f"{told}; it opens then, or as soon as the other proxies answer", retry_after=min(wait, _AGAIN)
            )
        return OpensLaterError(told, retry_after=wait)
    # Fewer refusals leave enough other proxies, which may answer once they are back.
    if len(denials) > asked - needed:
        kind = next((type(error) for error in denials if not isinstance(error, OpensLaterError)), PolicyNotActiveError)
        return kind(f"{what}: {len(denials)} of {asked} proxies refuse: {denials[0]}")
    limits = [failure.error for failure in failures if isinstance(failure.error, RateLimitedError)]
    if len(limits) > asked - needed:
        return RateLimitedError(
            f"{what}: {len(limits)} of {asked} proxies do no more of it for now: {limits[0]}",
            retry_after=max(error.retry_after for error in limits),
        )
    if any(isinstance(failure.error, IntegrityError) for failure in failures):
        return IntegrityError(f"{what}: {good} good answers, {needed} are needed: {reasons}")
    return ProxiesUnavailableError(
        f"{what}: {good} of {asked} proxies answered, {needed} are needed: {reasons}",
        answered=good,
        needed=needed,
        hint="panachain doctor shows which proxies are down; try again when they are back",
    )


@dataclass
class _Runner:
    """One proxy, as the race sees it."""

    proxy: ProxyRef
    rate: float = 0.0
    """Seconds per capsule of its newest piece; 0 before the first."""
    pieces: int = 0
    """How many it works at."""
    strikes: int = 0
    late: bool = False

    @property
    def out(self) -> bool:
        return self.strikes >= _STRIKES

    def rank(self) -> tuple[int, bool, bool, float]:
        """Return a key that sorts first the proxies without failures, then those in time, then the fast ones."""
        return self.strikes, self.late, self.rate == 0, self.rate


@dataclass
class _Piece(Generic[A]):
    number: int
    size: int
    asked: dict[Address, float] = field(default_factory=dict)
    """At which second of the couriers' clock each proxy was asked."""
    limits: dict[Address, float] = field(default_factory=dict)
    """Seconds after which it is late."""
    pending: dict[Address, _Runner] = field(default_factory=dict)
    good: dict[Address, A] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    done: bool = False
    failing: bool = False
