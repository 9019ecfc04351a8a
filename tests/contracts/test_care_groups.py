"""CareGroups: who creates and manages a group, who belongs to it, and that a closed one has nobody for ever."""

from __future__ import annotations

from typing import Any

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from tests.contracts.conftest import KEYS, NOBODY

OTHER_KEYS = b"o" * 32
SEALED, OTHER_SEALED = b"s" * 32, b"z" * 32
NOTHING = bytes(32)
UNKNOWN_GROUP = "0x" + "9e" * 20


def id_of(groups: Any, chain: Any, creator: Any, key: bytes) -> str:
    fields = [chain.chain_id, groups.address, creator.address, key]
    return to_checksum_address(keccak(encode(["uint256", "address", "address", "bytes32"], fields))[12:])


@pytest.fixture
def group(groups: Any, people: dict[str, Any], chain: Any) -> str:
    """A group that the doctor manages."""
    groups.create(KEYS, sender=people["doctor"])
    return id_of(groups, chain, people["doctor"], KEYS)


@pytest.fixture
def team(groups: Any, people: dict[str, Any], group: str) -> str:
    """The same group with the nurse."""
    groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])
    groups.accept(group, sender=people["nurse"])
    return group


class TestCreate:
    def test_practitioner_creates_and_manages(
        self, groups: Any, people: dict[str, Any], chain: Any, hospital: Any
    ) -> None:
        doctor = people["doctor"]

        receipt = groups.create(KEYS, sender=doctor)

        group = id_of(groups, chain, doctor, KEYS)
        assert tuple(groups.groupOf(group)) == (doctor.address, False, 0, hospital.address)
        event = next(iter(receipt.decode_logs(groups.GroupCreated)))
        assert (event.group, event.manager, event.organisation) == (group, doctor.address, hospital.address)
        assert event.keyDigest == KEYS
        assert not groups.isMember(group, doctor)

    def test_each_creator_and_key_has_a_group(self, groups: Any, people: dict[str, Any], chain: Any) -> None:
        for name, key in (("doctor", KEYS), ("doctor", OTHER_KEYS), ("elsewhere", KEYS)):
            groups.create(key, sender=people[name])

            assert groups.groupOf(id_of(groups, chain, people[name], key)).manager == people[name].address

    def test_rejects_patient_stranger_and_suspended(
        self, groups: Any, identities: Any, people: dict[str, Any], stranger: Any, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        for caller in (people["patient"], stranger, registrar, people["doctor"]):
            with ape.reverts(groups.GroupNotActivePractitioner, account=caller.address):
                groups.create(KEYS, sender=caller)

    def test_reverts_without_keys(self, groups: Any, people: dict[str, Any]) -> None:
        with ape.reverts(groups.GroupWithoutKeys, caller=people["doctor"].address):
            groups.create(bytes(32), sender=people["doctor"])

    def test_reverts_if_repeated(self, groups: Any, people: dict[str, Any], group: str) -> None:
        with ape.reverts(groups.GroupAlreadyCreated, group=group):
            groups.create(KEYS, sender=people["doctor"])
        groups.close(group, sender=people["doctor"])
        with ape.reverts(groups.GroupAlreadyCreated, group=group):
            groups.create(KEYS, sender=people["doctor"])


class TestAddMember:
    def test_manager_lists_a_member(self, groups: Any, people: dict[str, Any], group: str) -> None:
        receipt = groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])

        assert not groups.isMember(group, people["nurse"])
        groups.accept(group, sender=people["nurse"])
        assert groups.isMember(group, people["nurse"])
        assert groups.sealedKeyOf(group, people["nurse"]) == SEALED
        event = next(iter(receipt.decode_logs(groups.MemberAdded)))
        assert (event.group, event.member, event.sealedKey) == (group, people["nurse"].address, SEALED)

    def test_again_replaces_what_is_sealed(self, groups: Any, people: dict[str, Any], team: str) -> None:
        groups.addMember(team, people["nurse"], OTHER_SEALED, sender=people["doctor"])

        assert groups.sealedKeyOf(team, people["nurse"]) == OTHER_SEALED

    def test_takes_a_member_of_another_hospital(self, groups: Any, people: dict[str, Any], group: str) -> None:
        groups.addMember(group, people["elsewhere"], SEALED, sender=people["doctor"])
        groups.accept(group, sender=people["elsewhere"])

        assert groups.isMember(group, people["elsewhere"])

    def test_a_manager_who_lists_themselves_has_accepted(self, groups: Any, people: dict[str, Any], group: str) -> None:
        receipt = groups.addMember(group, people["doctor"], SEALED, sender=people["doctor"])

        assert groups.isMember(group, people["doctor"])
        event = next(iter(receipt.decode_logs(groups.MemberAccepted)))
        assert (event.group, event.member) == (group, people["doctor"].address)
        again = groups.addMember(group, people["doctor"], OTHER_SEALED, sender=people["doctor"])
        assert list(again.decode_logs(groups.MemberAccepted)) == []

    def test_rejects_everybody_but_the_manager(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, registrar: Any
    ) -> None:
        for caller in (people["nurse"], people["elsewhere"], people["patient"], stranger, registrar):
            with ape.reverts(groups.GroupNotManager, group=team, caller=caller.address):
                groups.addMember(team, people["elsewhere"], SEALED, sender=caller)

    def test_reverts_for_who_is_no_active_practitioner(
        self, groups: Any, identities: Any, people: dict[str, Any], group: str, stranger: Any, registrar: Any
    ) -> None:
        identities.suspend(people["nurse"], sender=registrar)

        for account in (people["patient"].address, stranger.address, people["nurse"].address, NOBODY):
            with ape.reverts(groups.GroupNotActivePractitioner, account=account):
                groups.addMember(group, account, SEALED, sender=people["doctor"])

    def test_reverts_if_nothing_is_sealed(self, groups: Any, people: dict[str, Any], group: str) -> None:
        with ape.reverts(groups.GroupWithoutSealedKey, group=group, member=people["nurse"].address):
            groups.addMember(group, people["nurse"], NOTHING, sender=people["doctor"])

    def test_rejects_a_suspended_manager(
        self, groups: Any, identities: Any, people: dict[str, Any], group: str, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)
        with ape.reverts(groups.GroupNotActivePractitioner, account=people["doctor"].address):
            groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])
        identities.reinstate(people["doctor"], sender=registrar)
        groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])

        assert groups.sealedKeyOf(group, people["nurse"]) == SEALED

    def test_reverts_without_a_group(self, groups: Any, people: dict[str, Any]) -> None:
        with ape.reverts(groups.GroupNotManager, group=to_checksum_address(UNKNOWN_GROUP)):
            groups.addMember(UNKNOWN_GROUP, people["nurse"], SEALED, sender=people["doctor"])


class TestAccept:
    def test_a_listed_person_becomes_a_member_by_their_own_call(
        self, groups: Any, people: dict[str, Any], group: str
    ) -> None:
        groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])

        receipt = groups.accept(group, sender=people["nurse"])

        assert groups.acceptedAtOf(group, people["nurse"]) == receipt.timestamp
        event = next(iter(receipt.decode_logs(groups.MemberAccepted)))
        assert (event.group, event.member) == (group, people["nurse"].address)

    def test_rejects_whoever_is_not_listed(
        self, groups: Any, people: dict[str, Any], group: str, stranger: Any, registrar: Any
    ) -> None:
        groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])

        for caller in (people["doctor"], people["elsewhere"], people["patient"], stranger, registrar):
            with ape.reverts(groups.GroupNotListed, group=group, member=caller.address):
                groups.accept(group, sender=caller)
        assert not groups.isMember(group, people["nurse"])

    def test_counts_once(self, groups: Any, people: dict[str, Any], team: str) -> None:
        with ape.reverts(groups.GroupAlreadyAccepted, group=team, member=people["nurse"].address):
            groups.accept(team, sender=people["nurse"])

    def test_rejects_a_closed_group_and_a_suspended_person(
        self, groups: Any, identities: Any, people: dict[str, Any], group: str, registrar: Any
    ) -> None:
        groups.addMember(group, people["nurse"], SEALED, sender=people["doctor"])
        identities.suspend(people["nurse"], sender=registrar)
        with ape.reverts(groups.GroupNotActivePractitioner, account=people["nurse"].address):
            groups.accept(group, sender=people["nurse"])
        groups.close(group, sender=people["doctor"])
        with ape.reverts(groups.GroupAlreadyClosed, group=group):
            groups.accept(group, sender=people["nurse"])

    def test_is_asked_for_again_after_a_removal(self, groups: Any, people: dict[str, Any], team: str) -> None:
        groups.removeMember(team, people["nurse"], sender=people["doctor"])
        groups.addMember(team, people["nurse"], SEALED, sender=people["doctor"])

        assert not groups.isMember(team, people["nurse"])
        assert groups.acceptedAtOf(team, people["nurse"]) == 0


class TestRemoveMember:
    @pytest.mark.parametrize("who", ["doctor", "nurse"])
    def test_manager_removes_and_member_leaves(self, groups: Any, people: dict[str, Any], team: str, who: str) -> None:
        receipt = groups.removeMember(team, people["nurse"], sender=people[who])

        assert not groups.isMember(team, people["nurse"])
        assert groups.sealedKeyOf(team, people["nurse"]) == NOTHING
        event = next(iter(receipt.decode_logs(groups.MemberRemoved)))
        assert (event.group, event.member) == (team, people["nurse"].address)

    def test_rejects_everybody_else(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, registrar: Any
    ) -> None:
        groups.addMember(team, people["elsewhere"], SEALED, sender=people["doctor"])

        for caller in (people["elsewhere"], people["patient"], stranger, registrar):
            with ape.reverts(groups.GroupNotManager, group=team, caller=caller.address):
                groups.removeMember(team, people["nurse"], sender=caller)

    def test_reverts_for_who_is_not_listed(self, groups: Any, people: dict[str, Any], team: str) -> None:
        for caller in (people["doctor"], people["elsewhere"]):
            with ape.reverts(groups.GroupNotListed, group=team, member=people["elsewhere"].address):
                groups.removeMember(team, people["elsewhere"], sender=caller)

    def test_member_leaves_also_while_suspended(
        self, groups: Any, identities: Any, people: dict[str, Any], team: str, registrar: Any
    ) -> None:
        identities.suspend(people["nurse"], sender=registrar)

        groups.removeMember(team, people["nurse"], sender=people["nurse"])

        assert groups.sealedKeyOf(team, people["nurse"]) == NOTHING


class TestRenew:
    def test_manager_renews_for_whom_he_names(self, groups: Any, people: dict[str, Any], team: str) -> None:
        groups.addMember(team, people["elsewhere"], SEALED, sender=people["doctor"])
        groups.accept(team, sender=people["elsewhere"])

        receipt = groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], [OTHER_SEALED], sender=people["doctor"])

        assert groups.groupOf(team).generation == 1
        assert groups.sealedKeyOf(team, people["nurse"]) == OTHER_SEALED
        assert groups.sealedKeyOf(team, people["elsewhere"]) == SEALED
        assert all(groups.isMember(team, people[name]) for name in ("nurse", "elsewhere"))
        renewed = next(iter(receipt.decode_logs(groups.GroupRenewed)))
        assert (renewed.group, renewed.generation, renewed.keyDigest) == (team, 1, OTHER_KEYS)
        # Whoever reads the events in their order knows to whom the new secret was sealed.
        assert [log.event_name for log in receipt.decode_logs()] == ["GroupRenewed", "MemberAdded"]

    def test_a_group_is_renewed_again_and_again(self, groups: Any, people: dict[str, Any], team: str) -> None:
        for generation in (1, 2, 3):
            sealed = bytes([generation]) * 32
            groups.renew(team, generation, KEYS, [people["nurse"]], [sealed], sender=people["doctor"])

            assert groups.groupOf(team).generation == generation
            assert groups.sealedKeyOf(team, people["nurse"]) == sealed

    def test_the_second_of_two_renewals_from_one_generation_reverts(
        self, groups: Any, people: dict[str, Any], team: str
    ) -> None:
        groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], [OTHER_SEALED], sender=people["doctor"])

        for generation in (0, 1, 3):
            with ape.reverts(groups.GroupNotNextGeneration, group=team, generation=generation, current=1):
                groups.renew(team, generation, KEYS, [people["nurse"]], [SEALED], sender=people["doctor"])
        assert groups.sealedKeyOf(team, people["nurse"]) == OTHER_SEALED

    def test_rejects_everybody_but_the_manager(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, registrar: Any
    ) -> None:
        for caller in (people["nurse"], people["elsewhere"], people["patient"], stranger, registrar):
            with ape.reverts(groups.GroupNotManager, group=team, caller=caller.address):
                groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], [OTHER_SEALED], sender=caller)

    def test_rejects_a_suspended_manager_and_a_closed_group(
        self, groups: Any, identities: Any, people: dict[str, Any], team: str, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)
        with ape.reverts(groups.GroupNotActivePractitioner, account=people["doctor"].address):
            groups.renew(team, 1, OTHER_KEYS, [], [], sender=people["doctor"])
        identities.reinstate(people["doctor"], sender=registrar)
        groups.close(team, sender=people["doctor"])
        with ape.reverts(groups.GroupAlreadyClosed, group=team):
            groups.renew(team, 1, OTHER_KEYS, [], [], sender=people["doctor"])

    def test_lists_nobody(self, groups: Any, people: dict[str, Any], team: str, stranger: Any) -> None:
        for person in (people["elsewhere"], people["doctor"], people["patient"], stranger):
            with ape.reverts(groups.GroupNotListed, group=team, member=person.address):
                members, sealed = [people["nurse"], person], [OTHER_SEALED, OTHER_SEALED]
                groups.renew(team, 1, OTHER_KEYS, members, sealed, sender=people["doctor"])

        assert groups.groupOf(team).generation == 0
        assert groups.sealedKeyOf(team, people["nurse"]) == SEALED

    def test_does_not_name_who_left(self, groups: Any, people: dict[str, Any], team: str) -> None:
        groups.removeMember(team, people["nurse"], sender=people["nurse"])

        with ape.reverts(groups.GroupNotListed, group=team, member=people["nurse"].address):
            groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], [OTHER_SEALED], sender=people["doctor"])
        groups.renew(team, 1, OTHER_KEYS, [], [], sender=people["doctor"])

    def test_reverts_without_keys(self, groups: Any, people: dict[str, Any], team: str) -> None:
        with ape.reverts(groups.GroupWithoutKeys, caller=people["doctor"].address):
            groups.renew(team, 1, bytes(32), [], [], sender=people["doctor"])

    @pytest.mark.parametrize("sealed", [[], [OTHER_SEALED, OTHER_SEALED]], ids=["less", "more"])
    def test_reverts_for_another_number_of_sealed_keys(
        self, groups: Any, people: dict[str, Any], team: str, sealed: list[bytes]
    ) -> None:
        with ape.reverts(groups.GroupRenewalLengths, members=1, sealedKeys=len(sealed)):
            groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], sealed, sender=people["doctor"])

    def test_reverts_if_nothing_is_sealed(self, groups: Any, people: dict[str, Any], team: str) -> None:
        with ape.reverts(groups.GroupWithoutSealedKey, group=team, member=people["nurse"].address):
            groups.renew(team, 1, OTHER_KEYS, [people["nurse"]], [NOTHING], sender=people["doctor"])

    def test_reverts_without_a_group(self, groups: Any, people: dict[str, Any]) -> None:
        with ape.reverts(groups.GroupNotManager, group=to_checksum_address(UNKNOWN_GROUP)):
            groups.renew(UNKNOWN_GROUP, 1, OTHER_KEYS, [], [], sender=people["doctor"])


class TestHandOver:
    def test_next_manager_manages_and_the_one_before_does_not(
        self, groups: Any, people: dict[str, Any], team: str, hospital: Any
    ) -> None:
        groups.addMember(team, people["elsewhere"], SEALED, sender=people["doctor"])
        with ape.reverts(groups.GroupNotAccepted, group=team, member=people["elsewhere"].address):
            groups.handOver(team, people["elsewhere"], sender=people["doctor"])
        groups.accept(team, sender=people["elsewhere"])

        receipt = groups.handOver(team, people["elsewhere"], sender=people["doctor"])

        event = next(iter(receipt.decode_logs(groups.GroupHandedOver)))
        assert (event.group, event.manager) == (team, people["elsewhere"].address)
        found = groups.groupOf(team)
        assert (found.manager, found.organisation) == (people["elsewhere"].address, hospital.address)
        assert groups.isMember(team, people["nurse"])
        with ape.reverts(groups.GroupNotManager):
            groups.removeMember(team, people["nurse"], sender=people["doctor"])
        groups.removeMember(team, people["nurse"], sender=people["elsewhere"])
        assert (groups.managedBy(people["doctor"]), groups.managedBy(people["elsewhere"])) == (0, 1)

    def test_rejects_everybody_but_the_manager(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, registrar: Any
    ) -> None:
        for caller in (people["nurse"], people["elsewhere"], stranger, registrar):
            with ape.reverts(groups.GroupNotManager, group=team, caller=caller.address):
                groups.handOver(team, people["nurse"], sender=caller)

    def test_reverts_for_who_is_no_active_practitioner(
        self, groups: Any, identities: Any, people: dict[str, Any], group: str, stranger: Any, registrar: Any
    ) -> None:
        identities.suspend(people["nurse"], sender=registrar)

        for account in (people["patient"].address, stranger.address, people["nurse"].address, NOBODY):
            with ape.reverts(groups.GroupNotActivePractitioner, account=account):
                groups.handOver(group, account, sender=people["doctor"])


class TestClose:
    def test_manager_closes_for_good(self, groups: Any, people: dict[str, Any], team: str) -> None:
        receipt = groups.close(team, sender=people["doctor"])

        assert next(iter(receipt.decode_logs(groups.GroupClosed))).group == team
        assert groups.groupOf(team).closed
        assert not groups.isMember(team, people["nurse"])
        doctor, nurse = people["doctor"], people["nurse"]
        acts = [
            lambda: groups.addMember(team, nurse, SEALED, sender=doctor),
            lambda: groups.removeMember(team, nurse, sender=doctor),
            lambda: groups.handOver(team, nurse, sender=doctor),
            lambda: groups.close(team, sender=doctor),
        ]
        for act in acts:
            with ape.reverts(groups.GroupAlreadyClosed, group=team):
                act()
        groups.removeMember(team, nurse, sender=nurse)

    def test_rejects_everybody_but_the_manager(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, registrar: Any
    ) -> None:
        for caller in (people["nurse"], stranger, registrar):
            with ape.reverts(groups.GroupNotManager, group=team, caller=caller.address):
                groups.close(team, sender=caller)

        assert groups.isMember(team, people["nurse"])


class TestCloseByRegistrar:
    def test_registrar_closes_what_a_suspended_manager_left(
        self, groups: Any, identities: Any, people: dict[str, Any], team: str, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        receipt = groups.closeByRegistrar(team, sender=registrar)

        assert next(iter(receipt.decode_logs(groups.GroupClosed))).group == team
        assert not groups.isMember(team, people["nurse"])
        with ape.reverts(groups.GroupAlreadyClosed, group=team):
            groups.closeByRegistrar(team, sender=registrar)

    def test_rejects_everybody_else(
        self, groups: Any, people: dict[str, Any], team: str, stranger: Any, admin: Any
    ) -> None:
        for caller in (people["doctor"], people["nurse"], stranger, admin):
            with ape.reverts(groups.AccessManagedUnauthorized, caller=caller.address):
                groups.closeByRegistrar(team, sender=caller)

    def test_reverts_without_a_group(self, groups: Any, registrar: Any) -> None:
        with ape.reverts(groups.GroupUnknown, group=to_checksum_address(UNKNOWN_GROUP)):
            groups.closeByRegistrar(UNKNOWN_GROUP, sender=registrar)


class TestIsMember:
    def test_follows_the_identity(
        self, groups: Any, identities: Any, people: dict[str, Any], team: str, registrar: Any
    ) -> None:
        found = [groups.isMember(team, people["nurse"])]
        identities.suspend(people["nurse"], sender=registrar)
        found.append(groups.isMember(team, people["nurse"]))
        identities.reinstate(people["nurse"], sender=registrar)
        found.append(groups.isMember(team, people["nurse"]))

        assert found == [True, False, True]

    def test_knows_nobody_else(self, groups: Any, people: dict[str, Any], team: str, stranger: Any) -> None:
        for account in (people["doctor"], people["patient"], people["elsewhere"], stranger):
            assert not groups.isMember(team, account)
        assert not groups.isMember(UNKNOWN_GROUP, people["nurse"])
