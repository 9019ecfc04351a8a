"""AccessRequests on the sidechain: practitioners ask patients for access, and patients answer.

Follows design section 6 and contracts/interfaces/IAccessRequests.sol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, Adapter, Sends
from panachain.chain.evm import Receipt
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.transactions import AccessRequest

_ANSWERS: Final = {"AccessApproved": "approved", "AccessDenied": "denied", "AccessWithdrawn": "withdrawn"}
"""What a request is after each event."""


class AccessRequests(Adapter):
    """Requests for access."""

    def request(self, sender: Sends, patient: Address, details: bytes, expires_at: int) -> int:
        """Ask for access and return the request's ID; `details` is the digest of the sealed details' CID."""
        return self._number(self.bound.send(sender, "request", patient, details, expires_at, what="the request"))

    def refer(self, sender: Sends, patient: Address, specialist: Address, details: bytes, expires_at: int) -> int:
        """Ask for access in a specialist's name and return the request's ID; arguments as for `request`."""
        arguments = (patient, specialist, details, expires_at)
        return self._number(self.bound.send(sender, "refer", *arguments, what="the referral"))

    def _number(self, receipt: Receipt) -> int:
        for log in receipt.logs:
            decoded = self.bound.abi.event(log)
            if decoded is not None and decoded[0] == "AccessRequested":
                return int(decoded[1]["id"])
        raise IntegrityError(f"transaction {receipt.tx_hash} shows no request")

    def approve(self, sender: Sends, request_id: int, outcome: bytes = bytes(32)) -> Receipt:
        """Approve a request; `outcome` is the digest of the CID of what the requester is told, or zeros."""
        return self.bound.send(sender, "approve", request_id, outcome, what=f"approving request {request_id}")

    def deny(self, sender: Sends, request_id: int) -> Receipt:
        """Deny a request."""
        return self.bound.send(sender, "deny", request_id, what=f"denying request {request_id}")

    def withdraw(self, sender: Sends, request_id: int) -> Receipt:
        """Take a request back that one made, or that a colleague made in one's name."""
        return self.bound.send(sender, "withdraw", request_id, what=f"withdrawing request {request_id}")

    def find(
        self,
        *,
        patient: Address | None = None,
        requester: Address | None = None,
        referrer: Address | None = None,
    ) -> Iterator[AccessRequest]:
        """Yield requests in the order in which they were made, with their states at the newest block.

        Args:
            patient: only those to this one.
            requester: only those in this one's name, whoever made them.
            referrer: only those that this one made in somebody else's name.
        """
        numbers: list[int | None] = [None]
        if referrer is not None:
            numbers = [event.values["id"] for event in self.bound.events("AccessReferred", where=[None, referrer])]
        wanted = [[number, requester, patient] for number in numbers]
        asked = [event for where in wanted for event in self.bound.events("AccessRequested", where=where)]
        if not asked:
            return
        referred = self._referrers([event.values["id"] for event in asked])
        answers = self._answers([event.values["id"] for event in asked])
        now = self.bound.source.head().time
        for event in asked:
            values = event.values
            over = "expired" if now >= values["expiresAt"] else "open"
            yield AccessRequest(
                values["id"],
                Address(address(values["requester"])),
                Address(address(values["patient"])),
                values["details"],
                values["expiresAt"],
                answers.get(values["id"], over),
                referred.get(values["id"]),
            )

    def _referrers(self, numbers: Sequence[int]) -> dict[int, Address]:
        """Return who made those of some requests that others than their requesters made."""
        pieces = [numbers[start : start + MANY] for start in range(0, len(numbers), MANY)]
        made = [event for piece in pieces for event in self.bound.events("AccessReferred", where=[piece])]
        return {event.values["id"]: Address(address(event.values["referrer"])) for event in made}

    def _answers(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return what became of those of some requests that were answered or withdrawn."""
        pieces = [numbers[start : start + MANY] for start in range(0, len(numbers), MANY)]
        answers = [event for piece in pieces for event in self.bound.events(*_ANSWERS, where=[piece])]
        return {event.values["id"]: _ANSWERS[event.name] for event in answers}

    def outcome_of(self, request_id: int) -> bytes | None:
        """Return the digest of the CID of what an approval tells the requester, or None."""
        for event in self.bound.events("AccessApproved", where=[request_id]):
            outcome: bytes = event.values["outcome"]
            return outcome if any(outcome) else None
        return None
