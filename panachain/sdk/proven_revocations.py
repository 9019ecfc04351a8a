"""Whether the registry keeps a revocation: proven by its storage, and asked for in covers of others' revocations.

A node that proves sees which policies are asked for. So it is asked for all that were revoked about the same time, a
set that is the same whoever of them asks. Follows EIP-1186 (eth_getProof), security rules 9 and 19, and ADR 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from panachain.chain.mainchain import Mainchain
from panachain.chain.nodes import ReorganisedError
from panachain.chain.proven import KeptPolicy, prove_policies
from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.model.actors import PolicyId
from panachain.model.transactions import PolicyEvent

COVER: Final = 16
"""Policies that are asked for together, at least, where so many were ever revoked."""


class ProvenRevocations:
    """The revocations of one chain."""

    def __init__(self, mainchain: Mainchain) -> None:
        """Take the chain."""
        self._mainchain = mainchain

    def check(self, event: PolicyEvent) -> None:
        """Check that the registry keeps a revocation whose event the chain shows.

        Raises:
            IntegrityError: it doesn't, or no node proves it.
            ChainUnavailableError: no node answers, or their head is older than the event, or of another history.
        """
        revoked = list(self._mainchain.policies.events(kind="PolicyRevoked"))
        asked = cover([(one.block, one.policy_id) for one in revoked], event.block)
        kept = dict(zip(asked, self._kept(asked, event), strict=True))
        if event.policy_id not in kept or not kept[event.policy_id].revoked_at:
            raise IntegrityError(
                f"the chain shows that policy {event.policy_id} was revoked in block {event.block}, and the contract's"
                " storage doesn't have it"
            )

    def _kept(self, policy_ids: Sequence[PolicyId], event: PolicyEvent) -> list[KeptPolicy]:
        """Return what the registry keeps of some policies, under a head that stands on an event's block."""
        nodes = self._mainchain.nodes
        header = nodes.head()
        # No lie: a node that lags may answer after one that doesn't.
        if header.number < event.block:
            raise ChainUnavailableError(
                f"{', '.join(nodes.urls)} show block {header.number} as the newest; {event.block} was seen before"
            )
        if nodes.header_at(event.block).hash != event.block_hash:
            raise ReorganisedError(f"block {event.block} was replaced while its revocation was looked at")
        return prove_policies(self._mainchain, header, policy_ids)


def cover(revoked: Sequence[tuple[int, PolicyId]], block: int) -> list[PolicyId]:
    """Return the policies that are asked for with one that was revoked in a block, in an order that says nothing.

    Those of the smallest range of 2^k blocks, beginning at a multiple of 2^k, that has enough of them.

    Args:
        revoked: block and policy of every revocation.
        block: in which the one was revoked that matters.
    """
    size = 1
    while True:
        found = [policy_id for at, policy_id in revoked if at // size == block // size]
        if len(found) >= COVER or len(found) == len(revoked):
            return sorted(found)
        size *= 2
