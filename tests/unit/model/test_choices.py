"""Choices: what is newer counts, and of two that are as new whatever closes more."""

from __future__ import annotations

from panachain.model.choices import NONE, Choices

HIV, BOTH = frozenset({"HIV"}), frozenset({"HIV", "SUD"})


def test_a_change_counts_and_what_changes_nothing_does_not() -> None:
    first = NONE.changed(HIV, frozenset())
    assert first == Choices(1, HIV)
    assert first.changed(HIV, frozenset()) is first
    assert first.changed(frozenset(), frozenset()) == Choices(2)


def test_the_newer_one_counts_even_if_it_closes_less() -> None:
    assert Choices(1, BOTH).merged(Choices(2)) == Choices(2).merged(Choices(1, BOTH)) == Choices(2)


def test_of_two_devices_that_chose_at_the_same_time_whatever_closes_more_counts() -> None:
    one, other = Choices(1, HIV, BOTH), Choices(1, frozenset({"SUD"}), HIV)
    assert one.merged(other) == other.merged(one) == Choices(1, BOTH, HIV)
