"""The hospital's upload journal: what was prepared, sent and mined.

Journal before effect: a batch is written here, whole, before its storage transaction is signed, and the signed
transaction before it is sent; so a killed upload is finished by the same command, and the same source is never
published twice for one patient. The chain is right where it differs: batches that this journal didn't make are adopted,
and batches whose place another one has are forgotten. Never holds plaintext or a key; what identifies sources stays on
the hospital's disk.
Follows design section 8 (Publish) and security rule 5.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.private_files import open_private
from panachain.records import journal_erased, journal_followed, journal_resources, journal_unsent, journal_withdrawn
from panachain.records.journal_erased import Erasing, JournalErasures
from panachain.records.journal_file import damage, open_file
from panachain.records.journal_followed import FollowedOrders
from panachain.records.journal_overview import JournalOverview
from panachain.records.journal_resources import KnownResource, KnownResources
from panachain.records.journal_unsent import SealedFor, UnsentBatches
from panachain.records.journal_withdrawn import Withdrawing, WithdrawnRecords

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY,   -- the storage transaction's number in the hospital's chain of heads
    manifest TEXT NOT NULL,         -- CID of the manifest's root
    list     TEXT NOT NULL,         -- CID of the list of all its blocks; empty if it isn't known
    count    INTEGER NOT NULL,      -- records
    tx       TEXT,                  -- hash of the transaction, once it is mined
    block    INTEGER                -- in which block
);
CREATE TABLE IF NOT EXISTS sent (
    sequence INTEGER NOT NULL REFERENCES batch(sequence),
    tx       TEXT NOT NULL,
    raw      TEXT NOT NULL,         -- the signed transaction, so that the very same can be sent again
    PRIMARY KEY (sequence, tx)
);
CREATE TABLE IF NOT EXISTS source (
    patient  TEXT NOT NULL,
    source   BLOB NOT NULL,         -- what identifies a source of which every record is in a batch
    PRIMARY KEY (patient, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    header     TEXT PRIMARY KEY,    -- CID
    patient    TEXT NOT NULL,
    sequence   INTEGER NOT NULL REFERENCES batch(sequence),
    scope      TEXT NOT NULL,       -- the narrowest lane that finds it
    generation INTEGER NOT NULL,
    source     BLOB NOT NULL,
    part       INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS unfinished (
    patient  TEXT NOT NULL,         -- what is in a batch of a source that isn't wholly published yet: the next run may
    source   BLOB NOT NULL,         -- cut the source in another way, because what is sensitive is decided anew
    part     INTEGER NOT NULL,
    sequence INTEGER NOT NULL REFERENCES batch(sequence),
    likeness BLOB NOT NULL          -- what tells a record of the same content
);
CREATE INDEX IF NOT EXISTS unfinished_source ON unfinished (patient, source);
CREATE TABLE IF NOT EXISTS moved (
    header     TEXT PRIMARY KEY,    -- CID of a header that another one stands for since the record was re-wrapped
    envelope   TEXT NOT NULL,       -- CID of its envelope
    list       TEXT NOT NULL,       -- CID of the batch list that held both
    sequence   INTEGER NOT NULL REFERENCES batch(sequence),  -- of the batch with the new header
    deleted    INTEGER NOT NULL     -- whether the blocks were deleted
);
CREATE TABLE IF NOT EXISTS waiting (
    patient  TEXT NOT NULL,
    source   BLOB NOT NULL,
    part     INTEGER NOT NULL,      -- a record that waits for a later round (records/jitter.py)
    due      INTEGER NOT NULL,      -- Unix seconds from which it may go
    latest   INTEGER NOT NULL,      -- and from which it must
    PRIMARY KEY (patient, source, part)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_source ON record (patient, source, part);
CREATE TABLE IF NOT EXISTS adopted (
    sequence INTEGER PRIMARY KEY REFERENCES batch(sequence)  -- a batch whose records must be learned
);
CREATE TABLE IF NOT EXISTS learned (
    patient  TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL       -- up to which of the adopted batches the patient's records were learned
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nameless (
    header   TEXT PRIMARY KEY REFERENCES record(header),  -- a record whose source isn't known
    patient  TEXT NOT NULL,
    likeness BLOB NOT NULL          -- what tells a record of the same content
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nameless_likeness ON nameless (patient, likeness);
"""


@dataclass(frozen=True)
class Batch:
    """One storage transaction, prepared or mined."""

    sequence: int
    manifest: str
    count: int
    tx: str | None
    block: int | None


@dataclass(frozen=True)
class JournalRecord:
    """Where one published record is found again, and where it came from."""

    header: str
    patient: Address
    sequence: int
    scope: str
    generation: int
    source: bytes
    part: int
    likeness: bytes = b""
    """What tells a record of the same content; empty if nothing does, or where it isn't needed any more."""


@dataclass(frozen=True)
class Published:
    """What is in batches of one source."""

    parts: frozenset[int]
    """Which of the source's records, as they were cut when they were published."""
    likenesses: Mapping[bytes, int]
    """How many records there are of each content; empty once the whole source is published."""
    unlike: frozenset[int]
    """Those that nothing but their number tells: large ones, and those of journals of older versions."""


@dataclass(frozen=True)
class FoundRecord:
    """A record of an adopted batch, as the hospital's own lanes find it."""

    record: JournalRecord
    """Without its source."""
    likeness: bytes = b""
    """What tells a record of the same content; empty if nothing does."""
    replaces: tuple[str, ...] = ()
    """CIDs of the headers that it stands for."""
    ended: tuple[str, ...] = ()
    """CIDs of the headers that it stands for as a statement: of records that left its lanes, or were erased."""


@dataclass(frozen=True)
class MovedRecord:
    """A record that was re-wrapped: its old header and envelope, which are deleted once the new one is on chain."""

    old_header: str
    old_envelope: str
    record: JournalRecord
    """Where it is found now."""
    gone: tuple[str, ...] = ()
    """CIDs of its sealed content and inventory, if it was sealed anew: deleted too."""
    likeness: bytes = b""
    """What told a record of the same content, if it was sealed anew for another category."""


class Adopted:
    """What a journal knows of batches that it didn't make: of another machine, or from before a backup was restored."""

    def __init__(
        self,
        db: sqlite3.Connection,
        writing: Callable[[], AbstractContextManager[None]],
        forget: Sequence[Callable[[int], None]],
    ) -> None:
        """Take the journal's database, what makes a transaction of it, and what forgets erasures and unsent batches."""
        self._db = db
        self._writing = writing
        self._parts_forget = forget

    def add(self, batches: Iterable[tuple[Batch, str]]) -> None:
        """Note batches on chain that this journal didn't make, each with the CID of its list, or an empty text."""
        rows = [(one.sequence, one.manifest, kept_by, one.count, one.tx, one.block) for one, kept_by in batches]
        with self._writing():
            self._db.executemany("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT INTO adopted VALUES (?)", [row[:1] for row in rows])
            # One may lie before those that were learned: then they are learned again, which changes nothing.
            self._db.execute("DELETE FROM learned WHERE sequence >= ?", (min((row[0] for row in rows), default=0),))

    def sequences(self) -> list[int]:
        """Return the sequences of the batches whose records must be learned, oldest first."""
        return [row[0] for row in self._db.execute("SELECT sequence FROM adopted ORDER BY sequence")]

    def learned(self, patient: Address) -> int:
        """Return up to which of the adopted batches a patient's records were learned."""
        row = self._db.execute("SELECT sequence FROM learned WHERE patient = ?", (patient,)).fetchone()
        return 0 if row is None else int(row[0])

    def forget(self, first: int, beside: Callable[[], None] = lambda: None) -> int:
        """Forget the batches from a sequence on, because others have their places on chain; return their records.

        Their sources count as new. What stays is to be learned anew: of a record that was moved since, the old place.

        Args:
            first: the sequence.
            beside: what else is written in the same transaction.
        """
        with self._writing():
            beside()
            (lost,) = self._db.execute("SELECT count(*) FROM record WHERE sequence >= ?", (first,)).fetchone()
            self._db.execute(
                "DELETE FROM source WHERE (patient, source) IN"
                " (SELECT patient, source FROM record WHERE sequence >= ?)",
                (first,),
            )
            self._db.execute(
                "DELETE FROM nameless WHERE header IN (SELECT header FROM record WHERE sequence >= ?)", (first,)
            )
            # Of those that were learned again nobody knows the batch: published twice is better than never.
            self._db.execute("DELETE FROM resource WHERE sequence = 0")
            for table in (
                "record",
                "unfinished",
                "resource",
                "withdrawn",
                "moved",
                "followed",
                "sent",
                "adopted",
                "batch",
            ):
                self._db.execute(f"DELETE FROM {table} WHERE sequence >= ?", (first,))  # noqa: S608
            for forget in self._parts_forget:
                forget(first)
            self._db.execute("DELETE FROM learned")
            self._db.execute("INSERT OR IGNORE INTO adopted SELECT sequence FROM batch")
        return int(lost)

    def learn(self, found: Iterable[FoundRecord], *, until: int, patients: Iterable[Address]) -> None:
        """Write what patients' lanes find in adopted batches.

        Args:
            found: the records, in the order of publication.
            until: the last adopted batch that was looked at.
            patients: whose lanes were.
        """
        with self._writing():
            everything = list(found)
            for one in everything:
                self._learn(one)
            # Last: what left for another category got its source there from the row that goes here.
            for one in everything:
                for header in one.ended:
                    self._end(header, one.record.sequence)
            self._db.executemany("INSERT OR REPLACE INTO learned VALUES (?, ?)", [(one, until) for one in patients])

    def nameless(self, patient: Address) -> set[bytes]:
        """Return the likenesses of a patient's published records of which it isn't known from which source they are."""
        rows = self._db.execute("SELECT likeness FROM nameless WHERE patient = ?", (patient,))
        return {row[0] for row in rows}

    def claim(self, patient: Address, likeness: bytes, *, source: bytes, part: int) -> bool:
        """Take a record of a source for one that is published and whose source wasn't known; tell whether there is one.

        Each published record is taken once: two sources with the same content are two records, as they always are.
        """
        row = self._db.execute(
            "SELECT header FROM nameless WHERE patient = ? AND likeness = ? ORDER BY header", (patient, likeness)
        ).fetchone()
        if row is None:
            return False
        with self._writing():
            self._db.execute("UPDATE record SET source = ?, part = ? WHERE header = ?", (source, part, row[0]))
            self._db.execute("DELETE FROM nameless WHERE header = ?", row)
        return True

    def _end(self, header: str, sequence: int) -> None:
        """Forget a record for which a statement stands."""
        self._db.execute("INSERT OR IGNORE INTO moved VALUES (?, '', '', ?, 1)", (header, sequence))
        for table in ("record", "nameless"):
            self._db.execute(f"DELETE FROM {table} WHERE header = ?", (header,))  # noqa: S608

    def _learn(self, one: FoundRecord) -> None:
        new = one.record
        for header in one.replaces:
            # Of the old one it is known no more than that another one stands for it.
            self._db.execute("INSERT OR IGNORE INTO moved VALUES (?, '', '', ?, 1)", (header, new.sequence))
            row = self._db.execute("SELECT source, part FROM record WHERE header = ?", (header,)).fetchone()
            if row is not None:
                # The same record, re-wrapped: it is still its source's.
                new = replace(new, source=row[0], part=row[1])
                self._db.execute("DELETE FROM record WHERE header = ?", (header,))
                self._db.execute("DELETE FROM nameless WHERE header = ?", (header,))
        columns = (new.header, new.patient, new.sequence, new.scope, new.generation, new.source, new.part)
        made = self._db.execute("INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", columns)
        if made.rowcount and not new.source and one.likeness:
            self._db.execute("INSERT OR IGNORE INTO nameless VALUES (?, ?, ?)", (new.header, new.patient, one.likeness))


class Mergeable:
    """What a merging of manifests asks of a journal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take the journal's database."""
        self._db = db

    def patients(self, first: int, last: int) -> set[Address]:
        """Return whose records are in the batches of some sequences."""
        rows = self._db.execute("SELECT DISTINCT patient FROM record WHERE sequence BETWEEN ? AND ?", (first, last))
        return {Address(row[0]) for row in rows}

    def replaced(self) -> set[str]:
        """Return the headers that others of mined batches stand for."""
        rows = self._db.execute("SELECT m.header FROM moved m JOIN batch b USING (sequence) WHERE b.tx IS NOT NULL")
        return {row[0] for row in rows}


class KnownSources:
    """What an upload asks of a journal before it asks of each source."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Take the journal's database."""
        self._db = db

    def are_any(self, patient: Address) -> bool:
        """Tell whether anything is known of any source of a patient: published, or in a batch."""
        asked = (
            f"SELECT EXISTS (SELECT 1 FROM {table} WHERE patient = ?)"  # noqa: S608
            for table in ("source", "record", "unfinished")
        )
        return any(self._db.execute(one, (patient,)).fetchone()[0] for one in asked)


class Journal:
    """The journal of one hospital profile: one SQLite file, one uploader at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`.

        Raises:
            DiskError: the file can't be opened or written.
        """
        self._path = path
        try:
            self._db = open_file(path)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A batch that the disk lost after its transaction was sent couldn't be found again.
            self._db.execute("PRAGMA synchronous=FULL")
            # What is deleted here is gone from the file: whose record was erased stands in no free page.
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(
                SCHEMA
                + journal_resources.SCHEMA
                + journal_withdrawn.SCHEMA
                + journal_followed.SCHEMA
                + journal_unsent.SCHEMA
            )
            journal_erased.prepare(self._db)
        except (OSError, sqlite3.Error) as exc:
            told = DiskError(f"the upload journal {path} can't be opened: {exc}; nothing was published")
            raise damage(path, exc) or told from exc
        self.erasures = JournalErasures(self._db, self._writing)
        self.unsent = UnsentBatches(self._db, self._writing)
        self.adopted = Adopted(self._db, self._writing, [self.erasures.forget, self.unsent.forget])
        self.mergeable = Mergeable(self._db)
        self.sources = KnownSources(self._db)
        self.resources = KnownResources(self._db, self._writing)
        self.withdrawn = WithdrawnRecords(self._db)
        self.followed = FollowedOrders(self._db)
        self.overview = JournalOverview(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the journal for one upload: a second uploader on the same folder waits for the first."""
        with open(open_private(self._path.with_suffix(".lock"), os.O_WRONLY), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def source_done(self, patient: Address, source: bytes) -> bool:
        """Tell whether every record of this source is in a batch for this patient."""
        row = self._db.execute("SELECT 1 FROM source WHERE patient = ? AND source = ?", (patient, source)).fetchone()
        return row is not None

    def published(self, patient: Address, source: bytes) -> Published:
        """Return what is in batches of a source for this patient."""
        rows = self._db.execute(
            "SELECT part, likeness FROM unfinished WHERE patient = ? AND source = ?", (patient, source)
        ).fetchall()
        numbers = self._db.execute("SELECT part FROM record WHERE patient = ? AND source = ?", (patient, source))
        parts = {part for (part,) in numbers}
        return Published(
            frozenset(parts), Counter(like for _, like in rows), frozenset(parts - {part for part, _ in rows})
        )

    def due(self, patient: Address, source: bytes, part: int, *, due: int, latest: int) -> tuple[int, int]:
        """Return from when a record may and must be published: what was drawn for it first counts.

        Args:
            patient: whose record.
            source: what identifies its source.
            part: which of the source's records.
            due: Unix seconds, for a record that is seen for the first time.
            latest: the same.
        """
        with self._writing():
            self._db.execute(
                # Ignored where it is there: a second run must not draw a second time, or waiting would end sooner the
                # oftener one runs.
                "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?, ?)",
                (patient, source, part, due, latest),
            )
        row = self._db.execute(
            "SELECT due, latest FROM waiting WHERE patient = ? AND source = ? AND part = ?", (patient, source, part)
        ).fetchone()
        return int(row[0]), int(row[1])

    def has_any(self, patient: Address) -> bool:
        """Tell whether any record of a patient is in a batch."""
        return self._db.execute("SELECT 1 FROM record WHERE patient = ?", (patient,)).fetchone() is not None

    def prepare(
        self,
        *,
        sequence: int,
        manifest: str,
        list_cid: str,
        records: Sequence[JournalRecord],
        done: Iterable[tuple[Address, bytes]],
        moved: Sequence[MovedRecord] = (),
        resources: Iterable[KnownResource] = (),
        withdrawn: Sequence[Withdrawing] = (),
        followed: Iterable[str] = (),
        elsewhere: Iterable[tuple[KnownResource, str]] = (),
        erasing: Sequence[Erasing] = (),
        attested: Iterable[str] = (),
        refused: Iterable[tuple[str, str]] = (),
        words: Iterable[tuple[str, str]] = (),
        sealed_for: Iterable[SealedFor] = (),
    ) -> Batch:
        """Write one batch with everything that it changes, before its transaction is signed.

        Args:
            sequence: of the storage transaction.
            manifest: CID of the manifest's root.
            list_cid: CID of the batch list.
            records: all of the batch.
            done: (patient, source) pairs whose last record is in this batch.
            moved: records of earlier batches that got a new header in this one.
            resources: the versions that its records hold.
            withdrawn: records of earlier batches that its statements withdraw.
            followed: CIDs of the orders to re-seal that it follows.
            elsewhere: versions of earlier batches that it puts elsewhere, each with its new lane.
            erasing: records of earlier batches that it says are erased.
            attested: CIDs of the headers of records that it attests to be gone.
            refused: what it refuses to erase: CIDs of orders and of sealed contents.
            words: CIDs of its inventories, each with that of the list of words it names, or an empty text.
            sealed_for: by which pairings its records were sealed.

        Raises:
            DiskError: the disk refuses; the journal is as it was.
        """
        finished = set(done)
        unfinished = [
            (r.patient, r.source, r.part, r.sequence, r.likeness)
            for r in records
            if r.likeness and (r.patient, r.source) not in finished
        ]
        rows = [(r.header, r.patient, r.sequence, r.scope, r.generation, r.source, r.part) for r in records]
        with self._writing():
            self._db.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, NULL, NULL)",
                (sequence, manifest, list_cid, len(records) + len(moved)),
            )
            for one in moved:
                self._move(one, sequence)
            self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._finish(finished)
            self._db.executemany("INSERT INTO unfinished VALUES (?, ?, ?, ?, ?)", unfinished)
            self.resources.write(resources, sequence)
            self.withdrawn.write(withdrawn, sequence)
            self.resources.move(elsewhere)
            self.followed.write(followed, sequence)
            self.erasures.write(erasing, sequence)
            self.erasures.attest(attested, sequence)
            self.erasures.refuse(refused, sequence)
            self.erasures.know(words)
            self.unsent.write(sealed_for, sequence)
        return Batch(sequence, manifest, len(records) + len(moved), None, None)

    def has(self, header: str) -> bool:
        """Tell whether this is the present header of one of the records."""
        return self._db.execute("SELECT 1 FROM record WHERE header = ?", (header,)).fetchone() is not None

    def deletable(self) -> list[tuple[str, str, str]]:
        """Return header, envelope and batch list of each record that a mined batch gave a new header.

        What else goes with one that was sealed anew is a row of its own, its CID in both places.
        """
        rows = self._db.execute(
            "SELECT m.header, m.envelope, m.list FROM moved m JOIN batch b USING (sequence)"
            " WHERE NOT m.deleted AND b.block IS NOT NULL ORDER BY m.rowid"
        )
        return rows.fetchall()

    def deleted(self, headers: Iterable[str], lists: Mapping[str, str]) -> None:
        """Note that old headers and their envelopes are gone, and which lists stand for those that held them."""
        with self._writing():
            self._db.executemany("UPDATE moved SET deleted = 1 WHERE header = ?", [(header,) for header in headers])
            for old, new in lists.items():
                self._db.execute("UPDATE batch SET list = ? WHERE list = ?", (new, old))
                self._db.execute("UPDATE moved SET list = ? WHERE list = ?", (new, old))

    def finish_sources(self, done: Iterable[tuple[Address, bytes]]) -> None:
        """Note sources of which every record was in earlier batches."""
        with self._writing():
            self._finish(done)

    def sending(self, sequence: int, tx: str, raw: str) -> None:
        """Note a signed transaction of a batch, before it is sent."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", (sequence, tx, raw))

    def sent(self, sequence: int) -> list[tuple[str, str]]:
        """Return hash and signed transaction of all that were sent for a batch, oldest first."""
        rows = self._db.execute("SELECT tx, raw FROM sent WHERE sequence = ? ORDER BY rowid", (sequence,))
        return [(tx, raw) for tx, raw in rows]

    def mined(self, sequence: int, tx: str, block: int) -> None:
        """Note that the batch is on chain."""
        with self._writing():
            self._db.execute("UPDATE batch SET tx = ?, block = ? WHERE sequence = ?", (tx, block, sequence))

    def vanished(self, sequence: int) -> None:
        """Note that the batch isn't on chain any more: a reorganisation took its block away."""
        with self._writing():
            self.unsent.vanish(sequence)
            self._db.execute("UPDATE batch SET tx = NULL, block = NULL WHERE sequence = ?", (sequence,))

    def pending(self) -> list[Batch]:
        """Return the batches that aren't known to be mined, oldest first."""
        return self._batches("tx IS NULL")

    def batches(self) -> list[Batch]:
        """Return all batches, oldest first."""
        return self._batches("1")

    def headers(self, patient: Address, source: bytes) -> list[str]:
        """Return the CIDs of the headers of a source's records, in their order in it."""
        rows = self._db.execute(
            "SELECT header FROM record WHERE patient = ? AND source = ? ORDER BY part", (patient, source)
        )
        return [row[0] for row in rows]

    def lists(self) -> list[str]:
        """Return the CID of every batch's list that is known, oldest first."""
        return [row[0] for row in self._db.execute("SELECT list FROM batch WHERE list != '' ORDER BY sequence")]

    def records(self, patient: Address | None = None) -> Iterator[JournalRecord]:
        """Yield where each published record is found, of one patient or of all, in the order of publication."""
        asked = "SELECT header, patient, sequence, scope, generation, source, part FROM record"
        order = " ORDER BY sequence, rowid"
        if patient is None:
            rows = self._db.execute(asked + order)
        else:
            rows = self._db.execute(asked + " WHERE patient = ?" + order, (patient,))
        for row in rows:
            yield JournalRecord(*row)

    def _finish(self, done: Iterable[tuple[Address, bytes]]) -> None:
        names = list(done)
        self._db.executemany("INSERT OR IGNORE INTO source VALUES (?, ?)", names)
        self._db.executemany("DELETE FROM unfinished WHERE patient = ? AND source = ?", names)
        self.unsent.done(source for _, source in names)

    def _move(self, one: MovedRecord, sequence: int) -> None:
        row = self._db.execute(
            "SELECT b.list FROM record r JOIN batch b USING (sequence) WHERE r.header = ?", (one.old_header,)
        ).fetchone()
        new = one.record
        self._db.execute(
            "INSERT INTO moved VALUES (?, ?, ?, ?, 0)", (one.old_header, one.old_envelope, row[0], sequence)
        )
        self._db.execute(
            "UPDATE record SET header = ?, sequence = ?, scope = ?, generation = ? WHERE header = ?",
            (new.header, sequence, new.scope, new.generation, one.old_header),
        )
        self._db.execute("UPDATE nameless SET header = ? WHERE header = ?", (new.header, one.old_header))
        self._db.executemany(
            "INSERT OR IGNORE INTO moved VALUES (?, ?, ?, ?, 0)", [(cid, cid, row[0], sequence) for cid in one.gone]
        )
        if one.gone:
            self.followed.sealed_anew(new.header, one.likeness, new.likeness)

    def _batches(self, condition: str) -> list[Batch]:
        # The conditions are the two fixed ones above.
        rows = self._db.execute(
            f"SELECT sequence, manifest, count, tx, block FROM batch WHERE {condition} ORDER BY sequence"  # noqa: S608
        )
        return [Batch(*row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as exc:
            # What is damaged may not even be rolled back: SQLite does so when the file is opened again.
            with suppress(sqlite3.Error, DiskError):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise DiskError(f"the upload journal can't be written: {exc}; it is as it was") from exc
            raise
