"""Which versions of which resources a hospital published, so that a new export publishes only what changed.

Part of the upload journal (records/journal.py). Keyed fingerprints only: neither ids nor content can be read in it.
Follows ADR 28.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from panachain.model.actors import Address
from panachain.records.versions import newest, same_server

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS resource (
    patient  TEXT NOT NULL,
    name     BLOB NOT NULL,   -- keyed fingerprint of type and id
    base     BLOB NOT NULL,   -- of the server's address; empty if it isn't known
    stamp    BLOB NOT NULL,   -- of version, time of the version and content
    print    BLOB NOT NULL,   -- of the content
    rank     INTEGER,         -- the version, if it is a number
    updated  REAL,            -- Unix seconds of the version, if it says so
    scope    TEXT NOT NULL,   -- the narrowest lane of its record
    source   BLOB NOT NULL,   -- from which source
    sequence INTEGER NOT NULL -- of the batch; 0 if the journal was lost since
);
CREATE INDEX IF NOT EXISTS resource_name ON resource (patient, name);
"""


@dataclass(frozen=True)
class KnownResource:
    """A version of a resource that is published, or is in the batch that is being filled."""

    patient: Address
    name: bytes
    base: bytes
    stamp: bytes
    """Empty if the version says neither its number nor its time."""
    print: bytes
    rank: int | None
    updated: float | None
    scope: str
    source: bytes
    sequence: int = 0


class KnownResources:
    """The versions of resources in one journal."""

    def __init__(self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[None]]) -> None:
        """Take the journal's database, and what makes a transaction of it."""
        self._db = db
        self._writing = writing
        self._new: set[Address] = set()
        """Patients of whom there is no version."""

    def of(self, patient: Address, name: bytes) -> list[KnownResource]:
        """Return the versions of a resource, in the order of publication."""
        if patient in self._new:
            return []
        rows = self._db.execute(
            "SELECT patient, name, base, stamp, print, rank, updated, scope, source, sequence FROM resource"
            " WHERE patient = ? AND name = ? ORDER BY sequence, rowid",
            (patient, name),
        )
        found = [KnownResource(*row) for row in rows]
        if not found and not self._db.execute("SELECT 1 FROM resource WHERE patient = ?", (patient,)).fetchone():
            # A first upload asks this of each of thousands of resources.
            self._new.add(patient)
        return found

    def write(self, resources: Iterable[KnownResource], sequence: int) -> None:
        """Write versions of a batch, within the transaction that writes the batch."""
        self._new.clear()
        self._db.executemany(
            "INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (r.patient, r.name, r.base, r.stamp, r.print, r.rank, r.updated, r.scope, r.source, sequence)
                for r in resources
            ],
        )

    def move(self, elsewhere: Iterable[tuple[KnownResource, str]]) -> None:
        """Write that versions lie elsewhere now, within the transaction that writes the batch.

        Args:
            elsewhere: each version as it was, with the narrowest lane of its record now.
        """
        self._db.executemany(
            "UPDATE resource SET scope = ? WHERE patient = ? AND name = ? AND stamp = ? AND print = ? AND scope = ?",
            [(scope, r.patient, r.name, r.stamp, r.print, r.scope) for r, scope in elsewhere],
        )

    def learn(self, resources: Iterable[KnownResource]) -> None:
        """Write versions that were published before, as their source shows."""
        with self._writing():
            self.write(resources, 0)


def is_known(version: KnownResource, published: list[KnownResource], *, anywhere: bool = False) -> bool:
    """Tell whether a version is published, in its place.

    It is if the very version is; or if the newest one that is has the same content, whatever they are numbered.

    Args:
        version: the version.
        published: all of its type and id, in the order of publication.
        anywhere: whether it may be in any place, as a deletion is wherever the resource was.
    """
    same = [published[place] for place in same_server([one.base for one in published], version.base)]
    if not same:
        return False
    if version.stamp and any(one.stamp == version.stamp and (anywhere or one.scope == version.scope) for one in same):
        return True
    last = same[newest([(one.rank, one.updated, (place,)) for place, one in enumerate(same)])]
    return last.print == version.print and (anywhere or last.scope == version.scope)
