"""Dates, years and categories as they are typed."""

from __future__ import annotations

from typing import Any

import click
import pytest

from panachain.cli.values import Categories, Moment, Purposes, Years
from panachain.model.scope import Purpose


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", 1_801_353_600),
        ("2027-01-31T01:00+01:00", 1_801_353_600),
        ("2027-01-31T00:00:00Z", 1_801_353_600),
        ("1970-01-01", 0),
    ],
)
def test_a_date_is_its_first_second_in_utc(text: str, expected: int) -> None:
    assert Moment().convert(text, None, None) == expected


def test_a_duration_counts_from_now() -> None:
    assert Moment(clock=lambda: 1e9).convert("30d", None, None) == 10**9 + 30 * 86_400
    assert Moment(past=True, clock=lambda: 1e9).convert("2h", None, None) == 10**9 - 7200


@pytest.mark.parametrize("text", ["", "soon", "30", "-1d", "2027-13-01", "99999y", "1969-12-31", "٣d"])
def test_refuses_what_is_no_date(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "expected"), [("2024", (2024,)), ("2019-2021", (2019, 2020, 2021)), ("undated", (0,))]
)
def test_years(text: str, expected: tuple[int, ...]) -> None:
    assert Years().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["24", "1899", "2021-2019", "2024-", "all", "²024"])
def test_refuses_what_is_no_year(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Years().convert(text, None, None)


@pytest.mark.parametrize("kind", [Categories(), Categories(special=True)])
def test_unknown_category_names_the_known_ones(kind: click.ParamType) -> None:
    with pytest.raises(click.BadParameter, match="mental-health"):
        kind.convert("laboratory,horoscopes", None, None)


def test_all_is_for_lanes_only() -> None:
    assert Categories(special=True).convert("all", None, None) == ("all",)
    with pytest.raises(click.BadParameter):
        Categories().convert("all", None, None)


def test_completion_offers_categories() -> None:
    context: Any = click.Context(click.Command("x"))
    found = Categories().shell_complete(context, click.Option(["--category"]), "mental")
    assert [item.value for item in found] == ["mental-health"]


@pytest.mark.parametrize("text", ["TREAT", "treat", "treatment", "Treatment"])
def test_a_purpose_is_a_word_or_a_code(text: str) -> None:
    assert Purposes().convert(text, None, None) is Purpose.TREAT


def test_a_word_of_two_takes_a_dash() -> None:
    assert Purposes().convert("emergency-treatment", None, None) is Purpose.ETREAT
    assert Purposes().convert("family request", None, None) is Purpose.FAMRQT


def test_unknown_purpose_names_the_known_ones() -> None:
    with pytest.raises(click.BadParameter, match=r"emergency-treatment \(ETREAT\)"):
        Purposes().convert("fun", None, None)


def test_completion_offers_purposes() -> None:
    context: Any = click.Context(click.Command("x"))
    found = Purposes().shell_complete(context, click.Option(["--purpose"]), "pat")
    assert [item.value for item in found] == ["patient-request"]
