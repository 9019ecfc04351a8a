"""What a proxy keeps: kfrags under seal, used nonces, and the hash-chained log of its receipts.

Any number of threads and processes may use one database, SQLite or PostgreSQL; the log stays one chain. Never keeps a
kfrag in the clear, and forgets what it deletes as well as the database can (docs/spec/proxy.md, section "Database").
Follows security rules 5, 12 and 14.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from panachain import postgresql
from panachain.chain.receipts import receipt_hash
from panachain.crypto import box, kdf, labels
from panachain.errors import (
    ConfigurationError,
    DiskError,
    IntegrityError,
    PolicyUnknownError,
    RateLimitedError,
    UsageError,
)
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.model.proxy_requests import DepositedLane, ReceiptPart
from panachain.model.scope import Purpose
from panachain.model.sizes import HASH_SIZE
from panachain.private_files import private_file
from panachain.proxy import messages
from panachain.service.proxy.database import LOCK_TIMEOUT, open_engine

_CHANGES: Final = (
    (
        "CREATE TABLE IF NOT EXISTS proxy (address TEXT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS policy (policy_id TEXT PRIMARY KEY, fields TEXT NOT NULL, "
        "expires_at BIGINT NOT NULL, deleted INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS kfrag (policy_id TEXT NOT NULL, lane INTEGER NOT NULL, "
        "delegating {bytes} NOT NULL, salt {bytes} NOT NULL, sealed {bytes} NOT NULL, PRIMARY KEY (policy_id, lane))",
        "CREATE TABLE IF NOT EXISTS receipt (sequence BIGINT PRIMARY KEY, policy_id TEXT NOT NULL, "
        "kind TEXT NOT NULL, fields TEXT NOT NULL, hash {bytes} NOT NULL)",
        "CREATE INDEX IF NOT EXISTS receipt_of_policy ON receipt (policy_id, kind)",
        "CREATE TABLE IF NOT EXISTS nonce (nonce {bytes} PRIMARY KEY, expires_at BIGINT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS nonce_by_end ON nonce (expires_at)",
        "CREATE {unlogged} TABLE IF NOT EXISTS counted (minute BIGINT NOT NULL, subject {bytes} NOT NULL, "
        "uses INTEGER NOT NULL, PRIMARY KEY (minute, subject)) {clustered}",
    ),
    (
        "CREATE INDEX IF NOT EXISTS receipt_by_page ON receipt (policy_id, sequence)",
        "CREATE TABLE IF NOT EXISTS apart (sequence BIGINT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS refused (policy_id TEXT NOT NULL, subject {bytes} NOT NULL, since BIGINT NOT NULL, "
        "uses INTEGER NOT NULL, apart INTEGER NOT NULL, detail {bytes} NOT NULL, PRIMARY KEY (policy_id, subject))",
        "CREATE INDEX IF NOT EXISTS refused_by_begin ON refused (since)",
    ),
    (
        "CREATE TABLE IF NOT EXISTS tile (level INTEGER NOT NULL, number BIGINT NOT NULL, hashes {bytes} NOT NULL, "
        "PRIMARY KEY (level, number))",
        "CREATE TABLE IF NOT EXISTS full_map (epoch INTEGER PRIMARY KEY, row_count INTEGER NOT NULL, "
        "tree {bytes} NOT NULL)",
        "CREATE TABLE IF NOT EXISTS cosigned (only_one INTEGER PRIMARY KEY, size BIGINT NOT NULL, note TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS witnessed (origin TEXT PRIMARY KEY, size BIGINT NOT NULL, root {bytes} NOT NULL)",
    ),
    (
        "CREATE TABLE IF NOT EXISTS emergency (cosignature {bytes} PRIMARY KEY, practitioner {bytes} NOT NULL, "
        "seen_at BIGINT NOT NULL, ends_at BIGINT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS emergency_of ON emergency (practitioner)",
    ),
)
"""What each version of the tables changes, oldest first. A change goes to the end; those that databases have stay."""
_NEW_POLICY: Final = "INSERT INTO policy (policy_id, fields, expires_at, deleted) VALUES ({}, {}, {}, 0)"
_NEW_KFRAG: Final = "INSERT INTO kfrag (policy_id, lane, delegating, salt, sealed) VALUES ({}, {}, {}, {}, {})"
_NEW_RECEIPT: Final = "INSERT INTO receipt (sequence, policy_id, kind, fields, hash) VALUES ({}, {}, {}, {}, {})"
"""By the names of their columns: a column that comes later has a default of its own."""
_SQLITE: Final = {"bytes": "BLOB", "unlogged": "", "clustered": "WITHOUT ROWID"}
_POSTGRESQL: Final = {"bytes": "BYTEA", "unlogged": "UNLOGGED", "clustered": ""}
"""Counts needn't outlive a crash, and mustn't lie in an archive of the write-ahead log."""
_LOG_LOCK: Final = "SELECT pg_advisory_xact_lock(1885433441)"
"""PostgreSQL: one transaction at a time appends to the log. The number is `pana` in ASCII, in decimals: hexadecimal
literals are read from PostgreSQL 16 on."""
_SERVER_HINT: Final = "check that the PostgreSQL server runs and lets this account in; the proxy goes on by itself then"
_CHECKPOINT_TIMEOUT: Final = 5.0
"""Seconds for which a deletion waits until no reader needs the old pages."""
_CHECKPOINT_POLL: Final = 0.01
"""Seconds between two looks for that."""
_PARTS: Final = {
    ReceiptPart.SERVED: "kind <> 'denied'",
    ReceiptPart.REFUSED: "kind = 'denied' AND sequence NOT IN (SELECT sequence FROM apart)",
    ReceiptPart.STRANGERS: "kind = 'denied' AND sequence IN (SELECT sequence FROM apart)",
    ReceiptPart.ALL: "1 = 1",
    ReceiptPart.PROOF: "1 = 0",
}
"""Which receipts each part holds."""
_FORGOTTEN: Final = 1000
"""Co-signatures that are forgotten at once, so that nobody waits long for the log."""
_SEEN: Final = "SELECT seen_at FROM emergency WHERE cosignature = {}"
_KEPT: Final = "SELECT COUNT(*) FROM emergency WHERE practitioner = {} AND ends_at > {}"
_EMERGENCIES: Final = 64
"""Co-signatures of one practitioner's emergencies that aren't over and are kept."""
_SWEEP: Final = 10
"""Seconds between two deletions of nonces and counts that are over."""
_MINUTE: Final = 60
"""Seconds over which a quota counts."""


@dataclass(frozen=True)
class HeldPolicy:
    """What a proxy knows of a policy: nothing of its patient, and of its lanes only their keys."""

    policy_id: PolicyId
    grantee: Address
    receiving_key: bytes
    verifying_key: bytes
    audit_key: bytes
    terms: bytes
    """Digest of the CID of the sealed terms, 32 bytes."""
    purposes: tuple[Purpose, ...]
    lanes: int


@dataclass(frozen=True)
class Quota:
    """How often somebody may do something in one minute of the clock, at all workers of the database together."""

    kind: str
    """What is counted: quotas of two kinds have nothing to do with each other."""
    subject: str
    """The account or policy that it is counted for; the database learns a keyed digest of it."""
    most: int
    """Times, or units, in a minute; 0 means any number."""
    what: str
    """What the refusal calls it."""
    weight: int = 1
    """How much one request counts: work is counted in its units, such as capsules."""


@dataclass(frozen=True)
class Nonce:
    """What makes a request count once, and where it counts."""

    value: bytes
    """16 bytes."""
    now: int
    """Unix seconds at which it is used."""
    quotas: tuple[Quota, ...] = ()
    """Counted in the transaction that uses the nonce up."""


@dataclass(frozen=True)
class Refusal:
    """Somebody was refused, whose refusals of one window of time share their receipts."""

    policy_id: PolicyId
    subject: str
    """For whom and why it is counted; the database learns a keyed digest of it."""
    apart: bool
    """Whether it belongs to the strangers' part."""
    detail: bytes
    """Sealed to the patient."""
    window: int
    """Seconds for which one receipt stands."""


@dataclass(frozen=True)
class Rest:
    """Refusals whose window is over, and that no receipt tells of yet."""

    policy_id: PolicyId
    subject: bytes
    uses: int
    apart: bool
    detail: bytes


class ProxyStore:
    """The database of one proxy."""

    def __init__(
        self,
        database: Path | URL,
        key: bytes,
        *,
        proxy: Address,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open or create it.

        Args:
            database: the SQLite file, made 0600, or a URL.
            key: the proxy's own key for what it keeps, 32 bytes.
            proxy: whose log it is.
            clock: seconds that only grow, for what is done at intervals; the time of a request comes with its nonce.
            sleep: waits for some seconds.

        Raises:
            DiskError: it can't be opened.
            ConfigurationError: it is another proxy's, or its driver isn't installed.
        """
        self._key = key
        self._lock = threading.RLock()
        self._clock = clock
        self._sleep = sleep
        self._swept = -float("inf")
        self.emergencies = SeenEmergencies(self)
        url = database if isinstance(database, URL) else URL.create("sqlite", database=str(database))
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._where = url.render_as_string(hide_password=True)
        self._secret = str(url.password or "")
        with self._mapped("can't be opened"):
            if self._is_sqlite:
                private_file(Path(str(url.database)))
            self._engine = open_engine(url)
            self._brief = open_engine(url, lasting=False) if self._is_sqlite else self._engine
            self._create(proxy)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self._brief.dispose()

    def policy(self, policy_id: PolicyId) -> HeldPolicy:
        """Return what is known of a policy, also after its kfrags were deleted.

        Raises:
            PolicyUnknownError: nothing was ever deposited for it.
        """
        rows = self._read("SELECT fields FROM policy WHERE policy_id = {}", policy_id)
        if not rows:
            raise _unknown(policy_id)
        fields: dict[str, Any] = json.loads(rows[0][0])
        return HeldPolicy(
            policy_id=policy_id,
            grantee=Address(fields["grantee"]),
            receiving_key=bytes.fromhex(fields["receiving_key"]),
            verifying_key=bytes.fromhex(fields["verifying_key"]),
            audit_key=bytes.fromhex(fields["audit_key"]),
            terms=bytes.fromhex(fields["terms"]),
            purposes=tuple(Purpose(purpose) for purpose in fields["purposes"]),
            lanes=fields["lanes"],
        )

    def check_known(self, policy_id: PolicyId) -> None:
        """Check that something was deposited for a policy, also if its kfrags were deleted.

        Raises:
            PolicyUnknownError: nothing ever was.
        """
        if not self._read("SELECT 1 FROM policy WHERE policy_id = {}", policy_id):
            raise _unknown(policy_id)

    def check_answers(self) -> None:
        """Check that the database answers.

        Raises:
            DiskError: it doesn't.
        """
        # A row of this proxy's own tables: a database that only opens isn't enough.
        self._read("SELECT address FROM proxy")

    def deposit(
        self,
        policy: HeldPolicy,
        lanes: Sequence[DepositedLane],
        *,
        expires_at: int,
        nonce: Nonce | None = None,
        receipt: Callable[[int, bytes], Receipt],
    ) -> Receipt:
        """Keep a policy's kfrags and write the receipt, both or neither; a second deposit returns the first receipt.

        Args:
            policy: what the proxy must know of it.
            lanes: its kfrags.
            expires_at: end of the policy's window, Unix seconds.
            nonce: of the deposit; None where it is used up already.
            receipt: makes the receipt from its sequence and the hash of the one before.

        Raises:
            UsageError: the deposit was sent before.
            RateLimitedError: a quota is used up; nothing was kept.
            DiskError: the database refuses.
        """
        # Sealed before the transaction, which other processes wait for.
        rows = [self._sealed(policy.policy_id, number, lane) for number, lane in enumerate(lanes)]
        with self._write() as db:
            if nonce is not None:
                self._use(db, nonce)
            # A patient whose connection broke sends the same deposit again, and needs the same receipt.
            known = self._receipts(db, policy.policy_id, ReceiptKind.DEPOSITED)
            if known:
                return known[0]
            fields = messages.canonical(_policy_fields(policy)).decode()
            # Policy, kfrags and receipt in one transaction: a receipt without its kfrags would be a promise that can't
            # be kept.
            self._do(db, _NEW_POLICY, policy.policy_id, fields, expires_at)
            for row in rows:
                self._do(db, _NEW_KFRAG, *row)
            return self._append(db, receipt)

    def kfrag(self, policy_id: PolicyId, lane: int) -> DepositedLane | None:
        """Return the kfrag of one lane, or None when it isn't held (any more)."""
        rows = self._read(
            "SELECT delegating, salt, sealed FROM kfrag WHERE policy_id = {} AND lane = {}", policy_id, lane
        )
        if not rows:
            # Never deposited, or deleted: which of both it is, the receipts say.
            return None
        delegating, salt, sealed = map(bytes, rows[0])
        return DepositedLane(
            delegating, box.open_one(self._kfrag_key(policy_id, lane, salt), sealed, labels.KFRAG_AT_REST)
        )

    def log(self, receipt: Callable[[int, bytes], Receipt], *, nonce: Nonce | None = None) -> Receipt:
        """Append a receipt and use up its request's nonce, both or neither; it is on disk when this returns.

        Raises:
            UsageError: the request was answered before; nothing may be served.
            RateLimitedError: a quota is used up; nothing may be served.
            DiskError: the database refuses; nothing may be served.
        """
        with self._write() as db:
            if nonce is not None:
                self._use(db, nonce)
            return self._append(db, receipt)

    def delete(self, policy_id: PolicyId, receipt: Callable[[int, bytes, int], Receipt]) -> Receipt:
        """Delete a policy's kfrags for good and write the receipt; a second call returns the first receipt.

        Raises:
            DiskError: the database refuses; nothing was deleted.
        """
        with self._write() as db:
            known = self._receipts(db, policy_id, ReceiptKind.DELETED)
            if known:
                return known[0]
            count = self._do(db, "DELETE FROM kfrag WHERE policy_id = {}", policy_id)
            self._do(db, "UPDATE policy SET deleted = 1 WHERE policy_id = {}", policy_id)
            written = self._append(db, lambda sequence, previous: receipt(sequence, previous, count))
        # After the transaction, since a checkpoint can't run within one.
        self.forget()
        return written

    def forget(self) -> bool:
        """Make the database give up what was deleted, and tell whether it could do so now.

        SQLite overwrote the pages (`secure_delete`), but until a checkpoint the old ones are still in the write-ahead
        log; PostgreSQL keeps dead rows until VACUUM.
        """
        with self._mapped("can't give up what was deleted"), self._autocommit() as db:
            if not self._is_sqlite:
                db.exec_driver_sql("VACUUM kfrag")
                return True
            # SQLite itself would wait for a reader at each look for as long as its locks may take.
            db.exec_driver_sql("PRAGMA busy_timeout=0")
            try:
                return self._checkpoint(db)
            finally:
                db.exec_driver_sql(f"PRAGMA busy_timeout={1000 * LOCK_TIMEOUT}")

    def held(self, *, after: str, size: int) -> list[PolicyId]:
        """Return policies whose kfrags are here, in the order of their IDs.

        Args:
            after: the ID after which they begin; empty for the first.
            size: how many at most.
        """
        rows = self._read(
            "SELECT policy_id FROM policy WHERE deleted = 0 AND policy_id > {} ORDER BY policy_id LIMIT {}", after, size
        )
        return [PolicyId(row[0]) for row in rows]

    def refuse(
        self, refusal: Refusal, receipt: Callable[[int, bytes, int], Receipt], *, nonce: Nonce
    ) -> Receipt | None:
        """Count a refusal, and append a receipt if it is the first one within its window.

        Args:
            refusal: of whom, and why.
            receipt: makes the receipt from its sequence, the hash of the one before, and how many refusals it is for.
            nonce: of the request.

        Raises:
            UsageError: the request was answered before.
            RateLimitedError: a quota is used up; nothing was counted.
        """
        subject = self._subject("refused", refusal.subject)
        with self._write() as db:
            self._use(db, nonce)
            known = db.exec_driver_sql(
                self._marked("SELECT since, uses FROM refused WHERE policy_id = {} AND subject = {}"),
                (refusal.policy_id, subject),
            ).first()
            if known is not None and nonce.now < known[0] + refusal.window:
                counted = "UPDATE refused SET uses = uses + 1 WHERE policy_id = {} AND subject = {}"
                self._do(db, counted, refusal.policy_id, subject)
                return None
            self._do(db, "DELETE FROM refused WHERE policy_id = {} AND subject = {}", refusal.policy_id, subject)
            row = (refusal.policy_id, subject, nonce.now, int(refusal.apart), refusal.detail)
            self._do(db, "INSERT INTO refused VALUES ({}, {}, {}, 0, {}, {})", *row)
            # Those of the window before that no receipt told of yet are in it.
            count = 1 + (int(known[1]) if known is not None else 0)
            return self._append(db, lambda sequence, previous: receipt(sequence, previous, count), apart=refusal.apart)

    def rests(self, before: int) -> list[Rest]:
        """Return refusals whose window began before a time and that no receipt tells of, at most 100; forget others."""
        with self._write() as db:
            self._do(db, "DELETE FROM refused WHERE since < {} AND uses = 0", before)
            statement = "SELECT policy_id, subject, uses, apart, detail FROM refused WHERE since < {} LIMIT 100"
            rows = db.exec_driver_sql(self._marked(statement), (before,)).all()
        return [Rest(PolicyId(row[0]), bytes(row[1]), int(row[2]), bool(row[3]), bytes(row[4])) for row in rows]

    def tell(self, rest: Rest, receipt: Callable[[int, bytes], Receipt]) -> None:
        """Append the receipt of refusals whose window is over, and forget them, both or neither."""
        with self._write() as db:
            where = "DELETE FROM refused WHERE policy_id = {} AND subject = {} AND uses = {}"
            # None is left where another worker told of them meanwhile, or more were counted.
            if self._do(db, where, rest.policy_id, rest.subject, rest.uses):
                self._append(db, receipt, apart=rest.apart)

    def deposited(self, policy_id: PolicyId) -> Receipt | None:
        """Return the receipt of a policy's deposit, or None when there was none."""
        with self._reading() as db:
            return next(iter(self._receipts(db, policy_id, ReceiptKind.DEPOSITED)), None)

    def receipts(self, policy_id: PolicyId) -> list[Receipt]:
        """Return all of a policy's receipts in the order of the log."""
        with self._reading() as db:
            return self._receipts(db, policy_id)

    def page(self, policy_id: PolicyId, part: ReceiptPart, *, after: int, size: int) -> tuple[list[Receipt], bool]:
        """Return receipts of one part in the order of the log, and whether there are more.

        Args:
            policy_id: whose.
            part: which of them.
            after: the sequence after which they begin.
            size: how many at most.
        """
        rows = self._read(
            f"SELECT fields FROM receipt WHERE policy_id = {{}} AND sequence > {{}} AND {_PARTS[part]} "  # noqa: S608
            "ORDER BY sequence LIMIT {}",
            *(policy_id, after, size + 1),
        )
        return [messages.parse_receipt(json.loads(row[0])) for row in rows[:size]], len(rows) > size

    def head(self) -> tuple[int, bytes]:
        """Return the log's newest sequence (0 for none) and hash."""
        with self._reading() as db:
            return _head(db)

    def hash_at(self, sequence: int) -> bytes | None:
        """Return the hash of the receipt with a sequence, or None where the log has none."""
        rows = self._read("SELECT hash FROM receipt WHERE sequence = {}", sequence)
        return bytes(rows[0][0]) if rows else None

    def check_nonce(self, nonce: Nonce) -> None:
        """Check that a request wasn't answered before and has quotas left, so that one which doesn't costs nothing.

        Only `log`, `deposit` and `use_nonce` decide: of two equal requests at once both may pass here.

        Raises:
            UsageError: it was.
            RateLimitedError: a quota is used up.
        """
        # In one question: it is asked for every request.
        counts = "(SELECT uses FROM counted WHERE minute = {} AND subject = {})"
        values: list[object] = [nonce.value]
        for quota in nonce.quotas:
            values += [nonce.now // _MINUTE, self._subject(quota.kind, quota.subject)]
        columns = ["(SELECT 1 FROM nonce WHERE nonce = {})", *[counts] * len(nonce.quotas)]
        used, *uses = self._read("SELECT " + ", ".join(columns), *values)[0]
        if used:
            raise _repeated()
        for quota, count in zip(nonce.quotas, uses, strict=True):
            _check_quota(quota, quota.weight + (count or 0), nonce.now)

    def use_nonce(self, nonce: Nonce, *, before_receipt: bool = False) -> None:
        """Use up the nonce of a request.

        Args:
            nonce: of the request.
            before_receipt: whether nobody is served before a receipt is written. Then SQLite's disk isn't waited for
                twice: it has the nonce with the receipt, in the order of the commits. What a power cut may take back is
                the nonce of a request that wasn't served, and that nobody serves any more: this process ended with
                the machine. A server of PostgreSQL may recover while this process goes on, so there it waits.

        Raises:
            UsageError: it was used before.
            RateLimitedError: a quota is used up.
        """
        with self._write(lasting=not before_receipt) as db:
            self._use(db, nonce)

    # Inside

    def _checkpoint(self, db: Connection) -> bool:
        deadline = self._clock() + _CHECKPOINT_TIMEOUT
        while db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            if self._clock() > deadline:
                return False
            self._sleep(_CHECKPOINT_POLL)
        return True

    def _create(self, proxy: Address) -> None:
        # Under the log's lock: several processes start at once.
        with self._write() as db:
            self._migrate(db)
            owners = [row[0] for row in db.exec_driver_sql("SELECT address FROM proxy").all()]
            if not owners:
                self._do(db, "INSERT INTO proxy (address) VALUES ({})", proxy)
            elif owners != [proxy]:
                raise ConfigurationError(f"the database {self._where} is of proxy {owners[0]}, this is {proxy}")

    def _migrate(self, db: Connection) -> None:
        """Bring the tables to this program's version, in the transaction that is open: all of it or nothing."""
        db.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER NOT NULL)")
        # Databases from before versions were counted have the tables of the first one, and say nothing.
        row = db.exec_driver_sql("SELECT number FROM schema_version").first()
        version = 0 if row is None else int(row[0])
        if version > len(_CHANGES):
            raise ConfigurationError(
                f"the database {self._where} is of version {version}, this program knows {len(_CHANGES)}; "
                "nothing was changed",
                hint="start the newer PanaChain that wrote it",
            )
        for change in _CHANGES[version:]:
            for statement in change:
                db.exec_driver_sql(statement.format_map(_SQLITE if self._is_sqlite else _POSTGRESQL))
        if version < len(_CHANGES):
            self._do(db, "DELETE FROM schema_version")
            self._do(db, "INSERT INTO schema_version VALUES ({})", len(_CHANGES))

    @contextmanager
    def _write(self, *, lasting: bool = True) -> Iterator[Connection]:
        """Open a transaction that no other one of any thread or process runs beside; the disk is waited for at its end.

        Args:
            lasting: False doesn't wait where only the end of this process, too, takes it back: on SQLite. It is on disk
                with the next one that waits. PostgreSQL's server recovers without us, so each commit waits.
        """
        engine = self._engine if lasting else self._brief
        # The lock spares SQLite's threads the polling by which its processes wait for each other.
        with self._mapped("refuses a write; nothing was served"), self._lock, engine.begin() as db:
            if not self._is_sqlite:
                db.exec_driver_sql(_LOG_LOCK)
            yield db

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._mapped("can't be read"), self._autocommit() as db:
            yield db

    def _autocommit(self) -> Connection:
        return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _read(self, statement: str, *values: object) -> Sequence[Any]:
        with self._reading() as db:
            return db.exec_driver_sql(self._marked(statement), values).all()

    def _do(self, db: Connection, statement: str, *values: object) -> int:
        return db.exec_driver_sql(self._marked(statement), values).rowcount

    def _marked(self, statement: str) -> str:
        """Return a statement with the parameter marks of the database."""
        return statement.replace("{}", "?" if self._is_sqlite else "%s")

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, SQLAlchemyError) as exc:
            if self._is_sqlite:
                # The kind only: a driver's message can hold what was written.
                raise DiskError(f"the proxy's database {what}: {type(exc).__name__}") from exc
            raise DiskError(
                f"the proxy's database {what}: {postgresql.cause(exc, secret=self._secret)}", hint=_SERVER_HINT
            ) from exc

    def _append(self, db: Connection, make: Callable[[int, bytes], Receipt], *, apart: bool = False) -> Receipt:
        # Read inside the transaction that appends: the lock makes sure that no other process reads the same head.
        sequence, previous = _head(db)
        receipt = make(sequence + 1, previous)
        fields = messages.canonical(messages.receipt_fields(receipt)).decode()
        row = (receipt.sequence, receipt.policy_id, receipt.kind.value, fields, receipt_hash(receipt))
        self._do(db, _NEW_RECEIPT, *row)
        if apart:
            self._do(db, "INSERT INTO apart (sequence) VALUES ({})", receipt.sequence)
        return receipt

    def _receipts(self, db: Connection, policy_id: PolicyId, kind: ReceiptKind | None = None) -> list[Receipt]:
        wanted = kind.value if kind else ""
        statement = self._marked(
            "SELECT fields FROM receipt WHERE policy_id = {} AND (kind = {} OR {} = '') ORDER BY sequence"
        )
        rows = db.exec_driver_sql(statement, (policy_id, wanted, wanted)).all()
        return [messages.parse_receipt(json.loads(row[0])) for row in rows]

    def _use(self, db: Connection, nonce: Nonce) -> None:
        now = self._clock()
        if now - self._swept > _SWEEP:
            self._swept = now
            self._do(db, "DELETE FROM nonce WHERE expires_at < {}", nonce.now)
            # One minute more than counts: another worker's clock may be a little behind.
            self._do(db, "DELETE FROM counted WHERE minute < {}", nonce.now // _MINUTE - 1)
        # Kept well past the end of the request's time, so that no change of the clock lets it count twice.
        expires_at = nonce.now + 3 * messages.MAX_AGE
        added = self._do(
            db, "INSERT INTO nonce (nonce, expires_at) VALUES ({}, {}) ON CONFLICT DO NOTHING", nonce.value, expires_at
        )
        if added != 1:
            raise _repeated()
        for quota in nonce.quotas:
            self._count(db, quota, nonce.now)

    def _count(self, db: Connection, quota: Quota, now: int) -> None:
        if quota.most == 0:
            return
        row = (now // _MINUTE, self._subject(quota.kind, quota.subject), quota.weight, quota.weight)
        statement = (
            "INSERT INTO counted (minute, subject, uses) VALUES ({}, {}, {}) "
            "ON CONFLICT (minute, subject) DO UPDATE SET uses = counted.uses + {} RETURNING uses"
        )
        uses = db.exec_driver_sql(self._marked(statement), row).scalar_one()
        # What raises here is rolled back, so a refused request counts nowhere.
        _check_quota(quota, uses, now)

    def _subject(self, kind: str, subject: str) -> bytes:
        # Keyed, so that nobody reads in the database which account asks, which the receipts seal too.
        return kdf.derive(self._key, labels.COUNTED, f"{kind}/{subject}".encode())

    def _sealed(self, policy_id: PolicyId, number: int, lane: DepositedLane) -> tuple[object, ...]:
        salt = os.urandom(16)
        sealed = box.aead_one(self._kfrag_key(policy_id, number, salt), lane.kfrag, labels.KFRAG_AT_REST)
        return policy_id, number, lane.delegating_key, salt, sealed

    def _kfrag_key(self, policy_id: PolicyId, lane: int, salt: bytes) -> bytes:
        # A key of its own for each kfrag, so that the one-time seal is used once.
        return kdf.derive(
            self._key, labels.KFRAG_AT_REST, bytes.fromhex(policy_id[2:]) + lane.to_bytes(4, "big") + salt
        )


class SeenEmergencies:
    """When this proxy first saw which co-signature of an emergency that isn't over."""

    def __init__(self, store: ProxyStore) -> None:
        """Take the database."""
        self._store = store

    def first_seen(self, cosignature: str, practitioner: Address, *, ends_at: int, now: int) -> int | None:
        """Return when a co-signature was first asked for here, Unix seconds: now, if it never was; it is kept then.

        Args:
            cosignature: what names it and no other one.
            practitioner: whose emergency it is. Of one practitioner 64 that aren't over are kept, so nobody fills the
                disk.
            ends_at: until when it is kept, Unix seconds.
            now: Unix seconds.

        Returns:
            None: the practitioner has as many already.

        Raises:
            DiskError: the database refuses.
        """
        store, key = self._store, self._store._subject("cosignature", cosignature)
        if known := store._read(_SEEN, key):
            return int(known[0][0])
        kept = (store._subject("emergencies", practitioner), now)
        # Whoever has as many as are kept takes nobody's turn to write, however often they ask.
        if store._read(_KEPT, *kept)[0][0] >= _EMERGENCIES:
            return None
        with store._write() as db:
            # Another worker may have seen this one, or others, meanwhile: it is looked up before they are counted.
            seen = db.exec_driver_sql(store._marked(_SEEN), (key,)).scalar()
            if seen is not None:
                return int(seen)
            if db.exec_driver_sql(store._marked(_KEPT), kept).scalar_one() >= _EMERGENCIES:
                return None
            store._do(db, "INSERT INTO emergency VALUES ({}, {}, {}, {})", key, kept[0], now, ends_at)
            return now

    def forget(self, now: int) -> None:
        """Forget co-signatures whose emergency is over, at most 1,000 at once; without any nothing is written.

        Args:
            now: Unix seconds.

        Raises:
            DiskError: the database refuses.
        """
        over = "SELECT cosignature FROM emergency WHERE ends_at <= {} LIMIT {}"
        if self._store._read(over, now, 1):
            with self._store._write() as db:
                self._store._do(db, f"DELETE FROM emergency WHERE cosignature IN ({over})", now, _FORGOTTEN)  # noqa: S608


def _policy_fields(policy: HeldPolicy) -> dict[str, Any]:
    return {
        "grantee": policy.grantee,
        "receiving_key": policy.receiving_key,
        "verifying_key": policy.verifying_key,
        "audit_key": policy.audit_key,
        "terms": policy.terms,
        "purposes": [purpose.value for purpose in policy.purposes],
        "lanes": policy.lanes,
    }


def _head(db: Connection) -> tuple[int, bytes]:
    row = db.exec_driver_sql("SELECT sequence, hash FROM receipt ORDER BY sequence DESC LIMIT 1").first()
    if row is None:
        return 0, bytes(HASH_SIZE)
    sequence, head = int(row[0]), bytes(row[1])
    if len(head) != HASH_SIZE:
        raise IntegrityError("the proxy's log is damaged: its newest hash isn't 32 bytes")
    return sequence, head


def _check_quota(quota: Quota, uses: int, now: int) -> None:
    if 0 < quota.most < uses:
        raise RateLimitedError(f"{quota.what}: at most {quota.most} in a minute", retry_after=_MINUTE - now % _MINUTE)


def _unknown(policy_id: PolicyId) -> PolicyUnknownError:
    return PolicyUnknownError(f"this proxy holds nothing for policy {policy_id}")


def _repeated() -> UsageError:
    return UsageError("the request was sent before")
