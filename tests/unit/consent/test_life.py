"""The states of a grant: each is what its facts say, and only written transitions can happen."""

from __future__ import annotations

import itertools

import pytest

from panachain.consent.life import FOLLOWING, State, advance, has_ended, is_end, state_of
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus

POLICY = PolicyId("0x" + "11" * 20)
TERMS, OTHER = b"\1" * 32, b"\2" * 32
NOW = 1_000_000


def on_chain(status: PolicyStatus = PolicyStatus.ACTIVE, terms: bytes = TERMS) -> OnChainPolicy:
    return OnChainPolicy(POLICY, status, NOW - 10, NOW + 1000, terms)


def look(policy: OnChainPolicy | None, **changed: int | bool) -> State:
    facts = {"due": 0, "deadline": NOW, "expires_at": NOW + 1000, "held": 0, "threshold": 2, "proxies": 3, "now": NOW}
    return state_of(policy, terms=TERMS, **{"answered": False, **facts, **changed})  # type: ignore[arg-type]


class TestState:
    def test_signed_until_its_deadline_and_lapsed_after_it(self) -> None:
        assert look(None) is State.SIGNED
        assert look(None, deadline=NOW - 1) is State.LAPSED

    def test_one_that_waits_is_bounded_by_its_window_and_not_by_its_deadline(self) -> None:
        assert look(None, due=NOW + 1) is State.WAITING
        assert look(None, due=NOW) is State.SIGNED
        assert look(None, due=NOW, deadline=NOW - 1) is State.OVERDUE
        assert look(None, due=NOW + 1, expires_at=NOW + 1) is State.WAITING
        assert look(None, due=NOW + 1, expires_at=NOW) is State.LAPSED

    def test_serves_from_the_threshold_on_and_is_done_with_the_last_share(self) -> None:
        assert [look(on_chain(), held=held) for held in range(4)] == [
            *(State.ON_CHAIN, State.ON_CHAIN),
            *(State.SERVING, State.SERVING),
        ]
        assert [look(on_chain(), held=held, answered=True) for held in (2, 3)] == [State.SERVED, State.DONE]

    def test_one_that_is_still_to_begin_can_be_finished(self) -> None:
        assert look(on_chain(PolicyStatus.NOT_YET)) is State.ON_CHAIN

    @pytest.mark.parametrize("status", [PolicyStatus.REVOKED, PolicyStatus.EXPIRED])
    def test_one_that_opens_nothing_has_ended(self, status: PolicyStatus) -> None:
        assert look(on_chain(status), held=3, answered=True) is State.ENDED
        assert has_ended(on_chain(status))

    def test_other_terms_are_another_devices(self) -> None:
        assert look(on_chain(terms=OTHER)) is State.DISPLACED
        assert look(on_chain(PolicyStatus.REVOKED, terms=OTHER)) is State.DISPLACED


class TestTransitions:
    def test_whatever_the_chain_shows_after_a_policy_was_sent_may_follow(self) -> None:
        # A node can leave a policy out and show it a moment later, whatever was done about it before.
        policies = [on_chain(status, terms) for status in PolicyStatus for terms in (TERMS, OTHER)]
        for policy, held, answered in itertools.product(policies, range(4), (False, True)):
            if answered and held < 2:
                # Nothing is answered before the threshold is reached.
                continue
            after = look(policy, held=held, answered=answered)
            assert advance(State.SIGNED, after) is after

    def test_each_state_has_its_row(self) -> None:
        assert set(FOLLOWING) == set(State)

    def test_nothing_follows_an_end_and_something_follows_all_else(self) -> None:
        ends = {State.DONE, State.WITHDRAWN, State.LAPSED, State.DISPLACED, State.ENDED}
        assert {state for state in State if is_end(state)} == ends
        assert {state for state, following in FOLLOWING.items() if not following} == ends

    def test_every_state_is_reached_from_the_first_and_every_life_can_end(self) -> None:
        def reached(start: State) -> set[State]:
            seen, left = {start}, [start]
            while left:
                new = FOLLOWING[left.pop()] - seen
                seen |= new
                left += new
            return seen

        assert reached(State.DRAWN) == set(State)
        assert all(State.ENDED in reached(state) for state in State if not is_end(state))

    def test_only_one_that_waits_can_be_withdrawn(self) -> None:
        """Nobody has heard of it yet; everything else is revoked."""
        assert [state for state, following in FOLLOWING.items() if State.WITHDRAWN in following] == [State.WAITING]

    def test_nobody_is_answered_before_the_grantee_can_open(self) -> None:
        before = {state for state, following in FOLLOWING.items() if State.SERVED in following}
        # After a reorganisation the proxies still have their shares.
        assert before == {State.SERVING, State.SIGNED}

    def test_advance_takes_what_is_written_and_refuses_all_else(self) -> None:
        for before, after in itertools.product(State, State):
            if after is before or after in FOLLOWING[before]:
                assert advance(before, after) is after
            else:
                with pytest.raises(ValueError, match=f"a grant that is {before.value} can't be {after.value} next"):
                    advance(before, after)
