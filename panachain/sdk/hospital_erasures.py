"""What a hospital's people do about erasing records: look at what patients ask for, do it, or refuse it and say why.

Each call holds the hospital's journal while it runs. Follows ADR 59; sdk/erasing.py says how.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from panachain.crypto.keys import Seed
from panachain.errors import UsageError
from panachain.model.actors import Actor, Role
from panachain.records.findings import Findings
from panachain.sdk.batches import Batches, open_batches, open_journal
from panachain.sdk.erasing import Erasures, partly, view_of
from panachain.sdk.moves import Moves
from panachain.sdk.network import Network
from panachain.sdk.pairings import Pairings
from panachain.sdk.results.erasures import EraseReport, ErasureView
from panachain.sdk.results.erasures import Erasures as Wishes


class HospitalErasures:
    """The erasures of one hospital.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     wishes = hospital.erasures.asked()
        ...     report = hospital.erasures.follow()
        >>> len(report.omissions)
        0
    """

    def __init__(self, network: Network, hospital: Actor, seed: Seed, folder: Path, pairings: Pairings) -> None:
        """Take the hospital and its seed, its profile's folder, and the pairings with its patients."""
        self._network = network
        self._hospital = hospital
        self._seed = seed
        self._folder = folder
        self._pairings = pairings

    def asked(self) -> Wishes:
        """Return what patients ask to have erased, and nobody did or refused; waits for no upload that runs meanwhile.

        Its `omissions` name what can't be read.
        """
        findings = Findings()
        with open_journal(self._folder) as journal:
            batches = Batches(self._network, self._hospital.address, self._seed, journal)
            found = [view for one in self._of(batches).asked(findings) for view in one.view()]
        return Wishes(tuple(found), tuple(findings.omissions))

    def all(self) -> list[ErasureView]:
        """Return what this hospital erased, as its journal knows it, oldest first."""
        with open_journal(self._folder) as journal:
            return [view_of(one, self._hospital.address) for one in journal.erasures.all()]

    def follow(self, record_ids: Collection[str] = (), *, patients: Collection[str] = ()) -> EraseReport:
        """Erase what patients ask for, attest it, and finish what an earlier call began.

        Each record's header and content go from every node of the store, and each node is asked whether it has them
        still. What lies in the same envelope stays, under a list that doesn't name what went.

        Args:
            record_ids: which of it, as `asked` names them; none for all of it.
            patients: whose: profile names, handles or addresses; none for everybody's.

        Raises:
            UnknownActorError: nobody asks for one of them; nothing was erased.
            PartlyDoneError: something couldn't be erased or looked for, and nothing is attested of it: `result` is the
                report. The same call again goes on.
        """
        chosen = [self._network.resolve(one, Role.PATIENT).address for one in patients]
        with self._open() as erasures:
            return partly(erasures.run(record_ids, asked=True, patients=chosen or None))

    def erase(self, record_ids: Collection[str]) -> EraseReport:
        """Erase records of the hospital's own accord, as the law may ask for: whole envelopes only.

        Args:
            record_ids: as `Hospital.records` names them; all that lie in one envelope together.

        Raises:
            UsageError: none or too many are named, or an envelope has other records too; nothing was erased.
            UnknownActorError: this hospital published no such record; nothing was erased.
            PartlyDoneError: as `follow`.
        """
        if not record_ids:
            raise UsageError("no record is named; nothing was erased")
        with self._open() as erasures:
            return partly(erasures.run(record_ids, asked=False))

    def finish(self) -> EraseReport:
        """Finish what an earlier call began, and begin nothing.

        Raises:
            PartlyDoneError: as `follow`.
        """
        with self._open() as erasures:
            return partly(erasures.run((), asked=False))

    def refuse(self, record_ids: Collection[str], why: str) -> str:
        """Tell the patients who ask for it that records aren't erased, and why; return the transaction's hash.

        Only the patient reads it. They may ask again.

        Args:
            record_ids: as `asked` names them.
            why: up to 500 characters.

        Raises:
            UsageError: no reason is given, it is too long, or no record is named; nothing was refused.
            UnknownActorError: nobody asks to have one of them erased; nothing was refused.
        """
        with self._open() as erasures:
            return erasures.refuse(record_ids, why)

    @contextmanager
    def _open(self) -> Iterator[Erasures]:
        with open_batches(self._network, self._hospital.address, self._seed, self._folder) as batches:
            batches.reconcile()
            yield self._of(batches)

    def _of(self, batches: Batches) -> Erasures:
        moves = Moves(self._network, self._hospital.address, self._seed, batches, self._pairings)
        return Erasures(self._network, self._hospital, batches, self._pairings, moves)
