"""Moments as records tell them: a year, a month, a day or a time, never made more exact than they are.

A time keeps the zone that it was written in. What is no date is shown as it stands, and has no place in an order.
Follows FHIR R4 (dateTime, instant), HL7 v2.9 (DTM) and ISO 8601.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from panachain.plain import line

_FHIR: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?)?"
)
_HL7: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:\.\d+)?)?([+-]\d{4})?")
_MONTHS: Final = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "de": ("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
}


@dataclass(frozen=True)
class Moment:
    """A moment, as exact as it was written."""

    text: str = ""
    """As it was written, cleaned; empty where there is none."""
    seconds: float | None = None
    """Unix seconds of its beginning, for order; None where it can't be read."""
    parts: tuple[int, ...] = ()
    """Year, month, day, hour, minute, as many as were written."""

    @property
    def is_known(self) -> bool:
        """Whether it says when."""
        return self.seconds is not None

    def shown(self, language: str) -> str:
        """Return it as people of a language read it."""
        if not self.parts:
            return self.text
        months = _MONTHS.get(language, _MONTHS["en"])
        year, *rest = self.parts
        if not rest:
            return str(year)
        month = months[rest[0] - 1]
        if len(rest) == 1:
            return f"{month} {year}"
        day = f"{rest[1]}. {month} {year}" if language == "de" else f"{rest[1]} {month} {year}"
        return f"{day}, {rest[2]:02}:{rest[3]:02}" if len(rest) == 4 else day


NEVER: Final = Moment()


def moment(value: Any) -> Moment:
    """Return what a FHIR date, dateTime or instant says."""
    return _read(value, _FHIR)


def hl7_moment(value: Any) -> Moment:
    """Return what a time of HL7 v2 or CDA says."""
    return _read(value, _HL7)


def of_seconds(seconds: float) -> Moment:
    """Return Unix seconds as a day in UTC."""
    try:
        day = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return NEVER
    return Moment(f"{day:%Y-%m-%d}", seconds, (day.year, day.month, day.day))


def _read(value: Any, pattern: re.Pattern[str]) -> Moment:
    text = line(value)[:80] if isinstance(value, str) else ""
    found = pattern.fullmatch(text)
    if found is None:
        return Moment(text)
    numbers = [int(part) for part in found.groups()[:5] if part is not None]
    try:
        begin = datetime(numbers[0], *[*numbers[1:3], 1, 1][:2], *numbers[3:5], tzinfo=UTC)  # type: ignore[misc, arg-type]
    except (ValueError, IndexError):
        # The thirtieth of February, and whatever else no calendar has.
        return Moment(text)
    zone = (found[7] or "").replace(":", "")
    away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) if len(zone) == 5 else timedelta()
    return Moment(text, begin.timestamp() + away.total_seconds() * (1 if zone[:1] == "-" else -1), tuple(numbers))
