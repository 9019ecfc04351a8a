"""From a revocation to the refusal of every honest proxy: within one block, and at once when it is seen waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.errors import PolicyRevokedError
from panachain.model.actors import PolicyId
from panachain.model.policy import ReceiptKind
from tests.twin.thief import Thief
from tests.twin.world import PROXIES, World, resource, running_world


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


def granted(world: World) -> PolicyId:
    """Return a policy that its grantee has just used, with the help of all proxies."""
    made = world.patient.grant(world.clinician.address, ["laboratory"], until=world.now + 1000)
    assert served(world, made.policy_id) == PROXIES
    return made.policy_id


def served(world: World, policy_id: PolicyId) -> int:
    """Return how many proxies serve a reader who asks each of them for something new, without looking at the rules."""
    before = counts(world, policy_id)[ReceiptKind.REENCRYPTED]
    Thief(world, "clinician").steal()
    return counts(world, policy_id)[ReceiptKind.REENCRYPTED] - before


def counts(world: World, policy_id: PolicyId) -> dict[ReceiptKind, int]:
    kinds = [receipt.kind for proxy in world.proxies for receipt in proxy.store.receipts(policy_id)]
    return {kind: kinds.count(kind) for kind in ReceiptKind}


def mine_only_the_revocation(world: World, policy_id: PolicyId) -> int:
    """Mine a revocation without telling any proxy, and return how many blocks that took."""
    before = world.network.mainchain.head_block().number
    world.submit_revocation(policy_id)
    world.network.mainchain.chain.mine()
    return world.network.mainchain.head_block().number - before


def test_every_honest_proxy_refuses_from_the_revocations_own_block_on(world: World) -> None:
    policy_id = granted(world)

    assert mine_only_the_revocation(world, policy_id) == 1
    assert served(world, policy_id) == 0
    assert counts(world, policy_id)[ReceiptKind.DENIED] == PROXIES
    with pytest.raises(PolicyRevokedError):
        world.clinician.ask_proxies(policy_id)


def test_every_honest_proxy_refuses_a_revocation_that_nobody_mined_yet(world: World) -> None:
    policy_id = granted(world)
    before = world.network.mainchain.head_block()
    world.submit_revocation(policy_id)

    assert served(world, policy_id) == 0
    with pytest.raises(PolicyRevokedError):
        world.clinician.ask_proxies(policy_id)
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(policy_id))
    # What may yet be dropped deletes nothing; and it was, indeed, only seen.
    assert counts(world, policy_id)[ReceiptKind.DELETED] == 0
    assert world.network.mainchain.head_block() == before
    world.network.mainchain.chain.waiting.clear()
    assert served(world, policy_id) == PROXIES


def test_a_proxy_that_ignores_the_revocation_serves_alone_and_convicts_itself(world: World) -> None:
    policy_id = granted(world)
    world.proxies[0].corrupt()
    world.patient.revoke(policy_id)
    world.advance(10)

    assert served(world, policy_id) == 1
    with pytest.raises(PolicyRevokedError):
        world.clinician.ask_proxies(policy_id)
    late = [entry.proxy for entry in world.patient.receipts(policy_id) if entry.late]
    assert set(late) == {world.proxies[0].address}
    assert world.patient.convict(policy_id).transactions
    assert world.proxies[0].address not in {proxy.address for proxy in world.network.proxies()}


def test_with_a_threshold_of_dishonest_proxies_only_the_rotation_stops_the_grantee(world: World) -> None:
    policy_id = granted(world)
    thief = Thief(world, "clinician")
    for proxy in world.proxies[:2]:
        proxy.corrupt()
    world.patient.revoke(policy_id)
    world.upload("hospital", [resource("laboratory", 2024, 2)])
    assert len(thief.steal()) == 2

    world.patient.revoke(policy_id, rotate=True)
    world.upload("hospital", [resource("laboratory", 2024, 3)])
    assert len(thief.steal()) == 2
