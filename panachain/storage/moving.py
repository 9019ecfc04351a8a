"""A whole store carried into another one: every block checked on the way and read back, what is there already skipped.

Never removes anything: the store that it came from stays as it is, until its operator takes it away. Called again, it
goes on where it was. Follows docs/spec/network.md, section "Stores".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import dag
from panachain.ipld.cid import CID
from panachain.model.progress import Progress
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import erased_of, guards_of, writing


@dataclass(frozen=True)
class MoveReport:
    """What a move found and did, in blocks."""

    blocks: int
    """That the roots reach."""
    copied: int
    """Of them, those that the new store lacked."""
    size: int
    """Bytes of the copied blocks."""
    missing: tuple[CID, ...]
    """What the old store lacks or has damaged, and the new one lacks too."""
    pinned: int
    """Roots that are pinned in the new store now."""
    unpinned: int
    """Roots under which something is missing: pinned by the same move once it is there. One that reaches what was
    erased never is."""
    erased: int = 0
    """Blocks that were erased from one of the stores, and weren't copied."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/move/1`."""
        return {
            "schema": "panachain/move/1",
            "blocks": self.blocks,
            "copied": self.copied,
            "size": self.size,
            "missing": [str(cid) for cid in self.missing],
            "pinned": self.pinned,
            "unpinned": self.unpinned,
            "erased": self.erased,
        }


def move(
    source: BlobStore, target: BlobStore, roots: Iterable[CID] = (), *, progress: Progress | None = None
) -> MoveReport:
    """Copy everything that the pins of `source` and `roots` reach, read it back, and pin what was pinned.

    What was erased from one of both isn't copied, and the target won't take it later either. No record is erased from
    either meanwhile.

    Args:
        source: is left as it is.
        target: gets what it lacks; a block that it has damaged is written anew.
        roots: wanted as well, without a pin; those that neither store has are missing.
        progress: is told the blocks.

    Raises:
        StoreUnavailableError: one of the stores doesn't answer; the same move again goes on.
        IntegrityError: the target gives other bytes than it was given, so it can't be a store.
        DiskError: the target has no room.
    """
    with writing(source, target):
        for guard in guards_of(target):
            for other in guards_of(source):
                guard.note_all_of(other)
        return _Move(source, target, progress).run(sorted(set(source.pins())), list(dict.fromkeys(roots)))


class _Move:
    def __init__(self, source: BlobStore, target: BlobStore, progress: Progress | None) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._copied: list[CID] = []
        self._size = 0
        self._missing: dict[CID, None] = {}
        self._guards = guards_of(source, target)
        self._erased: set[CID] = set()
        self._blocks = 0
        # Listed once: asking for each block takes a round trip, and most aren't there.
        self._there = {cid.digest for cid in target.blocks()}

    def run(self, pins: list[CID], roots: list[CID]) -> MoveReport:
        # 1. What the new store lacks, written in large pieces: an answer is waited for once for many blocks.
        self._target.put_blocks(self._lacking([*pins, *roots]))
        # 2. What was written is read back: that a store took a block isn't enough.
        for cid in self._copied:
            cid.check(self._target.get_block(cid), self._target.name)
        # 3. The pins, children and all being there.
        whole = [root for root in pins if not self._lacks(root)]
        known = set(self._target.pins())
        for root in whole:
            if root not in known:
                self._target.pin(root)
        unpinned, erased = len(pins) - len(whole), len(self._erased)
        return MoveReport(
            self._blocks, len(self._copied), self._size, tuple(self._missing), len(whole), unpinned, erased
        )

    def _lacking(self, roots: list[CID]) -> Iterator[tuple[CID, bytes]]:
        """Yield what the target doesn't have as it should be."""
        for cid, data in dag.walk(roots, self._either):
            self._blocks += 1
            if self._progress is not None:
                self._progress(self._blocks, 0, unit="blocks")
            if cid in self._missing or self._is_erased(cid) or self._has(cid):
                continue
            known = data if data is not None else self._either(cid)
            if known is not None:
                self._copied.append(cid)
                self._size += len(known)
                yield cid, known

    def _has(self, cid: CID) -> bool:
        if cid.digest not in self._there:
            return False
        try:
            self._target.get_block(cid)
        except BlockNotFoundError:
            return False
        except IntegrityError:
            # A store keeps what it has, also when it is damaged: away with it.
            self._target.delete_block(cid)
            return False
        return True

    def _either(self, cid: CID) -> bytes | None:
        """Return the true bytes from whichever store has them, or None."""
        if self._is_erased(cid):
            return None
        for store in (self._source, self._target):
            try:
                return store.get_block(cid)
            except (BlockNotFoundError, IntegrityError):
                continue
        self._missing[cid] = None
        return None

    def _lacks(self, root: CID) -> bool:
        if not self._missing and not self._erased:
            return False
        return any(cid in self._missing or cid in self._erased for cid, _ in dag.walk([root], self._either))

    def _is_erased(self, cid: CID) -> bool:
        if cid not in self._erased and erased_of(self._guards, [cid]):
            self._erased.add(cid)
        return cid in self._erased
