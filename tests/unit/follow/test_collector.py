from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from panachain.follow.collector import standing_still


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_stands_still_while_it_is_wanted_and_goes_on_after_a_failure() -> None:
    def fail() -> None:
        with standing_still(True):
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled()


def test_nothing_happens_where_it_isnt_wanted() -> None:
    with standing_still(False):
        assert gc.isenabled()


def test_the_last_of_several_sets_it_going_whatever_the_order() -> None:
    first, second = standing_still(True), standing_still(True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_program_that_runs_without_it_keeps_it_off() -> None:
    gc.disable()
    with standing_still(True), standing_still(True):
        pass
    assert not gc.isenabled()
