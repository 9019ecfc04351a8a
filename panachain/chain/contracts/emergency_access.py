"""EmergencyAccess on the sidechain: a practitioner asks, a second one co-signs, and a review is due.

Follows design section 6 and contracts/interfaces/IEmergencyAccess.sol.
"""

from __future__ import annotations

from panachain.chain.bound import Adapter, Sends
from panachain.chain.evm import Receipt
from panachain.errors import IntegrityError
from panachain.model.actors import Address


class EmergencyAccess(Adapter):
    """Accesses in an emergency, with cosigner and review."""

    def request(self, sender: Sends, patient: Address, reason: bytes) -> int:
        """Ask for access in an emergency and return its ID; only active practitioners of a hospital may.

        Args:
            sender: the practitioner's.
            patient: whose emergency lane.
            reason: digest of the CID of the sealed reason, 32 bytes.
        """
        receipt = self.bound.send(sender, "request", patient, reason, what="the emergency")
        for log in receipt.logs:
            decoded = self.bound.abi.event(log)
            if decoded is not None and decoded[0] == "EmergencyRequested":
                return int(decoded[1]["id"])
        raise IntegrityError(f"transaction {receipt.tx_hash} shows no emergency")

    def cosign(self, sender: Sends, emergency_id: int) -> Receipt:
        """Co-sign within the hour; only another active practitioner of the same hospital may."""
        return self.bound.send(sender, "cosign", emergency_id, what=f"co-signing emergency {emergency_id}")

    def review(self, sender: Sends, emergency_id: int, outcome: bytes = bytes(32)) -> Receipt:
        """State that the review was held; only the registrar may."""
        return self.bound.send(sender, "review", emergency_id, outcome, what=f"reviewing emergency {emergency_id}")

    def enforce(self, sender: Sends, emergency_id: int) -> Receipt:
        """Suspend a practitioner whose review is overdue; anyone may."""
        return self.bound.send(sender, "enforce", emergency_id, what=f"enforcing emergency {emergency_id}")

    def reasons(self) -> dict[int, bytes]:
        """Return by emergency the digest of the CID of its sealed reason."""
        return {int(event.values["id"]): event.values["reason"] for event in self.bound.events("EmergencyRequested")}

    def is_active(self, emergency_id: int) -> bool:
        """Tell whether the access is active now."""
        with self.bound.source.pinned():
            now = self.bound.source.head().time
            cosigned = self.bound.events("EmergencyCosigned", where=[emergency_id])
            return any(now < event.values["expiresAt"] for event in cosigned)
