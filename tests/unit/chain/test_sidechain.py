"""The sidechain as an aggregate: an adapter per contract, and transactions without a gas price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.errors import ConfigurationError
from tests.unit.chain.fake import Node

PARTS = {
    "identities": "IdentityRegistry",
    "requests": "AccessRequests",
    "groups": "CareGroups",
    "emergency": "EmergencyAccess",
    "forwarder": "Forwarder",
    "wardships": "Wardships",
}
ADDRESSES = {name: f"0x{number:040x}" for number, name in enumerate(PARTS.values(), start=1)}


@pytest.fixture
def chain() -> Sidechain:
    rpc: Any = Node("CareGroups")
    return Sidechain(rpc, ADDRESSES, 6)


@pytest.mark.parametrize(("part", "name"), PARTS.items())
def test_each_adapter_stands_on_its_contract(chain: Sidechain, part: str, name: str) -> None:
    adapter = getattr(chain, part)
    assert type(adapter).__name__ == name == adapter.bound.name
    assert (adapter.address, adapter.bound.chain_id) == (ADDRESSES[name], 6)


def test_a_contract_that_is_not_named_is_told_when_it_is_used() -> None:
    rpc: Any = Node("CareGroups")
    with pytest.raises(ConfigurationError, match="no contract CareGroups"):
        _ = Sidechain(rpc, {}, 6).groups


def test_a_deployment_of_before_has_no_wardships() -> None:
    rpc: Any = Node("CareGroups")
    assert Sidechain(rpc, {}, 6).wardships is None


def test_a_sender_pays_nothing_here(chain: Sidechain, tmp_path: Path) -> None:
    sender = chain.sender(Account(b"\x01" * 32), lock_folder=tmp_path)
    assert (sender.chain_id, sender._free) == (6, True)


@pytest.mark.parametrize(
    ("name", "function", "taken_back"),
    [
        ("IdentityRegistry", "unpair", True),
        ("IdentityRegistry", "cancelRecovery", True),
        ("IdentityRegistry", "cancelGuardians", True),
        ("IdentityRegistry", "pair", False),
        ("AccessRequests", "deny", True),
        ("AccessRequests", "withdraw", True),
        ("AccessRequests", "approve", False),
        ("CareGroups", "removeMember", True),
        ("CareGroups", "close", True),
        ("CareGroups", "accept", False),
        ("EmergencyAccess", "cosign", False),
        ("Wardships", "end", True),
        ("Wardships", "conclude", True),
        ("Wardships", "propose", False),
    ],
)
def test_what_takes_something_back_is_told_by_contract_and_function(
    chain: Sidechain, name: str, function: str, taken_back: bool
) -> None:
    data = contract(name).selector(function) + bytes(64)
    assert chain.takes_back(ADDRESSES[name], data) is taken_back
    assert chain.takes_back(ADDRESSES[name].upper().replace("X", "x"), data) is taken_back
    # Of another contract, or of none of ours, it is another function; and so is less than all four bytes of it.
    assert not chain.takes_back(ADDRESSES["EmergencyAccess"], data)
    assert not chain.takes_back("0x" + "77" * 20, data)
    assert not chain.takes_back(ADDRESSES[name], data[:3])


def test_what_a_sender_pays_on_a_paid_chain_is_capped(tmp_path: Path) -> None:
    rpc: Any = Node("CareGroups")
    chain = Sidechain(rpc, ADDRESSES, 6)
    chain.paid, chain.max_fee = True, 77
    sender = chain.sender(Account(b"\x01" * 32), lock_folder=tmp_path)
    assert (sender._free, sender._max_fee) == (False, 77)
