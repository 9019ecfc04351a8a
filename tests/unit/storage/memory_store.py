"""A block store in memory that a test can break: the twin of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from panachain.errors import BlockNotFoundError, StoreUnavailableError
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID
from panachain.storage.blocks import BlobStore


class MemoryStore:
    """A `BlobStore` without a disk. It doesn't check what it holds, so that a test can damage it."""

    def __init__(self, name: str = "memory", *, at: float = 0.0) -> None:
        self.name = name
        self.now = at
        """Unix time that new blocks get; 0 for a store that doesn't know."""
        self.held: dict[CID, tuple[bytes, float]] = {}
        self.pinned: set[CID] = set()
        self.down = False
        self.closed = False
        self.asked = 0
        """How many blocks were read."""

    def _check_up(self) -> None:
        if self.down:
            raise StoreUnavailableError(f"{self.name} doesn't answer")

    def damage(self, cid: CID) -> None:
        data, at = self.held[cid]
        self.held[cid] = (data[:-1] + bytes([data[-1] ^ 1]), at)

    def put_block(self, cid: CID, data: bytes) -> None:
        self.put_blocks([(cid, data)])

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        self._check_up()
        for cid, data in blocks:
            # Like the real ones: what is there is not written again, damaged or not.
            self.held.setdefault(cid, (cid.check(data, CALLER), self.now))

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        return unixfs.build(leaves, self.put_block)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        return self.add_file(unixfs.made(size, make))

    def get_block(self, cid: CID) -> bytes:
        self._check_up()
        self.asked += 1
        if cid not in self.held:
            raise BlockNotFoundError(f"{self.name} has no block {cid}")
        return cid.check(self.held[cid][0], self.name)

    def has_block(self, cid: CID) -> bool:
        self._check_up()
        return cid in self.held

    def read_file(self, cid: CID) -> Iterator[bytes]:
        return unixfs.read(cid, self.get_block)

    def pin(self, cid: CID) -> None:
        self._check_up()
        self.pinned.add(cid)

    def unpin(self, cid: CID) -> None:
        self._check_up()
        self.pinned.discard(cid)

    def pins(self) -> Iterator[CID]:
        self._check_up()
        return iter(sorted(self.pinned))

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        self._check_up()
        return ((cid, len(data), at) for cid, (data, at) in sorted(self.held.items()))

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        self._check_up()
        return sum(len(self.held.pop(cid, (b"", 0.0))[0]) for cid in cids)

    def delete_block(self, cid: CID) -> None:
        self.delete_blocks([cid])

    def blocks(self) -> Iterator[CID]:
        return (cid for cid, _, _ in self.sizes())

    def close(self) -> None:
        self.closed = True


def _is_a_store(store: MemoryStore) -> BlobStore:
    """Let a type checker say whether the twin still has the interface."""
    return store
