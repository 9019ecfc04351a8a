"""The access rules: the same pure function in the SDK and in every proxy.

Knows no clock, chain or network: state and time come in as arguments. Follows design section 8 (Open, step 2).
"""

from __future__ import annotations

from panachain.errors import (
    OutOfScopeError,
    PolicyExpiredError,
    PolicyNotActiveError,
    PolicyRevokedError,
    PolicyUnknownError,
    SuspendedError,
)
from panachain.model.actors import Address, Status
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.model.scope import Purpose


def check_access(
    policy: OnChainPolicy,
    *,
    grantee: Address,
    requester: Address,
    requester_status: Status,
    is_member: bool,
    purpose: Purpose,
    purposes: tuple[Purpose, ...],
    terms: bytes,
    revocation_in_sight: bool,
) -> None:
    """Check that `requester` may open records under `policy` at the time of the block at which it was read.

    Args:
        policy: what the mainchain says, pinned to one block; that block's time decides, not a local clock.
        grantee: to whom the patient granted it: a person, or a group.
        requester: the person who asks.
        requester_status: what the chains say of the requester.
        is_member: whether the sidechain counts them to the group `grantee`; False where the grantee is no group.
        purpose: what they ask for.
        purposes: what the terms allow.
        terms: digest of the terms that the checker holds, 32 bytes.
        revocation_in_sight: a revocation is mined or waits to be (security rule 3).

    Raises:
        PolicyRevokedError: the patient took the permission back.
        PolicyUnknownError: it was never granted.
        PolicyNotActiveError: the block's time is before the window.
        PolicyExpiredError: the block's time is at or after its end.
        OutOfScopeError: another requester, purpose or terms than granted.
        SuspendedError: the requester isn't active.
    """
    # The revocation comes first: it must hold whatever else is wrong.
    if revocation_in_sight or policy.status is PolicyStatus.REVOKED:
        raise PolicyRevokedError(f"policy {policy.policy_id} was revoked by the patient")
    if policy.status is PolicyStatus.UNKNOWN:
        raise PolicyUnknownError(f"no policy {policy.policy_id} is granted at block {policy.block}")
    # Half open, as the contract has it: startsAt <= t < expiresAt.
    if policy.block_time < policy.starts_at:
        raise PolicyNotActiveError(
            f"policy {policy.policy_id} starts at {policy.starts_at}, block {policy.block} is of {policy.block_time}"
        )
    if policy.block_time >= policy.expires_at:
        raise PolicyExpiredError(
            f"policy {policy.policy_id} ended at {policy.expires_at}, block {policy.block} is of {policy.block_time}"
        )
    # The window fits and yet it isn't active: a node whose answer contradicts itself gives nobody access.
    if policy.status is not PolicyStatus.ACTIVE:
        raise PolicyNotActiveError(f"policy {policy.policy_id} is {policy.status.name.lower()} at block {policy.block}")
    # The chain names the terms by their digest. Others, signed by the same patient for another policy, must not pass.
    if policy.terms != terms:
        raise OutOfScopeError(f"policy {policy.policy_id} was granted with other terms")
    # Asked of the sidechain at the time of the request: membership isn't in the terms and changes without the patient.
    if requester != grantee and not is_member:
        raise OutOfScopeError(f"policy {policy.policy_id} wasn't granted to {requester}")
    if purpose not in purposes:
        raise OutOfScopeError(f"policy {policy.policy_id} doesn't allow the purpose {purpose.value}")
    if requester_status is not Status.ACTIVE:
        raise SuspendedError(f"{requester} is {requester_status.name.lower()} in the IdentityRegistry")
