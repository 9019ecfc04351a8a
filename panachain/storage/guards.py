"""Who writes to a store while records are erased from it: nobody, and afterwards nobody stores what was erased again.

Whoever holds blocks in memory that are to be stored holds the guard's lock, shared; an erasure has it alone from its
first deletion until it looked for the last block. The system frees a lock whose process died, every wait is bounded,
and a guard that can't be locked fails clearly. Who wants to write waits behind an erasure that waits, so that uploads
that overlap, in one process or several, don't keep it off. What was erased is noted as hashes of hashes: they tell
whether a block is meant, and name none. The lock file says how many there are: notes that were lost, emptied or put
back from before never count as "nothing was erased". Guards only what goes through this folder: others who write to the
same Kubo node or bucket from elsewhere aren't known here. Follows ADR 59 and docs/spec/network.md, section "Stores".
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from panachain.errors import DiskError, PanaChainError, StoreUnavailableError, UsageError
from panachain.ipld.cid import CID
from panachain.private_files import alone_at, open_private, private_file

WAIT: Final = 120.0
"""Seconds for which a writer waits for an erasure."""
_LOOK: Final = 0.02
"""Seconds between two looks at a lock."""
_ASKED: Final = 500
"""Hashes of one question to the database."""
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS erased (hash BLOB PRIMARY KEY) WITHOUT ROWID;"
_DIGITS: Final = 20
"""Of the number of notes in the lock file, which is written over as a whole, with a line feed behind it."""
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What SQLite says of a file that is no database, or none any more; all else is told of the disk, or of its owner."""
_ALONE: Final = threading.local()
"""Which locks this thread has alone: what an erasure itself writes goes by."""
_WRITING: Final = threading.local()
"""Which locks this thread holds, each as often as it does: who writes as a part of what goes on goes by an erasure that
waits for its end. Other threads of the process wait behind the erasure, but for those that work for it (`as_part`)."""
_S = TypeVar("_S")
_T = TypeVar("_T")


class Guard:
    """The lock of one store on this machine, and what was erased from it. Any thread may use it."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take where lock and notes lie, and what messages call the store; nothing is made before it is needed."""
        self.name = name
        self._lock_file = folder / "store.lock"
        self._turn_file = folder / "store.turn"
        self._notes = folder / "erased.sqlite"
        self._db: sqlite3.Connection | None = None
        self._db_file: tuple[int, int] | None = None
        self._db_lock = threading.Lock()

    @property
    def place(self) -> str:
        """Where the lock lies: locks are taken in this order."""
        return str(self._lock_file)

    def close(self) -> None:
        """Close the notes."""
        with self._db_lock:
            self._forget()

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
                    f"records are being erased from the {self.name}, for longer than {WAIT:.0f} s; nothing was done",
                    hint="the same command again, when `panachain erase` has ended",
                )
            yield

    @contextmanager
    def alone(self, wait: float) -> Iterator[bool]:
        """Hold the lock as nobody else does, and give whether that was possible within `wait` seconds.

        Whoever comes to write meanwhile waits behind it: only those who hold the lock already are waited for, and what
        they write as a part of what they do.

        Raises:
            StoreUnavailableError: the file system has no locks.
            DiskError: the folder can't be written.
        """
        with self._locked(fcntl.LOCK_EX, wait) as is_held:
            yield is_held

    def note(self, cids: Iterable[CID]) -> None:
        """Note that blocks are erased, before they are.

        Raises:
            StoreUnavailableError: the disk refuses, or earlier notes are lost.
        """
        self._note([_hash(cid) for cid in cids])

    def note_all_of(self, other: Guard) -> None:
        """Note what another guard knows to be erased; raises as `note` and `erased`."""
        rows = other._rows("SELECT hash FROM erased", ())
        if rows and other.place != self.place:
            self._note([digest for (digest,) in rows])

    def look(self) -> int:
        """Return how many blocks are noted as erased.

        Raises:
            StoreUnavailableError: as `erased`.
        """
        if not self._has_notes():
            return 0
        try:
            with self._db_lock:
                return self._all_there(self._opened())
        except (OSError, sqlite3.Error) as exc:
            raise self._unreadable(exc) from exc

    def erased(self, cids: Iterable[CID]) -> set[CID]:
        """Return which of some blocks were erased.

        Raises:
            StoreUnavailableError: the notes can't be read, or are fewer than there were.
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
        """Tell whether anything was noted; raises as `erased`."""
        try:
            if self._size() or not self._noted():
                # Empty and said to hold nothing: whoever made it was killed before the first note.
                return bool(self._size())
            # Written between both looks: the number comes after the notes.
            if self._size():
                return True
        except OSError as exc:
            raise self._unreadable(exc) from exc
        raise self._lost(0)

    def _size(self) -> int | None:
        """Return the bytes of the notes, or None where there are none."""
        try:
            return self._notes.stat().st_size
        except FileNotFoundError:
            return None

    def _noted(self) -> int:
        """Return how many notes there must be.

        A file that is empty, and of which the lock file says nothing, had some: whoever makes one says so before.

        Raises:
            OSError: the lock file can't be read.
        """
        said = self._said()
        return int(self._size() == 0) if said is None else said

    def _said(self) -> int | None:
        """Return the number in the lock file, or None where nobody wrote one.

        A file of zeros alone is what a machine without power leaves of a first number: nothing was deleted before that
        was on the disk.

        Raises:
            OSError: something else stands there, or it can't be read.
        """
        try:
            with open(self._lock_file, "rb") as file:
                said = file.read(_DIGITS + 2)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not said.strip(b"\0\n"):
            return None
        number = said[:-1]
        if len(number) != _DIGITS or not number.isdigit() or not said.endswith(b"\n"):
            raise OSError(errno.EILSEQ, "it says no number of notes", str(self._lock_file))
        return int(number)

    def _say_noted(self, number: int) -> None:
        """Write into the lock file how many notes there are, never fewer than it says, and wait for the disk.

        Raises:
            OSError: the disk refuses, or the file says no number.
        """
        with self._alone_with_the_number():
            self._write_noted(max(number, self._said() or 0))

    @contextmanager
    def _alone_with_the_number(self) -> Iterator[None]:
        """Let nobody else write the number between a look at it and its change; not to be entered twice.

        By a lock of its own: the lock file's is held by many, or by an erasure, while they note.
        """
        # It makes the folder, if need be.
        os.close(_opened(self._lock_file))
        with alone_at(self._lock_file):
            yield

    def _write_noted(self, number: int) -> None:
        descriptor = _opened(self._lock_file)
        try:
            # The same number too: whoever wrote it may have been killed before it was on the disk.
            os.pwrite(descriptor, b"%0*d\n" % (_DIGITS, number), 0)
            os.ftruncate(descriptor, _DIGITS + 1)
            # Before anything is deleted.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _rows(self, asked: str, values: Iterable[bytes]) -> list[tuple[bytes]]:
        if not self._has_notes():
            return []
        try:
            with self._db_lock:
                return self._opened().execute(asked, tuple(values)).fetchall()
        except (OSError, sqlite3.Error) as exc:
            raise self._unreadable(exc) from exc

    def _note(self, hashes: Sequence[bytes]) -> None:
        self._has_notes()
        try:
            with self._db_lock:
                if self._size() is None:
                    self._say_noted(0)
                db = self._opened()
                db.executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((one,) for one in hashes))
                db.commit()
                # Whoever wrote the number, it is on the disk before anything is deleted.
                self._say_noted(self._all_there(db))
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(
                f"what is erased from the {self.name} can't be noted ({self._notes}): {exc}", hint=self._helps(exc)
            ) from exc

    def _mend(self, others: set[bytes]) -> str:
        """Note what others know to be erased, and say the number anew where it is lost; return what is to be told.

        A file that is no database is put aside where the others know all that it held.

        Raises:
            StoreUnavailableError: that can't be, or what was erased isn't known with the others' help either.
        """
        try:
            if not others and self._size() is None and self._said() is None:
                return ""
            with self._db_lock, self._alone_with_the_number():
                return self._mended(others)
        except (OSError, sqlite3.Error) as exc:
            raise self._unreadable(exc) from exc

    def _mended(self, others: set[bytes]) -> str:
        size, told = self._size(), ""
        there, damage = self._read()
        known = others | there
        unsaid: OSError | None = None
        try:
            said = self._said()
        except OSError as exc:
            said, unsaid = None, exc
        if damage is not None:
            if len(others) < (1 if said is None else said):
                raise damage
            told = f"{self._notes} is no database, and was put aside as {self._aside('').name}"
        elif unsaid is not None:
            if not known:
                # Of both files nothing is left, and no other node tells what there was.
                raise unsaid
            told = f"{self._lock_file} said no number of notes"
        elif size == 0 and said is None:
            told = f"{self._notes} was empty, and no number of notes was said"
        if told:
            # Before the notes: who is killed in between leaves a store that takes nothing, and is mended again.
            self._write_noted(max(said or 0, len(known)))
        elif size is None:
            self._write_noted(said or 0)
        if damage is not None:
            for end in ("-journal", ""):
                # Its journal first, which would be taken for one of the file that comes in its place.
                with suppress(FileNotFoundError):
                    os.replace(f"{self._notes}{end}", self._aside(end))
        missing = sorted(known - there)
        if missing or told:
            db = self._opened(whole=False)
            db.executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((one,) for one in missing))
            db.commit()
            # Whoever opens them next looks whether they are whole.
            self._forget()
        return f"{told}; counted anew, with what other nodes know, it is {len(known)} notes" if told else ""

    def _aside(self, end: str) -> Path:
        return self._notes.with_name(f"{self._notes.name}.damaged{end}")

    def _opened(self, *, whole: bool = True) -> sqlite3.Connection:
        """Return the notes; `_db_lock` is held.

        Args:
            whole: look whether all notes are there.

        Raises:
            StoreUnavailableError: they aren't.
        """
        found = self._notes.stat() if self._size() is not None else None
        if self._db is None or found is None or (found.st_dev, found.st_ino) != self._db_file:
            # Another file in its place isn't what was opened.
            self._forget()
            private_file(self._notes)
            db = sqlite3.connect(self._notes, timeout=60, check_same_thread=False)
            try:
                db.execute("PRAGMA synchronous=FULL")
                db.executescript(_SCHEMA)
                if whole:
                    self._all_there(db)
            except BaseException:
                db.close()
                raise
            found = self._notes.stat()
            self._db, self._db_file = db, (found.st_dev, found.st_ino)
        return self._db

    def _all_there(self, db: sqlite3.Connection) -> int:
        """Return how many notes there are, and say so in the lock file; raises as `erased`."""
        # The number first: notes only come, and are counted after they came.
        noted = self._noted()
        there = _count(db)
        if there < noted:
            raise self._lost(there, noted)
        if there > noted:
            self._say_noted(there)
        return there

    def _there(self) -> set[bytes]:
        """Return the hashes that can be read, be they all or not.

        Raises:
            StoreUnavailableError: the file can't be opened.
        """
        try:
            with self._db_lock:
                return self._read()[0]
        except (OSError, sqlite3.Error) as exc:
            raise self._unreadable(exc) from exc

    def _read(self) -> tuple[set[bytes], sqlite3.DatabaseError | None]:
        """Return the hashes that are there, or what SQLite says of a file that is no database; `_db_lock` is held.

        Raises:
            OSError, sqlite3.Error: it can't be read for another reason.
        """
        if not self._size():
            return set(), None
        try:
            return {digest for (digest,) in self._opened(whole=False).execute("SELECT hash FROM erased")}, None
        except sqlite3.DatabaseError as exc:
            if not _is_damage(exc):
                raise
            return set(), exc
        finally:
            # Whoever opens them next looks whether they are whole.
            self._forget()

    def _forget(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = self._db_file = None

    def _lost(self, there: int, noted: int | None = None) -> StoreUnavailableError:
        state = (
            "is missing" if self._size() is None else "was emptied" if not there else f"has {there} of {noted} notes"
        )
        if noted is None and self._size() == 0 and self._said() is None:
            hint = (
                "a first erasure by an earlier version that was broken off leaves it so, and nothing is lost then:"
                " `panachain storage repair` begins the notes anew, with those of other nodes and of this machine's"
                f" hospitals; so does who removes it and {self._lock_file} while nothing runs. If records were erased"
                " from this store before, put that file back from a backup"
            )
        else:
            hint = self._helps()
        return StoreUnavailableError(
            f"what was erased from the {self.name} isn't known any more: {self._notes} {state}; nothing is stored there"
            " or attested as erased",
            hint=hint,
        )

    def _unreadable(self, exc: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"what was erased from the {self.name} can't be read ({self._notes}): {exc}; nothing was stored",
            hint=self._helps(exc),
        )

    def _helps(self, exc: Exception | None = None) -> str:
        """Return what helps where notes, or their number, are lost or can't be read."""
        general = (
            "put that file back from a backup; a store of several nodes gets it from the others by `panachain"
            f" storage repair`. If it is lost for good, remove it and {self._lock_file} while nothing runs: what was"
            " erased before can then come back unnoticed"
        )
        if exc is None or _is_damage(exc):
            return general
        if isinstance(exc, OSError) and exc.errno == errno.EILSEQ:
            return (
                "`panachain storage repair` counts anew the notes that are there, with those of other nodes. If there"
                f" are none left, put {self._notes} and {self._lock_file} back from a backup; if they are lost for"
                " good, remove both while nothing runs: what was erased before can then come back unnoticed"
            )
        return "it must be readable and writable for whoever runs panachain: look at its owner, its mount and the disk"

    @contextmanager
    def _locked(self, kind: int, wait: float) -> Iterator[bool]:
        # A descriptor of its own each time: the system keeps threads and processes apart alike.
        until = time.monotonic() + wait
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
            is_held = self._wait_in_turn(descriptor, kind, until, key)
            if is_held and kind == fcntl.LOCK_EX:
                mine.add(key)
                try:
                    yield True
                finally:
                    mine.discard(key)
            elif is_held:
                # Of the thread that took it, whichever gives it back.
                held = _held()
                held.append(key)
                try:
                    yield True
                finally:
                    held.remove(key)
            else:
                yield False
        finally:
            os.close(descriptor)

    def _wait_in_turn(self, descriptor: int, kind: int, until: float, key: tuple[int, int]) -> bool:
        """Wait for the lock behind whoever waits to have it alone; tell whether it is held."""
        if kind == fcntl.LOCK_SH and key in _held():
            # An erasure waits for what this is a part of: waiting for it in turn would be a circle.
            return self._wait(descriptor, kind, until)
        try:
            turn = _opened(self._turn_file)
        except OSError as exc:
            raise self._unlockable(exc) from exc
        try:
            # Held by an erasure until it has the lock, and by a writer until it knows that none waits.
            return self._wait(turn, kind, until) and self._wait(descriptor, kind, until)
        finally:
            os.close(turn)

    def _wait(self, descriptor: int, kind: int, until: float) -> bool:
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


def as_part(work: Callable[[_S], _T]) -> Callable[[_S], _T]:
    """Return what another thread does as a part of what this one does: once, and it goes by an erasure that waits."""
    held = list(_held())

    def works(given: _S) -> _T:
        before, _WRITING.held = _held(), held
        try:
            return work(given)
        finally:
            _WRITING.held = before

    return works


def share_notes(guards: Sequence[Guard]) -> tuple[list[str], dict[str, PanaChainError]]:
    """Bring all guards to the same notes; one whose notes or their number are lost gets them back from the others.

    One that can't be mended stops none of the others.

    Returns:
        What is to be told of those that were mended, and by their places why others can't be: they can't be read or
        written, or have fewer notes than they had, with the others' too.
    """
    notices: list[str] = []
    failures: dict[str, PanaChainError] = {}
    known: dict[str, set[bytes]] = {}
    for guard in guards:
        try:
            known[guard.place] = guard._there()
        except StoreUnavailableError as exc:
            failures[guard.place] = exc
    for guard in guards:
        if guard.place in failures:
            continue
        try:
            told = guard._mend(set().union(*(found for place, found in known.items() if place != guard.place)))
            guard.look()
        except StoreUnavailableError as exc:
            failures[guard.place] = exc
            continue
        if told:
            notices.append(f"{guard.name}: {told}")
    return notices, failures


def check_not_erased(store: object, cids: Iterable[CID]) -> None:
    """Check that a store gets no block that was erased from it; raises as `Guard.check`."""
    for guard in guards_of(store):
        guard.check(cids)


def erased_of(guards: Iterable[Guard], cids: Iterable[CID]) -> set[CID]:
    """Return which of some blocks any of the guards knows to be erased."""
    wanted = list(cids)
    return set[CID]().union(*(guard.erased(wanted) for guard in guards))


def _held() -> list[tuple[int, int]]:
    held: list[tuple[int, int]] = _WRITING.__dict__.setdefault("held", [])
    return held


def _opened(path: Path) -> int:
    try:
        # It is there nearly always, in a folder that nobody else gets into: each write comes by here.
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return open_private(path, os.O_RDWR)


def _is_damage(exc: Exception) -> bool:
    """Tell whether SQLite says that a file is no database, or none any more."""
    return isinstance(exc, sqlite3.Error) and getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _count(db: sqlite3.Connection) -> int:
    (number,) = db.execute("SELECT count(*) FROM erased").fetchone()
    return int(number)


def _hash(cid: CID) -> bytes:
    # Whoever reads the notes has no name under which a copy elsewhere could be asked for.
    return sha256(cid.digest).digest()
