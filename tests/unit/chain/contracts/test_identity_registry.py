"""IdentityRegistry's adapter: persons and pairings are folded from events, and hidden registrations are found out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from eth_utils import to_checksum_address

from panachain.chain.bound import MANY
from panachain.chain.contracts.identity_registry import MAX_MOVES, IdentityRegistry
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.transactions import PairingEvent
from tests.unit.chain.contracts.node import (
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

PERSON = Actor(DOCTOR, Role.PRACTITIONER, Status.ACTIVE, KEYS, organisation=HOSPITAL)
PAIRING = b"p" * 32


@pytest.fixture
def node() -> Node:
    return Node("IdentityRegistry")


def register(node: Node, account: str = DOCTOR, role: int = 2, organisation: str = HOSPITAL) -> None:
    values = {"organisation": organisation, "keyDigest": KEYS, "personal": b""}
    node.emit("IdentityRegistered", account=account, role=role, **values)


class TestWrites:
    def test_a_person_is_registered_with_the_number_of_the_role(self, node: Node) -> None:
        identities, sender = node.adapter(IdentityRegistry), Sender(node)

        identities.register(sender, PERSON, lookup=b"l" * 32, personal=b"sealed")
        identities.register(sender, Actor(PATIENT, Role.PATIENT, Status.UNKNOWN, KEYS))

        assert sender.sent == [
            ("register", (*low(DOCTOR), 2, b"l" * 32, KEYS, *low(HOSPITAL), b"sealed")),
            ("register", (*low(PATIENT), 1, bytes(32), KEYS, NOBODY, b"")),
        ]

    def test_a_public_actor_has_no_identity(self, node: Node) -> None:
        sender = Sender(node)
        with pytest.raises(UsageError, match="no identity on the sidechain"):
            node.adapter(IdentityRegistry).register(sender, Actor(HOSPITAL, Role.HOSPITAL, Status.UNKNOWN, KEYS))
        assert sender.sent == []

    def test_each_other_method_is_the_function_of_its_name(self, node: Node) -> None:
        identities, sender = node.adapter(IdentityRegistry), Sender(node)

        identities.suspend(sender, DOCTOR)
        identities.reinstate(sender, DOCTOR)
        identities.pair(sender, HOSPITAL, PAIRING)
        identities.unpair(sender, HOSPITAL)

        expected = [("suspend", low(DOCTOR)), ("reinstate", low(DOCTOR))]
        assert sender.sent == [*expected, ("pair", (*low(HOSPITAL), PAIRING)), ("unpair", low(HOSPITAL))]


class TestPersons:
    def test_a_person_is_found_with_the_present_status(self, node: Node) -> None:
        register(node)
        identities = node.adapter(IdentityRegistry)
        assert identities.identity_of(DOCTOR) == PERSON
        for event, status in (("IdentitySuspended", Status.SUSPENDED), ("IdentityReinstated", Status.ACTIVE)):
            node.emit(event, account=DOCTOR)
            assert [one.status for one in identities.find()] == [status]
        assert identities.identity_of(STRANGER) is None

    def test_a_replaced_patient_may_not_act(self, node: Node) -> None:
        register(node, PATIENT, 1, NOBODY)
        node.emit("IdentityReplaced", patient=PATIENT, successor=STRANGER)
        (found,) = node.adapter(IdentityRegistry).find()
        assert (found.status, found.organisation) == (Status.REPLACED, None)

    @pytest.mark.parametrize("event", ["IdentitySuspended", "IdentityReinstated", "IdentityReplaced"])
    def test_a_hidden_registration_is_an_integrity_error(self, node: Node, event: str) -> None:
        values = {"patient": DOCTOR, "successor": STRANGER} if event == "IdentityReplaced" else {"account": DOCTOR}
        node.emit(event, **values)
        # Too late: an account can't be suspended before it is registered.
        register(node)
        with pytest.raises(IntegrityError, match=f"hides the registration of {DOCTOR}"):
            node.adapter(IdentityRegistry).find()

    @pytest.mark.parametrize("role", [0, 3, 255])
    def test_a_role_that_is_none_of_ours_is_an_integrity_error(self, node: Node, role: int) -> None:
        register(node, role=role)
        with pytest.raises(IntegrityError):
            node.adapter(IdentityRegistry).find()

    def test_many_are_asked_for_in_bounded_questions_and_nobody_in_none(self, node: Node) -> None:
        register(node)
        wanted = [DOCTOR, *(Address(f"0x{number:040x}") for number in range(MANY))]
        questions: list[int] = []
        call = node.call

        def counted(method: str, params: Any = ()) -> Any:
            if method == "eth_getLogs":
                questions.append(len(params[0]["topics"][1]))
            return call(method, params)

        node.call = counted  # type: ignore[method-assign]
        identities = node.adapter(IdentityRegistry)
        assert identities.find(wanted) == [PERSON]
        assert questions == [MANY, 1]
        assert identities.find([]) == []
        assert questions == [MANY, 1]


class TestPairings:
    def test_one_that_was_taken_back_is_no_pairing(self, node: Node) -> None:
        node.emit("HospitalPaired", patient=PATIENT, hospital=HOSPITAL, pairing=PAIRING)
        node.emit("HospitalPaired", patient=DOCTOR, hospital=HOSPITAL, pairing=PAIRING)
        node.emit("HospitalUnpaired", patient=DOCTOR, hospital=HOSPITAL)
        node.emit("HospitalPaired", patient=STRANGER, hospital=WHERE, pairing=PAIRING)
        identities = node.adapter(IdentityRegistry)
        assert identities.pairing_of(PATIENT, HOSPITAL) == PAIRING
        assert identities.pairing_of(STRANGER, HOSPITAL) is None
        assert identities.pairings_of([STRANGER, PATIENT, DOCTOR], HOSPITAL) == [None, PAIRING, None]
        assert identities.pairings_of([], HOSPITAL) == []
        assert node.asked == []

    def test_what_is_no_digest_is_an_integrity_error(self, node: Node) -> None:
        node.emit("HospitalPaired", patient=PATIENT, hospital=HOSPITAL, pairing=PAIRING)["data"] = "0x12"
        identities = node.adapter(IdentityRegistry)
        for asked in (
            lambda: identities.pairing_of(PATIENT, HOSPITAL),
            lambda: identities.pairings_of([PATIENT, STRANGER], HOSPITAL),
        ):
            with pytest.raises(IntegrityError):
                asked()

    def test_the_newest_pairing_of_each_two_counts_in_the_chain_s_order(self, node: Node) -> None:
        node.emit("HospitalPaired", patient=PATIENT, hospital=HOSPITAL, pairing=PAIRING)
        node.emit("HospitalPaired", patient=PATIENT, hospital=STRANGER, pairing=PAIRING)
        node.emit("HospitalUnpaired", patient=PATIENT, hospital=STRANGER)
        node.emit("HospitalPaired", patient=PATIENT, hospital=HOSPITAL, pairing=b"q" * 32)
        first = PairingEvent(PATIENT, HOSPITAL, b"q" * 32, paired=True)
        second = PairingEvent(PATIENT, STRANGER, PAIRING, paired=False)
        identities = node.adapter(IdentityRegistry)
        # In the order in which the newest ones were made.
        assert identities.paired() == [second, first]
        assert identities.paired(hospital=STRANGER) == [second]
        assert identities.paired(patient=DOCTOR) == []
        # Each that there ever was, also those that don't count any more.
        assert identities.ever_paired(STRANGER) == [replace(second, paired=True)]
        assert [event.digest for event in identities.ever_paired(HOSPITAL)][-1] == b"q" * 32

    def test_an_end_of_a_pairing_that_is_hidden_is_an_integrity_error(self, node: Node) -> None:
        node.emit("HospitalUnpaired", patient=PATIENT, hospital=HOSPITAL)
        with pytest.raises(IntegrityError, match="hides the pairing"):
            node.adapter(IdentityRegistry).paired()


class TestMoves:
    ACCOUNTS = tuple(Address(to_checksum_address(f"0x{number:040x}")) for number in range(1, 70))

    def move(self, node: Node, *accounts: Address) -> None:
        for patient, successor in pairwise(accounts):
            node.emit("IdentityReplaced", patient=patient, successor=successor)

    def test_every_account_of_a_chain_leads_to_its_end(self, node: Node) -> None:
        first, second, third, *_ = self.ACCOUNTS
        self.move(node, first, second, third)
        registry = node.adapter(IdentityRegistry)
        assert registry.moves() == {first: third, second: third}
        assert [registry.newest_of(one) for one in (first, second, third, PATIENT)] == [third, third, third, PATIENT]

    def test_two_that_were_moved_to_one_account_are_both_found_there(self, node: Node) -> None:
        first, second, third, fourth, *_ = self.ACCOUNTS
        self.move(node, first, third)
        self.move(node, second, third, fourth)
        assert node.adapter(IdentityRegistry).moves() == dict.fromkeys((first, second, third), fourth)

    def test_as_far_as_the_contract_follows_and_no_further(self, node: Node) -> None:
        self.move(node, *self.ACCOUNTS[: MAX_MOVES + 1])
        assert node.adapter(IdentityRegistry).newest_of(self.ACCOUNTS[0]) == self.ACCOUNTS[MAX_MOVES]
        self.move(node, *self.ACCOUNTS[MAX_MOVES : MAX_MOVES + 2])
        with pytest.raises(IntegrityError, match="more than 64 times, or in a circle"):
            node.adapter(IdentityRegistry).moves()

    def test_a_circle_that_a_node_invents_comes_to_an_end(self, node: Node) -> None:
        self.move(node, *self.ACCOUNTS[:3], self.ACCOUNTS[0])
        with pytest.raises(IntegrityError, match="in a circle"):
            node.adapter(IdentityRegistry).newest_of(self.ACCOUNTS[0])
