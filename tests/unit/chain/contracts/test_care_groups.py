"""CareGroups' adapter: who is listed and who counts; test_events.py holds how groups and their keys are folded."""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from panachain.chain.contracts.care_groups import CareGroups
from panachain.chain.contracts.identity_registry import IdentityRegistry
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Address, Role, Status
from panachain.model.transactions import Invitation
from tests.unit.chain.contracts.node import (
    CHAIN_ID,
    DOCTOR,
    HOSPITAL,
    KEYS,
    NOBODY,
    PATIENT,
    STRANGER,
    WHERE,
    Node,
    Sender,
    low,
)

SEALED = b"s" * 32


def group_id(creator: str = DOCTOR) -> Address:
    fields = [CHAIN_ID, WHERE, creator, KEYS]
    return Address(to_checksum_address(keccak(encode(["uint256", "address", "address", "bytes32"], fields))[12:]))


GROUP, OTHER = group_id(), group_id(STRANGER)


@pytest.fixture
def node() -> Node:
    return Node("CareGroups")


def groups_of(node: Node, *, suspended: tuple[Address, ...] = ()) -> CareGroups:
    """Return the adapter beside a registry in which everybody but the hospital is a practitioner."""
    people = Node("IdentityRegistry")
    for account in (PATIENT, DOCTOR, STRANGER):
        keys = {"keyDigest": KEYS, "personal": b""}
        people.emit("IdentityRegistered", account=account, role=2, organisation=NOBODY, **keys)
    for account in suspended:
        people.emit("IdentitySuspended", account=account)
    return node.adapter(lambda bound: CareGroups(bound, people.adapter(IdentityRegistry)))


def create(node: Node, creator: str = DOCTOR) -> None:
    values = {"group": group_id(creator), "manager": creator, "organisation": HOSPITAL, "keyDigest": KEYS}
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

        made = groups_of(node).create(sender, KEYS)

        assert sender.sent == [("create", (KEYS,))]
        assert (made.address, made.role, made.status, made.organisation) == (GROUP, Role.GROUP, Status.ACTIVE, HOSPITAL)

    def test_a_group_that_the_node_hides_is_an_integrity_error(self, node: Node) -> None:
        create(node, STRANGER)
        with pytest.raises(IntegrityError, match="shows no group"):
            groups_of(node).create(Sender(node, address=DOCTOR), KEYS)

    def test_each_other_method_is_the_function_of_its_name(self, node: Node) -> None:
        groups, sender = groups_of(node), Sender(node)

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

        groups_of(node).renew(sender, GROUP, KEYS, sealed, generation=4)

        expected = (*low(GROUP), 4, KEYS, low(PATIENT, STRANGER), (b"1" * 32, b"2" * 32))
        assert sender.sent == [("renew", expected)]


class TestMembers:
    def test_members_are_those_who_count_in_the_order_of_their_first_listing(self, node: Node) -> None:
        for member in (PATIENT, STRANGER, DOCTOR, PATIENT):
            add(node, member)
        add(node, HOSPITAL)
        add(node, PATIENT, OTHER)
        groups = groups_of(node, suspended=(STRANGER,))
        assert groups.members(GROUP) == [PATIENT, DOCTOR]
        assert groups.is_member(GROUP, DOCTOR)
        # Suspended, no practitioner, and listed by another group only.
        assert not any(groups.is_member(GROUP, person) for person in (STRANGER, HOSPITAL))
        assert not groups.is_member(OTHER, DOCTOR)
        assert node.asked == []

    def test_a_closed_group_has_no_members(self, node: Node) -> None:
        create(node)
        add(node, DOCTOR)
        groups = groups_of(node)
        assert groups.is_member(GROUP, DOCTOR)
        node.emit("GroupClosed", group=GROUP)
        assert not groups.is_member(GROUP, DOCTOR)
        assert groups.members(GROUP) == []

    def test_what_is_sealed_to_somebody_is_the_newest_and_gone_once_they_are_removed(self, node: Node) -> None:
        add(node, DOCTOR)
        add(node, PATIENT)
        node.emit("MemberAdded", group=GROUP, member=DOCTOR, sealedKey=b"n" * 32)
        remove(node, PATIENT)
        groups = groups_of(node)
        assert groups.sealed_key_of(GROUP, DOCTOR) == b"n" * 32
        assert groups.sealed_key_of(GROUP, PATIENT) is None
        assert groups.sealed_key_of(GROUP, STRANGER) is None

    def test_everything_that_is_sealed_is_by_group_and_person_what_is_said_of_each(self, node: Node) -> None:
        add(node, DOCTOR)
        add(node, PATIENT, accepts=False)
        add(node, DOCTOR, OTHER)
        node.emit("MemberAdded", group=GROUP, member=DOCTOR, sealedKey=b"n" * 32)
        add(node, STRANGER)
        remove(node, STRANGER)
        groups = groups_of(node)
        found = groups.sealed_keys()
        assert found == {(GROUP, PATIENT): SEALED, (OTHER, DOCTOR): SEALED, (GROUP, DOCTOR): b"n" * 32}
        # The newest comes last.
        assert list(found)[-1] == (GROUP, DOCTOR)
        for (group, person), digest in found.items():
            assert groups.sealed_key_of(group, person) == digest

    def test_holders_are_those_to_whom_the_newest_secret_was_sealed(self, node: Node) -> None:
        create(node)
        for member in (PATIENT, DOCTOR):
            add(node, member)
        remove(node, DOCTOR)
        assert groups_of(node).holders(GROUP) == [PATIENT, DOCTOR]
        node.emit("GroupRenewed", group=GROUP, keyDigest=KEYS, generation=1)
        add(node, STRANGER)
        assert groups_of(node).holders(GROUP) == [STRANGER]

    def test_what_is_no_listing_is_an_integrity_error(self, node: Node) -> None:
        node.emit("MemberAdded", group=GROUP, member=DOCTOR, sealedKey=SEALED)["data"] = "0x12"
        node.emit("GroupCreated", group=GROUP, manager=DOCTOR, organisation=NOBODY, keyDigest=KEYS)["data"] = "0x12"
        groups = groups_of(node)
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
        groups = groups_of(node)
        assert groups.members(GROUP) == [PATIENT]
        assert groups.invited(GROUP) == [STRANGER]

    def test_whoever_is_listed_again_after_a_removal_is_invited_again(self, node: Node) -> None:
        add(node, PATIENT)
        remove(node, PATIENT)
        add(node, PATIENT, accepts=False)
        groups = groups_of(node)
        assert (groups.members(GROUP), groups.invited(GROUP)) == ([], [PATIENT])

    def test_whoever_gets_the_secrets_anew_stays_a_member(self, node: Node) -> None:
        add(node, PATIENT)
        add(node, PATIENT, accepts=False)
        assert groups_of(node).members(GROUP) == [PATIENT]

    @pytest.mark.parametrize("event", ["MemberAccepted", "MemberRemoved"])
    def test_an_assent_or_an_end_without_a_listing_is_an_integrity_error(self, node: Node, event: str) -> None:
        node.emit(event, group=GROUP, member=PATIENT)
        with pytest.raises(IntegrityError, match=f"shows {event} of group"):
            groups_of(node).invitations(PATIENT)


class TestTimes:
    def test_each_of_some_people_has_theirs_in_one_look(self, node: Node) -> None:
        add(node, PATIENT)
        add(node, DOCTOR, accepts=False)
        add(node, STRANGER)
        remove(node, PATIENT)
        add(node, PATIENT)
        node.emit("MemberAccepted", group=GROUP, member=DOCTOR)
        remove(node, STRANGER)
        add(node, PATIENT, OTHER)
        node.emit("GroupClosed", group=OTHER)
        groups = groups_of(node)
        times = groups.times_of(GROUP, [PATIENT, DOCTOR, STRANGER])
        assert list(times) == [PATIENT, DOCTOR, STRANGER]
        assert [len(times[one]) for one in times] == [2, 1, 1]
        first, second = times[PATIENT]
        assert first.start <= first.stop <= second.start < second.stop == times[DOCTOR][0].stop
        # A closed one has no members from then on, and an account that is no group never had any.
        (closed,) = groups.times_of(OTHER, [PATIENT, DOCTOR])[PATIENT]
        assert closed.stop < second.stop
        assert groups.times_of(OTHER, [DOCTOR]) == {DOCTOR: []}
        assert groups.times_of(DOCTOR, [PATIENT]) == {PATIENT: []}
        assert groups.times_of(GROUP, []) == {}


class TestInvitations:
    def test_they_are_of_open_groups_that_wait_for_the_person(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        create(node, HOSPITAL)
        for group in (GROUP, OTHER, group_id(HOSPITAL)):
            add(node, PATIENT, group, accepts=False)
        node.emit("MemberAccepted", group=GROUP, member=PATIENT)
        node.emit("GroupClosed", group=group_id(HOSPITAL))

        assert groups_of(node).invitations(PATIENT) == [Invitation(OTHER, STRANGER)]
        assert node.asked == []

    def test_a_listing_of_a_group_without_its_beginning_is_an_integrity_error(self, node: Node) -> None:
        add(node, PATIENT, accepts=False)

        with pytest.raises(IntegrityError, match="without its beginning"):
            groups_of(node).invitations(PATIENT)

    def test_they_name_who_manages_the_group_now(self, node: Node) -> None:
        create(node)
        add(node, PATIENT, accepts=False)
        node.emit("GroupHandedOver", group=GROUP, manager=STRANGER)

        assert groups_of(node).invitations(PATIENT) == [Invitation(GROUP, STRANGER)]

    def test_none_is_left_once_it_was_declined(self, node: Node) -> None:
        create(node)
        add(node, PATIENT, accepts=False)
        remove(node, PATIENT)
        assert groups_of(node).invitations(PATIENT) == []

    def test_more_groups_than_a_question_takes_keep_the_order_of_the_chain(
        self, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("panachain.chain.contracts.care_groups.MANY", 1)
        for creator in (DOCTOR, STRANGER, HOSPITAL):
            create(node, creator)
            add(node, PATIENT, group_id(creator))
        found = groups_of(node).find(member=PATIENT)
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
        groups = groups_of(node)
        assert [one.address for one in groups.find(member=PATIENT)] == [GROUP]
        assert groups.find(member=HOSPITAL) == []
        assert node.asked == []

    def test_groups_of_a_manager_are_those_that_they_manage_now(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        node.emit("GroupHandedOver", group=GROUP, manager=STRANGER)
        groups = groups_of(node)
        assert {one.address for one in groups.find(manager=STRANGER)} == {GROUP, OTHER}
        # The creator once managed it.
        assert groups.find(manager=DOCTOR) == []

    def test_both_conditions_hold_together(self, node: Node) -> None:
        create(node)
        create(node, STRANGER)
        add(node, PATIENT, OTHER)
        groups = groups_of(node)
        assert [one.address for one in groups.find(member=PATIENT, manager=STRANGER)] == [OTHER]
        assert groups.find(member=PATIENT, manager=DOCTOR) == []

    def test_manager_is_whoever_it_was_handed_over_to_and_there_is_none_without_a_group(self, node: Node) -> None:
        create(node)
        node.emit("GroupHandedOver", group=GROUP, manager=STRANGER)
        groups = groups_of(node)
        assert groups.manager_of(GROUP) == STRANGER
        with pytest.raises(UsageError, match="there is no group"):
            groups.manager_of(OTHER)
