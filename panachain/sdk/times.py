"""Moments as Python programmers write them: `datetime`, `timedelta` or Unix seconds, made Unix seconds in one place.

Never guesses a time zone: a `datetime` without one is refused, because the same words would mean another moment on
another machine. Follows docs/spec/cli.md, section "Values", whose durations count in the same way.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from panachain.errors import UsageError

Moment = int | datetime | timedelta
"""A time: Unix seconds, an aware `datetime`, or a `timedelta` from now."""

END: Final = 253_402_300_800
"""Unix seconds, the end of the year 9999: no calendar shows what comes after it."""


def now() -> int:
    """Return Unix seconds by this machine's clock."""
    return int(time.time())


def seconds(moment: Moment, *, at: int | None = None, past: bool = False, name: str = "a time") -> int:
    """Return a moment in Unix seconds; the fraction of a second is dropped.

    Args:
        moment: what the caller gave.
        at: Unix seconds from which a `timedelta` counts; None means now, by this machine's clock.
        past: count a `timedelta` back, as `since=timedelta(days=7)` means a week ago.
        name: the argument, for the message.

    Raises:
        UsageError: a `datetime` without a time zone, another type, or a moment outside the years 1970 to 9999.
    """
    if isinstance(moment, timedelta):
        # Whole seconds, without the rounding of a float.
        distance = moment // timedelta(seconds=1)
        found = (now() if at is None else at) + (-distance if past else distance)
    elif isinstance(moment, datetime):
        if moment.utcoffset() is None:
            raise UsageError(
                f"{name} is a datetime without a time zone, which is another moment on each machine; nothing was done",
                hint="datetime.now(timezone.utc), or datetime(2027, 1, 31, tzinfo=timezone.utc)",
            )
        found = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    elif isinstance(moment, int) and not isinstance(moment, bool):
        found = moment
    else:
        raise UsageError(
            f"{name} is a {type(moment).__name__}; nothing was done",
            hint="an aware datetime, a timedelta from now, or Unix seconds as an int",
        )
    if not 0 <= found < END:
        raise UsageError(f"{name} is outside the years 1970 to 9999; nothing was done")
    return found


def duration(length: int | timedelta, *, name: str = "a duration") -> int:
    """Return a length of time in seconds; the fraction of a second is dropped.

    Args:
        length: a `timedelta`, or seconds.
        name: the argument, for the message.

    Raises:
        UsageError: it is negative, or of another type.
    """
    found = length // timedelta(seconds=1) if isinstance(length, timedelta) else length
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise UsageError(f"{name} must be a timedelta, or seconds from 0 on; nothing was done")
    return found


def utc(moment: int) -> datetime:
    """Return Unix seconds as an aware `datetime` in UTC.

    What no calendar has becomes the first or the last second that one has: others write times into chains and terms,
    and one that fails to be shown would keep a whole list from its reader.
    """
    return datetime.fromtimestamp(min(max(moment, 0), END - 1), UTC)


def iso(moment: int) -> str:
    """Return Unix seconds as RFC 3339 in UTC."""
    return utc(moment).isoformat().replace("+00:00", "Z")
