"""The mainchain as an aggregate: an adapter per contract, each at the address that the description names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panachain.chain.config import ChainConfig
from panachain.chain.mainchain import Mainchain
from panachain.chain.signing import Account
from panachain.errors import ConfigurationError
from tests.unit.chain.fake import Node

PARTS = {
    "actors": "ActorRegistry",
    "ledger": "RecordLedger",
    "policies": "PolicyRegistry",
    "log": "AccessLog",
    "checkpoints": "Checkpoints",
}
ADDRESSES = {name: f"0x{number:040x}" for number, name in enumerate(PARTS.values(), start=1)}


@pytest.fixture
def chain() -> Mainchain:
    rpc: Any = Node("PolicyRegistry")
    return Mainchain(rpc, ADDRESSES, 5, from_block=3)


@pytest.mark.parametrize(("part", "name"), PARTS.items())
def test_each_adapter_stands_on_its_contract(chain: Mainchain, part: str, name: str) -> None:
    adapter = getattr(chain, part)
    assert type(adapter).__name__ == name == adapter.bound.name
    assert (adapter.address, adapter.bound.chain_id, adapter.bound.from_block) == (ADDRESSES[name], 5, 3)
    assert getattr(chain, part) is adapter


def test_a_contract_that_is_not_named_is_told_when_it_is_used() -> None:
    rpc: Any = Node("PolicyRegistry")
    chain = Mainchain(rpc, {"PolicyRegistry": ADDRESSES["PolicyRegistry"]}, 5)
    assert chain.policies.address == ADDRESSES["PolicyRegistry"]
    with pytest.raises(ConfigurationError, match="no contract AccessLog"):
        _ = chain.log


def test_blocks_are_the_nodes(chain: Mainchain) -> None:
    assert (chain.head_block().number, chain.head_block().time) == (9, 100)
    assert chain.block(4).number == 4


def test_a_sender_pays_gas_on_this_chain(chain: Mainchain, tmp_path: Path) -> None:
    sender = chain.sender(Account(b"\x01" * 32), lock_folder=tmp_path)
    assert (sender.chain_id, sender._free) == (5, False)


def test_connecting_asks_nothing(tmp_path: Path) -> None:
    chain = Mainchain.connect(ChainConfig.at("http://127.0.0.1:1", 5, ADDRESSES, 3))
    assert (chain.chain_id, chain.from_block, chain.addresses) == (5, 3, ADDRESSES)
    chain.close()
