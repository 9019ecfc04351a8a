"""Who is in charge of a chain's contracts, read by web3.py: an administrator's view, and a deployment's check.

It stands on web3.py and OpenZeppelin's ABI alone, so that a fault in our own encoding can't hide a fault in what it set
up. It never changes anything. Follows docs/security/contracts.md and OpenZeppelin's IAccessManager.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from panachain.chain.deploy import ADMIN, REGISTRAR, SUSPENDER, Deployment, Governance
from panachain.errors import IntegrityError
from panachain.model.actors import Address

if TYPE_CHECKING:
    from web3.contract import Contract

    from panachain.chain.web3 import Contracts, MainchainWeb3, SidechainWeb3

ROLES: Final = {ADMIN: "administrator", REGISTRAR: "registrar", SUSPENDER: "suspender"}
"""What the roles of our AccessManagers are called."""


@dataclass(frozen=True)
class Appointment:
    """An account that has a role now."""

    role: int
    account: Address
    delay: int
    """Seconds between what it announces and its effect."""

    @property
    def title(self) -> str:
        """The role's name."""
        return ROLES.get(self.role, f"role {self.role}")


def appointments(contracts: Contracts) -> list[Appointment]:
    """Return who has which role on one chain, by role and then by account.

    Args:
        contracts: `w3.panachain` of the chain.
    """
    manager = contracts.manager
    # Events say who may have a role; whether they still do, the contract says.
    granted = manager.events.RoleGranted().get_logs(from_block=contracts.from_block)
    found = []
    for role, account in sorted({(int(log["args"]["roleId"]), str(log["args"]["account"])) for log in granted}):
        has, delay = manager.functions.hasRole(role, account).call()
        if has:
            found.append(Appointment(role, Address(account), int(delay)))
    return found


def check_deployment(main: MainchainWeb3, side: SidechainWeb3, deployment: Deployment, governance: Governance) -> None:
    """Check that both chains are governed as the deployment was told, and by nobody else, its deployers for example.

    Raises:
        IntegrityError: somebody has a role who shouldn't, or lacks one; or a contract has another manager.
    """
    emergency = Address(deployment.sidechain.contracts["EmergencyAccess"])
    expected = {(ADMIN, governance.admin, governance.delay), (REGISTRAR, governance.registrar, 0)}
    wardships = Address(deployment.sidechain.contracts["Wardships"])
    suspenders = {(SUSPENDER, who, 0) for who in (emergency, wardships, governance.registrar)}
    for name, contracts, wanted in (
        ("mainchain", main.panachain, expected),
        ("sidechain", side.panachain, expected | suspenders),
    ):
        actual = {(one.role, one.account, one.delay) for one in appointments(contracts)}
        if actual != wanted:
            raise IntegrityError(f"the {name}'s roles are {_words(actual)}, they should be {_words(wanted)}")
    _check_managed(main.panachain, main.panachain.actors, main.panachain.checkpoints)
    _check_managed(side.panachain, side.panachain.identities, side.panachain.groups, side.panachain.emergency)
    _check_managed(side.panachain, side.panachain.wardships)


def _check_managed(contracts: Contracts, *managed: Contract) -> None:
    for one in managed:
        if one.functions.authority().call() != contracts.manager.address:
            raise IntegrityError(f"the contract {one.address} isn't managed by {contracts.manager.address}")


def _words(roles: set[tuple[int, Address, int]]) -> str:
    return ", ".join(f"{ROLES.get(role, role)} {account} ({delay} s)" for role, account, delay in sorted(roles))
