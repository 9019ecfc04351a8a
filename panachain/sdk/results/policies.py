"""A policy as its patient or its grantee sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import PolicyStatus
from panachain.sdk.times import iso, utc

if TYPE_CHECKING:
    from panachain.sdk.results.people import People


@dataclass(frozen=True)
class PolicyView:
    """A policy as its patient or its grantee sees it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.grant("nurse", "vitals", until=timedelta(hours=8), dry_run=True)
        >>> policy.scopes, policy.purposes, policy.expires - policy.starts <= timedelta(hours=8)
        (('vitals',), ('TREAT',), True)
        >>> policy.patient_name, policy.grantee_name
        ('me', 'nurse')
    """

    policy_id: PolicyId
    status: PolicyStatus
    patient: Address
    grantee: Address
    scopes: tuple[str, ...]
    purposes: tuple[str, ...]
    starts_at: int
    expires_at: int
    threshold: int
    proxies: int
    terms_cid: str
    tx: str = ""
    """Hash of the transaction, when this call sent one."""
    gas: int = 0
    deposited: int = 0
    """How many proxies hold kfrags, when this call deposited them."""
    lacking: int = 0
    """How many proxies lack theirs, as far as this machine knows; `settle` hands them out."""
    disclosed: bool = False
    """Whether the chain shows purposes and categories: the patient made it open."""
    stage: str = ""
    """Of a revoked policy: how far the revocation has come (`RevocationReport.stage`); or until when it waits."""
    alarms: Mapping[Address, str] = field(default_factory=dict)
    """Of a revoked policy: proxies that act against the revocation, each with what it does."""
    dry_run: bool = False
    emergency_delay: int | None = None
    """Of a policy that opens in an emergency alone: seconds after the second signature, 0 for at once. Else None."""
    patient_name: str = field(default="", compare=False)
    """What the reader of this result calls the patient (sdk/names.py): for people; a program takes `patient`."""
    grantee_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry may have to be asked for: a grantee's role isn't known."""
        return (self.grantee,)

    def named(self, names: People) -> PolicyView:
        """Return the view with names for its people."""
        patient, grantee = names.of(self.patient, Role.PATIENT), names.of(self.grantee)
        return replace(self, patient_name=patient, grantee_name=grantee)

    @property
    def starts(self) -> datetime:
        """When the policy begins, that moment included; in UTC."""
        return utc(self.starts_at)

    @property
    def expires(self) -> datetime:
        """When the policy ends, that moment excluded; in UTC."""
        return utc(self.expires_at)

    @property
    def active(self) -> bool:
        """Whether its grantee can read now, as far as the chain says."""
        return self.status is PolicyStatus.ACTIVE

    def to_json(self) -> dict[str, object]:
        """Return the view as JSON, schema `panachain/policy/1`."""
        return {
            "schema": "panachain/policy/1",
            "policy_id": self.policy_id,
            "status": self.status.name.lower(),
            "patient": self.patient,
            "grantee": self.grantee,
            "scopes": list(self.scopes),
            "purposes": list(self.purposes),
            "starts_at": iso(self.starts_at),
            "expires_at": iso(self.expires_at),
            "threshold": self.threshold,
            "proxies": self.proxies,
            "terms_cid": self.terms_cid,
            "tx": self.tx,
            "gas": self.gas,
            "deposited": self.deposited,
            "lacking": self.lacking,
            "open": self.disclosed,
            "stage": self.stage,
            "alarms": dict(self.alarms),
            "dry_run": self.dry_run,
            "emergency_delay": self.emergency_delay,
        }


AnyPolicy = PolicyId | str | PolicyView
"""A policy, or its ID."""


def id_of(policy: AnyPolicy) -> PolicyId:
    """Return the ID of a policy that is given as a view or as the ID itself."""
    return policy.policy_id if isinstance(policy, PolicyView) else PolicyId(policy)
