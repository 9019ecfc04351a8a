"""A block store in an S3 bucket: many blocks in one object, and a small index beside each.

Never believes the service: a block counts when its bytes fit its CID. What is deleted is gone from its object too,
which is written anew without it. Any number of programs may use one bucket at once. Follows docs/spec/formats.md,
section "S3", security rules 7 and 14, and ADR 24.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from panachain.errors import BlockNotFoundError, IntegrityError, StoreUnavailableError, UsageError
from panachain.ipld import car, unixfs
from panachain.ipld.cid import CALLER, CID
from panachain.storage import ahead
from panachain.storage.guards import Guard, check_not_erased, erased_of, writing
from panachain.storage.s3_client import Bucket, S3Client, read_s3_url

__all__ = ["S3Store", "read_s3_url"]

PACK: Final = 8 << 20
"""Bytes of blocks after which an object is sent."""
PACK_BLOCKS: Final = 8192
"""Blocks after which it is."""
_UNDER_WAY: Final = 3
"""Objects that are sent at once."""
_ENTRY: Final = 36 + 8 + 4
"""Bytes of an index's entry: CID, offset and size, both big-endian."""
_MAGIC: Final = b"PanaChain S3 index 1\n"
_MAX_INDEX: Final = len(_MAGIC) + PACK_BLOCKS * _ENTRY
_MAX_PACK: Final = PACK + car.MAX_BLOCK
_SMALL: Final = 64 << 10
"""Bytes; blocks below it are read with their neighbours, which are asked for next."""
_WINDOW: Final = 1 << 20
"""Bytes that are read then."""
_WINDOWS: Final = 32
"""Windows that are kept."""
_ROUNDS: Final = 8
"""Times that a deletion looks again for what others wrote anew meanwhile."""
_REWRITING: Final = 120.0
"""Seconds after which a program that writes an object of up to 9 MiB anew counts as broken off."""
_PATIENCE: Final = 0.2
"""Seconds until whoever waits for it looks again."""
_READERS: Final = 8
"""Indexes that are read at once."""
_LOOK: Final = 2.0
"""Seconds after which the bucket is listed again for a block that isn't known."""
_YOUNG: Final = 12 * 3600
"""Seconds; a block that is older is written again, so that no collection takes it from an upload that needs it."""
_ORPHAN: Final = 24 * 3600
"""Seconds after which an object without an index is nobody's upload any more."""
_TIMEOUT: Final = 60.0
"""Seconds of silence after which a connection is given up."""


@dataclass(frozen=True)
class _Place:
    """Where a block lies."""

    pack: str
    """Key of its object."""
    offset: int
    size: int


@dataclass
class _Pack:
    """One object with blocks."""

    cids: list[CID]
    end: int
    """Bytes of its blocks."""
    at: float
    """Unix seconds at which it was written."""


class S3Store:
    """A `BlobStore` in a bucket. Any thread may use it."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        client: S3Client | None = None,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        guard: Guard | None = None,
    ) -> None:
        """Take the bucket; nothing is asked yet.

        Args:
            bucket: from `read_s3_url`.
            client: asks the service; None opens one.
            timeout: seconds of silence after which a connection is given up.
            clock: Unix seconds.
            sleep: waits for so many seconds.
            guard: what keeps writers of this machine and erasures apart; None for nothing.

        Raises:
            ConfigurationError: the extra isn't installed.
            LockedError: there are no credentials.
        """
        self.name = f"S3 store {bucket.shown}"
        self.guards = () if guard is None else (guard,)
        """What keeps writers of this machine and erasures apart."""
        self._client = client or S3Client(bucket, name=self.name, timeout=timeout)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.RLock()
        self._places: dict[CID, list[_Place]] = {}
        self._packs: dict[str, _Pack] = {}
        self._windows: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._looked = -float("inf")
        self._erasable = False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        for guard in self.guards:
            guard.close()

    # Writing

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block."""
        self.put_blocks([(cid, data)])

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks at the price of few objects; all are there when this returns."""
        with writing(self), _Packer(self) as packer:
            for cid, data in blocks:
                packer.put(cid, cid.check(data, CALLER))

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file given as its leaves, and return its CID."""
        with writing(self), _Packer(self) as packer:
            return unixfs.build(leaves, packer.put)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Store a file whose leaves are made one after the other, while the ones before are sent."""
        return self.add_file(unixfs.made(size, make))

    def pin(self, cid: CID) -> None:
        """Note that the block and what it links is wanted."""
        self._client.put(f"pins/{cid}", b"")

    def unpin(self, cid: CID) -> None:
        """Note that the block is wanted no longer; a missing pin is no error."""
        self._client.delete(f"pins/{cid}")

    def delete_block(self, cid: CID) -> None:
        """Remove one block; a missing one is no error."""
        self.delete_blocks([cid])

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        """Remove blocks, writing the objects that held them anew without them, and return how many bytes they had.

        Raises:
            UsageError: the bucket keeps versions of what is deleted, so nothing can be erased there.
            StoreUnavailableError: others write the same blocks again and again; some of them are there still.
        """
        unwanted = set(cids)
        self._check_erasable()
        freed: dict[CID, int] = {}
        rounds, seen, until = 0, dict[str, float](), self._clock() + _ROUNDS * _REWRITING
        while rounds < _ROUNDS and self._clock() < until:
            # From the bucket, not from memory: another program may have written the object anew meanwhile, with what
            # is to go still in it.
            self._refresh()
            touched: set[str] = set()
            with self._lock:
                for cid in unwanted:
                    for place in self._places.get(cid, ()):
                        touched.add(place.pack)
                        freed[cid] = place.size
            if touched:
                rounds += 1
                for pack in sorted(touched):
                    self._write_anew(pack, unwanted)
            elif self._others_write_anew(seen):
                # What one of them read before it was removed here may be in what they are about to write.
                self._sleep(_PATIENCE)
            else:
                self._remove_orphans()
                return sum(freed.values())
        raise StoreUnavailableError(f"others write to the {self.name} what is to be removed; some of it is there still")

    # Reading

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        failure: BlockNotFoundError | IntegrityError | None = None
        for fresh in (False, True):
            if fresh or self._looked < 0:
                self._refresh()
            for place in self._found(cid):
                try:
                    return cid.check(self._read(place), self.name)
                except (BlockNotFoundError, IntegrityError) as exc:
                    # Its object was written anew since the index was read, or is damaged; there may be a second one.
                    failure = exc
        raise failure or BlockNotFoundError(f"the {self.name} has no block {cid}")

    def has_block(self, cid: CID) -> bool:
        """Tell whether the bucket names the block; what others wrote within the last seconds may be left out."""
        if not self._found(cid) and self._clock() - self._looked > _LOOK:
            self._refresh()
        return bool(self._found(cid))

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves."""
        return ahead.read_file(cid, self.get_block)

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block, sorted."""
        for cid, _, _ in self.sizes():
            yield cid

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        """Yield CID, bytes and Unix time of storing of every block, sorted by CID."""
        self._refresh()
        with self._lock:
            found = [
                (cid, places[0].size, max(self._packs[place.pack].at for place in places))
                for cid, places in sorted(self._places.items())
            ]
        yield from found

    def pins(self) -> Iterator[CID]:
        """Yield what is pinned, sorted."""
        found = []
        for one in self._client.list("pins/"):
            try:
                found.append(CID.parse(one.key.removeprefix("pins/")))
            except UsageError as exc:
                raise IntegrityError(f"the {self.name} has a pin of what is no CID") from exc
        yield from sorted(found)

    def facts(self) -> str:
        """Return what an operator should know of the bucket, or nothing."""
        versions = self._client.versioning()
        return f"versioning is {versions}: nothing can be erased" if versions else ""

    # Internal

    def _found(self, cid: CID) -> list[_Place]:
        with self._lock:
            return list(self._places.get(cid, ()))

    def _fresh(self, cid: CID) -> bool:
        """Tell whether a block is there that no collection takes for old while an upload goes on."""
        with self._lock:
            newest = max((self._packs[place.pack].at for place in self._places.get(cid, ())), default=0.0)
        return self._clock() - newest < _YOUNG

    def _refresh(self) -> None:
        """Read the indexes that aren't known, and forget the objects that are gone."""
        with self._lock:
            now = self._clock()
            packed = {f"packs/{one.key.removeprefix('index/')}": one for one in self._client.list("index/")}
            single = {one.key: one for one in self._client.list("blocks/")}
            listed = packed | single
            for pack in set(self._packs) - set(listed):
                self._forget(pack)
            for pack in set(self._packs):
                self._packs[pack].at = listed[pack].at
            for key in sorted(set(single) - set(self._packs)):
                self._learn(key, [(self._cid_of(key), 0, single[key].size)], single[key].at)
            new = sorted(set(packed) - set(self._packs))
            with ThreadPoolExecutor(_READERS, thread_name_prefix="s3-index") as pool:
                for pack, entries in zip(new, pool.map(self._index_of, new), strict=True):
                    self._learn(pack, entries, packed[pack].at)
            self._looked = now

    def _index_of(self, pack: str) -> list[tuple[CID, int, int]]:
        try:
            body = self._client.get(pack.replace("packs/", "index/", 1), limit=_MAX_INDEX)
        except BlockNotFoundError:
            # Written anew since it was listed: its successor is listed the next time.
            return []
        return _read_index(body, self.name)

    def _cid_of(self, key: str) -> CID:
        try:
            return CID.parse(key.partition("/")[2])
        except UsageError as exc:
            raise IntegrityError(f"the {self.name} has an object that is named after no CID: {key}") from exc

    def _learn(self, pack: str, entries: list[tuple[CID, int, int]], at: float) -> None:
        with self._lock:
            end = max((offset + size for _, offset, size in entries), default=0)
            self._packs[pack] = _Pack([cid for cid, _, _ in entries], end, at)
            for cid, offset, size in entries:
                self._places.setdefault(cid, []).append(_Place(pack, offset, size))

    def _forget(self, pack: str) -> None:
        with self._lock:
            known = self._packs.pop(pack, None)
            for cid in known.cids if known else ():
                left = [place for place in self._places.get(cid, ()) if place.pack != pack]
                if left:
                    self._places[cid] = left
                else:
                    self._places.pop(cid, None)
            for key in [key for key in self._windows if key[0] == pack]:
                del self._windows[key]

    def _read(self, place: _Place) -> bytes:
        if not place.size:
            return b""
        start = place.offset // _WINDOW * _WINDOW
        if place.size < _SMALL and place.offset + place.size <= start + _WINDOW:
            window = self._window(place.pack, start)
            return window[place.offset - start : place.offset - start + place.size]
        return self._client.get(place.pack, limit=place.size, first=place.offset)

    def _window(self, pack: str, start: int) -> bytes:
        """Return the part of an object that begins at a multiple of the window's size."""
        with self._lock:
            known = self._windows.get((pack, start))
            if known is not None:
                self._windows.move_to_end((pack, start))
                return known
            end = self._packs[pack].end if pack in self._packs else 0
        if end <= start:
            raise BlockNotFoundError(f"the {self.name} has written {pack} anew")
        data = self._client.get(pack, limit=min(_WINDOW, end - start), first=start)
        with self._lock:
            if pack in self._packs:
                self._windows[pack, start] = data
            while len(self._windows) > _WINDOWS:
                self._windows.popitem(last=False)
        return data

    def _check_erasable(self) -> None:
        if not self._erasable and (versions := self._client.versioning()):
            raise UsageError(
                f"the bucket of the {self.name} keeps versions of what is deleted (versioning is {versions}); "
                "nothing was removed",
                hint="use a bucket on which versioning was never turned on",
            )
        self._erasable = True

    def _write_anew(self, pack: str, unwanted: set[CID]) -> None:
        """Write an object without some blocks, and remove the old one; others see that it is being done."""
        key = f"rewriting/{os.urandom(16).hex()}"
        # Before anything is read: whoever removes something else meanwhile waits for this to end, and looks again.
        self._client.put(key, b"")
        try:
            self._rewrite(pack, unwanted, self._clock() + _REWRITING / 2)
        finally:
            self._client.delete(key)

    def _others_write_anew(self, seen: dict[str, float]) -> bool:
        """Tell whether another program writes an object anew.

        Args:
            seen: when each such mark was first seen; one that stays is of a program that broke off.
        """
        now = self._clock()
        marks = [one.key for one in self._client.list("rewriting/")]
        for mark in marks:
            if now - seen.setdefault(mark, now) >= _REWRITING:
                self._client.delete(mark)
        return any(now - seen[mark] < _REWRITING for mark in marks)

    def _rewrite(self, pack: str, unwanted: set[CID], until: float) -> None:
        with self._lock:
            kept = [
                (cid, place)
                for cid in self._packs[pack].cids
                for place in self._places[cid]
                if place.pack == pack and cid not in unwanted
            ]
        # What an erasure that broke off has left goes with the rest: it isn't written again.
        erased = erased_of(self.guards, [cid for cid, _ in kept])
        kept = [(cid, place) for cid, place in kept if cid not in erased]
        try:
            body = self._client.get(pack, limit=_MAX_PACK) if kept else b""
        except BlockNotFoundError:
            # Somebody else was faster; what they wrote is looked at in the next round.
            body, kept = b"", []
        blocks = []
        for cid, place in kept:
            try:
                blocks.append((cid, cid.check(body[place.offset : place.offset + place.size], self.name)))
            except IntegrityError:
                # A damaged block is no loss: nothing would ever take it.
                continue
        if self._clock() > until:
            # Others may take this for broken off: the next round does it.
            return
        if blocks:
            self._send(blocks)
        # The index last: while it is there, a deletion that broke off is found and finished by the next one.
        self._client.delete(pack)
        if pack.startswith("packs/"):
            self._client.delete(pack.replace("packs/", "index/", 1))
        self._forget(pack)

    def _remove_orphans(self) -> None:
        """Remove objects without an index, which an upload left that broke off long ago."""
        with self._lock:
            known = set(self._packs)
        for one in self._client.list("packs/"):
            if one.key not in known and self._clock() - one.at > _ORPHAN:
                self._client.delete(one.key)

    def _send(self, blocks: list[tuple[CID, bytes]]) -> None:
        """Write an object and then its index, by which alone its blocks are found; one block needs no index."""
        check_not_erased(self, [cid for cid, _ in blocks])
        now = self._clock()
        if len(blocks) == 1:
            cid, data = blocks[0]
            key = f"blocks/{cid}"
            self._client.put(key, data)
            self._forget(key)
            self._learn(key, [(cid, 0, len(data))], now)
            return
        entries, offset, name = [], 0, os.urandom(16).hex()
        for cid, data in blocks:
            entries.append((cid, offset, len(data)))
            offset += len(data)
        self._client.put(f"packs/{name}", b"".join(data for _, data in blocks))
        self._client.put(f"index/{name}", _index(entries))
        self._learn(f"packs/{name}", entries, now)


class _Packer:
    """Blocks on their way into objects: some are sent while the next ones are gathered."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._held: dict[CID, bytes] = {}
        self._size = 0
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: list[Future[None]] = []

    def __enter__(self) -> _Packer:
        # Always: what a collection took meanwhile must be written again.
        self._store._refresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                if self._held and self._pool is None:
                    # What fits into one object needs no thread.
                    self._store._send(list(self._held.items()))
                elif self._held:
                    self._hand_on()
                while self._under_way:
                    self._under_way.pop(0).result()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True)

    def put(self, cid: CID, data: bytes) -> None:
        """Take one block, whose CID was checked or computed by the caller."""
        if cid in self._held or self._store._fresh(cid):
            return
        self._held[cid] = data
        self._size += len(data)
        if self._size >= PACK or len(self._held) >= PACK_BLOCKS:
            self._hand_on()

    def _hand_on(self) -> None:
        while len(self._under_way) >= _UNDER_WAY:
            self._under_way.pop(0).result()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_UNDER_WAY, thread_name_prefix="s3-send")
        self._under_way.append(self._pool.submit(self._store._send, list(self._held.items())))
        self._held, self._size = {}, 0


def _index(entries: list[tuple[CID, int, int]]) -> bytes:
    return _MAGIC + b"".join(
        bytes(cid) + offset.to_bytes(8, "big") + size.to_bytes(4, "big") for cid, offset, size in entries
    )


def _read_index(body: bytes, name: str) -> list[tuple[CID, int, int]]:
    """Return what an index names.

    Raises:
        IntegrityError: it is none, or names more than an object can hold.
    """
    rest = body.removeprefix(_MAGIC)
    if not body.startswith(_MAGIC) or len(rest) % _ENTRY:
        raise IntegrityError(f"an index of the {name} isn't one")
    entries = []
    for start in range(0, len(rest), _ENTRY):
        entry = rest[start : start + _ENTRY]
        try:
            cid = CID.from_bytes(entry[:36])
        except (UsageError, IntegrityError, ValueError) as exc:
            raise IntegrityError(f"an index of the {name} names what is no CID") from exc
        offset, size = int.from_bytes(entry[36:44], "big"), int.from_bytes(entry[44:], "big")
        if size > car.MAX_BLOCK or offset + size > _MAX_PACK:
            raise IntegrityError(f"an index of the {name} names a block beyond an object's end")
        entries.append((cid, offset, size))
    return entries
