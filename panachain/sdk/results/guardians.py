"""What naming guardians, guarding and moving to another account return: no share and no key is ever in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from panachain.model.actors import Address, Role
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.sdk.results.people import People


def _when(seconds: int) -> str:
    return iso(seconds) if seconds else ""


@dataclass(frozen=True)
class RecoveryView:
    """A recovery of a patient: who spoke for which account, and whether the move is open.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.guardians.recovery() is None
        True
    """

    patient: Address
    successor: Address
    """The account to which the patient is to be moved."""
    approved_by: tuple[Address, ...]
    """Guardians who spoke for it since the last veto."""
    ready_at: int = 0
    """Unix seconds from which on the successor completes it, unless the patient vetoes; 0 while too few spoke."""

    @property
    def is_open(self) -> bool:
        """Whether enough guardians spoke: it is completed when its delay is over, unless the patient vetoes."""
        return self.ready_at > 0

    def to_json(self) -> dict[str, object]:
        """Return the recovery as JSON, schema `panachain/moving/1`."""
        return {
            "schema": "panachain/moving/1",
            "patient": self.patient,
            "successor": self.successor,
            "approved_by": list(self.approved_by),
            "ready_at": _when(self.ready_at),
        }


@dataclass(frozen=True)
class GuardianView:
    """One guardian, as the patient named them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     named = patient.guardians.set(["doctor", "nurse"], threshold=2)
        ...     [guardian.name for guardian in named.guardians]
        ['doctor', 'nurse']
    """

    name: str
    address: Address
    state: str = "active"
    """`active`; `suspended`; `moved` to another account; `compromised`: they said that others may know the key that
    their share is sealed to; or `unknown`, since no registry has them."""

    @property
    def is_well(self) -> bool:
        """Whether they can act, and nobody else is known to have their share."""
        return self.state == "active"

    def to_json(self) -> dict[str, object]:
        """Return the guardian as JSON, schema `panachain/guardian/1`."""
        return {"schema": "panachain/guardian/1", "name": self.name, "address": self.address, "state": self.state}


@dataclass(frozen=True)
class GuardiansReport:
    """A patient's guardians, and what is announced of them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.guardians.all().recovery is None
        True
    """

    threshold: int
    """How many of them restore the seed and move the patient; 0 if nobody is named."""
    delay: int
    """Seconds that a recovery and the next change wait."""
    guardians: tuple[GuardianView, ...] = ()
    changes_at: int = 0
    """Unix seconds from which on what was announced counts; 0 if nothing was."""
    announced: tuple[GuardianView, ...] = ()
    """Who was announced; empty, too, if nobody shall be named."""
    frozen_until: int = 0
    """Unix seconds; 0 if nobody froze the account."""
    recovery: RecoveryView | None = None
    """What guardians began; None for nothing."""
    tx: str = ""
    """Of the transaction that this call sent; empty if it sent none."""

    @property
    def well(self) -> int:
        """How many of the guardians can act, and nobody else is known to have their share."""
        return sum(one.is_well for one in self.guardians)

    @property
    def is_enough(self) -> bool:
        """Whether as many as are needed are well; also if nobody is named."""
        return self.well >= self.threshold

    @property
    def exposed(self) -> int:
        """How many shares others may know: as many as are needed of them are the seed."""
        return sum(one.state == "compromised" for one in self.guardians)

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/guardians/1`."""
        return {
            "schema": "panachain/guardians/1",
            "threshold": self.threshold,
            "delay": self.delay,
            "guardians": [one.to_json() for one in self.guardians],
            "well": self.well,
            "changes_at": _when(self.changes_at),
            "announced": [one.to_json() for one in self.announced],
            "frozen_until": _when(self.frozen_until),
            "recovery": self.recovery.to_json() if self.recovery else None,
            "tx": self.tx,
        }


@dataclass(frozen=True)
class GuardedView:
    """A patient whose guardian somebody is.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     all(one.threshold == 2 for one in doctor.guarding.all())
        True
    """

    patient: Address
    state: str
    """`guardian`, `announced` (later), or `former` (the share restores all the same)."""
    threshold: int
    """How many guardians restore the seed and move the patient."""
    share: int
    """The number of the share that this guardian holds."""
    delay: int = 0
    """Seconds that a recovery waits."""
    frozen_until: int = 0
    """Unix seconds; 0 if nobody froze the account."""
    recovery: RecoveryView | None = None
    moved_to: Address | None = None
    """The account that stands for the patient now; None if nobody moved them."""
    patient_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as all are patients."""
        return ()

    def named(self, names: People) -> GuardedView:
        """Return the view with names for its people."""
        return replace(self, patient_name=names.of(self.patient, Role.PATIENT))

    def to_json(self) -> dict[str, object]:
        """Return the view as JSON, schema `panachain/guarded/1`."""
        return {
            "schema": "panachain/guarded/1",
            "patient": self.patient,
            "state": self.state,
            "threshold": self.threshold,
            "share": self.share,
            "delay": self.delay,
            "frozen_until": _when(self.frozen_until),
            "recovery": self.recovery.to_json() if self.recovery else None,
            "moved_to": self.moved_to or "",
        }


@dataclass(frozen=True)
class QuestionReport:
    """What a new device shows so that guardians can send it shares.

    Examples:
        >>> from panachain.sdk.asking import Asking
        >>> with connect("me", role="patient") as patient:
        ...     asked = Asking(patient.network.home).ask(patient.network, patient.address, "a passphrase")
        >>> asked.ask.startswith("panachain/ask/1 b"), len(asked.code.split())
        (True, 5)
    """

    account: Address
    """Whose seed is asked for."""
    ask: str
    """One line for the guardians: `panachain/ask/1` and the block's CID."""
    code: str
    """Five words that are read out to each guardian: who sends another line can't have them."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/ask/1`."""
        return {"schema": "panachain/ask/1", "account": self.account, "ask": self.ask, "code": self.code}


@dataclass(frozen=True)
class ReleaseReport:
    """A share that a guardian sealed to a new device.

    Examples:
        >>> from panachain.sdk.asking import Asking
        >>> with connect("me", role="patient") as patient, connect("doctor", role="practitioner") as doctor:
        ...     named = patient.guardians.set(["doctor", "nurse"], threshold=2)
        ...     asked = Asking(patient.network.home).ask(patient.network, patient.address, "a passphrase")
        ...     doctor.guarding.release(asked.ask, asked.code).answer.partition(" ")[0]
        'panachain/answer/1'
    """

    patient: Address
    share: int
    """Its number."""
    answer: str
    """One line for the device: `panachain/answer/1` and the block's CID."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/answer/1`."""
        return {"schema": "panachain/answer/1", "patient": self.patient, "share": self.share, "answer": self.answer}


@dataclass(frozen=True)
class MovedReport:
    """A patient who is another account from now on, and what they have to do anew.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.guardians.inherited()
        []
    """

    patient: Address
    """The account before; it never acts again."""
    successor: Address
    hospitals: tuple[Address, ...] = ()
    """Those that the account before was paired with, and that the successor isn't yet."""
    tx: str = ""
    """Of the transaction that moved the patient; empty if it was moved before."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/moved/1`."""
        return {
            "schema": "panachain/moved/1",
            "patient": self.patient,
            "successor": self.successor,
            "hospitals": list(self.hospitals),
            "tx": self.tx,
        }
