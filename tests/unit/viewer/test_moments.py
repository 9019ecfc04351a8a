"""A moment is shown as exactly as it was written, and no more exactly; what is none keeps its text."""

from __future__ import annotations

import pytest

from panachain.viewer.moments import hl7_moment, moment, of_seconds


@pytest.mark.parametrize(
    ("written", "english", "german"),
    [
        ("2020", "2020", "2020"),
        ("2020-03", "Mar 2020", "März 2020"),
        ("2020-03-07", "7 Mar 2020", "7. März 2020"),
        ("2020-03-07T09:05:00+02:00", "7 Mar 2020, 09:05", "7. März 2020, 09:05"),
    ],
)
def test_is_as_exact_as_it_was_written(written: str, english: str, german: str) -> None:
    assert (moment(written).shown("en"), moment(written).shown("de")) == (english, german)


def test_order_follows_the_zone_and_the_text_keeps_it() -> None:
    early, late = moment("2020-03-07T09:00:00+02:00"), moment("2020-03-07T08:00:00Z")
    assert early.seconds is not None
    assert late.seconds is not None
    assert early.seconds < late.seconds


@pytest.mark.parametrize(
    "written", ["2024-02-30", "yesterday", "20-1-1", "", "2020-13", "0000-01-01", "2020-01-01T25:00"]
)
def test_what_no_calendar_has_is_no_moment_and_stays_as_it_stands(written: str) -> None:
    assert not moment(written).is_known
    assert moment(written).shown("en") == written


@pytest.mark.parametrize("value", [None, 5, [], {}, True])
def test_what_is_no_text_says_nothing(value: object) -> None:
    assert moment(value).text == ""


def test_reads_times_of_hl7() -> None:
    assert hl7_moment("20240131").shown("en") == "31 Jan 2024"
    assert hl7_moment("202401311530+0100").shown("en") == "31 Jan 2024, 15:30"
    assert not hl7_moment("2024-01-31").is_known


def test_seconds_that_no_calendar_has_are_no_moment() -> None:
    assert not of_seconds(1e30).is_known
