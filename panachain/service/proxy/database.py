"""Where a proxy's database is, and how connections to it are set up: SQLite or PostgreSQL.

Never shows a password, and leaves nothing of what SQLite deletes in its pages. What the tables hold is
`service/proxy/store.py`'s affair. Follows docs/spec/proxy.md, section "Database".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from panachain.errors import ConfigurationError

LOCK_TIMEOUT: Final = 30
"""Seconds that SQLite's processes wait for each other."""


def database_url(text: str, *, folder: Path, password: str | None = None) -> URL:
    """Return where a proxy's database is.

    Args:
        text: a file name, or a URL of SQLAlchemy's such as `postgresql+psycopg://proxy@host/database`.
        folder: where a relative file name starts.
        password: for the URL, which should hold none.

    Raises:
        ConfigurationError: the URL can't be read, holds a password where it would be shown, or is of a database that
            isn't supported.
    """
    if "://" not in text:
        return URL.create("sqlite", database=str(folder / text))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Without its cause: the message quotes the URL, which may hold a password.
        raise ConfigurationError("the proxy's database URL can't be read") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"a proxy's database is SQLite or PostgreSQL, not {url.get_backend_name()}")
    if "password" in url.query:
        # Only the one before the host is left out where the URL is shown.
        raise ConfigurationError("the database URL's query holds a password", hint="use databasePasswordFile")
    return url if password is None else url.set(password=password)


def open_engine(url: URL) -> Engine:
    """Return the connections to a database; nothing is asked of it yet."""
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True)
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
        for setting in ("secure_delete=ON", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {setting}").fetchall()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
