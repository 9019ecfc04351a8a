"""Guardianships: what is sent, hashed and read as the contract has it."""

from __future__ import annotations

import pytest
from eth_abi import encode as eth_encode
from eth_utils import keccak

from panachain.chain.contracts.guardianships import Guardianships, guardian_commitment, list_digest
from panachain.model.guardianship import GuardianProof, Guardianship, RecoveryEvent
from tests.unit.chain.contracts.node import DOCTOR, PATIENT, STRANGER, Node, Sender, low


@pytest.fixture
def node() -> Node:
    return Node("IdentityRegistry")


class TestGuardians:
    PROOF = GuardianProof((b"c" * 32, b"d" * 32), 1, b"s" * 32)

    def test_commitments_and_lists_are_hashed_as_the_contract_does(self) -> None:
        salt, two = b"s" * 32, [b"c" * 32, b"d" * 32]
        packed = eth_encode(["address", "address", "bytes32"], [PATIENT, DOCTOR, salt])
        assert guardian_commitment(PATIENT, DOCTOR, salt) == keccak(packed)
        assert list_digest(two) == keccak(eth_encode(["bytes32[]"], [two]))
        assert list_digest([]) == bytes(32)

    def test_each_call_carries_what_it_was_given(self, node: Node) -> None:
        guardianships, sender = node.adapter(Guardianships), Sender(node)
        proof = (tuple(self.PROOF.commitments), 1, b"s" * 32)
        guardianships.set_guardians(sender, [b"c" * 32], 1, 86_400, b"i" * 32)
        guardianships.cancel_guardians(sender)
        guardianships.freeze(sender)
        guardianships.freeze_for(sender, PATIENT, self.PROOF)
        guardianships.approve_recovery(sender, PATIENT, STRANGER, self.PROOF)
        guardianships.cancel_recovery(sender)
        guardianships.complete_recovery(sender, PATIENT)
        assert sender.sent == [
            ("setGuardians", ((b"c" * 32,), 1, 86_400, b"i" * 32)),
            ("cancelGuardians", ()),
            ("freeze", ()),
            ("freezeFor", (*low(PATIENT), *proof)),
            ("approveRecovery", (*low(PATIENT, STRANGER), *proof)),
            ("cancelRecovery", ()),
            ("completeRecovery", low(PATIENT)),
        ]

    def test_what_the_contract_knows_of_them(self, node: Node) -> None:
        node.results["guardianshipOf"] = (b"d" * 32, 2, 259_200, bytes(32), 0, 7)
        node.results["recoveryOf"] = (STRANGER.lower(), 9)
        guardianships = node.adapter(Guardianships)
        found = guardianships.guardianship_of(PATIENT)
        assert found == Guardianship(b"d" * 32, 2, 259_200, bytes(32), 0, 7, STRANGER, 9)
        node.results["recoveryOf"] = ("0x" + "00" * 20, 0)
        assert guardianships.guardianship_of(PATIENT).successor is None
        node.results["isGuardian"] = True
        assert guardianships.is_guardian(PATIENT, DOCTOR, self.PROOF)
        # Its salt names a guardian to whoever reads a log.
        assert "s" * 32 not in repr(self.PROOF)

    def test_announcements_and_steps_come_from_events(self, node: Node) -> None:
        told = {"threshold": 2, "delay": 86_400, "invitations": b"i" * 32, "takesEffectAt": 8}
        node.emit("GuardiansAnnounced", patient=PATIENT, commitments=[b"c" * 32], **told)
        node.emit("GuardiansAnnounced", patient=STRANGER, commitments=[], **told)
        node.emit("RecoveryApproved", patient=PATIENT, successor=STRANGER, guardian=DOCTOR)
        node.emit("RecoveryOpened", patient=PATIENT, successor=STRANGER, readyAt=9)
        node.emit("RecoveryCancelled", patient=PATIENT)
        guardianships = node.adapter(Guardianships)
        (event,) = guardianships.announced(PATIENT)
        assert (event.patient, event.commitments, event.threshold) == (PATIENT, (b"c" * 32,), 2)
        assert (event.delay, event.invitations) == (86_400, b"i" * 32)
        assert len(guardianships.announced()) == 2
        assert guardianships.recoveries(PATIENT) == [
            RecoveryEvent("RecoveryApproved", STRANGER, DOCTOR),
            RecoveryEvent("RecoveryOpened", STRANGER, None, 9),
            RecoveryEvent("RecoveryCancelled"),
        ]
        assert guardianships.recoveries(DOCTOR) == []
