"""EmergencyAccess: two of one hospital break the glass for four hours, and a missed review suspends the requester."""

from __future__ import annotations

from typing import Any

import ape
import pytest

HOUR = 3600
COSIGN_DUE, DURATION, REVIEW_DUE = HOUR, 4 * HOUR, 72 * HOUR
PRACTITIONER = 2
SUSPENDED = 2
"""`Status`."""
SUSPENDER = 2
"""A role of the access manager."""
KEYS = b"k" * 32
NOBODY = "0x" + "00" * 20
REASON = b"r" * 32
OUTCOME = b"o" * 32
UNKNOWN_ID = 9


@pytest.fixture
def asked(emergency: Any, people: dict[str, Any]) -> int:
    """The ID of an emergency for which the doctor asked."""
    emergency.request(people["patient"], REASON, sender=people["doctor"])
    return int(emergency.emergencyCount())


@pytest.fixture
def cosigned(emergency: Any, people: dict[str, Any], asked: int) -> int:
    """The same, when the nurse co-signed."""
    emergency.cosign(asked, sender=people["nurse"])
    return asked


@pytest.fixture
def overdue_at(emergency: Any, cosigned: int) -> int:
    """When the review is overdue."""
    return int(emergency.emergencyOf(cosigned).cosignedAt) + REVIEW_DUE


class TestRequest:
    def test_practitioner_asks_and_nothing_opens_yet(self, emergency: Any, people: dict[str, Any]) -> None:
        doctor, patient = people["doctor"], people["patient"]

        receipt = emergency.request(patient, REASON, sender=doctor)

        expected = (doctor.address, receipt.timestamp, 0, patient.address, False, False, NOBODY, REASON)
        assert tuple(emergency.emergencyOf(1)) == expected
        assert not emergency.isActive(1)
        event = next(iter(receipt.decode_logs(emergency.EmergencyRequested)))
        assert (event.id, event.practitioner, event.patient) == (1, doctor.address, patient.address)
        assert event.reason == REASON

    def test_ids_count_up(self, emergency: Any, people: dict[str, Any]) -> None:
        for expected, name in enumerate(("doctor", "elsewhere", "doctor"), start=1):
            emergency.request(people["patient"], REASON, sender=people[name])

            assert emergency.emergencyCount() == expected
            assert emergency.emergencyOf(expected).practitioner == people[name].address

    def test_rejects_stranger_and_patient(
        self, emergency: Any, people: dict[str, Any], stranger: Any, hospital: Any, registrar: Any
    ) -> None:
        for caller in (stranger, hospital, registrar, people["patient"]):
            with ape.reverts(emergency.EmergencyNotActivePractitioner, account=caller.address):
                emergency.request(people["patient"], REASON, sender=caller)

        assert emergency.emergencyCount() == 0

    def test_rejects_suspended_practitioner(
        self, emergency: Any, identities: Any, people: dict[str, Any], registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        with ape.reverts(emergency.EmergencyNotActivePractitioner, account=people["doctor"].address):
            emergency.request(people["patient"], REASON, sender=people["doctor"])
        identities.reinstate(people["doctor"], sender=registrar)
        emergency.request(people["patient"], REASON, sender=people["doctor"])

        assert emergency.emergencyCount() == 1

    def test_rejects_practitioner_without_a_hospital(
        self, emergency: Any, identities: Any, people: dict[str, Any], registrar: Any, relay: Any
    ) -> None:
        identities.register(relay, PRACTITIONER, bytes(32), KEYS, NOBODY, b"", sender=registrar)

        with ape.reverts(emergency.EmergencyNotActivePractitioner, account=relay.address):
            emergency.request(people["patient"], REASON, sender=relay)

    def test_reverts_for_who_is_no_active_patient(
        self, emergency: Any, identities: Any, people: dict[str, Any], registrar: Any, stranger: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        for account in (people["patient"].address, people["nurse"].address, stranger.address, NOBODY):
            with ape.reverts(emergency.EmergencyUnknownPatient, patient=account):
                emergency.request(account, REASON, sender=people["doctor"])

    def test_reverts_without_a_reason(self, emergency: Any, people: dict[str, Any]) -> None:
        with ape.reverts(emergency.EmergencyWithoutReason):
            emergency.request(people["patient"], bytes(32), sender=people["doctor"])


class TestCosign:
    def test_colleague_opens_the_access(self, emergency: Any, people: dict[str, Any], asked: int) -> None:
        receipt = emergency.cosign(asked, sender=people["nurse"])

        now = receipt.timestamp
        stored = emergency.emergencyOf(asked)
        assert emergency.isActive(asked)
        assert (stored.cosigner, stored.cosignedAt) == (people["nurse"].address, now)
        event = next(iter(receipt.decode_logs(emergency.EmergencyCosigned)))
        assert (event.id, event.cosigner) == (asked, people["nurse"].address)
        assert (event.expiresAt, event.reviewDueAt) == (now + DURATION, now + REVIEW_DUE)

    def test_rejects_the_requester_and_another_hospital(
        self, emergency: Any, people: dict[str, Any], asked: int
    ) -> None:
        for name in ("doctor", "elsewhere"):
            with ape.reverts(emergency.EmergencyInvalidCosigner, id=asked, cosigner=people[name].address):
                emergency.cosign(asked, sender=people[name])

        assert not emergency.isActive(asked)

    def test_rejects_stranger_and_patient(
        self, emergency: Any, people: dict[str, Any], asked: int, stranger: Any, hospital: Any, registrar: Any
    ) -> None:
        for caller in (stranger, hospital, registrar, people["patient"]):
            with ape.reverts(emergency.EmergencyNotActivePractitioner, account=caller.address):
                emergency.cosign(asked, sender=caller)

        assert not emergency.isActive(asked)

    @pytest.mark.parametrize("name", ["nurse", "doctor"])
    def test_reverts_if_cosigner_or_requester_is_suspended(
        self, emergency: Any, identities: Any, people: dict[str, Any], asked: int, registrar: Any, name: str
    ) -> None:
        identities.suspend(people[name], sender=registrar)

        with ape.reverts(emergency.EmergencyNotActivePractitioner, account=people[name].address):
            emergency.cosign(asked, sender=people["nurse"])

        assert not emergency.isActive(asked)

    def test_reverts_if_cosigned_already(
        self, emergency: Any, identities: Any, people: dict[str, Any], cosigned: int, registrar: Any, relay: Any
    ) -> None:
        organisation = identities.identityOf(people["nurse"]).organisation
        identities.register(relay, PRACTITIONER, bytes(32), KEYS, organisation, b"", sender=registrar)

        for caller in (people["nurse"], relay):
            with ape.reverts(emergency.EmergencyInvalidCosigner, id=cosigned, cosigner=caller.address):
                emergency.cosign(cosigned, sender=caller)

        assert emergency.emergencyOf(cosigned).cosigner == people["nurse"].address

    def test_last_second_of_the_hour_counts(
        self, emergency: Any, people: dict[str, Any], asked: int, chain: Any
    ) -> None:
        due_at = emergency.emergencyOf(asked).requestedAt + COSIGN_DUE
        chain.pending_timestamp = due_at - 1

        receipt = emergency.cosign(asked, sender=people["nurse"])

        assert receipt.timestamp == due_at - 1
        assert emergency.isActive(asked)

    def test_reverts_when_the_hour_is_over(
        self, emergency: Any, people: dict[str, Any], asked: int, chain: Any
    ) -> None:
        due_at = emergency.emergencyOf(asked).requestedAt + COSIGN_DUE
        chain.pending_timestamp = due_at

        with ape.reverts(emergency.EmergencyRequestExpired, id=asked, dueAt=due_at, currentTime=due_at):
            emergency.cosign(asked, sender=people["nurse"])

    def test_reverts_if_unknown(self, emergency: Any, people: dict[str, Any]) -> None:
        for unknown in (0, UNKNOWN_ID):
            with ape.reverts(emergency.EmergencyUnknown, id=unknown):
                emergency.cosign(unknown, sender=people["nurse"])


class TestIsActive:
    def test_four_hours_to_the_second(self, emergency: Any, cosigned: int, chain: Any) -> None:
        expires_at = emergency.emergencyOf(cosigned).cosignedAt + DURATION

        chain.mine(timestamp=expires_at - 1)
        assert emergency.isActive(cosigned)
        chain.mine(timestamp=expires_at)

        assert not emergency.isActive(cosigned)

    def test_review_neither_ends_nor_prolongs_the_access(
        self, emergency: Any, cosigned: int, registrar: Any, chain: Any
    ) -> None:
        expires_at = emergency.emergencyOf(cosigned).cosignedAt + DURATION

        emergency.review(cosigned, OUTCOME, sender=registrar)

        assert emergency.isActive(cosigned)
        chain.mine(timestamp=expires_at)
        assert not emergency.isActive(cosigned)


class TestReview:
    def test_registrar_states_the_review(self, emergency: Any, cosigned: int, registrar: Any) -> None:
        receipt = emergency.review(cosigned, OUTCOME, sender=registrar)

        stored = emergency.emergencyOf(cosigned)
        assert (stored.reviewed, stored.enforced) == (True, False)
        event = next(iter(receipt.decode_logs(emergency.EmergencyReviewed)))
        assert (event.id, event.outcome) == (cosigned, OUTCOME)

    def test_rejects_everybody_but_the_registrar(
        self, emergency: Any, people: dict[str, Any], cosigned: int, stranger: Any, admin: Any, hospital: Any
    ) -> None:
        for caller in (stranger, admin, hospital, people["doctor"], people["nurse"]):
            with ape.reverts(emergency.AccessManagedUnauthorized, caller=caller.address):
                emergency.review(cosigned, OUTCOME, sender=caller)

        assert not emergency.emergencyOf(cosigned).reviewed

    def test_reverts_ahead_of_the_cosignature(self, emergency: Any, asked: int, registrar: Any) -> None:
        with ape.reverts(emergency.EmergencyNotCosigned, id=asked):
            emergency.review(asked, OUTCOME, sender=registrar)

        assert not emergency.emergencyOf(asked).reviewed

    def test_reverts_if_unknown(self, emergency: Any, registrar: Any) -> None:
        for unknown in (0, UNKNOWN_ID):
            with ape.reverts(emergency.EmergencyUnknown, id=unknown):
                emergency.review(unknown, OUTCOME, sender=registrar)

    def test_reverts_if_reviewed_or_enforced_already(
        self, emergency: Any, cosigned: int, overdue_at: int, people: dict[str, Any], registrar: Any, chain: Any
    ) -> None:
        emergency.request(people["patient"], REASON, sender=people["nurse"])
        emergency.cosign(cosigned + 1, sender=people["doctor"])
        emergency.review(cosigned + 1, OUTCOME, sender=registrar)
        chain.pending_timestamp = overdue_at
        emergency.enforce(cosigned, sender=registrar)

        for closed in (cosigned, cosigned + 1):
            with ape.reverts(emergency.EmergencyClosed, id=closed):
                emergency.review(closed, OUTCOME, sender=registrar)


class TestEnforce:
    def test_reverts_a_second_before_and_not_when_overdue(
        self, emergency: Any, people: dict[str, Any], cosigned: int, overdue_at: int, stranger: Any, chain: Any
    ) -> None:
        chain.pending_timestamp = overdue_at - 1
        with ape.reverts(emergency.EmergencyNotOverdue, id=cosigned, dueAt=overdue_at, currentTime=overdue_at - 1):
            emergency.enforce(cosigned, sender=stranger)

        receipt = emergency.enforce(cosigned, sender=stranger)

        assert receipt.timestamp == overdue_at
        event = next(iter(receipt.decode_logs(emergency.EmergencyOverdue)))
        assert (event.id, event.practitioner) == (cosigned, people["doctor"].address)

    def test_suspends_who_asked_and_not_who_cosigned(
        self, emergency: Any, identities: Any, people: dict[str, Any], cosigned: int, overdue_at: int, chain: Any
    ) -> None:
        chain.pending_timestamp = overdue_at

        receipt = emergency.enforce(cosigned, sender=people["patient"])

        stored = emergency.emergencyOf(cosigned)
        assert (stored.reviewed, stored.enforced) == (False, True)
        assert [identities.isActive(people[name], PRACTITIONER) for name in ("doctor", "nurse")] == [False, True]
        suspended = next(iter(receipt.decode_logs(identities.IdentitySuspended)))
        assert suspended.account == people["doctor"].address

    def test_late_review_saves_who_is_not_suspended_yet(
        self, emergency: Any, identities: Any, people: dict[str, Any], overdue_at: int, registrar: Any, chain: Any
    ) -> None:
        chain.pending_timestamp = overdue_at
        emergency.review(1, OUTCOME, sender=registrar)

        with ape.reverts(emergency.EmergencyClosed, id=1):
            emergency.enforce(1, sender=registrar)

        assert identities.isActive(people["doctor"], PRACTITIONER)

    def test_reinstated_practitioner_is_not_suspended_twice_for_one_emergency(
        self, emergency: Any, identities: Any, people: dict[str, Any], overdue_at: int, registrar: Any, chain: Any
    ) -> None:
        chain.pending_timestamp = overdue_at
        emergency.enforce(1, sender=registrar)
        identities.reinstate(people["doctor"], sender=registrar)

        with ape.reverts(emergency.EmergencyClosed, id=1):
            emergency.enforce(1, sender=registrar)

        assert identities.isActive(people["doctor"], PRACTITIONER)

    def test_second_overdue_review_of_who_is_suspended_is_enforced_too(
        self, emergency: Any, identities: Any, people: dict[str, Any], cosigned: int, stranger: Any, chain: Any
    ) -> None:
        emergency.request(people["patient"], REASON, sender=people["doctor"])
        emergency.cosign(cosigned + 1, sender=people["nurse"])
        chain.pending_timestamp += REVIEW_DUE

        for number in (cosigned, cosigned + 1):
            emergency.enforce(number, sender=stranger)

        assert all(emergency.emergencyOf(number).enforced for number in (cosigned, cosigned + 1))
        assert identities.identityOf(people["doctor"]).status == SUSPENDED

    def test_reverts_if_nobody_cosigned(self, emergency: Any, asked: int, stranger: Any, chain: Any) -> None:
        chain.pending_timestamp += REVIEW_DUE

        with ape.reverts(emergency.EmergencyNotCosigned, id=asked):
            emergency.enforce(asked, sender=stranger)

    def test_reverts_if_unknown(self, emergency: Any, stranger: Any) -> None:
        for unknown in (0, UNKNOWN_ID):
            with ape.reverts(emergency.EmergencyUnknown, id=unknown):
                emergency.enforce(unknown, sender=stranger)

    def test_reverts_whole_if_the_contract_may_not_suspend(
        self, emergency: Any, manager: Any, admin: Any, overdue_at: int, stranger: Any, chain: Any
    ) -> None:
        manager.revokeRole(SUSPENDER, emergency, sender=admin)
        chain.pending_timestamp = overdue_at

        with ape.reverts(emergency.AccessManagedUnauthorized, caller=emergency.address):
            emergency.enforce(1, sender=stranger)

        assert not emergency.emergencyOf(1).enforced


class TestEmergencyOf:
    def test_zeros_for_the_unknown(self, emergency: Any) -> None:
        assert tuple(emergency.emergencyOf(UNKNOWN_ID)) == (NOBODY, 0, 0, NOBODY, False, False, NOBODY, bytes(32))
        assert not emergency.isActive(UNKNOWN_ID)
        assert emergency.emergencyCount() == 0
