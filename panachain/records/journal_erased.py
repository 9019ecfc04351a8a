"""Which records a hospital erases, how far it is with each, and what its journal forgets and keeps of them.

A record's blocks are listed here before the first of them is deleted, and the list goes when each was looked for and
not found: so a run that is killed at any moment is finished by the next one, and nothing counts as gone that wasn't
looked for. What a source or a resource is known by stays: keyed fingerprints, without which the next export would
publish the record again.
Part of the upload journal (records/journal.py). Follows ADR 59.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from panachain.errors import DiskError
from panachain.model.actors import Address

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS erasure (
    header    TEXT PRIMARY KEY, -- CID of the header that the record had last
    content   TEXT NOT NULL,    -- CID of its sealed content
    patient   TEXT NOT NULL,
    category  TEXT NOT NULL,
    year      INTEGER NOT NULL,
    emergency INTEGER NOT NULL, -- whether the emergency lane had it although its category isn't in there
    asked     INTEGER NOT NULL, -- whether its patient asked for it
    sequence  INTEGER NOT NULL, -- of the batch with the statement that says so
    gone_at   INTEGER,          -- Unix seconds at which none of its blocks was in any store
    blocks    INTEGER,          -- how many these were
    stores    INTEGER,          -- in how many stores they were looked for
    attested  INTEGER           -- sequence of the batch with the attestation
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused_erasure (
    block    TEXT NOT NULL,     -- CID of the patient's order
    content  TEXT NOT NULL,     -- CID of the sealed content that the hospital doesn't erase
    sequence INTEGER NOT NULL,  -- of the batch that tells the patient why
    PRIMARY KEY (block, content)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erasing_block (
    header TEXT NOT NULL,       -- of the record
    cid    TEXT NOT NULL,       -- of a block that goes with it
    PRIMARY KEY (header, cid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS word_list (
    inventory TEXT PRIMARY KEY, -- CID of an inventory, which is sealed for the patient
    words     TEXT NOT NULL     -- CID of the list of words that it names; empty if it names none
) WITHOUT ROWID;
"""
_WORDS_LEFT: Final = """
CREATE TABLE words_left (
    header TEXT PRIMARY KEY     -- of an erased record of whose list of words this journal doesn't know where it lies
) WITHOUT ROWID
"""

_COLUMNS: Final = (
    "header, content, patient, category, year, emergency, asked, sequence, gone_at, blocks, stores, attested"
)


@dataclass(frozen=True)
class Erasing:
    """A record that a batch says is erased."""

    header: str
    content: str
    patient: Address
    category: str
    year: int
    emergency: bool
    asked: bool
    """Whether its patient asked for it; else the hospital does it of its own accord."""
    blocks: tuple[str, ...] = ()
    """CIDs of all blocks that go with it; none in what the journal returns."""
    words_left: bool = False
    """Whether the list of its words may be left, since nobody here knows where it lies: then nothing is attested."""


@dataclass(frozen=True)
class ErasureState:
    """How far a journal is with one record."""

    erasing: Erasing
    sequence: int
    """Of the batch that said so."""
    gone_at: int | None
    """Unix seconds at which none of its blocks was in any store."""
    blocks: int
    stores: int
    attested: int | None
    """Sequence of the batch with the attestation."""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables, and tell of erasures that an earlier version began that their words may be left.

    Such a version knew of no list of words: it neither listed them for deletion nor looked for them.
    """
    db.executescript(SCHEMA)
    if _knows_words(db):
        return
    # One change: a table that is there has all of them, whenever the program was killed.
    db.execute("BEGIN IMMEDIATE")
    try:
        if not _knows_words(db):
            db.execute(_WORDS_LEFT)
            db.execute("INSERT INTO words_left SELECT header FROM erasure WHERE attested IS NULL")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _knows_words(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words_left'").fetchone() is not None


class JournalErasures:
    """The erasures in one journal."""

    def __init__(self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[None]]) -> None:
        """Take the journal's database, and what makes a transaction of it."""
        self._db = db
        self._writing = writing

    def write(self, erasing: Sequence[Erasing], sequence: int) -> None:
        """Write what a batch erases, and forget these records, within the transaction that writes the batch."""
        for one in erasing:
            self._db.execute(
                "INSERT OR REPLACE INTO erasure VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)",
                (one.header, one.content, one.patient, one.category, one.year, one.emergency, one.asked, sequence),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO erasing_block VALUES (?, ?)", [(one.header, cid) for cid in one.blocks]
            )
            if one.words_left:
                self._db.execute("INSERT OR IGNORE INTO words_left VALUES (?)", (one.header,))
            # A version of the same source would not be compared with it: the same content, cut anew, would be news.
            self._db.execute(
                "UPDATE resource SET source = x'' WHERE (patient, source, scope) IN"
                " (SELECT patient, source, scope FROM record WHERE header = ?)",
                (one.header,),
            )
            for table in ("record", "nameless"):
                self._db.execute(f"DELETE FROM {table} WHERE header = ?", (one.header,))  # noqa: S608
            # Manifests that are merged leave it out: the batch's statement stands for it.
            self._db.execute("INSERT OR IGNORE INTO moved VALUES (?, '', '', ?, 1)", (one.header, sequence))

    def know(self, lists: Iterable[tuple[str, str]]) -> None:
        """Write which lists of words a batch's inventories name, within the transaction that writes the batch."""
        self._db.executemany("INSERT OR REPLACE INTO word_list VALUES (?, ?)", lists)

    def words_of(self, inventory: str) -> str | None:
        """Return which list of words an inventory names: empty if it names none, None if that isn't known."""
        row = self._db.execute("SELECT words FROM word_list WHERE inventory = ?", (inventory,)).fetchone()
        return None if row is None else str(row[0])

    def refuse(self, refused: Iterable[tuple[str, str]], sequence: int) -> None:
        """Write what a batch refuses, as orders and contents, within the transaction that writes the batch."""
        self._db.executemany(
            "INSERT OR IGNORE INTO refused_erasure VALUES (?, ?, ?)", [(*one, sequence) for one in refused]
        )

    def is_refused(self, order: str, content: str) -> bool:
        """Tell whether the hospital refused to erase a content that an order names."""
        asked = "SELECT 1 FROM refused_erasure WHERE block = ? AND content = ?"
        return self._db.execute(asked, (order, content)).fetchone() is not None

    def has(self, content: str) -> bool:
        """Tell whether a batch says that a content is erased."""
        return self._db.execute("SELECT 1 FROM erasure WHERE content = ?", (content,)).fetchone() is not None

    def attest(self, headers: Iterable[str], sequence: int) -> None:
        """Write which records a batch attests, within the transaction that writes the batch."""
        self._db.executemany("UPDATE erasure SET attested = ? WHERE header = ?", [(sequence, one) for one in headers])

    def is_unfinished(self, header: str) -> bool:
        """Tell whether a record's source isn't wholly published yet: the next upload would publish the record again."""
        row = self._db.execute(
            "SELECT 1 FROM record r JOIN unfinished u ON u.patient = r.patient AND u.source = r.source"
            " WHERE r.header = ?",
            (header,),
        ).fetchone()
        return row is not None

    def due(self) -> list[tuple[Erasing, tuple[str, ...]]]:
        """Return the records whose statement is on chain, and whose blocks weren't all looked for yet, with those."""
        rows = self._states("gone_at IS NULL AND sequence IN (SELECT sequence FROM batch WHERE block IS NOT NULL)")
        return [(one.erasing, self._blocks(one.erasing.header)) for one in rows]

    def gone(self, header: str, *, at: int, stores: int) -> None:
        """Write that each of a record's blocks was looked for, and forget which these were.

        Args:
            header: which record.
            at: Unix seconds.
            stores: in how many stores they were looked for.
        """
        with self._writing():
            self._db.execute(
                "UPDATE erasure SET gone_at = ?, stores = ?,"
                " blocks = (SELECT count(*) FROM erasing_block b WHERE b.header = erasure.header) WHERE header = ?",
                (at, stores, header),
            )
            self._db.execute(
                "DELETE FROM word_list WHERE inventory IN (SELECT cid FROM erasing_block WHERE header = ?)", (header,)
            )
            self._db.execute("DELETE FROM erasing_block WHERE header = ?", (header,))

    def unattested(self) -> list[ErasureState]:
        """Return the records that are gone with all their words, and of which no batch says so yet."""
        return self._states(
            "gone_at IS NOT NULL AND attested IS NULL AND header NOT IN (SELECT header FROM words_left)"
        )

    def wordless(self) -> list[ErasureState]:
        """Return the records that are gone, but whose words may be left: nothing is attested of them."""
        return self._states("gone_at IS NOT NULL AND attested IS NULL AND header IN (SELECT header FROM words_left)")

    def all(self) -> list[ErasureState]:
        """Return all that was ever erased, in the order of publication of what says so."""
        return self._states("1")

    def settle_file(self) -> None:
        """Leave nothing of what was deleted in the journal's log, a file beside it.

        Raises:
            DiskError: somebody reads in it meanwhile, or the disk refuses.
        """
        try:
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as exc:
            raise DiskError(f"the log of the upload journal can't be emptied: {exc}") from exc
        if busy:
            raise DiskError("the log of the upload journal can't be emptied: another program reads in it")

    def forget(self, first: int) -> None:
        """Forget what batches from a sequence on say, within the transaction that forgets them."""
        self._db.execute(
            "DELETE FROM erasing_block WHERE header IN (SELECT header FROM erasure WHERE sequence >= ?)", (first,)
        )
        self._db.execute(
            "DELETE FROM words_left WHERE header IN (SELECT header FROM erasure WHERE sequence >= ?)", (first,)
        )
        self._db.execute("DELETE FROM erasure WHERE sequence >= ?", (first,))
        self._db.execute("UPDATE erasure SET attested = NULL WHERE attested >= ?", (first,))
        self._db.execute("DELETE FROM refused_erasure WHERE sequence >= ?", (first,))

    def _blocks(self, header: str) -> tuple[str, ...]:
        rows = self._db.execute("SELECT cid FROM erasing_block WHERE header = ? ORDER BY cid", (header,))
        return tuple(cid for (cid,) in rows)

    def _states(self, condition: str) -> list[ErasureState]:
        # The conditions are the fixed ones above.
        left = "header IN (SELECT header FROM words_left)"
        asked = f"SELECT {_COLUMNS}, {left} FROM erasure WHERE {condition} ORDER BY sequence, header"  # noqa: S608
        found = []
        for header, content, patient, category, year, emergency, asked_for, *state in self._db.execute(asked):
            sequence, gone_at, blocks, stores, attested, words_left = state
            one = Erasing(
                header,
                content,
                patient,
                category,
                year,
                bool(emergency),
                bool(asked_for),
                words_left=bool(words_left),
            )
            found.append(ErasureState(one, sequence, gone_at, blocks or 0, stores or 0, attested))
        return found
