"""The embedded block store: a folder that gives the CIDs that Kubo gives.

Never hands out a byte that doesn't fit its CID. Blocks lie in append-only packs (small blocks don't cost a file
each) with an index in SQLite; the pack is on disk before the index names it, so a killed writer leaves at most
unnamed bytes behind. Several processes may share the folder: each writes a pack of its own, and whoever deletes, moves
or names a block looks behind the index's lock where it lies, so that no copy of a deleted block stays anywhere.
Follows docs/spec/formats.md.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from panachain.errors import BlockNotFoundError, DiskError, IntegrityError, PanaChainError, StoreUnavailableError
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID, RAW
from panachain.private_files import own_folder, private_file
from panachain.storage import ahead
from panachain.storage.blocks import SMALL, TOGETHER
from panachain.storage.guards import Guard
from panachain.storage.packs import LargeFile, Pack, pages, sync_path, write_all

PACK_SIZE: Final = 256 << 20
"""Bytes after which a new pack is begun."""
ALONE: Final = 16 << 20
"""Bytes from which a file has a pack to itself, which is written past the page cache where that can be (ADR 76)."""
LEAVES_AT_ONCE: Final = 2
"""Leaves of a large file that one thread makes and writes as one piece: as large as a huge page (ADR 76)."""
_FLUSH: Final = 8 << 20
"""Bytes that are held in memory before they are written."""
_FEW: Final = 8
"""Blocks that are sooner looked for one after the other."""
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
        self.guards = (Guard(folder, f"{self.name} {folder}"),)
        """What keeps writers and erasures apart."""
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
            self.guards[0].close()

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
            some = list[tuple[CID, bytes]]()
            for cid, data in blocks:
                some.append((cid, cid.check(data, CALLER)))
                # Many of the small ones at once, and no more of large ones in memory than before.
                if len(some) == TOGETHER or len(data) > SMALL:
                    writer.put_all(some)
                    some = []
            writer.put_all(some)

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
            # Until none is left: another process may move blocks to another pack meanwhile.
            while wanted:
                of: defaultdict[str, list[CID]] = defaultdict(list)
                for cid in wanted:
                    row = self._find(cid)
                    if row is not None:
                        of[row[0]].append(cid)
                wanted = []
                for pack, mine in of.items():
                    size, moved = self._overwrite(pack, mine)
                    freed += size
                    wanted += moved
                    self._compact(pack)
            # The journal of the index would keep what was deleted.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return freed

    def scrub(self) -> int:
        """Overwrite what the packs hold and the index doesn't name: of writers and deletions that were killed.

        Returns:
            How many files were left as they are, because somebody writes to them or reads in the index just now.
        """
        busy = 0
        with self._lock, self._disk("what the index doesn't name"):
            for path in sorted(self._packs.glob("*.pack")):
                try:
                    file = open(path, "r+b")  # noqa: SIM115
                except FileNotFoundError:
                    # Written anew meanwhile: the new one is asked for like all others, in the next round.
                    busy += 1
                    continue
                with file:
                    if not _lock_alone(file):
                        busy += 1
                        continue
                    # Asked behind the lock: a writer names its blocks before it lets go.
                    rows = self._db.execute(
                        "SELECT offset, size FROM block WHERE pack = ? ORDER BY offset", (path.name,)
                    ).fetchall()
                    if _overwrite_gaps(file, rows, path.stat().st_size):
                        sync_path(path)
                    if not rows:
                        # Nothing is in it: its writer was killed, or failed. Who has just begun it begins another one.
                        path.unlink()
            reading, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return busy + bool(reading)

    # Reading

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID; any thread may call it."""
        while True:
            with self._lock:
                place = self._find(cid)
            if place is None:
                raise BlockNotFoundError(f"the {self.name} has no block {cid}")
            try:
                return cid.check(self._read(place, cid), self.name)
            except (BlockNotFoundError, IntegrityError):
                with self._lock:
                    moved = self._find(cid) != place
                # Another process deleted it or wrote its pack anew between both looks: looked for again.
                if not moved:
                    raise

    def near(self, cids: Sequence[CID]) -> list[bytes | None]:
        """Return small blocks in their order, each checked against its CID; None for what `get_block` must give.

        Raises:
            StoreUnavailableError: the index can't be read.
        """
        found: list[bytes | None] = []
        for start in range(0, len(cids), TOGETHER):
            # Imported here: most commands read few blocks.
            from panachain.storage.nearby import read_near

            some = cids[start : start + TOGETHER]
            with self._lock:
                try:
                    found += read_near(self._db, some, partial(self._descriptor, cid=some[0]))
                except sqlite3.Error as exc:
                    raise self._unreadable(exc) from exc
        return found

    @property
    def near_folder(self) -> Path:
        """Where another process can read its blocks."""
        return self.folder

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
            raise self._unreadable(exc) from exc
        return row

    def _there(self, raws: list[bytes]) -> set[bytes]:
        """Return those of some CIDs, `TOGETHER` at most and one at least, that the index names."""
        # Imported here: most commands write few blocks.
        from panachain.storage.nearby import named

        try:
            with self._lock:
                return named(self._db, raws)
        except sqlite3.Error as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, error: sqlite3.Error) -> StoreUnavailableError:
        return StoreUnavailableError(f"the index of the {self.name} {self.folder} can't be read: {error}")

    def _read(self, place: tuple[str, int, int], cid: CID) -> bytes:
        pack, offset, size = place
        with self._lock:
            known = self._descriptor(pack, cid)
            if size <= SMALL:
                return self._pread(known, size, offset, cid)
            # Read without the lock, so that others can: the pack may be forgotten meanwhile.
            descriptor = os.dup(known)
        try:
            return self._pread(descriptor, size, offset, cid)
        finally:
            os.close(descriptor)

    def _is_whole(self, place: tuple[str, int, int], cid: CID) -> bool:
        """Tell whether a block's bytes are where the index says."""
        try:
            cid.check(self._read(place, cid), self.name)
        except (BlockNotFoundError, IntegrityError, StoreUnavailableError):
            return False
        return True

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

    def _current_pack(self, held: set[Pack]) -> Pack:
        """Return the pack that is appended to, held for a writer who holds some already."""
        if self._pack is not None and self._pack.end >= PACK_SIZE:
            self._finish_pack()
        if self._pack is None or not (self._pack in held or self._pack.hold()):
            self._pack = self._new_pack()
        held.add(self._pack)
        return self._pack

    def _new_pack(self) -> Pack:
        return Pack(self._packs / f"{os.urandom(8).hex()}.pack")

    def _finish_pack(self) -> None:
        # Not closed: another thread may be writing to it, and the last one to let go of it closes it.
        if self._pack is not None:
            self._pack.sync()
            self._pack = None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the index, as nobody else does meanwhile in any process."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # The commit itself may have ended it.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _name(self, rows: list[_Row]) -> None:
        """Let the index name blocks that are on disk."""
        with self._lock:
            with self._changing():
                named = self._db.executemany("INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?, ?)", rows).rowcount
                spare = self._settle(rows) if named < len(rows) else {}
            # Once the index names the others: until then a copy that only seemed damaged may be the one that is there.
            for pack, places in spare.items():
                self._zero(pack, places)

    def _settle(self, rows: list[_Row]) -> Mapping[str, list[tuple[int, int]]]:
        """Decide for each block that the index named already, and return second copies: nobody else deletes them."""
        spare: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for raw, pack, offset, size, at in rows:
            cid = CID.from_bytes(raw)
            known = self._find(cid)
            if known is None or known == (pack, offset, size):
                continue
            if self._is_whole(known, cid):
                # Another process named it meanwhile: its bytes are as good.
                spare[pack].append((offset, size))
                continue
            # A killed deletion took its bytes, or the disk did.
            self._db.execute(
                "UPDATE block SET pack = ?, offset = ?, size = ?, at = ? WHERE cid = ?", (pack, offset, size, at, raw)
            )
            spare[known[0]].append(known[1:])
        return spare

    def _renew(self, blocks: dict[CID, bytes], at: int) -> dict[CID, bytes]:
        """Let blocks that are there count as new for garbage collection, and return those that aren't there.

        Looked for behind the index's lock: none of them is deleted meanwhile, and one whose bytes a killed deletion
        took isn't there although the index names it.
        """
        missing = {}
        with self._changing():
            for cid, data in blocks.items():
                place = self._find(cid)
                if place is not None and self._is_whole(place, cid):
                    self._db.execute("UPDATE block SET at = ? WHERE cid = ?", (at, bytes(cid)))
                else:
                    missing[cid] = data
        return missing

    @contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            # A torn tail must not be appended to: the next write begins a new pack.
            self._pack = None
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise DiskError(f"{what} can't be stored: {reason}; nothing of it is named") from exc

    def _overwrite(self, pack: str, cids: Sequence[CID]) -> tuple[int, list[CID]]:
        """Overwrite blocks of one pack, and let the index forget them: in one transaction, which costs one sync.

        They are named until their bytes are gone: whatever fails meanwhile, the same deletion finishes it.

        Returns:
            How many bytes they had, and those that lie in another pack by now.
        """
        places, moved = [], []
        with self._changing():
            for cid in cids:
                row = self._find(cid)
                if row is not None and row[0] != pack:
                    moved.append(cid)
                elif row is not None:
                    places.append((row[1], row[2], bytes(cid)))
            self._db.executemany("DELETE FROM block WHERE cid = ?", [(raw,) for _, _, raw in places])
            self._zero(pack, [(offset, size) for offset, size, _ in places])
        return sum(size for _, size, _ in places), moved

    def _zero(self, pack: str, places: Sequence[tuple[int, int]]) -> None:
        """Overwrite parts of a pack: it may stay for long, and what the disk keeps is beyond a program's reach."""
        try:
            file = open(self._packs / pack, "r+b")  # noqa: SIM115
        except FileNotFoundError:
            # Lost, it has no bytes that could be overwritten.
            return
        with file:
            for offset, size in sorted(places):
                file.seek(offset)
                file.write(bytes(size))
        sync_path(self._packs / pack)

    def _compact(self, pack: str) -> None:
        path = self._packs / pack
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            # Another process wrote it anew.
            return
        # Its writer, in this process or another, holds the lock as long as it appends, and until it named its blocks.
        with file:
            if not _lock_alone(file):
                return
            rows = self._db.execute("SELECT cid, offset, size FROM block WHERE pack = ?", (pack,)).fetchall()
            # Until half is gone, writing anew costs more than the room is worth.
            if 2 * sum(size for _, _, size in rows) >= path.stat().st_size:
                return
            if rows:
                self._move(file, pack, rows)
            self._forget(pack)
            path.unlink()

    def _move(self, file: BinaryIO, pack: str, rows: Sequence[tuple[bytes, int, int]]) -> None:
        """Copy blocks of a pack into a new one, and let the index name them there."""
        target = self._new_pack()
        moved = []
        for raw, offset, size in rows:
            file.seek(offset)
            moved.append((target.path.name, target.append(file.read(size)), raw, pack))
        target.sync()
        with self._changing():
            update = "UPDATE block SET pack = ?, offset = ? WHERE cid = ? AND pack = ?"
            if self._db.executemany(update, moved).rowcount < len(rows):
                # Another process deleted some while they were copied: their copies go, too.
                kept = self._db.execute("SELECT offset FROM block WHERE pack = ?", (target.path.name,))
                named = {offset for (offset,) in kept}
                copies = zip(moved, rows, strict=True)
                stale = [(offset, size) for (_, offset, _, _), (_, _, size) in copies if offset not in named]
                self._zero(target.path.name, stale)


def _lock_alone(file: BinaryIO) -> bool:
    """Lock a pack as nobody else has it, and tell whether that was possible."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
        self._known: dict[CID, bytes] = {}
        self._packs: set[Pack] = set()
        self._own: Pack | None = None
        self._at = int(store._clock())
        self._held_open = ExitStack()

    def __enter__(self) -> _Writer:
        # From the first block in memory on, which no erasure could see; before the store's own lock, never behind it.
        self._held_open.enter_context(self._store.guards[0].shared())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        store = self._store
        try:
            # Nothing is named after an error: the bytes that were written stay unnamed, and a later write begins
            # behind them.
            if kind is None:
                with store._lock, store._disk(f"{len(self._rows) + len(self._buffer) + len(self._known)} blocks"):
                    self._flush()
                    for pack in self._packs:
                        # One that was finished meanwhile, too: leaves are written without the lock, after its own sync.
                        pack.sync()
                    if self._rows:
                        store._name(self._rows)
        finally:
            with store._lock:
                while self._packs:
                    self._packs.pop().release()
            self._held_open.close()

    def put(self, cid: CID, data: bytes) -> None:
        """Take one block, whose CID was checked or computed by the caller."""
        self._put(cid, data, None)

    def put_all(self, blocks: Sequence[tuple[CID, bytes]]) -> None:
        """Take some blocks, `TOGETHER` at most, whose CIDs were checked by the caller."""
        if len(blocks) < _FEW:
            for cid, data in blocks:
                self.put(cid, data)
            return
        there = self._store._there([bytes(cid) for cid, _ in blocks])
        for cid, data in blocks:
            self._put(cid, data, bytes(cid) in there)

    def _put(self, cid: CID, data: bytes, is_there: bool | None) -> None:
        if cid in self._buffer or cid in self._known:
            return
        # One that is there already may be gone by the time that this ends: its bytes are kept until it was looked at.
        taken = self._known if (self._store.has_block(cid) if is_there is None else is_there) else self._buffer
        taken[cid] = data
        self._held += len(data)
        if self._held >= _FLUSH:
            with self._store._disk(f"{len(self._buffer) + len(self._known)} blocks"):
                self._flush()

    def make_leaves(self, size: int, make: Callable[[int, memoryview], None]) -> list[bytes]:
        """Let threads make, hash and write the leaves of a file, and return their digests."""
        sizes = unixfs.leaf_sizes(size)
        pack, base, file = self._room(size)
        digests = [b""] * len(sizes)
        together = 1 if file is None else LEAVES_AT_ONCE
        numbers = count(step=together)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                # One for all rounds, since a fresh one faults its pages.
                buffer = pages(together * unixfs.CHUNK)
                # `next` on a count is one step of the interpreter: no two threads get one number.
                for first in iter(numbers.__next__, None):
                    if first >= len(sizes) or failures:
                        return
                    filled = 0
                    for index, leaf_size in enumerate(sizes[first : first + together], first):
                        leaf = buffer[filled : filled + leaf_size]
                        make(index, leaf)
                        digests[index] = sha256(leaf).digest()
                        filled += leaf_size
                    offset = base + first * unixfs.CHUNK
                    if file is not None:
                        file.write(buffer[:filled], offset)
                    else:
                        write_all(pack.descriptor, buffer[:filled], offset)
            except BaseException as exc:  # noqa: BLE001
                # It is raised again below, in the caller's thread.
                failures.append(exc)

        # While some wait for the disk, others compute.
        most = ahead.WORKERS * (2 if file is not None and file.direct else 1)
        workers = min(most, -(-len(sizes) // together))
        threads = [threading.Thread(target=work, name=f"leaves-{i}") for i in range(workers)]
        try:
            for thread in threads:
                thread.start()
            if file is not None:
                file.make_room(lambda: not failures)
            for thread in threads:
                thread.join()
        except BaseException as exc:  # noqa: BLE001
            # Whoever interrupts doesn't wait for the rest of the file.
            failures.append(exc)
            if file is not None:
                file.release()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if file is not None:
            file.finish()
        if not failures:
            try:
                self._store.guards[0].check(CID(RAW, digest) for digest in digests)
            except PanaChainError as exc:
                failures.append(exc)
                if self._own is None:
                    # Others' blocks lie beside it.
                    self._store._zero(pack.path.name, [(base, size)])
        if failures:
            if self._own is not None:
                # Nothing else is in there, and nothing of it was named.
                self._own.path.unlink()
            raise failures[0]
        for index, (digest, leaf_size) in enumerate(zip(digests, sizes, strict=True)):
            offset = base + index * unixfs.CHUNK
            self._rows.append((bytes(CID(RAW, digest)), pack.path.name, offset, leaf_size, self._at))
        return digests

    def _room(self, size: int) -> tuple[Pack, int, LargeFile | None]:
        """Return where a file's leaves go: a pack, an offset in it, and how they are written if they are many."""
        store = self._store
        with store._lock:
            if size < ALONE:
                pack = store._current_pack(self._packs)
                # Reserved under the lock and filled without it, so that others can append meanwhile.
                return pack, pack.reserve(size), None
            # Nobody appends to it beside the file, and it goes as a whole when the file is deleted.
            pack = self._own = store._new_pack()
            self._packs.add(pack)
            base = pack.reserve(size)
        try:
            return pack, base, LargeFile(pack, size)
        except BaseException:
            pack.path.unlink()
            raise

    def _flush(self) -> None:
        with self._store._lock:
            if self._known:
                self._buffer |= self._store._renew(self._known, self._at)
                self._known = {}
            if self._buffer:
                self._store.guards[0].check(self._buffer)
                # The nodes above a large file lie with it, and go with it.
                pack = self._own or self._store._current_pack(self._packs)
                offset = pack.append(b"".join(self._buffer.values()))
                for cid, data in self._buffer.items():
                    self._rows.append((bytes(cid), pack.path.name, offset, len(data), self._at))
                    offset += len(data)
            self._buffer, self._held = {}, 0
