"""A patient's own choices: kinds of sensitive information that every hospital closes, whatever its profile says.

They lie in the pairings alone, sealed to the hospital and to the patient: no server reads them. What was published
before stays where it is. Follows docs/spec/sensitivity.md (What a patient chooses) and ADR 30.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from panachain.errors import PartlyDoneError, UsageError
from panachain.model.choices import Choices
from panachain.records.findings import Findings
from panachain.records.sensitivity.kinds import kind_of, kinds, with_parts
from panachain.sdk.results.choices import ChoicesReport

if TYPE_CHECKING:
    from panachain.sdk.lanes import OwnLanes


class OwnChoices:
    """The choices of one patient.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.choices.now().closed
        ()
    """

    def __init__(self, lanes: OwnLanes) -> None:
        """Take the patient's lanes, which are told to hospitals together with the choices."""
        self._lanes = lanes

    def now(self) -> ChoicesReport:
        """Return what is chosen, as the pairings state it.

        Raises:
            IntegrityError: the pairing that was made last isn't this patient's own.
            StoreUnavailableError: no store has it.
        """
        return _report(self._lanes.choices())

    def change(self, *, close: Iterable[str] = (), reopen: Iterable[str] = ()) -> ChoicesReport:
        """Change what is closed, and tell every paired hospital that doesn't know it yet.

        The same call again tells those that couldn't be told.

        Args:
            close: kinds, as words ("alcohol") or codes ("ETHUD"); what is part of them is closed, too.
            reopen: kinds that were closed; a hospital's own profile may still close them.

        Raises:
            UsageError: there is no such kind, a part of what is closed is reopened, or no hospital is paired.
            PartlyDoneError: some hospitals couldn't be told: `result` says which were.
        """
        if not any(event.paired for _, event in self._lanes.hospitals()):
            raise UsageError(
                "no hospital is paired, so nobody could be told", hint="panachain pair HOSPITAL --close KIND"
            )
        choices = changed(self._lanes.choices(), close=close, reopen=reopen)
        findings = Findings()
        told = self._lanes.tell(self._lanes.generations(), choices, findings)
        report = _report(choices, told=tuple(told), omissions=tuple(findings.omissions))
        if report.omissions:
            raise PartlyDoneError.of(report.omissions, done=f"{len(told)} hospitals were told", result=report)
        return report


def changed(choices: Choices, *, close: Iterable[str] = (), reopen: Iterable[str] = ()) -> Choices:
    """Return choices after a change.

    Args:
        choices: before it.
        close: as `OwnChoices.change`.
        reopen: as `OwnChoices.change`.

    Raises:
        UsageError: there is no such kind, or a part of what stays closed is reopened.
    """
    gone = [kind_of(one) for one in reopen]
    closed = choices.closed - with_parts(kind.code for kind in gone) | {kind_of(one).code for one in close}
    for kind in gone:
        wider = sorted(one for one in closed & kinds().keys() if kind.code in with_parts([one]))
        if wider:
            raise UsageError(f"{kind.word} is part of {kinds()[wider[0]].word}, which is closed; nothing was changed")
    return choices.changed(frozenset(closed), choices.emergency)


def _report(choices: Choices, **more: tuple[object, ...]) -> ChoicesReport:
    return ChoicesReport(tuple(sorted(choices.closed)), **more)  # type: ignore[arg-type]
