"""Wardships on the sidechain: who acts for a minor or an adult under care, in which categories, and until when.

Decides by time, not by an event alone: a wardship is over at its end, whether anybody concludes it or not.
Follows docs/spec/wards.md and contracts/interfaces/IWardships.sol.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, Adapter, Sends
from panachain.chain.evm import Receipt
from panachain.chain.logs import Event
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.transactions import Wardship

_LATER: Final = ("WardshipAccepted", "WardshipStarted", "WardshipEnded")
"""What may become of a wardship, beside its end in time."""


class Wardships(Adapter):
    """Who acts for whom."""

    def propose(
        self,
        sender: Sends,
        ward: Address,
        carer: Address,
        *,
        categories: int,
        keeps: int,
        keeps_from: int,
        ends_at: int,
        papers: bytes,
        handover: bytes,
    ) -> int:
        """Propose a wardship through the account that the carer will act through, and return its number.

        Args:
            sender: that account's.
            ward: the patient who is cared for.
            carer: who acts.
            categories: bits of the categories in which the carer acts.
            keeps: those of them that the ward keeps to themselves from `keeps_from` on.
            keeps_from: Unix seconds, inclusive.
            ends_at: Unix seconds, exclusive.
            papers: digest of the CID of the sealed papers, 32 bytes.
            handover: digest of the CID of the account's secret, sealed to the ward, 32 bytes.
        """
        terms = (ward, ends_at, carer, keeps_from, categories, keeps, papers, handover)
        receipt = self.bound.send(sender, "propose", terms, what="proposing the wardship")
        for log in receipt.logs:
            decoded = self.bound.abi.event(log)
            if decoded is not None and decoded[0] == "WardshipProposed":
                return int(decoded[1]["id"])
        raise IntegrityError(f"transaction {receipt.tx_hash} shows no wardship")

    def accept(self, sender: Sends, number: int) -> Receipt:
        """Accept to act for the ward; only the carer may."""
        return self.bound.send(sender, "accept", number, what=f"accepting wardship {number}")

    def start(self, sender: Sends, number: int) -> Receipt:
        """Attest a wardship that was accepted; only the registrar may."""
        return self.bound.send(sender, "start", number, what=f"attesting wardship {number}")

    def end(self, sender: Sends, number: int) -> Receipt:
        """End a wardship ahead of its time; only its carer or its account may."""
        return self.bound.send(sender, "end", number, what=f"ending wardship {number}")

    def end_by_registrar(self, sender: Sends, number: int) -> Receipt:
        """End a wardship ahead of its time; only the registrar may."""
        return self.bound.send(sender, "endByRegistrar", number, what=f"ending wardship {number}")

    def conclude(self, sender: Sends, number: int) -> Receipt:
        """Have the account of a wardship that is over suspended; anyone may."""
        return self.bound.send(sender, "conclude", number, what=f"concluding wardship {number}")

    def now(self) -> int:
        """Return the time of the sidechain's newest block, Unix seconds."""
        return int(self.bound.source.head().time)

    def find(
        self,
        number: int | None = None,
        *,
        ward: Address | None = None,
        account: Address | None = None,
        carer: Address | None = None,
    ) -> list[Wardship]:
        """Return wardships in the order in which they were proposed.

        Args:
            number: only this one.
            ward: only those of this patient.
            account: only that which this account is for.
            carer: only those of this carer.
        """
        with self.bound.source.pinned():
            proposed = list(self.bound.events("WardshipProposed", where=[number, ward, account]))
            later: dict[int, list[Event]] = {}
            numbers = [event.values["id"] for event in proposed]
            for start in range(0, len(numbers), MANY):
                for event in self.bound.events(*_LATER, where=[numbers[start : start + MANY]]):
                    later.setdefault(event.values["id"], []).append(event)
            blocks = {event.block for events in later.values() for event in events}
            times = {number: self.bound.source.block(number).time for number in blocks}
            found = [_wardship(event, later.get(event.values["id"], ()), times) for event in proposed]
        return [one for one in found if carer is None or one.carer == carer]


def _wardship(event: Event, later: Iterable[Event], times: dict[int, int]) -> Wardship:
    values = event.values
    made = Wardship(
        number=values["id"],
        ward=Address(address(values["ward"])),
        account=Address(address(values["account"])),
        carer=Address(address(values["carer"])),
        categories=values["categories"],
        keeps=values["keeps"],
        keeps_from=values["keepsFrom"],
        ends_at=values["endsAt"],
        papers=values["papers"],
        handover=values["handover"],
    )
    for one in later:
        if one.name == "WardshipAccepted":
            made = replace(made, accepted=True)
        elif one.name == "WardshipStarted":
            made = replace(made, started_at=times[one.block])
        else:
            made = replace(made, ended_at=times[one.block])
    return made
