"""SQLite files of services that one process uses: opened private and durable, written all or nothing.

Proxies have a database of their own kind (service/proxy/database.py), since several of their workers share it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from panachain.errors import DiskError
from panachain.private_files import private_file

_WAIT: Final = 30
"""Seconds that a statement waits for somebody else's."""


def open_durable(path: Path, schema: str) -> sqlite3.Connection:
    """Return the connection to a file of our own (0600), which all threads may use in turn.

    Args:
        path: of the file, which is made if need be.
        schema: statements that make what isn't there yet.

    Raises:
        OSError: the file can't be made, or isn't ours.
        sqlite3.Error: it is no database, or can't be written.
    """
    private_file(path)
    db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    # What was counted or signed and then forgotten at a power cut would be given twice.
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(schema)
    return db


@contextmanager
def all_or_nothing(db: sqlite3.Connection, lock: AbstractContextManager[object], refusal: str) -> Iterator[None]:
    """Do all statements of the context, or none of them.

    Args:
        db: from `open_durable`.
        lock: held meanwhile; one for each connection.
        refusal: the error's message, with a place `{error}` for what SQLite says.

    Raises:
        DiskError: the database refuses.
    """
    with lock:
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise DiskError(refusal.format(error=exc)) from exc
