"""Whose a leaked key is, and who opened what leaked."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.model.actors import Actor, Address
from panachain.sdk.readings import Reading
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.times import iso


@dataclass(frozen=True)
class Traced:
    """Somebody whose key is in what leaked.

    Examples:
        >>> with connect("registrar", role="registrar") as registrar:
        ...     found = Tracing(registrar.network).trace(b"no key of anybody")
        >>> list(found)
        []
    """

    actor: Actor
    what: str
    """What leaked: `seed`, or which secret or public key."""
    secret: bool
    """Whether whoever has it can act or read as this actor; else it only names them."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/traced/1`."""
        return {
            "schema": "panachain/traced/1",
            "who": self.actor.address,
            "handle": self.actor.handle,
            "role": self.actor.role.value,
            "status": self.actor.status.name.lower(),
            "organisation": self.actor.organisation,
            "what": self.what,
            "secret": self.secret,
        }


@dataclass(frozen=True)
class RecordAccess:
    """Who can read one record, and who did.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        ...     access = patient.auditing.access(record.info.header_cid)
        >>> [view.grantee_name for view in access.policies]
        ['doctor']
    """

    record: str
    """CID of its header."""
    hospital: Address
    category: str
    year: int
    """0 for a record without a date."""
    policies: tuple[PolicyView, ...]
    """By which somebody can read it now, or from their begin on."""
    readings: tuple[Reading, ...]
    """Who opened what it lies in, refused attempts too, oldest first."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/record-access/1`."""
        return {
            "schema": "panachain/record-access/1",
            "record": self.record,
            "hospital": self.hospital,
            "category": self.category,
            "year": self.year,
            "can_read": [
                {
                    "who": view.grantee,
                    "policy_id": view.policy_id,
                    "from": iso(view.starts_at),
                    "until": iso(view.expires_at),
                    "scopes": list(view.scopes),
                    "purposes": list(view.purposes),
                }
                for view in self.policies
            ],
            "did_read": [reading.to_json() for reading in self.readings],
        }
