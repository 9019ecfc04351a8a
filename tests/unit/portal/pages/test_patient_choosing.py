"""What a patient's forms say: understood as it was meant, or refused with a name of what isn't."""

from __future__ import annotations

from datetime import datetime

import pytest

from panachain.errors import UsageError
from panachain.model.scope import UNDATED, Purpose
from panachain.portal.i18n import speaking
from panachain.portal.pages.patient_choosing import (
    LENGTHS,
    MOST_YEARS,
    categories_of,
    end_of,
    purposes_of,
    years_of,
)
from tests.unit.portal.hostile import TEXTS, label

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("", ()),
        ("2024", (2024,)),
        ("2019-2021, 2024", (2019, 2020, 2021, 2024)),
        ("2019\u20132021", (2019, 2020, 2021)),
        (" 2024 ; undated ,2024", (2024, UNDATED)),
    ],
)
def test_years_are_single_ones_ranges_and_undated(text: str, years: tuple[int, ...]) -> None:
    assert years_of(text) == years


def test_undated_is_understood_in_the_language_of_the_page() -> None:
    with speaking("de"):
        assert years_of("undatiert") == (UNDATED,)
        assert years_of("undated") == (UNDATED,)


@pytest.mark.parametrize(
    "text", ["24", "2024-2019", "1899", "20245", "\u0662\u0660\u0662\u0664", "2024-", "0", *TEXTS], ids=label
)
def test_what_is_no_year_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError, match="is no year"):
        years_of(text)


def test_too_many_years_are_refused() -> None:
    assert len(years_of(f"1900-{1900 + MOST_YEARS - 1}")) == MOST_YEARS
    with pytest.raises(UsageError):
        years_of(f"1900-{1900 + MOST_YEARS}")


def test_categories_are_known_ones_each_once() -> None:
    assert categories_of(["laboratory", "all", "laboratory"]) == ("laboratory", "all")
    for chosen in ([], ["laborator"], ["laboratory/2024"], *[[text] for text in TEXTS]):
        with pytest.raises(UsageError):
            categories_of(chosen)


def test_purposes_are_known_ones_each_once() -> None:
    assert purposes_of(["TREAT", "HRESCH", "TREAT"]) == (Purpose.TREAT, Purpose.HRESCH)
    for chosen in ([], ["CURE"], *[[text] for text in TEXTS]):
        with pytest.raises(UsageError):
            purposes_of(chosen)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_counts_from_now(length: str) -> None:
    assert end_of(length, "", now=NOW) == int(NOW) + LENGTHS[length][1]


def test_a_day_is_the_last_one_on_which_it_can_be_read() -> None:
    ends = datetime.fromtimestamp(end_of("date", "2030-05-31", now=NOW))
    assert (ends.year, ends.month, ends.day, ends.hour, ends.minute) == (2030, 6, 1, 0, 0)


@pytest.mark.parametrize(
    ("length", "day"),
    [("", ""), ("date", ""), ("2d", ""), ("date", "2020-01-01"), ("date", "9999-12-31"), ("date", "31.12.2030")]
    + [("date", text) for text in TEXTS],
)
def test_no_end_and_an_end_that_is_over_are_refused(length: str, day: str) -> None:
    with pytest.raises(UsageError):
        end_of(length, day, now=NOW)
