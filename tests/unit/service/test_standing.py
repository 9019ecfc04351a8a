"""What senders did lately, by a clock that the tests set."""

from __future__ import annotations

import pytest

from panachain.service.standing import Rank, Standing


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> Standing:
    return Standing(clock=clock)


def test_one_that_did_nothing_is_what_it_is_taken_for(standing: Standing) -> None:
    assert standing.of("new") is Rank.UNKNOWN
    assert standing.of("admitted", Rank.ADMITTED) is Rank.ADMITTED


def test_one_that_was_served_goes_first_for_an_hour(standing: Standing, clock: Clock) -> None:
    standing.served("reader")
    clock.now += 3599
    assert standing.of("reader") is Rank.GOOD
    clock.now += 1
    assert standing.of("reader") is Rank.UNKNOWN


def test_one_whose_work_came_to_nothing_goes_last_for_a_minute_whatever_else_it_did(
    standing: Standing, clock: Clock
) -> None:
    standing.served("reader")
    standing.failed("reader")
    standing.served("reader")
    assert standing.of("reader", Rank.GOOD) is Rank.BAD
    clock.now += 60
    assert standing.of("reader") is Rank.GOOD


def test_one_that_was_refused_is_like_one_that_did_nothing(standing: Standing) -> None:
    standing.served("reader")
    standing.refused("reader")
    standing.refused("stranger")
    assert {standing.of("reader"), standing.of("stranger")} == {Rank.UNKNOWN}


def test_strangers_without_end_push_out_nobody_who_was_served(standing: Standing) -> None:
    standing.served("reader")
    for number in range(10_000):
        standing.failed(f"stranger {number}")
    assert standing.of("reader") is Rank.GOOD
    assert standing.of("stranger 0") is Rank.UNKNOWN
    assert standing.of("stranger 9999") is Rank.BAD
