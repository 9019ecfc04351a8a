"""Worker processes: several on one listening socket, watched by a parent that serves nothing itself.

The parent holds no thread, no connection and no database, so that it can fork at any time. A worker that dies is
replaced; a parent that dies takes its workers with it. Follows POSIX (fork, waitpid) and docs/spec/proxy.md, section
"Processes".
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from panachain.errors import PanaChainError

_POLL: Final = 0.05
"""Seconds between two looks at the workers."""
_SHORT: Final = 30.0
"""Seconds; a worker that lived for less failed at its start, which on a busy machine may take some seconds."""
_FAILURES: Final = 5
"""Failed starts in a row after which the parent gives up."""
_log = logging.getLogger("panachain.proxy")


class Supervisor:
    """Starts workers, replaces those that die, and ends them all on SIGTERM or SIGINT."""

    def __init__(
        self,
        count: int,
        work: Callable[[int], None],
        *,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the work.

        Args:
            count: how many workers.
            work: what worker number 0, 1, … does until it gets SIGTERM; runs in a process of its own.
            grace: seconds that a worker gets to end after SIGTERM.
            clock: seconds that only grow.
            sleep: waits for some seconds.
        """
        self._clock = clock
        self._sleep = sleep
        self._count = count
        self._work = work
        self._grace = grace
        self._running: dict[int, tuple[int, float]] = {}
        self._stopping = False
        # The workers' end of the pipe is at its end of file once the parent is gone, whatever ended it.
        self._alive_read, self._alive_write = os.pipe()

    def run(self) -> bool:
        """Serve until a signal comes, and tell whether all workers ended as they should."""
        for caught in (signal.SIGTERM, signal.SIGINT):
            signal.signal(caught, self._stop)
        failures = 0
        for number in range(self._count):
            self._start(number)
        while self._running and not self._stopping:
            self._sleep(_POLL)
            for number, lived in self._reap():
                # A worker that failed at its start will fail again, one that lived for a while needn't.
                failures = failures + 1 if lived < _SHORT else 0
                if failures >= _FAILURES:
                    _log.error("workers fail at their start, %d times in a row", failures)
                    self._end()
                    return False
                _log.warning("worker %d ended by itself after %.1f s; it is replaced", number, lived)
                self._start(number)
        return self._end()

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._stopping = True

    def _start(self, number: int) -> None:
        # Both processes would write what is buffered.
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process:
            self._running[process] = number, self._clock()
            return
        status = 1
        try:
            os.close(self._alive_write)
            for caught in (signal.SIGTERM, signal.SIGINT):
                signal.signal(caught, signal.SIG_DFL)
            threading.Thread(target=self._end_with_parent, name="parent", daemon=True).start()
            self._work(number)
            status = 0
        except BaseException as exc:  # noqa: BLE001
            # This is the last frame of a process, so nothing above could handle it. Errors of our own carry no secret;
            # of others the log says the kind only.
            told = f"{type(exc).__name__}: {exc}; {exc.hint}" if isinstance(exc, PanaChainError) else type(exc).__name__
            _log.error("worker %d failed: %s", number, told)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Without what the parent registered for its own end.
            os._exit(status)

    def _end_with_parent(self) -> None:
        os.read(self._alive_read, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _reap(self) -> list[tuple[int, float]]:
        """Return number and seconds of life of each worker that ended."""
        ended = []
        for process in list(self._running):
            if os.waitpid(process, os.WNOHANG)[0]:
                number, started = self._running.pop(process)
                ended.append((number, self._clock() - started))
        return ended

    def _end(self) -> bool:
        """End all workers, and tell whether they ended by themselves."""
        deadline = self._clock() + self._grace
        again = 0.0
        while self._running and self._clock() < deadline:
            if self._clock() >= again:
                # Once more every second: a signal that came while a worker set up its handlers was lost.
                again = self._clock() + 1
                for process in self._running:
                    os.kill(process, signal.SIGTERM)
            self._reap()
            self._sleep(_POLL / 5)
        late = list(self._running)
        for process in late:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self._running.clear()
        os.close(self._alive_write)
        os.close(self._alive_read)
        return not late
