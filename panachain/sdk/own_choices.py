"""A patient's own choices: kinds that every hospital closes, and records that shall lie in another category.

They lie in the pairings and their orders alone, sealed to the hospital and to the patient: no server reads them. A
choice of kinds leaves what was published before where it is. Follows docs/spec/sensitivity.md (What a patient chooses),
ADR 30 and ADR 34.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from panachain.errors import Omission, PartlyDoneError, UsageError
from panachain.plain import were
from panachain.records.findings import Findings
from panachain.records.sensitivity.kinds import kind_of, kinds, with_parts
from panachain.sdk.results.choices import ChoicesReport
from panachain.sdk.words import category_of

if TYPE_CHECKING:
    from panachain.model.actors import Address
    from panachain.model.choices import Choices
    from panachain.model.scope import Category
    from panachain.sdk.lanes import OwnLanes
    from panachain.sdk.recategorizing import Confirm
    from panachain.sdk.results.choices import RecategorizeReport
    from panachain.storage.blocks import BlobStore


_MEDICINES: Final = {"antiretrovirals": "HIV", "methadone": "OPIOIDUD"}
"""What people call what an emergency should know, and the kind that it gives away."""


class OwnChoices:
    """The choices of one patient.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.choices.now().closed
        ()
    """

    def __init__(self, store: BlobStore, lanes: OwnLanes) -> None:
        """Take the store, and the patient's lanes, which are told to hospitals together with the choices."""
        self._store = store
        self._lanes = lanes

    def now(self) -> ChoicesReport:
        """Return what is chosen, as the pairings state it.

        Raises:
            IntegrityError: the pairing that was made last isn't this patient's own.
            StoreUnavailableError: no store has it.
        """
        return _report(self._lanes.seen()[1])

    def change(
        self,
        *,
        close: Iterable[str] = (),
        reopen: Iterable[str] = (),
        emergency: Iterable[str] = (),
        no_emergency: Iterable[str] = (),
    ) -> ChoicesReport:
        """Change what is closed or what an emergency may know, and tell every paired hospital that doesn't know it.

        The same call again tells those that couldn't be told.

        Args:
            close: kinds, as words ("alcohol") or codes ("ETHUD"); what is part of them is closed, too.
            reopen: kinds that were closed; a hospital's own profile may still close them.
            emergency: kinds of which medicines, conditions, allergies and immunizations are in the emergency summary
                although they are closed for everything else; also "antiretrovirals" and "methadone".
            no_emergency: kinds that shall be in there no more.

        Raises:
            UsageError: there is no such kind, a part of what stays chosen is taken back, or no hospital is paired.
            PartlyDoneError: some hospitals couldn't be told: `result` says which were.
        """
        if not any(event.paired for _, event in self._lanes.hospitals()):
            raise UsageError(
                "no hospital is paired, so nobody could be told", hint="panachain pair HOSPITAL --close KIND"
            )
        choices = changed(
            self._lanes.choices(), close=close, reopen=reopen, emergency=emergency, no_emergency=no_emergency
        )
        findings = Findings()
        told = self._lanes.tell(self._lanes.generations(), choices, findings)
        report = _report(choices, told=told, omissions=findings.omissions)
        if report.omissions:
            raise PartlyDoneError.of(report.omissions, done=f"{were(len(told), 'hospital')} told", result=report)
        return report

    def recategorize(
        self, record_ids: Iterable[str], to: Category | str, *, confirm: Confirm | None = None
    ) -> RecategorizeReport:
        """Ask for records to lie in another category, and be sealed anew there by their hospitals.

        They are there once a hospital ran `rewrap`. Its later uploads of the same resources go there, too, unless that
        would open what they say that is sensitive. Who opened a record before keeps what they saw.

        Args:
            record_ids: as `Patient.records` names them; the files of a record go with it.
            to: the category.
            confirm: is given the records that more people can open there: who has `all`, or an emergency. It raises
                what it likes if that isn't wanted. None wants none of it.

        Raises:
            UsageError: none or too many records are named, there is no such category, or more people could open one
                and `confirm` is None; nothing was asked for.
            UnknownActorError: none of the records is in this patient's lanes.
            PartlyDoneError: some records couldn't be asked for: `result` says which were.
        """
        # Imported here: whoever changes a choice opens nothing.
        from panachain.sdk.recategorizing import Recategorizing

        return Recategorizing(self._store, self._lanes, category_of(to)).run(record_ids, confirm)


def changed(
    choices: Choices,
    *,
    close: Iterable[str] = (),
    reopen: Iterable[str] = (),
    emergency: Iterable[str] = (),
    no_emergency: Iterable[str] = (),
) -> Choices:
    """Return choices after a change.

    Args:
        choices: before it.
        close: as `OwnChoices.change`.
        reopen: as `OwnChoices.change`.
        emergency: as `OwnChoices.change`.
        no_emergency: as `OwnChoices.change`.

    Raises:
        UsageError: there is no such kind, or a part of what stays chosen is taken back.
    """
    medicines = [_MEDICINES.get(one.strip().lower(), one) for one in emergency]
    return choices.changed(_set(choices.closed, close, reopen), _set(choices.emergency, medicines, no_emergency))


def _set(chosen: frozenset[str], more: Iterable[str], gone: Iterable[str]) -> frozenset[str]:
    """Return chosen kinds with some more, and without some and their parts."""
    taken = [kind_of(_MEDICINES.get(one.strip().lower(), one)) for one in gone]
    left = (chosen - with_parts(kind.code for kind in taken)) | {kind_of(one).code for one in more}
    for kind in taken:
        wider = sorted(one for one in left & kinds().keys() if kind.code in with_parts([one]))
        if wider:
            raise UsageError(f"{kind.word} is part of {kinds()[wider[0]].word}, which is chosen; nothing was changed")
    return left


def _report(choices: Choices, *, told: Sequence[Address] = (), omissions: Sequence[Omission] = ()) -> ChoicesReport:
    closed, emergency = tuple(sorted(choices.closed)), tuple(sorted(choices.emergency))
    return ChoicesReport(closed, emergency, tuple(told), tuple(omissions))
