from __future__ import annotations

import pytest

from panachain.errors import UsageError
from panachain.records.jitter import GRAIN, MAX_JITTER, SHORT_GRAIN, coarse_deadline, coarse_window, delay

NOW = 1_800_000_123
WEEK = 7 * GRAIN


def test_a_delay_is_never_longer_than_the_jitter() -> None:
    assert all(0 <= delay(3) <= 3 for _ in range(200))
    assert {delay(3) for _ in range(500)} == {0, 1, 2, 3}


def test_without_jitter_nothing_waits() -> None:
    assert delay(0) == 0


def test_the_bounds_can_be_drawn() -> None:
    assert delay(WEEK, below=lambda bound: bound - 1) == WEEK
    assert delay(WEEK, below=lambda bound: 0) == 0


@pytest.mark.parametrize("jitter", [-1, MAX_JITTER + 1])
def test_refuses_an_impossible_jitter(jitter: int) -> None:
    with pytest.raises(UsageError):
        delay(jitter)


def test_each_record_draws_for_itself() -> None:
    # 20 equal draws of 600,000 values would be no accident.
    assert len({delay(WEEK) for _ in range(20)}) > 1


@pytest.mark.parametrize("jitter", [0, WEEK])
@pytest.mark.parametrize("length", [WEEK, 30 * GRAIN, 365 * GRAIN + 17])
def test_a_coarse_window_holds_the_asked_one_in_whole_days(length: int, jitter: int) -> None:
    starts_at, expires_at = coarse_window(NOW, NOW + length, jitter=jitter)
    assert starts_at % GRAIN == expires_at % GRAIN == 0
    assert starts_at <= NOW < NOW + length <= expires_at
    assert expires_at - (NOW + length) <= max(GRAIN, jitter) + GRAIN


def test_a_short_window_is_in_hours_so_that_it_grows_by_two_at_most() -> None:
    starts_at, expires_at = coarse_window(NOW, NOW + 2 * 3600, jitter=WEEK)
    assert starts_at % SHORT_GRAIN == expires_at % SHORT_GRAIN == 0
    assert starts_at <= NOW < NOW + 2 * 3600 <= expires_at <= NOW + 4 * 3600


@pytest.mark.parametrize("jitter", [0, WEEK])
@pytest.mark.parametrize("length", [WEEK, 30 * GRAIN, 100 * GRAIN])
def test_who_signs_in_the_same_stretch_says_the_same(length: int, jitter: int) -> None:
    stretch = max(GRAIN, jitter)
    first = NOW // stretch * stretch
    times = [first, first + 8 * 3600, first + stretch - 1]
    assert len({coarse_window(at, at + length, jitter=jitter) for at in times}) == 1
    assert len({coarse_deadline(at, jitter=jitter) for at in times}) == 1


@pytest.mark.parametrize("jitter", [0, GRAIN, WEEK])
def test_a_coarse_deadline_leaves_room_for_the_longest_delay(jitter: int) -> None:
    deadline = coarse_deadline(NOW, jitter=jitter)
    assert NOW + jitter + GRAIN <= deadline <= NOW + jitter + GRAIN + max(GRAIN, jitter)
