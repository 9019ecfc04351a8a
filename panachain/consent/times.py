"""Times that can be believed: which head of a chain counts now, what a receipt states, and when a window is over.

Pure: heads and clocks come in as arguments. No clock ever opens a window, and no head alone ever closes one for good: a
node may lie about the time, and so may a clock that nobody set. Follows security rule 19 and design section 8 (Proxy).
"""

from __future__ import annotations

from typing import Final

from panachain.errors import ChainUnavailableError
from panachain.model.policy import OnChainPolicy, PolicyStatus

MAX_AHEAD: Final = 30
"""Seconds by which a head may be ahead of a proxy's clock: a validator's block of now, by a clock set over NTP."""
MAX_DIFFERENCE: Final = 120
"""Seconds by which the clock of a patient's or reader's machine may differ from the chain's."""
MARGIN: Final = 600
"""Seconds that a window has been over, by chain and clock, before what belongs to it is deleted for good."""


def check_head(time: int, *, now: float, max_ahead: int, max_age: int | None = None) -> None:
    """Check that a head's time fits the clock of whoever looks at it.

    Args:
        time: of the head, Unix seconds.
        now: by the clock, Unix seconds.
        max_ahead: seconds by which the head may be later.
        max_age: seconds by which it may be earlier; None takes any age.

    Raises:
        ChainUnavailableError: it is from the future, or too old.
    """
    age = int(now) - time
    if age < -max_ahead:
        raise ChainUnavailableError(
            f"the mainchain's head is {-age} s ahead of this machine's clock, at most {max_ahead} s are believed; the "
            "node or the clock is wrong",
            hint="compare this machine's clock with another one; if it is right, use another node",
        )
    if max_age is not None and age > max_age:
        raise ChainUnavailableError(f"the mainchain's head is {age} s old, at most {max_age} s are served")


def stated_time(policy: OnChainPolicy, *, now: float) -> int:
    """Return the time that a receipt states, Unix seconds: of the block that was looked at, or the clock's if earlier.

    A receipt later than the truth would convict an honest proxy once the patient revokes. Never before the policy's
    begin, which would convict it too.

    Args:
        policy: as the block that was looked at has it.
        now: by the proxy's clock, Unix seconds.
    """
    return min(policy.block_time, max(int(now), policy.starts_at))


def is_over_for_good(policy: OnChainPolicy, *, now: float) -> bool:
    """Tell whether a policy can never be served again, so that what belongs to it may be deleted.

    Args:
        policy: as a confirmed block has it.
        now: by the proxy's clock, Unix seconds.
    """
    if policy.status is PolicyStatus.REVOKED:
        return True
    # Both have to say so: the chain, whose word decides, and the clock, which no node can move.
    return policy.status is PolicyStatus.EXPIRED and int(now) >= policy.expires_at + MARGIN
