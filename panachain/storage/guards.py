"""Who writes to a store while records are erased from it: nobody, and afterwards nobody stores what was erased again.

Whoever holds blocks in memory that are to be stored holds the guard's lock, shared; an erasure has it alone from its
first deletion until it looked for the last block. The system frees a lock whose process died, every wait is bounded,
and a guard that can't be locked fails clearly. What was erased is noted as hashes of hashes: they tell whether a block
is meant, and name none. Guards only what goes through this folder: others who write to the same Kubo node or bucket
from elsewhere aren't known here. Follows ADR 59.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from panachain.errors import DiskError, PanaChainError, StoreUnavailableError, UsageError
from panachain.ipld.cid import CID
from panachain.private_files import open_private, private_file

WAIT: Final = 120.0
"""Seconds for which a writer waits for an erasure."""
_LOOK: Final = 0.02
"""Seconds between two looks at a lock."""
_ASKED: Final = 500
"""Hashes of one question to the database."""
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS erased (hash BLOB PRIMARY KEY) WITHOUT ROWID;"
_ALONE: Final = threading.local()
"""Which locks this thread has alone: what an erasure itself writes goes by."""


class Guard:
    """The lock of one store on this machine, and what was erased from it. Any thread may use it."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take where lock and notes lie, and what messages call the store; nothing is made before it is needed."""
        self.name = name
        self._lock_file = folder / "store.lock"
        self._notes = folder / "erased.sqlite"
        self._db: sqlite3.Connection | None = None
        self._db_lock = threading.Lock()

    @property
    def place(self) -> str:
        """Where the lock lies: locks are taken in this order."""
        return str(self._lock_file)

    def close(self) -> None:
        """Close the notes."""
        with self._db_lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def shared(self, wait: float | None = None) -> Iterator[None]:
        """Hold the lock beside other writers; not to be held by a thread that goes on to erase.

        Args:
            wait: seconds for which an erasure is waited for; None for `WAIT`.

        Raises:
            StoreUnavailableError: the erasure takes longer, or the file system has no locks.
            DiskError: the folder can't be written.
        """
        with self._locked(fcntl.LOCK_SH, WAIT if wait is None else wait) as is_held:
            if not is_held:
                raise StoreUnavailableError(
                    f"records are being erased from the {self.name}, for longer than {WAIT:.0f} s; nothing was stored",
                    hint="the same command again, when `panachain erase` has ended",
                )
            yield

    @contextmanager
    def alone(self, wait: float) -> Iterator[bool]:
        """Hold the lock as nobody else does, and give whether that was possible within `wait` seconds.

        Raises:
            StoreUnavailableError: the file system has no locks.
            DiskError: the folder can't be written.
        """
        with self._locked(fcntl.LOCK_EX, wait) as is_held:
            yield is_held

    def note(self, cids: Iterable[CID]) -> None:
        """Note that blocks are erased, before they are.

        Raises:
            StoreUnavailableError: the disk refuses.
        """
        self._note(_hash(cid) for cid in cids)

    def note_all_of(self, other: Guard) -> None:
        """Note what another guard knows to be erased; raises as `note`."""
        rows = other._rows("SELECT hash FROM erased", ())
        if rows and other.place != self.place:
            self._note(digest for (digest,) in rows)

    def erased(self, cids: Iterable[CID]) -> set[CID]:
        """Return which of some blocks were erased.

        Raises:
            StoreUnavailableError: the notes can't be read.
        """
        if not self._has_notes():
            return set()
        wanted: dict[bytes, list[CID]] = {}
        for cid in cids:
            wanted.setdefault(_hash(cid), []).append(cid)
        hashes, found = list(wanted), set[CID]()
        for start in range(0, len(hashes), _ASKED):
            part = hashes[start : start + _ASKED]
            marks = ", ".join("?" * len(part))
            asked = f"SELECT hash FROM erased WHERE hash IN ({marks})"  # noqa: S608
            for (digest,) in self._rows(asked, part):
                found.update(wanted[digest])
        return found

    def check(self, cids: Iterable[CID]) -> None:
        """Check that no block is stored that was erased.

        Raises:
            UsageError: one was.
            StoreUnavailableError: as `erased`.
        """
        found = self.erased(cids)
        if found:
            raise UsageError(
                f"{len(found)} of the blocks, such as {min(found)}, were erased from the {self.name}: they aren't"
                " stored again",
                hint="what shall be kept is published anew from its source: panachain upload",
            )

    def _has_notes(self) -> bool:
        if self._db is not None:
            return True
        try:
            self._notes.stat()
        except FileNotFoundError:
            return False
        except OSError:
            # There is something that can't be read: whoever asks is told so.
            return True
        return True

    def _rows(self, asked: str, values: Iterable[bytes]) -> list[tuple[bytes]]:
        if not self._has_notes():
            return []
        try:
            with self._db_lock:
                return self._opened().execute(asked, tuple(values)).fetchall()
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(
                f"what was erased from the {self.name} can't be read ({self._notes}): {exc}; nothing was stored"
            ) from exc

    def _note(self, hashes: Iterable[bytes]) -> None:
        try:
            with self._db_lock:
                self._opened().executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((one,) for one in hashes))
                self._opened().commit()
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(
                f"what is erased from the {self.name} can't be noted ({self._notes}): {exc}"
            ) from exc

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            private_file(self._notes)
            db = sqlite3.connect(self._notes, timeout=60, check_same_thread=False)
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
            self._db = db
        return self._db

    @contextmanager
    def _locked(self, kind: int, wait: float) -> Iterator[bool]:
        # A descriptor of its own each time: the system keeps threads and processes apart alike.
        try:
            descriptor = _opened(self._lock_file)
        except OSError as exc:
            raise self._unlockable(exc) from exc
        mine: set[tuple[int, int]] = _ALONE.__dict__.setdefault("held", set())
        found = os.fstat(descriptor)
        key = found.st_dev, found.st_ino
        try:
            if key in mine:
                yield True
                return
            is_held = self._wait(descriptor, kind, wait)
            if is_held and kind == fcntl.LOCK_EX:
                mine.add(key)
                try:
                    yield True
                finally:
                    mine.discard(key)
            else:
                yield is_held
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int, kind: int, wait: float) -> bool:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_LOOK)
            except OSError as exc:
                raise self._unlockable(exc) from exc

    def _unlockable(self, exc: OSError) -> PanaChainError:
        message = f"the {self.name} can't be locked ({self._lock_file}): {exc.strerror}; nothing was stored"
        if exc.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            hint = "mount that folder with locks (NFS: without `nolock`), or put the store onto a disk of this machine"
            return StoreUnavailableError(message, hint=hint)
        hint = "its folder must be writable for whoever runs panachain: look at its owner, its mount and the room there"
        return DiskError(message, hint=hint)


def guards_of(*stores: object) -> list[Guard]:
    """Return the guards of stores and of their nodes, in the order in which they are locked."""
    found = {guard.place: guard for store in stores for guard in getattr(store, "guards", ())}
    return [found[place] for place in sorted(found)]


@contextmanager
def writing(*stores: object) -> Iterator[None]:
    """Hold all guards of some stores while their blocks are read and written; raises as `Guard.shared`."""
    until = time.monotonic() + WAIT
    with ExitStack() as held:
        for guard in guards_of(*stores):
            held.enter_context(guard.shared(until - time.monotonic()))
        yield


def check_not_erased(store: object, cids: Iterable[CID]) -> None:
    """Check that a store gets no block that was erased from it; raises as `Guard.check`."""
    for guard in guards_of(store):
        guard.check(cids)


def erased_of(guards: Iterable[Guard], cids: Iterable[CID]) -> set[CID]:
    """Return which of some blocks any of the guards knows to be erased."""
    wanted = list(cids)
    return set[CID]().union(*(guard.erased(wanted) for guard in guards))


def _opened(path: Path) -> int:
    try:
        # It is there nearly always, in a folder that nobody else gets into: each write comes by here.
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return open_private(path, os.O_RDWR)


def _hash(cid: CID) -> bytes:
    # Whoever reads the notes has no name under which a copy elsewhere could be asked for.
    return sha256(cid.digest).digest()
