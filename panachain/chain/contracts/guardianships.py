"""The part of IdentityRegistry that is about guardians: naming them, freezing, and moving a patient to another account.

What they are and who may do what: ADR 54. Follows contracts/interfaces/IIdentityRegistry.sol.
"""

from __future__ import annotations

from collections.abc import Sequence

from panachain.chain.abi import address
from panachain.chain.bound import Adapter, Sends
from panachain.chain.codec import encode
from panachain.chain.evm import Receipt
from panachain.ethereum import keccak
from panachain.model.actors import Address
from panachain.model.guardianship import GuardianProof, GuardiansEvent, Guardianship, RecoveryEvent


class Guardianships(Adapter):
    """Who may move a patient, and moves that were begun. Stands on the contract IdentityRegistry."""

    def set_guardians(
        self, sender: Sends, commitments: Sequence[bytes], threshold: int, delay: int, invitations: bytes
    ) -> Receipt:
        """Name the sender's guardians, or announce others: those count when the present delay is over.

        Args:
            sender: the patient's.
            commitments: of each guardian `guardian_commitment`, and any others that hide how many there are; ascending,
                none to name nobody.
            threshold: how many of them move the patient; 0 for nobody.
            delay: seconds that a recovery and the next change wait, a day to thirty days.
            invitations: the digest of the CID of what is sealed to them; 32 bytes.
        """
        return self.bound.send(
            sender, "setGuardians", list(commitments), threshold, delay, invitations, what="naming guardians"
        )

    def cancel_guardians(self, sender: Sends) -> Receipt:
        """Take back what the sender announced of their guardians."""
        return self.bound.send(sender, "cancelGuardians", what="keeping the present guardians")

    def freeze(self, sender: Sends) -> Receipt:
        """Let nobody new be named or paired with in the sender's name for 72 hours."""
        return self.bound.send(sender, "freeze", what="freezing")

    def freeze_for(self, sender: Sends, patient: Address, proof: GuardianProof) -> Receipt:
        """Freeze a patient whose guardian the sender is; once as long as the same guardians are named."""
        return self.bound.send(sender, "freezeFor", patient, *proof.arguments, what="freezing a patient")

    def approve_recovery(self, sender: Sends, patient: Address, successor: Address, proof: GuardianProof) -> Receipt:
        """Speak for moving a patient, whose guardian the sender is, to another account."""
        return self.bound.send(
            sender, "approveRecovery", patient, successor, *proof.arguments, what="speaking for a recovery"
        )

    def cancel_recovery(self, sender: Sends) -> Receipt:
        """Veto every approval until now, and an open recovery of the sender."""
        return self.bound.send(sender, "cancelRecovery", what="the veto")

    def complete_recovery(self, sender: Sends, patient: Address) -> Receipt:
        """Let the sender be the patient from now on; only the successor may, when the delay is over."""
        return self.bound.send(sender, "completeRecovery", patient, what="completing the recovery")

    def is_guardian(self, patient: Address, account: Address, proof: GuardianProof) -> bool:
        """Tell whether an account may move a patient; a node's word, which can only refuse or pay a guardian."""
        return bool(self.bound.read("isGuardian", patient, account, *proof.arguments))

    def guardianship_of(self, patient: Address) -> Guardianship:
        """Return what the chain knows of a patient's guardians, and of an open recovery; a node's word."""
        digest, threshold, delay, following, changes_at, frozen_until = self.bound.read("guardianshipOf", patient)
        successor, ready_at = self.bound.read("recoveryOf", patient)
        return Guardianship(
            digest=digest,
            threshold=threshold,
            delay=delay,
            next_digest=following,
            changes_at=changes_at,
            frozen_until=frozen_until,
            successor=Address(address(successor)) if ready_at else None,
            ready_at=ready_at,
        )

    def announced(self, patient: Address | None = None) -> list[GuardiansEvent]:
        """Return what patients announced of their guardians, oldest first.

        Args:
            patient: only this one's; None takes everybody's.
        """
        return [
            GuardiansEvent(
                Address(address(event.values["patient"])),
                tuple(event.values["commitments"]),
                event.values["threshold"],
                event.values["delay"],
                event.values["invitations"],
            )
            for event in self.bound.events("GuardiansAnnounced", where=[patient])
        ]

    def recoveries(self, patient: Address) -> list[RecoveryEvent]:
        """Return who spoke for moving a patient, when that was opened, vetoed and done, oldest first."""
        names = ("RecoveryApproved", "RecoveryOpened", "RecoveryCancelled", "IdentityReplaced")
        return [
            RecoveryEvent(
                event.name,
                Address(address(event.values["successor"])) if "successor" in event.values else None,
                Address(address(event.values["guardian"])) if "guardian" in event.values else None,
                event.values.get("readyAt", 0),
            )
            for event in self.bound.events(*names, where=[patient])
        ]


def guardian_commitment(patient: Address, guardian: Address, salt: bytes) -> bytes:
    """Return what stands for a guardian in a patient's list, 32 bytes (`keccak256(abi.encode(…))`).

    Args:
        patient: whose guardian.
        guardian: the guardian's account.
        salt: 32 random bytes, which the two of them know.
    """
    return keccak(encode(("address", "address", "bytes32"), (patient, guardian, salt)))


def list_digest(commitments: Sequence[bytes]) -> bytes:
    """Return the digest of a list of commitments, 32 bytes, as the contract keeps it; zeros for an empty one."""
    return keccak(encode(("bytes32[]",), (list(commitments),))) if commitments else bytes(32)
