"""How connections to a proxy's database are set up: SQLite or PostgreSQL.

Leaves nothing of what SQLite deletes in its pages. What the tables hold is `service/proxy/store.py`'s affair, and where
the database is, `service/database.py`'s. Follows docs/spec/proxy.md, section "Database".
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from panachain import postgresql

WHAT: Final = "the proxy's database"
LOCK_TIMEOUT: Final = 30
"""Seconds that processes wait for each other."""


def open_engine(url: URL, *, lasting: bool = True) -> Engine:
    """Return the connections to a database; nothing is asked of it yet.

    Args:
        url: where it is.
        lasting: whether a commit waits for the disk; of SQLite's, one that doesn't is on disk with the next that does.

    Raises:
        ConfigurationError: the driver isn't installed.
    """
    if url.get_backend_name() == "postgresql":
        return postgresql.open_engine(url, WHAT, connections=8, lock_timeout=LOCK_TIMEOUT)
    engine = create_engine(
        url,
        pool_size=8,
        max_overflow=8,
        hide_parameters=True,
        connect_args={"timeout": LOCK_TIMEOUT, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # We say BEGIN ourselves, so that a transaction takes its lock at its start.
        connection.isolation_level = None
        for setting in ("secure_delete=ON", "journal_mode=WAL", f"synchronous={'FULL' if lasting else 'NORMAL'}"):
            connection.execute(f"PRAGMA {setting}").fetchall()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
