"""Repair of several nodes: every block under some roots is checked on each, and healed from the others.

Never takes a node's word: a block counts as there when its bytes fit its CID, after the healing too. Never unpins what
it doesn't pin again, and leaves a node that doesn't answer as it is. Follows design section 9 and docs/spec/network.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol, TypeVar

from panachain.errors import BlockNotFoundError, DiskError, IntegrityError, PanaChainError, StoreUnavailableError
from panachain.ipld import dag
from panachain.ipld.cid import CID
from panachain.model.progress import Progress
from panachain.storage import ahead
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import erased_of, guards_of, share_notes

PIECE: Final = 8 << 20
"""Bytes of blocks that are held while all nodes take them."""
_LISTED: Final = 5000
"""Blocks of a node that are held while their notes are asked for."""
FAILURES: Final = (StoreUnavailableError, IntegrityError, DiskError)
"""What a node can fail with; anything else is a fault of the caller, or of ours."""
_T = TypeVar("_T")


class Nodes(Protocol):
    """Several nodes as one store, as far as a repair asks them."""

    @property
    def nodes(self) -> Sequence[BlobStore]:
        """The nodes, by their numbers from 0."""
        ...

    def label(self, number: int) -> str:
        """Return what messages call a node."""
        ...

    def get_block(self, cid: CID) -> bytes:
        """Return a block from any node that gives its true bytes."""
        ...

    def on_each(
        self, work: Callable[[BlobStore], _T], numbers: Iterable[int]
    ) -> tuple[dict[int, _T], dict[int, PanaChainError]]:
        """Do something on some nodes at once, by their numbers, and return their results and failures."""
        ...


@dataclass
class NodeRepair:
    """What a repair found and did on one node, in blocks."""

    name: str
    checked: int = 0
    healed: int = 0
    lost: int = 0
    """Missing or damaged, and not healed."""
    failure: str = ""
    """Why the node's repair was given up, or empty."""
    hint: str = ""
    """What helps against that failure."""
    erased: int = 0
    """Blocks that were erased from the store, and that this node still has: they are given to no other."""

    def to_json(self) -> dict[str, object]:
        """Return the node's part as JSON."""
        return {
            "name": self.name,
            "checked": self.checked,
            "healed": self.healed,
            "lost": self.lost,
            "failure": self.failure,
            "hint": self.hint,
            "erased": self.erased,
        }


@dataclass
class RepairReport:
    """What a repair found and did."""

    nodes: list[NodeRepair]
    lost: list[CID] = field(default_factory=list)
    """Blocks of which no node has the true bytes; what they link wasn't looked at."""
    notices: list[str] = field(default_factory=list)
    """What was lost of the notes of erasures, and mended."""

    @property
    def whole(self) -> bool:
        """Whether every node has every block now."""
        return not any(node.lost or node.failure for node in self.nodes)

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/repair/1`."""
        return {
            "schema": "panachain/repair/1",
            "whole": self.whole,
            "nodes": [node.to_json() for node in self.nodes],
            "lost": [str(cid) for cid in self.lost],
            "notices": self.notices,
        }


class Repair:
    """One run of `ReplicatedStore.repair`."""

    def __init__(
        self,
        store: Nodes,
        roots: list[CID],
        progress: Progress | None,
        pool: ThreadPoolExecutor,
        *,
        erased: Sequence[CID] = (),
    ) -> None:
        """Take the nodes, the roots to begin at, who is told of the progress, and the threads that examine blocks.

        `erased` are blocks that are known elsewhere to be erased.
        """
        self._store = store
        self._known = erased
        self._pool = pool
        self._roots = roots
        self._progress = progress
        self._report = RepairReport([NodeRepair(store.label(number)) for number in range(len(store.nodes))])
        self._pins: dict[int, set[CID]] = {}
        self._guards = guards_of(*store.nodes)
        self._erased: set[CID] = set()
        self._waiting: dict[int, list[tuple[CID, bytes]]] = {number: [] for number in range(len(store.nodes))}

    def run(self) -> RepairReport:
        """Check and heal everything under the roots, and return what was found and done.

        Raises:
            StoreUnavailableError: no node can tell what was erased from it.
        """
        # 0. What was erased from one node is taken by none.
        self._share_notes()
        # 1. What is pinned where; a node that doesn't answer is left as it is.
        self._pins, failures = self._store.on_each(lambda node: set(node.pins()), self._alive())
        self._give_up(failures)
        # Only what some node pinned: a repair brings nodes to the same state and pins nothing new.
        wanted = set().union(*self._pins.values()) & set(self._roots)
        # 2. Every block under the roots, on every node.
        blocks = (cid for cid, _ in dag.walk(self._roots, self._linking))
        for done, (cid, found) in enumerate(ahead.in_order(self._pool, self._examine, blocks), start=1):
            self._sort(cid, found)
            if self._progress is not None:
                self._progress(done, 0, unit="blocks")
        for number in self._alive():
            self._heal(number)
        # 3. The pins, where all is there; none that would keep what was erased.
        if self._erased:
            wanted = {root for root in wanted if not self._reaches_erased(root)}
        for number in self._alive():
            if not self._report.nodes[number].lost:
                self._pin(number, wanted)
        # 4. What was erased and is there again without anything that names it: a backup was put back.
        if any(guard.look() for guard in self._guards):
            counted = {cid.digest for cid in self._erased}
            again, failures = self._store.on_each(lambda node: self._erased_of(node, counted), self._alive())
            self._give_up(failures)
            for number, count in again.items():
                self._report.nodes[number].erased += count
        return self._report

    def _share_notes(self) -> None:
        """Bring all nodes to the same notes of erasures; one whose notes are lost is left as it is."""
        self._report.notices, failures = share_notes(self._guards)
        for guard in self._guards:
            try:
                # A store that was put back from a backup has the notes of then.
                if guard.place not in failures and (unknown := set(self._known) - guard.erased(self._known)):
                    guard.note(unknown)
            except StoreUnavailableError as exc:
                failures[guard.place] = exc
        for number, node in enumerate(self._store.nodes):
            for guard in guards_of(node):
                if guard.place in failures:
                    self._give_up({number: failures[guard.place]})
        self._guards = [guard for guard in self._guards if guard.place not in failures]
        if failures and not self._alive():
            raise next(iter(failures.values()))

    def _erased_of(self, node: BlobStore, counted: set[bytes]) -> int:
        """Return how many blocks a node has that were erased, but for those that were counted."""
        count, blocks = 0, iter(node.blocks())
        while part := list(islice(blocks, _LISTED)):
            count += sum(cid.digest not in counted for cid in erased_of(self._guards, part))
        return count

    def _alive(self) -> list[int]:
        return [number for number, node in enumerate(self._report.nodes) if not node.failure]

    def _give_up(self, failures: dict[int, PanaChainError]) -> None:
        for number, failure in failures.items():
            self._report.nodes[number].failure = str(failure)
            self._report.nodes[number].hint = failure.hint

    def _linking(self, cid: CID) -> bytes | None:
        """Return a block that links others, or None when no node has it or its links aren't ours to follow."""
        if self._is_erased(cid):
            return None
        try:
            data = self._store.get_block(cid)
            dag.links(cid, data)
        except FAILURES:
            return None
        return data

    def _examine(self, cid: CID) -> tuple[CID, dict[int, bytes | PanaChainError]]:
        found: dict[int, bytes | PanaChainError] = {}
        if self._is_erased(cid):
            return cid, self._still_there(cid)
        for number in self._alive():
            try:
                found[number] = cid.check(self._store.nodes[number].get_block(cid), self._store.nodes[number].name)
            except FAILURES as exc:
                found[number] = exc
        return cid, found

    def _is_erased(self, cid: CID) -> bool:
        if cid not in self._erased and erased_of(self._guards, [cid]):
            self._erased.add(cid)
        return cid in self._erased

    def _reaches_erased(self, root: CID) -> bool:
        return any(cid in self._erased for cid, _ in dag.walk([root], self._linking))

    def _still_there(self, cid: CID) -> dict[int, bytes | PanaChainError]:
        """Return the nodes that have a block that was erased."""
        found: dict[int, bytes | PanaChainError] = {}
        for number in self._alive():
            # A node that doesn't answer is found at the next block.
            with suppress(*FAILURES):
                if self._store.nodes[number].has_block(cid):
                    found[number] = b""
        return found

    def _sort(self, cid: CID, found: dict[int, bytes | PanaChainError]) -> None:
        """Count what was found of a block, and let the nodes that need it wait for it."""
        if cid in self._erased:
            for number in found:
                self._report.nodes[number].erased += 1
            return
        truth = next((data for data in found.values() if isinstance(data, bytes)), None)
        if truth is None and found:
            self._report.lost.append(cid)
        for number, answer in found.items():
            node = self._report.nodes[number]
            if isinstance(answer, bytes):
                node.checked += 1
            elif not isinstance(answer, IntegrityError | BlockNotFoundError):
                self._give_up({number: answer})
            elif truth is None:
                node.checked += 1
                node.lost += 1
            else:
                node.checked += 1
                self._wait(number, cid, truth)

    def _wait(self, number: int, cid: CID, data: bytes) -> None:
        # Collected, because a request for each block would take a round trip each.
        self._waiting[number].append((cid, data))
        if sum(len(waiting) for _, waiting in self._waiting[number]) >= PIECE:
            self._heal(number)

    def _heal(self, number: int) -> None:
        """Give a node the blocks that it needs, and look whether it has them then."""
        node, report = self._store.nodes[number], self._report.nodes[number]
        blocks, self._waiting[number] = self._waiting[number], []
        try:
            for cid, _ in blocks:
                # A store keeps what it has, also when it is damaged: away with it.
                if node.has_block(cid):
                    self._remove(number, cid)
            node.put_blocks(blocks)
        except FAILURES as exc:
            self._give_up({number: exc})
            report.lost += len(blocks)
            return
        for cid, _ in blocks:
            try:
                cid.check(node.get_block(cid), node.name)
                # Counted after the node gave the block back: that it took it isn't enough.
                report.healed += 1
            except FAILURES:
                report.lost += 1

    def _remove(self, number: int, cid: CID) -> None:
        node = self._store.nodes[number]
        try:
            node.delete_block(cid)
        except FAILURES:
            # Kubo refuses while it can't walk a pin, which a damaged block prevents. The pins come back at the end.
            for root in self._pins[number] & set(self._roots):
                node.unpin(root)
            self._pins[number] -= set(self._roots)
            node.delete_block(cid)

    def _pin(self, number: int, wanted: set[CID]) -> None:
        try:
            for root in sorted(wanted - self._pins[number]):
                self._store.nodes[number].pin(root)
        except FAILURES as exc:
            self._give_up({number: exc})
