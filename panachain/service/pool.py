"""Threads that take turns among those who ask: a sender's hundred calls stand between no other sender's two.

Bounded in what waits, for each sender and in all. Knows nothing of what is called.
Follows docs/spec/proxy.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from panachain.errors import UnavailableError

WAITING: Final = 128
"""Calls that may wait for a thread; more are told to come back."""
WAITING_PER_SENDER: Final = 64
"""Of one sender; an address may have many people behind it."""
T = TypeVar("T")


@dataclass(eq=False)
class _Call:
    """One call that waits."""

    function: Callable[[], Any]
    result: asyncio.Future[Any]


class FairPool:
    """A bounded pool of threads; senders whose calls wait are served in turn, one call each. For one event loop."""

    def __init__(
        self, threads: int, name: str, *, waiting: int = WAITING, waiting_per_sender: int = WAITING_PER_SENDER
    ) -> None:
        """Make the pool.

        Args:
            threads: how many calls run at once.
            name: of the threads.
            waiting: as `WAITING`.
            waiting_per_sender: as `WAITING_PER_SENDER`.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads = threads
        self._most = waiting
        self._most_per_sender = waiting_per_sender
        self._running = 0
        self._count = 0
        self._queues: OrderedDict[str, deque[_Call]] = OrderedDict()

    async def run(self, sender: str, function: Callable[..., T], *args: Any) -> T:
        """Return what `function` returns.

        Args:
            sender: for whom it is called.
            function: runs in a thread.
            args: of the function.

        Raises:
            UnavailableError: too many calls wait already.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._admit(sender)
        self._queues.setdefault(sender, deque()).append(_Call(lambda: function(*args), result))
        self._count += 1
        self._turn(loop)
        return await result

    def close(self) -> None:
        """Let the threads end what they do."""
        self._executor.shutdown(wait=True)

    def _admit(self, sender: str) -> None:
        """Make room for one call of a sender, if need be at the cost of the sender that waits for most."""
        own = len(self._queues.get(sender, ()))
        if self._running < self._threads:
            return
        if own >= self._most_per_sender:
            raise UnavailableError("the proxy is busy: too many requests of this sender wait")
        if self._count < self._most:
            return
        longest = max(self._queues, key=lambda one: len(self._queues[one]))
        if len(self._queues[longest]) <= own + 1:
            raise UnavailableError("the proxy is busy: too many requests wait")
        late = self._queues[longest].pop()
        self._count -= 1
        if not late.result.done():
            late.result.set_exception(UnavailableError("the proxy is busy: too many requests of this sender wait"))

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give free threads to those whose turn it is."""
        while self._running < self._threads and self._queues:
            sender, queue = self._queues.popitem(last=False)
            call = queue.popleft()
            self._count -= 1
            if queue:
                # To the end: every other sender comes before its next call.
                self._queues[sender] = queue
            if call.result.done():
                # Nobody waits for it any more.
                continue
            self._running += 1
            done = self._executor.submit(call.function)
            done.add_done_callback(partial(self._hand_over, loop, call))

    def _hand_over(self, loop: asyncio.AbstractEventLoop, call: _Call, done: Future[Any]) -> None:
        # In the thread of the call: all else here belongs to the loop's.
        loop.call_soon_threadsafe(self._end, loop, call, done)

    def _end(self, loop: asyncio.AbstractEventLoop, call: _Call, done: Future[Any]) -> None:
        self._running -= 1
        if not call.result.done():
            error = done.exception()
            if error is None:
                call.result.set_result(done.result())
            else:
                call.result.set_exception(error)
        self._turn(loop)
