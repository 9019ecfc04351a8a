"""What a patient chose of sensitive kinds, and which hospitals were told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class AskedRecord:
    """A record that a patient asked to have in another category."""

    record_id: str
    """CID of its header, until its hospital has sealed it anew."""
    hospital: Address
    category: str
    """Where it lies until then."""
    year: int

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON, schema `panachain/asked/1`."""
        return {
            "schema": "panachain/asked/1",
            "id": self.record_id,
            "hospital": self.hospital,
            "category": self.category,
            "year": self.year,
        }


@dataclass(frozen=True)
class RecategorizeReport:
    """What a patient asked hospitals to seal anew in another category; it is there once they did.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(one for one in patient.records() if one.info.category.value == "laboratory")
        ...     report = patient.choices.recategorize([record.info.header_cid], "private")
        >>> report.to, len(report.asked)
        ('private', 1)
    """

    to: str
    """The category."""
    asked: tuple[AskedRecord, ...]
    already: tuple[str, ...] = ()
    """Records that lie there already."""
    wider: tuple[str, ...] = ()
    """Records that more people can open there, as the patient confirmed."""
    omissions: tuple[Omission, ...] = ()
    """Records that couldn't be asked for; all others were."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/recategorize/1`."""
        return {
            "schema": "panachain/recategorize/1",
            "to": self.to,
            "asked": [one.to_json() for one in self.asked],
            "already": list(self.already),
            "wider": list(self.wider),
            "omissions": [omission.to_json() for omission in self.omissions],
        }
