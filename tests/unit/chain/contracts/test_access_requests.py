"""AccessRequests' adapter: who asks whom, and states and answers as the contract says them."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.contracts.access_requests import AccessRequests
from panachain.chain.refusals import REQUEST_STATES
from panachain.errors import IntegrityError
from panachain.model.transactions import AccessRequest
from tests.unit.chain.contracts.node import DOCTOR, NOT_OF_THE_ABI, PATIENT, STRANGER, Node, Raw, Sender, low

DETAILS, OUTCOME = b"d" * 32, b"o" * 32


@pytest.fixture
def node() -> Node:
    return Node("AccessRequests", {"stateOf": 1})


def ask(node: Node, number: int, patient: str = PATIENT, requester: str = DOCTOR) -> dict[str, Any]:
    values = {"id": number, "requester": requester, "patient": patient, "details": DETAILS, "expiresAt": 50}
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
    def test_requests_come_in_their_order_with_the_contract_s_state(self, node: Node) -> None:
        for number in (1, 2, 3):
            ask(node, number)
        node.results["stateOf"] = lambda number: {1: 3, 2: 5, 3: 1}[number]

        found = list(node.adapter(AccessRequests).find())

        assert [(one.request_id, one.state) for one in found] == [(1, "denied"), (2, "expired"), (3, "open")]
        assert found[2] == AccessRequest(3, DOCTOR, PATIENT, DETAILS, 50, "open")

    def test_only_those_of_a_patient_or_a_requester_are_found(self, node: Node) -> None:
        ask(node, 1)
        ask(node, 2, patient=STRANGER)
        ask(node, 3, requester=STRANGER)
        requests = node.adapter(AccessRequests)

        assert [one.request_id for one in requests.find(patient=PATIENT)] == [1, 3]
        assert [one.request_id for one in requests.find(requester=DOCTOR)] == [1, 2]
        assert [one.request_id for one in requests.find(patient=PATIENT, requester=DOCTOR)] == [1]

    @pytest.mark.parametrize("answer", [*NOT_OF_THE_ABI, Raw(f"0x{len(REQUEST_STATES):064x}"), Raw(f"0x{255:064x}")])
    def test_a_state_that_the_contract_does_not_know_is_an_integrity_error(self, node: Node, answer: Any) -> None:
        ask(node, 1)
        node.results["stateOf"] = answer
        with pytest.raises(IntegrityError):
            list(node.adapter(AccessRequests).find())


def test_an_approval_may_tell_something() -> None:
    node = Node("AccessRequests")
    node.emit("AccessApproved", id=1, outcome=OUTCOME)
    node.emit("AccessApproved", id=2, outcome=bytes(32))
    requests = node.adapter(AccessRequests)
    assert [requests.outcome_of(number) for number in (1, 2, 3)] == [OUTCOME, None, None]
