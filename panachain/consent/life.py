"""The life of a policy, from an offer until nothing is left to do: its states, and which may follow which.

Pure: what the patient's program wrote down, what the chain says and what time it is come in as arguments. It never does
a step, sdk/grants.py does; each step ends with `advance`, which refuses a step that no life has.

    drawn ──> waiting ──> overdue          drawn: its number counts as used, nothing is signed
      │        │    │        │             waiting: the patient lets it wait, and may take it back unseen
      │        │    └──> signed <──┘       overdue: it waited for longer than its signature counts
      └────────┼──────────> │              signed: a relay may bring it on chain
               │            v
               │         on chain          fewer proxies than the threshold hold a share
               │            v
               │         serving           the grantee can open; what it replaces or answers waits for its turn
               │            v
               │         served ──> done   the patient has their answer; some proxies lack a share
               v
           withdrawn                       besides, from each state: lapsed, displaced, ended (see `State`)

A reorganisation can take a policy off the chain, so that what was on chain is signed, waiting or overdue again.
Follows design section 8 (Grant) and security rule 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from panachain.model.policy import OnChainPolicy, PolicyStatus


class State(Enum):
    """Where a grant is on its way; the last five are ends, after which nothing is kept of it."""

    DRAWN = "drawn"
    """Its number counts as used; nothing is signed or written down."""
    WAITING = "waiting"
    """Signed and written down, and its time hasn't come."""
    OVERDUE = "overdue"
    """Its time has come and its signature doesn't count any more."""
    SIGNED = "signed"
    """Signed and written down; the chain doesn't show it yet."""
    ON_CHAIN = "on chain"
    """The chain shows it, and fewer proxies than the threshold hold a share."""
    SERVING = "serving"
    """The grantee can open; what it replaces isn't taken back yet, and the request isn't answered."""
    SERVED = "served"
    """The patient has their answer; some proxies still lack a share."""
    DONE = "done"
    """Nothing is left to do."""
    WITHDRAWN = "withdrawn"
    """The patient took it back while it waited."""
    LAPSED = "lapsed"
    """It never came on chain, and can't any more."""
    DISPLACED = "displaced"
    """Another device of the patient's used its one-time key for another policy."""
    ENDED = "ended"
    """It is revoked or expired, so that nothing is left to do."""


_ENDS: Final = frozenset({State.DONE, State.WITHDRAWN, State.LAPSED, State.DISPLACED, State.ENDED})
_FATE: Final = frozenset({State.LAPSED, State.DISPLACED, State.ENDED})
"""What others and time do to a policy in any state."""
_OFF_CHAIN: Final = frozenset({State.WAITING, State.OVERDUE, State.SIGNED})
"""Where a policy is that the chain doesn't show, also after a reorganisation."""

FOLLOWING: Final[Mapping[State, frozenset[State]]] = {
    State.DRAWN: frozenset({State.WAITING, State.SIGNED}),
    State.WAITING: frozenset({State.SIGNED, State.OVERDUE, State.WITHDRAWN}) | _FATE,
    State.OVERDUE: frozenset({State.SIGNED}) | _FATE,
    # Proxies keep their shares through a reorganisation, so that what comes back may serve at once.
    State.SIGNED: frozenset({State.OVERDUE, State.ON_CHAIN, State.SERVING, State.SERVED, State.DONE}) | _FATE,
    State.ON_CHAIN: frozenset({State.SERVING}) | _OFF_CHAIN | _FATE,
    State.SERVING: frozenset({State.SERVED, State.DONE}) | _OFF_CHAIN | _FATE,
    State.SERVED: frozenset({State.DONE}) | _OFF_CHAIN | _FATE,
    **{end: frozenset() for end in _ENDS},
}
"""Which states may follow each; none follows an end."""


def state_of(
    on_chain: OnChainPolicy | None,
    *,
    terms: bytes,
    due: int,
    deadline: int,
    expires_at: int,
    held: int,
    threshold: int,
    proxies: int,
    answered: bool,
    now: int,
) -> State:
    """Return the state of a grant that is written down.

    Args:
        on_chain: what the chain says of its policy; None if it doesn't know it.
        terms: the digest that was signed, 32 bytes.
        due: when it may be sent, Unix seconds; 0 for at once.
        deadline: until when its signature counts, Unix seconds, inclusive.
        expires_at: the end of its window, Unix seconds, exclusive.
        held: how many proxies took their share.
        threshold: how many proxies must help.
        proxies: how many proxies there are.
        answered: whether the patient has their answer.
        now: the time of the chain's newest block, Unix seconds.
    """
    if on_chain is None:
        # One that waits is signed anew, so only the end of its window bounds it.
        if (expires_at - 1 if due else deadline) < now:
            return State.LAPSED
        if due > now:
            return State.WAITING
        return State.OVERDUE if deadline < now else State.SIGNED
    # Revoked before it was granted: it never can be, and has no terms.
    if not on_chain.terms:
        return State.ENDED
    # The policy's owner signed other terms: another device of the patient drew the same number.
    if on_chain.terms != terms:
        return State.DISPLACED
    if has_ended(on_chain):
        return State.ENDED
    if held < threshold:
        return State.ON_CHAIN
    if not answered:
        return State.SERVING
    return State.SERVED if held < proxies else State.DONE


def advance(before: State, after: State) -> State:
    """Return the state that follows.

    Raises:
        ValueError: no life has this step, so the program that takes it is wrong.
    """
    if after is not before and after not in FOLLOWING[before]:
        raise ValueError(f"a grant that is {before.value} can't be {after.value} next")
    return after


def is_end(state: State) -> bool:
    """Tell whether nothing follows."""
    return state in _ENDS


def has_ended(policy: OnChainPolicy) -> bool:
    """Tell whether a policy opens nothing, now or later."""
    return policy.status not in (PolicyStatus.ACTIVE, PolicyStatus.NOT_YET)
