"""The tables of a chain's copy: headers, logs under what they are searched by, and what must not be forgotten.

A log's contract and first topic together are its `kind`, one number; so an index holds 8 bytes in place of 52, and
what a question asks for stands together on the disk. Follows docs/spec/follower.md (section "Tables").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header
from panachain.errors import IntegrityError
from panachain.follow.database import Session
from panachain.follow.derived import Derived

VERSION: Final = 2
"""Of the tables; a copy of another version is made anew."""
_TABLES: Final = {
    "header": "number {number} PRIMARY KEY, hash {bytes} NOT NULL, time {number} NOT NULL",
    # topic1 to topic3 without their leading zeros; empty for none, so that an index may hold them.
    "log": "kind {number} NOT NULL, block {number} NOT NULL, place {number} NOT NULL, topic1 {bytes} NOT NULL,"
    " topic2 {bytes} NOT NULL, topic3 {bytes} NOT NULL, data {bytes} NOT NULL, tx {bytes} NOT NULL,"
    " PRIMARY KEY (kind, block, place)",
}
_INDEXES: Final = {
    # Without what is empty, since most events have one topic besides their name: a third less to write at a first sync.
    **{f"log_topic{place}": f"log (kind, topic{place}) WHERE topic{place} <> {{empty}}" for place in (1, 2, 3)},
    "log_block": "log (block)",
}
_DERIVED: Final = "derived/"
"""How names of the table `meta` begin that say how far derived tables go."""
_META: Final = "name TEXT PRIMARY KEY, value TEXT NOT NULL"


class Tables:
    """The tables of one chain; a prefix keeps several chains apart in one database."""

    def __init__(self, chain: str, *, prefix: str = "") -> None:
        """Take what tells this chain and its contracts from others.

        Args:
            chain: a copy that was made for another one is made anew.
            prefix: of the tables' names.
        """
        self._wanted = f"{VERSION}/{chain}"
        self.header, self.log, self._meta = f"{prefix}header", f"{prefix}log", f"{prefix}meta"
        self._prefix = prefix
        self._hint = ""
        self._types: dict[str, str] = {}

    def prepare(self, session: Session, types: dict[str, str]) -> None:
        """Make what is missing, and all anew where the version or the chain is another one."""
        self._hint, self._types = types["hint"], types
        session.run(f"CREATE TABLE IF NOT EXISTS {self._meta} ({_META})")
        if self.recall(session, "chain") == self._wanted:
            return
        for name, columns in _TABLES.items():
            session.run(f"DROP TABLE IF EXISTS {self._prefix}{name}")
            tail = types["ordered"] if name == "log" else ""
            session.run(f"CREATE TABLE {self._prefix}{name} ({columns.format_map(types)}){tail}")
        # What was derived from the old logs goes with them.
        for table in self._derived_tables(session):
            session.run(f"DROP TABLE IF EXISTS {table}")
        for name, on in _INDEXES.items():
            session.run(f"CREATE INDEX {self._prefix}{name} ON {self._prefix}{on.format_map(types)}")
        session.run(f"DELETE FROM {self._meta}")
        self.remember(session, "chain", self._wanted)

    def recall(self, session: Session, name: str) -> str | None:
        """Return what was remembered under a name."""
        row = session.run(f"SELECT value FROM {self._meta} WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, session: Session, name: str, value: str) -> None:
        """Remember something under a name, in place of what was there."""
        session.run(f"DELETE FROM {self._meta} WHERE name = ?", (name,))
        session.run(f"INSERT INTO {self._meta} (name, value) VALUES (?, ?)", (name, value))

    def newest(self, session: Session) -> tuple[int, bytes, int] | None:
        """Return number, hash and time of the newest header, or None."""
        row = session.run(f"SELECT number, hash, time FROM {self.header} ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def header_at(self, session: Session, number: int) -> tuple[bytes, int] | None:
        """Return hash and time of one header, or None."""
        row = session.run(f"SELECT hash, time FROM {self.header} WHERE number = ?", (number,)).fetchone()
        return None if row is None else (row[0], row[1])

    def forget_above(self, session: Session, number: int) -> None:
        """Take away all that stands above a block."""
        session.run(f"DELETE FROM {self.log} WHERE block > ?", (number,))
        session.run(f"DELETE FROM {self.header} WHERE number > ?", (number,))
        for name, state in self._derived(session).items():
            if state["upto"] > number:
                for table in state["tables"]:
                    session.run(f"DELETE FROM {table} WHERE block > ?", (number,))
                self.remember(session, name, json.dumps(state | {"upto": number}))

    def names_of(self, made: Derived) -> Mapping[str, str]:
        """Return what derived tables are called in this database, and the one of the headers."""
        return {"header": self.header, **{table: f"{self._prefix}{made.name}_{table}" for table in made.tables}}

    def derived_upto(self, session: Session, made: Derived) -> int | None:
        """Return the block up to which derived tables go; None where they must be made."""
        state = self._derived(session).get(_DERIVED + made.name)
        return state["upto"] if state is not None and state["version"] == made.version else None

    def make_derived(self, session: Session, made: Derived, upto: int) -> None:
        """Make derived tables, empty, and note that nothing up to a block is missing in them."""
        names = self.names_of(made)
        for table in self._derived(session).get(_DERIVED + made.name, {"tables": ()})["tables"]:
            session.run(f"DROP TABLE IF EXISTS {table}")
        for table, columns in made.tables.items():
            session.run(f"CREATE TABLE {names[table]} ({columns.format_map(self._types)})")
        for index, on in made.indexes.items():
            session.run(f"CREATE INDEX {self._prefix}{made.name}_{index} ON {self._prefix}{made.name}_{on}")
        self.reach_derived(session, made, upto)

    def reach_derived(self, session: Session, made: Derived, upto: int) -> None:
        """Note that derived tables hold everything up to a block."""
        names = self.names_of(made)
        state = {"version": made.version, "tables": [names[table] for table in made.tables], "upto": upto}
        self.remember(session, _DERIVED + made.name, json.dumps(state))

    def _derived(self, session: Session) -> dict[str, Any]:
        # By its range, since `LIKE` is written in another way for each database.
        rows = session.run(
            f"SELECT name, value FROM {self._meta} WHERE name > ? AND name < ?", (_DERIVED, _DERIVED[:-1] + "0")
        ).fetchall()
        return {name: json.loads(value) for name, value in rows}

    def _derived_tables(self, session: Session) -> list[str]:
        return [table for state in self._derived(session).values() for table in state["tables"]]

    def add(self, session: Session, headers: Iterable[Header], logs: Iterable[Log]) -> None:
        """Put in headers, and logs of their blocks."""
        session.run_many(
            f"INSERT INTO {self.header} (number, hash, time) VALUES (?, ?, ?)",
            [(one.number, bytes.fromhex(one.hash[2:]), one.time) for one in headers],
        )
        session.run_many(
            f"INSERT INTO {self.log} (kind, block, place, topic1, topic2, topic3, data, tx)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [_row(one) for one in logs],
        )

    def select(
        self, kinds: Sequence[int], topics: Sequence[Sequence[bytes] | None], first: int, last: int
    ) -> tuple[str, list[Any]]:
        """Return the statement that finds logs in the order of the chain, and its values.

        Args:
            kinds: of which a log must have one; at least one.
            topics: for the second topic and those after it, of which words it must be one; None takes all.
            first: block.
            last: block.
        """
        where, values = [_one_of("kind", kinds)], list[Any](kinds)
        given = {
            place: [short(word) for word in words] for place, words in enumerate(topics, start=1) if words is not None
        }
        # SQLite knows nothing of how rows are spread, and would search by blocks: what has the wanted topic is less.
        indexed = min((one for one in given if all(given[one])), key=lambda one: len(given[one]), default=0)
        hint = self._hint.format(index=f"{self._prefix}log_topic{indexed}") if indexed else ""
        where.append("l.block BETWEEN ? AND ?")
        values += [first, last]
        for place, words in given.items():
            where.append(_one_of(f"topic{place}", words))
            values += words
        if indexed:
            # In the index's own words, or a database doesn't see that the index holds all that is wanted.
            where.append(f"l.topic{indexed} <> {self._types['empty']}")
        columns = "l.kind, l.block, l.place, l.topic1, l.topic2, l.topic3, l.data, l.tx, h.hash"
        joined = f"{self.log} l{hint} JOIN {self.header} h ON h.number = l.block"
        return f"SELECT {columns} FROM {joined} WHERE {' AND '.join(where)} ORDER BY l.block, l.place", values


@lru_cache(maxsize=256)
def kind_of(address: bytes, topic: bytes) -> int:
    """Return the number under which logs of one contract and one event stand: 63 bits of a hash of both."""
    return int.from_bytes(hashlib.sha256(address + topic).digest()[:8], "big") >> 1


def short(topic: bytes) -> bytes:
    """Return a topic without its leading zeros: most are addresses and small numbers."""
    return topic.lstrip(b"\0")


def _one_of(column: str, values: Sequence[Any]) -> str:
    return f"l.{column} = ?" if len(values) == 1 else f"l.{column} IN ({', '.join('?' * len(values))})"


def _row(log: Log) -> tuple[Any, ...]:
    topics = log.topics
    count = len(topics)
    # Without a loop: a first sync makes hundreds of thousands of rows.
    return (
        kind_of(log.address, topics[0] if count else b""),
        log.block,
        log.place,
        topics[1].lstrip(b"\0") if count > 1 else b"",
        topics[2].lstrip(b"\0") if count > 2 else b"",
        topics[3].lstrip(b"\0") if count > 3 else b"",
        log.data,
        _digest(log.tx_hash),
    )


@lru_cache(maxsize=64)
def _digest(text: str) -> bytes:
    """Return the bytes of a transaction's hash, of which neighbouring logs have the same.

    Raises:
        IntegrityError: it is no hash.
    """
    try:
        return bytes.fromhex(text[2:])
    except ValueError as exc:
        raise IntegrityError("a log names no transaction") from exc
