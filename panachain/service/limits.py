"""Rate limits: how many requests, or units of work, one sender asked for within the last minute.

A sender is any text that the caller counts for, and no more than a bounded number of them is held.
Follows docs/spec/proxy.md, section "Limits".
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MINUTE: Final = 60.0
_SENDERS: Final = 50_000
"""Senders that are remembered; the one that was silent for the longest time is forgotten first."""


class Limiter:
    """A token bucket for each sender, filled evenly over a minute; several threads may use it."""

    def __init__(self, rate: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the limit.

        Args:
            rate: requests that one sender may make in a minute; 0 means any number.
            clock: seconds.
        """
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, sender: str, weight: int = 1) -> int:
        """Count one request, and return 0, or in how many seconds the sender may come again.

        Args:
            sender: for whom it counts.
            weight: how much it counts; one that is heavier than a minute's whole rate counts like that.
        """
        if self._rate == 0:
            return 0
        weight = min(weight, self._rate)
        now = self._clock()
        with self._lock:
            left, since = self._buckets.pop(sender, (float(self._rate), now))
            left = min(float(self._rate), left + max(now - since, 0) * self._rate / _MINUTE)
            allowed = left >= weight
            self._buckets[sender] = (left - weight if allowed else left, now)
            # One that was silent for a minute is full, like that of a sender who never came: nothing needs its name.
            while next(iter(self._buckets.values()))[1] <= now - _MINUTE:
                self._buckets.popitem(last=False)
            if len(self._buckets) > _SENDERS:
                self._buckets.popitem(last=False)
        return 0 if allowed else 1 + int((weight - left) * _MINUTE / self._rate)

    def give_back(self, sender: str, weight: int = 1) -> None:
        """Count no more what `take` counted, for whoever turned out to be nobody to hinder.

        Args:
            sender: for whom it was counted.
            weight: how much it counted.
        """
        with self._lock:
            found = self._buckets.get(sender)
            if found is not None:
                # In its place: what is given back is no new request.
                self._buckets[sender] = (min(float(self._rate), found[0] + weight), found[1])
