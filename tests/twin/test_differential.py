"""The twin of the policy registry tells the truth: random policy transactions on it and on the real contract."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.abi import address, contract
from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.crypto.keys import Seed
from panachain.errors import TransactionError
from panachain.model.actors import PolicyId
from panachain.model.policy import SEALED, Disclosure
from panachain.model.transactions import Grant
from tests.twin.chains import MAIN, TwinMainchain

CHAIN_ID = 31_406
ACTIONS = 300
STEP = 100
"""Seconds between two actions; windows begin and end between them, so that the node's own seconds don't matter."""


@dataclass
class Both:
    """The real registry and its twin, with the same address, the same time and the same relay."""

    rpc: Rpc
    real: Mainchain
    twin: TwinMainchain
    relay: Account
    folder: Path
    time: list[int]
    owners: list[Account] = field(default_factory=list)
    edges: set[int] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)

    def senders(self) -> list[tuple[Any, Any]]:
        return [(chain, chain.sender(self.relay, lock_folder=self.folder)) for chain in (self.real, self.twin)]

    def pass_to(self, time: int) -> None:
        """Make a block of exactly this time on both."""
        self.rpc.call("evm_setNextBlockTimestamp", [time])
        self.rpc.call("evm_mine")
        self.time[0] = time
        self.twin.chain.mine()

    def do(self, function: str, *args: Any) -> str:
        """Relay a policy transaction to both, and return what both said."""
        said = []
        for chain, sender in self.senders():
            if chain is self.twin:
                # Right after the real one, whose block has its own second.
                self.time[0] = max(self.time[0], self.real.head_block().time)
            try:
                getattr(chain.policies, function)(sender, *args)
            except TransactionError as exc:
                said.append(exc.reason.partition("(")[0])
            else:
                said.append("")
        assert said[0] == said[1]
        self.outcomes.add(said[0])
        return said[0]

    def compare(self) -> None:
        """Check that both tell the same of every policy, at every time that matters."""
        ids = [PolicyId(owner.address) for owner in self.owners]
        some = random.Random(len(ids)).sample(sorted(self.edges), min(len(self.edges), 4))
        asked: list[tuple[str, tuple[Any, ...]]] = [("statusOf", (one,)) for one in ids]
        asked += [("allowedAt", (one, moment + shift)) for one in ids[-6:] for moment in some for shift in (-1, 0, 1)]
        registry, to = contract("PolicyRegistry"), self.real.addresses["PolicyRegistry"]
        calls = [("eth_call", [{"to": to, "data": registry.calldata(name, *args)}, "latest"]) for name, args in asked]
        for (name, args), answer in zip(asked, self.rpc.batch(calls), strict=True):
            said = registry.result(name, answer)
            assert said == self.twin.policies.bound.read(name, *args)
            self.outcomes.add(f"{name} {said}")

    def events(self, chain: Mainchain) -> list[tuple[Any, ...]]:
        return [
            (e.kind, e.policy_id, e.starts_at, e.expires_at, e.terms, e.disclosure.word, e.view_tag, e.announcement)
            for e in chain.policies.events()
        ]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    node = anvil.start(tmp_path / "chain", chain_id=CHAIN_ID, free=False)
    try:
        rpc = Rpc(node.url)
        rpc.call("evm_setIntervalMining", [0])
        rpc.call("evm_setAutomine", [True])
        relay = Account(Seed(b"r" * 32).account_key())
        anvil.fund(rpc, relay.address)
        made = Sender(rpc, CHAIN_ID, relay, lock_folder=tmp_path).send(
            None, contract("PolicyRegistry").creation(), what="deploying"
        )
        addresses = {**MAIN, "PolicyRegistry": address(str(made.contract))}
        real = Mainchain(rpc, addresses, CHAIN_ID)
        time = [real.head_block().time]
        twin = TwinMainchain(CHAIN_ID, lambda: time[0], relay.address, addresses)
        yield Both(rpc, real, twin, relay, tmp_path, time)
        rpc.close()
    finally:
        anvil.stop(node.pid)


def a_grant(both: Both, rng: random.Random, owner: Account) -> tuple[Grant, bytes]:
    """Return a grant that is mostly sound, and its signature, which mostly fits."""
    now, half = both.time[0], STEP // 2
    start = now + half + STEP * rng.choice((-3, -1, 0, 2, 5))
    end = start + STEP * rng.choice((-1, 0, 1, 3, 8, 30))
    grant = Grant(
        owner=PolicyId(owner.address),
        starts_at=start,
        expires_at=end,
        deadline=now + STEP * rng.choice((-1, 1, 9)) + half,
        terms=rng.choice((bytes(32), rng.randbytes(32), rng.randbytes(32), rng.randbytes(32))),
        disclosure=rng.choice((SEALED, Disclosure(purposes=3, categories=5))),
        view_tag=rng.randrange(256),
        announcement=rng.randbytes(32),
    )
    both.edges |= {start, end}
    signer = owner if rng.random() < 0.9 else both.relay
    signature = both.real.policies.sign_grant(signer, grant)
    if rng.random() < 0.1:
        signature = both.twin.policies.sign_revoke(owner)
    return grant, signature


def test_the_twin_says_what_the_contract_says(both: Both) -> None:
    rng = random.Random(20)
    for _ in range(ACTIONS):
        both.pass_to(both.time[0] // STEP * STEP + 2 * STEP)
        action = rng.random()
        if not both.owners or action < 0.45:
            known = both.owners and rng.random() < 0.2
            owner = rng.choice(both.owners) if known else Account(Seed(rng.randbytes(32)).account_key())
            both.do("grant_by_signature", *a_grant(both, rng, owner))
            both.owners += [] if known else [owner]
        elif action < 0.75:
            # Also of policies that were never granted, or are revoked already.
            owner = rng.choice(both.owners)
            signer = owner if rng.random() < 0.9 else both.relay
            both.do("revoke_by_signature", PolicyId(owner.address), both.real.policies.sign_revoke(signer))
            both.edges.add(both.real.head_block().time)
        else:
            later = sorted(edge for edge in both.edges if edge > both.time[0] + 2)
            for moment in (later[0] - 1, later[0], later[0] + 1) if later else ():
                both.pass_to(moment)
                both.compare()
        both.compare()
        both.owners = both.owners[-20:]

    assert both.events(both.real) == both.events(both.twin)
    answers = {f"statusOf {number}" for number in range(5)} | {"allowedAt True", "allowedAt False"}
    assert answers <= both.outcomes
    refusals = {
        *("PolicyAlreadyGranted", "PolicyAlreadyRevoked", "PolicyDeadlineOver", "PolicyInvalidSignature"),
        *("PolicyInvalidWindow", "PolicyWithoutTerms", ""),
    }
    assert refusals <= both.outcomes
