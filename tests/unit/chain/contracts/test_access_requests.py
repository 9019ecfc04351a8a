"""AccessRequests' adapter: who asks whom, and states and answers as the contract says them."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.contracts.access_requests import AccessRequests
from panachain.errors import IntegrityError
from panachain.model.transactions import AccessRequest
from tests.unit.chain.contracts.node import DOCTOR, PATIENT, STRANGER, Node, Sender, low

DETAILS, OUTCOME = b"d" * 32, b"o" * 32
NOW, LATER = 1100, 5000
"""Unix seconds: the time of the node's newest block, and a later one."""


@pytest.fixture
def node() -> Node:
    return Node("AccessRequests")


def ask(
    node: Node, number: int, patient: str = PATIENT, requester: str = DOCTOR, expires_at: int = LATER
) -> dict[str, Any]:
    values = {"id": number, "requester": requester, "patient": patient, "details": DETAILS, "expiresAt": expires_at}
    return node.emit("AccessRequested", **values)


class TestRequest:
    def test_its_id_is_the_one_of_its_own_transaction(self, node: Node) -> None:
        elsewhere = {"topics": ["0x" + "99" * 32], "data": "0x"}
        sender = Sender(node, logs=[elsewhere, ask(node, 8)])

        assert node.adapter(AccessRequests).request(sender, PATIENT, DETAILS, 50) == 8
        assert sender.sent == [("request", (*low(PATIENT), DETAILS, 50))]

    def test_a_transaction_without_its_event_is_an_integrity_error(self, node: Node) -> None:
        denied = node.emit("AccessDenied", id=8)
        for logs in ([], [denied]):
            with pytest.raises(IntegrityError, match="shows no request"):
                node.adapter(AccessRequests).request(Sender(node, logs=logs), PATIENT, DETAILS, 50)  # type: ignore[arg-type]

    def test_a_referral_names_patient_and_specialist(self, node: Node) -> None:
        sender = Sender(node, logs=[ask(node, 8), node.emit("AccessReferred", id=8, referrer=STRANGER)])

        assert node.adapter(AccessRequests).refer(sender, PATIENT, DOCTOR, DETAILS, 50) == 8
        assert sender.sent == [("refer", (*low(PATIENT, DOCTOR), DETAILS, 50))]

    def test_answers_name_the_request(self, node: Node) -> None:
        requests, sender = node.adapter(AccessRequests), Sender(node)

        requests.approve(sender, 1, OUTCOME)
        requests.approve(sender, 2)
        requests.deny(sender, 3)
        requests.withdraw(sender, 4)

        assert sender.sent == [
            ("approve", (1, OUTCOME)),
            ("approve", (2, bytes(32))),
            ("deny", (3,)),
            ("withdraw", (4,)),
        ]


class TestFind:
    def test_requests_come_in_their_order_with_what_became_of_them(self, node: Node) -> None:
        for number in range(1, 5):
            ask(node, number)
        ask(node, 5, expires_at=NOW)
        ask(node, 6, expires_at=NOW + 1)
        node.emit("AccessDenied", id=1)
        node.emit("AccessWithdrawn", id=2)
        node.emit("AccessApproved", id=3, outcome=OUTCOME)

        found = list(node.adapter(AccessRequests).find())

        assert [one.state for one in found] == ["denied", "withdrawn", "approved", "open", "expired", "open"]
        assert [one.request_id for one in found] == [1, 2, 3, 4, 5, 6]
        assert found[3] == AccessRequest(4, DOCTOR, PATIENT, DETAILS, LATER, "open")
        assert node.asked == []

    def test_nobody_is_asked_for_the_time_where_nothing_was_requested(self, node: Node) -> None:
        asked: list[str] = []
        call = node.call

        def counted(method: str, params: Any = ()) -> Any:
            asked.append(method)
            return call(method, params)

        node.call = counted  # type: ignore[method-assign]
        assert list(node.adapter(AccessRequests).find()) == []
        alone = len(asked)
        ask(node, 1)
        list(node.adapter(AccessRequests).find())
        # The first question, the one for answers, and the one for the time.
        assert len(asked) - alone >= alone + 2

    def test_a_referral_says_who_made_it_and_is_found_by_them(self, node: Node) -> None:
        ask(node, 1)
        ask(node, 2)
        node.emit("AccessReferred", id=2, referrer=STRANGER)
        ask(node, 3, requester=STRANGER)
        requests = node.adapter(AccessRequests)

        assert [one.referrer for one in requests.find()] == [None, STRANGER, None]
        assert [one.request_id for one in requests.find(referrer=STRANGER)] == [2]
        assert list(requests.find(referrer=PATIENT)) == []
        assert list(requests.find(referrer=STRANGER, patient=STRANGER)) == []

    def test_what_was_answered_never_expires(self, node: Node) -> None:
        ask(node, 1, expires_at=NOW - 1)
        node.emit("AccessDenied", id=1)
        assert [one.state for one in node.adapter(AccessRequests).find()] == ["denied"]

    def test_answers_to_others_are_not_asked_for(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("panachain.chain.contracts.access_requests.MANY", 1)
        for number in (1, 2, 3):
            ask(node, number)
            node.emit("AccessDenied", id=number + 1)
        assert [one.state for one in node.adapter(AccessRequests).find()] == ["open", "denied", "denied"]
        assert list(node.adapter(AccessRequests).find(patient=STRANGER)) == []

    def test_only_those_of_a_patient_or_a_requester_are_found(self, node: Node) -> None:
        ask(node, 1)
        ask(node, 2, patient=STRANGER)
        ask(node, 3, requester=STRANGER)
        requests = node.adapter(AccessRequests)

        assert [one.request_id for one in requests.find(patient=PATIENT)] == [1, 3]
        assert [one.request_id for one in requests.find(requester=DOCTOR)] == [1, 2]
        assert [one.request_id for one in requests.find(patient=PATIENT, requester=DOCTOR)] == [1]


def test_an_approval_may_tell_something() -> None:
    node = Node("AccessRequests")
    node.emit("AccessApproved", id=1, outcome=OUTCOME)
    node.emit("AccessApproved", id=2, outcome=bytes(32))
    requests = node.adapter(AccessRequests)
    assert [requests.outcome_of(number) for number in (1, 2, 3)] == [OUTCOME, None, None]
