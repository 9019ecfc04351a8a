"""EmergencyAccess' adapter: an emergency's ID is the one of its own transaction, and its end is the contract's word."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.contracts.emergency_access import EmergencyAccess
from panachain.errors import IntegrityError
from panachain.ethereum import checksum_address
from panachain.model.actors import Address
from panachain.model.emergencies import LASTS, waiting_account
from panachain.model.transactions import NO_WAIT, Emergency, Wait
from tests.unit.chain.contracts.node import DOCTOR, PATIENT, STRANGER, Node, Sender, low

REASON, OUTCOME = b"r" * 32, b"o" * 32


@pytest.fixture
def node() -> Node:
    return Node("EmergencyAccess")


def test_a_request_returns_the_id_that_its_transaction_shows(node: Node) -> None:
    asked = node.emit("EmergencyRequested", id=4, practitioner=DOCTOR, patient=PATIENT, reason=REASON)
    sender = Sender(node, logs=[{"topics": [], "data": "0x"}, asked])

    assert node.adapter(EmergencyAccess).request(sender, PATIENT, REASON) == 4
    assert sender.sent == [("request", (*low(PATIENT), REASON))]


def test_a_transaction_without_its_event_is_an_integrity_error(node: Node) -> None:
    reviewed = node.emit("EmergencyReviewed", id=4, outcome=OUTCOME)
    for logs in ([], [reviewed]):
        with pytest.raises(IntegrityError, match="shows no emergency"):
            node.adapter(EmergencyAccess).request(Sender(node, logs=logs), PATIENT, REASON)


def test_a_log_that_does_not_fit_the_abi_is_an_integrity_error(node: Node) -> None:
    asked = node.emit("EmergencyRequested", id=4, practitioner=DOCTOR, patient=PATIENT, reason=REASON)
    for change in ({"data": "0x12"}, {"topics": asked["topics"][:2]}):
        with pytest.raises(IntegrityError):
            node.adapter(EmergencyAccess).request(Sender(node, logs=[asked | change]), PATIENT, REASON)


def test_what_follows_names_the_emergency(node: Node) -> None:
    emergency, sender = node.adapter(EmergencyAccess), Sender(node)

    emergency.cosign(sender, 1)
    emergency.review(sender, 2, OUTCOME)
    emergency.review(sender, 3)
    emergency.enforce(sender, 4)

    assert sender.sent == [
        ("cosign", (1,)),
        ("review", (2, OUTCOME)),
        ("review", (3, bytes(32))),
        ("enforce", (4,)),
    ]


def test_it_is_active_from_the_second_signature_until_its_end(node: Node) -> None:
    now = 1000 + node.block
    for number, end in ((3, now), (4, now + 1)):
        node.emit("EmergencyCosigned", id=number, cosigner=STRANGER, expiresAt=end, reviewDueAt=end + 9)
    emergency = node.adapter(EmergencyAccess)
    assert [emergency.is_active(number) for number in (2, 3, 4)] == [False, False, True]
    assert node.asked == []


def test_reasons_are_found_by_emergency(node: Node) -> None:
    for number, reason in ((4, REASON), (9, OUTCOME)):
        node.emit("EmergencyRequested", id=number, practitioner=DOCTOR, patient=PATIENT, reason=reason)
    assert node.adapter(EmergencyAccess).reasons() == {4: REASON, 9: OUTCOME}


def test_what_is_no_second_signature_is_an_integrity_error(node: Node) -> None:
    node.emit("EmergencyCosigned", id=4, cosigner=STRANGER, expiresAt=5, reviewDueAt=6)["data"] = "0x12"
    with pytest.raises(IntegrityError):
        node.adapter(EmergencyAccess).is_active(4)


def broken(node: Node, number: int, *, practitioner: Address = DOCTOR, patient: Address = PATIENT, end: int) -> None:
    node.emit("EmergencyRequested", id=number, practitioner=practitioner, patient=patient, reason=REASON)
    node.emit("EmergencyCosigned", id=number, cosigner=STRANGER, expiresAt=end, reviewDueAt=end + 9)


def test_what_became_of_each_is_found_by_patient_and_practitioner(node: Node) -> None:
    broken(node, 1, end=5)
    node.emit("EmergencyRequested", id=2, practitioner=STRANGER, patient=PATIENT, reason=OUTCOME)
    broken(node, 3, patient=STRANGER, end=9)
    node.emit("EmergencyReviewed", id=1, outcome=OUTCOME)
    node.emit("EmergencyOverdue", id=3, practitioner=DOCTOR)
    emergency = node.adapter(EmergencyAccess)
    first, second, third = emergency.find()
    assert (first.cosigner, first.expires_at, first.review_due_at, first.reviewed) == (STRANGER, 5, 14, True)
    assert (second.reason, second.cosigner, second.expires_at, second.reviewed) == (OUTCOME, None, 0, False)
    assert (third.enforced, third.reviewed, third.patient) == (True, False, STRANGER)
    assert emergency.find(patient=PATIENT) == [first, second]
    assert emergency.find(practitioner=DOCTOR, patient=STRANGER) == [third]
    assert emergency.find(practitioner=PATIENT) == []


def test_who_asked_with_that_patient_is_in_an_emergency_until_its_end_and_nobody_else(node: Node) -> None:
    now = 1000 + node.block
    broken(node, 1, end=now + 10)
    emergency = node.adapter(EmergencyAccess)
    assert emergency.in_emergency(PATIENT, DOCTOR, at=0)
    assert not emergency.in_emergency(PATIENT, STRANGER, at=0)
    assert not emergency.in_emergency(STRANGER, DOCTOR, at=0)
    # Another chain's head is later than this one's.
    assert emergency.in_emergency(PATIENT, DOCTOR, at=now + 9)
    assert not emergency.in_emergency(PATIENT, DOCTOR, at=now + 10)


def test_what_waits_opens_from_when_on_its_delay_counts(node: Node) -> None:
    now = 1000 + node.block
    broken(node, 1, end=now + LASTS)
    broken(node, 2, end=now + LASTS - 50)
    broken(node, 3, end=now)
    emergency = node.adapter(EmergencyAccess)
    later = Address(checksum_address(waiting_account(PATIENT, 900)))
    asked: list[int] = []

    def counted(one: Emergency) -> int:
        asked.append(one.emergency_id)
        return now + 7 * one.emergency_id

    assert emergency.opens_at(later, DOCTOR, at=now, counted=counted) == Wait(now + 907)
    # One that is over doesn't count, and isn't kept.
    assert asked == [1, 2]
    assert emergency.opens_at(PATIENT, DOCTOR, at=now, counted=counted) == NO_WAIT
    assert emergency.opens_at(STRANGER, DOCTOR, at=now, counted=counted) is None
    assert emergency.opens_at(later, STRANGER, at=now, counted=counted) is None
    # Whoever isn't let wait, and whoever waits for another patient, costs nothing.
    other = Address(checksum_address(waiting_account(STRANGER, 900)))
    assert emergency.opens_at(other, DOCTOR, at=now, counted=counted) is None
    assert asked == [1, 2]
    # By the chain itself: from the co-signature's block on.
    assert emergency.in_emergency(later, DOCTOR, at=now + 850)
    assert not emergency.in_emergency(later, DOCTOR, at=now + 849)


def test_what_was_cosigned_and_isnt_over_is_found_from_a_block_on(node: Node) -> None:
    broken(node, 1, end=50)
    broken(node, 2, end=51)
    node.emit("EmergencyRequested", id=3, practitioner=DOCTOR, patient=PATIENT, reason=REASON)
    emergency = node.adapter(EmergencyAccess)
    found, head = emergency.cosigned(since=50)
    assert [one.emergency_id for one in found] == [2]
    assert (found[0].practitioner, found[0].patient, found[0].cosigner) == (DOCTOR, PATIENT, STRANGER)
    assert head == emergency.bound.source.head().number
    assert emergency.cosigned(since=50, from_block=head + 1) == ([], head)
    assert emergency.cosigned(since=51, from_block=-64) == ([], head)


def test_without_a_second_signature_nobody_is_in_an_emergency(node: Node) -> None:
    node.emit("EmergencyRequested", id=1, practitioner=DOCTOR, patient=PATIENT, reason=REASON)
    assert not node.adapter(EmergencyAccess).in_emergency(PATIENT, DOCTOR, at=0)


@pytest.mark.parametrize(
    ("change", "at", "state"),
    [
        ({}, 3599, "asked"),
        ({}, 3600, "lapsed"),
        ({"expires_at": 5000, "review_due_at": 9000}, 4999, "active"),
        ({"expires_at": 5000, "review_due_at": 9000}, 5000, "over"),
        ({"expires_at": 5000, "review_due_at": 9000}, 9000, "overdue"),
        ({"expires_at": 5000, "review_due_at": 9000, "reviewed": True}, 4999, "active"),
        ({"expires_at": 5000, "review_due_at": 9000, "reviewed": True}, 9000, "reviewed"),
        ({"expires_at": 5000, "review_due_at": 9000, "enforced": True}, 9000, "suspended"),
    ],
)
def test_a_state_follows_from_the_time(change: dict[str, Any], at: int, state: str) -> None:
    assert Emergency(1, DOCTOR, PATIENT, REASON, 0, **change).state(at) == state
