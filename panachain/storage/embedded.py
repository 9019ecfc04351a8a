"""The embedded block store: a folder that gives the CIDs that Kubo gives.

Never hands out a byte that doesn't fit its CID. Blocks lie in append-only packs (small blocks don't cost a file
each) with an index in SQLite; the pack is on disk before the index names it, so a killed writer leaves at most
unnamed bytes behind. Two processes may share the folder: each writes a pack of its own.
Follows docs/spec/formats.md.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from panachain.errors import BlockNotFoundError, DiskError, StoreUnavailableError
from panachain.storage import unixfs
from panachain.storage.cid import CID

PACK_SIZE: Final = 256 << 20
"""Bytes after which a new pack is begun."""
_FLUSH: Final = 8 << 20
"""Bytes that `add_file` and `put_blocks` hold in memory before they write."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS block (
    cid    BLOB PRIMARY KEY,
    pack   TEXT NOT NULL,
    offset INTEGER NOT NULL,
    size   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pin (cid BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class EmbeddedStore:
    """A `BlobStore` in a folder."""

    name = "embedded store"

    def __init__(self, folder: Path) -> None:
        """Open or create the store.

        Raises:
            StoreUnavailableError: the folder can't be opened.
        """
        self.folder = folder
        self._lock = threading.RLock()
        self._pack: Path | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                folder / "index.sqlite", timeout=60, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(f"the embedded store {folder} can't be opened: {exc}") from exc

    def close(self) -> None:
        """Close the index."""
        self._db.close()

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block."""
        self.put_blocks([(cid, data)])

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks; what is there already is not written again.

        Raises:
            IntegrityError: a CID isn't that of its bytes.
            DiskError: the disk refuses; the index names nothing of the failed write.
        """
        buffer: list[tuple[CID, bytes]] = []
        size = 0
        for cid, data in blocks:
            cid.check(data)
            buffer.append((cid, data))
            size += len(data)
            if size >= _FLUSH:
                self._write(buffer)
                buffer, size = [], 0
        self._write(buffer)

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file given as its leaves, and return its CID."""
        buffer: list[tuple[CID, bytes]] = []
        held = 0

        def put(cid: CID, data: bytes) -> None:
            nonlocal held
            buffer.append((cid, data))
            held += len(data)
            if held >= _FLUSH:
                self._write(buffer)
                buffer.clear()
                held = 0

        root = unixfs.build(leaves, put)
        self._write(buffer)
        return root

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        with self._lock:
            row = self._db.execute("SELECT pack, offset, size FROM block WHERE cid = ?", (bytes(cid),)).fetchone()
        if row is None:
            raise BlockNotFoundError(f"the {self.name} has no block {cid}")
        pack, offset, size = row
        try:
            with open(self._packs / pack, "rb") as file:
                file.seek(offset)
                data = file.read(size)
        except FileNotFoundError:
            raise BlockNotFoundError(f"the {self.name} has lost the pack that holds block {cid}") from None
        except OSError as exc:
            raise StoreUnavailableError(f"block {cid} can't be read: {exc.strerror}") from exc
        return cid.check(data)

    def has_block(self, cid: CID) -> bool:
        """Tell whether the index names the block."""
        with self._lock:
            return self._db.execute("SELECT 1 FROM block WHERE cid = ?", (bytes(cid),)).fetchone() is not None

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves."""
        return unixfs.read(cid, self.get_block)

    def pin(self, cid: CID) -> None:
        """Note that the block is wanted."""
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO pin VALUES (?)", (bytes(cid),))

    def delete_block(self, cid: CID) -> None:
        """Overwrite and forget one block."""
        with self._lock:
            row = self._db.execute("SELECT pack, offset, size FROM block WHERE cid = ?", (bytes(cid),)).fetchone()
            if row is None:
                return
            self._db.execute("DELETE FROM block WHERE cid = ?", (bytes(cid),))
            pack, offset, size = row
            with open(self._packs / pack, "r+b") as file:
                file.seek(offset)
                file.write(bytes(size))
                file.flush()
                os.fsync(file.fileno())

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block, sorted."""
        with self._lock:
            rows = self._db.execute("SELECT cid FROM block ORDER BY cid").fetchall()
        for (raw,) in rows:
            yield CID.from_bytes(raw)

    @property
    def _packs(self) -> Path:
        return self.folder / "packs"

    def _write(self, blocks: list[tuple[CID, bytes]]) -> None:
        with self._lock:
            new = {cid: data for cid, data in blocks if not self.has_block(cid)}
            if not new:
                return
            try:
                rows = self._append(new)
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except (OSError, sqlite3.Error) as exc:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                # A torn tail must not be appended to: the next write begins a new pack.
                self._pack = None
                reason = exc.strerror if isinstance(exc, OSError) else str(exc)
                raise DiskError(f"{len(new)} blocks can't be stored: {reason}; none of them is named") from exc

    def _append(self, new: dict[CID, bytes]) -> list[tuple[bytes, str, int, int]]:
        """Append blocks to this process's pack and return their places; they are on disk when it returns."""
        if self._pack is None or self._pack.stat().st_size >= PACK_SIZE:
            self._packs.mkdir(mode=0o700, exist_ok=True)
            self._pack = self._packs / f"{os.urandom(8).hex()}.pack"
        rows = []
        with open(self._pack, "ab") as file:
            offset = file.tell()
            for cid, data in new.items():
                file.write(data)
                rows.append((bytes(cid), self._pack.name, offset, len(data)))
                offset += len(data)
            file.flush()
            os.fsync(file.fileno())
        # The file's name must be on disk as well.
        directory = os.open(self._packs, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return rows
