"""Threads take turns among senders, whatever one of them asks; order and numbers are counted, no time passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from panachain.errors import UnavailableError
from panachain.service.pool import FairPool


class Gate:
    """A call that holds the only thread until a test opens it."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(60)


def run(test: Callable[[FairPool, Gate], Awaitable[None]], **settings: int) -> None:
    """Run a test with a pool of one thread that is held by a gate."""

    async def held() -> None:
        pool, gate = FairPool(1, "test", **settings), Gate()
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
