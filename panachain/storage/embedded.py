"""The embedded block store: a folder that gives the CIDs that Kubo gives.

Never hands out a byte that doesn't fit its CID. Blocks lie in append-only packs (small blocks don't cost a file
each) with an index in SQLite; the pack is on disk before the index names it, so a killed writer leaves at most
unnamed bytes behind. Two processes may share the folder: each writes a pack of its own.
Follows docs/spec/formats.md.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from panachain.errors import BlockNotFoundError, DiskError, StoreUnavailableError
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID, RAW
from panachain.private_files import own_folder, private_file
from panachain.storage import ahead
from panachain.storage.packs import EarlySync, Pack, sync_path, write_all

PACK_SIZE: Final = 256 << 20
"""Bytes after which a new pack is begun."""
_FLUSH: Final = 8 << 20
"""Bytes that are held in memory before they are written."""
_SMALL: Final = 1 << 16
"""Bytes up to which a block is read at once; for larger ones other threads needn't wait."""
_OPEN_PACKS: Final = 64
"""Packs that are held open for reading."""
_Row = tuple[bytes, str, int, int, int]
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS block (
    cid    BLOB PRIMARY KEY,
    pack   TEXT NOT NULL,
    offset INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    at     INTEGER NOT NULL DEFAULT 0   -- Unix seconds
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS block_pack ON block (pack);
CREATE TABLE IF NOT EXISTS pin (cid BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class EmbeddedStore:
    """A `BlobStore` in a folder."""

    name = "embedded store"

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create the store.

        Args:
            folder: where packs and index lie.
            clock: Unix seconds, for the time at which a block was stored.

        Raises:
            StoreUnavailableError: the folder can't be opened.
        """
        self.folder = folder
        self._clock = clock
        self._packs = folder / "packs"
        self._lock = threading.RLock()
        self._pack: Pack | None = None
        self._open: OrderedDict[str, int] = OrderedDict()
        try:
            # Who may look at packs and index sees how much of what size a hospital keeps, and when.
            own_folder(folder)
            own_folder(self._packs)
            private_file(folder / "index.sqlite")
            self._db = sqlite3.connect(
                folder / "index.sqlite", timeout=60, isolation_level=None, check_same_thread=False
            )
            # Nobody waits for the disk until the first block: an index that names nothing is made again.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA journal_mode=WAL")
            # What is deleted from the index is in none of its free pages.
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            # A pin or a deletion is promised to the caller when it returns; it brings what came before it along.
            self._db.execute("PRAGMA synchronous=FULL")
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(f"the embedded store {folder} can't be opened: {exc}") from exc

    def close(self) -> None:
        """Close the index and the packs."""
        with self._lock:
            self._finish_pack()
            while self._open:
                os.close(self._open.popitem()[1])
            self._db.close()

    # Writing

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block."""
        self.put_blocks([(cid, data)])

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks; what is there already is not written again.

        Raises:
            IntegrityError: a CID isn't that of its bytes.
            DiskError: the disk refuses; the index names nothing of the failed write.
        """
        with _Writer(self) as writer:
            for cid, data in blocks:
                writer.put(cid, cid.check(data, CALLER))

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file given as its leaves, and return its CID."""
        with _Writer(self) as writer:
            return unixfs.build(leaves, writer.put)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Store a file of `size` bytes whose leaves are made in any order, on all cores, and return its CID.

        Args:
            size: bytes of the file.
            make: called as make(index, buffer) from several threads; fills the buffer with leaf number `index`.

        Raises:
            DiskError: the disk refuses; the index names nothing of the failed write.
        """
        with _Writer(self) as writer:
            sizes = unixfs.leaf_sizes(size)
            with self._disk("a large file"):
                digests = writer.make_leaves(size, make)
            leaves = [(CID(RAW, digest), leaf) for digest, leaf in zip(digests, sizes, strict=True)]
            return unixfs.link(leaves, writer.put)

    def pin(self, cid: CID) -> None:
        """Note that the block and what it links is wanted."""
        with self._lock, self._disk("a pin"):
            self._db.execute("INSERT OR IGNORE INTO pin VALUES (?)", (bytes(cid),))

    def unpin(self, cid: CID) -> None:
        """Note that the block is wanted no longer; a missing pin is no error."""
        with self._lock, self._disk("a pin"):
            self._db.execute("DELETE FROM pin WHERE cid = ?", (bytes(cid),))

    def delete_block(self, cid: CID) -> None:
        """Overwrite and forget one block; a missing one is no error."""
        self.delete_blocks([cid])

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        """Overwrite and forget blocks, and return how many bytes they had.

        Packs of which less than half is left are written anew, unless somebody writes to them.
        """
        wanted = list(dict.fromkeys(cids))
        freed = 0
        with self._lock, self._disk("a deletion"):
            of: defaultdict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
            for cid in wanted:
                row = self._find(cid)
                if row is not None:
                    pack, offset, size = row
                    of[pack].append((offset, size, bytes(cid)))
            for pack, places in of.items():
                self._overwrite(pack, places)
                self._compact(pack)
                freed += sum(size for _, size, _ in places)
            # The journal of the index would keep what was deleted.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return freed

    def scrub(self) -> int:
        """Overwrite what the packs hold and the index doesn't name: of writers and deletions that were killed.

        Returns:
            How many packs were left as they are, because somebody writes to them.
        """
        busy = 0
        with self._lock, self._disk("what the index doesn't name"):
            # Ours is written to no more from now on, so that it can be looked at.
            self._finish_pack()
            for path in sorted(self._packs.glob("*.pack")):
                with open(path, "r+b") as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        busy += 1
                        continue
                    # Asked behind the lock: a writer names its blocks before it lets go.
                    rows = self._db.execute(
                        "SELECT offset, size FROM block WHERE pack = ? ORDER BY offset", (path.name,)
                    ).fetchall()
                    if _overwrite_gaps(file, rows, path.stat().st_size):
                        sync_path(path)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return busy

    # Reading

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID; any thread may call it."""
        with self._lock:
            row = self._find(cid)
            if row is None:
                raise BlockNotFoundError(f"the {self.name} has no block {cid}")
            pack, offset, size = row
            known = self._descriptor(pack, cid)
            if size <= _SMALL:
                return cid.check(self._pread(known, size, offset, cid), self.name)
            # Read without the lock, so that others can: the pack may be forgotten meanwhile.
            descriptor = os.dup(known)
        try:
            data = self._pread(descriptor, size, offset, cid)
        finally:
            os.close(descriptor)
        return cid.check(data, self.name)

    def has_block(self, cid: CID) -> bool:
        """Tell whether the index names the block."""
        with self._lock:
            return self._find(cid) is not None

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves."""
        return ahead.read_file(cid, self.get_block)

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block, sorted."""
        for cid, _, _ in self.sizes():
            yield cid

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        """Yield CID, bytes and Unix time of storing of every block, sorted by CID."""
        with self._lock:
            rows = self._db.execute("SELECT cid, size, at FROM block ORDER BY cid").fetchall()
        for raw, size, at in rows:
            yield CID.from_bytes(raw), size, at

    def pins(self) -> Iterator[CID]:
        """Yield what is pinned, sorted."""
        with self._lock:
            rows = self._db.execute("SELECT cid FROM pin ORDER BY cid").fetchall()
        for (raw,) in rows:
            yield CID.from_bytes(raw)

    # Internal

    def _find(self, cid: CID) -> tuple[str, int, int] | None:
        try:
            row: tuple[str, int, int] | None = self._db.execute(
                "SELECT pack, offset, size FROM block WHERE cid = ?", (bytes(cid),)
            ).fetchone()
        except sqlite3.Error as exc:
            raise StoreUnavailableError(f"the index of the {self.name} {self.folder} can't be read: {exc}") from exc
        return row

    def _pread(self, descriptor: int, size: int, offset: int, cid: CID) -> bytes:
        try:
            return os.pread(descriptor, size, offset)
        except OSError as exc:
            raise StoreUnavailableError(f"block {cid} can't be read: {exc.strerror}") from exc

    def _descriptor(self, pack: str, cid: CID) -> int:
        known = self._open.get(pack)
        if known is None:
            try:
                known = os.open(self._packs / pack, os.O_RDONLY)
            except FileNotFoundError:
                raise BlockNotFoundError(f"the {self.name} has lost the pack that holds block {cid}") from None
            except OSError as exc:
                raise StoreUnavailableError(f"block {cid} can't be read: {exc.strerror}") from exc
            self._open[pack] = known
            if len(self._open) > _OPEN_PACKS:
                # The one that wasn't read for longest: a process may have 1,024 files open, or fewer.
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(pack)
        return known

    def _forget(self, pack: str) -> None:
        descriptor = self._open.pop(pack, None)
        if descriptor is not None:
            os.close(descriptor)

    def _current_pack(self) -> Pack:
        if self._pack is not None and self._pack.end >= PACK_SIZE:
            self._finish_pack()
        if self._pack is None:
            self._pack = Pack(self._packs / f"{os.urandom(8).hex()}.pack")
        return self._pack

    def _finish_pack(self) -> None:
        # Not closed: another thread may be writing to it, and the last one to let go of it closes it.
        if self._pack is not None:
            self._pack.sync()
            self._pack = None

    def _name(self, rows: list[_Row]) -> None:
        """Let the index name blocks that are on disk."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                # Ignored where another process named the same block meanwhile: its bytes are as good, and ours stay
                # unnamed.
                self._db.executemany("INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            # A torn tail must not be appended to: the next write begins a new pack.
            self._pack = None
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise DiskError(f"{what} can't be stored: {reason}; nothing of it is named") from exc

    def _overwrite(self, pack: str, places: Sequence[tuple[int, int, bytes]]) -> None:
        """Overwrite blocks of one pack, and let the index forget them: in one transaction, which costs one sync.

        They are named until their bytes are gone: whatever fails meanwhile, the same deletion finishes it.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("DELETE FROM block WHERE cid = ?", [(cid,) for _, _, cid in places])
            with open(self._packs / pack, "r+b") as file:
                for offset, size, _ in sorted(places):
                    file.seek(offset)
                    # Overwritten, because the pack may stay for long; what the disk itself keeps of it is beyond a
                    # program's reach.
                    file.write(bytes(size))
            sync_path(self._packs / pack)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _compact(self, pack: str) -> None:
        path = self._packs / pack
        rows = self._db.execute("SELECT cid, offset, size FROM block WHERE pack = ?", (pack,)).fetchall()
        # Until half is gone, writing anew costs more than the room is worth.
        if 2 * sum(size for _, _, size in rows) >= path.stat().st_size:
            return
        with open(path, "rb") as file:
            try:
                # Its writer, in this process or another, holds the lock as long as it may append.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            target = Pack(self._packs / f"{os.urandom(8).hex()}.pack")
            moved = []
            for raw, offset, size in rows:
                file.seek(offset)
                moved.append((target.path.name, target.append(file.read(size)), raw))
            target.sync()
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE block SET pack = ?, offset = ? WHERE cid = ?", moved)
            self._db.execute("COMMIT")
            self._forget(pack)
            path.unlink()
            if not rows:
                target.path.unlink()


def _overwrite_gaps(file: BinaryIO, rows: Iterable[tuple[int, int]], end: int) -> bool:
    """Write zeros over all that lies between some parts of a file, and tell whether there was anything."""
    found, at = False, 0
    for start, size in [*rows, (end, 0)]:
        for place in range(at, start, _FLUSH):
            file.seek(place)
            piece = file.read(min(_FLUSH, start - place))
            if piece.strip(b"\0"):
                file.seek(place)
                file.write(bytes(len(piece)))
                found = True
        at = max(at, start + size)
    file.flush()
    return found


class _Writer:
    """Blocks on their way into packs: all are on disk, and then named, when the context ends."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._buffer: dict[CID, bytes] = {}
        self._held = 0
        self._rows: list[_Row] = []
        self._again: list[tuple[int, bytes]] = []
        self._packs: set[Pack] = set()
        self._at = int(store._clock())

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # Nothing is named after an error: the bytes that were written stay unnamed, and a later write begins behind
        # them.
        if kind is not None:
            return
        with self._store._lock, self._store._disk(f"{len(self._rows) + len(self._buffer)} blocks"):
            self._flush()
            if self._rows:
                for pack in self._packs:
                    # One that was finished meanwhile, too: leaves are written without the lock, after its own sync.
                    pack.sync()
                self._store._name(self._rows)
            if self._again:
                self._store._db.executemany("UPDATE block SET at = ? WHERE cid = ?", self._again)

    def put(self, cid: CID, data: bytes) -> None:
        """Take one block, whose CID was checked or computed by the caller."""
        if cid in self._buffer:
            return
        if self._store.has_block(cid):
            # Wanted again: it counts as new for garbage collection.
            self._again.append((self._at, bytes(cid)))
            return
        self._buffer[cid] = data
        self._held += len(data)
        if self._held >= _FLUSH:
            with self._store._disk(f"{len(self._buffer)} blocks"):
                self._flush()

    def make_leaves(self, size: int, make: Callable[[int, memoryview], None]) -> list[bytes]:
        """Let threads make, hash and write the leaves of a file, and return their digests."""
        with self._store._lock:
            pack = self._store._current_pack()
            # Reserved under the lock and filled without it, so that others can append meanwhile.
            base = pack.reserve(size)
        sizes = unixfs.leaf_sizes(size)
        digests = [b""] * len(sizes)
        numbers = count()
        written = EarlySync(pack)
        failures: list[BaseException] = []

        def work() -> None:
            buffer = memoryview(bytearray(unixfs.CHUNK))
            # `next` on a count is one step of the interpreter: no two threads get one number.
            for index in iter(numbers.__next__, None):
                if index >= len(sizes) or failures:
                    return
                leaf = buffer[: sizes[index]]
                try:
                    make(index, leaf)
                    digests[index] = sha256(leaf).digest()
                    write_all(pack.descriptor, leaf, base + index * unixfs.CHUNK)
                except BaseException as exc:  # noqa: BLE001
                    # It is raised again below, in the caller's thread.
                    failures.append(exc)
                    return
                written.add(len(leaf))

        threads = [threading.Thread(target=work, name=f"leaves-{i}") for i in range(min(ahead.WORKERS, len(sizes)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written.finish()
        if failures:
            raise failures[0]
        for index, (digest, leaf_size) in enumerate(zip(digests, sizes, strict=True)):
            offset = base + index * unixfs.CHUNK
            self._rows.append((bytes(CID(RAW, digest)), pack.path.name, offset, leaf_size, self._at))
        self._packs.add(pack)
        return digests

    def _flush(self) -> None:
        with self._store._lock:
            if not self._buffer:
                return
            pack = self._store._current_pack()
            offset = pack.append(b"".join(self._buffer.values()))
            for cid, data in self._buffer.items():
                self._rows.append((bytes(cid), pack.path.name, offset, len(data), self._at))
                offset += len(data)
            self._packs.add(pack)
            self._buffer, self._held = {}, 0
