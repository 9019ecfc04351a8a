"""How far a revocation has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.errors import Omission
    from panachain.model.actors import Address, PolicyId
    from panachain.model.policy import Receipt

UNPROVEN: Final = "sent, not proven yet"
"""Stage of a revocation that the chain doesn't prove."""

ELSEWHERE: Final = "revoked elsewhere"
"""Stage of one that the chain proves and that this machine has asked no proxy about."""


@dataclass(frozen=True)
class RevocationReport:
    """How far a revocation has come: R1 to R4 of design section 8.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.grant("doctor", "vitals", until=timedelta(hours=8))
        ...     report = patient.revoke(policy)
        >>> report.final, report.stage
        (True, 'final')
    """

    policy_id: PolicyId
    tx: str
    gas: int
    receipts: tuple[Receipt, ...]
    """Deletion receipts, one for each proxy that answered."""
    needed: int
    """Deletion receipts that make the revocation final: n - t + 1."""
    shares: int
    unreachable: tuple[str, ...] = ()
    """Why a proxy gave no receipt, one line each."""
    proven: bool = True
    """Whether the chain proves it; until then it was sent, and everything goes on with it."""
    unsent: tuple[str, ...] = ()
    """Where the chain doesn't prove it: why relays and nodes didn't take it, one line each."""
    alarms: Mapping[Address, str] = field(default_factory=dict)
    """Proxies that act against the revocation, each with what it does; the evidence is in the profile's `evidence`."""
    rotated: bool = False
    """Whether every lane of the policy has a newer generation, which later records are wrapped to."""
    rewrapped: bool = False
    """Whether none of the old headers is left in the store."""
    hospitals: tuple[Address, ...] = ()
    """Which hospitals this call told of new lanes or of records to re-wrap."""
    regranted: Mapping[PolicyId, PolicyId] = field(default_factory=dict)
    """Other grantees' policies that this call replaced, old to new."""
    omissions: tuple[Omission, ...] = ()
    """Records of hospitals that couldn't be looked at, so that nobody was asked to move them; all else is done."""

    @property
    def deleted(self) -> int:
        """How many proxies signed that they deleted their kfrags."""
        return len(self.receipts)

    @property
    def final(self) -> bool:
        """Whether the chain proves it, and fewer than the threshold of proxies can still hold kfrags."""
        # Where nobody can tell the terms, nobody can tell how many receipts are enough.
        known = bool(self.shares) or not self.needed
        return self.proven and known and self.deleted >= self.needed

    @property
    def stage(self) -> str:
        """The highest step that is reached."""
        if not self.proven:
            return UNPROVEN
        if not self.shares:
            # Where nobody can tell the terms, nobody can tell how many shares there are either.
            return "revoked on chain" if self.needed else "withdrawn before it was sent"
        if self.rotated:
            return "headers re-wrapped" if self.rewrapped else "lane rotated"
        if self.final:
            return "final"
        return f"{self.deleted} of {self.shares} proxies deleted" if self.deleted else "revoked on chain"

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/revocation/1`."""
        return {
            "schema": "panachain/revocation/1",
            "policy_id": self.policy_id,
            "stage": self.stage,
            "proven": self.proven,
            "tx": self.tx,
            "gas": self.gas,
            "deleted": self.deleted,
            "needed": self.needed,
            "shares": self.shares,
            "final": self.final,
            "rotated": self.rotated,
            "rewrapped": self.rewrapped,
            "hospitals": list(self.hospitals),
            "regranted": dict(self.regranted),
            "receipts": [receipt_json(receipt) for receipt in self.receipts],
            "unreachable": list(self.unreachable),
            "omissions": [omission.to_json() for omission in self.omissions],
            "unsent": list(self.unsent),
            "alarms": dict(self.alarms),
        }


@dataclass(frozen=True)
class SubmissionReport:
    """What became of a signed revocation that somebody submitted.

    Examples:
        >>> from panachain.sdk.submitting import sign, submit
        >>> with connect("me", role="patient") as patient:
        ...     policy = patient.grant("doctor", "vitals", until=timedelta(hours=8))
        ...     report = submit(patient.network, sign(patient, policy))
        >>> report.proven, report.stage
        (True, 'revoked on chain')
    """

    policy_id: PolicyId
    proven: bool
    """Whether the chain proves the revocation."""
    tx: str
    gas: int
    receipts: tuple[Receipt, ...]
    """Deletion receipts, one for each proxy that held kfrags and deleted them."""
    unsent: tuple[str, ...] = ()
    """Where the chain doesn't prove it: why relays and nodes didn't take it, one line each."""

    @property
    def stage(self) -> str:
        """How far it has come."""
        return "revoked on chain" if self.proven else UNPROVEN

    @property
    def deleted(self) -> int:
        """How many proxies signed that they deleted their kfrags."""
        return len(self.receipts)

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/submission/1`."""
        return {
            "schema": "panachain/submission/1",
            "policy_id": self.policy_id,
            "stage": self.stage,
            "proven": self.proven,
            "tx": self.tx,
            "gas": self.gas,
            "deleted": self.deleted,
            "receipts": [receipt_json(receipt) for receipt in self.receipts],
            "unsent": list(self.unsent),
        }


def receipt_json(receipt: Receipt) -> dict[str, object]:
    """Return a receipt as JSON, so that anybody can check its signature."""
    return {
        "proxy": receipt.proxy,
        "sequence": receipt.sequence,
        "previous": receipt.previous.hex(),
        "kind": receipt.kind.value,
        "policy_id": receipt.policy_id,
        "at": iso(receipt.at),
        "block": receipt.block,
        "count": receipt.count,
        "signature": receipt.signature.hex(),
    }
