"""Jitter: waiting a random time, so that the time of a publication tells less about the time of a visit.

What is published together, and when, is public, and the records of one visit are one patient's: nothing else that is
public links them as well (docs/security/leakage.md, measured by benchmarks/linkability.py). With jitter each record
waits for itself, and goes out in a later round among those of other patients. A grant may wait too, by the patient's
choice; a revocation never does (security rule 3). Never decides what is published, and keeps no state: until when
something waits is written down by whoever lets it wait. Follows design section 5 (nothing public links two records of
a patient).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from panachain.errors import UsageError

MAX_JITTER: Final = 90 * 86_400
"""Seconds; a longer wait would be a loss."""
GRAIN: Final = 86_400
"""Seconds: days, to which what a grant says of times is rounded."""
SHORT_GRAIN: Final = 3600
"""Seconds: hours, for a window shorter than `LONG`."""
LONG: Final = 7 * 86_400
"""Seconds."""

Below = Callable[[int], int]
"""Returns a random whole number from 0 on, below its argument, each as likely as the others."""
Delay = Callable[[int], int]
"""Draws for how many seconds something waits that waits at most for so many, as `delay` does."""


def delay(jitter: int, *, below: Below = secrets.randbelow) -> int:
    """Return how long one record or grant waits: whole seconds from 0 to `jitter`, each as likely as the others.

    Every record draws for itself: one draw for a whole visit would leave its records together.

    Args:
        jitter: the longest wait, seconds; 0 for none.
        below: by default the operating system's CSPRNG: anybody who could guess it would know the time of the visit.

    Raises:
        UsageError: `jitter` is negative or longer than `MAX_JITTER`.
    """
    if not 0 <= jitter <= MAX_JITTER:
        raise UsageError(f"a jitter of {jitter} s: it is from 0 to {MAX_JITTER} s ({MAX_JITTER // 86_400} days)")
    return below(jitter + 1)


def coarse_window(starts_at: int, expires_at: int, *, jitter: int = 0) -> tuple[int, int]:
    """Return a policy's window in whole days, or in whole hours when it is short; never a shorter one.

    Exact seconds tell when the patient signed, whatever a delay hides. So the beginning is that of its day, or of its
    stretch of `jitter` seconds, and the end follows from it and from the length alone.

    Args:
        starts_at: Unix seconds, inclusive. An earlier beginning opens nothing: a policy counts from its transaction on.
        expires_at: Unix seconds, exclusive; it ends later than was asked for, by two days at most, or two hours; with
            jitter by at most `jitter` and a day.
        jitter: seconds that the grant waits at most.
    """
    length = expires_at - starts_at
    unit = GRAIN if length >= LONG else SHORT_GRAIN
    grain = max(unit, jitter) if length >= LONG else unit
    begins = starts_at // grain * grain
    return begins, begins + grain + -(-length // unit) * unit


def coarse_deadline(now: int, *, jitter: int = 0) -> int:
    """Return until when a grant may be relayed, Unix seconds: after the longest delay.

    Args:
        now: Unix seconds.
        jitter: the longest wait, seconds.
    """
    grain = max(GRAIN, jitter)
    return now // grain * grain + grain + jitter + GRAIN
