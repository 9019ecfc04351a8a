"""What a proxy keeps: kfrags under seal, and the hash-chained log of its receipts.

Never keeps a kfrag in the clear, and forgets for good what it deletes (`secure_delete`, then a WAL checkpoint).
Follows docs/spec/proxy.md and security rules 5, 12 and 14.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from panachain.chain.receipts import receipt_hash
from panachain.crypto import box, kdf, labels
from panachain.errors import DiskError, PolicyUnknownError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.model.scope import Purpose
from panachain.proxy import messages

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS policy (policy_id TEXT PRIMARY KEY, fields TEXT NOT NULL, deleted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS kfrag (
    policy_id TEXT NOT NULL, lane INTEGER NOT NULL, delegating BLOB NOT NULL, salt BLOB NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (policy_id, lane)
);
CREATE TABLE IF NOT EXISTS receipt (sequence INTEGER PRIMARY KEY, policy_id TEXT NOT NULL, kind TEXT NOT NULL,
    fields TEXT NOT NULL, hash BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS receipt_of_policy ON receipt (policy_id, kind);
CREATE TABLE IF NOT EXISTS nonce (nonce TEXT PRIMARY KEY, expires_at INTEGER NOT NULL);
"""


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
class HeldKfrag:
    """A kfrag, opened for one request."""

    delegating_key: bytes
    kfrag: bytes = field(repr=False)


class ProxyStore:
    """The database of one proxy."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open or create it.

        Args:
            path: the SQLite file; made 0600.
            key: the proxy's own key for what it keeps, 32 bytes.

        Raises:
            DiskError: it can't be opened.
        """
        self._key = key
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            os.chmod(path, 0o600)
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise DiskError(f"the proxy's database {path} can't be opened: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def policy(self, policy_id: PolicyId) -> HeldPolicy:
        """Return what is known of a policy, also after its kfrags were deleted.

        Raises:
            PolicyUnknownError: nothing was ever deposited for it.
        """
        with self._lock:
            row = self._db.execute("SELECT fields FROM policy WHERE policy_id = ?", (policy_id,)).fetchone()
        if row is None:
            raise PolicyUnknownError(f"this proxy holds nothing for policy {policy_id}")
        fields: dict[str, Any] = json.loads(row[0])
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

    def deposit(self, policy: HeldPolicy, kfrags: list[HeldKfrag], receipt: Callable[[int, bytes], Receipt]) -> Receipt:
        """Keep a policy's kfrags and write the receipt, both or neither; a second deposit returns the first receipt."""
        with self._lock:
            known = self.receipts(policy.policy_id, ReceiptKind.DEPOSITED)
            if known:
                return known[0]
            fields = {
                "grantee": policy.grantee,
                "receiving_key": policy.receiving_key,
                "verifying_key": policy.verifying_key,
                "audit_key": policy.audit_key,
                "terms": policy.terms,
                "purposes": [purpose.value for purpose in policy.purposes],
                "lanes": policy.lanes,
            }
            self._begin()
            try:
                self._db.execute(
                    "INSERT INTO policy VALUES (?, ?, 0)", (policy.policy_id, messages.canonical(fields).decode())
                )
                for lane, held in enumerate(kfrags):
                    salt = os.urandom(16)
                    sealed = box.aead_one(
                        self._kfrag_key(policy.policy_id, lane, salt), held.kfrag, labels.KFRAG_AT_REST
                    )
                    self._db.execute(
                        "INSERT INTO kfrag VALUES (?, ?, ?, ?, ?)",
                        (policy.policy_id, lane, held.delegating_key, salt, sealed),
                    )
                return self._commit(receipt)
            except BaseException:
                self._rollback()
                raise

    def kfrag(self, policy_id: PolicyId, lane: int) -> HeldKfrag | None:
        """Return the kfrag of one lane, or None when it isn't held (any more)."""
        with self._lock:
            row = self._db.execute(
                "SELECT delegating, salt, sealed FROM kfrag WHERE policy_id = ? AND lane = ?", (policy_id, lane)
            ).fetchone()
        if row is None:
            return None
        delegating, salt, sealed = row
        return HeldKfrag(delegating, box.open_one(self._kfrag_key(policy_id, lane, salt), sealed, labels.KFRAG_AT_REST))

    def log(self, receipt: Callable[[int, bytes], Receipt]) -> Receipt:
        """Append a receipt; it is on disk when this returns.

        Raises:
            DiskError: the disk refuses; nothing may be served.
        """
        with self._lock:
            self._begin()
            try:
                return self._commit(receipt)
            except BaseException:
                self._rollback()
                raise

    def delete(self, policy_id: PolicyId, receipt: Callable[[int, bytes, int], Receipt]) -> Receipt:
        """Delete a policy's kfrags for good and write the receipt; a second call returns the first receipt."""
        with self._lock:
            known = self.receipts(policy_id, ReceiptKind.DELETED)
            if known:
                return known[0]
            self._begin()
            try:
                count = self._db.execute("DELETE FROM kfrag WHERE policy_id = ?", (policy_id,)).rowcount
                self._db.execute("UPDATE policy SET deleted = 1 WHERE policy_id = ?", (policy_id,))
                written = self._commit(lambda sequence, previous: receipt(sequence, previous, count))
            except BaseException:
                self._rollback()
                raise
            # Until the checkpoint the old pages are still in the write-ahead log.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return written

    def receipts(self, policy_id: PolicyId, kind: ReceiptKind | None = None) -> list[Receipt]:
        """Return a policy's receipts in the order of the log."""
        with self._lock:
            rows = self._db.execute(
                "SELECT fields FROM receipt WHERE policy_id = ? AND (? IS NULL OR kind = ?) ORDER BY sequence",
                (policy_id, kind and kind.value, kind and kind.value),
            ).fetchall()
        return [messages.parse_receipt(json.loads(fields)) for (fields,) in rows]

    def head(self) -> tuple[int, bytes]:
        """Return the log's newest sequence (0 for none) and hash."""
        with self._lock:
            row = self._db.execute("SELECT sequence, hash FROM receipt ORDER BY sequence DESC LIMIT 1").fetchone()
        return (row[0], row[1]) if row else (0, bytes(32))

    def use_nonce(self, nonce: str, *, now: int, expires_at: int) -> bool:
        """Note a request's nonce; False when it was used before."""
        with self._lock:
            self._db.execute("DELETE FROM nonce WHERE expires_at < ?", (now,))
            added = self._db.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", (nonce, expires_at)).rowcount
        return added == 1

    def _begin(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as exc:
            raise DiskError(f"the proxy's database refuses a write: {exc}") from exc

    def _commit(self, make: Callable[[int, bytes], Receipt]) -> Receipt:
        sequence, previous = self.head()
        receipt = make(sequence + 1, previous)
        fields = messages.canonical(messages.receipt_fields(receipt))
        row = (receipt.sequence, receipt.policy_id, receipt.kind.value, fields.decode(), receipt_hash(receipt))
        try:
            self._db.execute("INSERT INTO receipt VALUES (?, ?, ?, ?, ?)", row)
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            raise DiskError(f"the proxy's log refuses a receipt: {exc}; nothing was served") from exc
        return receipt

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _kfrag_key(self, policy_id: PolicyId, lane: int, salt: bytes) -> bytes:
        # A key of its own for each kfrag, so that the one-time seal is used once.
        return kdf.derive(
            self._key, labels.KFRAG_AT_REST, bytes.fromhex(policy_id[2:]) + lane.to_bytes(4, "big") + salt
        )
