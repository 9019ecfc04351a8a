"""Values as they are typed: dates, years, categories, purposes.

Never decides what is allowed: only what was meant. Follows ISO 8601 and docs/spec/cli.md, section "Values".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click

from panachain.cli.words import PURPOSES
from panachain.model.scope import FIRST_YEAR, UNDATED, Category, Purpose

_DURATION: Final = re.compile(r"([0-9]{1,6})([mhdwy])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
"""Seconds of a unit; a year counts 365 days."""

LATEST: Final = 253_402_300_800
"""Unix seconds, the end of the year 9999; a `uint48` holds more, but no calendar shows it."""

SPECIAL: Final = ("all", "emergency")
"""Scopes that aren't categories."""


class Moment(click.ParamType):
    """A time in Unix seconds: `2027-01-31`, `2027-01-31T12:00+01:00`, or a duration such as `30d`."""

    name = "date"

    def __init__(self, *, past: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.past = past
        """Whether a duration counts back from now."""
        self.clock = clock

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return Unix seconds. A date is its first second, and a time without an offset is UTC."""
        if isinstance(value, int):
            return value
        if found := _DURATION.fullmatch(value):
            distance = int(found[1]) * _SECONDS[found[2]]
            moment = int(self.clock()) + (-distance if self.past else distance)
        else:
            try:
                parsed = datetime.fromisoformat(value)
                moment = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
            except (ValueError, OverflowError):
                self.fail(f"{value!r} is no date such as 2027-01-31 and no duration such as 30d", param, ctx)
        if not 0 <= moment < LATEST:
            self.fail(f"{value!r} is outside the years 1970 to 9999", param, ctx)
        return moment


class Duration(click.ParamType):
    """A duration in seconds, such as `21d`; `0` is none."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        if isinstance(value, int):
            return value
        if value == "0":
            return 0
        if not (found := _DURATION.fullmatch(value)):
            self.fail(f"{value!r} is no duration such as 15m, 12h or 21d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


class Years(click.ParamType):
    """One year, a range such as `2019-2023`, or `undated`."""

    name = "year"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the years; `undated` is 0."""
        if isinstance(value, tuple):
            return value
        if value == "undated":
            return (UNDATED,)
        found = re.fullmatch(r"([0-9]{4})(?:-([0-9]{4}))?", value, re.ASCII)
        if not found:
            self.fail(f"{value!r} is no year such as 2024, no range such as 2019-2023, and not `undated`", param, ctx)
        first, last = int(found[1]), int(found[2] or found[1])
        if not FIRST_YEAR <= first <= last:
            self.fail(f"{value!r}: years go from {FIRST_YEAR} upwards", param, ctx)
        return tuple(range(first, last + 1))


class Categories(click.ParamType):
    """A category, or several with commas; `all` and `emergency` where whole grants are meant."""

    name = "category"

    def __init__(self, *, special: bool = False) -> None:
        self.special = special

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in the order in which they were typed."""
        if isinstance(value, tuple):
            return value
        known = [category.value for category in Category] + list(SPECIAL if self.special else ())
        names = tuple(value.split(","))
        for name in names:
            if name not in known:
                self.fail(f"unknown category {name!r}; the categories are: {', '.join(known)}", param, ctx)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Offer the categories that begin with what was typed."""
        from click.shell_completion import CompletionItem

        known = [category.value for category in Category] + list(SPECIAL if self.special else ())
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


class Purposes(click.ParamType):
    """A purpose: its word, such as `treatment`, or its code, such as `TREAT`."""

    name = "purpose"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Purpose:
        """Return the purpose."""
        if isinstance(value, Purpose):
            return value
        typed = value.lower().replace("-", " ")
        found = next((one for one in Purpose if typed in (one.value.lower(), PURPOSES[one.value])), None)
        if found is not None:
            return found
        known = ", ".join(f"{word.replace(' ', '-')} ({code})" for code, word in PURPOSES.items())
        raise click.BadParameter(f"unknown purpose {value!r}; the purposes are: {known}", ctx, param)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Offer the words that begin with what was typed."""
        from click.shell_completion import CompletionItem

        known = [word.replace(" ", "-") for word in PURPOSES.values()]
        return [CompletionItem(word) for word in known if word.startswith(incomplete.lower())]


def flat(groups: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """Return the values of a repeated option, each once, in their order."""
    return tuple(dict.fromkeys(value for group in groups for value in group))
