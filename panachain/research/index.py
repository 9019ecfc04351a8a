"""The index of storage and policy transactions, and the queries over it.

Its tables follow from the checked copy of the chain, in the same database (panachain/follow/derived.py): no node is
asked, and what a reorganisation takes away leaves both together. Holds public data only, and none that the chain
doesn't show. Follows docs/spec/cli.md, section "Values".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from panachain.chain.mainchain import Mainchain
from panachain.errors import UsageError
from panachain.follow.derived import Derivation, Derived, Rows, derived
from panachain.model.actors import Address, PolicyId
from panachain.model.block import Block
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


_GROUPS: Final = {
    "policies": "status, purposes, categories, '' AS hospital, 0 AS records",
    "storage": "'' AS status, 0 AS purposes, 0 AS categories, hospital, count AS records",
}
"""What of the rows of each kind they are grouped by, besides their day, and what is summed up."""

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


@dataclass(frozen=True, order=True)
class TallyGroup:
    """Rows of a query that fall together: those of one day, or those that say the same."""

    day: int = 0
    """Of grant or storage, in days since 1970-01-01 (UTC); 0 in a group that isn't of one day."""
    status: str = ""
    """Of policies."""
    purpose_bits: int = 0
    category_bits: int = 0
    hospital: str = ""
    """Of storage transactions."""
    rows: int = 0
    records: int = 0
    """Of storage transactions: how many records they hold."""


Measure = Callable[[TallyGroup], int]


def _rows(group: TallyGroup) -> int:
    return group.rows


@dataclass(frozen=True)
class Tally:
    """How many rows a query has, and how they fall into groups; its parts are for plots.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     tally = researcher.tally("storage")
        >>> tally.rows, sum(tally.by(lambda group: [group.hospital]).values()) == tally.rows
        (1, True)
    """

    kind: str
    days: tuple[TallyGroup, ...]
    """All rows by their days, in order."""
    groups: tuple[TallyGroup, ...]
    """All rows by what they say: policies by state, purposes and categories, storage transactions by hospital."""
    provenance: QueryProvenance

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(group.rows for group in self.days)

    @property
    def records(self) -> int:
        """How many records the storage transactions hold."""
        return sum(group.records for group in self.days)

    def by(self, keys: Callable[[TallyGroup], Iterable[str]], *, measure: Measure = _rows) -> Counter[str]:
        """Return rows, or another measure, by keys of what they say: a policy on two categories counts in both."""
        found: Counter[str] = Counter()
        for group in self.groups:
            for key in keys(group):
                found[key] += measure(group)
        return found

    def to_json(self) -> dict[str, object]:
        """Return the tally as JSON, schema `panachain/tally/1`."""
        return {
            "schema": "panachain/tally/1",
            "kind": self.kind,
            "rows": self.rows,
            "records": self.records,
            "days": [{"day": group.day, "rows": group.rows, "records": group.records} for group in self.days],
            "groups": [
                {name: value for name, value in asdict(group).items() if name != "day"} for group in self.groups
            ],
            "provenance": self.provenance.to_json(),
        }


AnyResult = QueryResult[PolicyRow] | QueryResult[StorageRow]
"""Of a query whose kind isn't known to a type checker."""


class Where(TypedDict, total=False):
    """Which rows `Index.query` and `Index.tally` look at."""

    since: int | None
    until: int | None
    status: str | None
    categories: int | None
    purposes: int | None
    hospital: str | None
    study: str | None


class Filters(Where, total=False):
    """What `Index.query` takes by name."""

    as_of_block: int | None
    limit: int | None
    offset: int


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
        offset: int = 0,
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
            offset: rows that are passed over before the first one.

        Raises:
            UsageError: an unknown kind or status, a block that isn't there yet, or a number beyond 63 bits.
            DiskError: the chain's copy can't be written.
        """
        filters: Where = {
            "since": since,
            "until": until,
            "status": status,
            "categories": categories,
            "purposes": purposes,
            "hospital": hospital,
            "study": study,
        }
        _check(kind, limit=limit, offset=offset, **filters)
        with self._asking(kind, as_of_block, filters) as (found, block, inner, where, values):
            statement = f"SELECT * FROM ({inner}) q{where} ORDER BY block, log"
            # An offset needs a limit in SQLite.
            some = limit is not None and limit >= 0
            if some or offset:
                statement += f" LIMIT {limit if some else _MOST} OFFSET {offset}"
            rows = found.session.run(statement, values).fetchall()
        more = {"status": status, "limit": limit} | ({"offset": offset} if offset else {})
        row = KINDS[kind][0]
        return QueryResult(kind, tuple(row(*columns) for columns in rows), self._provenance(kind, block, filters, more))

    def tally(self, kind: str, *, as_of_block: int | None = None, **filters: Unpack[Where]) -> Tally:
        """Return how many rows a query has, and how they fall into days, states, categories and hospitals.

        Args:
            kind: `policies` or `storage`.
            as_of_block: as the chain stood at this block, its time included; None means the newest.
            filters: as those of `query`, but for limit and offset.

        Raises:
            UsageError: an unknown kind or status, a block that isn't there yet, or a number beyond 63 bits.
            DiskError: the chain's copy can't be written.
        """
        _check(kind, **filters)
        with self._asking(kind, as_of_block, filters) as (found, block, inner, where, values):
            # Joined once, and grouped twice: all days with all that can be said would be too many groups.
            statement = (
                f"WITH t AS (SELECT {KINDS[kind][2]} / 86400 AS day, {_GROUPS[kind]} FROM ({inner}) q{where})"
                " SELECT 0 AS part, day, '' AS status, 0 AS purposes, 0 AS categories, '' AS hospital, COUNT(*),"
                " SUM(records) FROM t GROUP BY day"
                " UNION ALL SELECT 1, 0, status, purposes, categories, hospital, COUNT(*), SUM(records) FROM t"
                " GROUP BY status, purposes, categories, hospital"
            )
            rows = found.session.run(statement, values).fetchall()
        days, groups = (tuple(sorted(_group(row) for row in rows if row[0] == part)) for part in (0, 1))
        return Tally(kind, days, groups, self._provenance(kind, block, filters, {"status": filters.get("status")}))

    @contextmanager
    def _asking(
        self, kind: str, as_of_block: int | None, filters: Where
    ) -> Iterator[tuple[Derivation, Block, str, str, list[object]]]:
        """Yield the tables, the block as of which they are read, the question, its filters, and their values."""
        _, question, time_column, known = KINDS[kind]
        wanted = {name: value for name, value in filters.items() if value is not None and name in known}
        chain = self._mainchain
        with derived(chain.source, INDEX, self._read, from_block=chain.from_block) as found:
            if as_of_block is not None and not 0 <= as_of_block <= found.block.number:
                raise UsageError(f"block {as_of_block} isn't there: the newest is {found.block.number}")
            block = found.block
            if as_of_block is not None and as_of_block != block.number:
                block = chain.block(as_of_block)
            # Numbers of ours, and names of tables: no text of anybody's.
            inner = question.format(**found.names, time=block.time, as_of=block.number)
            where = [_FILTERS[name].format(time_column=time_column) for name in wanted]
            yield found, block, inner, f" WHERE {' AND '.join(where)}" if where else "", list(wanted.values())

    def _provenance(self, kind: str, block: Block, filters: Where, more: Mapping[str, object]) -> QueryProvenance:
        asked: dict[str, object] = {"kind": kind, **more}
        asked |= {name: value for name, value in filters.items() if value is not None}
        return QueryProvenance(
            chain_id=self._mainchain.chain_id,
            block=block.number,
            block_hash=block.hash,
            block_time=block.time,
            query=asked,
        )

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


def _check(kind: str, *, limit: int | None = None, offset: int = 0, **filters: Unpack[Where]) -> None:
    """Check what is asked before anything is.

    Raises:
        UsageError: an unknown kind or status, or a number beyond 63 bits.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} can't be queried: {' or '.join(KINDS)}")
    status = filters.get("status")
    if status is not None and status not in {s.name.lower() for s in PolicyStatus}:
        raise UsageError(f"unknown status {status!r}")
    numbers = (*(filters.get(name) for name in ("since", "until", "categories", "purposes")), limit, offset)
    if any(isinstance(number, int) and not -_MOST <= number <= _MOST for number in numbers):
        raise UsageError(f"{kind} can't be queried with a number beyond 63 bits")
    if offset < 0:
        raise UsageError("an offset counts rows from 0 on")


def _group(row: Sequence[Any]) -> TallyGroup:
    """Return a group as the database has it; some databases sum up integers to decimals."""
    _, day, status, purposes, categories, hospital, rows, records = row
    return TallyGroup(int(day), str(status), int(purposes), int(categories), str(hospital), int(rows), int(records))
