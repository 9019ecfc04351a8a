"""The sidechain as an aggregate: an adapter per contract, and transactions without a gas price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.errors import ConfigurationError
from tests.unit.chain.fake import Node

PARTS = {
    "identities": "IdentityRegistry",
    "requests": "AccessRequests",
    "groups": "CareGroups",
    "emergency": "EmergencyAccess",
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


def test_a_sender_pays_nothing_here(chain: Sidechain, tmp_path: Path) -> None:
    sender = chain.sender(Account(b"\x01" * 32), lock_folder=tmp_path)
    assert (sender.chain_id, sender._free) == (6, True)
