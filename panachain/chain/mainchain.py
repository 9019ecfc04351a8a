"""The mainchain: public actors, storage transactions, policy transactions, log anchors and checkpoints.

Each contract has an adapter of its own in chain/contracts/; here they stand together for one node. An adapter loads
when it is asked for: no command needs all of them, and each brings the nouns of its events.
Follows design section 6; the contracts are in contracts/mainchain/.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from panachain.chain.bound import Contracts
from panachain.chain.evm import Sender
from panachain.chain.signing import Account

if TYPE_CHECKING:
    from panachain.chain.contracts.access_log import AccessLog
    from panachain.chain.contracts.actor_registry import ActorRegistry
    from panachain.chain.contracts.checkpoints import Checkpoints
    from panachain.chain.contracts.policy_registry import PolicyRegistry
    from panachain.chain.contracts.record_ledger import RecordLedger
    from panachain.chain.web3 import MainchainWeb3


class Mainchain(Contracts):
    """The contracts of the mainchain, and its blocks."""

    @cached_property
    def actors(self) -> ActorRegistry:
        """Who takes part publicly."""
        from panachain.chain.contracts.actor_registry import ActorRegistry

        return ActorRegistry(self.bind("ActorRegistry"))

    @cached_property
    def ledger(self) -> RecordLedger:
        """Storage transactions."""
        from panachain.chain.contracts.record_ledger import RecordLedger

        return RecordLedger(self.bind("RecordLedger"))

    @cached_property
    def policies(self) -> PolicyRegistry:
        """Policy transactions."""
        from panachain.chain.contracts.policy_registry import PolicyRegistry

        return PolicyRegistry(self.bind("PolicyRegistry"))

    @cached_property
    def log(self) -> AccessLog:
        """Anchors of the proxies' logs, and evidence against proxies."""
        from panachain.chain.contracts.access_log import AccessLog

        return AccessLog(self.bind("AccessLog"))

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Hashes of the sidechain's blocks."""
        from panachain.chain.contracts.checkpoints import Checkpoints

        return Checkpoints(self.bind("Checkpoints"))

    def web3(self) -> MainchainWeb3:
        """Return web3.py, connected to this chain's node, with the contracts bound under `panachain`.

        For programs: importing it takes longer than a command runs, so commands have a path of their own (ADR 11).
        """
        from panachain.chain.web3 import MainchainWeb3

        return MainchainWeb3(self.rpc, self.addresses, self.from_block)

    def sender(self, account: Account, *, lock_folder: Path) -> Sender:
        """Return what sends an account's transactions."""
        return Sender(self.rpc, self.chain_id, account, lock_folder=lock_folder, max_fee=self.max_fee)
