"""The index of storage and policy transactions, and the queries over it.

Its tables follow from the checked copy of the chain, in the same database (panachain/follow/derived.py): no node is
asked, and what a reorganisation takes away leaves both together. Holds public data only, and none that the chain
doesn't show. Follows docs/spec/cli.md, section "Values".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from panachain.chain.mainchain import Mainchain
from panachain.errors import UsageError
from panachain.follow.derived import Derived, Rows, derived
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category, Purpose

VERSION: Final = 3
"""Of the tables; those of another version are made anew."""
_MOST: Final = (1 << 63) - 1
"""The largest number that the database holds."""
INDEX: Final = Derived(
    name="index",
    version=VERSION,
    tables={
        "storage": "block {number}, log {number}, tx TEXT, hospital TEXT, sequence {number}, manifest TEXT,"
        " count {number}, previous TEXT, PRIMARY KEY (block, log)",
        "policy": "block {number}, log {number}, tx TEXT, kind TEXT, policy_id TEXT, starts_at {number},"
        " expires_at {number}, terms TEXT, view_tag {number}, announcement TEXT, purposes {number},"
        " categories {number}, data_use {number}, study TEXT, PRIMARY KEY (block, log)",
    },
    indexes={"policy_by_id": "policy (policy_id, kind)"},
)
"""The tables. Each row begins with its block, whose time the questions need."""
_POLICIES: Final = """
SELECT g.policy_id, g.block, g.log, g.tx, h.time AS granted_at, g.starts_at, g.expires_at, g.terms, g.view_tag,
       g.announcement, g.purposes, g.categories, g.data_use, g.study, r.block AS revoked_block,
       CASE WHEN r.block IS NOT NULL THEN 'revoked' WHEN {time} < g.starts_at THEN 'not_yet'
            WHEN {time} < g.expires_at THEN 'active' ELSE 'expired' END AS status
FROM {policy} g JOIN {header} h ON h.number = g.block
LEFT JOIN {policy} r ON r.policy_id = g.policy_id AND r.kind = 'revoked' AND r.block <= {as_of}
WHERE g.kind = 'granted' AND g.block <= {as_of}
"""
_STORAGE: Final = """
SELECT s.hospital, s.sequence, s.block, s.log, s.tx, h.time AS stored_at, s.manifest, s.count, s.previous
FROM {storage} s JOIN {header} h ON h.number = s.block
WHERE s.block <= {as_of}
"""
_FILTERS: Final = {
    "since": "{time_column} >= ?",
    "until": "{time_column} < ?",
    "categories": "(categories & ?) != 0",
    "purposes": "(purposes & ?) != 0",
    "hospital": "hospital = ?",
    "study": "study = ?",
    "status": "status = ?",
}
"""What each filter asks of the columns of a question."""
_OF_POLICIES: Final = ("since", "until", "categories", "purposes", "study", "status")
_OF_STORAGE: Final = ("since", "until", "hospital")


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

KINDS: Final = {
    "policies": (PolicyRow, _POLICIES, "granted_at", _OF_POLICIES),
    "storage": (StorageRow, _STORAGE, "stored_at", _OF_STORAGE),
}
"""What can be queried: the rows of each kind, where they come from, column by column, the column of their time, and the
filters that they know."""


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

    def __init__(self, mainchain: Mainchain) -> None:
        """Take the chain; nothing is opened or asked yet."""
        self._mainchain = mainchain

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
            DiskError: the chain's copy can't be written.
        """
        if kind not in KINDS:
            raise UsageError(f"{kind!r} can't be queried: {' or '.join(KINDS)}")
        if status is not None and status not in {s.name.lower() for s in PolicyStatus}:
            raise UsageError(f"unknown status {status!r}")
        numbers = (since, until, categories, purposes, limit)
        if any(number is not None and not -_MOST <= number <= _MOST for number in numbers):
            raise UsageError(f"{kind} can't be queried with a number beyond 63 bits")
        filters = {
            "since": since,
            "until": until,
            "categories": categories,
            "purposes": purposes,
            "hospital": hospital,
            "study": study,
        }
        row, question, time_column, known = KINDS[kind]
        wanted = {name: value for name, value in (filters | {"status": status}).items() if value is not None}
        chain = self._mainchain
        with derived(chain.source, INDEX, self._read, from_block=chain.from_block) as found:
            if as_of_block is not None and not 0 <= as_of_block <= found.block.number:
                raise UsageError(f"block {as_of_block} isn't there: the newest is {found.block.number}")
            block = found.block
            if as_of_block is not None and as_of_block != block.number:
                block = chain.block(as_of_block)
            # Numbers of ours, and names of tables: no text of anybody's.
            inner = question.format(**found.names, time=block.time, as_of=block.number)
            where = [_FILTERS[name].format(time_column=time_column) for name in wanted if name in known]
            statement = f"SELECT * FROM ({inner}) q" + (f" WHERE {' AND '.join(where)}" if where else "")
            statement += " ORDER BY block, log" + ("" if limit is None or limit < 0 else f" LIMIT {limit}")
            values = [value for name, value in wanted.items() if name in known]
            rows = found.session.run(statement, values).fetchall()
        asked: dict[str, object] = {"kind": kind, "status": status, "limit": limit}
        asked |= {name: value for name, value in filters.items() if value is not None}
        provenance = QueryProvenance(
            chain_id=self._mainchain.chain_id,
            block=block.number,
            block_hash=block.hash,
            block_time=block.time,
            query=asked,
        )
        return QueryResult(kind, tuple(row(*columns) for columns in rows), provenance)

    def _read(self, first: int, last: int) -> Rows:
        """Return what the blocks from the first to the last one add to the index."""
        return {
            "storage": [
                (e.block, e.index, e.tx_hash, e.hospital, e.sequence, e.manifest.hex(), e.count, e.previous.hex())
                for e in self._mainchain.ledger.events(from_block=first, to_block=last)
            ],
            "policy": [
                (
                    *(e.block, e.index, e.tx_hash, e.kind, e.policy_id, e.starts_at, e.expires_at, e.terms.hex()),
                    *(e.view_tag, e.announcement.hex()),
                    *(e.disclosure.purposes, e.disclosure.categories, e.disclosure.data_use, e.disclosure.study or ""),
                )
                for e in self._mainchain.policies.events(from_block=first, to_block=last)
            ],
        }
