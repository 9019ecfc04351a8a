"""The contracts as they ship, on ape's local chain: deployed once, and what a test does to them is taken back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.chain.mainchain import Mainchain
from panachain.chain.signing import Account
from panachain.crypto.keys import Seed
from panachain.model.transactions import Grant
from tests.contracts import audit_runs

ROOT = Path(__file__).resolve().parents[2]
# scripts/mutate_contracts.py names the folder of a mutant.
ARTIFACTS = Path(os.environ.get("PANA_ARTIFACTS", ROOT / "panachain/chain/artifacts"))
KEYS = b"k" * 32
"""The digest of a key block."""
NOBODY = "0x" + "00" * 20
REGISTRAR, SUSPENDER = 1, 2
"""Roles of the access manager."""
HOSPITAL, PROXY, RESEARCHER = 1, 2, 3
"""`ActorRegistry.Role`."""
PATIENT, PRACTITIONER = 1, 2
"""`IdentityRegistry.Role`."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin the audit at once and ask for it last: it takes minutes of the second core."""
    last = [item for item in items if item.path.name == "test_audit.py"]
    if last and not config.option.collectonly:
        items[:] = [item for item in items if item not in last] + last
        audit_runs.start()


@pytest.fixture(scope="session", autouse=True)
def _no_debug_logs() -> Iterator[None]:
    """Ape runs each transaction once more, to find what a contract said to `console.log`: solhint lets none say it."""
    from ape_ethereum.transactions import Receipt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Receipt, "show_debug_logs", lambda _: None)
        yield


@pytest.fixture(scope="session")
def registrar(accounts: Any) -> Any:
    return accounts[0]


@pytest.fixture(scope="session")
def hospital(accounts: Any) -> Any:
    return accounts[1]


@pytest.fixture(scope="session")
def relay(accounts: Any) -> Any:
    return accounts[2]


@pytest.fixture(scope="session")
def stranger(accounts: Any) -> Any:
    return accounts[3]


class Shipped:
    """The contracts of panachain/chain/artifacts by name; `./pana lint` fails when they are stale."""

    def __getattr__(self, name: str) -> Any:
        from ape.contracts import ContractContainer
        from ethpm_types import ContractType

        shipped = json.loads((ARTIFACTS / f"{name}.json").read_text())
        contract_type = ContractType.model_validate(
            {
                "contractName": name,
                "abi": shipped["abi"],
                "deploymentBytecode": {"bytecode": shipped["bytecode"]},
                "runtimeBytecode": {"bytecode": shipped["deployedBytecode"]},
            }
        )
        return ContractContainer(contract_type)


@pytest.fixture(scope="session")
def project() -> Shipped:
    """Stands for ape's own fixture, which would compile: what is tested is what users get."""
    return Shipped()


def selectors(name: str, *functions: str) -> list[bytes]:
    return [contract(name).selector(function) for function in functions]


@pytest.fixture(scope="session")
def admin(accounts: Any) -> Any:
    """The administrator of the access manager; the registrar is another account."""
    return accounts[9]


@pytest.fixture(scope="session")
def manager(project: Any, registrar: Any, admin: Any) -> Any:
    """An access manager whose registrar has role 1, as chain/plan.py sets it up."""
    made = admin.deploy(project.AccessManager, admin)
    made.grantRole(REGISTRAR, registrar, 0, sender=admin)
    return made


@pytest.fixture(scope="session")
def policies(project: Any, registrar: Any) -> Any:
    return registrar.deploy(project.PolicyRegistry)


@pytest.fixture(scope="session")
def actors(project: Any, registrar: Any, manager: Any, policies: Any, admin: Any) -> Any:
    made = registrar.deploy(project.ActorRegistry, manager, policies)
    functions = selectors("ActorRegistry", "register", "suspend", "reinstate")
    manager.setTargetFunctionRole(made, functions, REGISTRAR, sender=admin)
    return made


@pytest.fixture(scope="session")
def ledger(project: Any, actors: Any) -> Any:
    return project.RecordLedger.at(actors.recordLedger())


@pytest.fixture(scope="session")
def access_log(project: Any, actors: Any) -> Any:
    return project.AccessLog.at(actors.accessLog())


@pytest.fixture(scope="session")
def forwarder(project: Any, registrar: Any) -> Any:
    return registrar.deploy(project.Forwarder)


@pytest.fixture(scope="session")
def identities(project: Any, registrar: Any, manager: Any, admin: Any, forwarder: Any) -> Any:
    made = registrar.deploy(project.IdentityRegistry, manager, forwarder)
    functions = selectors("IdentityRegistry", "register", "reinstate")
    manager.setTargetFunctionRole(made, functions, REGISTRAR, sender=admin)
    manager.setTargetFunctionRole(made, selectors("IdentityRegistry", "suspend"), SUSPENDER, sender=admin)
    manager.grantRole(SUSPENDER, registrar, 0, sender=admin)
    return made


@pytest.fixture(scope="session")
def requests(project: Any, registrar: Any, identities: Any, forwarder: Any) -> Any:
    return registrar.deploy(project.AccessRequests, identities, forwarder)


@pytest.fixture(scope="session")
def emergency(project: Any, registrar: Any, manager: Any, identities: Any, admin: Any, forwarder: Any) -> Any:
    made = registrar.deploy(project.EmergencyAccess, manager, identities, forwarder)
    manager.setTargetFunctionRole(made, selectors("EmergencyAccess", "review"), REGISTRAR, sender=admin)
    manager.grantRole(SUSPENDER, made, 0, sender=admin)
    return made


@pytest.fixture(scope="session")
def groups(project: Any, registrar: Any, manager: Any, identities: Any, admin: Any, forwarder: Any) -> Any:
    made = registrar.deploy(project.CareGroups, manager, identities, forwarder)
    manager.setTargetFunctionRole(made, selectors("CareGroups", "closeByRegistrar"), REGISTRAR, sender=admin)
    return made


@pytest.fixture(scope="session")
def wardships(project: Any, registrar: Any, manager: Any, identities: Any, admin: Any, forwarder: Any) -> Any:
    made = registrar.deploy(project.Wardships, manager, identities, forwarder)
    manager.setTargetFunctionRole(made, selectors("Wardships", "start", "endByRegistrar"), REGISTRAR, sender=admin)
    manager.grantRole(SUSPENDER, made, 0, sender=admin)
    return made


@pytest.fixture(scope="session")
def people(identities: Any, registrar: Any, accounts: Any, hospital: Any) -> dict[str, Any]:
    """A patient; a doctor and a nurse of one hospital; a doctor of another one. By role."""
    names = {"patient": PATIENT, "doctor": PRACTITIONER, "nurse": PRACTITIONER, "elsewhere": PRACTITIONER}
    people = dict(zip(names, accounts[4:8], strict=True))
    for name, role in names.items():
        organisation = NOBODY if role == PATIENT else (accounts[8] if name == "elsewhere" else hospital)
        identities.register(people[name], role, bytes(32), KEYS, organisation, b"", sender=registrar)
    return people


@pytest.fixture(scope="session", autouse=True)
def _deployed(
    ledger: Any, access_log: Any, requests: Any, emergency: Any, groups: Any, wardships: Any, people: dict[str, Any]
) -> None:
    """All of it before the first test: ape takes back to here what a test did, and would to before what came later."""


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
        now = self.now()
        fields = {"owner": self.address, "starts_at": now - 10, "expires_at": now + 1000, "deadline": now + 100}
        # Without zero bytes, which would be cheaper.
        hashes = {"terms": b"t" * 32, "view_tag": 0x5A, "announcement": b"a" * 32}
        return Grant(**(fields | hashes | change))

    def sign_grant(self, grant: Grant) -> bytes:
        return self.chain.policies.sign_grant(self.account, grant)

    def sign_revoke(self) -> bytes:
        return self.chain.policies.sign_revoke(self.account)


def halves(signature: bytes) -> tuple[bytes, bytes]:
    """Return a compact signature as batches take it."""
    return signature[:32], signature[32:]


@pytest.fixture
def owner(policies: Any, chain: Any) -> Owner:
    # Only the domain is used: chain ID and contract address.
    mainchain = Mainchain(SimpleNamespace(), {"PolicyRegistry": policies.address}, chain.chain_id)  # type: ignore[arg-type]
    return Owner(Account(Seed.random().account_key()), mainchain, lambda: int(chain.pending_timestamp))


@pytest.fixture
def more_owners(owner: Owner) -> list[Owner]:
    return [Owner(Account(Seed.random().account_key()), owner.chain, owner.now) for _ in range(3)]
