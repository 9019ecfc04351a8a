"""An emergency: who asked for whose emergency lane and why, who co-signed, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from panachain.model.actors import Address, Role
from panachain.sdk.results.people import People
from panachain.sdk.times import iso


@dataclass(frozen=True)
class EmergencyView:
    """An emergency, as the sidechain has it, with the reason for those to whom it is sealed.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     all(one.patient_name == "me" for one in patient.emergency.all())
        True
    """

    emergency_id: int
    state: str
    """`asked`, `lapsed`, `active`, `over`, `reviewed`, `overdue` or `suspended`."""
    practitioner: Address
    """Who asked, and alone can open."""
    patient: Address
    requested_at: int
    """Unix seconds."""
    reason: str = ""
    """In words; empty for who can't read it."""
    cosigner: str = ""
    """Empty before the co-signature."""
    expires_at: int = 0
    """Unix seconds, exclusive; 0 before the co-signature."""
    review_due_at: int = 0
    """Unix seconds; 0 before the co-signature."""
    organisation: str = ""
    """The hospital of who asked."""
    patient_name: str = field(default="", compare=False)
    """What the reader of this result calls the patient (sdk/names.py): for people; a program takes `patient`."""
    practitioner_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as both roles are known."""
        return ()

    def named(self, names: People) -> EmergencyView:
        """Return the view with names for its people."""
        patient, who = names.of(self.patient, Role.PATIENT), names.of(self.practitioner, Role.PRACTITIONER)
        return replace(self, patient_name=patient, practitioner_name=who)

    def to_json(self) -> dict[str, object]:
        """Return the emergency as JSON, schema `panachain/emergency/1`."""
        return {
            "schema": "panachain/emergency/1",
            "id": self.emergency_id,
            "state": self.state,
            "practitioner": self.practitioner,
            "patient": self.patient,
            "organisation": self.organisation,
            "cosigner": self.cosigner,
            "reason": self.reason,
            "requested_at": iso(self.requested_at),
            "expires_at": iso(self.expires_at) if self.expires_at else "",
            "review_due_at": iso(self.review_due_at) if self.review_due_at else "",
        }
