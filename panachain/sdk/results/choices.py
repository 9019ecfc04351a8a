"""What a patient chose of sensitive kinds, and which hospitals were told."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.errors import Omission
from panachain.model.actors import Address


@dataclass(frozen=True)
class ChoicesReport:
    """What a patient closes at every hospital, beside what each of them closes.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     chosen = patient.choices.change(close=["pregnancy"])
        ...     back = patient.choices.change(reopen=["pregnancy"])
        >>> chosen.closed, back.closed
        (('PREGNANT',), ())
    """

    closed: tuple[str, ...]
    """Codes of HL7 v3 ActCode, in their order."""
    emergency: tuple[str, ...] = ()
    """Kinds that the emergency summary holds although they are closed."""
    told: tuple[Address, ...] = ()
    """Hospitals that were told just now; the others knew it."""
    omissions: tuple[Omission, ...] = ()
    """Hospitals that couldn't be told."""

    def to_json(self) -> dict[str, object]:
        """Return the choices as JSON, schema `panachain/choices/1`."""
        return {
            "schema": "panachain/choices/1",
            "closed": list(self.closed),
            "emergency": list(self.emergency),
            "told": list(self.told),
            "omissions": [omission.to_json() for omission in self.omissions],
        }
