"""The contracts on ape's local chain: deployed anew for each test from what ape compiles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.evm import Account
from panachain.chain.mainchain import Grant, Mainchain
from panachain.crypto.keys import Seed
from scripts.setup_solc import setup

os.environ["SOLCX_BINARY_PATH"] = str(setup())
ROOT = Path(__file__).resolve().parents[2]
KEY = b"\x02" + bytes(31) + b"\x01"


@pytest.fixture
def registrar(accounts: Any) -> Any:
    return accounts[0]


@pytest.fixture
def hospital(accounts: Any) -> Any:
    return accounts[1]


@pytest.fixture
def relay(accounts: Any) -> Any:
    return accounts[2]


@pytest.fixture
def stranger(accounts: Any) -> Any:
    return accounts[3]


@pytest.fixture
def manager(registrar: Any) -> Any:
    from ape.contracts import ContractContainer
    from ethpm_types import ContractType

    artifact = json.loads((ROOT / "panachain/chain/artifacts/AccessManager.json").read_text())
    contract_type = ContractType.model_validate(
        {
            "contractName": "AccessManager",
            "abi": artifact["abi"],
            "deploymentBytecode": {"bytecode": artifact["bytecode"]},
            "runtimeBytecode": {"bytecode": artifact["deployedBytecode"]},
        }
    )
    return registrar.deploy(ContractContainer(contract_type), registrar)


@pytest.fixture
def actors(project: Any, registrar: Any, manager: Any) -> Any:
    return registrar.deploy(project.ActorRegistry, manager)


@pytest.fixture
def ledger(project: Any, registrar: Any, actors: Any) -> Any:
    return registrar.deploy(project.RecordLedger, actors)


@pytest.fixture
def access_log(project: Any, registrar: Any, actors: Any) -> Any:
    return registrar.deploy(project.AccessLog, actors)


@pytest.fixture
def policies(project: Any, registrar: Any) -> Any:
    return registrar.deploy(project.PolicyRegistry)


@pytest.fixture
def identities(project: Any, registrar: Any, manager: Any) -> Any:
    return registrar.deploy(project.IdentityRegistry, manager)


@dataclass
class Owner:
    """A policy's one-time key and what it signs."""

    account: Account
    chain: Mainchain
    now: Callable[[], int]

    @property
    def address(self) -> str:
        return self.account.address

    def grant(self, **change: Any) -> Grant:
        fields = {"owner": self.address, "starts_at": self.now() - 10, "expires_at": self.now() + 1000}
        return Grant(**(fields | {"terms": b"t" * 32} | change))

    def sign_grant(self, grant: Grant, deadline: int) -> bytes:
        return self.chain.sign_grant(self.account, grant, deadline)

    def sign_revoke(self, deadline: int) -> bytes:
        return self.chain.sign_revoke(self.account, deadline)


@pytest.fixture
def owner(policies: Any, chain: Any) -> Owner:
    # Only the domain is used: chain ID and contract address.
    mainchain = Mainchain(SimpleNamespace(), {"PolicyRegistry": policies.address}, chain.chain_id)  # type: ignore[arg-type]
    return Owner(Account(Seed.random().account_key()), mainchain, lambda: int(chain.pending_timestamp))
