"""What a relay remembers: what it spent, what it signed, and which signed transaction answers which request.

Never knows its clients: it keeps no address of one, and no time of a request finer than its transaction's.
Each transaction is written down before it is sent (security rule 5), so a restart neither forgets a cost nor pays
twice.
Follows docs/spec/relay.md, section "State".
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.errors import DiskError
from panachain.private_files import open_private
from panachain.service.database import Place, Session, open_durable

_LOCK: Final = 2
"""Of relays among the services: one of them uses a PostgreSQL database."""
DAY: Final = 86_400
"""Seconds over which a budget counts."""
_KEPT: Final = 2 * DAY
"""Seconds after which a transaction is forgotten whose end is known."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payment (
    id {id}, at {number} NOT NULL, gas {number} NOT NULL, state TEXT NOT NULL,
    tx_hash TEXT NOT NULL DEFAULT '', block {number} NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS payment_by_time ON payment (at);
CREATE TABLE IF NOT EXISTS signed ({order}payment {number} NOT NULL, tx_hash TEXT NOT NULL, raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS item (key TEXT PRIMARY KEY, payment {number} NOT NULL);
CREATE TABLE IF NOT EXISTS counted (
    account TEXT NOT NULL, kind TEXT NOT NULL, day {number} NOT NULL, times {number} NOT NULL,
    PRIMARY KEY (account, kind, day)
);
CREATE TABLE IF NOT EXISTS spent (token {bytes} PRIMARY KEY, key TEXT NOT NULL, at {number} NOT NULL) {ordered};
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

    def __init__(self, place: Place | Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create it; a file is made 0600.

        Raises:
            DiskError: it can't be opened, or another relay uses it.
            ConfigurationError: its URL can't be used.
        """
        self._clock = clock
        self._alone: int | None = None
        file = place if isinstance(place, Path) else place.file
        if file is not None:
            try:
                self._alone = _hold(file.with_name(file.name + ".lock"))
            except OSError as exc:
                raise DiskError(f"the relay's database {file} can't be opened: {exc}") from exc
        self._durable = open_durable(
            place, _SCHEMA, what="the relay's database", lock=_LOCK, refusal="nothing was sent"
        )

    def close(self) -> None:
        """Close it."""
        self._durable.close()
        if self._alone is not None:
            os.close(self._alone)

    def spent(self) -> int:
        """Return the gas of the last 24 hours: used, or put aside for what is under way."""
        with self._durable.writing() as db:
            since = int(self._clock()) - DAY
            row = db.run("SELECT coalesce(sum(gas), 0) FROM payment WHERE at > ?", (since,)).fetchone()
            return int(row[0])

    def begin(self, keys: Sequence[str], gas: int) -> int:
        """Put gas aside for one transaction that carries these requests; return the payment's number."""
        with self._durable.writing() as db:
            now = int(self._clock())
            _forget(db, now)
            number = int(
                db.run(
                    "INSERT INTO payment (at, gas, state) VALUES (?, ?, 'sent') RETURNING id", (now, gas)
                ).fetchone()[0]
            )
            newest = "INSERT INTO item VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET payment = excluded.payment"
            db.run_many(newest, [(key, number) for key in keys])
            return number

    def signed(self, number: int, tx_hash: str, raw: str) -> None:
        """Keep a signed transaction before it is sent."""
        with self._durable.writing() as db:
            db.run("INSERT INTO signed (payment, tx_hash, raw) VALUES (?, ?, ?)", (number, tx_hash, raw))
            db.run("UPDATE payment SET tx_hash = ? WHERE id = ?", (tx_hash, number))

    def mined(self, number: int, tx_hash: str, block: int, gas: int) -> None:
        """Note what a transaction took."""
        with self._durable.writing() as db:
            db.run(
                # The gas that was used takes the place of what was put aside, so the rest can be spent.
                "UPDATE payment SET state = 'mined', tx_hash = ?, block = ?, gas = ? WHERE id = ?",
                (tx_hash, block, gas, number),
            )
            db.run("DELETE FROM signed WHERE payment = ?", (number,))

    def failed(self, number: int) -> None:
        """Note that a transaction was mined and reverted: it was paid, and its requests may come again."""
        with self._durable.writing() as db:
            db.run("UPDATE payment SET state = 'mined' WHERE id = ?", (number,))
            db.run("DELETE FROM item WHERE payment = ?", (number,))
            db.run("DELETE FROM signed WHERE payment = ?", (number,))

    def drop(self, number: int) -> None:
        """Forget a transaction that was never sent or can't be mined any more; its requests may come again."""
        with self._durable.writing() as db:
            for statement in ("item WHERE payment", "signed WHERE payment", "payment WHERE id"):
                db.run(f"DELETE FROM {statement} = ?", (number,))  # noqa: S608 - three fixed texts

    def spend(self, token: bytes, key: str, *, since: int) -> bool:
        """Note that a token pays for a request, and tell whether it pays for no other one.

        Args:
            token: what is remembered of it, 32 bytes.
            key: of the request; the same one may come again with its token.
            since: Unix seconds; what was spent before is forgotten, since its period is over.
        """
        with self._durable.writing() as db:
            # Whole days only: when exactly a token was spent is nobody's business.
            day = int(self._clock()) // DAY * DAY
            db.run("DELETE FROM spent WHERE at < ?", (since - DAY,))
            db.run("INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (token, key, day))
            row = db.run("SELECT key FROM spent WHERE token = ?", (token,)).fetchone()
            return bool(row[0] == key)

    def count(self, account: str, kind: str, most: int) -> bool:
        """Count one more request of an account today, and tell whether it may have it; a refused one isn't counted.

        Args:
            account: whose.
            kind: of request; each is counted apart.
            most: requests of this kind in a day (UTC).
        """
        with self._durable.writing() as db:
            day = int(self._clock()) // DAY
            db.run("DELETE FROM counted WHERE day < ?", (day - 1,))
            where = (account, kind, day)
            row = db.run("SELECT times FROM counted WHERE account = ? AND kind = ? AND day = ?", where).fetchone()
            if row is not None and row[0] >= most:
                return False
            db.run(
                "INSERT INTO counted VALUES (?, ?, ?, 1) ON CONFLICT (account, kind, day)"
                " DO UPDATE SET times = counted.times + 1",
                where,
            )
            return True

    def payment_of(self, key: str) -> Payment | None:
        """Return the transaction that carries a request, or None."""
        with self._durable.writing() as db:
            row = db.run(
                "SELECT p.id, p.state, p.tx_hash, p.block, p.gas FROM item i JOIN payment p ON p.id = i.payment"
                " WHERE i.key = ?",
                (key,),
            ).fetchone()
        return Payment(*row) if row else None

    def open_payments(self) -> list[tuple[int, list[tuple[str, str]]]]:
        """Return the payments that aren't known to be mined, each with its signed (hash, raw), oldest first."""
        with self._durable.writing() as db:
            open_ones = db.run("SELECT id FROM payment WHERE state = 'sent' ORDER BY id").fetchall()
            return [(row[0], _signed(db, row[0])) for row in open_ones]


def _signed(db: Session, number: int) -> list[tuple[str, str]]:
    rows = db.run("SELECT tx_hash, raw FROM signed WHERE payment = ? ORDER BY rowid", (number,)).fetchall()
    return [(row[0], row[1]) for row in rows]


def _forget(db: Session, now: int) -> None:
    old = "SELECT id FROM payment WHERE state = 'mined' AND at < ?"
    db.run(f"DELETE FROM item WHERE payment IN ({old})", (now - _KEPT,))  # noqa: S608 - a fixed text
    db.run("DELETE FROM payment WHERE state = 'mined' AND at < ?", (now - _KEPT,))


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
