"""A practitioner's request for access, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from panachain.model.actors import Address, Role
from panachain.sdk.times import iso, utc

if TYPE_CHECKING:
    from panachain.sdk.results.people import People


@dataclass(frozen=True)
class RequestView:
    """A practitioner's request for access, as the practitioner and the patient see it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     request = patient.requests()[0]
        >>> request.categories, request.wanted_until <= request.expires
        (('allergies',), True)
    """

    request_id: int
    state: str
    requester: Address
    patient: Address
    categories: tuple[str, ...]
    purpose: str
    note: str
    expires_at: int
    until: int = 0
    """Until when the requester wants to read, Unix seconds."""
    organisation: str = ""
    """The requester's, as the registry knows it."""
    policy_id: str = ""
    """What the approval granted, for the two who may know."""
    granted: tuple[str, ...] = ()
    """Which categories it granted."""
    referrer: str = ""
    """Account of the practitioner who made it in the requester's name; empty if they asked themselves."""
    patient_name: str = field(default="", compare=False)
    """What the reader of this result calls the patient (sdk/names.py): for people; a program takes `patient`."""
    requester_name: str = field(default="", compare=False)
    referrer_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as all roles are known."""
        return ()

    def named(self, names: People) -> RequestView:
        """Return the view with names for its people."""
        patient, requester = names.of(self.patient, Role.PATIENT), names.of(self.requester, Role.PRACTITIONER)
        referrer = names.of(self.referrer, Role.PRACTITIONER) if self.referrer else ""
        return replace(self, patient_name=patient, requester_name=requester, referrer_name=referrer)

    @property
    def expires(self) -> datetime:
        """When the request lapses if nobody answers it; in UTC."""
        return utc(self.expires_at)

    @property
    def wanted_until(self) -> datetime:
        """Until when the requester wants to read; in UTC."""
        return utc(self.until)

    def to_json(self) -> dict[str, object]:
        """Return the request as JSON, schema `panachain/request/1`."""
        return {
            "schema": "panachain/request/1",
            "id": self.request_id,
            "state": self.state,
            "requester": self.requester,
            "patient": self.patient,
            "categories": list(self.categories),
            "purpose": self.purpose,
            "note": self.note,
            "expires_at": iso(self.expires_at),
            "until": iso(self.until),
            "organisation": self.organisation,
            "policy_id": self.policy_id,
            "granted": list(self.granted),
            "referrer": self.referrer,
        }


@dataclass(frozen=True)
class RequestReport:
    """A request for access that was made.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     asked = doctor.request("me", "vitals", until=timedelta(days=14))
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.approve(asked)
        >>> policy.scopes
        ('vitals',)
    """

    request_id: int

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/requested/1`."""
        return {"schema": "panachain/requested/1", "id": self.request_id}


AnyRequest = int | RequestView | RequestReport
"""A request, or its number."""


def number_of(request: AnyRequest) -> int:
    """Return the number of a request that is given as a view, as a report or as the number itself."""
    return request if isinstance(request, int) else request.request_id


@dataclass(frozen=True)
class DenialReport:
    """A request that a patient refused.

    Examples:
        >>> with connect("nurse", role="practitioner") as nurse:
        ...     asked = nurse.request("me", "all")
        >>> with connect("me", role="patient") as patient:
        ...     denied = patient.deny(asked)
        >>> denied.request_id == asked.request_id
        True
    """

    request_id: int
    tx: str
    """Hash of the transaction."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/denial/1`."""
        return {"schema": "panachain/denial/1", "id": self.request_id, "state": "denied", "tx": self.tx}


@dataclass(frozen=True)
class WithdrawnRequestReport:
    """A request that its requester took back.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     asked = doctor.request("me", "vitals")
        ...     back = doctor.withdraw_request(asked)
        >>> back.request_id == asked.request_id
        True
    """

    request_id: int
    tx: str
    """Hash of the transaction."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/request-withdrawn/1`."""
        return {
            "schema": "panachain/request-withdrawn/1",
            "id": self.request_id,
            "state": "withdrawn",
            "tx": self.tx,
        }
