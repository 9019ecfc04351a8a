"""What a deployment does on each chain, transaction by transaction, before any of them is sent.

An account's next contracts lie at addresses that follow from its nonce (Yellow Paper, section 7), so that each call
that comes later can be written down at once, and whatever doesn't depend on each other can leave together. Never asks
a node. What is dangerous comes last: until the deployer resigns, nobody else can do any of this.
Follows docs/security/contracts.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.chain import rlp
from panachain.chain.abi import contract
from panachain.ethereum import checksum_address, keccak
from panachain.model.actors import Address

ADMIN: Final = 0
"""AccessManager role: changes roles, and the sidechain's validators."""
REGISTRAR: Final = 1
"""AccessManager role: admits, suspends, reinstates, and holds reviews."""
SUSPENDER: Final = 2
"""AccessManager role: suspends persons; the registrar, EmergencyAccess for a missed review, Wardships at an end."""
DELAY: Final = 2 * 86_400
"""Seconds between an administrator's announcement and its effect, by default."""
CREATE, APPOINT, LEAVE = range(3)
"""The waves of a deployment: contracts, then who may do what, and last of all the deployer's resignation."""


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

    def describe(self) -> dict[str, object]:
        """Return the network file's section `governance`."""
        return {
            "registrar": self.registrar,
            "administrator": self.admin,
            "delay": self.delay,
            "validators": list(self.validators),
            "quorum": self.quorum,
        }


@dataclass(frozen=True)
class Step:
    """One transaction of a deployment."""

    what: str
    """What messages call it."""
    wave: int
    """Steps of one wave don't depend on each other."""
    to: Address | None
    """The contract that it calls; None creates one."""
    data: str = field(repr=False)
    """Hex after `0x`."""
    function: str = ""
    """The AccessManager's function that it calls."""
    functions: int = 0
    """How many functions it gives to a role."""


@dataclass
class Plan:
    """The transactions of one chain's deployment, in the order of their nonces, and where its contracts will be."""

    deployer: Address
    first: int
    """The nonce of the first one."""
    steps: list[Step] = field(default_factory=list)
    contracts: dict[str, Address] = field(default_factory=dict)
    """By name; also those that a contract of ours makes."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that is sent: another governance, or another version of a contract, is another plan."""
        told = [f"{self.deployer} {self.first}", *(f"{step.to} {step.data}" for step in self.steps)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def create(self, name: str, *args: Any) -> Address:
        """Add the creation of a contract, and return where it will be."""
        where = created_at(self.deployer, self.first + len(self.steps))
        self.steps.append(Step(f"creating {name}", CREATE, None, contract(name).creation(*args)))
        self.contracts[name] = where
        return where

    def appoint(self, function: str, *args: Any, wave: int = APPOINT) -> None:
        """Add a call of the AccessManager."""
        data = contract("AccessManager").calldata(function, *args)
        given = len(args[1]) if function == "setTargetFunctionRole" else 0
        what = f"setting up roles ({function})"
        self.steps.append(Step(what, wave, self.contracts["AccessManager"], data, function, given))


def created_at(creator: Address, nonce: int) -> Address:
    """Return where an account creates a contract with a nonce; a contract's own nonces begin at 1 (EIP-161)."""
    return checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), rlp.number(nonce)]))[-20:])


def plan_mainchain(deployer: Address, first: int, governance: Governance, *, sidechain_id: int) -> Plan:
    """Return the mainchain's transactions.

    Args:
        deployer: who sends them.
        first: the nonce of the first one.
        governance: who is in charge afterwards.
        sidechain_id: whose blocks are checkpointed.
    """
    plan = Plan(deployer, first)
    manager = plan.create("AccessManager", deployer)
    policies = plan.create("PolicyRegistry")
    actors = plan.create("ActorRegistry", manager, policies)
    # The registry makes these two itself, so that nobody can wire them to another one.
    plan.contracts |= {"RecordLedger": created_at(actors, 1), "AccessLog": created_at(actors, 2)}
    # The contract takes them ascending, so that it sees in one pass that none stands twice.
    validators = sorted(governance.validators, key=str.lower)
    plan.create("Checkpoints", manager, sidechain_id, validators, governance.quorum)
    _set_roles(plan, governance, {"ActorRegistry": {REGISTRAR: ("register", "suspend", "reinstate")}}, {})
    return plan


def plan_sidechain(deployer: Address, first: int, governance: Governance) -> Plan:
    """Return the sidechain's transactions; the arguments are those of `plan_mainchain`."""
    plan = Plan(deployer, first)
    manager = plan.create("AccessManager", deployer)
    # Before the others, which take from it in whose name they are called (ADR 22).
    forwarder = plan.create("Forwarder")
    identities = plan.create("IdentityRegistry", manager, forwarder)
    emergency = plan.create("EmergencyAccess", manager, identities, forwarder)
    plan.create("AccessRequests", identities, forwarder)
    plan.create("CareGroups", manager, identities, forwarder)
    wardships = plan.create("Wardships", manager, identities, forwarder)
    functions: dict[str, dict[int, tuple[str, ...]]] = {
        "IdentityRegistry": {REGISTRAR: ("register", "reinstate"), SUSPENDER: ("suspend",)},
        "EmergencyAccess": {REGISTRAR: ("review",)},
        "CareGroups": {REGISTRAR: ("closeByRegistrar",)},
        "Wardships": {REGISTRAR: ("start", "endByRegistrar")},
    }
    _set_roles(plan, governance, functions, {SUSPENDER: (emergency, wardships, governance.registrar)})
    return plan


def _set_roles(
    plan: Plan,
    governance: Governance,
    functions: Mapping[str, Mapping[int, tuple[str, ...]]],
    members: Mapping[int, tuple[Address, ...]],
) -> None:
    """Say which role may call what, appoint, and leave."""
    for role, label in ((REGISTRAR, "REGISTRAR"), (SUSPENDER, "SUSPENDER")):
        plan.appoint("labelRole", role, label)
    for name, roles in functions.items():
        for role, names in roles.items():
            selectors = [contract(name).selector(function) for function in names]
            plan.appoint("setTargetFunctionRole", plan.contracts[name], selectors, role)
    for role, accounts in ({REGISTRAR: (governance.registrar,)} | dict(members)).items():
        for account in accounts:
            plan.appoint("grantRole", role, account, 0)
    # An appointment counts after the delay, so that whoever is in charge can take it back. AccessManager lets each
    # change of this delay begin five days later (`minSetback`), the first one too.
    for role in (REGISTRAR, SUSPENDER):
        plan.appoint("setGrantDelay", role, governance.delay)
    plan.appoint("grantRole", ADMIN, governance.admin, governance.delay)
    plan.appoint("setGrantDelay", ADMIN, governance.delay)
    # Last of all, once all the others have succeeded: until here only the deployer may do any of this.
    plan.appoint("renounceRole", ADMIN, plan.deployer, wave=LEAVE)
