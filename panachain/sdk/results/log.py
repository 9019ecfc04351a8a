"""What proxies signed, and what of it convicts one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from panachain.sdk.times import iso, utc

if TYPE_CHECKING:
    from panachain.model.actors import Address, PolicyId
    from panachain.model.policy import Receipt

LIED: Final = "lied"
"""Kind of a line about a proxy whose answer isn't what it may sign; what the others signed stands beside it."""
SILENT: Final = "silent"
"""Kind of a line about a proxy that told nothing, or didn't come to an end."""


@dataclass(frozen=True)
class LogEntry:
    """One line of a patient's read log: what one proxy signed, or that it lied or was silent.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     receipt = patient.receipts()[0]
        >>> receipt.kind, receipt.when.tzinfo is not None
        ('deposited', True)
    """

    at: int
    kind: str
    policy_id: PolicyId
    proxy: Address
    count: int
    grantee: str = ""
    """To whom the policy was granted: a person or a group."""
    requester: str = ""
    """The person who asked."""
    purpose: str = ""
    scopes: tuple[str, ...] = ()
    late: bool = False
    """Whether the proxy served when the policy didn't allow it: its receipt convicts it."""
    reason: str = ""
    """Of a proxy that lied or was silent: what is wrong with its answer."""
    marks: frozenset[bytes] = field(default=frozenset(), repr=False)
    """By which the proxy names the capsules that it re-encrypted, `consent.receipts.MARK_SIZE` bytes each."""
    needed: int = field(default=0, compare=False, repr=False)
    """How many proxies an opening by the policy takes; 0 where it isn't known."""
    asked: int = field(default=0, compare=False, repr=False)
    """How many proxies the policy has."""
    receipt: Receipt | None = field(default=None, compare=False, repr=False)
    """What it signed, checked: the proof of this line. None of a proxy that lied or was silent."""

    @property
    def when(self) -> datetime:
        """When the proxy signed, by the block that it looked at; in UTC."""
        return utc(self.at)

    def to_json(self) -> dict[str, object]:
        """Return the line as JSON, schema `panachain/log/1`."""
        return {
            "schema": "panachain/log/1",
            "at": iso(self.at),
            "kind": self.kind,
            "policy_id": self.policy_id,
            "proxy": self.proxy,
            "count": self.count,
            "grantee": self.grantee,
            "requester": self.requester,
            "purpose": self.purpose,
            "scopes": list(self.scopes),
            "late": self.late,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class LogProof:
    """What one proxy proved of one policy: that the receipts that it showed are all that its log has.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     proofs = patient.auditing.verify()
        >>> all(proof.proven for proof in proofs)
        True
    """

    policy_id: PolicyId
    proxy: Address
    receipts: int
    """Of the policy, each with its place in the log."""
    size: int
    """Receipts in the proxy's whole log, of whomever."""
    cosigned: int = 0
    """Up to which receipt other proxies of the network cosigned the log; 0 for none."""
    witnesses: tuple[Address, ...] = ()
    """Who did."""
    reason: str = ""
    """Why nothing is proven; empty where it is."""
    lied: bool = False
    """Whether what it showed contradicts its log, or its log contradicts itself; else it only proved nothing."""
    entries: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict, compare=False, repr=False)
    """By the sequence of each receipt the path from its leaf to the root."""
    checkpoint: str = field(default="", compare=False, repr=False)
    """The signed checkpoint that all of it holds for, as a note."""

    @property
    def proven(self) -> bool:
        """Whether the proxy proved that it left nothing out."""
        return not self.reason

    def to_json(self) -> dict[str, object]:
        """Return the proof's outcome as JSON, schema `panachain/log-verified/1`."""
        return {
            "schema": "panachain/log-verified/1",
            "policy_id": self.policy_id,
            "proxy": self.proxy,
            "proven": self.proven,
            "receipts": self.receipts,
            "size": self.size,
            "cosigned": self.cosigned,
            "witnesses": list(self.witnesses),
            "reason": self.reason,
            "lied": self.lied,
        }


@dataclass(frozen=True)
class ConvictionReport:
    """Receipts that were submitted as evidence against the proxies that signed them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     report = patient.convict(next(patient.policies()))
        >>> report.transactions
        ()
    """

    policy_id: PolicyId
    transactions: tuple[str, ...]
    """Hashes, one for each proxy that served when the policy didn't allow it."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/conviction/1`."""
        return {
            "schema": "panachain/conviction/1",
            "policy_id": self.policy_id,
            "transactions": list(self.transactions),
        }
