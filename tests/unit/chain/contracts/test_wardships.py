"""Wardships' adapter: a wardship's number is that of its own transaction, and events tell what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain.contracts.wardships import Wardships
from panachain.errors import IntegrityError
from panachain.model.scope import Category
from panachain.model.transactions import Wardship
from tests.unit.chain.contracts.node import DOCTOR, HOSPITAL, PATIENT, STRANGER, Node, Sender, low

PAPERS, HANDOVER = b"p" * 32, b"h" * 32
END, KEPT_FROM = 9_000, 8_000
CATEGORIES = Category.LABORATORY.bit | Category.GENDER.bit
MADE = Wardship(4, PATIENT, HOSPITAL, DOCTOR, CATEGORIES, Category.GENDER.bit, KEPT_FROM, END, PAPERS, HANDOVER)


@pytest.fixture
def node() -> Node:
    return Node("Wardships")


def propose(node: Node, number: int = 4, **more: Any) -> dict[str, Any]:
    values = {"id": number, "ward": PATIENT, "account": HOSPITAL, "carer": DOCTOR, "categories": CATEGORIES}
    values |= {"keeps": Category.GENDER.bit, "keepsFrom": KEPT_FROM, "endsAt": END}
    return node.emit("WardshipProposed", **(values | {"papers": PAPERS, "handover": HANDOVER} | more))


def test_a_proposal_returns_the_number_that_its_transaction_shows(node: Node) -> None:
    sender = Sender(node, logs=[{"topics": [], "data": "0x"}, propose(node)])
    made = node.adapter(Wardships).propose(
        sender,
        PATIENT,
        DOCTOR,
        categories=CATEGORIES,
        keeps=Category.GENDER.bit,
        keeps_from=KEPT_FROM,
        ends_at=END,
        papers=PAPERS,
        handover=HANDOVER,
    )
    assert made == 4
    ((function, (terms,)),) = sender.sent
    ward, carer = low(PATIENT, DOCTOR)
    expected = (ward, END, carer, KEPT_FROM, CATEGORIES, Category.GENDER.bit, PAPERS, HANDOVER)
    assert (function, terms) == ("propose", expected)


def test_a_transaction_without_its_event_is_an_integrity_error(node: Node) -> None:
    ended = node.emit("WardshipEnded", id=4, by=DOCTOR)
    more = {"categories": 1, "keeps": 0, "keeps_from": 0, "ends_at": END, "papers": PAPERS, "handover": HANDOVER}
    for logs in ([], [ended]):
        with pytest.raises(IntegrityError, match="shows no wardship"):
            node.adapter(Wardships).propose(Sender(node, logs=logs), PATIENT, DOCTOR, **more)  # type: ignore[arg-type]


def test_what_follows_names_the_wardship(node: Node) -> None:
    wardships, sender = node.adapter(Wardships), Sender(node)
    wardships.accept(sender, 1)
    wardships.start(sender, 2)
    wardships.end(sender, 3)
    wardships.end_by_registrar(sender, 4)
    wardships.conclude(sender, 5)
    functions = ("accept", "start", "end", "endByRegistrar", "conclude")
    assert sender.sent == [(name, (number,)) for number, name in enumerate(functions, start=1)]


def test_wardships_come_in_their_order_with_what_became_of_them(node: Node) -> None:
    for number in range(4, 9):
        propose(node, number)
    for number in range(5, 9):
        node.emit("WardshipAccepted", id=number, carer=DOCTOR)
    for number in range(6, 9):
        node.emit("WardshipStarted", id=number, ward=PATIENT, registrar=STRANGER)
    node.emit("WardshipEnded", id=7, by=STRANGER)
    node.emit("WardshipConcluded", id=8, by=STRANGER)

    found = node.adapter(Wardships).find()

    assert [one.number for one in found] == [4, 5, 6, 7, 8]
    assert found[0] == MADE
    # The node's block 7 is of the time 1007.
    states = [one.state(END - 1) for one in found]
    assert states == ["proposed", "accepted", "in force", "ended", "in force"]
    assert [one.state(END) for one in found] == ["over", "over", "over", "ended", "over"]
    assert (found[2].started_at, found[3].ended_at) == (1007, 1007)


def test_only_those_of_a_ward_an_account_or_a_carer_are_found(node: Node) -> None:
    propose(node, 1)
    propose(node, 2, ward=STRANGER)
    propose(node, 3, account=STRANGER)
    propose(node, 4, carer=STRANGER)
    wardships = node.adapter(Wardships)
    assert [one.number for one in wardships.find(ward=PATIENT)] == [1, 3, 4]
    assert [one.number for one in wardships.find(account=HOSPITAL)] == [1, 2, 4]
    assert [one.number for one in wardships.find(carer=DOCTOR)] == [1, 2, 3]
    assert [one.number for one in wardships.find(2)] == [2]
    assert wardships.find(9) == []


def test_the_newest_block_tells_the_time(node: Node) -> None:
    assert node.adapter(Wardships).now() == 1100
