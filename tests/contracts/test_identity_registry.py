"""IdentityRegistry: who is admitted and suspended, what a patient lets hospitals do, how guardians move them."""

from __future__ import annotations

from typing import Any

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak

from panachain.chain.contracts.guardianships import guardian_commitment

PATIENT, PRACTITIONER = 1, 2
UNKNOWN, ACTIVE, SUSPENDED, REPLACED = range(4)
SUSPENDER = 2
"""A role of the access manager."""
DELAY = 72 * 3600
FREEZE, COMPLETION, APPROVAL = 72 * 3600, 14 * 86_400, 14 * 86_400
SALT = b"s" * 32
INVITATIONS = b"i" * 32
KEYS = b"k" * 32
NOBODY = "0x" + "00" * 20
SOMEBODY = "0x" + "77" * 20
"""Registered by no fixture."""
LOOKUP, OTHER_LOOKUP = b"l" * 32, b"o" * 32
PAIRING = b"p" * 32


def listed(patient: Any, *guardians: Any) -> list[bytes]:
    """Return the commitments to guardians, as `setGuardians` takes them."""
    return sorted(guardian_commitment(patient.address, guardian.address, SALT) for guardian in guardians)


def name(
    identities: Any, patient: Any, *guardians: Any, threshold: int = 1, delay: int = DELAY, sender: Any = None
) -> Any:
    """Name guardians; the list is what they know from then on."""
    commitments = listed(patient, *guardians)
    return identities.setGuardians(commitments, threshold, delay, INVITATIONS, sender=sender or patient)


class Guardian:
    """Somebody who acts by a list of commitments."""

    def __init__(self, identities: Any, patient: Any, account: Any, guardians: list[Guardian]) -> None:
        self._identities, self._patient, self.account = identities, patient, account
        self._list = listed(patient, *guardians)
        own = guardian_commitment(patient.address, account.address, SALT)
        self._knows = (self._list, self._list.index(own) if own in self._list else 0, SALT)

    @property
    def address(self) -> str:
        return str(self.account.address)

    def approve(self, successor: Any) -> Any:
        return self._identities.approveRecovery(self._patient, successor, *self._knows, sender=self.account)

    def freeze(self) -> Any:
        return self._identities.freezeFor(self._patient, *self._knows, sender=self.account)

    def is_one(self) -> bool:
        return bool(self._identities.isGuardian(self._patient, self.account, *self._knows))


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
def guardians(identities: Any, people: dict[str, Any], relay: Any) -> list[Guardian]:
    """Three guardians of the patient, two of whom are needed; one isn't registered."""
    patient, chosen = people["patient"], [people["doctor"], people["nurse"], relay]
    name(identities, patient, *chosen, threshold=2)
    return [Guardian(identities, patient, one, chosen) for one in chosen]


@pytest.fixture
def ready_at(identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str) -> int:
    """When the open recovery of the patient can be completed."""
    for guardian in guardians[:2]:
        guardian.approve(successor)
    return int(identities.recoveryOf(people["patient"]).readyAt)


class TestChangeKeys:
    def test_a_practitioner_changes_their_own_keys_and_nobody_else_theirs(
        self, identities: Any, people: dict[str, Any], registrar: Any, chain: Any
    ) -> None:
        ends_at = int(chain.pending_timestamp) - 60
        kept = identities.identityOf(people["doctor"]).keys
        for nobody in (people["patient"], registrar):
            with ape.reverts(identities.IdentityNotActivePractitioner):
                identities.changeKeys(kept, b"\2" * 32, ends_at, sender=nobody)

        receipt = identities.changeKeys(kept, b"\2" * 32, ends_at, sender=people["doctor"])

        event = next(iter(receipt.decode_logs(identities.IdentityKeysChanged)))
        assert (event.account, event.keyDigest, event.earlierEndsAt) == (people["doctor"], b"\2" * 32, ends_at)
        fields = [kept, b"\2" * 32, receipt.timestamp, ends_at]
        assert identities.identityOf(people["doctor"]).keys == keccak(
            encode(["bytes32", "bytes32", "uint48", "uint48"], fields)
        )
        with ape.reverts(identities.IdentityKeysChangedMeanwhile):
            identities.changeKeys(kept, b"\3" * 32, ends_at, sender=people["doctor"])

    def test_keys_end_at_most_180_days_ago(self, identities: Any, people: dict[str, Any], chain: Any) -> None:
        kept, now = identities.identityOf(people["doctor"]).keys, int(chain.pending_timestamp)
        for early in (0, now - 181 * 86_400):
            with ape.reverts(identities.IdentityKeysEndTooEarly, account=people["doctor"].address, earlierEndsAt=early):
                identities.changeKeys(kept, b"\2" * 32, early, sender=people["doctor"])
        identities.changeKeys(kept, b"\2" * 32, now - 179 * 86_400, sender=people["doctor"])


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
    def test_the_first_count_at_once_and_others_after_the_present_delay(
        self, identities: Any, people: dict[str, Any], relay: Any, stranger: Any, chain: Any
    ) -> None:
        patient = people["patient"]
        receipt = name(identities, patient, relay, delay=2 * DELAY)
        first = identities.guardianshipOf(patient)
        assert (first.threshold, first.delay, first.changesAt, first.nextDigest) == (1, 2 * DELAY, 0, bytes(32))
        event = next(iter(receipt.decode_logs(identities.GuardiansAnnounced)))
        assert (event.patient, list(event.commitments)) == (patient.address, listed(patient, relay))
        assert (event.threshold, event.delay, event.invitations) == (1, 2 * DELAY, INVITATIONS)
        assert event.takesEffectAt == receipt.timestamp

        receipt = name(identities, patient, relay, stranger, threshold=2)
        event = next(iter(receipt.decode_logs(identities.GuardiansAnnounced)))
        assert event.takesEffectAt == receipt.timestamp + 2 * DELAY
        told = identities.guardianshipOf(patient)
        assert (told.digest, told.threshold, told.changesAt) == (first.digest, 1, event.takesEffectAt)

        chain.pending_timestamp = event.takesEffectAt
        chain.mine()
        now = identities.guardianshipOf(patient)
        assert (now.threshold, now.delay, now.changesAt, now.digest == told.nextDigest) == (2, DELAY, 0, True)

    def test_none_are_named_by_an_empty_list(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], chain: Any
    ) -> None:
        name(identities, people["patient"], threshold=0)
        assert guardians[0].is_one()

        chain.pending_timestamp = identities.guardianshipOf(people["patient"]).changesAt
        chain.mine()

        assert (identities.guardianshipOf(people["patient"]).threshold, guardians[0].is_one()) == (0, False)

    def test_rejects_stranger_and_practitioner(
        self, identities: Any, people: dict[str, Any], stranger: Any, relay: Any
    ) -> None:
        for caller in (stranger, people["doctor"]):
            with ape.reverts(identities.IdentityNotActivePatient, account=caller.address):
                name(identities, caller, relay)

    def test_rejects_suspended_patient(
        self, identities: Any, people: dict[str, Any], registrar: Any, relay: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        with ape.reverts(identities.IdentityNotActivePatient):
            name(identities, people["patient"], relay)

    @pytest.mark.parametrize(("count", "threshold"), [(0, 1), (1, 0), (1, 2), (3, 4), (16, 17), (17, 1)])
    def test_reverts_if_too_many_or_threshold_is_zero_or_out_of_reach(
        self, identities: Any, people: dict[str, Any], count: int, threshold: int
    ) -> None:
        members = [number.to_bytes(32, "big") for number in range(1, count + 1)]

        with ape.reverts(identities.IdentityInvalidGuardians, guardians=count, threshold=threshold):
            identities.setGuardians(members, threshold, DELAY, INVITATIONS, sender=people["patient"])

    @pytest.mark.parametrize("threshold", [1, 16])
    def test_sixteen_guardians_fit(self, identities: Any, people: dict[str, Any], threshold: int) -> None:
        members = [number.to_bytes(32, "big") for number in range(1, 17)]

        identities.setGuardians(members, threshold, DELAY, INVITATIONS, sender=people["patient"])

        assert identities.guardianshipOf(people["patient"]).threshold == threshold

    @pytest.mark.parametrize("delay", [0, 86_400 - 1, 30 * 86_400 + 1])
    def test_a_delay_is_a_day_to_a_month(self, identities: Any, people: dict[str, Any], relay: Any, delay: int) -> None:
        with ape.reverts(identities.IdentityInvalidDelay, delay=delay):
            name(identities, people["patient"], relay, delay=delay)

    def test_reverts_if_not_ascending_or_twice_or_zero(
        self, identities: Any, people: dict[str, Any], relay: Any, stranger: Any
    ) -> None:
        patient = people["patient"]
        low, high = listed(patient, relay, stranger)
        for members, bad in (([high, low], low), ([low, low], low), ([bytes(32), low], bytes(32))):
            with ape.reverts(identities.IdentityInvalidCommitment, commitment=bad):
                identities.setGuardians(members, 1, DELAY, INVITATIONS, sender=patient)

    def test_an_open_recovery_holds_it_up(
        self,
        identities: Any,
        people: dict[str, Any],
        guardians: list[Guardian],
        successor: str,
        relay: Any,
        chain: Any,
        accounts: Any,
    ) -> None:
        patient = people["patient"]
        name(identities, patient, relay)
        for guardian in guardians[:2]:
            guardian.approve(successor)
        with ape.reverts(identities.IdentityIsFrozen, patient=patient.address):
            name(identities, patient, relay)

        # What was announced before is due by now, and doesn't count.
        chain.pending_timestamp = identities.recoveryOf(patient).readyAt
        identities.completeRecovery(patient, sender=accounts[successor])

        assert identities.successorOf(patient) == successor

    def test_voids_approvals_before_when_it_counts(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, chain: Any
    ) -> None:
        patient = people["patient"]
        guardians[0].approve(successor)
        name(identities, patient, *(guardian.account for guardian in guardians), threshold=2)
        chain.pending_timestamp = identities.guardianshipOf(patient).changesAt

        guardians[1].approve(successor)
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        guardians[0].approve(successor)
        assert identities.recoveryOf(patient).successor == successor


class TestCancelGuardians:
    def test_takes_back_what_was_announced(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], relay: Any
    ) -> None:
        name(identities, people["patient"], relay)

        receipt = identities.cancelGuardians(sender=people["patient"])

        event = next(iter(receipt.decode_logs(identities.GuardiansWithdrawn)))
        assert event.patient == people["patient"].address
        told = identities.guardianshipOf(people["patient"])
        assert (told.threshold, told.changesAt, told.nextDigest) == (2, 0, bytes(32))

    def test_a_suspension_takes_it_back_too(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], registrar: Any, relay: Any
    ) -> None:
        name(identities, people["patient"], relay)

        receipt = identities.suspend(people["patient"], sender=registrar)

        assert list(receipt.decode_logs(identities.GuardiansWithdrawn))
        assert identities.guardianshipOf(people["patient"]).changesAt == 0
        with ape.reverts(identities.IdentityNothingAnnounced, patient=people["patient"].address):
            identities.cancelGuardians(sender=people["patient"])

    def test_nobody_else_does(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], relay: Any, stranger: Any
    ) -> None:
        name(identities, people["patient"], relay)
        with ape.reverts(identities.IdentityUnexpectedStatus, account=stranger.address, actual=UNKNOWN):
            identities.cancelGuardians(sender=stranger)
        with ape.reverts(identities.IdentityNothingAnnounced, patient=people["nurse"].address):
            identities.cancelGuardians(sender=people["nurse"])
        assert identities.guardianshipOf(people["patient"]).changesAt


class TestFreeze:
    def test_holds_up_naming_and_new_pairings_and_nothing_that_takes_back(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], hospital: Any, relay: Any, chain: Any
    ) -> None:
        patient = people["patient"]
        identities.pair(hospital, PAIRING, sender=patient)
        receipt = guardians[0].freeze()
        until = receipt.timestamp + FREEZE
        event = next(iter(receipt.decode_logs(identities.IdentityFrozen)))
        assert (event.patient, event.until) == (patient.address, until)
        assert identities.guardianshipOf(patient).frozenUntil == until

        with ape.reverts(identities.IdentityIsFrozen, patient=patient.address):
            name(identities, patient, relay)
        with ape.reverts(identities.IdentityIsFrozen, patient=patient.address):
            identities.pair(relay, PAIRING, sender=patient)
        # New lanes after a revocation, an unpairing and a veto.
        identities.pair(hospital, b"n" * 32, sender=patient)
        identities.unpair(hospital, sender=patient)
        identities.cancelRecovery(sender=patient)

        chain.pending_timestamp = until
        identities.pair(relay, PAIRING, sender=patient)

    def test_a_guardian_freezes_once_and_the_patient_as_often_as_needed(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian]
    ) -> None:
        guardians[0].freeze()
        with ape.reverts(
            identities.IdentityAlreadyFrozen, patient=people["patient"].address, guardian=guardians[0].address
        ):
            guardians[0].freeze()
        guardians[1].freeze()
        for _ in range(2):
            identities.freeze(sender=people["patient"])

    def test_nobody_else_freezes(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], stranger: Any, registrar: Any
    ) -> None:
        named = [guardian.account for guardian in guardians]
        for caller in (stranger, people["patient"]):
            with ape.reverts(identities.IdentityNotGuardian, patient=people["patient"].address, caller=caller.address):
                Guardian(identities, people["patient"], caller, named).freeze()
        identities.suspend(people["patient"], sender=registrar)
        for caller in (stranger, people["doctor"], people["patient"]):
            with ape.reverts(identities.IdentityNotActivePatient, account=caller.address):
                identities.freeze(sender=caller)


class TestApproveRecovery:
    def test_one_of_two_opens_nothing(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str
    ) -> None:
        patient = people["patient"]

        receipt = guardians[0].approve(successor)

        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        event = next(iter(receipt.decode_logs(identities.RecoveryApproved)))
        assert (event.patient, event.successor, event.guardian) == (patient.address, successor, guardians[0].address)
        assert not list(receipt.decode_logs(identities.RecoveryOpened))

    @pytest.mark.parametrize("pair", [(0, 1), (2, 0), (1, 2)])
    def test_any_two_open_it_for_72_hours_later(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, pair: tuple[int, int]
    ) -> None:
        patient = people["patient"]
        guardians[pair[0]].approve(successor)

        receipt = guardians[pair[1]].approve(successor)

        ready_at = receipt.timestamp + DELAY
        assert tuple(identities.recoveryOf(patient)) == (successor, ready_at)
        event = next(iter(receipt.decode_logs(identities.RecoveryOpened)))
        assert (event.patient, event.successor, event.readyAt) == (patient.address, successor, ready_at)

    def test_approvals_for_different_successors_do_not_add_up(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successors: list[str]
    ) -> None:
        patient = people["patient"]
        for guardian, successor in zip(guardians[:2], successors, strict=True):
            guardian.approve(successor)
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)

        guardians[0].approve(successors[1])

        assert identities.recoveryOf(patient).successor == successors[1]

    def test_an_approval_is_forgotten_after_two_weeks(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, chain: Any
    ) -> None:
        receipt = guardians[0].approve(successor)
        chain.pending_timestamp = receipt.timestamp + APPROVAL

        guardians[1].approve(successor)

        assert tuple(identities.recoveryOf(people["patient"])) == (NOBODY, 0)

    def test_rejects_who_is_no_guardian(
        self,
        identities: Any,
        people: dict[str, Any],
        guardians: list[Guardian],
        successor: str,
        stranger: Any,
        registrar: Any,
    ) -> None:
        patient, named = people["patient"], [guardian.account for guardian in guardians]
        for caller in (stranger, registrar, patient, people["elsewhere"]):
            # By the true list, and by one in which they stand themselves.
            for known in (named, [caller]):
                with ape.reverts(identities.IdentityNotGuardian, patient=patient.address, caller=caller.address):
                    Guardian(identities, patient, caller, known).approve(successor)

    def test_nobody_is_their_own_guardian(self, identities: Any, people: dict[str, Any], successor: str) -> None:
        patient = people["patient"]
        name(identities, patient, patient)
        alone = Guardian(identities, patient, patient, [patient])

        assert not alone.is_one()
        with ape.reverts(identities.IdentityNotGuardian):
            alone.approve(successor)

    def test_rejects_former_guardian(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, chain: Any
    ) -> None:
        patient, left = people["patient"], [guardian.account for guardian in guardians[1:]]
        name(identities, patient, *left)
        chain.pending_timestamp = identities.guardianshipOf(patient).changesAt
        chain.mine()

        with ape.reverts(identities.IdentityNotGuardian):
            guardians[0].approve(successor)
        Guardian(identities, patient, left[0], left).approve(successor)

        assert identities.recoveryOf(patient).successor == successor

    def test_reverts_if_successor_is_not_another_active_patient(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, registrar: Any
    ) -> None:
        patient = people["patient"].address
        identities.suspend(successor, sender=registrar)

        for bad in (patient, people["elsewhere"].address, successor, SOMEBODY, NOBODY):
            with ape.reverts(identities.IdentityInvalidSuccessor, patient=patient, successor=bad):
                guardians[0].approve(bad)

    def test_reverts_if_the_guardian_repeats_himself(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str
    ) -> None:
        patient = people["patient"]
        guardians[0].approve(successor)

        with ape.reverts(identities.IdentityAlreadyApproved, patient=patient.address, guardian=guardians[0].address):
            guardians[0].approve(successor)

        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)

    def test_as_many_guardians_name_another_successor_and_wait_anew(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successors: list[str], ready_at: int
    ) -> None:
        patient = people["patient"]
        with ape.reverts(identities.IdentityRecoveryOpen, patient=patient.address, successor=successors[0]):
            guardians[2].approve(successors[0])
        guardians[2].approve(successors[1])
        assert tuple(identities.recoveryOf(patient)) == (successors[0], ready_at)

        receipt = guardians[0].approve(successors[1])

        assert tuple(identities.recoveryOf(patient)) == (successors[1], receipt.timestamp + DELAY)

    def test_moves_a_suspended_patient_too(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, registrar: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        for guardian in guardians[:2]:
            guardian.approve(successor)

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
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str
    ) -> None:
        patient = people["patient"]
        guardians[0].approve(successor)

        identities.cancelRecovery(sender=patient)

        guardians[1].approve(successor)
        assert tuple(identities.recoveryOf(patient)) == (NOBODY, 0)
        guardians[0].approve(successor)
        assert identities.recoveryOf(patient).successor == successor

    def test_makes_an_announcement_wait_once_more_and_no_second_time(
        self, identities: Any, people: dict[str, Any], guardians: list[Guardian], successor: str, chain: Any, relay: Any
    ) -> None:
        patient = people["patient"]
        name(identities, patient, relay)
        announced = identities.guardianshipOf(patient).changesAt
        for guardian in guardians[:2]:
            guardian.approve(successor)

        receipt = identities.cancelRecovery(sender=patient)

        event = next(iter(receipt.decode_logs(identities.GuardiansDeferred)))
        assert event.takesEffectAt == receipt.timestamp + DELAY > announced
        assert identities.guardianshipOf(patient).changesAt == event.takesEffectAt
        for guardian in guardians[:2]:
            guardian.approve(successor)
        chain.pending_timestamp = event.takesEffectAt
        identities.cancelRecovery(sender=patient)
        assert [guardian.is_one() for guardian in guardians] == [False, False, False]

    @pytest.mark.usefixtures("ready_at")
    def test_rejects_suspended_patient(
        self, identities: Any, people: dict[str, Any], registrar: Any, successor: str
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        with ape.reverts(identities.IdentityNotActivePatient, account=people["patient"].address):
            identities.cancelRecovery(sender=people["patient"])

        assert identities.recoveryOf(people["patient"]).successor == successor

    def test_nobody_else_vetoes(
        self,
        identities: Any,
        people: dict[str, Any],
        successors: list[str],
        ready_at: int,
        stranger: Any,
        accounts: Any,
    ) -> None:
        for caller in (stranger, people["nurse"]):
            with ape.reverts(identities.IdentityNotActivePatient, account=caller.address):
                identities.cancelRecovery(sender=caller)
        # Another patient's veto concerns their own account only.
        identities.cancelRecovery(sender=accounts[successors[0]])

        assert tuple(identities.recoveryOf(people["patient"])) == (successors[0], ready_at)

    def test_rejects_replaced_patient(
        self, identities: Any, people: dict[str, Any], ready_at: int, chain: Any, accounts: Any, successor: str
    ) -> None:
        chain.pending_timestamp = ready_at
        identities.completeRecovery(people["patient"], sender=accounts[successor])

        with ape.reverts(identities.IdentityNotActivePatient):
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
        assert list(identities.movedTo(successor)) == [patient.address]

    def test_patient_takes_no_assent_back_with_the_key_that_they_left(
        self, identities: Any, people: dict[str, Any], successor: str, ready_at: int, chain: Any, accounts: Any,
        hospital: Any, registrar: Any,
    ) -> None:  # fmt: skip
        patient = people["patient"]
        chain.pending_timestamp = ready_at
        identities.completeRecovery(patient, sender=accounts[successor])
        with ape.reverts(identities.IdentityNotActivePatient, account=patient.address):
            identities.unpair(hospital, sender=patient)

    def test_successor_inherits_the_lookup_key(
        self, identities: Any, registrar: Any, relay: Any, stranger: Any, successor: str, chain: Any, accounts: Any
    ) -> None:
        identities.register(stranger, PATIENT, LOOKUP, KEYS, NOBODY, b"", sender=registrar)
        name(identities, stranger, relay)
        Guardian(identities, stranger, relay, [relay]).approve(successor)

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
            name(identities, patient, relay)
            Guardian(identities, patient, relay, [relay]).approve(following)
            chain.pending_timestamp = identities.recoveryOf(patient).readyAt
            identities.completeRecovery(patient, sender=accounts[str(following)])

        # Also under the key that the middle account had of its own.
        assert identities.accountOf(LOOKUP) == identities.accountOf(OTHER_LOOKUP) == successor
        assert [identities.newestOf(one) for one in (stranger, second, successor)] == [successor] * 3
        assert identities.successorOf(stranger) == second.address

    def test_rejects_everybody_but_the_successor(
        self,
        identities: Any,
        people: dict[str, Any],
        guardians: list[Guardian],
        ready_at: int,
        chain: Any,
        stranger: Any,
    ) -> None:
        chain.pending_timestamp = ready_at
        for caller in (stranger, people["patient"], *(guardian.account for guardian in guardians)):
            with ape.reverts(identities.IdentityNotSuccessor, caller=caller.address):
                identities.completeRecovery(people["patient"], sender=caller)

        assert identities.newestOf(people["patient"]) == people["patient"].address

    def test_nobody_completes_it_after_two_weeks(
        self, identities: Any, people: dict[str, Any], successor: str, ready_at: int, chain: Any, accounts: Any
    ) -> None:
        chain.pending_timestamp = ready_at + COMPLETION

        with ape.reverts(identities.IdentityRecoveryNotReady, readyAt=0):
            identities.completeRecovery(people["patient"], sender=accounts[successor])
        assert tuple(identities.recoveryOf(people["patient"])) == (NOBODY, 0)

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
            name(identities, patient, threshold=0)

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
        guardians: list[Guardian],
        successors: list[str],
        ready_at: int,
        chain: Any,
        accounts: Any,
    ) -> None:
        chain.pending_timestamp = ready_at
        identities.completeRecovery(people["patient"], sender=accounts[successors[0]])

        for successor in successors:
            with ape.reverts(identities.IdentityInvalidSuccessor, successor=successor):
                guardians[0].approve(successor)
        with ape.reverts(identities.IdentityRecoveryNotReady, readyAt=0):
            identities.completeRecovery(people["patient"], sender=accounts[successors[0]])


class TestViews:
    def test_zeros_for_the_unknown(self, identities: Any, hospital: Any) -> None:
        assert tuple(identities.identityOf(SOMEBODY)) == (0, UNKNOWN, 0, NOBODY, bytes(32))
        assert identities.pairingOf(SOMEBODY, hospital) == bytes(32)
        assert identities.accountOf(LOOKUP) == NOBODY
        assert tuple(identities.guardianshipOf(SOMEBODY)) == (bytes(32), 0, 0, bytes(32), 0, 0)
        assert tuple(identities.recoveryOf(SOMEBODY)) == (NOBODY, 0)
        assert identities.successorOf(SOMEBODY) == NOBODY
        assert identities.newestOf(SOMEBODY) == SOMEBODY

    def test_active_in_the_own_role_only(self, identities: Any, people: dict[str, Any]) -> None:
        for name, own in (("patient", PATIENT), ("doctor", PRACTITIONER)):
            assert [identities.isActive(people[name], role) for role in range(3)] == [role == own for role in range(3)]
        assert not any(identities.isActive(SOMEBODY, role) for role in range(3))
