"""Where the copy of a chain is kept: an SQLite file, or a PostgreSQL database, beneath one small interface.

SQLite is reached by Python's own module: commands start without SQLAlchemy, which takes longer to import than they run.
PostgreSQL is reached through SQLAlchemy Core. Statements are written once, with `?` for each value; only the names of
types differ. Whatever is kept can be read from the chain again, so a damaged file is made anew.
Follows SQLite's documentation ("Write-Ahead Logging", "Pragma statements") and docs/spec/follower.md.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from panachain import postgresql
from panachain.errors import ConfigurationError, DiskError
from panachain.private_files import private_file

if TYPE_CHECKING:
    # For its type only: see above.
    from sqlalchemy import Connection, Engine

_LOG: Final = logging.getLogger(__name__)
_LOCK_TIMEOUT: Final = 60
"""Seconds that processes wait for each other's writing."""
_IDLE: Final = 8
"""Connections that are kept for the next reader."""
_PRAGMAS: Final = (
    "journal_mode=WAL",
    # A power cut may take back the last transactions, and never half of one: they are on the chain still.
    "synchronous=NORMAL",
    "cache_size=-16384",
    "temp_store=MEMORY",
)
_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
"""Of an SQLite file and those beside it."""
_HINT: Final = "nothing is lost: the chain is read again once the database answers"
Values = Sequence[Any]


class RenewedError(DiskError):
    """The file was damaged, and is empty now: what was asked of it may be asked again."""


class Found(Protocol):
    """Rows of an answer."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """Return all rows that are left."""
        ...

    def fetchmany(self, size: int = ...) -> Sequence[Any]:
        """Return the next rows, at most `size`."""
        ...


class Session(Protocol):
    """One transaction under way."""

    def run(self, statement: str, values: Values = ()) -> Found:
        """Run a statement with `?` for each value, and return its rows."""
        ...

    def run_many(self, statement: str, rows: Iterable[Values]) -> None:
        """Run a statement once for each row."""
        ...


class Database(Protocol):
    """What keeps the copy; several threads and processes may use it."""

    types: dict[str, str]
    """What the dialect calls `{number}` and `{bytes}`, how a table ends that lies in the order of its key, and how a
    statement says by which index a table is searched."""

    def reading(self) -> AbstractContextManager[Session]:
        """Return a transaction that sees one state and changes nothing."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """Return the only transaction that writes; an exception takes all of it back."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def open_database(where: Path | str, prepare: Callable[[Session, dict[str, str]], None]) -> Database:
    """Open or make a database, with its tables.

    Args:
        where: an SQLite file, or a URL of PostgreSQL as SQLAlchemy takes it.
        prepare: makes the tables that are missing, given a session and the dialect's types; it runs for each file
            that was made anew, too.

    Raises:
        DiskError: the file or the database can't be opened.
        ConfigurationError: the URL isn't one of PostgreSQL, or holds a password.
    """
    return SqliteDatabase(where, prepare) if isinstance(where, Path) else PostgresDatabase(where, prepare)


class SqliteDatabase:
    """An SQLite file (0600) in a folder of its user's (0700)."""

    def __init__(self, path: Path, prepare: Callable[[Session, dict[str, str]], None]) -> None:
        """Open or make the file; a damaged one is made anew.

        Raises:
            DiskError: it can't be opened or made.
        """
        self.types = {
            "number": "INTEGER",
            "bytes": "BLOB",
            "ordered": " WITHOUT ROWID",
            "hint": " INDEXED BY {index}",
            "empty": "x''",
        }
        self.path = path
        self._prepare = prepare
        self._lock = threading.RLock()
        self._idle: list[sqlite3.Connection] = []
        self._file = (0, 0)
        """Device and inode of the file that is open."""
        with _mapped(path):
            self._make()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read one state."""
        with self._transaction("BEGIN") as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Write, alone."""
        with self._transaction("BEGIN IMMEDIATE") as session:
            yield session

    def close(self) -> None:
        """Close all connections; the last one writes the log into the file."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        with _mapped(self.path):
            connection, file = self._take()
        kept = False
        try:
            connection.execute(begin)
            yield _SqliteSession(connection)
            connection.execute("COMMIT")
            kept = True
        except sqlite3.Error as exc:
            if not _is_damage(exc):
                raise _failure(self.path, exc) from exc
            self._renew(exc)
            raise RenewedError(f"the copy of the chain in {self.path} was damaged, and is made anew") from exc
        finally:
            if kept:
                self._give(connection, file)
            else:
                with suppress(sqlite3.Error):
                    connection.rollback()
                connection.close()

    def _renew(self, cause: Exception) -> None:
        with self._lock, _mapped(self.path):
            # Another thread or process may have been here first: then the file is another one already.
            if _identity(self.path) == self._file:
                _LOG.warning("%s is damaged (%s), and is made anew from the chain", self.path, cause)
                _remove(self.path)
            self._make()

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        with self._lock:
            # Somebody may delete the file at any time: the copy is made anew, and no connection writes into the void.
            if _identity(self.path) != self._file:
                self._make()
            return (self._idle.pop() if self._idle else self._connect()), self._file

    def _give(self, connection: sqlite3.Connection, file: tuple[int, int]) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and file == self._file:
                self._idle.append(connection)
                return
        connection.close()

    def _make(self) -> None:
        self.close()
        try:
            self._open()
        except sqlite3.DatabaseError as exc:
            if not _is_damage(exc):
                raise
            _LOG.warning("%s is damaged (%s), and is made anew from the chain", self.path, exc)
            _remove(self.path)
            self._open()

    def _open(self) -> None:
        # Made here, so that it is never readable by others, not even for a moment; SQLite's other files copy its mode.
        private_file(self.path)
        self._file = _identity(self.path)
        connection = self._connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._prepare(_SqliteSession(connection), self.types)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        # A connection is used by one thread at a time, and not always by the one that made it.
        connection = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        for setting in _PRAGMAS:
            connection.execute(f"PRAGMA {setting}").fetchall()
        return connection


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Values = ()) -> Found:
        return self._connection.execute(statement, values)

    def run_many(self, statement: str, rows: Iterable[Values]) -> None:
        self._connection.executemany(statement, rows)


class PostgresDatabase:
    """A PostgreSQL database, which several machines of one operator may share."""

    def __init__(self, url: str, prepare: Callable[[Session, dict[str, str]], None]) -> None:
        """Connect, and make the tables that are missing.

        Raises:
            ConfigurationError: the URL isn't one of PostgreSQL, or holds a password.
            DiskError: the database doesn't answer.
        """
        self.types = {"number": "BIGINT", "bytes": "BYTEA", "ordered": "", "hint": "", "empty": "''::bytea"}
        self._engine = _engine(url)
        with self.writing() as session:
            prepare(session, self.types)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read one state."""
        with self._transaction("REPEATABLE READ") as connection:
            yield postgresql.Session(connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Write, alone."""
        with self._transaction("READ COMMITTED") as connection:
            # One writer at a time, as in SQLite. The number is this program's own: "pana" in ASCII.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1885433441)")
            yield postgresql.Session(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, isolation: str) -> Iterator[Connection]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect().execution_options(isolation_level=isolation) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as exc:
            raise DiskError(f"the database of the chain's copy fails: {postgresql.cause(exc)}", hint=_HINT) from exc


def _engine(url: str) -> Engine:
    what = "the chain's copy"
    parsed = postgresql.read_url(url, what)
    if parsed.password is not None:
        raise ConfigurationError(
            f"the URL of {what} holds a password", hint="name PostgreSQL's password file in PGPASSFILE"
        )
    return postgresql.open_engine(parsed, what, connections=_IDLE, lock_timeout=_LOCK_TIMEOUT)


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise _failure(path, exc) from exc


def _failure(path: Path, error: Exception) -> DiskError:
    return DiskError(
        f"the copy of the chain in {path} can't be used: {error}",
        hint="nothing is lost: it is read from the chain again once the file can be written",
    )


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file itself is at fault: no SQLite file, torn pages, or other tables than ours."""
    if isinstance(error, sqlite3.OperationalError):
        # Locked, full, and not writable are no damage.
        return any(word in str(error) for word in ("no such table", "no such column", "malformed"))
    return type(error) is sqlite3.DatabaseError


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
