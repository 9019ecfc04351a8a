"""Deploy the contracts to both chains: the one script that `devnet up` and `ape run deploy` use.

Never keeps a key; the registrar's account becomes the administrator of both AccessManagers.
Follows design section 6: no upgradable proxies, a new version is a new address.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.chain.abi import address, contract
from panachain.chain.evm import Account, Sender
from panachain.chain.rpc import Rpc
from panachain.errors import TransactionError

_EMERGENCY_ROLE: Final = 1
"""AccessManager role that may suspend an identity: the registrar (as admin) and EmergencyAccess."""


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


def deploy(main_rpc: Rpc, side_rpc: Rpc, registrar_key: bytes, *, lock_folder: Path) -> Deployment:
    """Deploy everything and make the registrar the administrator.

    Args:
        main_rpc: the mainchain's node; the registrar must hold ether there.
        side_rpc: the sidechain's node; it takes no gas price.
        registrar_key: secret key of the registrar's account, 32 bytes.
        lock_folder: for the account's nonce lane.

    Raises:
        TransactionError: a creation reverts.
    """
    registrar = Account(registrar_key)
    return Deployment(
        _deploy_mainchain(_sender(main_rpc, registrar, lock_folder, free=False), main_rpc),
        _deploy_sidechain(_sender(side_rpc, registrar, lock_folder, free=True), side_rpc),
    )


def _deploy_mainchain(sender: Sender, rpc: Rpc) -> ChainDeployment:
    start = int(rpc.call("eth_blockNumber"), 16)
    manager = _create(sender, "AccessManager", sender.address)
    actors = _create(sender, "ActorRegistry", manager)
    contracts = {
        "AccessManager": manager,
        "ActorRegistry": actors,
        "RecordLedger": _create(sender, "RecordLedger", actors),
        "PolicyRegistry": _create(sender, "PolicyRegistry"),
        "AccessLog": _create(sender, "AccessLog", actors),
    }
    return ChainDeployment(_chain_id(rpc), contracts, start)


def _deploy_sidechain(sender: Sender, rpc: Rpc) -> ChainDeployment:
    start = int(rpc.call("eth_blockNumber"), 16)
    manager = _create(sender, "AccessManager", sender.address)
    identities = _create(sender, "IdentityRegistry", manager)
    emergency = _create(sender, "EmergencyAccess", manager, identities)
    contracts = {
        "AccessManager": manager,
        "IdentityRegistry": identities,
        "AccessRequests": _create(sender, "AccessRequests", identities),
        "EmergencyAccess": emergency,
    }
    # A missed review suspends: EmergencyAccess may call `suspend`, and so may the registrar.
    access = contract("AccessManager")
    suspend = contract("IdentityRegistry").selector("suspend")
    for data in (
        access.calldata("setTargetFunctionRole", identities, [suspend], _EMERGENCY_ROLE),
        access.calldata("grantRole", _EMERGENCY_ROLE, emergency, 0),
        access.calldata("grantRole", _EMERGENCY_ROLE, sender.address, 0),
    ):
        sender.send(manager, data, what="setting up the sidechain's roles")
    return ChainDeployment(_chain_id(rpc), contracts, start)


def _create(sender: Sender, name: str, *args: str) -> str:
    receipt = sender.send(None, contract(name).creation(*args), what=f"creating {name}")
    if receipt.contract is None:
        raise TransactionError(f"creating {name}: transaction {receipt.tx_hash} made no contract")
    return address(receipt.contract)


def _sender(rpc: Rpc, account: Account, lock_folder: Path, *, free: bool) -> Sender:
    return Sender(rpc, _chain_id(rpc), account, lock_folder=lock_folder, free=free)


def _chain_id(rpc: Rpc) -> int:
    return int(rpc.call("eth_chainId"), 16)
