"""The hospital's upload journal: what was prepared, what was published, and the next counter of each lane.

Journal before effect: a batch is written here, whole, before its storage transaction is sent; so a killed upload
is finished by the same command, and the same source is never published twice for one patient.
Never holds plaintext or a key; source digests stay on the hospital's disk.
Follows design section 8 (Publish) and security rule 5.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.errors import DiskError

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY,   -- the storage transaction's number in the hospital's chain of heads
    manifest TEXT NOT NULL,         -- CID of the manifest's root
    count    INTEGER NOT NULL,      -- records
    tx       TEXT                   -- hash of the transaction, once it is mined
);
CREATE TABLE IF NOT EXISTS source (
    patient  TEXT NOT NULL,
    digest   BLOB NOT NULL,         -- SHA-256 of the source
    sequence INTEGER NOT NULL REFERENCES batch(sequence),
    PRIMARY KEY (patient, digest)
);
CREATE TABLE IF NOT EXISTS record (
    header     TEXT PRIMARY KEY,    -- CID
    patient    TEXT NOT NULL,
    sequence   INTEGER NOT NULL REFERENCES batch(sequence),
    scope      TEXT NOT NULL,       -- the narrowest lane that finds it
    generation INTEGER NOT NULL,
    brief_id   BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counter (
    patient    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    next       INTEGER NOT NULL,    -- the counter that the lane's next record gets
    PRIMARY KEY (patient, generation, scope)
);
"""


@dataclass(frozen=True)
class Batch:
    """One storage transaction, prepared or mined."""

    sequence: int
    manifest: str
    count: int
    tx: str | None


@dataclass(frozen=True)
class JournalRecord:
    """Where one published record is found again."""

    header: str
    patient: str
    sequence: int
    scope: str
    generation: int
    brief_id: bytes


class Journal:
    """The journal of one hospital profile: one SQLite file, one uploader at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`.

        Raises:
            DiskError: the file can't be opened or written.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            os.chmod(path, 0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise DiskError(f"the upload journal {path} can't be opened: {exc}; nothing was published") from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the journal for one upload: a second uploader on the same folder waits for the first."""
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def published(self, patient: str, digest: bytes) -> bool:
        """Tell whether this source is already in a batch for this patient."""
        row = self._db.execute("SELECT 1 FROM source WHERE patient = ? AND digest = ?", (patient, digest)).fetchone()
        return row is not None

    def counters(self, patient: str, generation: int) -> dict[str, int]:
        """Return the next counter of each of the patient's lanes that was used before."""
        rows = self._db.execute(
            "SELECT scope, next FROM counter WHERE patient = ? AND generation = ?", (patient, generation)
        )
        return dict(rows.fetchall())

    def prepare(
        self,
        *,
        patient: str,
        generation: int,
        manifest: str,
        sequence: int,
        records: Sequence[JournalRecord],
        sources: Iterable[bytes],
        counters: Mapping[str, int],
    ) -> Batch:
        """Write one batch with everything that it changes, before its transaction is sent.

        Raises:
            DiskError: the disk refuses; the journal is as it was.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO batch VALUES (?, ?, ?, NULL)", (sequence, manifest, len(records)))
            self._db.executemany(
                "INSERT INTO source VALUES (?, ?, ?)", [(patient, digest, sequence) for digest in sorted(set(sources))]
            )
            self._db.executemany(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)",
                [(r.header, r.patient, r.sequence, r.scope, r.generation, r.brief_id) for r in records],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO counter VALUES (?, ?, ?, ?)",
                [(patient, generation, scope, following) for scope, following in counters.items()],
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise DiskError(f"the upload journal refuses the batch: {exc}; nothing was published") from exc
        return Batch(sequence, manifest, len(records), None)

    def pending(self) -> list[Batch]:
        """Return the batches whose transaction isn't known to be mined, oldest first."""
        rows = self._db.execute("SELECT sequence, manifest, count, tx FROM batch WHERE tx IS NULL ORDER BY sequence")
        return [Batch(*row) for row in rows]

    def mined(self, sequence: int, tx: str) -> None:
        """Note that the batch is on chain."""
        self._db.execute("UPDATE batch SET tx = ? WHERE sequence = ?", (tx, sequence))

    def records(self) -> list[JournalRecord]:
        """Return where each published record is found, in the order of publication."""
        rows = self._db.execute(
            "SELECT header, patient, sequence, scope, generation, brief_id FROM record ORDER BY sequence, rowid"
        )
        return [JournalRecord(*row) for row in rows]
