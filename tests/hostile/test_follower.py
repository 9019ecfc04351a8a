"""A lying node before a real chain: whatever it hides, adds or forges of our events, the copy holds none of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.config import ChainConfig
from panachain.chain.deploy import Governance, deploy
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.follow.opening import following
from panachain.model.actors import Actor, PolicyId, Role, Status
from panachain.model.policy import PolicyStatus
from panachain.model.transactions import Grant
from tests.hostile.lying_node import (
    LyingNode,
    changing_logs,
    forged_call,
    hiding_blocks_of,
    hiding_logs,
    is_log_of,
    together,
)

KEY = b"k" * 32
OWNER = Account(b"\x07" * 32)
POLICY = PolicyId(OWNER.address)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChainConfig, Account]]:
    """A chain with a hospital, two of its batches, and a policy that was granted and revoked."""
    folder = tmp_path_factory.mktemp("chain")
    started: list[anvil.ChainProcess] = []
    try:
        for name, number, free in (("main", 31_337, False), ("side", 31_338, True)):
            started.append(anvil.start(folder / name, chain_id=number, free=free))
        main, side = (Rpc(one.url) for one in started)
        keys = [Seed.random().account_key() for _ in range(3)]
        accounts = [Account(key) for key in keys]
        for account in accounts:
            anvil.fund(main, account.address)
        registrar, hospital = accounts[1], accounts[2]
        validators = tuple(Account(Seed.random().account_key()).address for _ in range(2))
        governance = Governance(registrar.address, Account(b"\x09" * 32).address, validators, 2, 60)
        side_key = Seed.random().account_key()
        made = deploy(main, side, keys[0], governance, side_key=side_key, lock_folder=folder / "nonces")
        config = ChainConfig.at(
            started[0].url, made.mainchain.chain_id, made.mainchain.contracts, made.mainchain.from_block
        )
        true = Mainchain(main, config.contracts, config.chain_id, from_block=config.from_block)
        relay = true.sender(registrar, lock_folder=folder / "nonces")
        true.actors.register(relay, Actor(hospital.address, Role.HOSPITAL, Status.ACTIVE, KEY))
        for number in (1, 2):
            sender = true.sender(hospital, lock_folder=folder / "nonces")
            true.ledger.store(sender, bytes([number]) * 32, 1)
        now = true.head_block().time
        grant = Grant(POLICY, now - 9, now + 9000, now + 900, b"t" * 32)
        true.policies.grant_by_signature(relay, grant, true.policies.sign_grant(OWNER, grant))
        true.policies.revoke_by_signature(relay, POLICY, true.policies.sign_revoke(OWNER))
        anvil.mine(main)
        yield config, hospital
        main.close()
        side.close()
    finally:
        for one in started:
            anvil.stop(one.pid)


def followed(config: ChainConfig, url: str, folder: Path) -> Mainchain:
    at = replace(config, nodes=ChainConfig.at(url, config.chain_id, config.contracts).nodes)
    return Mainchain.connect(at, source=following(at, folder))


def newest_batch(config: ChainConfig, hospital: Account) -> Any:
    word = "0x" + hospital.address[2:].lower().rjust(64, "0")
    return is_log_of(config.contracts["RecordLedger"], None, word, f"0x{2:064x}")


def revocation(config: ChainConfig) -> Any:
    return is_log_of(config.contracts["PolicyRegistry"], contract("PolicyRegistry").topic("PolicyRevoked"))


def grant_of(config: ChainConfig) -> Any:
    return is_log_of(config.contracts["PolicyRegistry"], contract("PolicyRegistry").topic("PolicyGranted"))


def admission(config: ChainConfig) -> Any:
    return is_log_of(config.contracts["ActorRegistry"], contract("ActorRegistry").topic("ActorRegistered"))


def test_the_truth_is_followed(chain: tuple[ChainConfig, Account], tmp_path: Path) -> None:
    config, hospital = chain
    with LyingNode(config.url) as node:
        mainchain = followed(config, node.url, tmp_path)
        assert [event.sequence for event in mainchain.ledger.batches_of(hospital.address)] == [1, 2]
        assert mainchain.policies.policy_of(POLICY).status is PolicyStatus.REVOKED
        assert mainchain.actors.is_active(hospital.address, Role.HOSPITAL)
        # Nothing that nobody could prove was asked.
        assert {method for method, _ in node.asked} <= {"eth_chainId", "eth_getBlockByNumber", "eth_getBlockReceipts"}
        mainchain.close()


@pytest.mark.parametrize("hidden", [newest_batch, admission, revocation, grant_of])
@pytest.mark.parametrize("cleverly", [False, True])
def test_what_a_node_hides_is_an_integrity_error_that_names_it(
    chain: tuple[ChainConfig, Account], tmp_path: Path, hidden: Any, cleverly: bool
) -> None:
    config, hospital = chain
    wanted = hidden(*chain) if hidden is newest_batch else hidden(config)
    with LyingNode(config.url) as node:
        node.lie = hiding_blocks_of(wanted, node) if cleverly else hiding_logs(wanted)
        mainchain = followed(config, node.url, tmp_path)
        for asked in (
            lambda: mainchain.ledger.batches_of(hospital.address),
            lambda: mainchain.policies.policy_of(POLICY),
            lambda: mainchain.actors.is_active(hospital.address, Role.HOSPITAL),
        ):
            with pytest.raises(IntegrityError, match=node.url):
                asked()
        # The next node, or the same one once it says the truth, goes on from there.
        node.lie = lambda _, __, answer: answer
        assert mainchain.policies.policy_of(POLICY).status is PolicyStatus.REVOKED
        mainchain.close()


def test_forged_keys_are_an_integrity_error(chain: tuple[ChainConfig, Account], tmp_path: Path) -> None:
    config, hospital = chain

    def forged(logs: list[Any]) -> list[Any]:
        return [log | {"data": log["data"].replace(KEY.hex(), (b"\x03" + KEY[1:]).hex())} for log in logs]

    with LyingNode(config.url, changing_logs(forged)) as node:
        mainchain = followed(config, node.url, tmp_path)
        with pytest.raises(IntegrityError, match=node.url):
            mainchain.actors.actor_of(hospital.address)
        mainchain.close()


def test_no_answer_to_a_call_allows_anything(chain: tuple[ChainConfig, Account], tmp_path: Path) -> None:
    config, hospital = chain
    abi = contract("PolicyRegistry")
    yes, active = f"{1:064x}", f"{PolicyStatus.ACTIVE.value:064x}"
    lies = together(
        forged_call("0x" + abi.selector("statusOf").hex(), active),
        forged_call("0x" + abi.selector("allowedAt").hex(), yes),
        forged_call("0x" + contract("ActorRegistry").selector("isActive").hex(), yes),
    )
    with LyingNode(config.url, lies) as node:
        mainchain = followed(config, node.url, tmp_path)
        assert mainchain.policies.policy_of(POLICY).status is PolicyStatus.REVOKED
        assert mainchain.policies.revocation_in_sight(POLICY)
        assert not mainchain.policies.allowed_at(POLICY, 1 << 40)
        assert not mainchain.actors.is_active(hospital.address, Role.PROXY)
        mainchain.close()
