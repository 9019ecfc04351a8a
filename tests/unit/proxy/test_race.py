"""The race between proxies in virtual time: a slow one is doubled, a failing one replaced, and none is waited for."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from panachain.errors import (
    IntegrityError,
    OpensLaterError,
    PanaChainError,
    PolicyExpiredError,
    PolicyRevokedError,
    ProxiesUnavailableError,
    RateLimitedError,
    UnavailableError,
)
from panachain.model.actors import Address
from panachain.model.policy import ProxyRef
from panachain.proxy.race import FIRST, PIECE, Event, Failure, Pace, Race, Threads, ask_all, piece_sizes, shortfall

NEVER = 1e9
"""Seconds of a proxy that hangs."""
DOWN, BUSY = UnavailableError("no connection"), RateLimitedError("busy", retry_after=60)
Behaviour = Callable[[int], tuple[float, PanaChainError | None]]
"""How many seconds a proxy takes for a piece, and what it fails with."""


def proxies(count: int) -> list[ProxyRef]:
    return [ProxyRef(Address(f"0x{number:040x}"), "", b"") for number in range(count)]


@dataclass
class Virtual:
    """Couriers in virtual time: it goes on only while somebody waits."""

    behaviours: list[Behaviour]
    time: float = 0.0
    asked: list[tuple[int, int, float]] = field(default_factory=list)
    """Proxy, piece, and when."""
    _under_way: list[tuple[float, int, Event[Any]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)

    def now(self) -> float:
        return self.time

    def send(self, proxy: ProxyRef, piece: int, ask: Callable[[ProxyRef, int], Any]) -> None:
        number = int(proxy.address, 16)
        self.asked.append((number, piece, self.time))
        seconds, error = self.behaviours[number](piece)
        at = self.time + seconds
        event = Event(proxy, piece, at, None if error else ask(proxy, piece), error)
        heapq.heappush(self._under_way, (at, next(self._order), event))

    def next(self, seconds: float) -> Event[Any] | None:
        if self._under_way and self._under_way[0][0] <= self.time + seconds:
            at, _, event = heapq.heappop(self._under_way)
            self.time = max(self.time, at)
            return event
        self.time += seconds
        return None

    def pieces_of(self, number: int) -> list[int]:
        return [piece for proxy, piece, _ in self.asked if proxy == number]


def takes(seconds: float, error: PanaChainError | None = None, *, later: float | None = None) -> Behaviour:
    """Return a proxy that takes some seconds for the first piece, and perhaps others for the rest."""
    return lambda piece: (seconds if piece == 0 or later is None else later, error)


def race(
    *behaviours: Behaviour, sizes: tuple[int, ...] = (FIRST,), needed: int = 2, start: float = 0.0, **more: Any
) -> Virtual:
    """Run a race, and check that each piece was combined once from as many answers as it needs."""
    virtual, combined = Virtual(list(behaviours), time=start), []

    def combine(piece: int, answers: Mapping[Address, str]) -> Mapping[Address, PanaChainError]:
        liars = {who: IntegrityError("a lie") for who, answer in answers.items() if answer.startswith("lie")}
        if not liars:
            assert len(answers) == needed
            combined.append(piece)
        return liars

    lies = more.pop("lies", ())
    Race(
        proxies(len(behaviours)),
        sizes,
        needed=needed,
        ask=lambda proxy, piece: "lie" if int(proxy.address, 16) in lies else f"{proxy.address} {piece}",
        combine=combine,
        what="the work",
        couriers=virtual,
        **more,
    ).run()
    assert sorted(combined) == list(range(len(sizes)))
    return virtual


class TestRace:
    def test_it_takes_as_long_as_the_slowest_of_those_that_are_needed(self) -> None:
        assert race(takes(0.3), takes(0.1), takes(NEVER)).time == pytest.approx(0.3)

    def test_the_first_piece_goes_to_all_and_the_rest_to_the_fastest(self) -> None:
        done = race(takes(0.1), takes(0.4), takes(0.2), takes(0.3), sizes=(FIRST, 100, 100))
        assert [done.pieces_of(number)[:1] for number in range(4)] == [[0]] * 4
        assert set(done.pieces_of(0)) == set(done.pieces_of(2)) == {0, 1, 2}
        assert done.pieces_of(1) == done.pieces_of(3) == [0]

    @pytest.mark.parametrize("start", [0.0, 1000.0])
    def test_one_that_hangs_later_is_doubled_once_it_took_three_times_as_long_as_before(self, start: float) -> None:
        done = race(takes(0.32), takes(0.32, later=NEVER), takes(0.64), sizes=(FIRST, 100), start=start)
        (asked,) = [at for proxy, piece, at in done.asked if (proxy, piece) == (2, 1)]
        # 100 capsules at a hundredth of a second each, three times as long; it was asked at 0.32.
        assert asked - start == pytest.approx(0.32 + 3.0, abs=0.01)
        assert done.time - start < 6

    def test_one_that_fails_later_is_replaced_at_once(self) -> None:
        def failing(piece: int) -> tuple[float, PanaChainError | None]:
            return (0.1, None) if piece == 0 else (0.05, UnavailableError("down"))

        done = race(takes(0.1), failing, takes(0.2), sizes=(FIRST, 100))
        (asked,) = [at for proxy, piece, at in done.asked if (proxy, piece) == (2, 1)]
        assert asked == pytest.approx(0.15, abs=0.01)

    def test_a_liar_is_replaced_and_not_asked_again_once_that_is_known(self) -> None:
        done = race(takes(0.1), takes(0.1), takes(0.2), sizes=(FIRST, 50, 50, 50), lies={1})
        # It had two more pieces in hand by then.
        assert done.pieces_of(1) == [0, 1, 2]
        assert done.pieces_of(2) == [0, 3, 1, 2]

    def test_no_proxy_gets_a_piece_twice(self) -> None:
        def moody(piece: int) -> tuple[float, PanaChainError | None]:
            return (0.1, None) if piece % 2 == 0 else (0.1, UnavailableError("busy"))

        done = race(takes(0.1), moody, takes(0.3), takes(0.5), sizes=(FIRST, 60, 60, 60))
        given = [(proxy, piece) for proxy, piece, _ in done.asked]
        assert len(given) == len(set(given))

    def test_slow_ones_are_not_asked_while_the_fast_ones_are_busy_and_in_time(self) -> None:
        done = race(takes(1.0), takes(3.0), takes(1.1), takes(3.1), sizes=(FIRST, *[100] * 8))
        assert set(done.pieces_of(0)) == set(done.pieces_of(2)) == set(range(9))
        assert done.pieces_of(1) == done.pieces_of(3) == [0]

    def test_one_that_was_late_comes_after_those_in_time_even_where_it_is_faster(self) -> None:
        def hesitant(piece: int) -> tuple[float, PanaChainError | None]:
            return {0: 0.1, 1: 1.0}.get(piece, 0.5), None

        done = race(hesitant, takes(0.2, later=0.6), takes(0.3, later=0.6), sizes=(FIRST, *[50] * 5))
        assert done.pieces_of(0) == [0, 1, 2]

    def test_one_that_failed_once_is_asked_again_and_after_two_failures_no_more(self) -> None:
        def failing(error: PanaChainError, *pieces: int) -> Behaviour:
            return lambda piece: (0.1, error if piece in pieces else None)

        busy, refusal = UnavailableError("busy"), PolicyRevokedError("no")
        once = race(takes(0.1), failing(busy, 1), failing(refusal, 3, 4), sizes=(FIRST, 60, 60, 60, 60))
        assert {3, 4} <= set(once.pieces_of(1))
        twice = race(takes(0.1), failing(busy, 1, 2), takes(0.3), takes(0.4), sizes=(FIRST, *[60] * 5))
        assert twice.pieces_of(1) == [0, 1, 2]
        # Not even where nobody else is left to take another one's place.
        with pytest.raises(ProxiesUnavailableError):
            race(takes(0.1), failing(busy, 1, 2), failing(busy, 5), sizes=(FIRST, *[60] * 5))

    def test_what_fails_once_a_piece_is_done_harms_nobody(self) -> None:
        done = race(takes(0.1), takes(0.1), takes(0.2, UnavailableError("down")), sizes=(FIRST, 100))
        assert done.time < 1

    def test_what_comes_after_its_time_was_over_counts_no_more(self) -> None:
        fast, hanging = takes(0.1, later=0.98), takes(1.05)
        done = race(fast, fast, hanging, sizes=(FIRST, 100), pace=Pace(patience=1.0, floor=5.0))
        assert done.pieces_of(2) == [0]
        assert done.time == pytest.approx(1.08, abs=0.01)

    def test_with_too_few_it_ends_when_its_patience_does(self) -> None:
        with pytest.raises(ProxiesUnavailableError, match="1 of 3 proxies answered, 2 are needed"):
            race(takes(0.1), takes(NEVER), takes(NEVER), pace=Pace(patience=5.0))

    def test_a_failure_that_is_sure_waits_a_little_for_the_others_reasons(self) -> None:
        revoked = PolicyRevokedError("revoked")
        with pytest.raises(PolicyRevokedError, match="3 of 3 proxies refuse"):
            race(takes(0.1, revoked), takes(0.2, revoked), takes(0.9, revoked))
        with pytest.raises(PolicyRevokedError, match="2 of 3 proxies refuse"):
            race(takes(0.1, revoked), takes(0.2, revoked), takes(NEVER))

    def test_one_refusal_among_enough_others_is_no_harm(self) -> None:
        race(takes(0.1, PolicyRevokedError("no")), takes(0.2), takes(0.3))

    def test_the_first_refusal_is_the_one_that_is_told(self) -> None:
        refusals = [PolicyRevokedError("the first"), PolicyExpiredError("the second"), PolicyRevokedError("the third")]
        failures = [Failure(proxy, error) for proxy, error in zip(proxies(3), refusals, strict=True)]
        found = shortfall(0, failures, 3, 2, "it")
        assert type(found) is PolicyRevokedError
        assert str(found) == "it: 3 of 3 proxies refuse: the first"
        limits = [Failure(one, RateLimitedError(f"number {n}", retry_after=n)) for n, one in enumerate(proxies(3))]
        told = shortfall(0, limits, 3, 2, "it")
        assert isinstance(told, RateLimitedError)
        assert (str(told), told.retry_after) == ("it: 3 of 3 proxies do no more of it for now: number 0", 2)

    @pytest.mark.parametrize(
        ("good", "seconds", "others", "wait"),
        [
            (0, [900, 30, 400], [], 400),
            (1, [900, 30], [], 30),
            (1, [900], [PolicyRevokedError("no")], 900),
            # A lie won't become an answer by asking again.
            (1, [900], [IntegrityError("a lie")], 900),
        ],
    )
    def test_it_opens_when_enough_proxies_say_so(
        self, good: int, seconds: list[int], others: list[PanaChainError], wait: int
    ) -> None:
        told = self.told(good, seconds, others)
        assert told.retry_after == wait
        assert "other proxies" not in str(told)

    @pytest.mark.parametrize(
        ("good", "seconds", "others", "wait"),
        [
            (1, [900], [DOWN], 60),
            (1, [900], [BUSY], 60),
            # It hangs, and said nothing yet.
            (1, [900], [], 60),
            (0, [5, 6], [DOWN], 6),
            (0, [900, 14_400], [BUSY], 60),
        ],
    )
    def test_one_proxy_that_waits_doesnt_pick_the_time_while_others_may_come_back(
        self, good: int, seconds: list[int], others: list[PanaChainError], wait: int
    ) -> None:
        told = self.told(good, seconds, others)
        assert told.retry_after == wait
        assert str(told).endswith("it opens then, or as soon as the other proxies answer")

    def told(self, good: int, seconds: list[int], others: list[PanaChainError]) -> OpensLaterError:
        errors = [OpensLaterError("later", retry_after=one) for one in seconds] + others
        failures = [Failure(one, error) for one, error in zip(proxies(3), errors, strict=False)]
        told = shortfall(good, failures, 3, 2, "it")
        # The kind stays what it is: whoever opens an emergency takes what opens at once.
        assert isinstance(told, OpensLaterError)
        return told

    def test_waiting_doesnt_help_where_too_few_say_so(self) -> None:
        later, revoked = OpensLaterError("later", retry_after=1), PolicyRevokedError("no")
        for errors, kind in (
            ([later, revoked, revoked], PolicyRevokedError),
            ([revoked, later, DOWN], PolicyRevokedError),
            ([later, DOWN, DOWN], ProxiesUnavailableError),
        ):
            failures = [Failure(one, error) for one, error in zip(proxies(3), errors, strict=True)]
            assert type(shortfall(0, failures, 3, 2, "it")) is kind

    def test_as_many_refusals_as_leave_enough_others_decide_nothing(self) -> None:
        down = [Failure(one, DOWN) for one in proxies(2)]
        for error in (PolicyRevokedError("no"), BUSY):
            one = Failure(proxies(3)[2], error)
            assert type(shortfall(0, [*down, one], 3, 2, "it")) is ProxiesUnavailableError
            assert type(shortfall(0, [*down[:1], one, one], 3, 2, "it")) is type(error)

    def test_lies_of_too_many_are_a_lie(self) -> None:
        with pytest.raises(IntegrityError, match="a lie"):
            race(takes(0.1), takes(0.1), takes(0.1), lies={0, 1})


class TestAskAll:
    def ask(
        self, *behaviours: Behaviour, timeout: float = 8.0, enough: int | None = None
    ) -> tuple[list[int], list[int], float]:
        virtual = Virtual(list(behaviours))
        asked = proxies(len(behaviours))
        good, failures = ask_all(asked, lambda _: "yes", timeout=timeout, enough=enough, couriers=virtual)
        return (
            [int(proxy.address, 16) for proxy, _ in good],
            [int(failure.proxy.address, 16) for failure in failures],
            virtual.time,
        )

    def test_answers_and_failures_come_in_the_order_of_the_proxies(self) -> None:
        down = UnavailableError("down")
        assert self.ask(takes(3), takes(1, down), takes(2), takes(0.5, down))[:2] == ([0, 2], [1, 3])

    def test_it_ends_with_the_last_answer(self) -> None:
        assert self.ask(takes(3), takes(1))[2] == 3

    def test_one_that_is_silent_has_failed_after_the_time_and_a_grace(self) -> None:
        assert self.ask(takes(1), takes(NEVER), timeout=4.0) == ([0], [1], 5.0)

    def test_one_that_is_silent_is_told_how_long_it_was_waited_for(self) -> None:
        virtual = Virtual([takes(1), takes(NEVER)], time=100.0)
        _, (failure,) = ask_all(proxies(2), lambda _: "yes", timeout=4.0, couriers=virtual)
        assert str(failure.error) == "no answer within 5.0 s"

    @pytest.mark.parametrize("other", [takes(NEVER), takes(0.0, DOWN), takes(1.9, BUSY), takes(14.9)])
    def test_none_is_waited_for_by_the_clock_while_enough_others_serve(self, other: Behaviour) -> None:
        # Whatever it does: down, hanging, dripping, busy. A second, or three times as long as the others took.
        assert self.ask(takes(0.1), takes(0.2), other, timeout=15.0, enough=2)[2] <= 0.2 + 1.0
        assert self.ask(takes(1.0), takes(2.0), other, timeout=15.0, enough=2)[2] <= 3 * 2.0

    def test_one_that_is_little_slower_than_the_others_is_waited_for(self) -> None:
        assert self.ask(takes(1.0), takes(2.0), takes(5.9), timeout=15.0, enough=2) == ([0, 1, 2], [], 5.9)

    def test_one_that_comes_within_a_moment_after_enough_quick_ones_counts(self) -> None:
        # A second, however quick the others were, and not longer.
        assert self.ask(takes(0.1), takes(0.2), takes(1.1), timeout=15.0, enough=2) == ([0, 1, 2], [], 1.1)
        assert self.ask(takes(0.1), takes(0.2), takes(1.3), timeout=15.0, enough=2) == ([0, 1], [2], pytest.approx(1.2))

    def test_a_failure_after_enough_good_ones_changes_nothing(self) -> None:
        found = self.ask(takes(1.0), takes(2.0), takes(3.0, DOWN), takes(5.5), timeout=15.0, enough=2)
        assert found == ([0, 1, 3], [2], 5.5)

    def test_with_too_few_it_waits_for_all(self) -> None:
        assert self.ask(takes(1.0), takes(14.0), takes(0.1, DOWN), timeout=15.0, enough=2) == ([0, 1], [2], 14.0)


def test_no_program_waits_at_its_end_for_a_proxy_that_hangs() -> None:
    seen: list[bool] = []
    threads = Threads[bool]()
    threads.send(proxies(1)[0], 0, lambda *_: seen.append(threading.current_thread().daemon) or True)
    assert threads.next(60) is not None
    assert seen == [True]


def test_a_fault_in_a_thread_reaches_the_caller_without_its_message() -> None:
    def fail(*_: Any) -> str:
        raise RuntimeError("what was sent")

    threads = Threads[str]()
    threads.send(proxies(1)[0], 7, fail)
    event = threads.next(60)
    assert event is not None
    assert (event.piece, str(event.error)) == (7, "failed: RuntimeError")
    with pytest.raises(TypeError):
        event.good()
    assert threads.next(0) is None


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 65, 100, 300, 1000, 10_000])
def test_pieces_cover_everything_once(count: int) -> None:
    sizes = piece_sizes(count)
    assert (sum(sizes), sizes[0]) == (count, min(count, FIRST))
    assert all(0 < size <= PIECE for size in sizes)
