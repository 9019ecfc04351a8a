"""What patients choose in forms: categories, years, purposes and an end.

Pure: text comes in, values go out. Never guesses: what isn't understood is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

from panachain.errors import UsageError
from panachain.model.scope import FIRST_YEAR, UNDATED, Category, Purpose
from panachain.portal.i18n import N_, _
from panachain.portal.refusals import said
from panachain.sdk.times import END
from panachain.sdk.words import WHOLE

LENGTHS: Final = {
    "8h": (N_("8 hours"), 8 * 3600),
    "1d": (N_("1 day"), 86_400),
    "7d": (N_("1 week"), 7 * 86_400),
    "30d": (N_("30 days"), 30 * 86_400),
    "90d": (N_("90 days"), 90 * 86_400),
    "365d": (N_("1 year"), 365 * 86_400),
}
"""How long a grant lasts: what the form sends, its words, and its seconds."""
MOST_YEARS: Final = 150
"""Years that one grant can name; each is a lane of its own for each category."""
_YEARS: Final = re.compile(r"([0-9]{4})(?:\s*[-\u2013]\s*([0-9]{4}))?", re.ASCII)


def categories_of(chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the categories that were ticked, each once.

    Raises:
        UsageError: none was, or one that there isn't.
    """
    if not chosen:
        raise said(UsageError(_("Nothing is chosen that may be read."), hint=_("Tick at least one category.")))
    for word in chosen:
        if word not in WHOLE:
            Category.parse(word)
    return tuple(dict.fromkeys(chosen))


def purposes_of(chosen: Sequence[str]) -> tuple[Purpose, ...]:
    """Return the purposes that were ticked, each once.

    Raises:
        UsageError: none was, or one that there isn't.
    """
    if not chosen:
        raise said(UsageError(_("No purpose is chosen."), hint=_("Tick at least one purpose.")))
    return tuple(dict.fromkeys(Purpose.parse(code) for code in chosen))


def years_of(text: str) -> tuple[int, ...]:
    """Return the years that somebody typed, such as `2019-2021, 2024, undated`; nothing means every year.

    Raises:
        UsageError: a part of it is no year, or there are too many.
    """
    years: list[int] = []
    for part in filter(None, (one.strip() for one in re.split("[,;]", text[:1000]))):
        if part.casefold() in ("undated", _("undated").casefold()):
            years.append(UNDATED)
            continue
        found = _YEARS.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not FIRST_YEAR <= first <= last or len(years) + last - first >= MOST_YEARS:
            raise said(
                UsageError(
                    _("“%(text)s” is no year and no range of years.", text=part[:40]),
                    hint=_("Type years such as 2024, ranges such as 2019-2023, or undated."),
                )
            )
        years += range(first, last + 1)
    return tuple(dict.fromkeys(years))


def end_of(length: str, day: str, *, now: float) -> int:
    """Return when a grant ends, exclusive, Unix seconds.

    Args:
        length: one of `LENGTHS`, counted from now, or `date`.
        day: with `date`, the last day on which it can be read, by this machine's time zone.
        now: Unix seconds.

    Raises:
        UsageError: it is neither, or it is over.
    """
    if length in LENGTHS:
        return int(now) + LENGTHS[length][1]
    try:
        if length != "date":
            raise ValueError(length)
        following = date.fromisoformat(day) + timedelta(days=1)
        # Without a time zone it is local, as the person means it.
        ends = int(datetime.combine(following, time()).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        raise said(
            UsageError(_("It isn't said how long this lasts."), hint=_("Choose a length, or the last day as a date."))
        ) from None
    if not now < ends < END:
        raise said(UsageError(_("That day is over already."), hint=_("Choose today or a later day.")))
    return ends


def day_of(text: str, *, later: int = 0) -> int | None:
    """Return the first second of a day, or of one some days later, by this machine's time zone; None for none.

    Raises:
        UsageError: the text is no date.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=later)
        return int(datetime.combine(day, time()).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        raise said(
            UsageError(_("“%(text)s” is no date.", text=text[:40]), hint=_("Type dates such as 2027-01-31."))
        ) from None
