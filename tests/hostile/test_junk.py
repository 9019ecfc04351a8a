"""Strangers who are admitted send rubbish: groups, requests, policies. It stops nobody, and costs nobody but them.

What a call costs is counted, in blocks that are fetched and secrets that are tried, because that doesn't depend on the
machine. ./pana bench junk measures the time on a devnet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from panachain.crypto import box
from panachain.errors import BlockNotFoundError, PartlyDoneError, TransactionError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.sdk.kept_terms import KeptTerms
from panachain.sdk.lanes import NEWEST_PAIRING
from panachain.sdk.requests import MAX_NOTE
from panachain.storage.blocks import keep
from panachain.storage.replicated import ReplicatedStore
from tests.support import chain_refuses
from tests.twin.world import World, actor_of, resource, running_world, seed_of
from tests.unit.sdk.helpers import DAY, again, forge, grant
from tests.unit.storage.memory_store import MemoryStore

GROUPS, REQUESTS = 100, 300


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


class Cost:
    """Blocks that are fetched and boxes that are opened."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for owner, name in ((type(world.network.store), "get_block"), (box, "open_shared")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, kept: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return kept(*args, **kwargs)

        return counted

    def of(self, act: Callable[[], Any]) -> int:
        """Return what an act costs."""
        before = self.count
        act()
        return self.count - before


@pytest.fixture
def cost(world: World, monkeypatch: pytest.MonkeyPatch) -> Cost:
    return Cost(world, monkeypatch)


def invite(world: World, sender: str, victim: Address) -> Address:
    """Make a group and list somebody in it, with secrets that nobody stored."""
    groups, paying = world.network.sidechain.groups, world.sessions[sender]._sender(sidechain=True)
    group = groups.create(paying, os.urandom(32)).address
    groups.add_member(paying, group, victim, os.urandom(32))
    return group


def tried(act: Callable[[], Any], count: int) -> int:
    """Try an act so often, and return how often the chain let it."""
    done = 0
    for _ in range(count):
        try:
            act()
        except TransactionError:
            continue
        done += 1
    return done


class TestEmergencies:
    def ask(self, world: World, who: str, count: int) -> None:
        """State emergencies for reasons that nobody stored; the chain lets everybody who works at a hospital."""
        paying = world.network.person(seed_of(who).account_key())
        for _ in range(count):
            world.network.sidechain.emergency.request(paying, world.patient.address, os.urandom(32))

    def test_a_flood_of_one_practitioner_hides_no_other_and_costs_three_looks(self, world: World, cost: Cost) -> None:
        asked = world.clinician.emergency.request(
            world.patient.address, "found unconscious", colleague=world.nurse.address
        )
        before = {who: cost.of(world.sessions[who].emergency.all) for who in ("patient", "nurse")}
        self.ask(world, "stranger", 40)
        after = {who: cost.of(world.sessions[who].emergency.all) for who in ("patient", "nurse")}

        assert all(after[who] <= before[who] + 3 for who in before)
        # Each is told, and what could be read is.
        told = world.patient.emergency.all()
        assert len(told) == 41
        assert [one.reason for one in told if one.reason] == ["found unconscious"]
        assert [one.emergency_id for one in world.nurse.emergency.all()] == [asked.emergency_id]

    def test_of_another_hospital_nothing_is_looked_for_by_who_could_not_co_sign(self, world: World, cost: Cost) -> None:
        other = replace(actor_of("other", Role.PRACTITIONER), organisation=world.clinic.address)
        world.registrar.admit(other)
        before = cost.of(world.nurse.emergency.all)
        self.ask(world, "other", 10)
        assert cost.of(world.nurse.emergency.all) == before

    def test_a_practitioner_reads_all_that_they_asked_for_themselves(self, world: World) -> None:
        for number in range(6):
            world.clinician.emergency.request(world.patient.address, f"no. {number}", colleague=world.nurse.address)
        assert [one.reason for one in world.clinician.emergency.all()] == [f"no. {number}" for number in range(6)]
        assert [one.reason for one in world.patient.emergency.all()][-3:] == ["no. 3", "no. 4", "no. 5"]


class TestGroups:
    def test_a_hundred_invitations_cost_their_reader_nothing(self, world: World, cost: Cost) -> None:
        policy = grant(world, "nurse")
        acts = {
            "inbox": lambda: list(world.nurse.inbox()),
            "open": lambda: list(world.nurse.open(policy)),
            "groups": world.nurse.groups,
        }
        for act in acts.values():
            act()
        # What a session opened once it has: only what is new costs anything.
        before = {name: cost.of(act) for name, act in acts.items()}
        made = [
            tried(lambda who=who: invite(world, who, world.nurse.address), GROUPS) for who in ("stranger", "clinician")
        ]

        assert {name: cost.of(act) for name, act in acts.items()} == before
        assert [view.policy_id for view in world.nurse.inbox()] == [policy.policy_id]
        assert world.nurse.groups() == []
        # Nobody manages more than 64 open groups, whoever they are.
        assert made == [64, 64]

    def test_pending_invitations_are_listed_without_a_fetch_and_gone_with_their_sender(
        self, world: World, cost: Cost
    ) -> None:
        for _ in range(5):
            invite(world, "stranger", world.nurse.address)
        wanted = invite(world, "clinician", world.nurse.address)
        assert len(world.nurse.invitations()) == 6
        assert cost.of(world.nurse.invitations) == 0
        world.nurse.blocked.add(world.stranger.address)
        assert [one.group for one in world.nurse.invitations()] == [wanted]

    def test_nobody_is_put_into_a_group_or_made_its_manager(self, world: World) -> None:
        group = invite(world, "stranger", world.nurse.address)
        groups, paying = world.network.sidechain.groups, world.stranger._sender(sidechain=True)
        assert not groups.is_member(group, world.nurse.address)
        with chain_refuses("GroupNotAccepted"):
            groups.hand_over(paying, group, world.nurse.address)
        assert groups.find(member=world.nurse.address) == groups.find(manager=world.nurse.address) == []

    def test_whoever_declines_or_leaves_is_out_whatever_the_manager_does(self, world: World) -> None:
        group = invite(world, "stranger", world.nurse.address)
        world.nurse.leave_group(group)
        assert world.nurse.invitations() == []
        other = invite(world, "stranger", world.nurse.address)
        world.nurse.accept_group(other)
        world.network.sidechain.groups.close(world.stranger._sender(sidechain=True), other)
        world.nurse.leave_group(other)
        assert world.nurse.groups() == []


class TestRequests:
    def ask(self, world: World, who: str = "stranger") -> None:
        world.sessions[who].request(world.patient.address, ["laboratory"], until=world.now + DAY)

    def test_of_three_hundred_by_one_sender_three_come_in(self, world: World, cost: Cost) -> None:
        world.clinician.request(world.patient.address, ["vitals"], until=world.now + DAY)
        of_one, of_none = cost.of(world.patient.requests), cost.of(world.patient.requests)
        assert tried(lambda: self.ask(world), REQUESTS) == 3
        assert cost.of(world.patient.requests) - of_none == 3 * (of_one - of_none) > 0
        world.patient.blocked.add(world.stranger.address)
        assert cost.of(world.patient.requests) == of_none
        assert [one.categories for one in world.patient.requests()] == [("vitals",)]

    def test_withdrawing_makes_no_room_for_the_next_one_that_day(self, world: World) -> None:
        requests, paying = world.network.sidechain.requests, world.stranger._sender(sidechain=True)

        def ask_and_withdraw() -> None:
            number = requests.request(paying, world.patient.address, os.urandom(32), world.now + 10)
            requests.withdraw(paying, number)

        assert tried(ask_and_withdraw, 30) == 3
        world.advance(DAY)
        assert tried(ask_and_withdraw, 30) == 3

    def test_nobody_asks_everybody_at_once(self, world: World) -> None:
        requests, paying = world.network.sidechain.requests, world.stranger._sender(sidechain=True)

        def ask_and_be_denied() -> None:
            number = requests.request(paying, world.patient.address, os.urandom(32), world.now + 10 * DAY)
            world.patient.deny(number)

        assert tried(ask_and_be_denied, 120) <= 101

    @pytest.mark.parametrize("details", [b"", b"zz", bytes(2 * MAX_NOTE)], ids=["empty", "short", "zeros"])
    def test_bad_ones_are_named_with_their_sender_and_denied_unopened(
        self, world: World, cost: Cost, details: bytes
    ) -> None:
        cid = keep(world.network.store, details)
        requests, paying = world.network.sidechain.requests, world.stranger._sender(sidechain=True)
        far = 2**48 - 1
        numbers = [requests.request(paying, world.patient.address, digest, far) for digest in (cid.digest, b"?" * 32)]
        self.ask(world, "clinician")

        listed = world.patient.requests()

        assert [one.requester for one in listed] == [world.clinician.address]
        assert [(one.item, one.sender) for one in listed.left_out] == [
            (str(number), world.stranger.address) for number in numbers
        ]
        for number in numbers:
            assert cost.of(lambda number=number: world.patient.deny(number)) == 0
        assert [one.reason.partition(";")[0] for one in world.patient.requests().left_out] == ["denied", "denied"]


def test_each_junk_policy_is_named_and_the_rest_delivered(world: World) -> None:
    forged = forge(world, world.patient.address)
    made = grant(world)

    inbox = world.clinician.inbox()

    assert [view.policy_id for view in inbox] == [made.policy_id]
    assert [(left.kind, left.item) for left in inbox.left_out] == [("policy", forged)]
    assert "sign" in inbox.left_out[0].reason
    assert len(list(world.clinician.open(made))) == 1


class TestSeveralStores:
    """One of several stores is down, and somebody announces what nobody ever stored."""

    @pytest.fixture
    def world(self, world: World) -> World:
        first = world.network.store
        world.network.store = ReplicatedStore([first, MemoryStore("store-2")], 1)
        world.network.store.nodes[1].down = True  # type: ignore[attr-defined]
        return world

    def test_terms_that_nobody_stored_cost_their_own_line_of_the_inbox(self, world: World) -> None:
        made = grant(world)
        forged = forge(world, world.patient.address)
        gone = CID(RAW, world.network.mainchain.policies.policy_of(forged).terms)
        world.network.store.nodes[0].delete_block(gone)

        inbox = again(world, "clinician").inbox()

        assert [view.policy_id for view in inbox] == [made.policy_id]
        assert [(left.kind, left.item) for left in inbox.left_out] == [("policy", forged)]
        assert "store-2" in inbox.left_out[0].reason
        assert len(list(world.clinician.open(made))) == 1

    def test_so_do_a_requests_details_and_a_groups_keys(self, world: World) -> None:
        requests, paying = world.network.sidechain.requests, world.stranger._sender(sidechain=True)
        number = requests.request(paying, world.patient.address, os.urandom(32), world.now + DAY)
        world.clinician.request(world.patient.address, ["vitals"], until=world.now + DAY)
        listed = again(world).requests()
        assert [one.requester for one in listed] == [world.clinician.address]
        assert [(one.item, one.sender) for one in listed.left_out] == [(str(number), world.stranger.address)]
        group = invite(world, "stranger", world.nurse.address)
        world.nurse.accept_group(group)
        policy = grant(world, "nurse")
        assert [view.policy_id for view in again(world, "nurse").inbox()] == [policy.policy_id]

    def test_so_does_a_record(self, world: World) -> None:
        world.upload("hospital", [resource("laboratory", 2025, 2)])
        made = grant(world)
        record = next(iter(world.patient.records()))
        world.network.store.nodes[0].delete_block(CID.parse(record.info.header_cid))
        opening = again(world, "clinician").open(made)
        with pytest.raises(PartlyDoneError):
            list(opening)
        assert [one.what for one in opening.omissions] == [f"record {record.info.header_cid}"]


def test_a_newest_pairing_that_a_store_withholds_ends_no_list(world: World) -> None:
    kept, revoked = grant(world), grant(world, "nurse")
    world.patient.revoke(revoked, rotate=True)
    assert {view.policy_id: view.stage for view in again(world).policies()}[revoked.policy_id] == "lane rotated"
    events = world.network.sidechain.identities.ever_paired(patient=world.patient.address)
    world.network.store.delete_block(CID(RAW, events[-1].digest))

    views = again(world).policies()

    assert {kept.policy_id, revoked.policy_id} <= {view.policy_id for view in views}
    assert [(left.kind, left.item) for left in views.left_out] == [("pairing", events[-1].hospital)]
    assert str(CID(RAW, events[-1].digest)) in views.left_out[0].reason
    again(world).settle()
    opening = again(world).records()
    with pytest.raises(PartlyDoneError):
        list(opening)
    assert opening.delivered == 1
    assert [(one.hospital, one.what) for one in opening.omissions] == [(events[-1].hospital, NEWEST_PAIRING)]
    # What would seal to lanes waits for it.
    with pytest.raises(BlockNotFoundError):
        grant(world)


def test_a_store_that_lost_one_policys_terms_takes_no_other_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = grant(world), grant(world, "nurse")
    assert len(list(world.nurse.open(kept))) == 1
    digest = world.network.mainchain.policies.policy_of(lost.policy_id).terms
    # On another device of the patient's, which has nothing but the seed.
    again(world)
    monkeypatch.setattr(KeptTerms, "get", lambda *_: None)
    real = type(world.network.store).get_block

    def get_block(store: Any, cid: CID) -> bytes:
        if cid.digest == digest:
            raise BlockNotFoundError("nobody has it")
        return real(store, cid)

    monkeypatch.setattr(type(world.network.store), "get_block", get_block)

    policies, log = world.patient.policies(), world.patient.receipts()

    assert [view.policy_id for view in policies] == [kept.policy_id]
    assert {entry.policy_id for entry in log} == {kept.policy_id}
    for listed in (policies, log):
        assert [(left.kind, left.item) for left in listed.left_out] == [("policy", lost.policy_id)]
        assert "nobody has it" in listed.left_out[0].reason
    assert world.patient.revoke(kept).final
    assert world.patient.settle() == []
