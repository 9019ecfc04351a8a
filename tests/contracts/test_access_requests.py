"""AccessRequests: who asks whom, who closes a request, and that a closed or expired one stays closed."""

from __future__ import annotations

from typing import Any

import ape
import pytest

NONE, OPEN, APPROVED, DENIED, WITHDRAWN, EXPIRED = range(6)
NOBODY = "0x" + "00" * 20
DETAILS = b"d" * 32
OUTCOME = b"o" * 32
UNKNOWN_ID = 9
DAY = 86_400


@pytest.fixture
def expires_at(chain: Any) -> int:
    return int(chain.pending_timestamp) + 1000


@pytest.fixture
def asked(requests: Any, people: dict[str, Any], expires_at: int) -> int:
    """The ID of an open request of the doctor."""
    requests.request(people["patient"], DETAILS, expires_at, sender=people["doctor"])
    return int(requests.requestCount())


def close(requests: Any, people: dict[str, Any], how: str, asked: int) -> Any:
    """Close a request as somebody who may do it."""
    if how == "approve":
        return requests.approve(asked, OUTCOME, sender=people["patient"])
    return getattr(requests, how)(asked, sender=people["patient" if how == "deny" else "doctor"])


class TestRequest:
    def test_practitioner_asks_a_patient(self, requests: Any, people: dict[str, Any], expires_at: int) -> None:
        doctor, patient = people["doctor"], people["patient"]

        receipt = requests.request(patient, DETAILS, expires_at, sender=doctor)

        assert tuple(requests.requestOf(1)) == (doctor.address, expires_at, OPEN, patient.address, DETAILS)
        event = next(iter(receipt.decode_logs(requests.AccessRequested)))
        assert (event.id, event.requester, event.patient) == (1, doctor.address, patient.address)
        assert (event.details, event.expiresAt) == (DETAILS, expires_at)

    def test_ids_count_up(self, requests: Any, people: dict[str, Any], expires_at: int) -> None:
        for expected, name in enumerate(("doctor", "nurse", "doctor"), start=1):
            requests.request(people["patient"], DETAILS, expires_at, sender=people[name])

            assert requests.requestCount() == expected
            assert requests.requestOf(expected).requester == people[name].address

    def test_rejects_stranger_and_patient(
        self, requests: Any, people: dict[str, Any], expires_at: int, stranger: Any, registrar: Any
    ) -> None:
        for caller in (stranger, registrar, people["patient"]):
            with ape.reverts(requests.RequestNotActivePractitioner, account=caller.address):
                requests.request(people["patient"], DETAILS, expires_at, sender=caller)

        assert requests.requestCount() == 0

    def test_rejects_suspended_practitioner(
        self, requests: Any, identities: Any, people: dict[str, Any], expires_at: int, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        with ape.reverts(requests.RequestNotActivePractitioner, account=people["doctor"].address):
            requests.request(people["patient"], DETAILS, expires_at, sender=people["doctor"])
        identities.reinstate(people["doctor"], sender=registrar)
        requests.request(people["patient"], DETAILS, expires_at, sender=people["doctor"])

        assert requests.stateOf(1) == OPEN

    def test_reverts_for_who_is_no_active_patient(
        self, requests: Any, identities: Any, people: dict[str, Any], expires_at: int, registrar: Any, stranger: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)

        for account in (people["patient"].address, people["nurse"].address, stranger.address, NOBODY):
            with ape.reverts(requests.RequestUnknownPatient, patient=account):
                requests.request(account, DETAILS, expires_at, sender=people["doctor"])

    def test_reverts_without_details(self, requests: Any, people: dict[str, Any], expires_at: int) -> None:
        with ape.reverts(requests.RequestInvalid, details=bytes(32), expiresAt=expires_at):
            requests.request(people["patient"], bytes(32), expires_at, sender=people["doctor"])

    def test_reverts_if_its_time_is_over_and_not_a_second_before(
        self, requests: Any, people: dict[str, Any], expires_at: int, chain: Any
    ) -> None:
        chain.pending_timestamp = expires_at - 1
        requests.request(people["patient"], DETAILS, expires_at, sender=people["doctor"])
        assert chain.pending_timestamp == expires_at

        with ape.reverts(requests.RequestInvalid, expiresAt=expires_at, currentTime=expires_at):
            requests.request(people["patient"], DETAILS, expires_at, sender=people["doctor"])


class TestRefer:
    def test_a_practitioner_asks_in_a_specialists_name(
        self, requests: Any, people: dict[str, Any], expires_at: int
    ) -> None:
        doctor, nurse, patient = people["doctor"], people["nurse"], people["patient"]

        receipt = requests.refer(patient, nurse, DETAILS, expires_at, sender=doctor)

        assert tuple(requests.requestOf(1)) == (nurse.address, expires_at, OPEN, patient.address, DETAILS)
        assert requests.referrerOf(1) == doctor.address
        event = next(iter(receipt.decode_logs(requests.AccessReferred)))
        assert (event.id, event.referrer) == (1, doctor.address)
        requests.approve(1, OUTCOME, sender=patient)
        assert requests.stateOf(1) == APPROVED

    def test_nobody_refers_to_themselves_and_a_patient_to_nobody(
        self, requests: Any, people: dict[str, Any], expires_at: int
    ) -> None:
        doctor, patient = people["doctor"], people["patient"]
        with ape.reverts(requests.RequestReferredToOneself, account=doctor.address):
            requests.refer(patient, doctor, DETAILS, expires_at, sender=doctor)
        with ape.reverts(requests.RequestNotActivePractitioner, account=patient.address):
            requests.refer(patient, doctor, DETAILS, expires_at, sender=patient)
        with ape.reverts(requests.RequestNotActivePractitioner, account=patient.address):
            requests.refer(patient, patient, DETAILS, expires_at, sender=doctor)
        assert requests.requestCount() == 0

    def test_both_practitioners_withdraw_it_and_nobody_else(
        self, requests: Any, people: dict[str, Any], expires_at: int, stranger: Any
    ) -> None:
        doctor, nurse, patient = people["doctor"], people["nurse"], people["patient"]
        for _ in range(2):
            requests.refer(patient, nurse, DETAILS, expires_at, sender=doctor)

        for caller in (stranger, patient, people["elsewhere"]):
            with ape.reverts(requests.RequestNotYours, id=1, caller=caller.address):
                requests.withdraw(1, sender=caller)
        requests.withdraw(1, sender=doctor)
        requests.withdraw(2, sender=nurse)

        assert [requests.stateOf(number) for number in (1, 2)] == [WITHDRAWN, WITHDRAWN]


class TestPlaces:
    def test_three_requests_of_one_practitioner_wait_at_one_patient(
        self, requests: Any, people: dict[str, Any], expires_at: int, chain: Any
    ) -> None:
        patient, doctor = people["patient"], people["doctor"]
        later = expires_at + 40 * DAY
        first = requests.request(patient, DETAILS, later - 1, sender=doctor)
        for _ in range(2):
            requests.request(patient, DETAILS, later, sender=doctor)

        with ape.reverts(requests.RequestTooManyOpen, patient=patient.address, freeAt=later - 1):
            requests.request(patient, DETAILS, later, sender=doctor)
        requests.request(patient, DETAILS, later, sender=people["nurse"])
        requests.deny(1, sender=patient)
        requests.request(patient, DETAILS, later, sender=doctor)

        assert requests.requestCount() == 5
        assert first.timestamp < later

    def test_withdrawing_and_short_requests_make_no_room_before_a_day_is_over(
        self, requests: Any, people: dict[str, Any], expires_at: int, chain: Any
    ) -> None:
        patient, doctor = people["patient"], people["doctor"]
        made = requests.request(patient, DETAILS, expires_at + 40 * DAY, sender=doctor).timestamp
        for _ in range(2):
            requests.request(patient, DETAILS, expires_at, sender=doctor)
        requests.withdraw(1, sender=doctor)

        chain.pending_timestamp = made + DAY - 1
        with ape.reverts(requests.RequestTooManyOpen, freeAt=made + DAY):
            requests.request(patient, DETAILS, expires_at + 40 * DAY, sender=doctor)
        chain.pending_timestamp = made + DAY
        requests.request(patient, DETAILS, expires_at + 40 * DAY, sender=doctor)

    def test_nobody_asks_more_than_a_hundred_times_in_a_row(
        self, requests: Any, people: dict[str, Any], expires_at: int
    ) -> None:
        patient, doctor, later = people["patient"], people["doctor"], expires_at + 40 * DAY
        asked = [requests.request(patient, DETAILS, later, sender=doctor).timestamp]
        for number in range(1, 100):
            requests.deny(number, sender=patient)
            requests.request(patient, DETAILS, later, sender=doctor)
        requests.deny(100, sender=patient)

        with ape.reverts(requests.RequestTooOften, requester=doctor.address, nextAt=asked[0] + 600):
            requests.request(patient, DETAILS, later, sender=doctor)
        requests.request(patient, DETAILS, later, sender=people["nurse"])


class TestApprove:
    def test_patient_approves(self, requests: Any, people: dict[str, Any], asked: int) -> None:
        receipt = requests.approve(asked, OUTCOME, sender=people["patient"])

        assert requests.stateOf(asked) == APPROVED
        event = next(iter(receipt.decode_logs(requests.AccessApproved)))
        assert (event.id, event.outcome) == (asked, OUTCOME)

    def test_patient_approves_without_an_outcome(self, requests: Any, people: dict[str, Any], asked: int) -> None:
        receipt = requests.approve(asked, bytes(32), sender=people["patient"])

        assert requests.stateOf(asked) == APPROVED
        assert next(iter(receipt.decode_logs(requests.AccessApproved))).outcome == bytes(32)

    def test_rejects_stranger_and_the_requester(
        self, requests: Any, people: dict[str, Any], asked: int, stranger: Any, registrar: Any
    ) -> None:
        for caller in (stranger, registrar, people["doctor"], people["nurse"]):
            with ape.reverts(requests.RequestNotYours, id=asked, caller=caller.address):
                requests.approve(asked, OUTCOME, sender=caller)

        assert requests.stateOf(asked) == OPEN

    def test_patient_who_is_suspended_approves_nothing_and_denies(
        self, requests: Any, people: dict[str, Any], asked: int, identities: Any, registrar: Any
    ) -> None:
        identities.suspend(people["patient"], sender=registrar)
        with ape.reverts(requests.RequestNotActivePatient, account=people["patient"].address):
            requests.approve(asked, OUTCOME, sender=people["patient"])
        requests.deny(asked, sender=people["patient"])
        assert requests.stateOf(asked) == DENIED

    def test_last_second_counts(
        self, requests: Any, people: dict[str, Any], asked: int, expires_at: int, chain: Any
    ) -> None:
        chain.pending_timestamp = expires_at - 1

        receipt = requests.approve(asked, OUTCOME, sender=people["patient"])

        assert receipt.timestamp == expires_at - 1
        assert requests.stateOf(asked) == APPROVED


class TestDeny:
    def test_patient_denies(self, requests: Any, people: dict[str, Any], asked: int) -> None:
        receipt = requests.deny(asked, sender=people["patient"])

        assert requests.stateOf(asked) == DENIED
        assert next(iter(receipt.decode_logs(requests.AccessDenied))).id == asked

    def test_rejects_stranger_and_the_requester(
        self, requests: Any, people: dict[str, Any], asked: int, stranger: Any, registrar: Any
    ) -> None:
        for caller in (stranger, registrar, people["doctor"], people["nurse"]):
            with ape.reverts(requests.RequestNotYours, id=asked, caller=caller.address):
                requests.deny(asked, sender=caller)

        assert requests.stateOf(asked) == OPEN


class TestWithdraw:
    def test_requester_withdraws(self, requests: Any, people: dict[str, Any], asked: int) -> None:
        receipt = requests.withdraw(asked, sender=people["doctor"])

        assert requests.stateOf(asked) == WITHDRAWN
        assert next(iter(receipt.decode_logs(requests.AccessWithdrawn))).id == asked

    def test_rejects_stranger_and_the_patient(
        self, requests: Any, people: dict[str, Any], asked: int, stranger: Any, registrar: Any
    ) -> None:
        for caller in (stranger, registrar, people["patient"], people["nurse"]):
            with ape.reverts(requests.RequestNotYours, id=asked, caller=caller.address):
                requests.withdraw(asked, sender=caller)

        assert requests.stateOf(asked) == OPEN

    def test_suspended_requester_withdraws_too(
        self, requests: Any, identities: Any, people: dict[str, Any], asked: int, registrar: Any
    ) -> None:
        identities.suspend(people["doctor"], sender=registrar)

        requests.withdraw(asked, sender=people["doctor"])

        assert requests.stateOf(asked) == WITHDRAWN


class TestClosed:
    @pytest.mark.parametrize("again", ["approve", "deny", "withdraw"])
    @pytest.mark.parametrize(("how", "state"), [("approve", APPROVED), ("deny", DENIED), ("withdraw", WITHDRAWN)])
    def test_closed_request_stays_as_it_is(
        self, requests: Any, people: dict[str, Any], asked: int, how: str, state: int, again: str
    ) -> None:
        close(requests, people, how, asked)

        with ape.reverts(requests.RequestNotOpen, id=asked, state=state):
            close(requests, people, again, asked)

        assert requests.stateOf(asked) == state

    @pytest.mark.parametrize("how", ["approve", "deny", "withdraw"])
    def test_reverts_if_expired(
        self, requests: Any, people: dict[str, Any], asked: int, expires_at: int, chain: Any, how: str
    ) -> None:
        chain.pending_timestamp = expires_at

        with ape.reverts(requests.RequestNotOpen, id=asked, state=EXPIRED):
            close(requests, people, how, asked)

    @pytest.mark.parametrize("how", ["approve", "deny", "withdraw"])
    def test_reverts_if_unknown(self, requests: Any, people: dict[str, Any], how: str) -> None:
        for unknown in (0, UNKNOWN_ID):
            with ape.reverts(requests.RequestNotYours, id=unknown):
                close(requests, people, how, unknown)

    def test_closing_one_leaves_the_other(
        self, requests: Any, people: dict[str, Any], asked: int, expires_at: int
    ) -> None:
        requests.request(people["patient"], DETAILS, expires_at, sender=people["nurse"])

        requests.deny(asked, sender=people["patient"])

        assert [requests.stateOf(id_) for id_ in (asked, asked + 1)] == [DENIED, OPEN]


class TestStateOf:
    def test_open_request_expires_to_the_second(self, requests: Any, asked: int, expires_at: int, chain: Any) -> None:
        chain.mine(timestamp=expires_at - 1)
        assert requests.stateOf(asked) == OPEN

        chain.mine(timestamp=expires_at)

        assert requests.stateOf(asked) == EXPIRED
        # As stored.
        assert requests.requestOf(asked).state == OPEN

    @pytest.mark.parametrize(("how", "state"), [("approve", APPROVED), ("deny", DENIED), ("withdraw", WITHDRAWN)])
    def test_closed_request_does_not_expire(
        self, requests: Any, people: dict[str, Any], asked: int, expires_at: int, chain: Any, how: str, state: int
    ) -> None:
        close(requests, people, how, asked)

        chain.mine(timestamp=expires_at)

        assert requests.stateOf(asked) == requests.requestOf(asked).state == state

    def test_zeros_for_the_unknown(self, requests: Any) -> None:
        assert requests.stateOf(UNKNOWN_ID) == NONE
        assert tuple(requests.requestOf(UNKNOWN_ID)) == (NOBODY, 0, NONE, NOBODY, bytes(32))
        assert requests.requestCount() == 0
