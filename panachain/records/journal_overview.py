"""What a hospital's people look at in the upload journal: what waits, what was withdrawn, what was corrected.

Part of the upload journal (records/journal.py); only reads. Follows ADR 28 and ADR 41.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from panachain.model.actors import Address


@dataclass(frozen=True)
class Waiting:
    """Records that wait for a later round (records/jitter.py)."""

    records: int
    next_at: int
    """Unix seconds from which the first of them may go; 0 if none waits."""
    latest_at: int
    """Unix seconds by which all of them must have gone; 0 if none waits."""


@dataclass(frozen=True)
class JournalWithdrawal:
    """A record that was withdrawn."""

    content: str
    """CID of its sealed content."""
    patient: Address
    reason: str
    sequence: int
    """Of the batch with the statement."""


@dataclass(frozen=True)
class JournalVersion:
    """One version of a resource of which several were published."""

    rank: int | None
    """The version's number, if it says so."""
    updated_at: int
    """Unix seconds of the version; 0 if it doesn't say so."""
    scope: str
    sequence: int
    """Of its batch; 0 if the journal was lost since."""


class JournalOverview:
    """What one journal shows to people."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take the journal's database."""
        self._db = db

    def waiting(self) -> Waiting:
        """Return what waits; whatever is in a batch waits no more."""
        row = self._db.execute(
            "SELECT count(*), min(due), max(latest) FROM waiting w"
            " WHERE NOT EXISTS (SELECT 1 FROM source s WHERE s.patient = w.patient AND s.source = w.source)"
            " AND NOT EXISTS (SELECT 1 FROM record r"
            " WHERE r.patient = w.patient AND r.source = w.source AND r.part = w.part)"
        ).fetchone()
        return Waiting(int(row[0]), int(row[1] or 0), int(row[2] or 0))

    def withdrawn(self, patient: Address | None = None) -> list[JournalWithdrawal]:
        """Return what was withdrawn, of one patient or of all, the newest statement first."""
        asked = "SELECT content, patient, reason, sequence FROM withdrawn"
        order = " ORDER BY sequence DESC, content"
        if patient is None:
            rows = self._db.execute(asked + order)
        else:
            rows = self._db.execute(asked + " WHERE patient = ?" + order, (patient,))
        return [JournalWithdrawal(*row) for row in rows]

    def counts(self) -> dict[Address, tuple[int, int]]:
        """Return of each patient how many records are published, and the newest batch with one of them."""
        rows = self._db.execute("SELECT patient, count(*), max(sequence) FROM record GROUP BY patient")
        return {Address(patient): (int(count), int(newest)) for patient, count, newest in rows}

    def corrected(self, patient: Address) -> Iterator[list[JournalVersion]]:
        """Yield the versions of each resource of a patient of which more than one was published, oldest first."""
        rows = self._db.execute(
            "SELECT name, base, rank, updated, scope, sequence FROM resource WHERE patient = ?"
            " ORDER BY name, base, sequence, rowid",
            (patient,),
        )
        for _, found in groupby(rows, key=itemgetter(0, 1)):
            versions = [
                JournalVersion(rank, int(updated or 0), scope, sequence)
                for _, _, rank, updated, scope, sequence in found
            ]
            if len(versions) > 1:
                yield versions
