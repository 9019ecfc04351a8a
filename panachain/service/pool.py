"""Threads that serve those first who had least: a sender's hundred calls stand between no other sender's two.

Of senders that stand differently (`standing.py`) the better ones go first, and the others have a share of the turns.
Bounded in what waits, for each sender and each kind of work. Knows nothing of what is called.
Follows docs/spec/proxy.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from panachain.errors import UnavailableError
from panachain.service.standing import Rank

WAITING: Final = 128
"""Calls of one kind that may wait for a thread; more are told to come back."""
WAITING_PER_SENDER: Final = 64
"""Of one sender; an address may have many people behind it."""
_HALF: Final = 30.0
"""Seconds after which what a sender had counts half."""
_REMEMBERED: Final = 4096
"""Senders of whom it is remembered what they had."""
_CYCLE: Final = ("best", "new", "best", "oldest known", "best", "best", "best", "oldest")
"""Which call goes first, turn by turn. One that waits for longest goes first so often that newcomers without end starve
nobody; those that weren't served yet have an eighth at least, and those whose work came to nothing an eighth."""
_PAUSE: Final = {Rank.GOOD: 0.0, Rank.ADMITTED: 0.0, Rank.UNKNOWN: 1.0, Rank.BAD: 7.0}
"""How many times as long as a call took, none of its rank or of a worse one begins: so nobody's flood takes the whole
processor, which the rest of the program and of the machine need, not even while nobody else asks."""
_LONGEST_PAUSE: Final = 0.5
"""Seconds that such a pause takes at the most."""
T = TypeVar("T")


@dataclass(eq=False)
class _Call:
    """One call that waits."""

    sender: str
    kind: str
    function: Callable[[], Any]
    result: asyncio.Future[Any]
    rank: Rank
    again: Callable[[Any], bool] | None = None
    """Tells of what the function returned whether it is to be called once more."""
    took: float = 0.0
    """Seconds of its newest turn."""


class FairPool:
    """A bounded pool of threads. For one event loop."""

    def __init__(
        self,
        threads: int,
        name: str,
        *,
        waiting: int = WAITING,
        waiting_per_sender: int = WAITING_PER_SENDER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the pool.

        Args:
            threads: how many calls run at once.
            name: of the threads.
            waiting: as `WAITING`.
            waiting_per_sender: as `WAITING_PER_SENDER`.
            clock: seconds, for how long calls take.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads = threads
        self._most = waiting
        self._most_per_sender = waiting_per_sender
        self._clock = clock
        self._running = 0
        self._turns = 0
        # By sender, those that wait for longest first.
        self._queues: OrderedDict[str, deque[_Call]] = OrderedDict()
        self._had: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._paused = dict.fromkeys(Rank, -math.inf)
        self._alarm: asyncio.TimerHandle | None = None

    async def run(
        self, sender: str, function: Callable[..., T], *args: Any, kind: str = "", rank: Rank = Rank.GOOD
    ) -> T:
        """Return what `function` returns.

        Args:
            sender: for whom it is called.
            function: runs in a thread.
            args: of the function.
            kind: of the work; calls of one kind take no other kind's place among those that wait.
            rank: where the sender stands.

        Raises:
            UnavailableError: too many calls wait already.
        """
        found: T = await self._wait(sender, kind, rank, lambda: function(*args), None)
        return found

    async def run_while(
        self, sender: str, function: Callable[[], bool], *, kind: str = "", rank: Rank = Rank.GOOD
    ) -> None:
        """Call a function for as long as it returns True, each time when it is the sender's turn; raises as `run`.

        A sender whose turn it still is goes on at once: coming back with each call, it would find another one begun.
        """
        await self._wait(sender, kind, rank, function, bool)

    async def _wait(
        self, sender: str, kind: str, rank: Rank, function: Callable[[], Any], again: Callable[[Any], bool] | None
    ) -> Any:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()
        self._admit(sender, kind)
        self._queues.setdefault(sender, deque()).append(_Call(sender, kind, function, result, rank, again))
        self._turn(loop)
        return await result

    def close(self) -> None:
        """Let the threads end what they do."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._executor.shutdown(wait=True)

    def _admit(self, sender: str, kind: str) -> None:
        """Make room for one call of a sender, if need be at the cost of the sender that waits for most."""
        if self._running < self._threads:
            return
        counts = {one: sum(call.kind == kind for call in queue) for one, queue in self._queues.items()}
        own = counts.get(sender, 0)
        if own >= self._most_per_sender:
            raise UnavailableError("the service is busy: too many requests of this sender wait")
        if sum(counts.values()) < self._most:
            return
        longest = max(counts, key=lambda one: counts[one])
        if counts[longest] <= own + 1:
            raise UnavailableError("the service is busy: too many requests wait")
        queue = self._queues[longest]
        late = next(call for call in reversed(queue) if call.kind == kind)
        # One is left at least: it waits for more than the sender that comes.
        queue.remove(late)
        if not late.result.done():
            late.result.set_exception(UnavailableError("the service is busy: too many requests of this sender wait"))

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give free threads to those whose turn it is."""
        while self._running < self._threads and self._queues:
            now = self._clock()
            ranks = {sender: queue[0].rank for sender, queue in self._queues.items()}
            free = {sender: rank for sender, rank in ranks.items() if now >= self._paused[rank]}
            if not free:
                self._await_pause(loop, min(self._paused[rank] for rank in ranks.values()) - now)
                return
            call = self._next(free)
            if call.result.done():
                # Nobody waits for it any more.
                continue
            self._running += 1
            done = self._executor.submit(self._timed, call)
            done.add_done_callback(partial(self._hand_over, loop, call))

    def _await_pause(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_later(seconds, self._turn, loop)

    def _next(self, ranks: Mapping[str, Rank]) -> _Call:
        """Return the next call of those senders whose turn it may be."""
        whose = _CYCLE[self._turns % len(_CYCLE)]
        self._turns += 1
        if whose == "oldest":
            sender = next(iter(ranks))
        elif whose == "oldest known":
            # Of several that stand the same, the one that waits for longest.
            sender = min(ranks, key=lambda one: ranks[one] is Rank.BAD)
        else:
            first = (Rank.ADMITTED, Rank.UNKNOWN) if whose == "new" else (Rank.GOOD,)
            sender = min(ranks, key=lambda one: (ranks[one] not in first, ranks[one], self._attained(one)))
        queue = self._queues.pop(sender)
        call = queue.popleft()
        if queue:
            # To the end: every other sender comes before its next call.
            self._queues[sender] = queue
        return call

    def _attained(self, sender: str) -> float:
        """Return the seconds that a sender had lately."""
        seconds, at = self._had.get(sender, (0.0, 0.0))
        return float(seconds * 0.5 ** ((self._clock() - at) / _HALF)) if seconds else 0.0

    def _timed(self, call: _Call) -> Any:
        begun = self._clock()
        try:
            return call.function()
        finally:
            call.took = self._clock() - begun

    def _hand_over(self, loop: asyncio.AbstractEventLoop, call: _Call, done: Future[Any]) -> None:
        # In the thread of the call: all else here belongs to the loop's.
        loop.call_soon_threadsafe(self._end, loop, call, done)

    def _end(self, loop: asyncio.AbstractEventLoop, call: _Call, done: Future[Any]) -> None:
        self._running -= 1
        error = done.exception()
        # A failure is never free.
        seconds = call.took if error is None else max(call.took, _HALF / 1000)
        now = self._clock()
        until = now + min(_PAUSE[call.rank] * call.took, _LONGEST_PAUSE)
        for rank in Rank:
            if rank >= call.rank >= Rank.UNKNOWN:
                self._paused[rank] = max(self._paused[rank], until)
        self._had[call.sender] = self._attained(call.sender) + seconds, now
        self._had.move_to_end(call.sender)
        if len(self._had) > _REMEMBERED:
            self._had.popitem(last=False)
        if not call.result.done():
            if error is not None:
                call.result.set_exception(error)
            elif call.again is not None and call.again(done.result()):
                # Before the next turn is given away, and at the end: those that wait for longer stay before it.
                self._queues.setdefault(call.sender, deque()).appendleft(call)
            else:
                call.result.set_result(done.result())
        self._turn(loop)
