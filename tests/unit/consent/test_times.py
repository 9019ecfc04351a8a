"""Which heads are believed, what a receipt states, and when a window is over for good: on both sides of each bound."""

from __future__ import annotations

import pytest

from panachain.consent.times import MARGIN, MAX_AHEAD, MAX_DIFFERENCE, check_head, is_over_for_good, stated_time
from panachain.errors import ChainUnavailableError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus

NOW = 1_800_000_000
HOUR, MONTH = 3600, 30 * 86_400


def policy(
    status: PolicyStatus = PolicyStatus.ACTIVE, *, at: int = NOW, starts: int = 0, ends: int = 0
) -> OnChainPolicy:
    return OnChainPolicy(PolicyId("0x" + "11" * 20), status, starts, ends, b"", block=7, block_time=at)


def test_the_bounds_are_those_of_the_documents() -> None:
    # docs/spec/proxy.md and security rule 19: proxies of other versions delete and refuse by the same ones.
    assert (MAX_AHEAD, MAX_DIFFERENCE, MARGIN) == (30, 120, 600)


@pytest.mark.parametrize("off", [0, 30, -120, 29, -119])
def test_a_head_within_the_bounds_passes(off: int) -> None:
    check_head(NOW + off, now=NOW + 0.9, max_ahead=30, max_age=120)


@pytest.mark.parametrize("off", [31, HOUR, MONTH, -121, -HOUR, -MONTH])
def test_a_head_outside_of_them_is_refused(off: int) -> None:
    with pytest.raises(ChainUnavailableError, match=str(abs(off))):
        check_head(NOW + off, now=NOW, max_ahead=30, max_age=120)


def test_an_old_head_passes_where_its_age_does_not_matter() -> None:
    check_head(NOW - MONTH, now=NOW, max_ahead=30)


@pytest.mark.parametrize(
    ("at", "starts", "stated"),
    [(-1, -9, -1), (0, -9, 0), (1, -9, 0), (HOUR, -9, 0), (9, 5, 5), (9, 9, 9), (-1, -1, -1)],
)
def test_a_receipt_states_the_earlier_of_block_and_clock_and_nothing_before_the_begin(
    at: int, starts: int, stated: int
) -> None:
    assert stated_time(policy(at=NOW + at, starts=NOW + starts), now=NOW + 0.9) == NOW + stated


@pytest.mark.parametrize(
    ("status", "since", "over"),
    [
        (PolicyStatus.REVOKED, -HOUR, True),
        (PolicyStatus.EXPIRED, MARGIN, True),
        (PolicyStatus.EXPIRED, MARGIN - 1, False),
        (PolicyStatus.EXPIRED, -MONTH, False),
        (PolicyStatus.ACTIVE, MONTH, False),
        (PolicyStatus.NOT_YET, MONTH, False),
        (PolicyStatus.UNKNOWN, MONTH, False),
    ],
)
def test_a_window_is_over_for_good_when_chain_and_clock_say_so(status: PolicyStatus, since: int, over: bool) -> None:
    assert is_over_for_good(policy(status, ends=NOW - since), now=NOW) is over
