"""A moment is a datetime with a time zone, a timedelta or Unix seconds, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from panachain.errors import UsageError
from panachain.sdk.times import END, iso, seconds, utc

AT = 1_800_000_000


def test_unix_seconds_stay_as_they_are() -> None:
    assert seconds(AT) == AT


@pytest.mark.parametrize("offset", [0, 1, -7])
def test_an_aware_datetime_is_the_same_moment_in_every_zone(offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    assert seconds(datetime.fromtimestamp(AT, zone)) == AT


def test_a_timedelta_counts_from_now() -> None:
    assert seconds(timedelta(days=30), at=AT) == AT + 30 * 86_400


def test_a_timedelta_counts_back_where_the_past_is_meant() -> None:
    assert seconds(timedelta(weeks=1), at=AT, past=True) == AT - 7 * 86_400


def test_fractions_of_a_second_are_dropped() -> None:
    assert seconds(datetime(2027, 1, 15, 8, 0, 0, 999_999, UTC)) == AT
    assert seconds(timedelta(microseconds=1_999_999), at=AT) == AT + 1


def test_a_naive_datetime_is_refused_and_the_hint_tells_how_to_write_it() -> None:
    with pytest.raises(UsageError, match="until is a datetime without a time zone") as refused:
        seconds(datetime(2027, 1, 31), name="until")
    assert "timezone.utc" in refused.value.hint


@pytest.mark.parametrize("other", [True, 1.5, "2027-01-31", date(2027, 1, 31), None])
def test_other_types_are_refused_by_name(other: Any) -> None:
    with pytest.raises(UsageError, match=type(other).__name__):
        seconds(other)


@pytest.mark.parametrize("outside", [-1, END, timedelta(days=-30_000), timedelta(days=3_000_000)])
def test_a_moment_that_no_calendar_shows_is_refused(outside: int | timedelta) -> None:
    with pytest.raises(UsageError, match="1970 to 9999"):
        seconds(outside, at=AT)


def test_what_comes_back_is_aware() -> None:
    assert utc(AT) == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert iso(AT) == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize("moment", [END, (1 << 48) - 1, 1 << 64, 1 << 200])
def test_what_no_calendar_has_is_shown_as_its_last_second(moment: int) -> None:
    assert iso(moment) == "9999-12-31T23:59:59Z"
    assert iso(-moment) == "1970-01-01T00:00:00Z"
