"""Deploy the contracts to both chains: the one script that `devnet up` and `ape run deploy` use.

Never keeps a key. Different accounts deploy the two chains: a contract's address follows from its creator's, and no
value of 16 bytes or more may be on both (design section 5). What is dangerous waits: the administrator of both
AccessManagers acts after a delay only, a new administrator or registrar counts after a second one, and the deployers
have no power left when this returns. That second delay exists from five days after the deployment on, AccessManager's
own setback; before, there is the first.
Follows design section 6 (no upgradable proxies, a new version is a new address) and docs/security/contracts.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from panachain.chain import node
from panachain.chain.abi import address, contract
from panachain.chain.bound import BoundContract
from panachain.chain.config import ChainConfig
from panachain.chain.contracts.access_manager import AccessManager
from panachain.chain.contracts.actor_registry import ActorRegistry
from panachain.chain.evm import Sender
from panachain.chain.headers import read_header
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.errors import TransactionError, UsageError
from panachain.model.actors import Address

ADMIN: Final = 0
"""AccessManager role: changes roles, and the sidechain's validators."""
REGISTRAR: Final = 1
"""AccessManager role: admits, suspends, reinstates, and holds reviews."""
SUSPENDER: Final = 2
"""AccessManager role: suspends persons; the registrar, and EmergencyAccess for a missed review."""
DELAY: Final = 2 * 86_400
"""Seconds between an administrator's announcement and its effect, by default."""


@dataclass(frozen=True)
class Governance:
    """Who may do what after the deployment. Each may be a contract, such as a multisig."""

    registrar: Address
    admin: Address
    validators: tuple[Address, ...]
    """Whose signatures checkpoint the sidechain."""
    quorum: int
    """How many of them are needed."""
    delay: int = DELAY
    """Seconds."""


@dataclass(frozen=True)
class Deployment:
    """The contracts of both chains, behind the nodes by which they were deployed."""

    mainchain: ChainConfig
    sidechain: ChainConfig


def deploy(
    main_rpc: Rpc, side_rpc: Rpc, deployer_key: bytes, governance: Governance, *, side_key: bytes, lock_folder: Path
) -> Deployment:
    """Deploy everything and hand it over.

    Args:
        main_rpc: the mainchain's node; the deployer must hold ether there.
        side_rpc: the sidechain's node; it takes no gas price.
        deployer_key: secret key of the mainchain's deployer, who is neither registrar nor administrator, 32 bytes.
        governance: who is in charge afterwards.
        side_key: secret key of the sidechain's deployer, 32 bytes: the same holds for it, and it is another account.
        lock_folder: for the accounts' nonce lanes.

    Raises:
        UsageError: a deployer is registrar or administrator, or one account deploys both; nothing was deployed.
        TransactionError: a creation reverts.
    """
    main_deployer, side_deployer = Account(deployer_key), Account(side_key)
    for deployer in (main_deployer, side_deployer):
        # The deployer resigns at the end: an administrator of the same account would be gone for good.
        if deployer.address in (governance.registrar, governance.admin):
            raise UsageError(f"the deployer {deployer.address} is registrar or administrator; nothing was deployed")
    if main_deployer.address == side_deployer.address:
        raise UsageError(f"{side_deployer.address} can't deploy both chains, to equal addresses; nothing was deployed")
    main = _sender(main_rpc, main_deployer, lock_folder, free=False)
    side = _sender(side_rpc, side_deployer, lock_folder, free=True)
    return Deployment(
        _deploy_mainchain(main, main_rpc, governance, sidechain_id=node.chain_id(side_rpc)),
        _deploy_sidechain(side, side_rpc, governance),
    )


def _deploy_mainchain(sender: Sender, rpc: Rpc, governance: Governance, *, sidechain_id: int) -> ChainConfig:
    start = node.block_number(rpc)
    manager = _create(sender, "AccessManager", sender.address)
    policies = _create(sender, "PolicyRegistry")
    actors = _create(sender, "ActorRegistry", manager, policies)
    registry = ActorRegistry(_bound(rpc, "ActorRegistry", actors))
    # The contract takes them ascending, so that it sees in one pass that none stands twice.
    validators = sorted(governance.validators, key=str.lower)
    contracts = {
        "AccessManager": manager,
        "ActorRegistry": actors,
        # The registry made these two itself, so that nobody can wire them to another one.
        "RecordLedger": registry.record_ledger(),
        "AccessLog": registry.access_log(),
        "PolicyRegistry": policies,
        "Checkpoints": _create(sender, "Checkpoints", manager, sidechain_id, validators, governance.quorum),
    }
    _set_roles(
        sender, rpc, contracts, governance, {"ActorRegistry": {REGISTRAR: ("register", "suspend", "reinstate")}}, {}
    )
    return _described(rpc, sender.chain_id, contracts, start)


def _deploy_sidechain(sender: Sender, rpc: Rpc, governance: Governance) -> ChainConfig:
    start = node.block_number(rpc)
    manager = _create(sender, "AccessManager", sender.address)
    identities = _create(sender, "IdentityRegistry", manager)
    emergency = _create(sender, "EmergencyAccess", manager, identities)
    contracts = {
        "AccessManager": manager,
        "IdentityRegistry": identities,
        "AccessRequests": _create(sender, "AccessRequests", identities),
        "EmergencyAccess": emergency,
        "CareGroups": _create(sender, "CareGroups", manager, identities),
    }
    functions: dict[str, dict[int, tuple[str, ...]]] = {
        "IdentityRegistry": {REGISTRAR: ("register", "reinstate"), SUSPENDER: ("suspend",)},
        "EmergencyAccess": {REGISTRAR: ("review",)},
        "CareGroups": {REGISTRAR: ("closeByRegistrar",)},
    }
    _set_roles(sender, rpc, contracts, governance, functions, {SUSPENDER: (emergency, governance.registrar)})
    return _described(rpc, sender.chain_id, contracts, start)


def _set_roles(
    sender: Sender,
    rpc: Rpc,
    contracts: Mapping[str, str],
    governance: Governance,
    functions: Mapping[str, Mapping[int, tuple[str, ...]]],
    members: Mapping[int, tuple[Address, ...]],
) -> None:
    """Say which role may call what, appoint, and leave."""
    manager = AccessManager(_bound(rpc, "AccessManager", contracts["AccessManager"]))
    for role, label in ((REGISTRAR, "REGISTRAR"), (SUSPENDER, "SUSPENDER")):
        manager.label_role(sender, role, label)
    for name, roles in functions.items():
        for role, names in roles.items():
            selectors = [contract(name).selector(function) for function in names]
            manager.set_target_function_role(sender, contracts[name], selectors, role)
    for role, accounts in ({REGISTRAR: (governance.registrar,)} | dict(members)).items():
        for account in accounts:
            manager.grant_role(sender, role, account)
    # An appointment counts after the delay, so that whoever is in charge can take it back. AccessManager lets each
    # change of this delay begin five days later (`minSetback`), the first one too.
    for role in (REGISTRAR, SUSPENDER):
        manager.set_grant_delay(sender, role, governance.delay)
    manager.grant_role(sender, ADMIN, governance.admin, governance.delay)
    manager.set_grant_delay(sender, ADMIN, governance.delay)
    # Last of all: until here only the deployer may do any of this.
    manager.renounce_role(sender, ADMIN)


def _create(sender: Sender, name: str, *args: Any) -> Address:
    receipt = sender.send(None, contract(name).creation(*args), what=f"creating {name}")
    if receipt.contract is None:
        raise TransactionError(f"creating {name}: transaction {receipt.tx_hash} made no contract")
    return Address(address(receipt.contract))


def _described(rpc: Rpc, chain_id: int, contracts: Mapping[str, str], start: int) -> ChainConfig:
    """Return the chain's description, with the block before the first contract, by which it is known again."""
    config = ChainConfig.at(rpc.url, chain_id, contracts, start)
    return replace(config, from_block_hash=read_header(rpc.call("eth_getBlockByNumber", [hex(start), False])).hash)


def _bound(rpc: Rpc, name: str, where: str) -> BoundContract:
    return BoundContract(rpc, name, where, chain_id=node.chain_id(rpc))


def _sender(rpc: Rpc, account: Account, lock_folder: Path, *, free: bool) -> Sender:
    return Sender(rpc, node.chain_id(rpc), account, lock_folder=lock_folder, free=free)
