"""The file of a hospital's journal, as a connection that tells damage in words: whatever is asked of it.

Never mends and never guesses: what of the file can be read is read, and what can't is an error that names the file and
what helps. What was published is learned again from the chain. Follows SQLite's result codes, ADR 20, and
docs/spec/cli.md (section "Damaged files").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from panachain.errors import DiskError
from panachain.private_files import private_file

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HINT: Final = (
    "put back the newest copy of it (`panachain backup restore`); without one move it away with the files of its name"
    " beside it: the next upload learns from the chain what was published, and publishes nothing twice"
)


class JournalFile(sqlite3.Connection):
    """A connection to the journal: each statement, and each row, says of damage what it means."""

    path: Path

    def cursor(self, *_: Any, **__: Any) -> Any:
        """Return a cursor that does so."""
        return super().cursor(_Rows)

    def execute(self, *given: Any) -> sqlite3.Cursor:
        """Execute a statement."""
        made: sqlite3.Cursor = self.cursor()
        return made.execute(*given)

    def executemany(self, *given: Any) -> sqlite3.Cursor:
        """Execute a statement with each of some rows."""
        made: sqlite3.Cursor = self.cursor()
        return made.executemany(*given)


class _Rows(sqlite3.Cursor):
    connection: JournalFile

    def execute(self, *given: Any) -> Self:
        with _told(self.connection.path):
            return super().execute(*given)

    def executemany(self, *given: Any) -> Self:
        with _told(self.connection.path):
            return super().executemany(*given)

    def fetchone(self) -> Any:
        with _told(self.connection.path):
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with _told(self.connection.path):
            return super().fetchall()

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as exc:
            if (told := damage(self.connection.path, exc)) is None:
                raise
            raise told from exc


def open_file(path: Path) -> JournalFile:
    """Open or create the journal's file: it tells which patients a hospital has and which files are theirs.

    Raises:
        OSError: it can't be made or closed to others.
    """
    private_file(path)
    opened = sqlite3.connect(path, timeout=60, isolation_level=None, factory=JournalFile)
    opened.path = path
    return opened


def damage(path: Path, error: Exception) -> DiskError | None:
    """Return what an error of SQLite means where it says that the file is damaged, else None."""
    if not isinstance(error, sqlite3.Error) or getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
        return None
    return DiskError(f"the upload journal {path} is damaged: {error}; nothing more was published", hint=_HINT)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if (told := damage(path, exc)) is None:
            raise
        raise told from exc
