"""A duty that is done again and again beside the requests, until the service stops.

Never ends because the duty failed: a chain that doesn't answer now may answer at the next turn. The log tells the first
failure of a row and its end, so that a chain that is down for a day doesn't fill the disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType

from panachain.errors import PanaChainError


class Periodic:
    """A context in which a thread does its duties at intervals."""

    def __init__(
        self,
        duties: Mapping[str, Callable[[], object]],
        *,
        every: float,
        name: str,
        log: logging.Logger,
        at_start: bool = False,
        at_end: bool = False,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Take the duties.

        Args:
            duties: what to do at each turn, in this order, by what the log says when one raises PanaChainError.
            every: seconds between two turns.
            name: of the thread.
            log: where failures are told.
            at_start: whether the first turn comes at once.
            at_end: whether one more turn comes at the end.
            wait: waits for some seconds, and returns early and True once `stop` was called. None takes the real time.
        """
        self._duties = duties
        self._every = every
        self._log = log
        self._at_start = at_start
        self._at_end = at_end
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._failing: set[str] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Periodic:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, timeout: float = 30.0) -> None:
        """End after the turn that is under way, for which at most `timeout` seconds are waited."""
        self._stopped.set()
        self._thread.join(timeout)

    def turn(self) -> None:
        """Do every duty once; one that fails doesn't keep the others from being done."""
        for what, duty in self._duties.items():
            try:
                duty()
            except PanaChainError as exc:
                if what not in self._failing:
                    self._log.warning("%s: %s", what, exc)
                self._failing.add(what)
            else:
                if what in self._failing:
                    self._log.warning("over: %s", what)
                self._failing.discard(what)

    def _run(self) -> None:
        if self._at_start:
            self.turn()
        while not self._wait(self._every):
            self.turn()
        if self._at_end:
            self.turn()
