"""What a block store can do: the one interface that the embedded store and Kubo share.

Never says how blocks lie on disk. Follows design section 9 (embedded by default, replaceable by configuration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from panachain.ipld.cid import CID, RAW

SMALL: Final = 1 << 16
"""Bytes up to which a block is one of many that are read together."""
TOGETHER: Final = 128
"""Blocks that are looked for at once."""


class BlobStore(Protocol):
    """Blocks and files by CID.

    Every method raises StoreUnavailableError when the store doesn't answer. What a method has returned from is
    on disk: a power cut doesn't lose it.
    """

    name: str
    """What messages call the store."""

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block; `cid` was computed by the caller, and the store's own must be equal.

        Raises:
            IntegrityError: the store answers with another CID.
        """
        ...

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks at the price of few writes."""
        ...

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID.

        Raises:
            BlockNotFoundError: the store doesn't have it.
            IntegrityError: the store gives other bytes.
        """
        ...

    def has_block(self, cid: CID) -> bool:
        """Tell whether the store has the block."""
        ...

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file of profile unixfs-v1-2025, given as its leaves, and return its CID."""
        ...

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Store a file of `size` bytes whose leaves are made in any order by any thread, and return its CID.

        Args:
            size: bytes of the file.
            make: called as make(index, buffer); fills the buffer with leaf number `index`.
        """
        ...

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves, each checked against its CID."""
        ...

    def pin(self, cid: CID) -> None:
        """Keep the block and everything that it links from garbage collection."""
        ...

    def unpin(self, cid: CID) -> None:
        """Give the block and what it links up to garbage collection; a missing pin is no error."""
        ...

    def pins(self) -> Iterator[CID]:
        """Yield what is pinned."""
        ...

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        """Yield CID, bytes and Unix time of storing (0 where it isn't known) of every block."""
        ...

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        """Remove blocks and return how many bytes they had; missing ones are no error."""
        ...

    def delete_block(self, cid: CID) -> None:
        """Remove one block; a missing one is no error."""
        ...

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


@runtime_checkable
class Near(Protocol):
    """A store that gives many small blocks for little more than one: what lies on this machine."""

    def near(self, cids: Sequence[CID]) -> list[bytes | None]:
        """Return some blocks in their order, each checked against its CID; None for what `get_block` must give.

        It blames nothing and nobody: a block that is missing, damaged, large or just being moved is None.
        """
        ...


def near(store: BlobStore, cids: Sequence[CID]) -> list[bytes | None]:
    """Return what a store gives of some blocks at little cost; of a store that isn't near, nothing."""
    return store.near(cids) if isinstance(store, Near) else [None] * len(cids)


@runtime_checkable
class InFolder(Protocol):
    """A store whose blocks another process can read, too."""

    @property
    def near_folder(self) -> Path | None:
        """The folder of an embedded store; None where there is none after all."""
        ...


def near_folder(store: BlobStore) -> Path | None:
    """Return the folder in which another process can read a store's blocks, or None."""
    return store.near_folder if isinstance(store, InFolder) else None


def keep(store: BlobStore, blob: bytes) -> CID:
    """Store and pin one block that somebody else shall find by its CID, and return it."""
    cid = CID.of(RAW, blob)
    store.put_block(cid, blob)
    store.pin(cid)
    return cid
