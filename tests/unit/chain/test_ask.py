"""Asking several nodes at once: enough good answers are enough, and no error of the program is hidden."""

from __future__ import annotations

import threading
import time

import pytest

from panachain.chain.ask import ask_all
from panachain.chain.rpc import Rpc
from panachain.errors import ChainUnavailableError, IntegrityError

NODES = [Rpc(f"http://{letter}") for letter in "abc"]


def test_gives_the_answers_in_the_nodes_order() -> None:
    first = threading.Event()

    def ask(rpc: Rpc) -> str:
        if rpc is NODES[0]:
            assert first.wait(60)
        first.set()
        return rpc.url

    assert ask_all(NODES, ask, needed=3).good == [(rpc, rpc.url) for rpc in NODES]
    assert ask_all([], ask, needed=0).good == []


def test_as_many_as_are_needed_are_waited_for_however_slow_they_are_and_hold_no_program_up() -> None:
    begun: list[bool] = []

    def ask(rpc: Rpc) -> int:
        begun.append(threading.current_thread().daemon)
        if rpc is not NODES[0]:
            time.sleep(0.05)
        return 7

    assert len(ask_all(NODES, ask, needed=3, grace=0.001).good) == 3
    assert begun == [True] * 3


def test_errors_of_ours_are_answers_too() -> None:
    error = IntegrityError("a lie")

    def ask(rpc: Rpc) -> int:
        if rpc is NODES[1]:
            raise error
        return 7

    found = ask_all(NODES, ask, needed=2)

    assert found.good == [(NODES[0], 7), (NODES[2], 7)]
    assert found.bad == [(NODES[1], error)]


def test_a_slow_node_keeps_nobody_waiting_once_enough_have_answered() -> None:
    never = threading.Event()

    def ask(rpc: Rpc) -> int:
        if rpc is NODES[0]:
            never.wait(60)
        return 7

    found = ask_all(NODES, ask, needed=2, grace=0.01)
    never.set()

    assert [rpc for rpc, _ in found.good] == NODES[1:]
    assert isinstance(found.bad[0][1], ChainUnavailableError)
    assert "http://a answers more slowly" in str(found.bad[0][1])


def test_one_that_was_late_before_gets_no_grace_and_counts_if_it_is_in_time() -> None:
    never = threading.Event()

    def ask(rpc: Rpc) -> int:
        if rpc is NODES[0]:
            never.wait(60)
        return 7

    # With its grace of an hour this test would end by its time limit.
    found = ask_all(NODES, ask, needed=2, grace=3600, late=[NODES[0].url])
    never.set()
    assert [rpc for rpc, _ in found.good] == NODES[1:]
    assert [rpc for rpc, _ in found.bad] == NODES[:1]

    turn = threading.Event()

    def in_time(rpc: Rpc) -> int:
        if rpc is NODES[0]:
            turn.set()
        else:
            assert turn.wait(60)
        return 7

    # The answer of a late one may come before the others'.
    assert len(ask_all(NODES, in_time, needed=3, late=[NODES[0].url]).good) == 3


@pytest.mark.parametrize("count", [1, 3])
def test_where_no_answer_is_needed_none_is_waited_for(count: int) -> None:
    never = threading.Event()

    def ask(_: Rpc) -> int:
        never.wait(60)
        return 7

    found = ask_all(NODES[:count], ask, needed=0, grace=0.01)

    assert len(found.bad) == count
    never.set()


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_of_the_program_is_raised(count: int) -> None:
    def ask(_: Rpc) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_all(NODES[:count], ask, needed=1)
