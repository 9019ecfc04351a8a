"""EmergencyAccess on the sidechain: a practitioner asks, a second one co-signs, and a review is due.

Follows design section 6 and contracts/interfaces/IEmergencyAccess.sol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, Adapter, Sends
from panachain.chain.evm import Receipt
from panachain.chain.logs import Event
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.transactions import Emergency, Wait, opens_first

_LATER: Final = ("EmergencyCosigned", "EmergencyReviewed", "EmergencyOverdue")
"""What may become of an emergency."""


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

    def now(self) -> int:
        """Return the time of the sidechain's newest block, Unix seconds."""
        return int(self.bound.source.head().time)

    def find(
        self,
        number: int | Sequence[int] | None = None,
        *,
        patient: Address | None = None,
        practitioner: Address | None = None,
    ) -> list[Emergency]:
        """Return emergencies in the order in which they were asked for.

        Args:
            number: only this one, or these; at most 500.
            patient: only those for the lane of this one.
            practitioner: only those that this one asked for.
        """
        with self.bound.source.pinned():
            asked = list(self.bound.events("EmergencyRequested", where=[number, practitioner, patient]))
            later: dict[int, list[Event]] = {}
            numbers = [event.values["id"] for event in asked]
            for start in range(0, len(numbers), MANY):
                for event in self.bound.events(*_LATER, where=[numbers[start : start + MANY]]):
                    later.setdefault(event.values["id"], []).append(event)
            times = {number: self.bound.source.block(number).time for number in {event.block for event in asked}}
            return [_emergency(event, times[event.block], later.get(event.values["id"], ())) for event in asked]

    def cosigned(self, *, since: int, from_block: int = 0) -> tuple[list[Emergency], int]:
        """Return the emergencies that were co-signed and end after a time, and up to which block was looked.

        Args:
            since: Unix seconds.
            from_block: co-signatures of earlier blocks aren't looked at.
        """
        with self.bound.source.pinned():
            head = self.bound.source.head()
            events = self.bound.events("EmergencyCosigned", from_block=max(from_block, self.bound.from_block))
            numbers = [event.values["id"] for event in events if event.values["expiresAt"] > since]
            found: list[Emergency] = []
            for start in range(0, len(numbers), MANY):
                found += self.find(numbers[start : start + MANY])
            return found, head.number

    def opens_at(
        self, grantee: Address, practitioner: Address, *, at: int, counted: Callable[[Emergency], int]
    ) -> Wait | None:
        """Return from when on a practitioner's emergencies open what was granted to an account.

        Args:
            grantee: a patient, or an account that stands for a delay in a patient's emergencies.
            practitioner: who asked; the co-signer isn't served.
            at: Unix seconds of another chain's head: a chain that stands still prolongs nothing.
            counted: returns from when on the delay counts in an emergency that is active, Unix seconds; it is called
                with those of theirs in which there is a delay for the grantee, so that no other one costs anything.

        Returns:
            None: no emergency of theirs that a second one co-signed, and that isn't over, opens it.
        """
        with self.bound.source.pinned():
            until = max(at, self.bound.source.head().time)
            active = [one for one in self.find(practitioner=practitioner) if one.is_active(until)]
            return opens_first(active, grantee, counted=counted)

    def in_emergency(self, grantee: Address, practitioner: Address, *, at: int) -> bool:
        """Tell whether a practitioner's emergency opens what was granted, by the time of the co-signature's block.

        It is what the chains say. A proxy also counts from when it first saw the co-signature (`opens_at`).

        Args:
            grantee: a patient, or an account that stands for a delay in a patient's emergencies.
            practitioner: who asked; the co-signer isn't served.
            at: Unix seconds of another chain's head: a chain that stands still prolongs nothing. Delays count by it
                alone: a sidechain that is ahead opens nothing early.
        """
        wait = self.opens_at(grantee, practitioner, at=at, counted=lambda one: one.cosigned_at)
        return wait is not None and wait.until <= at


def _emergency(event: Event, time: int, later: Iterable[Event]) -> Emergency:
    values = event.values
    made = Emergency(
        emergency_id=values["id"],
        practitioner=Address(address(values["practitioner"])),
        patient=Address(address(values["patient"])),
        reason=values["reason"],
        requested_at=time,
    )
    for one in later:
        if one.name == "EmergencyCosigned":
            cosigner = Address(address(one.values["cosigner"]))
            made = replace(
                made,
                cosigner=cosigner,
                expires_at=int(one.values["expiresAt"]),
                review_due_at=int(one.values["reviewDueAt"]),
            )
        elif one.name == "EmergencyReviewed":
            made = replace(made, reviewed=True)
        else:
            made = replace(made, enforced=True)
    return made
