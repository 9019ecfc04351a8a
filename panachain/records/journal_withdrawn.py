"""Which records a hospital withdrew, and what its journal forgets with that: their sources may be uploaded again.

Part of the upload journal (records/journal.py). Follows ADR 28.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.model.actors import Address

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS withdrawn (
    content  TEXT PRIMARY KEY, -- CID of the record's sealed content, which re-wrapping doesn't change
    patient  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    sequence INTEGER NOT NULL  -- of the batch with the statement
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Withdrawing:
    """A record that a batch withdraws."""

    content: str
    patient: Address
    reason: str
    source: bytes
    """From which source it was; empty if that isn't known."""
    scope: str
    """Of the narrowest lane that finds it."""
    others: tuple[tuple[str, bytes], ...] = ()
    """Header and likeness of each other record of the same source: what stays published."""


class WithdrawnRecords:
    """The records that were withdrawn, in one journal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take the journal's database."""
        self._db = db

    def known(self, contents: Iterable[str]) -> set[str]:
        """Return which of some records were withdrawn before, by the CIDs of their contents."""
        rows = (self._db.execute("SELECT content FROM withdrawn WHERE content = ?", (one,)) for one in contents)
        return {row[0] for found in rows for row in found}

    def contents(self, patients: Iterable[Address]) -> dict[Address, set[str]]:
        """Return what was withdrawn of some patients, by the CIDs of the contents; nothing of whom nothing was."""
        found: dict[Address, set[str]] = {}
        for patient in patients:
            rows = self._db.execute("SELECT content FROM withdrawn WHERE patient = ?", (patient,)).fetchall()
            if rows:
                found[patient] = {row[0] for row in rows}
        return found

    def write(self, withdrawing: Sequence[Withdrawing], sequence: int) -> None:
        """Write what a batch withdraws, within the transaction that writes the batch."""
        self._db.executemany(
            "INSERT OR REPLACE INTO withdrawn VALUES (?, ?, ?, ?)",
            [(one.content, one.patient, one.reason, sequence) for one in withdrawing],
        )
        for one in withdrawing:
            if not one.source:
                continue
            whose = one.patient, one.source
            # The same file may come again, for another category. What else is published of it is known by its content,
            # as after a journal was lost: it may be cut in another way then.
            for table in ("source", "unfinished", "waiting"):
                self._db.execute(f"DELETE FROM {table} WHERE patient = ? AND source = ?", whose)  # noqa: S608
            # And other lanes have to be told anew that a newer version lies elsewhere.
            self._db.execute(
                "DELETE FROM resource WHERE patient = ? AND source = ? AND (scope = ? OR print = x'')",
                (*whose, one.scope),
            )
            for table in ("resource", "record"):
                self._db.execute(f"UPDATE {table} SET source = x'' WHERE patient = ? AND source = ?", whose)  # noqa: S608
            self._db.executemany(
                "INSERT OR IGNORE INTO nameless VALUES (?, ?, ?)",
                [(header, one.patient, likeness) for header, likeness in one.others if likeness],
            )
