"""A revocation counts as done when the contract's storage has it, and a node that proves it can't tell whose it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.nodes import ReorganisedError
from panachain.chain.proven import KeptPolicy
from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.model.actors import PolicyId
from panachain.sdk.proven_revocations import COVER, ProvenRevocations, cover
from panachain.sdk.taking_back import proof_of
from tests.twin.world import World
from tests.unit.sdk.helpers import grant


def many(count: int, first: int = 0) -> list[tuple[int, PolicyId]]:
    """Return a revocation in each of some blocks."""
    return [(block, PolicyId(f"0x{(7 * block) % 1009:040x}")) for block in range(first, first + count)]


def test_all_of_one_range_ask_for_the_same() -> None:
    revoked = many(64)
    for start in range(0, 64, COVER):
        asked = {tuple(cover(revoked, block)) for block in range(start, start + COVER)}
        assert len(asked) == 1
        (names,) = asked
        assert len(names) == COVER
        assert list(names) == sorted(names)


@pytest.mark.parametrize("block", [0, 5, 1_000_003])
def test_a_lonely_one_hides_among_those_before_it_however_long_ago(block: int) -> None:
    revoked = [*many(COVER), (1_000_003, PolicyId("0x" + "ff" * 20))]
    asked = cover(revoked, block)
    assert len(asked) >= COVER
    assert {policy_id for at, policy_id in revoked if at == block} <= set(asked)


def test_where_there_are_few_all_are_asked_for() -> None:
    assert cover(many(3), 1) == sorted(policy_id for _, policy_id in many(3))


def test_a_revocation_that_the_storage_does_not_have_is_not_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may make up an event's block; it would have to make up the state, too."""
    made = grant(world)
    monkeypatch.setattr(
        ProvenRevocations, "_kept", lambda _, ids, event: [KeptPolicy(1, 2, 0) for _ in ids], raising=True
    )
    monkeypatch.setattr(world.network, "revocations", ProvenRevocations(world.network.mainchain))
    revocation = world.patient._policies.sign_revocation(0)
    world.network.relay().revoke(made.policy_id, revocation.signature)
    with pytest.raises(IntegrityError, match="storage doesn't have it"):
        proof_of(world.network, revocation)
    assert world.patient.revoke(made.policy_id).stage == "sent, not proven yet"


class Chain:
    """A mainchain that shows one revocation, and what its nodes say besides."""

    def __init__(self, world: World) -> None:
        made = grant(world)
        world.patient.revoke(made.policy_id)
        mainchain = world.network.mainchain
        self.policies, self.addresses = mainchain.policies, mainchain.addresses
        (self.event,) = mainchain.policies.events(kind="PolicyRevoked")
        self.number, self.hash, self.revoked_at = self.event.block, self.event.block_hash, 5
        self.asked: list[tuple[int, str, int]] = []
        self.nodes = SimpleNamespace(
            urls=("http://node",),
            head=lambda: SimpleNamespace(number=self.number),
            header_at=lambda number: SimpleNamespace(number=number, hash=self.hash),
            storage=self._storage,
        )

    def check(self) -> None:
        ProvenRevocations(self).check(self.event)  # type: ignore[arg-type]

    def _storage(self, header: Any, account: str, slots: list[bytes]) -> list[int]:
        self.asked.append((header.number, account, len(slots)))
        return [self.revoked_at << 96 | 2 << 48 | 1 for _ in slots]


def test_what_is_asked_for_is_proven_under_the_agreed_head(world: World) -> None:
    chain = Chain(world)
    chain.number += 3
    chain.check()
    assert chain.asked == [(chain.number, chain.addresses["PolicyRegistry"], 1)]


def test_a_head_from_before_the_event_proves_nothing_and_is_no_lie(world: World) -> None:
    chain = Chain(world)
    chain.number, chain.revoked_at = chain.event.block - 1, 0
    with pytest.raises(ChainUnavailableError, match="was seen before"):
        chain.check()


def test_an_event_whose_block_was_replaced_is_no_lie(world: World) -> None:
    chain = Chain(world)
    chain.hash, chain.revoked_at = "0x" + "77" * 32, 0
    with pytest.raises(ReorganisedError, match="was replaced"):
        chain.check()
