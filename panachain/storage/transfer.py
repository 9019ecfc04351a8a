"""Export to a CAR file and import from one: how a store's blocks are carried elsewhere.

Never pins a root of which something is missing, and never takes a block that doesn't fit its CID.
Follows the CARv1 specification by way of `ipld/car.py`, and docs/spec/network.md, section "Stores".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import car, dag
from panachain.ipld.cid import CID, RAW
from panachain.model.progress import Progress
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import erased_of, guards_of, writing


@dataclass(frozen=True)
class CarReport:
    """What went into a CAR, or came out of one."""

    file: str
    roots: tuple[CID, ...]
    blocks: int
    size: int
    """Bytes of the blocks."""
    missing: tuple[CID, ...] = field(default=())
    """Blocks that the roots reach and that aren't there."""
    pinned: int = 0
    """Roots that were pinned; on import only."""
    erased: int = 0
    """Blocks that were erased from the store: of the file, and not stored again; or that a node still has, and that
    aren't in the file."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/car/1`."""
        return {
            "schema": "panachain/car/1",
            "file": self.file,
            "roots": [str(root) for root in self.roots],
            "blocks": self.blocks,
            "size": self.size,
            "missing": [str(cid) for cid in self.missing],
            "pinned": self.pinned,
            "erased": self.erased,
        }


def export_car(
    store: BlobStore, roots: Sequence[CID], file: BinaryIO, *, name: str, progress: Progress | None = None
) -> CarReport:
    """Write everything that `roots` reach into a CAR: depth first, so the same roots give the same bytes.

    What is missing is left out and named in the report. What was erased from the store is left out too, whichever node
    still has it. No record is erased meanwhile: the file would hold what is attested as gone.

    Raises:
        IntegrityError: a block is damaged.
        StoreUnavailableError: the store doesn't answer, or records are being erased from it.
    """
    with writing(store):
        return _export(store, roots, file, name, progress)


def _export(store: BlobStore, roots: Sequence[CID], file: BinaryIO, name: str, progress: Progress | None) -> CarReport:
    counted, guards, erased = _Counted(progress), guards_of(store), set[CID]()
    lacking: list[CID] = []

    def get(cid: CID) -> bytes | None:
        if erased_of(guards, [cid]):
            erased.add(cid)
            return None
        try:
            return store.get_block(cid)
        except BlockNotFoundError:
            lacking.append(cid)
            return None

    def blocks() -> Iterator[tuple[CID, bytes]]:
        for cid, linking in dag.walk(roots, get):
            data = get(cid) if cid.codec == RAW else linking
            if data is not None:
                counted.add(data)
                yield cid, data

    car.write_car(file, roots, blocks())
    return CarReport(name, tuple(roots), counted.blocks, counted.size, tuple(lacking), erased=len(erased))


def import_car(
    store: BlobStore, file: BinaryIO, *, name: str, total: int = 0, progress: Progress | None = None
) -> CarReport:
    """Store the blocks of a CAR, and pin those of its roots of which everything is there and true then.

    Blocks that the store has already, but damaged, are written anew. What was erased from it isn't, nor is a root
    pinned that reaches it. No record is erased from it meanwhile.

    Args:
        store: where the blocks go.
        file: the CAR; it is read once more when something in the store is damaged.
        name: of the file, for the report.
        total: bytes of the file, for the progress.
        progress: is told the bytes that came in, and then the blocks that were read back.

    Raises:
        IntegrityError: the CAR is damaged or foreign; blocks before the damage stay, nothing was pinned.
        StoreUnavailableError: the store doesn't answer; the same import again does the rest.
    """
    with writing(store):
        return _import(store, file, name, total, progress)


def _import(store: BlobStore, file: BinaryIO, name: str, total: int, progress: Progress | None) -> CarReport:
    start = file.tell()
    guards, erased = guards_of(store), set[CID]()
    roots, blocks = car.read_car(file)
    counted = _Counted(progress, total)

    def counting() -> Iterator[tuple[CID, bytes]]:
        for cid, data in blocks:
            counted.add(data)
            if erased_of(guards, [cid]):
                erased.add(cid)
            else:
                yield cid, data

    store.put_blocks(counting())
    checked = _Checked(progress)
    lacking = {root: _lacking(store, root, checked) for root in dict.fromkeys(roots)}
    tried: set[CID] = set()
    # A mended node may show that more is damaged below it.
    while damaged := set().union(*lacking.values()) - tried - erased:
        file.seek(start)
        _replace(store, car.read_car(file)[1], damaged)
        tried |= damaged
        lacking = {root: found and _lacking(store, root, checked) for root, found in lacking.items()}
    complete = [root for root, found in lacking.items() if not found]
    for root in complete:
        store.pin(root)
    lost = set[CID]().union(*lacking.values())
    erased |= erased_of(guards, lost)
    missing = tuple(sorted(lost - erased))
    return CarReport(name, tuple(roots), counted.blocks, counted.size, missing, len(complete), len(erased))


def _replace(store: BlobStore, blocks: Iterable[tuple[CID, bytes]], wanted: set[CID]) -> None:
    """Write the wanted ones of `blocks` anew: a store keeps what it has, also when it is damaged."""
    for cid, data in blocks:
        if cid in wanted:
            store.delete_block(cid)
            store.put_block(cid, data)


def _lacking(store: BlobStore, root: CID, checked: _Checked) -> list[CID]:
    """Return the blocks under a root that the store doesn't have, or not as they should be."""
    lacking: list[CID] = []

    def get(cid: CID) -> bytes | None:
        try:
            return store.get_block(cid)
        except (BlockNotFoundError, IntegrityError):
            lacking.append(cid)
            return None

    for cid, _ in dag.walk([root], get):
        if cid.codec == RAW:
            get(cid)
        checked.add()
    return lacking


class _Counted:
    def __init__(self, progress: Progress | None, total: int = 0) -> None:
        self._progress = progress
        self._total = total
        self.blocks = 0
        self.size = 0

    def add(self, data: bytes) -> None:
        self.blocks += 1
        self.size += len(data)
        if self._progress is not None:
            self._progress(self.size, self._total, unit="bytes")


class _Checked:
    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._blocks = 0

    def add(self) -> None:
        self._blocks += 1
        if self._progress is not None:
            self._progress(self._blocks, 0, unit="blocks")
