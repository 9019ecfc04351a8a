"""Scopes: the path of a record, what of it the emergency lane holds, and what statements of rotations say together."""

from __future__ import annotations

import itertools
import random

import pytest

from panachain.model.scope import EMERGENCY, IN_PART, RESTRICTED, Category, Generations, Scope, path_of
from panachain.records.header import SLOTS


@pytest.mark.parametrize("category", Category, ids=lambda one: one.value)
def test_a_record_lies_in_the_emergency_lane_by_its_category_or_by_itself(
    category: Category,
) -> None:
    plain, chosen = path_of(category, 2024), path_of(category, 2024, emergency=True)
    assert (Scope.emergency() in plain) is (category in EMERGENCY)
    assert (Scope.emergency() in chosen) is (category in EMERGENCY | IN_PART)
    assert [scope for scope in chosen if scope != Scope.emergency()] == [
        scope for scope in plain if scope != Scope.emergency()
    ]
    # Whatever the patient includes, `all` doesn't cover what is restricted.
    assert (Scope.all() in chosen) is (category not in RESTRICTED)
    assert len(chosen) <= SLOTS


LAB, VITALS, ALL = Scope.of(Category.LABORATORY), Scope.of(Category.VITALS), Scope.all()


class TestGenerations:
    def test_what_follows_from_another_statement_says_all_of_it(self) -> None:
        first = Generations().rotated([LAB])
        second = first.rotated([VITALS, LAB])
        for order in itertools.permutations([Generations(), first, second]):
            assert Generations.merged(order) == second
        assert second.covers(first)
        assert not first.covers(second)
        assert Generations.merged([]) == Generations()

    def test_of_two_that_counted_the_same_each_lane_is_rotated_once_more(self) -> None:
        one, other = Generations().rotated([LAB]), Generations().rotated([VITALS])
        assert Generations.merged([one, other]) == Generations(2, {LAB: (1, 2), VITALS: (1, 2)})
        assert not one.covers(other)
        assert not other.covers(one)

    def test_the_same_rotation_of_two_is_one(self) -> None:
        assert Generations.merged([Generations().rotated([LAB])] * 2) == Generations(1, {LAB: (1,)})

    def test_a_lane_that_was_rotated_later_needs_no_further_rotation(self) -> None:
        one = Generations().rotated([LAB])
        other = Generations().rotated([VITALS]).rotated([LAB])
        # At epoch 1 vitals were of generation 0 by the one and of 1 by the other: nothing after it tells.
        assert Generations.merged([one, other]) == Generations(3, {LAB: (1, 2), VITALS: (1, 3)})

    def test_whatever_devices_state_together_they_come_to_one_state_that_loses_nothing(self) -> None:
        drawn = random.Random(41)
        for _ in range(300):
            stated = [Generations()]
            for _ in range(drawn.randrange(1, 6)):
                stated.append(drawn.choice(stated).rotated(drawn.sample([LAB, VITALS, ALL], drawn.randrange(1, 4))))
            together = Generations.merged(stated)
            assert Generations.merged([*drawn.sample(stated, len(stated)), together]) == together
            for one, scope in itertools.product(stated, [LAB, VITALS, ALL]):
                assert set(one.of(scope)) <= set(together.of(scope))
                assert together.covers(one)
                # A header says the epoch under which it was sealed: with it an older lane is told from the newest.
                assert one.current(scope) == together.current(scope) or one.epoch < together.current(scope)
