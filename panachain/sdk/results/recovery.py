"""What backup and recovery return: no share, no word of one and no key is ever in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panachain.errors import Omission
    from panachain.model.actors import Address

DRILL_AFTER = 180 * 86_400
"""Seconds after which a drill is due again: paper is lost, and people move, within half a year."""


@dataclass(frozen=True)
class SharesReport:
    """A set of recovery shares that was made.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     shares = patient.recovery.shares(threshold=2, of=3)
        ...     report = patient.recovery.report(shares)
        ...     report.threshold, report.count
        (2, 3)
    """

    profile: str
    set: str
    """The two words with which every share of the set begins."""
    threshold: int
    count: int
    made_at: int
    """Unix seconds."""
    files: tuple[str, ...] = ()
    """Where they were written, one each; empty if they were shown."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/shares/1`."""
        return {
            "schema": "panachain/shares/1",
            "profile": self.profile,
            "set": self.set,
            "threshold": self.threshold,
            "count": self.count,
            "made_at": self.made_at,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class DrillReport:
    """Shares that were tried, and fit.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     shares = patient.recovery.shares(threshold=2, of=3)
        ...     patient.recovery.test(shares[1:]).used
        (2, 3)
    """

    profile: str
    set: str
    threshold: int
    used: tuple[int, ...]
    """Numbers of the shares."""
    tested_at: int
    """Unix seconds."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/drill/1`."""
        return {
            "schema": "panachain/drill/1",
            "profile": self.profile,
            "set": self.set,
            "threshold": self.threshold,
            "used": list(self.used),
            "tested_at": self.tested_at,
        }


@dataclass(frozen=True)
class RecoveryStatus:
    """Whether a profile can be restored if its machine is lost, as far as this machine knows.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     shares = patient.recovery.shares(threshold=2, of=3)
        ...     patient.recovery.status().state
        'untested'
    """

    profile: str
    state: str
    """`none` (no shares were made here), `untested`, `due` (the drill is older than `DRILL_AFTER`) or `tested`."""
    set: str = ""
    """Of the newest set; empty if there is none."""
    threshold: int = 0
    count: int = 0
    made_at: int = 0
    """Unix seconds; 0 if there are no shares."""
    tested_at: int = 0
    """Unix seconds of the newest drill with this set; 0 if there was none."""
    tested: tuple[int, ...] = ()
    """Numbers of the shares that were in a drill once."""
    earlier: int = 0
    """How many sets were made before. Their shares restore the same seed as long as somebody has enough of them."""

    @property
    def advice(self) -> str:
        """What to do, in a sentence; empty if nothing."""
        if self.state == "none":
            return "without shares or a copy of the seed nobody can open the records when this machine is lost"
        if self.state == "untested":
            return f"nobody has tried these shares: enter {self.threshold} of them once"
        return "the last drill is half a year old: are the pages still where they were?" if self.state == "due" else ""

    def to_json(self) -> dict[str, object]:
        """Return the status as JSON, schema `panachain/recovery/1`."""
        return {
            "schema": "panachain/recovery/1",
            "profile": self.profile,
            "state": self.state,
            "set": self.set,
            "threshold": self.threshold,
            "count": self.count,
            "made_at": self.made_at,
            "tested_at": self.tested_at,
            "tested": list(self.tested),
            "earlier": self.earlier,
        }


@dataclass(frozen=True)
class BooksReport:
    """What a patient's books hold that the store keeps: names and whom they block.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.books.keep().passed_over
        0
    """

    contacts: int
    blocked: int
    cid: str
    """Of the sealed block; empty if there are no books."""
    tx: str
    """Of the transaction that names it; empty if nothing had to be sent."""
    passed_over: int = 0
    """Names that weren't entered, since this machine has others for the same person, or the same for another."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/books/1`."""
        return {
            "schema": "panachain/books/1",
            "contacts": self.contacts,
            "blocked": self.blocked,
            "cid": self.cid,
            "tx": self.tx,
            "passed_over": self.passed_over,
        }


@dataclass(frozen=True)
class RestoredReport:
    """What was found again of an actor from the seed, the chains and the store alone.

    Examples:
        >>> from panachain.sdk.restoring import look_around
        >>> with connect("me", role="patient") as patient:
        ...     found = look_around(patient)
        ...     (found.role, found.status, found.hospitals > 0, found.records > 0, found.omissions)
        ('patient', 'active', True, True, ())
    """

    profile: str
    address: Address
    role: str
    status: str
    """What the chain says: `unknown`, `active`, `suspended` or `replaced`."""
    hospitals: int = 0
    """A patient's, those that may publish no more too."""
    patients: int = 0
    """A hospital's."""
    batches: int = 0
    """A hospital's storage transactions."""
    records: int = 0
    """Of a patient: opened and checked, each of them. Of a hospital: known to its journal again."""
    policies: int = 0
    """Of a patient: granted. Of a practitioner or researcher: received."""
    in_force: int = 0
    """Policies that open something now, or will."""
    readings: int = 0
    """Of a patient: openings in the log, as proxies signed them."""
    requests: int = 0
    """For access, sent or received, that can be read."""
    groups: int = 0
    """A practitioner's, in which they are a member."""
    contacts: int = 0
    """Names in a patient's books, which were entered here."""
    omissions: tuple[Omission, ...] = ()
    """What couldn't be found or opened, and why."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/restored/1`."""
        return {
            "schema": "panachain/restored/1",
            "profile": self.profile,
            "address": self.address,
            "role": self.role,
            "status": self.status,
            "hospitals": self.hospitals,
            "patients": self.patients,
            "batches": self.batches,
            "records": self.records,
            "policies": self.policies,
            "in_force": self.in_force,
            "readings": self.readings,
            "requests": self.requests,
            "groups": self.groups,
            "contacts": self.contacts,
            "omissions": [omission.to_json() for omission in self.omissions],
        }
