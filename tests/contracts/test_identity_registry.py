"""IdentityRegistry: who is admitted and suspended, what a patient lets hospitals do, how guardians move them."""

from __future__ import annotations

from typing import Any

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak

PATIENT, PRACTITIONER = 1, 2
UNKNOWN, ACTIVE, SUSPENDED, REPLACED = range(4)
SUSPENDER = 2
"""A role of the access manager."""
DELAY = 72 * 3600
KEYS = b"k" * 32
NOBODY = "0x" + "00" * 20
SOMEBODY = "0x" + "77" * 20
"""Registered by no fixture."""
LOOKUP, OTHER_LOOKUP = b"l" * 32, b"o" * 32
PAIRING = b"p" * 32


def ascending(*members: Any) -> list[Any]:
    return sorted(members, key=lambda member: int(member.address, 16))


@pytest.fixture
def successors(identities: Any, registrar: Any, accounts: Any) -> list[str]:
    """Two more active patients."""
    made = [account.address for account in accounts[8:10]]
    for account in made:
        identities.register(account, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)
    return made


@pytest.fixture
def successor(successors: list[str]) -> str:
    return successors[0]


@pytest.fixture
def guardians(identities: Any, people: dict[str, Any], relay: Any) -> list[Any]:
    """Three guardians of the patient, two of whom are needed; one isn't registered."""
    chosen = ascending(people["doctor"], people["nurse"], relay)
    identities.setGuardians(chosen, 2, sender=people["patient"])
    return chosen


@pytest.fixture
def ready_at(identities: Any, people: dict[str, Any], guardians: list[Any], successor: str) -> int:
    """When the open recovery of the patient can be completed."""
    for guardian in guardians[:2]:
        identities.approveRecovery(people["patient"], successor, sender=guardian)
    return int(identities.recoveryOf(people["patient"]).readyAt)


class TestChangeKeys:
    def test_a_practitioner_changes_their_own_keys_and_nobody_else_theirs(
        self, identities: Any, people: dict[str, Any], registrar: Any
    ) -> None:
        kept = identities.identityOf(people["doctor"]).keys
        for nobody in (people["patient"], registrar):
            with ape.reverts(identities.IdentityNotActivePractitioner):
                identities.changeKeys(kept, b"\2" * 32, 1, sender=nobody)

        receipt = identities.changeKeys(kept, b"\2" * 32, 1, sender=people["doctor"])

        event = next(iter(receipt.decode_logs(identities.IdentityKeysChanged)))
        assert (event.account, event.keyDigest, event.earlierEndsAt) == (people["doctor"], b"\2" * 32, 1)
        fields = [kept, b"\2" * 32, receipt.timestamp, 1]
        assert identities.identityOf(people["doctor"]).keys == keccak(
            encode(["bytes32", "bytes32", "uint48", "uint48"], fields)
        )
        with ape.reverts(identities.IdentityKeysChangedMeanwhile):
            identities.changeKeys(kept, b"\3" * 32, 1, sender=people["doctor"])


class TestRegister:
    def test_admits_a_patient_under_his_lookup_key(self, identities: Any, registrar: Any) -> None:
        receipt = identities.register(SOMEBODY, PATIENT, LOOKUP, KEYS, NOBODY, b"sealed", sender=registrar)

        assert tuple(identities.identityOf(SOMEBODY)) == (PATIENT, ACTIVE, receipt.timestamp, NOBODY, KEYS)
        assert identities.accountOf(LOOKUP) == SOMEBODY
        event = next(iter(receipt.decode_logs(identities.IdentityRegistered)))
        assert (event.account, event.role, event.organisation) == (SOMEBODY, PATIENT, NOBODY)
        assert (event.keyDigest, event.personal) == (KEYS, b"sealed")

    def test_admits_a_practitioner_of_a_hospital(self, identities: Any, registrar: Any, hospital: Any) -> None:
        receipt = identities.register(SOMEBODY, PRACTITIONER, bytes(32), KEYS, hospital, b"", sender=registrar)

        assert identities.identityOf(SOMEBODY).organisation == hospital.address
        event = next(iter(receipt.decode_logs(identities.IdentityRegistered)))
        assert (event.role, event.organisation) == (PRACTITIONER, hospital.address)

    def test_rejects_everybody_but_the_registrar(
        self, identities: Any, stranger: Any, admin: Any, people: dict[str, Any]
    ) -> None:
        for caller in (stranger, admin, people["doctor"]):
            with ape.reverts(identities.AccessManagedUnauthorized, caller=caller.address):
                identities.register(SOMEBODY, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=caller)

        assert identities.identityOf(SOMEBODY).status == UNKNOWN

    @pytest.mark.parametrize(("account", "role"), [(NOBODY, PATIENT), (SOMEBODY, 0)])
    def test_reverts_for_the_zero_account_and_without_a_role(
        self, identities: Any, registrar: Any, account: str, role: int
    ) -> None:
        with ape.reverts(identities.IdentityInvalid, account=account, role=role):
            identities.register(account, role, LOOKUP, KEYS, NOBODY, b"", sender=registrar)

    def test_reverts_if_registered_already_or_suspended(
        self, identities: Any, registrar: Any, people: dict[str, Any]
    ) -> None:
        identities.suspend(people["nurse"], sender=registrar)

        for account in (people["doctor"], people["nurse"]):
            with ape.reverts(identities.IdentityAlreadyRegistered, account=account.address):
                identities.register(account, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)

    def test_reverts_if_lookup_key_is_taken(self, identities: Any, registrar: Any, stranger: Any) -> None:
        identities.register(SOMEBODY, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)

        with ape.reverts(identities.IdentityLookupTaken, lookup=LOOKUP):
            identities.register(stranger, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)

        assert identities.accountOf(LOOKUP) == SOMEBODY

    def test_zero_lookup_key_is_nobodys(self, identities: Any, registrar: Any, people: dict[str, Any]) -> None:
        # Four people were admitted without one already.
        identities.register(SOMEBODY, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)

        assert identities.isActive(people["patient"], PATIENT)
        assert identities.isActive(SOMEBODY, PATIENT)
        assert identities.accountOf(bytes(32)) == NOBODY

    def test_reverts_for_who_has_no_keys(self, identities: Any, registrar: Any) -> None:
        with ape.reverts(identities.IdentityWithoutKeys, account=SOMEBODY):
            identities.register(SOMEBODY, PATIENT, LOOKUP, bytes(32), NOBODY, b"", sender=registrar)


class TestSuspend:
    def test_suspended_person_is_not_active(self, identities: Any, registrar: Any, people: dict[str, Any]) -> None:
        receipt = identities.suspend(people["doctor"], sender=registrar)

        assert identities.identityOf(people["doctor"]).status == SUSPENDED
        assert not identities.isActive(people["doctor"], PRACTITIONER)
        event = next(iter(receipt.decode_logs(identities.IdentitySuspended)))
        assert event.account == people["doctor"].address

    def test_rejects_stranger_and_the_administrator(
        self, identities: Any, stranger: Any, admin: Any, people: dict[str, Any]
    ) -> None:
        for caller in (stranger, admin, people["nurse"]):
            with ape.reverts(identities.AccessManagedUnauthorized, caller=caller.address):
                identities.suspend(people["doctor"], sender=caller)

        assert identities.isActive(people["doctor"], PRACTITIONER)

    def test_reverts_if_unknown_or_suspended_already(
        self, identities: Any, registrar: Any, people: dict[str, Any]
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        for account, actual in ((people["doctor"].address, SUSPENDED), (SOMEBODY, UNKNOWN)):
            with ape.reverts(identities.IdentityUnexpectedStatus, account=account, actual=actual):
                identities.suspend(account, sender=registrar)


class TestReinstate:
    def test_reinstated_person_is_active_in_the_same_role(
        self, identities: Any, registrar: Any, people: dict[str, Any]
    ) -> None:
        before = tuple(identities.identityOf(people["doctor"]))
        identities.suspend(people["doctor"], sender=registrar)

        receipt = identities.reinstate(people["doctor"], sender=registrar)

        assert tuple(identities.identityOf(people["doctor"])) == before
        event = next(iter(receipt.decode_logs(identities.IdentityReinstated)))
        assert event.account == people["doctor"].address

    def test_rejects_stranger_and_who_may_only_suspend(
        self, identities: Any, manager: Any, admin: Any, relay: Any, stranger: Any, people: dict[str, Any]
    ) -> None:
        manager.grantRole(SUSPENDER, relay, 0, sender=admin)
        identities.suspend(people["doctor"], sender=relay)

        for caller in (relay, stranger, admin, people["doctor"]):
            with ape.reverts(identities.AccessManagedUnauthorized, caller=caller.address):
                identities.reinstate(people["doctor"], sender=caller)

    def test_reverts_if_unknown_or_active(self, identities: Any, registrar: Any, people: dict[str, Any]) -> None:
        for account, actual in ((people["doctor"].address, ACTIVE), (SOMEBODY, UNKNOWN)):
            with ape.reverts(identities.IdentityUnexpectedStatus, account=account, actual=actual):
                identities.reinstate(account, sender=registrar)


class TestPair:
    def test_patient_pairs_and_a_second_pairing_replaces_the_first(
        self, identities: Any, people: dict[str, Any], hospital: Any
    ) -> None:
        patient = people["patient"]
        identities.pair(hospital, b"o" * 32, sender=patient)

        receipt = identities.pair(hospital, PAIRING, sender=patient)

        assert identities.pairingOf(patient, hospital) == PAIRING
        event = next(iter(receipt.decode_logs(identities.HospitalPaired)))
        assert (event.patient, event.hospital, event.pairing) == (patient.address, hospital.address, PAIRING)

    def test_rejects_stranger_and_practitioner(
        self, identities: Any, people: dict[str, Any], hospital: Any, stranger: Any
    ) -> None:
        for caller in (stranger, people["doctor"], hospital):
            with ape.reverts(identities.IdentityNotActivePatient, account=caller.address):
                identities.pair(hospital, PAIRING, sender=caller)

    def test_rejects_suspended_patient(
        self, identities: Any, people: dict[str, Any], registrar: Any, hospital: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        with ape.reverts(identities.IdentityNotActivePatient):
            identities.pair(hospital, PAIRING, sender=people["patient"])
        identities.reinstate(people["patient"], sender=registrar)
        identities.pair(hospital, PAIRING, sender=people["patient"])

        assert identities.pairingOf(people["patient"], hospital) == PAIRING

    def test_a_patient_names_a_block_of_their_own_beside_the_pairings(
        self, identities: Any, people: dict[str, Any], hospital: Any
    ) -> None:
        # ADR 52: their own account is nobody's hospital.
        patient = people["patient"]
        identities.pair(hospital, PAIRING, sender=patient)
        identities.pair(patient, b"b" * 32, sender=patient)
        assert identities.pairingOf(patient, patient) == b"b" * 32
        assert identities.pairingOf(patient, hospital) == PAIRING

    def test_reverts_for_the_zero_hospital_and_without_a_pairing(
        self, identities: Any, people: dict[str, Any], hospital: Any
    ) -> None:
        for at, pairing in ((NOBODY, PAIRING), (hospital.address, bytes(32))):
            with ape.reverts(identities.IdentityNotPaired, patient=people["patient"].address, hospital=at):
                identities.pair(at, pairing, sender=people["patient"])


class TestUnpair:
    def test_takes_back_the_assent_to_one_hospital(
        self, identities: Any, people: dict[str, Any], hospital: Any, stranger: Any
    ) -> None:
        patient = people["patient"]
        for at in (hospital, stranger):
            identities.pair(at, PAIRING, sender=patient)

        receipt = identities.unpair(hospital, sender=patient)

        assert [identities.pairingOf(patient, at) for at in (hospital, stranger)] == [bytes(32), PAIRING]
        event = next(iter(receipt.decode_logs(identities.HospitalUnpaired)))
        assert (event.patient, event.hospital) == (patient.address, hospital.address)

    def test_nobody_else_unpairs(
        self, identities: Any, people: dict[str, Any], hospital: Any, registrar: Any, stranger: Any
    ) -> None:
        identities.pair(hospital, PAIRING, sender=people["patient"])

        for caller in (stranger, registrar, hospital, people["doctor"]):
            with ape.reverts(identities.IdentityNotPaired, patient=caller.address):
                identities.unpair(hospital, sender=caller)

        assert identities.pairingOf(people["patient"], hospital) == PAIRING

    def test_reverts_if_not_paired_or_unpaired_already(
        self, identities: Any, people: dict[str, Any], hospital: Any
    ) -> None:
        with ape.reverts(identities.IdentityNotPaired):
            identities.unpair(hospital, sender=people["patient"])
        identities.pair(hospital, PAIRING, sender=people["patient"])
        identities.unpair(hospital, sender=people["patient"])
        with ape.reverts(identities.IdentityNotPaired):
            identities.unpair(hospital, sender=people["patient"])


class TestSetGuardians:
    def test_names_replaces_and_removes_guardians(
        self, identities: Any, people: dict[str, Any], relay: Any, stranger: Any
    ) -> None:
        patient = people["patient"]
        for members, threshold in ((ascending(relay, stranger), 1), (ascending(relay, people["nurse"]), 2), ([], 0)):
            receipt = identities.setGuardians(members, threshold, sender=patient)

            expected = ([member.address for member in members], threshold)
            assert tuple(identities.guardiansOf(patient)) == expected
            event = next(iter(receipt.decode_logs(identities.GuardiansChanged)))
            assert (event.patient, (event.guardians, event.threshold)) == (patient.address, expected)

    def test_rejects_stranger_and_practitioner(
        self, identities: Any, people: dict[str, Any], stranger: Any, relay: Any
    ) -> None:
        for caller in (stranger, people["doctor"]):
            with ape.reverts(identities.IdentityNotActivePatient, account=caller.address):
                identities.setGuardians([relay], 1, sender=caller)

    def test_rejects_suspended_patient(
        self, identities: Any, people: dict[str, Any], registrar: Any, relay: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        with ape.reverts(identities.IdentityNotActivePatient):
            identities.setGuardians([relay], 1, sender=people["patient"])

    @pytest.mark.parametrize(("count", "threshold"), [(0, 1), (1, 0), (1, 2), (3, 4), (16, 17), (17, 1)])
    def test_reverts_if_too_many_or_threshold_is_zero_or_out_of_reach(
        self, identities: Any, people: dict[str, Any], count: int, threshold: int
    ) -> None:
        members = [f"0x{number:040d}" for number in range(1, count + 1)]

        with ape.reverts(identities.IdentityInvalidGuardians, guardians=count, threshold=threshold):
            identities.setGuardians(members, threshold, sender=people["patient"])

    @pytest.mark.parametrize("threshold", [1, 16])
    def test_sixteen_guardians_fit(self, identities: Any, people: dict[str, Any], threshold: int) -> None:
        members = [f"0x{number:040d}" for number in range(1, 17)]

        identities.setGuardians(members, threshold, sender=people["patient"])

        assert tuple(identities.guardiansOf(people["patient"])) == (members, threshold)

    def test_reverts_if_not_ascending_or_twice_or_zero_or_himself(
        self, identities: Any, people: dict[str, Any], relay: Any, stranger: Any
    ) -> None:
        low, high = ascending(relay, stranger)
        patient = people["patient"]
        for members, bad in (([high, low], low), ([low, low], low), ([patient], patient)):
            with ape.reverts(identities.IdentityInvalidGuardian, guardian=bad.address):
                identities.setGuardians(members, 1, sender=patient)
        with ape.reverts(identities.IdentityInvalidGuardian, guardian=NOBODY):
            identities.setGuardians([NOBODY, low], 1, sender=patient)

    def test_voids_an_open_recovery(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], ready_at: int, chain: Any, relay: Any
    ) -> None:
        identities.setGuardians(guardians, 2, sender=people["patient"])

        assert tuple(identities.recoveryOf(people["patient"])) == (NOBODY, 0)
        chain.pending_timestamp = ready_at
        with ape.reverts(identities.IdentityRecoveryNotReady, readyAt=0):
            identities.completeRecovery(people["patient"], sender=relay)

    def test_voids_approvals_before(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str
    ) -> None:
        patient = people["patient"]
        identities.approveRecovery(patient, successor, sender=guardians[0])

        identities.setGuardians(guardians, 2, sender=patient)

        identities.approveRecovery(patient, successor, sender=guardians[1])
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        identities.approveRecovery(patient, successor, sender=guardians[0])
        assert identities.recoveryOf(patient).successor == successor


class TestApproveRecovery:
    def test_one_of_two_opens_nothing(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str
    ) -> None:
        patient = people["patient"]

        receipt = identities.approveRecovery(patient, successor, sender=guardians[0])

        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        event = next(iter(receipt.decode_logs(identities.RecoveryApproved)))
        assert (event.patient, event.successor, event.guardian) == (patient.address, successor, guardians[0].address)
        assert not list(receipt.decode_logs(identities.RecoveryOpened))

    @pytest.mark.parametrize("pair", [(0, 1), (2, 0), (1, 2)])
    def test_any_two_open_it_for_72_hours_later(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str, pair: tuple[int, int]
    ) -> None:
        patient = people["patient"]
        identities.approveRecovery(patient, successor, sender=guardians[pair[0]])

        receipt = identities.approveRecovery(patient, successor, sender=guardians[pair[1]])

        ready_at = receipt.timestamp + DELAY
        assert tuple(identities.recoveryOf(patient)) == (successor, ready_at)
        event = next(iter(receipt.decode_logs(identities.RecoveryOpened)))
        assert (event.patient, event.successor, event.readyAt) == (patient.address, successor, ready_at)

    def test_approvals_for_different_successors_do_not_add_up(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successors: list[str]
    ) -> None:
        patient = people["patient"]
        for guardian, successor in zip(guardians[:2], successors, strict=True):
            identities.approveRecovery(patient, successor, sender=guardian)
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)

        identities.approveRecovery(patient, successors[1], sender=guardians[0])

        assert identities.recoveryOf(patient).successor == successors[1]

    @pytest.mark.usefixtures("guardians")
    def test_rejects_who_is_no_guardian(
        self, identities: Any, people: dict[str, Any], successor: str, stranger: Any, registrar: Any
    ) -> None:
        patient = people["patient"]
        for caller in (stranger, registrar, patient, people["elsewhere"]):
            with ape.reverts(identities.IdentityNotGuardian, patient=patient.address, caller=caller.address):
                identities.approveRecovery(patient, successor, sender=caller)

    def test_rejects_former_guardian(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str
    ) -> None:
        identities.setGuardians(guardians[1:], 1, sender=people["patient"])

        with ape.reverts(identities.IdentityNotGuardian):
            identities.approveRecovery(people["patient"], successor, sender=guardians[0])
        identities.approveRecovery(people["patient"], successor, sender=guardians[1])

        assert identities.recoveryOf(people["patient"]).successor == successor

    def test_reverts_if_successor_is_not_another_active_patient(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str, registrar: Any
    ) -> None:
        patient = people["patient"].address
        identities.suspend(successor, sender=registrar)

        for bad in (patient, people["elsewhere"].address, successor, SOMEBODY, NOBODY):
            with ape.reverts(identities.IdentityInvalidSuccessor, patient=patient, successor=bad):
                identities.approveRecovery(patient, bad, sender=guardians[0])

    def test_reverts_if_the_guardian_repeats_himself(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str
    ) -> None:
        patient = people["patient"]
        identities.approveRecovery(patient, successor, sender=guardians[0])

        with ape.reverts(identities.IdentityAlreadyApproved, patient=patient.address, guardian=guardians[0].address):
            identities.approveRecovery(patient, successor, sender=guardians[0])

        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)

    def test_reverts_if_a_recovery_is_open(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successors: list[str], ready_at: int
    ) -> None:
        patient = people["patient"]

        for successor in successors:
            with ape.reverts(identities.IdentityRecoveryOpen, patient=patient.address, successor=successors[0]):
                identities.approveRecovery(patient, successor, sender=guardians[2])

        assert tuple(identities.recoveryOf(patient)) == (successors[0], ready_at)

    def test_moves_a_suspended_patient_too(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str, registrar: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        for guardian in guardians[:2]:
            identities.approveRecovery(people["patient"], successor, sender=guardian)

        assert identities.recoveryOf(people["patient"]).successor == successor


class TestCancelRecovery:
    def test_patient_vetoes_an_open_recovery(
        self, identities: Any, people: dict[str, Any], ready_at: int, chain: Any, relay: Any
    ) -> None:
        receipt = identities.cancelRecovery(sender=people["patient"])

        assert tuple(identities.recoveryOf(people["patient"])) == (NOBODY, 0)
        event = next(iter(receipt.decode_logs(identities.RecoveryCancelled)))
        assert event.patient == people["patient"].address
        chain.pending_timestamp = ready_at
        with ape.reverts(identities.IdentityRecoveryNotReady, readyAt=0):
            identities.completeRecovery(people["patient"], sender=relay)

    def test_veto_counts_when_the_delay_is_over_too(
        self, identities: Any, people: dict[str, Any], ready_at: int, chain: Any, relay: Any
    ) -> None:
        chain.pending_timestamp = ready_at + 1000

        identities.cancelRecovery(sender=people["patient"])

        with ape.reverts(identities.IdentityRecoveryNotReady):
            identities.completeRecovery(people["patient"], sender=relay)
        assert identities.isActive(people["patient"], PATIENT)

    def test_voids_approvals_before_but_not_the_guardians(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], successor: str
    ) -> None:
        patient = people["patient"]
        identities.approveRecovery(patient, successor, sender=guardians[0])

        identities.cancelRecovery(sender=patient)

        identities.approveRecovery(patient, successor, sender=guardians[1])
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        identities.approveRecovery(patient, successor, sender=guardians[0])
        assert identities.recoveryOf(patient).successor == successor

    @pytest.mark.usefixtures("ready_at")
    def test_suspended_patient_vetoes_too(self, identities: Any, people: dict[str, Any], registrar: Any) -> None:
        identities.suspend(people["patient"], sender=registrar)

        identities.cancelRecovery(sender=people["patient"])

        assert tuple(identities.recoveryOf(people["patient"])) == (NOBODY, 0)

    def test_nobody_else_vetoes(
        self, identities: Any, people: dict[str, Any], successor: str, ready_at: int, stranger: Any
    ) -> None:
        with ape.reverts(identities.IdentityUnexpectedStatus, account=stranger.address, actual=UNKNOWN):
            identities.cancelRecovery(sender=stranger)
        # Another person's veto concerns their own account only.
        identities.cancelRecovery(sender=people["nurse"])

        assert tuple(identities.recoveryOf(people["patient"])) == (successor, ready_at)

    def test_rejects_replaced_patient(
        self, identities: Any, people: dict[str, Any], ready_at: int, chain: Any, accounts: Any, successor: str
    ) -> None:
        chain.pending_timestamp = ready_at
        identities.completeRecovery(people["patient"], sender=accounts[successor])

        with ape.reverts(identities.IdentityUnexpectedStatus, actual=REPLACED):
            identities.cancelRecovery(sender=people["patient"])


class TestCompleteRecovery:
    def test_reverts_a_second_before_and_not_when_the_delay_is_over(
        self, identities: Any, people: dict[str, Any], successor: str, ready_at: int, chain: Any, accounts: Any
    ) -> None:
        patient = people["patient"]
        chain.pending_timestamp = ready_at - 1
        with ape.reverts(
            identities.IdentityRecoveryNotReady, patient=patient.address, readyAt=ready_at, currentTime=ready_at - 1
        ):
            identities.completeRecovery(patient, sender=accounts[successor])

        receipt = identities.completeRecovery(patient, sender=accounts[successor])

        assert receipt.timestamp == ready_at
        event = next(iter(receipt.decode_logs(identities.IdentityReplaced)))
        assert (event.patient, event.successor) == (patient.address, successor)

    def test_patient_is_the_successor_from_then_on(
        self, identities: Any, people: dict[str, Any], successor: str, ready_at: int, chain: Any, accounts: Any
    ) -> None:
        patient = people["patient"]
        chain.pending_timestamp = ready_at
        identities.completeRecovery(patient, sender=accounts[successor])

        assert identities.successorOf(patient) == successor
        assert identities.identityOf(patient).status == REPLACED
        assert (identities.isActive(patient, PATIENT), identities.isActive(successor, PATIENT)) == (False, True)
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)

    def test_successor_inherits_the_lookup_key(
        self, identities: Any, registrar: Any, relay: Any, stranger: Any, successor: str, chain: Any, accounts: Any
    ) -> None:
        identities.register(stranger, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)
        identities.setGuardians([relay], 1, sender=stranger)
        identities.approveRecovery(stranger, successor, sender=relay)

        chain.pending_timestamp = identities.recoveryOf(stranger).readyAt
        identities.completeRecovery(stranger, sender=accounts[successor])

        assert identities.accountOf(LOOKUP) == successor

    def test_so_does_the_successors_own_successor(
        self, identities: Any, registrar: Any, relay: Any, stranger: Any, accounts: Any, successor: str, chain: Any
    ) -> None:
        # Nobody of `people`, who are registered.
        second = accounts[1]
        identities.register(stranger, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)
        identities.register(second, PATIENT, OTHER_LOOKUP, KEYS, NOBODY, b"", sender=registrar)
        for patient, following in ((stranger, second), (second, successor)):
            identities.setGuardians([relay], 1, sender=patient)
            identities.approveRecovery(patient, following, sender=relay)
            chain.pending_timestamp = identities.recoveryOf(patient).readyAt
            identities.completeRecovery(patient, sender=accounts[str(following)])

        # Also under the key that the middle account had of its own.
        assert identities.accountOf(LOOKUP) == identities.accountOf(OTHER_LOOKUP) == successor
        assert [identities.newestOf(one) for one in (stranger, second, successor)] == [successor] * 3
        assert identities.successorOf(stranger) == second.address

    def test_rejects_everybody_but_the_successor(
        self, identities: Any, people: dict[str, Any], guardians: list[Any], ready_at: int, chain: Any, stranger: Any
    ) -> None:
        chain.pending_timestamp = ready_at
        for caller in (stranger, people["patient"], *guardians):
            with ape.reverts(identities.IdentityNotSuccessor, caller=caller.address):
                identities.completeRecovery(people["patient"], sender=caller)

        assert identities.newestOf(people["patient"]) == people["patient"].address

    @pytest.mark.usefixtures("ready_at")
    def test_nothing_is_replaced_before(self, identities: Any, people: dict[str, Any]) -> None:
        assert identities.isActive(people["patient"], PATIENT)
        assert identities.successorOf(people["patient"]) == NOBODY

    @pytest.mark.usefixtures("guardians")
    def test_reverts_without_a_recovery(self, identities: Any, people: dict[str, Any], stranger: Any) -> None:
        for account in (people["patient"].address, people["doctor"].address, SOMEBODY):
            with ape.reverts(identities.IdentityRecoveryNotReady, patient=account, readyAt=0):
                identities.completeRecovery(account, sender=stranger)

    def test_reverts_while_the_successor_is_suspended(
        self,
        identities: Any,
        people: dict[str, Any],
        successor: str,
        ready_at: int,
        chain: Any,
        registrar: Any,
        accounts: Any,
    ) -> None:
        identities.suspend(successor, sender=registrar)
        chain.pending_timestamp = ready_at

        with ape.reverts(identities.IdentityInvalidSuccessor, successor=successor):
            identities.completeRecovery(people["patient"], sender=accounts[successor])
        identities.reinstate(successor, sender=registrar)
        identities.completeRecovery(people["patient"], sender=accounts[successor])

        assert identities.successorOf(people["patient"]) == successor

    def test_replaced_account_never_acts_again(
        self,
        identities: Any,
        people: dict[str, Any],
        ready_at: int,
        chain: Any,
        registrar: Any,
        hospital: Any,
        accounts: Any,
        successor: str,
    ) -> None:
        patient = people["patient"]
        chain.pending_timestamp = ready_at
        identities.completeRecovery(patient, sender=accounts[successor])

        with ape.reverts(identities.IdentityNotActivePatient):
            identities.pair(hospital, PAIRING, sender=patient)
        with ape.reverts(identities.IdentityNotActivePatient):
            identities.setGuardians([], 0, sender=patient)

    def test_replaced_account_never_comes_back(
        self,
        identities: Any,
        people: dict[str, Any],
        ready_at: int,
        chain: Any,
        registrar: Any,
        accounts: Any,
        successor: str,
    ) -> None:
        patient = people["patient"]
        chain.pending_timestamp = ready_at
        identities.completeRecovery(patient, sender=accounts[successor])

        for change in (identities.reinstate, identities.suspend):
            with ape.reverts(identities.IdentityUnexpectedStatus, actual=REPLACED):
                change(patient, sender=registrar)
        with ape.reverts(identities.IdentityAlreadyRegistered):
            identities.register(patient, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)

    def test_replaced_account_is_not_moved_again(
        self,
        identities: Any,
        people: dict[str, Any],
        guardians: list[Any],
        successors: list[str],
        ready_at: int,
        chain: Any,
        accounts: Any,
    ) -> None:
        chain.pending_timestamp = ready_at
        identities.completeRecovery(people["patient"], sender=accounts[successors[0]])

        for successor in successors:
            with ape.reverts(identities.IdentityInvalidSuccessor, successor=successor):
                identities.approveRecovery(people["patient"], successor, sender=guardians[0])
        with ape.reverts(identities.IdentityRecoveryNotReady, readyAt=0):
            identities.completeRecovery(people["patient"], sender=accounts[successors[0]])


class TestViews:
    def test_zeros_for_the_unknown(self, identities: Any, hospital: Any) -> None:
        assert tuple(identities.identityOf(SOMEBODY)) == (0, UNKNOWN, 0, NOBODY, bytes(32))
        assert identities.pairingOf(SOMEBODY, hospital) == bytes(32)
        assert identities.accountOf(LOOKUP) == NOBODY
        assert tuple(identities.guardiansOf(SOMEBODY)) == ([], 0)
        assert tuple(identities.recoveryOf(SOMEBODY)) == (NOBODY, 0)
        assert identities.successorOf(SOMEBODY) == NOBODY
        assert identities.newestOf(SOMEBODY) == SOMEBODY

    def test_active_in_the_own_role_only(self, identities: Any, people: dict[str, Any]) -> None:
        for name, own in (("patient", PATIENT), ("doctor", PRACTITIONER)):
            assert [identities.isActive(people[name], role) for role in range(3)] == [role == own for role in range(3)]
        assert not any(identities.isActive(SOMEBODY, role) for role in range(3))
