"""Which patients' orders to re-seal a hospital followed, and what its journal knows otherwise with that.

Part of the upload journal (records/journal.py). Follows ADR 34.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS followed (
    block    TEXT PRIMARY KEY,      -- CID of a patient's order to re-seal that was followed
    sequence INTEGER NOT NULL       -- of the batch with what it asked for
) WITHOUT ROWID;
"""


class FollowedOrders:
    """The orders that were followed, in one journal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take the journal's database."""
        self._db = db

    def has(self, order: str) -> bool:
        """Tell whether an order was followed, by its CID."""
        return self._db.execute("SELECT 1 FROM followed WHERE block = ?", (order,)).fetchone() is not None

    def write(self, orders: Iterable[str], sequence: int) -> None:
        """Write what a batch follows, within the transaction that writes the batch."""
        self._db.executemany("INSERT OR IGNORE INTO followed VALUES (?, ?)", [(one, sequence) for one in orders])

    def sealed_anew(self, header: str, before: bytes, likeness: bytes) -> None:
        """Write that a record is like something else in its new category, within the transaction that writes the batch.

        Args:
            header: CID of its new header, which its row has already.
            before: what told a record of the same content.
            likeness: what tells one now.
        """
        self._db.execute("UPDATE nameless SET likeness = ? WHERE header = ?", (likeness, header))
        self._db.execute(
            "UPDATE unfinished SET likeness = ? WHERE likeness = ? AND (patient, source, part) IN"
            " (SELECT patient, source, part FROM record WHERE header = ?)",
            (likeness, before, header),
        )
