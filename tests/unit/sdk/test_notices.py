"""Notices: each is tried once with each key, and what was found is what trying all of them finds."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.signing import Account
from panachain.crypto import notice
from panachain.model.policy import SEALED
from panachain.model.transactions import Grant
from panachain.sdk.kept import Kept
from panachain.sdk.notices import DEPTH, Notices
from tests.twin.world import World
from tests.unit.sdk.helpers import DAY, again, grant


def mine(world: World, blocks: int = 2 * DEPTH) -> None:
    for _ in range(blocks):
        world.network.mainchain.chain.mine()


def foreign(world: World) -> None:
    """Grant a policy to nobody here, with a notice for nobody."""
    owner = Account(world.network.mainchain.chain.counted.to_bytes(32, "big").replace(b"\x00", b"\x01"))
    mainchain = world.network.mainchain
    one_time, view_tag = notice.announce(world.hospital.profile.actor.receiving_key, owner.address)
    made = Grant(owner.address, world.now, world.now + DAY, world.now + DAY, b"f" * 32, SEALED, view_tag, one_time)
    sender = world.network.sender(b"\x05" * 32)
    mainchain.policies.grant_by_signature(sender, made, mainchain.policies.sign_grant(owner, made))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The policies whose notices were tried."""
    found: list[str] = []
    real = notice.is_for

    def counted(secret: Any, one_time: bytes, view_tag: int, policy_id: Any) -> bool:
        found.append(policy_id)
        return real(secret, one_time, view_tag, policy_id)

    monkeypatch.setattr(notice, "is_for", counted)
    return found


def ids(world: World, who: str = "clinician") -> list[str]:
    return [view.policy_id for view in world.sessions[who].inbox()]


def test_a_notice_is_tried_once_and_what_was_found_stays_found(world: World, tried: list[str]) -> None:
    first = grant(world).policy_id
    for _ in range(20):
        foreign(world)
    mine(world)
    assert ids(world) == [first]
    assert len(tried) == 21

    tried.clear()
    assert ids(world) == [first]
    assert tried == []

    again(world, "clinician")
    second = grant(world, categories=("imaging",)).policy_id
    assert ids(world) == [first, second]
    assert tried == [second]


def test_few_new_notices_are_tried_again_and_many_are_not(world: World, tried: list[str]) -> None:
    mine(world)
    first = grant(world).policy_id
    assert ids(world) == [first]
    again(world, "clinician")
    second = grant(world, categories=("imaging",)).policy_id
    for _ in range(2):
        assert ids(world) == [first, second]
    assert tried == [first, second, second]
    # Others' policies in the newest blocks cost a reader nothing the second time, however many there are.
    for _ in range(40):
        foreign(world)
    assert ids(world) == [first, second]
    tried.clear()
    assert ids(world) == [first, second]
    assert tried == []


def replace_newest(world: World, count: int) -> None:
    """Let the newest blocks be others, without what they had."""
    chain = world.network.mainchain.chain
    gone = [type(one)(one.number, one.hash + "f", one.time) for one in chain.blocks[-count:]]
    chain.blocks[-count:] = gone


def test_after_a_reorganisation_above_the_deep_block_only_the_newest_are_tried_again(
    world: World, tried: list[str]
) -> None:
    first = grant(world).policy_id
    for _ in range(20):
        foreign(world)
    mine(world)
    for _ in range(20):
        foreign(world)
    assert ids(world) == [first]
    tried.clear()
    replace_newest(world, DEPTH)
    assert ids(world) == [first]
    assert len(tried) == 20
    assert first not in tried


def test_each_reader_has_their_own_file(world: World) -> None:
    first = grant(world).policy_id
    mine(world)
    assert ids(world) == [first]
    assert ids(world, "nurse") == []
    assert ids(world) == [first]


def test_a_new_key_is_tried_on_all_of_them(world: World, tried: list[str]) -> None:
    group = world.clinician.create_group().group
    first = grant(world, who="clinician").policy_id
    mine(world)
    assert ids(world) == [first]
    before = len(tried)
    world.clinician.add_member(group, world.nurse.address)
    world.nurse.accept_group(group)
    made = world.patient.grant(group, ("imaging",), until=world.now + DAY).policy_id
    mine(world)
    assert ids(world, "nurse") == [made]
    assert len(tried) > before
    assert ids(world, "nurse") == [made]


def test_a_chain_that_was_reorganised_below_is_tried_again(world: World, tried: list[str]) -> None:
    first = grant(world).policy_id
    mine(world)
    assert ids(world) == [first]
    tried.clear()
    chain = world.network.mainchain.chain
    chain.blocks[:] = [type(one)(one.number, one.hash + "f", one.time) for one in chain.blocks]
    assert ids(world) == [first]
    assert tried == [first]


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"v": 1},
        {"v": 1, "chain": "CHAIN", "keys": {"KEY": {"block": 1, "hash": "", "found": []}}},
        {"v": 3, "chain": "", "keys": {}},
        {"v": 2, "chain": "CHAIN", "keys": []},
        {"v": 2, "chain": "CHAIN", "keys": {"KEY": {"block": 1, "hash": "", "found": []}}},
        {"v": 2, "chain": "CHAIN", "keys": {"KEY": [{"block": "1", "hash": "", "found": []}]}},
        {"v": 2, "chain": "CHAIN", "keys": {"KEY": [{"block": 1, "hash": "", "found": [5]}]}},
        {"v": 2, "chain": "CHAIN", "keys": {"KEY": [{"block": 10**9, "hash": "", "found": []}]}},
    ],
)
def test_a_file_of_another_shape_is_as_good_as_none(world: World, content: Any) -> None:
    first = grant(world).policy_id
    mainchain = world.network.mainchain
    if isinstance(content, dict) and content.get("chain") == "CHAIN":
        content["chain"] = f"{mainchain.chain_id}/{mainchain.policies.address}"
        if isinstance(content["keys"], dict):
            content["keys"] = {world.clinician.profile.keys.receiving.hex(): content["keys"]["KEY"]}
    Kept(world.clinician.profile.folder, world.clinician._seed, "notices").write(content)
    assert ids(world) == [first]


def test_what_fits_by_chance_is_forgotten(world: World) -> None:
    first = grant(world).policy_id
    mine(world)
    kept = Kept(world.clinician.profile.folder, world.clinician._seed, "notices")
    notices = Notices(world.network.mainchain, kept)
    readers = world.clinician._readers()
    ((event, reader),) = notices.announced(readers)
    assert event.policy_id == first
    notices.not_for(event, reader)
    notices.keep()
    assert Notices(world.network.mainchain, kept).announced(readers) == []
