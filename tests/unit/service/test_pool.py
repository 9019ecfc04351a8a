"""Threads take turns among senders, whatever one of them asks; order and numbers are counted, no time passes."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable

import pytest

from panachain.errors import UnavailableError
from panachain.service.pool import FairPool
from panachain.service.standing import Rank


class Gate:
    """A call that holds the only thread until a test opens it."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(60)


def run(test: Callable[[FairPool, Gate], Awaitable[None]], **settings: int) -> None:
    """Run a test with a pool of one thread that is held by a gate."""

    async def held() -> None:
        # Calls take no time here, so nobody had more than anybody else, and turns go round.
        pool, gate = FairPool(1, "test", clock=lambda: 0.0, **settings), Gate()
        first = asyncio.ensure_future(pool.run("holder", gate))
        await asyncio.sleep(0)
        try:
            await test(pool, gate)
        finally:
            gate.opened.set()
            await first
            pool.close()

    asyncio.run(asyncio.wait_for(held(), 60))


def test_a_sender_of_a_hundred_calls_stands_once_before_another() -> None:
    order: list[str] = []

    async def test(pool: FairPool, gate: Gate) -> None:
        flood = [asyncio.ensure_future(pool.run("stranger", order.append, "stranger")) for _ in range(60)]
        await asyncio.sleep(0)
        honest = [asyncio.ensure_future(pool.run("patient", order.append, "patient")) for _ in range(3)]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*flood, *honest)

    run(test)
    assert order[:6] == ["stranger", "patient"] * 3
    assert len(order) == 63


def test_work_in_pieces_lets_others_in_between() -> None:
    order: list[str] = []

    async def test(pool: FairPool, gate: Gate) -> None:
        async def pieces(name: str, count: int) -> None:
            for _ in range(count):
                await pool.run(name, order.append, name)

        both = [asyncio.ensure_future(pieces("long", 20)), asyncio.ensure_future(pieces("short", 2))]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*both)

    run(test)
    assert order.index("short") <= 1
    assert [place for place, name in enumerate(order) if name == "short"][-1] <= 4


def test_one_sender_has_a_bounded_part_of_what_waits() -> None:
    async def test(pool: FairPool, gate: Gate) -> None:
        waiting = [asyncio.ensure_future(pool.run("stranger", int)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="of this sender wait"):
            await pool.run("stranger", int)
        other = asyncio.ensure_future(pool.run("patient", int))
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(*waiting, other) == [0] * 4

    run(test, waiting=10, waiting_per_sender=3)


def test_where_all_is_full_the_sender_that_waits_for_most_gives_way() -> None:
    async def test(pool: FairPool, gate: Gate) -> None:
        flood = [asyncio.ensure_future(pool.run("stranger", int)) for _ in range(4)]
        await asyncio.sleep(0)
        honest = asyncio.ensure_future(pool.run("patient", int))
        await asyncio.sleep(0)
        gate.opened.set()
        outcomes = await asyncio.gather(*flood, honest, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["int"] * 3 + ["UnavailableError", "int"]

    run(test, waiting=4, waiting_per_sender=8)


def test_what_nobody_waits_for_any_more_is_not_called() -> None:
    called: list[int] = []

    async def test(pool: FairPool, gate: Gate) -> None:
        gone = asyncio.ensure_future(pool.run("patient", called.append, 1))
        await asyncio.sleep(0)
        gone.cancel()
        last = asyncio.ensure_future(pool.run("patient", called.append, 2))
        await asyncio.sleep(0)
        gate.opened.set()
        await last

    run(test)
    assert called == [2]


def test_an_error_is_its_callers() -> None:
    def fail() -> None:
        raise ValueError("this one's")

    async def test(pool: FairPool, gate: Gate) -> None:
        gate.opened.set()
        with pytest.raises(ValueError, match="this one's"):
            await pool.run("patient", fail)
        assert await pool.run("patient", int) == 0

    run(test)


def test_whoever_had_least_lately_comes_first_and_nobody_waits_for_ever() -> None:
    order: list[str] = []
    now = [0.0]

    async def test() -> None:
        pool = FairPool(1, "test", clock=lambda: now[0])

        def work(name: str, seconds: float) -> None:
            order.append(name)
            now[0] += seconds

        await pool.run("heavy", work, "heavy", 10.0)
        gate = Gate()
        held = asyncio.ensure_future(pool.run("holder", gate))
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(pool.run("heavy", work, "heavy", 1.0))]
        waiting += [asyncio.ensure_future(pool.run(f"new {n}", work, "new", 0.1)) for n in range(9)]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(held, *waiting)
        pool.close()

    asyncio.run(asyncio.wait_for(test(), 60))
    # Newcomers go first, but for every fourth call, which is of the sender that waits for longest.
    assert order[1:].index("heavy") <= 3


def test_what_was_had_long_ago_counts_little() -> None:
    now = [0.0]

    async def test() -> None:
        pool = FairPool(1, "test", clock=lambda: now[0])

        def spend() -> None:
            now[0] += 8.0

        await pool.run("a", spend)
        assert pool._attained("a") == 8.0
        now[0] += 60
        assert pool._attained("a") == 2.0
        assert pool._attained("b") == 0.0
        pool.close()

    asyncio.run(asyncio.wait_for(test(), 60))


def test_kinds_do_not_take_each_others_places() -> None:
    async def test(pool: FairPool, gate: Gate) -> None:
        deposits = [asyncio.ensure_future(pool.run(f"d{n}", int, kind="deposit")) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="too many requests wait"):
            await pool.run("d4", int, kind="deposit")
        opening = asyncio.ensure_future(pool.run("reader", int, kind="opening"))
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(*deposits, opening) == [0] * 4

    run(test, waiting=3)


def test_a_sender_whose_turn_it_still_is_goes_on_at_once() -> None:
    order: list[str] = []
    now = [0.0]

    async def test() -> None:
        pool = FairPool(1, "test", clock=lambda: now[0])

        def spend(name: str, seconds: float) -> None:
            order.append(name)
            now[0] += seconds

        await pool.run("flood", spend, "flood", 100.0)
        gate = Gate()
        held = asyncio.ensure_future(pool.run("holder", gate))
        await asyncio.sleep(0)
        flood = [asyncio.ensure_future(pool.run("flood", spend, "flood", 1.0)) for _ in range(9)]
        left = [6]

        def step() -> bool:
            spend("reader", 0.1)
            left[0] -= 1
            return left[0] > 0

        reading = asyncio.ensure_future(pool.run_while("reader", step))
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(held, reading, *flood)
        pool.close()

    asyncio.run(asyncio.wait_for(test(), 60))
    # But for every fourth turn, which is of the sender that waits for longest, it has them all.
    assert order[1:9].count("reader") == 6
    assert order.count("flood") == 10


def test_an_error_ends_what_would_be_called_again() -> None:
    def fail() -> bool:
        raise ValueError("this one's")

    async def test(pool: FairPool, gate: Gate) -> None:
        gate.opened.set()
        with pytest.raises(ValueError, match="this one's"):
            await pool.run_while("patient", fail)
        assert await pool.run("patient", int) == 0

    run(test)


def turns_of(**waiting: Rank) -> list[str]:
    """Return whose turns they were, where each sender has thirty calls that wait and a rank."""
    order: list[str] = []

    async def test(pool: FairPool, gate: Gate) -> None:
        calls = [
            asyncio.ensure_future(pool.run(name, order.append, name, rank=rank))
            for _ in range(30)
            for name, rank in waiting.items()
        ]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*calls)

    run(test, waiting=1000)
    return order


def test_a_flood_of_bad_and_unknown_ones_has_three_of_eight_turns() -> None:
    ranks = (
        {"reader": Rank.GOOD} | {f"new{n}": Rank.UNKNOWN for n in range(9)} | {f"bad{n}": Rank.BAD for n in range(9)}
    )
    turns = turns_of(**ranks)
    # In each cycle of eight but the first one, of which the gate's own call had a turn.
    for start in (7, 15, 23):
        assert turns[start : start + 8].count("reader") == 5


def test_newcomers_come_before_those_whose_work_came_to_nothing() -> None:
    turns = turns_of(bad1=Rank.BAD, bad2=Rank.BAD, new=Rank.UNKNOWN)
    assert turns[:24].count("new") >= 21


def test_those_that_were_admitted_come_before_strangers_and_after_those_that_were_served() -> None:
    turns = turns_of(stranger=Rank.UNKNOWN, admitted=Rank.ADMITTED, reader=Rank.GOOD)
    counts = [turns[:32].count(name) for name in ("reader", "admitted", "stranger")]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= 20


def test_whoever_was_wrong_has_turns_too() -> None:
    turns = turns_of(bad=Rank.BAD, reader=Rank.GOOD, other=Rank.GOOD)
    assert 0 < turns[:40].count("bad") <= 5


@pytest.mark.parametrize(
    ("rank", "pause"), [(Rank.GOOD, 0.0), (Rank.ADMITTED, 0.0), (Rank.UNKNOWN, 0.125), (Rank.BAD, 0.5)]
)
def test_a_flood_leaves_the_processor_alone_while_nobody_else_asks(rank: Rank, pause: float) -> None:
    begun: list[float] = []
    now = [0.0]

    async def test() -> None:
        pool = FairPool(1, "test", clock=lambda: now[0])

        def work() -> None:
            begun.append(now[0])
            now[0] += 0.125

        loop, alarms = asyncio.get_running_loop(), []

        def call_later(seconds: float, function: Callable[..., None], *args: object) -> asyncio.Handle:
            # Time goes on only while nothing else does.
            alarms.append(seconds)
            now[0] += seconds
            return loop.call_soon(function, *args)

        loop.call_later = call_later  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(pool.run("flood", work, rank=rank) for _ in range(4)))
        pool.close()

    asyncio.run(test())
    assert [later - earlier for earlier, later in itertools.pairwise(begun)] == [0.125 + pause] * 3


def test_a_pause_of_bad_ones_holds_up_nobody_else() -> None:
    order: list[str] = []
    now = [0.0]

    async def test() -> None:
        pool = FairPool(1, "test", clock=lambda: now[0])

        def work(name: str) -> None:
            order.append(name)
            now[0] += 0.03

        bad = [asyncio.ensure_future(pool.run("bad", work, "bad", rank=Rank.BAD)) for _ in range(3)]
        await bad[0]
        others = [pool.run("reader", work, "reader"), pool.run("new", work, "new", rank=Rank.UNKNOWN)]
        await asyncio.gather(*others)
        assert order == ["bad", "reader", "new"]
        while not all(call.done() for call in bad):
            now[0] += 0.25
            await asyncio.sleep(0.01)
        pool.close()

    asyncio.run(asyncio.wait_for(test(), 60))
    assert order == ["bad", "reader", "new", "bad", "bad"]
