"""The sidechain: genuine identities, pairings, requests, emergencies and groups, for trusted nodes only.

Each contract has an adapter of its own in chain/contracts/; here they stand together for one node. An adapter loads
when it is asked for: no command needs all of them, and each brings the nouns of its events.
Nobody but operators needs ether there: persons sign and relays pay (ADR 22), or the chain takes no gas price.
Follows design section 6; contracts in contracts/sidechain/.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.chain.abi import contract
from panachain.chain.bound import Contracts
from panachain.chain.evm import Sender
from panachain.chain.signing import Account

if TYPE_CHECKING:
    from panachain.chain.contracts.access_requests import AccessRequests
    from panachain.chain.contracts.care_groups import CareGroups
    from panachain.chain.contracts.emergency_access import EmergencyAccess
    from panachain.chain.contracts.forwarder import Forwarder
    from panachain.chain.contracts.guardianships import Guardianships
    from panachain.chain.contracts.identity_registry import IdentityRegistry
    from panachain.chain.contracts.wardships import Wardships
    from panachain.chain.web3 import SidechainWeb3

_TAKES_BACK: Final = {
    # Whoever replaces keys takes back what they could do in the hands of others.
    "IdentityRegistry": ("unpair", "cancelRecovery", "cancelGuardians", "changeKeys"),
    "AccessRequests": ("deny", "withdraw"),
    "CareGroups": ("removeMember", "close"),
    "Wardships": ("end", "conclude"),
}
"""By contract, the functions by which a person takes something back, leaves or refuses."""


class Sidechain(Contracts):
    """The contracts of the sidechain."""

    @cached_property
    def identities(self) -> IdentityRegistry:
        """Patients and practitioners, and whom patients paired with."""
        from panachain.chain.contracts.identity_registry import IdentityRegistry

        return IdentityRegistry(self.bind("IdentityRegistry"))

    @cached_property
    def guardianships(self) -> Guardianships:
        """Who may move patients, and moves that were begun."""
        from panachain.chain.contracts.guardianships import Guardianships

        return Guardianships(self.bind("IdentityRegistry"))

    @cached_property
    def requests(self) -> AccessRequests:
        """Requests for access."""
        from panachain.chain.contracts.access_requests import AccessRequests

        return AccessRequests(self.bind("AccessRequests"))

    @cached_property
    def groups(self) -> CareGroups:
        """Care teams and departments."""
        from panachain.chain.contracts.care_groups import CareGroups

        return CareGroups(self.bind("CareGroups"), self.identities)

    @cached_property
    def emergency(self) -> EmergencyAccess:
        """Accesses in an emergency, with cosigner and review."""
        from panachain.chain.contracts.emergency_access import EmergencyAccess

        return EmergencyAccess(self.bind("EmergencyAccess"))

    @cached_property
    def wardships(self) -> Wardships | None:
        """Who acts for patients under care; None where the deployment is of before there was such a contract."""
        from panachain.chain.contracts.wardships import Wardships

        return Wardships(self.bind("Wardships")) if "Wardships" in self.addresses else None

    @cached_property
    def forwarder(self) -> Forwarder:
        """What makes calls in the name of whoever signed them, for whoever pays."""
        from panachain.chain.contracts.forwarder import Forwarder

        return Forwarder(self.bind("Forwarder"))

    def web3(self) -> SidechainWeb3:
        """Return web3.py, connected to this chain's node, with the contracts bound under `panachain`.

        For programs: importing it takes longer than a command runs, so commands have a path of their own (ADR 11).
        """
        from panachain.chain.web3 import SidechainWeb3

        return SidechainWeb3(self.rpc, self.addresses, self.from_block)

    def takes_back(self, to: str, data: bytes) -> bool:
        """Tell whether a call takes something back, leaves or refuses: nothing else may keep it waiting.

        Args:
            to: the contract.
            data: calldata.
        """
        names = {address.lower(): name for name, address in self.addresses.items()}
        functions = _TAKES_BACK.get(names.get(to.lower(), ""), ())
        return any(data[:4] == contract(names[to.lower()]).selector(function) for function in functions)

    def sender(self, account: Account, *, lock_folder: Path) -> Sender:
        """Return what sends an account's transactions: for nothing, unless this chain is a paid one."""
        free = not self.paid
        return Sender(self.rpc, self.chain_id, account, lock_folder=lock_folder, free=free, max_fee=self.max_fee)
