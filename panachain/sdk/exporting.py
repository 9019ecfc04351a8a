"""Opened records as one FHIR Bundle: of some categories and years, or of all; sealed to readers or not.

Never leaves anything out without a word: what couldn't be read is among the omissions. Follows docs/spec/sharing.md,
section "Exports".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from panachain.crypto import crypt4gh
from panachain.errors import Omission, PanaChainError, PartlyDoneError, UsageError
from panachain.model.records import RecordInfo
from panachain.model.scope import EMERGENCY, RESTRICTED, Category
from panachain.records.everything import Everything, Source
from panachain.sdk.results.records import OpenedRecord
from panachain.sdk.words import Categories, category_words


class BundleExport:
    """A Bundle of opened records, to be written once, piece by piece.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     export = BundleExport(patient.records(), beside=patient.profile.folder)
        ...     text = b"".join(export)
        >>> text[:25], export.omissions
        (b'{"resourceType":"Bundle",', [])
    """

    def __init__(
        self,
        records: Iterable[OpenedRecord],
        categories: Categories | None = None,
        years: Iterable[int] = (),
        *,
        beside: Path,
        readers: Sequence[bytes] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the records; none is read before the first piece is asked for.

        Args:
            records: opened already, such as `patient.records()`.
            categories: which of them; `all` leaves the restricted ones out; None takes every one.
            years: which of them; empty for all.
            beside: a private folder in which a large file waits, without a name, until it is proven.
            readers: Crypt4GH public keys, 32 bytes each; with them the Bundle is sealed to these readers.
            clock: Unix seconds.
        """
        self._records = records
        self._wanted = Wanted(categories, years)
        self._readers = readers
        self.omissions: list[Omission] = []
        """What isn't in it, and why; whole once all pieces were asked for."""
        self._made = Everything(made_at=int(clock()), leave_out=self._leave_out, beside=beside)

    @property
    def resources(self) -> int:
        """How many resources of the records are in it so far."""
        return self._made.resources

    @property
    def files(self) -> int:
        """How many files that are no FHIR are in it so far."""
        return self._made.files

    def __iter__(self) -> Iterator[bytes]:
        """Yield its bytes."""
        pieces = self._made.pieces(self._sources())
        return crypt4gh.seal(pieces, self._readers) if self._readers else pieces

    def check(self) -> None:
        """Check that something is in it.

        Raises:
            UsageError: no record is of these categories and years.
            PanaChainError: there are some, and none could be read; the first one's reason.
        """
        if not self.resources and not self.files:
            if self.omissions:
                raise self.omissions[0].named()
            raise UsageError("no record is of these categories and years; nothing was made")

    def _sources(self) -> Iterator[Source]:
        iterator = iter(self._records)
        while True:
            try:
                record = next(iterator)
            except StopIteration:
                return
            except PartlyDoneError as exc:
                # Told at the end, beside what else this Bundle lacks.
                self.omissions += exc.omissions
                return
            if self._wanted.has(record.info):
                yield Source(record.info, record.chunks, record.fhir_provenance())

    def _leave_out(self, source: Source, error: PanaChainError) -> None:
        info = source.info
        self.omissions.append(Omission(info.hospital, f"record {info.header_cid}", error))


class Wanted:
    """Which records are wanted."""

    def __init__(self, categories: Categories | None, years: Iterable[int] = ()) -> None:
        """Take categories and years, as `BundleExport` does."""
        self._categories = None if categories is None else named_categories(categories)
        self._years = frozenset(years)

    def has(self, info: RecordInfo) -> bool:
        """Tell whether a record is wanted."""
        return (self._categories is None or info.category in self._categories) and (
            not self._years or info.year in self._years
        )


def named_categories(categories: Categories) -> frozenset[Category]:
    """Return what words name: `all` without the restricted categories, as in a grant."""
    found: set[Category] = set()
    for word in category_words(categories):
        if word == "all":
            found |= set(Category) - RESTRICTED
        elif word == "emergency":
            found |= EMERGENCY
        else:
            found.add(Category.parse(word))
    return frozenset(found)
