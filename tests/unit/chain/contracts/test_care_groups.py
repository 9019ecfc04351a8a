"""CareGroups' adapter: who is listed and who counts; test_events.py holds how groups and their keys are folded."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from panachain.chain.contracts.care_groups import CareGroups
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Address, Role, Status
from panachain.model.transactions import Invitation
from tests.unit.chain.contracts.node import (
    CHAIN_ID,
    DOCTOR,
    HOSPITAL,
    KEY,
    NOBODY,
    NOT_OF_THE_ABI,
    PATIENT,
    STRANGER,
    WHERE,
    Node,
    Sender,
    low,
)

SEALED = b"s" * 32


def group_id(creator: str = DOCTOR) -> Address:
    fields = [CHAIN_ID, WHERE, creator, KEY]
    return Address(to_checksum_address(keccak(encode(["uint256", "address", "address", "bytes"], fields))[12:]))


GROUP, OTHER = group_id(), group_id(STRANGER)


@pytest.fixture
def node() -> Node:
    return Node("CareGroups")


def create(node: Node, creator: str = DOCTOR) -> None:
    values = {"group": group_id(creator), "manager": creator, "organisation": HOSPITAL, "receivingKey": KEY}
    node.emit("GroupCreated", **values)


def add(node: Node, member: str, group: str = GROUP, *, accepts: bool = True) -> None:
    node.emit("MemberAdded", group=group, member=member, sealedKey=SEALED)
    if accepts:
        node.emit("MemberAccepted", group=group, member=member)


def remove(node: Node, member: str, group: str = GROUP) -> None:
    node.emit("MemberRemoved", group=group, member=member)


class TestWrites:
    def test_a_group_is_found_under_the_address_that_its_creator_and_key_make(self, node: Node) -> None:
        create(node)
        sender = Sender(node, address=DOCTOR)

        made = node.adapter(CareGroups).create(sender, KEY)

        assert sender.sent == [("create", (KEY,))]
        assert (made.address, made.role, made.status, made.organisation) == (GROUP, Role.GROUP, Status.ACTIVE, HOSPITAL)

    def test_a_group_that_the_node_hides_is_an_integrity_error(self, node: Node) -> None:
        create(node, STRANGER)
        with pytest.raises(IntegrityError, match="shows no group"):
            node.adapter(CareGroups).create(Sender(node, address=DOCTOR), KEY)

    def test_each_other_method_is_the_function_of_its_name(self, node: Node) -> None:
        groups, sender = node.adapter(CareGroups), Sender(node)

        groups.add_member(sender, GROUP, PATIENT, SEALED)
        groups.accept(sender, GROUP)
        groups.remove_member(sender, GROUP, PATIENT)
        groups.hand_over(sender, GROUP, STRANGER)
        groups.close(sender, GROUP)
        groups.close_by_registrar(sender, GROUP)

        assert sender.sent == [
            ("addMember", (*low(GROUP, PATIENT), SEALED)),
            ("accept", low(GROUP)),
            ("removeMember", low(GROUP, PATIENT)),
            ("handOver", low(GROUP, STRANGER)),
            ("close", low(GROUP)),
            ("closeByRegistrar", low(GROUP)),
        ]

    def test_a_renewal_seals_to_each_person_their_own(self, node: Node) -> None:
        sender = Sender(node)
        sealed = {PATIENT: b"1" * 32, STRANGER: b"2" * 32}

        node.adapter(CareGroups).renew(sender, GROUP, KEY, sealed, generation=4)

        expected = (*low(GROUP), 4, KEY, low(PATIENT, STRANGER), (b"1" * 32, b"2" * 32))
        assert sender.sent == [("renew", expected)]


class TestMembers:
    def test_members_are_those_who_count_in_the_order_of_their_first_listing(self, node: Node) -> None:
        for member in (PATIENT, STRANGER, DOCTOR, PATIENT):
            add(node, member)
        add(node, HOSPITAL, OTHER)
        node.results["isMember"] = lambda _, person: person != STRANGER.lower()
        groups = node.adapter(CareGroups)
        assert groups.members(GROUP) == [PATIENT, DOCTOR]
        assert groups.is_member(GROUP, DOCTOR)
        assert not groups.is_member(GROUP, STRANGER)

    def test_zeros_are_no_sealed_key(self, node: Node) -> None:
        node.results["sealedKeyOf"] = lambda _, member: SEALED if member == DOCTOR.lower() else bytes(32)
        groups = node.adapter(CareGroups)
        assert groups.sealed_key_of(GROUP, DOCTOR) == SEALED
        assert groups.sealed_key_of(GROUP, STRANGER) is None

    @pytest.mark.parametrize("answer", NOT_OF_THE_ABI)
    def test_what_is_no_answer_is_an_integrity_error(self, node: Node, answer: Any) -> None:
        add(node, DOCTOR)
        node.results |= dict.fromkeys(("isMember", "sealedKeyOf", "groupOf"), answer)
        groups = node.adapter(CareGroups)
        for asked in (
            lambda: groups.is_member(GROUP, DOCTOR),
            lambda: groups.members(GROUP),
            lambda: groups.sealed_key_of(GROUP, DOCTOR),
            lambda: groups.manager_of(GROUP),
        ):
            with pytest.raises(IntegrityError):
                asked()


class TestAssent:
    def test_whoever_is_only_listed_is_invited_and_no_member(self, node: Node) -> None:
        add(node, PATIENT)
        add(node, STRANGER, accepts=False)
        node.results["isMember"] = True
        groups = node.adapter(CareGroups)
        assert groups.members(GROUP) == [PATIENT]
        assert groups.invited(GROUP) == [STRANGER]

    def test_whoever_is_listed_again_after_a_removal_is_invited_again(self, node: Node) -> None:
        add(node, PATIENT)
        remove(node, PATIENT)
        add(node, PATIENT, accepts=False)
        node.results["isMember"] = True
        groups = node.adapter(CareGroups)
        assert (groups.members(GROUP), groups.invited(GROUP)) == ([], [PATIENT])

    def test_whoever_gets_the_secrets_anew_stays_a_member(self, node: Node) -> None:
        add(node, PATIENT)
        add(node, PATIENT, accepts=False)
        node.results["isMember"] = True
        assert node.adapter(CareGroups).members(GROUP) == [PATIENT]

    @pytest.mark.parametrize("event", ["MemberAccepted", "MemberRemoved"])
    def test_an_assent_or_an_end_without_a_listing_is_an_integrity_error(self, node: Node, event: str) -> None:
        node.emit(event, group=GROUP, member=PATIENT)
        with pytest.raises(IntegrityError, match=f"shows {event} of group"):
            node.adapter(CareGroups).invitations(PATIENT)


class TestInvitations:
    def test_they_are_of_open_groups_that_wait_for_the_person(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        create(node, HOSPITAL)
        for group in (GROUP, OTHER, group_id(HOSPITAL)):
            add(node, PATIENT, group, accepts=False)
        node.emit("MemberAccepted", group=GROUP, member=PATIENT)
        node.emit("GroupClosed", group=group_id(HOSPITAL))

        assert node.adapter(CareGroups).invitations(PATIENT) == [Invitation(OTHER, STRANGER)]
        assert node.asked == []

    def test_they_name_who_manages_the_group_now(self, node: Node) -> None:
        create(node)
        add(node, PATIENT, accepts=False)
        node.emit("GroupHandedOver", group=GROUP, manager=STRANGER)

        assert node.adapter(CareGroups).invitations(PATIENT) == [Invitation(GROUP, STRANGER)]

    def test_none_is_left_once_it_was_declined(self, node: Node) -> None:
        create(node)
        add(node, PATIENT, accepts=False)
        remove(node, PATIENT)
        assert node.adapter(CareGroups).invitations(PATIENT) == []

    def test_more_groups_than_a_question_takes_keep_the_order_of_the_chain(
        self, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("panachain.chain.contracts.care_groups.MANY", 1)
        for creator in (DOCTOR, STRANGER, HOSPITAL):
            create(node, creator)
            add(node, PATIENT, group_id(creator))
        found = node.adapter(CareGroups).find(member=PATIENT)
        assert [one.address for one in found] == [group_id(one) for one in (DOCTOR, STRANGER, HOSPITAL)]


class TestFind:
    def test_groups_of_a_member_are_those_that_they_accepted_and_did_not_leave(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        create(node, HOSPITAL)
        add(node, PATIENT)
        add(node, PATIENT, OTHER)
        remove(node, PATIENT, OTHER)
        add(node, PATIENT, group_id(HOSPITAL), accepts=False)
        groups = node.adapter(CareGroups)
        assert [one.address for one in groups.find(member=PATIENT)] == [GROUP]
        assert groups.find(member=HOSPITAL) == []
        assert node.asked == []

    def test_groups_of_a_manager_are_those_that_they_manage_now(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        node.emit("GroupHandedOver", group=GROUP, manager=STRANGER)
        groups = node.adapter(CareGroups)
        assert {one.address for one in groups.find(manager=STRANGER)} == {GROUP, OTHER}
        # The creator once managed it.
        assert groups.find(manager=DOCTOR) == []

    def test_both_conditions_hold_together(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        add(node, PATIENT, OTHER)
        groups = node.adapter(CareGroups)
        assert [one.address for one in groups.find(member=PATIENT, manager=STRANGER)] == [OTHER]
        assert groups.find(member=PATIENT, manager=DOCTOR) == []

    def test_manager_is_the_state_s_and_there_is_none_without_a_group(self, node: Node) -> None:
        node.results["groupOf"] = lambda group: (STRANGER if group == GROUP.lower() else NOBODY, False, 0, NOBODY)
        groups = node.adapter(CareGroups)
        assert groups.manager_of(GROUP) == STRANGER
        with pytest.raises(UsageError, match="there is no group"):
            groups.manager_of(OTHER)
