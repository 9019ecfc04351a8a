"""Tables that follow from a chain's events, such as an index: kept beside the copy, and as safe from reorganisations.

They are filled from the copy in the transaction that says how far they go, and what a reorganisation takes away leaves
them in the transaction that takes it away. Follows docs/spec/follower.md (section "Derived tables").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from panachain.chain.logs import EventSource
from panachain.follow.database import Session, Values
from panachain.model.block import Block

Rows = Mapping[str, Sequence[Values]]
"""Rows by the names of their tables."""
Read = Callable[[int, int], Rows]
"""Returns what the blocks from the first to the last one add."""
_TYPES: Final = {"number": "INTEGER", "bytes": "BLOB"}


@dataclass(frozen=True)
class Derived:
    """Tables that follow from events."""

    name: str
    """Lower-case letters."""
    version: int
    """Of the tables; those of another one are made anew."""
    tables: Mapping[str, str]
    """Columns by the tables' names, with `{number}` and `{bytes}` for types; each table has the number `block`."""
    indexes: Mapping[str, str]
    """What is indexed, such as `policy (policy_id)`, by the indexes' names."""


@dataclass(frozen=True)
class Derivation:
    """Derived tables as of one block, in one state."""

    session: Session
    block: Block
    names: Mapping[str, str]
    """What the tables are called in statements; `header` is that of the blocks: `number`, `hash`, `time`."""


@runtime_checkable
class Deriving(Protocol):
    """What keeps derived tables: `follow.follower.Follower`."""

    def derived(self, made: Derived, read: Read) -> AbstractContextManager[Derivation]:
        """Return derived tables, brought up to the newest block."""
        ...


@contextmanager
def derived(source: EventSource, made: Derived, read: Read, *, from_block: int) -> Iterator[Derivation]:
    """Yield derived tables, brought up to the newest block.

    Args:
        source: of the events that `read` reads. One that keeps nothing gets tables that are gone afterwards.
        made: which tables.
        read: reads what blocks add.
        from_block: the block of the deployment.

    Raises:
        DiskError: the copy can't be written.
    """
    if isinstance(source, Deriving):
        with source.derived(made, read) as found:
            yield found
        return
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with source.pinned():
            head = source.head()
            rows = read(from_block, head.number)
            numbers = {row[0] for several in rows.values() for row in several}
            blocks = [source.block(number) for number in sorted(numbers)]
        session = _MemorySession(database)
        session.run("CREATE TABLE header (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, time INTEGER NOT NULL)")
        session.run_many(
            "INSERT INTO header VALUES (?, ?, ?)",
            [(one.number, bytes.fromhex(one.hash[2:]), one.time) for one in blocks],
        )
        for table, columns in made.tables.items():
            session.run(f"CREATE TABLE {table} ({columns.format_map(_TYPES)})")
        insert(session, {table: table for table in made.tables}, rows)
        yield Derivation(session, head, {"header": "header", **{table: table for table in made.tables}})
    finally:
        database.close()


def insert(session: Session, names: Mapping[str, str], rows: Rows) -> None:
    """Put rows into derived tables.

    Args:
        session: a transaction that writes.
        names: what the tables are called.
        rows: each begins with its block.
    """
    for table, several in rows.items():
        if several:
            marks = ", ".join("?" * len(several[0]))
            session.run_many(f"INSERT INTO {names[table]} VALUES ({marks})", several)  # noqa: S608


class _MemorySession:
    """A session over a database in memory."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Take the database."""
        self._database = database

    def run(self, statement: str, values: Values = ()) -> Any:
        """Run a statement with `?` for each value, and return its rows."""
        return self._database.execute(statement, values)

    def run_many(self, statement: str, rows: Any) -> None:
        """Run a statement once for each row."""
        self._database.executemany(statement, rows)
