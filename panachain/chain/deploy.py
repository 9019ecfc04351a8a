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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.abi import address, contract
from panachain.chain.evm import Sender
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
class ChainDeployment:
    """The contracts of one chain."""

    chain_id: int
    contracts: dict[str, str]
    from_block: int


@dataclass(frozen=True)
class Deployment:
    """The contracts of both chains."""

    mainchain: ChainDeployment
    sidechain: ChainDeployment


def deploy(
    main_rpc: Rpc, side_rpc: Rpc, deployer_key: bytes, governance: Governance, *, side_key: bytes, lock_folder: Path
) -> Deployment:
    """Deploy everything and hand it over.

    Args:
        main_rpc: the mainchain's node; the deployer must hold ether there.
        side_rpc: the sidechain's node; it takes no gas price.
        deployer_key: secret key of the mainchain's deployer, who is neither registrar nor administrator, 32 bytes.
        governance: who is in charge afterwards.
        side_key: secret key of the sidechain's deployer, 32 bytes: for him the same holds, and it is another account.
        lock_folder: for the accounts' nonce lanes.

    Raises:
        UsageError: a deployer is registrar or administrator, or one account deploys both; nothing was deployed.
        TransactionError: a creation reverts.
    """
    main_deployer, side_deployer = Account(deployer_key), Account(side_key)
    for deployer in (main_deployer, side_deployer):
        # He resigns at the end: an administrator of the same account would be gone for good.
        if deployer.address in (governance.registrar, governance.admin):
            raise UsageError(f"the deployer {deployer.address} is registrar or administrator; nothing was deployed")
    if main_deployer.address == side_deployer.address:
        raise UsageError(f"{side_deployer.address} can't deploy both chains, to equal addresses; nothing was deployed")
    main = _sender(main_rpc, main_deployer, lock_folder, free=False)
    side = _sender(side_rpc, side_deployer, lock_folder, free=True)
    return Deployment(
        _deploy_mainchain(main, main_rpc, governance, sidechain_id=_chain_id(side_rpc)),
        _deploy_sidechain(side, side_rpc, governance),
    )


def _deploy_mainchain(sender: Sender, rpc: Rpc, governance: Governance, *, sidechain_id: int) -> ChainDeployment:
    start = int(rpc.call("eth_blockNumber"), 16)
    manager = _create(sender, "AccessManager", sender.address)
    policies = _create(sender, "PolicyRegistry")
    actors = _create(sender, "ActorRegistry", manager, policies)
    validators = sorted(governance.validators, key=str.lower)
    contracts = {
        "AccessManager": manager,
        "ActorRegistry": actors,
        # The registry made these two itself, so that nobody can wire them to another one.
        "RecordLedger": _made_by(rpc, actors, "recordLedger"),
        "AccessLog": _made_by(rpc, actors, "accessLog"),
        "PolicyRegistry": policies,
        "Checkpoints": _create(sender, "Checkpoints", manager, sidechain_id, validators, governance.quorum),
    }
    _set_roles(sender, contracts, governance, {"ActorRegistry": {REGISTRAR: ("register", "suspend", "reinstate")}}, {})
    return ChainDeployment(_chain_id(rpc), contracts, start)


def _deploy_sidechain(sender: Sender, rpc: Rpc, governance: Governance) -> ChainDeployment:
    start = int(rpc.call("eth_blockNumber"), 16)
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
    _set_roles(sender, contracts, governance, functions, {SUSPENDER: (emergency, governance.registrar)})
    return ChainDeployment(_chain_id(rpc), contracts, start)


def _set_roles(
    sender: Sender,
    contracts: Mapping[str, str],
    governance: Governance,
    functions: Mapping[str, Mapping[int, tuple[str, ...]]],
    members: Mapping[int, tuple[str, ...]],
) -> None:
    """Say which role may call what, appoint, and leave."""
    calls: list[tuple[Any, ...]] = [
        ("labelRole", REGISTRAR, "REGISTRAR"),
        ("labelRole", SUSPENDER, "SUSPENDER"),
    ]
    for name, roles in functions.items():
        for role, names in roles.items():
            selectors = [contract(name).selector(function) for function in names]
            calls.append(("setTargetFunctionRole", contracts[name], selectors, role))
    for role, accounts in ({REGISTRAR: (governance.registrar,)} | dict(members)).items():
        calls += [("grantRole", role, account, 0) for account in accounts]
    # An appointment counts after the delay, so that whoever is in charge can take it back. AccessManager lets each
    # change of this delay begin five days later (`minSetback`), the first one too.
    calls += [("setGrantDelay", role, governance.delay) for role in (REGISTRAR, SUSPENDER)]
    calls += [
        ("grantRole", ADMIN, governance.admin, governance.delay),
        ("setGrantDelay", ADMIN, governance.delay),
        ("renounceRole", ADMIN, sender.address),
    ]
    for call in calls:
        data = contract("AccessManager").calldata(*call)
        sender.send(contracts["AccessManager"], data, what=f"setting up roles ({call[0]})")


def _create(sender: Sender, name: str, *args: Any) -> str:
    receipt = sender.send(None, contract(name).creation(*args), what=f"creating {name}")
    if receipt.contract is None:
        raise TransactionError(f"creating {name}: transaction {receipt.tx_hash} made no contract")
    return address(receipt.contract)


def _made_by(rpc: Rpc, registry: str, function: str) -> str:
    actors = contract("ActorRegistry")
    answer = rpc.call("eth_call", [{"to": registry, "data": actors.calldata(function)}, "latest"])
    return address(actors.result(function, answer))


def _sender(rpc: Rpc, account: Account, lock_folder: Path, *, free: bool) -> Sender:
    return Sender(rpc, _chain_id(rpc), account, lock_folder=lock_folder, free=free)


def _chain_id(rpc: Rpc) -> int:
    return int(rpc.call("eth_chainId"), 16)
