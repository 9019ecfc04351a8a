"""Duties at intervals: in their order, never ended by a failure, and told once."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from panachain.errors import ChainUnavailableError
from panachain.service.periodic import Periodic

LOG = logging.getLogger("panachain.test")


class VirtualWait:
    """Lets some turns pass at once, and remembers for how long each would have been waited."""

    def __init__(self, turns: int) -> None:
        self.waited: list[float] = []
        self.over = threading.Event()
        self._turns = turns

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        ended = len(self.waited) > self._turns
        if ended:
            self.over.set()
        return ended


def run(turns: int, duties: dict[str, Any], **options: Any) -> VirtualWait:
    wait = VirtualWait(turns)
    with Periodic(duties, every=3600, name="test", log=LOG, wait=wait, **options):
        assert wait.over.wait(60)
    return wait


def test_each_turn_comes_after_its_interval() -> None:
    times: list[str] = []
    waited = run(3, {"never": lambda: times.append("turn")}).waited
    assert times == ["turn"] * 3
    assert waited == [3600] * 4


@pytest.mark.parametrize(("options", "turns"), [({"at_start": True}, 3), ({"at_end": True}, 3), ({}, 2)])
def test_start_and_end_have_a_turn_where_told(options: dict[str, bool], turns: int) -> None:
    done: list[int] = []
    run(2, {"never": lambda: done.append(1)}, **options)
    assert len(done) == turns


def test_duties_are_done_in_their_order_and_a_failure_keeps_none_from_being_done() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("first")
        raise ChainUnavailableError("down")

    run(2, {"a": fail, "b": lambda: done.append("second")})
    assert done == ["first", "second"] * 2


def test_a_row_of_failures_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    left = [3]

    def fail() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise ChainUnavailableError("down")

    with caplog.at_level(logging.WARNING, logger=LOG.name):
        run(6, {"nothing works": fail})
    assert caplog.messages == ["nothing works: down", "over: nothing works"]


def test_stop_wakes_a_thread_that_waits_for_an_hour() -> None:
    periodic = Periodic({}, every=3600, name="test", log=LOG)
    periodic.start()
    periodic.stop(timeout=60)
    assert not periodic._thread.is_alive()
