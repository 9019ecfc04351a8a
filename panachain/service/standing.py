"""What senders did lately: whose work was worth it, and whose came to nothing.

It decides who goes first and refuses nobody: whoever is unknown, or was wrong, still has a share of the turns
(`pool.py`). Bounded, and only work that was done whole makes a good name, so strangers push nobody out.
Follows docs/spec/proxy.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final

_GOOD_FOR: Final = 3600.0
"""Seconds for which a sender whose work was good goes first."""
_BAD_FOR: Final = 60.0
"""Seconds for which a sender whose work came to nothing goes last."""
_REMEMBERED: Final = 4096
"""Senders of each kind that are remembered; the one that did nothing for the longest time is forgotten first."""


class Rank(IntEnum):
    """Who goes before whom."""

    GOOD = 0
    """Was served lately."""
    ADMITTED = 1
    """May have what it asks for, and never had anything here."""
    UNKNOWN = 2
    BAD = 3
    """Asked lately for work that came to nothing, such as a thousand capsules of which the last is none."""


class Standing:
    """Remembers senders; several threads may use it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock whose seconds only grow."""
        self._clock = clock
        # Apart: those that are bad, which strangers can make many of, push out no good one.
        self._good: OrderedDict[str, float] = OrderedDict()
        self._bad: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, sender: str, usual: Rank = Rank.UNKNOWN) -> Rank:
        """Return where a sender stands.

        Args:
            sender: an address of the network, an account, or a policy.
            usual: of one that did nothing yet.
        """
        now = self._clock()
        with self._lock:
            if now < self._bad.get(sender, now):
                return Rank.BAD
            return Rank.GOOD if now < self._good.get(sender, now) else usual

    def served(self, sender: str) -> None:
        """Note that a sender's work was good and is done."""
        self._note(self._good, sender, _GOOD_FOR)

    def refused(self, sender: str) -> None:
        """Note that a sender asked for what it may not have: it is like one that did nothing yet."""
        with self._lock:
            self._good.pop(sender, None)

    def failed(self, sender: str) -> None:
        """Note that a sender's work came to nothing."""
        self._note(self._bad, sender, _BAD_FOR)

    def _note(self, known: OrderedDict[str, float], sender: str, seconds: float) -> None:
        with self._lock:
            known[sender] = self._clock() + seconds
            known.move_to_end(sender)
            if len(known) > _REMEMBERED:
                known.popitem(last=False)
