"""What a hospital does with files of many patients: it publishes each patient's part, or proposes whose each file is.

Follows docs/spec/persons.md, section "Many patients at once".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panachain.model.file_content import NO_COPIES
from panachain.model.progress import Progress
from panachain.model.scope import Category
from panachain.sdk.base import ActorSession
from panachain.sdk.words import category_of

if TYPE_CHECKING:
    from panachain.records.reading_start import Spare
    from panachain.sdk.pairings import Pairings
    from panachain.sdk.publishing import Publishing
    from panachain.sdk.results.uploads import Proposal, UploadReport
    from panachain.sdk.uploads import Explain


class HospitalRouting(ActorSession):
    """The side of a hospital's session that finds out whose a file is."""

    def upload_each(
        self,
        paths: Sequence[Path | str],
        named: Mapping[str, str] | None = None,
        category: Category | str | None = None,
        *,
        dry_run: bool = False,
        jitter: int | timedelta | None = None,
        verify: bool = False,
        strict: bool = False,
        explain: Explain | None = None,
        copies: Mapping[Path, bytes] = NO_COPIES,
        progress: Progress | None = None,
        spare: Spare | None = None,
    ) -> UploadReport:
        """Publish what files hold of many patients, such as a bulk export, to the patient whom each resource is about.

        A patient is recognised by identifier, name and birth date of what was published for them before. Whatever names
        two patients, nobody, or somebody who isn't recognised for sure is left out.

        Args:
            paths: files and folders; within each of them, one id is one thing.
            named: patients by what means them there: `Patient/ID`, `system|value`, an address, or a file of theirs.
            category: as `upload_many`, like all that follow but `strict`.
            dry_run: read and split only.
            jitter: how long a record waits at most.
            verify: read back what was published.
            strict: publish nothing if anything can't go to its patient.
            explain: as `upload_many`.
            copies: as `upload_many`.
            progress: told how many bytes and records were read.
            spare: processes to read beside it that load already, of whoever knows that there will be much to read.

        Raises:
            PartlyDoneError: something was left out; all else was published: `result` is the report.
            UsageError: a name means nobody in the files, or several.
            InputError: nothing could be published.
        """
        # Imported here: most uploads say whose each file is, and most commands upload nothing.
        from panachain.sdk.kept_persons import KeptPersons
        from panachain.sdk.routing import Reading, publish_each
        from panachain.sdk.uploads import Tally, size_of

        publishing = self._publishing(dry_run=dry_run, jitter=jitter, verify=verify, explain=explain, spare=spare)
        places = [Path(path) for path in paths]
        tally = Tally(progress, size_of(places), strict=strict)
        persons = KeptPersons(self.profile.folder, self._seed)
        kind = None if category is None else category_of(category)
        reading = Reading(places, named or {}, kind, copies=copies)
        return publish_each(publishing, self._pairings, persons, tally, reading)

    def propose(self, paths: Sequence[Path | str]) -> list[Proposal]:
        """Return whose each file seems to be, as the hospital knows its patients; publishes nothing.

        Args:
            paths: files and folders; each file says by itself whom it is about, since one id may be two things in two.

        Raises:
            UsageError: there is no such file.
        """
        from panachain.sdk.kept_persons import KeptPersons
        from panachain.sdk.routing import propose

        self._check_registered()
        persons = KeptPersons(self.profile.folder, self._seed)
        return propose(self.network, self._pairings, persons, [Path(path) for path in paths])

    def _publishing(self, **how: Any) -> Publishing:
        from panachain.sdk.publishing import Publishing

        self._check_registered()
        return Publishing(self.network, self.address, self._seed, self.profile.folder, self._estimate, **how)

    def _estimate(self, records: int) -> int:
        """Return the gas that publishing so many records takes; one batch holds MAX_RECORDS at most."""
        if not records:
            return 0
        from panachain.records.publish import MAX_RECORDS

        return -(-records // MAX_RECORDS) * self.network.mainchain.ledger.estimate_store(self.address, 1)

    @cached_property
    def _pairings(self) -> Pairings:
        from panachain.sdk.pairings import Pairings

        return Pairings(self.network, self.profile.actor, self._seed.sealing())

    def _sealed_to(self) -> list[tuple[str, int]]:
        paired = self.network.sidechain.identities.paired(hospital=self.address)
        return [("pairings", sum(one.paired for one in paired))]

    @contextmanager
    def _unfinished(self) -> Iterator[int]:
        from panachain.sdk.batches import open_journal

        with open_journal(self.profile.folder) as journal, journal.exclusive():
            yield len(journal.pending())
