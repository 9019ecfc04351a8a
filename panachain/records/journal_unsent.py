"""What batches that aren't on chain were sealed for, and what of them must be uploaded again.

Between sealing and sending a program may be ended, and a patient may rotate lanes, close a kind or end the pairing. So
each batch says by which of a patient's pairings it was sealed; what is taken out of one that wasn't sent stays named
here, by a keyed or hashed name of its source, until that source is published; and the blocks that nobody shall find any
more are listed before the first of them is deleted, so that a second end in the middle changes nothing.
Part of the upload journal (records/journal.py). Journals of earlier versions lack these tables' rows, and then the
headers say it. Never holds a key or plaintext. Follows ADR 84.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from panachain.model.actors import Address

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sealed_for (
    sequence INTEGER NOT NULL, -- of the batch
    patient  TEXT NOT NULL,
    epoch    INTEGER NOT NULL, -- of the pairing by which their records in it were sealed
    terms    BLOB NOT NULL,    -- keyed fingerprint of what that pairing said of where records go
    PRIMARY KEY (sequence, patient)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS once_mined (
    sequence INTEGER PRIMARY KEY -- of a batch that was on chain before a reorganisation took it away
);
CREATE TABLE IF NOT EXISTS lacking (
    patient TEXT NOT NULL,
    source  BLOB NOT NULL,     -- what identifies a source that must be uploaded again
    scope   TEXT NOT NULL,     -- the narrowest lane in which some of its records would have lain
    records INTEGER NOT NULL,  -- how many of them
    why     TEXT NOT NULL,     -- the name of a reason (sdk/unsent.py)
    PRIMARY KEY (patient, source, scope)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unwanted (
    cid     TEXT PRIMARY KEY,  -- of a block that nobody shall find any more
    is_list INTEGER NOT NULL   -- whether it is a batch list, which is pinned
) WITHOUT ROWID;
"""


class Kind(Enum):
    """What a batch holds, which decides what becomes of it if it can't be sent as it is."""

    RECORDS = "records of sources"
    ORDERS = "what patients asked for"
    """Records that were moved or sealed anew, refusals: the command that made it does it again."""
    STATEMENTS = "statements"
    """Of the hospital about its records, in the lanes where these lie: nothing that could be read is in them."""


@dataclass(frozen=True)
class SealedFor:
    """By what a patient's records in a batch were sealed."""

    patient: Address
    epoch: int
    terms: bytes
    """Keyed fingerprint; empty if the journal is of an earlier version, which didn't note it."""


@dataclass(frozen=True)
class Lacking:
    """What of one patient must be uploaded again."""

    patient: Address
    why: str
    sources: int
    records: int
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """What a batch is without some patients' records."""

    sequence: int
    manifest: str
    """CID of the manifest's root; empty if nothing is left."""
    list_cid: str
    unwanted: Collection[str]
    """CIDs of the blocks that nobody shall find any more."""
    old_list: str
    likenesses: Mapping[str, bytes]
    """What tells each record of an earlier batch that is of the same source as one that was taken out, by header."""


class UnsentBatches:
    """The batches of one journal that may have to be sealed again."""

    def __init__(self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[None]]) -> None:
        """Take the journal's database, and what makes a transaction of it."""
        self._db = db
        self._writing = writing

    def write(self, sealed: Iterable[SealedFor], sequence: int) -> None:
        """Write by what a batch was sealed, within the transaction that writes the batch."""
        self._db.executemany(
            "INSERT OR REPLACE INTO sealed_for VALUES (?, ?, ?, ?)",
            [(sequence, one.patient, one.epoch, one.terms) for one in sealed],
        )

    def vanish(self, sequence: int) -> None:
        """Write that a batch was on chain, within the transaction that writes that it isn't any more."""
        self._db.execute("INSERT OR IGNORE INTO once_mined VALUES (?)", (sequence,))

    def was_mined(self, sequence: int) -> bool:
        """Tell whether a batch was on chain before a reorganisation took it away."""
        return self._db.execute("SELECT 1 FROM once_mined WHERE sequence = ?", (sequence,)).fetchone() is not None

    def sealed_for(self, sequence: int) -> dict[Address, SealedFor]:
        """Return by what a batch's records were sealed, as far as the journal knows."""
        rows = self._db.execute("SELECT patient, epoch, terms FROM sealed_for WHERE sequence = ?", (sequence,))
        return {patient: SealedFor(patient, epoch, terms) for patient, epoch, terms in rows}

    def list_of(self, sequence: int) -> str:
        """Return the CID of a batch's list; empty if it isn't known."""
        row = self._db.execute("SELECT list FROM batch WHERE sequence = ?", (sequence,)).fetchone()
        return "" if row is None else str(row[0])

    def scopes(self, sequence: int) -> dict[Address, set[str]]:
        """Return whose records are in a batch, with their narrowest lanes."""
        found: dict[Address, set[str]] = {}
        for patient, scope in self._db.execute(
            "SELECT DISTINCT patient, scope FROM record WHERE sequence = ?", (sequence,)
        ):
            found.setdefault(Address(patient), set()).add(scope)
        return found

    def kind(self, sequence: int) -> Kind:
        """Return what a batch holds."""
        for table in ("moved", "followed", "refused_erasure"):
            if self._db.execute(f"SELECT 1 FROM {table} WHERE sequence = ?", (sequence,)).fetchone():  # noqa: S608
                return Kind.ORDERS
        asked = "SELECT 1 FROM record WHERE sequence = ? AND source != x''"
        return Kind.RECORDS if self._db.execute(asked, (sequence,)).fetchone() else Kind.STATEMENTS

    def beside(self, sequence: int, patients: Collection[Address]) -> list[str]:
        """Return the headers of records of earlier batches whose sources have records of these patients in a batch."""
        asked = (
            "SELECT header FROM record r WHERE sequence != ? AND patient = ? AND (patient, source) IN"
            " (SELECT patient, source FROM record WHERE sequence = ? AND patient = ?) AND NOT EXISTS"
            " (SELECT 1 FROM unfinished u WHERE (u.patient, u.source, u.part) = (r.patient, r.source, r.part))"
        )
        rows = (self._db.execute(asked, (sequence, one, sequence, one)) for one in sorted(patients))
        return [header for found in rows for (header,) in found]

    def cut(self, made: Cut, why: Mapping[Address, str]) -> None:
        """Take some patients' records out of a batch that isn't on chain; their sources count as new.

        Args:
            made: what the batch is without them.
            why: the name of a reason for each patient.
        """
        sequence = made.sequence
        with self._writing():
            self.unwant(made.unwanted, made.old_list)
            for patient, reason in why.items():
                whose = patient, sequence
                of_it = "(SELECT source FROM record WHERE patient = ? AND sequence = ?)"
                self._db.execute(
                    "INSERT OR REPLACE INTO lacking SELECT patient, source, scope, count(*), ? FROM record"
                    " WHERE patient = ? AND sequence = ? GROUP BY patient, source, scope",
                    (reason, *whose),
                )
                # What is published of them already is known by its content: they may be cut in another way now.
                self._db.executemany(
                    "INSERT INTO unfinished SELECT patient, source, part, sequence, ? FROM record"
                    " WHERE header = ? AND patient = ?",
                    [(likeness, header, patient) for header, likeness in made.likenesses.items() if likeness],
                )
                self._db.execute(
                    f"DELETE FROM source WHERE patient = ? AND source IN {of_it}",  # noqa: S608
                    (patient, *whose),
                )
                for table in ("unfinished", "resource", "record", "sealed_for"):
                    self._db.execute(f"DELETE FROM {table} WHERE patient = ? AND sequence = ?", whose)  # noqa: S608
            # Their nonces are used up.
            self._db.execute("DELETE FROM sent WHERE sequence = ?", (sequence,))
            if made.manifest:
                self._db.execute(
                    "UPDATE batch SET manifest = ?, list = ?, count = (SELECT count(*) FROM record WHERE sequence = ?)"
                    " WHERE sequence = ?",
                    (made.manifest, made.list_cid, sequence, sequence),
                )
            else:
                for table in ("batch", "adopted", "once_mined"):
                    self._db.execute(f"DELETE FROM {table} WHERE sequence = ?", (sequence,))  # noqa: S608

    def forget(self, first: int) -> None:
        """Forget by what batches from a sequence on were sealed, within the transaction that forgets them."""
        for table in ("sealed_for", "once_mined"):
            self._db.execute(f"DELETE FROM {table} WHERE sequence >= ?", (first,))  # noqa: S608

    def unwant(self, cids: Collection[str], old_list: str) -> None:
        """Write which blocks of a batch nobody shall find any more, within the transaction that forgets it.

        Args:
            cids: of the blocks.
            old_list: CID of the batch's list, which is pinned; empty if it isn't known.
        """
        self._db.executemany("INSERT OR IGNORE INTO unwanted VALUES (?, 0)", [(one,) for one in cids])
        if old_list:
            self._db.execute("INSERT OR REPLACE INTO unwanted VALUES (?, 1)", (old_list,))
        # Of what goes it needn't be known any more which list of words it names.
        self._db.execute("DELETE FROM word_list WHERE inventory IN (SELECT cid FROM unwanted)")

    def unwanted(self) -> list[tuple[str, bool]]:
        """Return the blocks that nobody shall find any more and that may be there, each with whether it is a list."""
        return [(cid, bool(is_list)) for cid, is_list in self._db.execute("SELECT cid, is_list FROM unwanted")]

    def gone(self) -> None:
        """Write that these blocks are deleted."""
        with self._writing():
            self._db.execute("DELETE FROM unwanted")

    def done(self, sources: Iterable[bytes]) -> None:
        """Write that sources are published, within the transaction that writes it.

        For whomever: what a patient's carer had goes to the patient once the wardship is over, and what lay under one
        account of a person goes to the next.
        """
        # Almost always there is nothing: each upload comes by here.
        if self._db.execute("SELECT 1 FROM lacking").fetchone():
            self._db.executemany("DELETE FROM lacking WHERE source = ?", [(one,) for one in sources])

    def lacking(self, patients: Collection[Address] | None = None) -> list[Lacking]:
        """Return what must be uploaded again, of everybody or of some patients."""
        found: dict[tuple[str, str], list[tuple[bytes, str, int]]] = {}
        rows = self._db.execute("SELECT patient, why, source, scope, records FROM lacking ORDER BY patient, why, scope")
        for patient, why, *rest in rows:
            if patients is None or patient in patients:
                found.setdefault((patient, why), []).append((rest[0], rest[1], rest[2]))
        return [
            Lacking(
                Address(patient),
                why,
                len({source for source, _, _ in mine}),
                sum(count for _, _, count in mine),
                tuple(dict.fromkeys(scope for _, scope, _ in mine)),
            )
            for (patient, why), mine in found.items()
        ]
