"""The files of the embedded store: packs that only grow, written and brought to the disk.

Never reads and never names a block: which bytes are whose is the index's affair (storage/embedded.py). A pack is locked
while somebody appends to it, and only then: a program that runs for days keeps nobody from writing it anew or from
overwriting what no index names. Follows docs/spec/formats.md and ADR 76.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_SYNC_EVERY: Final = 128 << 20
"""Bytes of a large file after which the disk is told to begin: it writes while the rest is sealed."""
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
"""Flag of a file that is written past the page cache (Linux, open(2)); 0 where a system has none."""
_HUGE: Final[int | None] = getattr(mmap, "MADV_HUGEPAGE", None)
"""Advice that asks for huge pages (Linux, madvise(2)); None where a system has none."""
_REFUSALS: Final = (errno.EINVAL, errno.EOPNOTSUPP)
"""What a file system says that can't do this for no file; all else is told."""
_FIRST: Final = 8 << 20
"""Bytes of room that are taken first: a disk needs no time for it, a file system in memory makes each page."""
_STEP: Final = 128 << 20
"""Bytes of room that are taken at once from then on; each step keeps all writers waiting, so they are few."""
_WORK: Final = 0.0005
"""Seconds of processor time from which taking the first room is work: a disk's takes 0.05 ms, that of memory 1.7 ms."""
_ALIGNED: Final = 4096
"""Bytes of which a direct write's offset, size and address are multiples: the largest block of a disk of today."""


class Pack:
    """A pack that this process appends to, made for one writer; others of the process may hold it, too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = 0
        self._holders = 1
        self._failure: OSError | None = None
        self.descriptor = -1
        self.descriptor = self._begun()
        while not os.fstat(self.descriptor).st_nlink:
            # Before it was locked somebody took it for one that nothing is in, and removed it.
            os.close(self.descriptor)
            self.descriptor = -1
            self.descriptor = self._begun()
        # The file's name must be on disk as well.
        sync_path(path.parent)

    def _begun(self) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def hold(self) -> bool:
        """Lock it for one more writer of this process; tell whether it can be appended to.

        It can't if another process wrote it anew meanwhile, or does something with it just now.
        """
        if self._failure is not None:
            return False
        if not self._holders:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not os.fstat(self.descriptor).st_nlink:
                # Its name is gone: what would be written here is lost.
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
                return False
        self._holders += 1
        return True

    def release(self) -> None:
        """End what one writer began; the last one's end unlocks it."""
        self._holders -= 1
        if not self._holders:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def reserve(self, size: int) -> int:
        """Return the offset of `size` bytes that are the caller's to write."""
        offset = self.end
        self.end += size
        return offset

    def append(self, data: bytes | bytearray) -> int:
        """Write at the end and return the offset; not on disk before `sync`."""
        offset = self.reserve(len(data))
        write_all(self.descriptor, memoryview(data), offset)
        return offset

    def sync(self) -> None:
        """Wait until what was written is on disk.

        Raises:
            OSError: it isn't, or wasn't before: a system tells of each failure once, whoever asks.
        """
        if self._failure is not None:
            raise self._failure
        try:
            os.fdatasync(self.descriptor)
        except OSError as exc:
            self._failure = exc
            raise

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Frees the lock too. Bound here: as a program ends, modules may be empty before its last objects go.
        if self.descriptor >= 0:
            close(self.descriptor)


class LargeFile:
    """A file that any threads write into a pack of its own, on its way to the disk while more of it is made.

    It goes past the page cache where the file system allows it: a copy of what nobody reads soon would cost a third of
    the work, take the room of what others read, and reach the disk only once all is made. Not on disk before the
    pack's `sync`, either way: a disk has a cache of its own.
    """

    def __init__(self, pack: Pack, size: int) -> None:
        """Begin a file of `size` bytes at the beginning of a pack that is new.

        Raises:
            OSError: there is no room, or the disk fails.
        """
        self._pack = pack
        self._size = size
        self._early = EarlySync(pack)
        self._descriptor = _open_direct(pack.path)
        self.direct = self._descriptor >= 0
        """Whether writing waits for the disk, so that more threads than cores keep both busy."""
        self._room = 0
        self._more = threading.Condition()
        self._turn = threading.Lock()
        if self.direct:
            begun = time.thread_time()
            try:
                self._take_room(_FIRST)
            except BaseException:
                self._close()
                raise
            if time.thread_time() - begun > _WORK:
                self.direct = False
        if not self.direct:
            self.release()

    def make_room(self, wanted: Callable[[], bool]) -> None:
        """Take the rest of the file's room on the disk, as long as it is wanted; threads may write what has its place.

        They may do so at once; a file that grows admits one at a time. Where taking room is work, as in memory, none
        is taken: it would keep the writers out, and each write does it as well.

        Raises:
            OSError: there is no room.
        """
        try:
            while self._room < self._size and wanted():
                self._take_room(_STEP)
        finally:
            self.release()

    def _take_room(self, step: int) -> None:
        step = min(step, self._size - self._room)
        try:
            os.posix_fallocate(self._pack.descriptor, self._room, step)
        except OSError as exc:
            if exc.errno not in _REFUSALS:
                raise
            self.direct = False
            self.release()
        else:
            with self._more:
                self._room += step
                self._more.notify_all()

    def release(self) -> None:
        """Let nobody wait for room any longer, whether it is there or not."""
        with self._more:
            self._room = self._size
            self._more.notify_all()

    def write(self, data: memoryview, offset: int) -> None:
        """Write a piece that begins at a page's beginning in memory, at an offset that is a multiple of one.

        Waits until there is room: `make_room` has to run meanwhile, or `release`.
        """
        with self._more:
            self._more.wait_for(lambda: self._room >= offset + len(data))
        if self.direct:
            whole = len(data) - len(data) % _ALIGNED
            try:
                write_all(self._descriptor, data[:whole], offset)
            except OSError as exc:
                if exc.errno != errno.EINVAL:
                    raise
                # A disk of larger blocks says so at the first write only: from here on as everywhere else.
                self.direct = False
            else:
                data, offset = data[whole:], offset + whole
        if data:
            # Through the cache a system admits one at a time. Whoever waits for that here leaves the core to others.
            with self._turn:
                write_all(self._pack.descriptor, data, offset)
            self._early.add(len(data))

    def finish(self) -> None:
        """End what was begun for the file; its last bytes are written."""
        self._early.finish()
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def pages(size: int) -> memoryview:
    """Return a buffer of whole pages of memory, as a direct write takes them; huge ones, where a system has some.

    A disk then gets one address for 2 MiB in place of 512: it takes a quarter more in a second, for half the work.
    """
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE is not None:
        # A kernel that was built without them says so; the bytes are the same.
        with suppress(OSError):
            memory.madvise(_HUGE)
    return memoryview(memory)


def _open_direct(path: Path) -> int:
    """Return a descriptor that writes past the page cache, or -1 where a system can't."""
    if not _DIRECT:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | _DIRECT)
    except OSError as exc:
        if exc.errno in _REFUSALS:
            return -1
        raise


class EarlySync:
    """Tells the disk to begin while more is made: otherwise it would idle, and then keep the caller waiting."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._bytes = 0
        self._wake = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False

    def add(self, size: int) -> None:
        """Count bytes that were written; any thread may do so."""
        with self._lock:
            before = self._bytes // _SYNC_EVERY
            self._bytes += size
            if self._bytes // _SYNC_EVERY == before:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sync")
                self._thread.start()
        self._wake.release()

    def finish(self) -> None:
        """End the thread that waits for the disk, if there is one."""
        if self._thread is not None:
            self._ended = True
            self._wake.release()
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._ended:
                return
            try:
                self._pack.sync()
            except OSError:
                # The last sync, in the caller's thread, tells of it.
                return


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of some bytes at an offset."""
    # One call may write less than it was given, as when a signal comes.
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


def sync_path(path: Path) -> None:
    """Wait until what a folder or file is now is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
