"""Rate limits in virtual time: a bucket for each sender, filled evenly, and a bounded number of them."""

from __future__ import annotations

import pytest

from panachain.service import limits
from panachain.service.limits import Limiter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_requests_pass_at_once_and_the_next_one_is_told_when() -> None:
    limiter = Limiter(6, clock=Clock())
    assert [limiter.take("a") for _ in range(7)] == [0] * 6 + [11]


@pytest.mark.parametrize("rate", [1, 6, 60, 600])
def test_over_an_hour_a_sender_gets_its_rate_and_the_first_minutes(rate: int) -> None:
    clock = Clock()
    limiter = Limiter(rate, clock=clock)
    served = 0
    for _ in range(3600):
        clock.now += 1
        served += sum(limiter.take("a") == 0 for _ in range(rate // 30 + 1))
    assert 60 * rate <= served <= 61 * rate


def test_who_comes_again_when_told_is_served() -> None:
    clock = Clock()
    limiter = Limiter(7, clock=clock)
    for _ in range(50):
        wait = limiter.take("a")
        if wait:
            clock.now += wait
            assert limiter.take("a") == 0


def test_senders_have_nothing_to_do_with_each_other() -> None:
    limiter = Limiter(1, clock=Clock())
    assert [limiter.take("a"), limiter.take("b"), limiter.take("a") > 0, limiter.take("b") > 0] == [0, 0, True, True]


def test_zero_is_no_limit() -> None:
    limiter = Limiter(0, clock=Clock())
    assert not any(limiter.take("a") for _ in range(1000))


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    clock = Clock()
    limiter = Limiter(2, clock=clock)
    limiter.take("a")
    clock.now -= 3600
    assert limiter.take("a") == 0


def test_a_flood_of_senders_forgets_the_one_that_was_silent_for_the_longest_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "_SENDERS", 3)
    limiter = Limiter(1, clock=Clock())
    for sender in "abcad":
        limiter.take(sender)
    # b was the oldest; a came again.
    assert limiter.take("a") > 0
    assert limiter.take("b") == 0


def test_heavy_requests_count_more_and_none_is_too_heavy_for_ever() -> None:
    clock = Clock()
    limiter = Limiter(60, clock=clock)
    assert [limiter.take("a", 25) for _ in range(3)] == [0, 0, 16]
    clock.now += 16
    assert limiter.take("a", 25) == 0
    clock.now += 60
    assert limiter.take("a", 1000) == 0
    assert limiter.take("a") == 2


def test_a_sender_that_was_silent_for_a_minute_is_in_no_memory() -> None:
    """A sender may be somebody's network address: it stays no longer than the limit needs it."""
    clock = Clock()
    limiter = Limiter(2, clock=clock)
    limiter.take("a")
    clock.now += 59
    limiter.take("b")
    assert list(limiter._buckets) == ["a", "b"]
    clock.now += 1
    limiter.take("b")
    assert list(limiter._buckets) == ["b"]
