"""What a relay remembers: what it spent, what it signed, and which signed transaction answers which request.

Never knows its clients: it keeps no address of one, and no time of a request finer than its transaction's.
Each transaction is written down before it is sent (security rule 5), so a restart neither forgets a cost nor pays
twice.
Follows docs/spec/relay.md, section "State".
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.errors import DiskError
from panachain.private_files import open_private
from panachain.service.sqlite import all_or_nothing, open_durable

DAY: Final = 86_400
"""Seconds over which a budget counts."""
_KEPT: Final = 2 * DAY
"""Seconds after which a transaction is forgotten whose end is known."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payment (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, gas INTEGER NOT NULL, state TEXT NOT NULL,
    tx_hash TEXT NOT NULL DEFAULT '', block INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payment_by_time ON payment (at);
CREATE TABLE IF NOT EXISTS signed (payment INTEGER NOT NULL, tx_hash TEXT NOT NULL, raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS item (key TEXT PRIMARY KEY, payment INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS spent (token BLOB PRIMARY KEY, key TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Payment:
    """One transaction of the relay, with the requests that it carries."""

    number: int
    state: str
    """`sent` while it isn't known to be mined, then `mined`; what failed is taken out."""
    tx_hash: str
    """The newest one that was signed, or the mined one."""
    block: int
    gas: int
    """Used, or put aside while it isn't known."""


class RelayStore:
    """The database of one relay: of one process, whose threads may all use it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create it (0600).

        Raises:
            DiskError: it can't be opened, or another relay uses it.
        """
        self._clock = clock
        self._lock = threading.RLock()
        try:
            self._alone = _hold(path.with_name(path.name + ".lock"))
            self._db = open_durable(path, _SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise DiskError(f"the relay's database {path} can't be opened: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        os.close(self._alone)

    def spent(self) -> int:
        """Return the gas of the last 24 hours: used, or put aside for what is under way."""
        with self._writing():
            since = int(self._clock()) - DAY
            row = self._db.execute("SELECT coalesce(sum(gas), 0) FROM payment WHERE at > ?", (since,)).fetchone()
            return int(row[0])

    def begin(self, keys: Sequence[str], gas: int) -> int:
        """Put gas aside for one transaction that carries these requests; return the payment's number."""
        with self._writing():
            now = int(self._clock())
            self._forget(now)
            number = self._db.execute(
                "INSERT INTO payment (at, gas, state) VALUES (?, ?, 'sent')", (now, gas)
            ).lastrowid
            self._db.executemany("INSERT OR REPLACE INTO item VALUES (?, ?)", [(key, number) for key in keys])
            return int(number or 0)

    def signed(self, number: int, tx_hash: str, raw: str) -> None:
        """Keep a signed transaction before it is sent."""
        with self._writing():
            self._db.execute("INSERT INTO signed VALUES (?, ?, ?)", (number, tx_hash, raw))
            self._db.execute("UPDATE payment SET tx_hash = ? WHERE id = ?", (tx_hash, number))

    def mined(self, number: int, tx_hash: str, block: int, gas: int) -> None:
        """Note what a transaction took."""
        with self._writing():
            self._db.execute(
                # The gas that was used takes the place of what was put aside, so the rest can be spent.
                "UPDATE payment SET state = 'mined', tx_hash = ?, block = ?, gas = ? WHERE id = ?",
                (tx_hash, block, gas, number),
            )
            self._db.execute("DELETE FROM signed WHERE payment = ?", (number,))

    def failed(self, number: int) -> None:
        """Note that a transaction was mined and reverted: it was paid, and its requests may come again."""
        with self._writing():
            self._db.execute("UPDATE payment SET state = 'mined' WHERE id = ?", (number,))
            self._db.execute("DELETE FROM item WHERE payment = ?", (number,))
            self._db.execute("DELETE FROM signed WHERE payment = ?", (number,))

    def drop(self, number: int) -> None:
        """Forget a transaction that was never sent or can't be mined any more; its requests may come again."""
        with self._writing():
            for statement in ("item WHERE payment", "signed WHERE payment", "payment WHERE id"):
                self._db.execute(f"DELETE FROM {statement} = ?", (number,))  # noqa: S608 - three fixed texts

    def spend(self, token: bytes, key: str, *, since: int) -> bool:
        """Note that a token pays for a request, and tell whether it pays for no other one.

        Args:
            token: what is remembered of it, 32 bytes.
            key: of the request; the same one may come again with its token.
            since: Unix seconds; what was spent before is forgotten, since its period is over.
        """
        with self._writing():
            # Whole days only: when exactly a token was spent is nobody's business.
            day = int(self._clock()) // DAY * DAY
            self._db.execute("DELETE FROM spent WHERE at < ?", (since - DAY,))
            self._db.execute("INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (token, key, day))
            row = self._db.execute("SELECT key FROM spent WHERE token = ?", (token,)).fetchone()
            return bool(row[0] == key)

    def payment_of(self, key: str) -> Payment | None:
        """Return the transaction that carries a request, or None."""
        with self._writing():
            row = self._db.execute(
                "SELECT p.id, p.state, p.tx_hash, p.block, p.gas FROM item i JOIN payment p ON p.id = i.payment"
                " WHERE i.key = ?",
                (key,),
            ).fetchone()
        return Payment(*row) if row else None

    def open_payments(self) -> list[tuple[int, list[tuple[str, str]]]]:
        """Return the payments that aren't known to be mined, each with its signed (hash, raw), oldest first."""
        with self._writing():
            numbers = [row[0] for row in self._db.execute("SELECT id FROM payment WHERE state = 'sent' ORDER BY id")]
            return [(number, self._signed(number)) for number in numbers]

    def _signed(self, number: int) -> list[tuple[str, str]]:
        statement = "SELECT tx_hash, raw FROM signed WHERE payment = ? ORDER BY rowid"
        return self._db.execute(statement, (number,)).fetchall()

    def _forget(self, now: int) -> None:
        old = "SELECT id FROM payment WHERE state = 'mined' AND at < ?"
        self._db.execute(f"DELETE FROM item WHERE payment IN ({old})", (now - _KEPT,))  # noqa: S608 - a fixed text
        self._db.execute("DELETE FROM payment WHERE state = 'mined' AND at < ?", (now - _KEPT,))

    def _writing(self) -> AbstractContextManager[None]:
        """Do all of it or nothing."""
        return all_or_nothing(self._db, self._lock, "the relay's database refuses: {error}; nothing was sent")


def _hold(path: Path) -> int:
    """Return the descriptor of a file that only one process holds, until it closes it or ends.

    Raises:
        DiskError: another one holds it.
        OSError: it can't be opened.
    """
    held = open_private(path, os.O_RDWR)
    try:
        # A file of its own, because closing the database's file here would drop SQLite's locks on it. Of two relays on
        # one database each would count its own waiting orders only, and take the other's for those of an earlier run.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise DiskError(f"another relay uses the same database: it holds {path}") from None
    return held
