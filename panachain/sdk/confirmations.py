"""Waiting until a grant is as deep in the chain as the proxies want it before they take its shares.

Never sends anything: a wait that ends early loses nothing, because the grant is written down (sdk/grant_journal.py).
Follows design section 8 (Grant) and docs/spec/network.md (`confirmations`).
"""

from __future__ import annotations

from typing import Final

from panachain.chain import anvil
from panachain.consent.life import has_ended
from panachain.errors import ChainUnavailableError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy
from panachain.sdk.network import Network

POLL: Final = 0.5
"""Seconds between two questions to the node: a quarter of a block of 2 s."""
LAGGING: Final = 30.0
"""Seconds that nodes get to show a grant of which others said that it was mined."""
STALLED: Final = 120.0
"""Seconds without a new block after which nobody waits any more: ten slots of Ethereum's mainnet."""


class Confirmations:
    """Waits for the blocks of one network; a chain that stalls is waited for once, however many grants there are."""

    def __init__(self, network: Network) -> None:
        """Take the network, whose clock, sleep and `confirmations` count."""
        self._network = network
        self._newest = -1
        self._since = 0.0

    def wait(self, policy_id: PolicyId) -> OnChainPolicy | None:
        """Return a policy of the newest block once its grant is deep enough, or has ended meanwhile.

        Returns:
            None if the chain doesn't show it, or shows it no more, because its block was replaced.

        Raises:
            ChainUnavailableError: the chain makes no block for `STALLED` seconds.
        """
        policies, needed, depth = self._network.mainchain.policies, self._network.confirmations, 0
        while True:
            found = self.shown(policy_id)
            if found is None or has_ended(found) or self.is_deep(policy_id):
                return found
            while depth + 1 < needed and policies.is_confirmed(policy_id, depth + 1):
                depth += 1
            self._network.tell(depth, needed, unit="confirmations")
            self._check_growing(policy_id, found.block)
            self._pass_time()

    def shown(self, policy_id: PolicyId) -> OnChainPolicy | None:
        """Return a policy that was on chain already, as it is now; None if it isn't there any more.

        Of several nodes those that lag show a head before it: they get some time, since a block that was really
        replaced stays away.
        """
        until = self._network.clock() + LAGGING if self._network.several_nodes else 0.0
        while True:
            found = self._network.mainchain.policies.policies_of([policy_id]).get(policy_id)
            if found is not None or self._network.clock() >= until:
                return found
            self._network.sleep(POLL)

    def is_deep(self, policy_id: PolicyId) -> bool:
        """Tell whether a grant is as deep as the proxies want it now."""
        needed = self._network.confirmations
        return not needed or self._network.mainchain.policies.is_confirmed(policy_id, needed)

    def _pass_time(self) -> None:
        # A development chain makes a block only when something happens: it is asked for the one that is waited for.
        if self._network.faucet:
            anvil.mine(self._network.mainchain.rpc)
        else:
            self._network.sleep(POLL)

    def _check_growing(self, policy_id: PolicyId, newest: int) -> None:
        now = self._network.clock()
        # An older one than before is the word of nodes that lag, and none that was made.
        if newest > self._newest:
            self._newest, self._since = newest, now
        elif now - self._since >= STALLED:
            raise ChainUnavailableError(
                f"policy {policy_id} is on chain, and not deep enough for the proxies to take its shares (blocks that "
                f"must follow: {self._network.confirmations}): the mainchain has been at block {self._newest} for "
                f"{now - self._since:.0f} s",
                hint="the policy stays; the same call, or panachain settle, goes on once the chain does",
            )
