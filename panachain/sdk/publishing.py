"""Publishing: one round of an upload, from sources that are matched with their patients to the report.

Decides neither whose a source is (hospital.py, routing.py) nor how it is sealed (uploads.py). Follows design section 8
(Publish).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from panachain.crypto.keys import Seed
from panachain.errors import NothingToDoError, Omission, PartlyDoneError, UsageError
from panachain.model.actors import Address
from panachain.plain import count, were
from panachain.records.pairing import Pairing
from panachain.records.sources import Source
from panachain.sdk.batches import Batches, open_batches
from panachain.sdk.kept_persons import KeptPersons
from panachain.sdk.network import Network
from panachain.sdk.results.uploads import UploadReport
from panachain.sdk.times import duration
from panachain.sdk.uploads import Explain, Tally, Upload, explained, read_only

if TYPE_CHECKING:
    from panachain.records.reading_start import Spare


@dataclass(frozen=True)
class Publishing:
    """How a hospital publishes in one call."""

    network: Network
    hospital: Address
    seed: Seed
    folder: Path
    """Of the profile."""
    estimate: Callable[[int], int]
    """Tells the gas of so many records."""
    dry_run: bool = False
    jitter: int | timedelta | None = None
    verify: bool = False
    explain: Explain | None = None
    """In a dry run told where each resource goes and why."""
    spare: Spare | None = None
    """Processes that were started to read beside it."""

    def __post_init__(self) -> None:
        """Refuse what doesn't go together.

        Raises:
            UsageError: a dry run publishes nothing that could be verified, and nothing else is explained.
        """
        if self.verify and self.dry_run:
            raise UsageError("a dry run publishes nothing that could be read back")
        if self.explain is not None and not self.dry_run:
            raise UsageError("an upload is explained before anything is sent: in a dry run")

    def run(
        self,
        sources: Iterable[tuple[Source, Pairing]],
        tally: Tally,
        persons: KeptPersons,
        omissions: Sequence[Omission],
        patients: int,
        unassigned: Mapping[str, int] | None = None,
    ) -> UploadReport:
        """Publish sources.

        Args:
            sources: each with the pairing of its patient.
            tally: counts what is done.
            persons: check whose each source is.
            omissions: what is left out anyway.
            patients: for how many patients there is anything.
            unassigned: as the report.

        Raises:
            InputError: as `Upload.run`.
            PartlyDoneError: something was left out; all else was published: `result` is the report.
            NothingToDoError: there is nothing to publish.
        """
        # Imported here: most commands of a hospital read nothing.
        from panachain.records.reading_ahead import Readers

        with (
            open_batches(self.network, self.hospital, self.seed, self.folder) as batches,
            Readers(spare=self.spare) as readers,
        ):
            found = tally.coming.found(sources)
            ahead = readers.sources(found, _unread(batches), words=not self.dry_run)
            now = int(self.network.clock())
            if self.dry_run:
                told = ahead if self.explain is None else explained(ahead, self.explain)
                read_only(told, batches, tally, now=now, persons=persons)
            else:
                batches.reconcile()
                wait = self.network.config.jitter if self.jitter is None else duration(self.jitter, name="jitter")
                begin = readers.begin_lists if readers.are_any else None
                upload = Upload(batches, tally, persons, jitter=wait, now=now, lists=readers.lists, begin_lists=begin)
                readers.meanwhile = upload.meanwhile
                upload.run(ahead)
                omissions = [*omissions, *batches.unsent.lacking({patient for patient, _ in tally.named})]
                if self.verify:
                    tally.read_back = batches.history.read_back(batches.journal, tally.named)
        tally.check()
        if not (tally.records or tally.skipped or tally.waiting):
            if omissions:
                raise omissions[0].named()
            raise NothingToDoError("there is nothing to publish in what was named")
        report = tally.report(estimate=self.estimate(len(tally.records)) if self.dry_run else None)
        if omissions or report.omissions:
            report = replace(report, omissions=(*omissions, *report.omissions), unassigned=dict(unassigned or {}))
            what = "read" if self.dry_run else "published"
            done = f"{were(len(report.records), 'record')} {what}, of {count(patients, 'patient')}"
            raise PartlyDoneError.of(report.omissions, done=done, result=report)
        return report


def _unread(batches: Batches) -> Callable[[Source, Pairing], bool]:
    """Return what tells whether a source will be read: not if it was published, or named before."""
    seen: set[tuple[Address, bytes]] = set()
    known: dict[Address, bool] = {}

    def tell(source: Source, pairing: Pairing) -> bool:
        patient, identity = pairing.patient, source.identity
        if patient not in known:
            known[patient] = batches.journal.has_any(patient)
        is_new = (patient, identity) not in seen
        seen.add((patient, identity))
        return is_new and not (known[patient] and batches.journal.source_done(patient, identity))

    return tell
