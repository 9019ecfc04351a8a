"""The index of storage and policy transactions, in SQLite, and the queries over it.

It reads the checked copy of the chain (panachain/follow/), under one head for each question, and asks no node. Holds
public data only, and none that the chain doesn't show: it can be deleted and is built anew. A reorganisation is found
by the stored block hashes; what lies above the last common block is read again.
Follows docs/spec/cli.md, section "Values".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from panachain.chain.mainchain import Mainchain
from panachain.errors import DiskError, UsageError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category, Purpose
from panachain.model.transactions import Block
from panachain.private_files import private_file

VERSION: Final = 2
"""Of the tables; an index of another version is made anew."""
_MOST: Final = (1 << 63) - 1
"""The largest number that SQLite holds."""
_META: Final = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
_TABLES: Final = {
    "block": "number INTEGER PRIMARY KEY, hash TEXT NOT NULL, time INTEGER NOT NULL",
    "storage": """
    block INTEGER, log INTEGER, tx TEXT, hospital TEXT, sequence INTEGER, manifest TEXT, count INTEGER, previous TEXT,
    PRIMARY KEY (block, log)
""",
    "policy": """
    block INTEGER, log INTEGER, tx TEXT, kind TEXT, policy_id TEXT, starts_at INTEGER, expires_at INTEGER,
    terms TEXT, view_tag INTEGER, announcement TEXT,
    purposes INTEGER, categories INTEGER, data_use INTEGER, study TEXT,
    PRIMARY KEY (block, log)
""",
}
_POLICIES: Final = """
SELECT g.policy_id, g.block, g.log, g.tx, b.time AS granted_at, g.starts_at, g.expires_at, g.terms, g.view_tag,
       g.announcement, g.purposes, g.categories, g.data_use, g.study, r.block AS revoked_block,
       CASE WHEN r.block IS NOT NULL THEN 'revoked' WHEN :time < g.starts_at THEN 'not_yet'
            WHEN :time < g.expires_at THEN 'active' ELSE 'expired' END AS status
FROM policy g JOIN block b ON b.number = g.block
LEFT JOIN policy r ON r.policy_id = g.policy_id AND r.kind = 'revoked' AND r.block <= :as_of
WHERE g.kind = 'granted' AND g.block <= :as_of
  AND (:since IS NULL OR b.time >= :since) AND (:until IS NULL OR b.time < :until)
  AND (:categories IS NULL OR g.categories & :categories != 0)
  AND (:purposes IS NULL OR g.purposes & :purposes != 0)
  AND (:study IS NULL OR g.study = :study)
"""
_STORAGE: Final = """
SELECT s.hospital, s.sequence, s.block, s.log, s.tx, b.time AS stored_at, s.manifest, s.count, s.previous
FROM storage s JOIN block b ON b.number = s.block
WHERE s.block <= :as_of AND (:since IS NULL OR b.time >= :since) AND (:until IS NULL OR b.time < :until)
  AND (:hospital IS NULL OR s.hospital = :hospital)
"""


@dataclass(frozen=True)
class PolicyRow:
    """A policy transaction, as the chain shows it to everybody. Times are Unix seconds where a field ends in `_at`.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     row = researcher.query("policies").rows[0]
        >>> row.status, row.purposes, row.expires > row.starts
        ('active', (), True)
    """

    policy_id: PolicyId
    block: int
    log: int
    """Position of the event in its block."""
    tx: str
    """Hash of the transaction."""
    granted_at: int
    starts_at: int
    expires_at: int
    terms: str
    """SHA-256 of the sealed terms, hex."""
    view_tag: int
    announcement: str
    """The notice for the grantee, hex."""
    purpose_bits: int
    """`Purpose.bit` of each purpose of an open policy; 0 in a sealed one."""
    category_bits: int
    """`Category.bit` of each category of an open policy; 0 in a sealed one."""
    data_use: int
    """DUO codes of an open policy as bits."""
    study: str
    """Account of the study that an open policy is for; empty for none."""
    revoked_block: int | None
    """Number of the block that revoked it, up to the block that was asked for."""
    status: str
    """Name of a `PolicyStatus` in lower case, at the block that was asked for."""

    @property
    def granted(self) -> datetime:
        """When it was granted, in UTC."""
        return datetime.fromtimestamp(self.granted_at, UTC)

    @property
    def starts(self) -> datetime:
        """When it begins, that moment included; in UTC."""
        return datetime.fromtimestamp(self.starts_at, UTC)

    @property
    def expires(self) -> datetime:
        """When it ends, that moment excluded; in UTC."""
        return datetime.fromtimestamp(self.expires_at, UTC)

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The purposes of an open policy."""
        return tuple(one for one in Purpose if self.purpose_bits & one.bit)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories of an open policy."""
        return tuple(one for one in Category if self.category_bits & one.bit)

    def to_json(self) -> dict[str, object]:
        """Return the row as `panachain/query/1` has it, purposes and categories as bits."""
        names = {"purpose_bits": "purposes", "category_bits": "categories"}
        return {names.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class StorageRow:
    """A storage transaction of a hospital.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     [row.count for row in researcher.query("storage", hospital="clinic")]
        [2]
    """

    hospital: Address
    sequence: int
    """Number of the hospital's transaction, from 1."""
    block: int
    log: int
    """Position of the event in its block."""
    tx: str
    """Hash of the transaction."""
    stored_at: int
    """Unix seconds."""
    manifest: str
    """SHA-256 of the manifest, hex."""
    count: int
    """How many records it holds."""
    previous: str
    """The hospital's head before it, hex."""

    @property
    def stored(self) -> datetime:
        """When it was stored, in UTC."""
        return datetime.fromtimestamp(self.stored_at, UTC)

    def to_json(self) -> dict[str, object]:
        """Return the row as `panachain/query/1` has it."""
        return asdict(self)


@dataclass(frozen=True)
class QueryProvenance:
    """Where rows come from, so that the query can be made again.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     asked = researcher.query("policies")
        ...     again = researcher.query("policies", as_of_block=asked.provenance.block)
        >>> asked.rows == again.rows
        True
    """

    chain_id: int
    block: int
    """Number of the block as of which the chain was read."""
    block_hash: str
    block_time: int
    """Unix seconds of that block."""
    query: Mapping[str, object]
    """What was asked, by the names of `Index.query`."""
    index_version: int = VERSION

    @property
    def as_of(self) -> datetime:
        """When that block was made, in UTC."""
        return datetime.fromtimestamp(self.block_time, UTC)

    def to_json(self) -> dict[str, object]:
        """Return the provenance as `panachain/query/1` has it."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}


Row = TypeVar("Row", PolicyRow, StorageRow)

KINDS: Final = {"policies": (PolicyRow, _POLICIES), "storage": (StorageRow, _STORAGE)}
"""What can be queried: the rows of each kind, and where they come from, column by column."""


@dataclass(frozen=True)
class QueryResult(Generic[Row]):
    """Rows in the order of the chain, and where they come from; it can be iterated over.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     active = researcher.query("policies", status="active", since=timedelta(days=365))
        ...     print(len(active), "as of block", active.provenance.block)
        1 as of block ...
    """

    kind: str
    rows: tuple[Row, ...]
    provenance: QueryProvenance

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON, schema `panachain/query/1`."""
        return {
            "schema": "panachain/query/1",
            "kind": self.kind,
            "count": len(self.rows),
            "rows": [row.to_json() for row in self.rows],
            "provenance": self.provenance.to_json(),
        }


AnyResult = QueryResult[PolicyRow] | QueryResult[StorageRow]
"""Of a query whose kind isn't known to a type checker."""


class Filters(TypedDict, total=False):
    """What `Index.query` takes by name."""

    since: int | None
    until: int | None
    as_of_block: int | None
    status: str | None
    categories: int | None
    purposes: int | None
    hospital: str | None
    study: str | None
    limit: int | None


class Index:
    """The index of one mainchain."""

    def __init__(self, path: Path, mainchain: Mainchain) -> None:
        """Open or create the index.

        Raises:
            DiskError: the file can't be opened.
        """
        self._mainchain = mainchain
        self._path = path
        try:
            private_file(path)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error) as exc:
            raise DiskError(f"the index {path} can't be opened: {exc}", hint="delete it: it is made anew") from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def sync(self) -> int:
        """Undo what a reorganisation took away, read what is new, and return the newest block's number.

        Raises:
            DiskError: the file is damaged, or can't be written.
        """
        with self._mapped(), self._mainchain.source.pinned():
            return self._sync(self._mainchain.head_block())

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise DiskError(
                f"the index {self._path} can't be used: {exc}", hint="if it is damaged, delete it: it is made anew"
            ) from exc

    def _sync(self, head: Block) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            start = self._last_common_block() + 1
            for table in _TABLES:
                column = "number" if table == "block" else "block"
                self._db.execute(f"DELETE FROM {table} WHERE {column} >= ?", (start,))
            if start <= head.number:
                self._read(start, head.number)
            self._db.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", (head.number, head.hash, head.time))
            self._db.execute("COMMIT")
        except BaseException:
            # A disk that fails takes the transaction back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return head.number

    @overload
    def query(self, kind: Literal["policies"], **filters: Unpack[Filters]) -> QueryResult[PolicyRow]: ...
    @overload
    def query(self, kind: Literal["storage"], **filters: Unpack[Filters]) -> QueryResult[StorageRow]: ...
    @overload
    def query(self, kind: str, **filters: Unpack[Filters]) -> AnyResult: ...

    def query(
        self,
        kind: str,
        *,
        since: int | None = None,
        until: int | None = None,
        as_of_block: int | None = None,
        status: str | None = None,
        categories: int | None = None,
        purposes: int | None = None,
        hospital: str | None = None,
        study: str | None = None,
        limit: int | None = None,
    ) -> AnyResult:
        """Return policies or storage transactions in the order of the chain.

        Args:
            kind: `policies` or `storage`.
            since: granted or stored at or after this time, Unix seconds.
            until: before this time, Unix seconds.
            as_of_block: as the chain stood at this block, its time included; None means the newest.
            status: of policies, a name of `PolicyStatus` in lower case.
            categories: bits; open policies that name one of them.
            purposes: bits; open policies that name one of them.
            hospital: of storage transactions, its address.
            study: of open policies, its address.
            limit: rows at most.

        Raises:
            UsageError: an unknown kind or status, a block that isn't there yet, or a number beyond 63 bits.
            DiskError: as `sync`.
        """
        if kind not in KINDS:
            raise UsageError(f"{kind!r} can't be queried: {' or '.join(KINDS)}")
        if status is not None and status not in {s.name.lower() for s in PolicyStatus}:
            raise UsageError(f"unknown status {status!r}")
        with self._mainchain.source.pinned():
            newest = self.sync()
            if as_of_block is not None and not 0 <= as_of_block <= newest:
                raise UsageError(f"block {as_of_block} isn't there: the newest is {newest}")
            block = self._mainchain.block(newest if as_of_block is None else as_of_block)
        filters = {
            "since": since,
            "until": until,
            "categories": categories,
            "purposes": purposes,
            "hospital": hospital,
            "study": study,
        }
        numbers = (since, until, categories, purposes, limit)
        if any(number is not None and not -_MOST <= number <= _MOST for number in numbers):
            raise UsageError(f"{kind} can't be queried with a number beyond 63 bits")
        row, sql = KINDS[kind]
        with self._mapped():
            found = self._db.execute(
                f"SELECT * FROM ({sql}) WHERE :status IS NULL OR status = :status ORDER BY block, log LIMIT :limit"
                if kind == "policies"
                else f"SELECT * FROM ({sql}) ORDER BY block, log LIMIT :limit",
                filters
                | {
                    "as_of": block.number,
                    "time": block.time,
                    "status": status,
                    "limit": -1 if limit is None else limit,
                },
            ).fetchall()
        asked: dict[str, object] = {"kind": kind, "status": status, "limit": limit}
        asked |= {name: value for name, value in filters.items() if value is not None}
        provenance = QueryProvenance(
            chain_id=self._mainchain.chain_id,
            block=block.number,
            block_hash=block.hash,
            block_time=block.time,
            query=asked,
        )
        return QueryResult(kind, tuple(row(*columns) for columns in found), provenance)

    def _prepare(self) -> None:
        """Make the tables, anew when the index was made for another chain or by another version."""
        # In one transaction: who opens the same file at the same time finds all tables or none.
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(_META)
            self._renew()

    def _renew(self) -> None:
        wanted = f"{VERSION}/{self._mainchain.chain_id}/{self._mainchain.policies.address}"
        row = self._db.execute("SELECT value FROM meta WHERE name = 'chain'").fetchone()
        if row is not None and row[0] == wanted:
            return
        for table, columns in _TABLES.items():
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
            self._db.execute(f"CREATE TABLE {table} ({columns})")
        self._db.execute("CREATE INDEX policy_by_id ON policy (policy_id, kind)")
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('chain', ?)", (wanted,))

    def _last_common_block(self) -> int:
        newest = self._mainchain.head_block().number
        for number, block_hash in self._db.execute("SELECT number, hash FROM block ORDER BY number DESC"):
            # By hash, because after a reorganisation another block bears the same number.
            if number <= newest and self._mainchain.block(number).hash == block_hash:
                return int(number)
        return self._mainchain.from_block - 1

    def _read(self, start: int, end: int) -> None:
        # Each row begins with its block, whose time the questions need.
        rows: dict[str, list[tuple[Any, ...]]] = {
            "storage": [
                (e.block, e.index, e.tx_hash, e.hospital, e.sequence, e.manifest.hex(), e.count, e.previous.hex())
                for e in self._mainchain.ledger.events(from_block=start, to_block=end)
            ],
            "policy": [
                (
                    *(e.block, e.index, e.tx_hash, e.kind, e.policy_id, e.starts_at, e.expires_at, e.terms.hex()),
                    *(e.view_tag, e.announcement.hex()),
                    *(e.disclosure.purposes, e.disclosure.categories, e.disclosure.data_use, e.disclosure.study or ""),
                )
                for e in self._mainchain.policies.events(from_block=start, to_block=end)
            ],
        }
        for number in sorted({row[0] for found in rows.values() for row in found}):
            block = self._mainchain.block(number)
            self._db.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", (number, block.hash, block.time))
        for table, found in rows.items():
            if found:
                marks = ", ".join("?" * len(found[0]))
                self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", found)
