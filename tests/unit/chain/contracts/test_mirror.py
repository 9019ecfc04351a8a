"""Interface, ABI and adapter of each contract mirror each other: what one has and another hasn't is explained here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.abi import contract

ROOT = Path(__file__).resolve().parents[4]
ADAPTERS = ROOT / "panachain" / "chain" / "contracts"
INTERFACES = ROOT / "contracts" / "interfaces"
FUNCTION_OF = frozenset({"read", "send", "calldata"})
"""Methods of `BoundContract` whose first text is a function's name; `_send` of an adapter passes it on."""

ACCESS_MANAGED = {
    "authority": "OpenZeppelin's AccessManaged; chain/governance.py reads it by web3.py",
    "isConsumingScheduledOp": "OpenZeppelin's AccessManaged; the AccessManager asks it",
    "setAuthority": "OpenZeppelin's AccessManaged; nobody but the AccessManager may call it",
    "AuthorityUpdated": "OpenZeppelin's AccessManaged; chain/governance.py reads the authority itself",
}
EIP712 = {
    "eip712Domain": "OpenZeppelin's EIP712; the domain is computed, and a test compares it",
    "EIP712DomainChanged": "OpenZeppelin's EIP712; never emitted, because the domain never changes",
}
ERC2771 = {
    "isTrustedForwarder": "OpenZeppelin's ERC2771Context; the forwarder asks it",
    "trustedForwarder": "OpenZeppelin's ERC2771Context; a deployment's check asks it",
}
_RECEIPT = "a transaction's receipt tells it, and nobody looks for those of others"
OWN: dict[str, dict[str, str]] = {
    "AccessLog": {
        "hashOf": "chain/receipts.py computes it without a node; test_receipts.py compares both",
        "setAdmitted": "nobody but ActorRegistry may call it",
        "anchorOf": "HeadAnchored says it",
    },
    "AccessRequests": {
        "requestCount": "find yields the requests themselves",
        "requestOf": "the event AccessRequested has the same fields, and the answers' events the state",
        "stateOf": "the answers' events and the newest block's time say it",
        "referrerOf": "AccessReferred says it",
    },
    "ActorRegistry": {
        "isActive": "actor_of says it together with the keys",
        "actorOf": "holds a digest of the keys only: actor_of reads the events that hold the keys",
        "convict": "nobody but AccessLog may call it",
    },
    "CareGroups": {
        "acceptedAtOf": "MemberAccepted and MemberRemoved say it, and readers prove it by its slot",
        "groupOf": "GroupCreated, GroupHandedOver, GroupRenewed and GroupClosed say it",
        "isMember": "the listings, the registry of identities and GroupClosed say it",
        "sealedKeyOf": "MemberAdded and MemberRemoved say it",
        "managedBy": "the contract counts for itself: a refusal says when there are too many",
    },
    "Checkpoints": {
        "hashAt": "nobody checks older blocks yet; programs read it by web3.py",
        "validators": "chain/plan.py sets them; programs read them by web3.py",
        "setValidators": "the administrator's, after a delay and by the administrator's own tools",
        "Checkpointed": "newest reads it from the state",
        "ValidatorsChanged": "validators says it",
    },
    "EmergencyAccess": {
        "isActive": "EmergencyCosigned and the newest block's time say it",
        "emergencyCount": "a request returns its ID",
        "emergencyOf": "find puts it together from the events",
    },
    "Forwarder": {},
    "IdentityRegistry": {
        "accountOf": "lookups need the trusted nodes' secret, which no actor of the SDK has",
        "identityOf": "holds a digest of the keys only: identity_of reads the events that hold the keys",
        "newestOf": "moves follows the events IdentityReplaced as the contract does",
        "pairingOf": "HospitalPaired and HospitalUnpaired say it",
        "isActive": "identity_of says it together with the keys",
        "successorOf": "moves follows the events IdentityReplaced",
        "movedTo": "for Wardships: whoever moved is found the other way round, by moves",
        **dict.fromkeys(
            ("GuardiansDeferred", "GuardiansWithdrawn", "IdentityFrozen"),
            "guardianship_of reads what counts now; the events are for people who look at the chain",
        ),
    },
    "PolicyRegistry": {
        "grant": "the one-time key would have to pay by itself: it signs, and somebody relays",
        "revoke": "as grant",
        "policyOf": "the grant's and the revocation's events say it, and the grant's has the terms too",
        "allowedAt": "the grant's and the revocation's events and blocks say it",
    },
    "RecordLedger": {
        "setAdmitted": "nobody but ActorRegistry may call it",
        "ledgerOf": "the events add up to it, and prove_head proves it by its slots",
    },
    "Wardships": {
        "wardshipOf": "find puts it together from the events",
        "stateOf": "the events and the newest block's time say it",
        "categoriesOf": "as stateOf",
        "currentOf": "as stateOf",
        "wardshipOfAccount": "WardshipProposed says it",
        "wardshipCount": "a proposal returns its ID",
        "WardshipConcluded": "an account's suspension, which identity_of says; the log of a wardship names who asked",
    },
}
"""For each contract what its adapter has no method for, and why."""
INHERITED: dict[str, dict[str, str]] = {
    "AccessLog": EIP712,
    "AccessRequests": ERC2771,
    "ActorRegistry": ACCESS_MANAGED,
    "CareGroups": ACCESS_MANAGED | ERC2771,
    "Checkpoints": ACCESS_MANAGED | EIP712,
    "EmergencyAccess": ACCESS_MANAGED | ERC2771,
    "Forwarder": EIP712
    | {
        "execute": "OpenZeppelin's ERC2771Forwarder, as the next four",
        "executeBatch": "as execute",
        "nonces": "as execute",
        "verify": "a relay's simulation says it, and why",
        "ExecutedForwardRequest": "Forwarded says it, and of which call",
    },
    "IdentityRegistry": ACCESS_MANAGED | ERC2771,
    "PolicyRegistry": EIP712,
    "RecordLedger": {},
    "Wardships": ACCESS_MANAGED | ERC2771,
}
"""For each contract what is in its ABI and not in its interface."""
USED = {"Forwarder": {"execute", "executeBatch", "nonces"}}
"""For each contract what its adapter uses of what is inherited."""
PARTS = {"IdentityRegistry": {"guardianships"}}
"""For each contract what else adapts a part of it."""
names = pytest.mark.parametrize("name", sorted(OWN))


def module_of(name: str) -> Path:
    return ADAPTERS / (re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() + ".py")


def nodes_of(name: str) -> Iterator[ast.AST]:
    """Yield every node of a contract's adapters."""
    for path in (module_of(name), *(ADAPTERS / f"{part}.py" for part in sorted(PARTS.get(name, ())))):
        yield from ast.walk(ast.parse(path.read_text()))


def mentioned(name: str) -> set[str]:
    """Return every text of an adapter's code that could be a function's or an event's name."""
    return {node.value for node in nodes_of(name) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def called(name: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of each function or event that an adapter asks its bound contract for."""
    for node in nodes_of(name):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if node.func.attr in FUNCTION_OF | {"_send"} and texts:
                yield "function", texts[0]
            elif node.func.attr == "events":
                yield from (("event", text) for text in texts)


def in_abi(name: str, *kinds: str) -> set[str]:
    return {entry["name"] for entry in contract(name).entries if entry["type"] in kinds}


def in_interface(name: str) -> set[str]:
    text = (INTERFACES / f"I{name}.sol").read_text()
    return set(re.findall(r"^    (?:function|event) (\w+)\(", text, re.MULTILINE))


def test_each_contract_has_an_interface_and_an_adapter() -> None:
    interfaces = {path.stem[1:] for path in INTERFACES.glob("I*.sol")}
    adapters = {path.stem for path in ADAPTERS.glob("*.py")} - {"__init__"}
    assert interfaces == set(OWN) == set(INHERITED)
    assert adapters == {module_of(name).stem for name in interfaces} | set().union(*PARTS.values())


@names
def test_an_abi_is_the_interface_and_what_is_inherited(name: str) -> None:
    abi, interface = in_abi(name, "function", "event"), in_interface(name)
    assert interface <= abi
    assert abi - interface == set(INHERITED[name])


@names
def test_every_function_and_event_is_in_the_adapter_or_explained(name: str) -> None:
    abi = in_abi(name, "function", "event")
    assert abi - mentioned(name) == (set(OWN[name]) | set(INHERITED[name])) - USED.get(name, set())
    assert all([*OWN[name].values(), *INHERITED[name].values()])


@names
def test_an_adapter_asks_for_nothing_that_its_contract_has_not(name: str) -> None:
    asked: dict[str, set[Any]] = {"function": set(), "event": set()}
    for kind, one in called(name):
        asked[kind].add(one)
    assert asked["function"], "the test would see nothing"
    assert asked["function"] <= in_abi(name, "function")
    assert asked["event"] <= in_abi(name, "event")
