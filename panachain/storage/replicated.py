"""Several nodes as one block store: each block on at least `factor` of them, and healed from one another.

Never takes a node's word: a node that gives false bytes is named in a warning, and the next one is asked. What is
written counts as stored only when enough nodes have it. Follows design section 9 and docs/spec/network.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from panachain.errors import (
    BlockNotFoundError,
    BlockOutOfReachError,
    ConfigurationError,
    IntegrityError,
    PanaChainError,
    StoreUnavailableError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID
from panachain.model.progress import Progress
from panachain.storage import ahead, guards
from panachain.storage.blocks import BlobStore, near, near_folder
from panachain.storage.guards import check_not_erased, guards_of
from panachain.storage.repair import FAILURES, PIECE, Repair, RepairReport

PIECE_BLOCKS: Final = 4096
"""Blocks that are held while all nodes take them."""
REST: Final = 30.0
"""Seconds for which a node that didn't answer is asked last."""
_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class ReplicatedStore:
    """A `BlobStore` over several nodes. Any thread may use it if the nodes allow it."""

    def __init__(
        self, stores: Sequence[BlobStore], factor: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the nodes.

        Args:
            stores: in the order in which they are asked.
            factor: how many of them must have a block before it counts as stored.
            clock: seconds that only go forward.

        Raises:
            ConfigurationError: there are fewer nodes than that, or none is asked for.
        """
        if not 1 <= factor <= len(stores):
            raise ConfigurationError(f"replication {factor} doesn't fit {len(stores)} nodes: 1 <= replication <= nodes")
        self.nodes = tuple(stores)
        """The nodes, in the order in which they are asked."""
        self.factor = factor
        self.guards = tuple(guards_of(*stores))
        """What keeps writers and erasures apart on the nodes."""
        self._clock = clock
        self.name = f"store of {len(stores)} nodes"
        self._pool = ThreadPoolExecutor(len(stores) + ahead.AHEAD, thread_name_prefix="nodes")
        self._resting: dict[int, float] = {}
        self._named: set[int] = set()

    def close(self) -> None:
        """Close all nodes."""
        self._pool.shutdown(wait=True)
        for node in self.nodes:
            node.close()

    def label(self, number: int) -> str:
        """Return what messages call a node."""
        return f"node {number + 1} ({self.nodes[number].name})"

    # Writing

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block on every node that takes it."""
        cid.check(data, CALLER)
        with self.held() as failures:
            # One node that doesn't know of the erasure mustn't get it either.
            check_not_erased(self, [cid])
            good = [number for number in range(len(self.nodes)) if number not in failures]
            failures |= self.on_each(lambda node: node.put_block(cid, data), good)[1]
            self._check_enough(failures, f"store block {cid}")

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks on every node that takes them.

        Raises:
            IntegrityError: a CID isn't that of its bytes.
            StoreUnavailableError: fewer than `factor` nodes took them.
        """
        with _Writer(self) as writer:
            for cid, data in blocks:
                writer.put(cid, cid.check(data, CALLER))

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file on every node that takes it."""
        with _Writer(self) as writer:
            return unixfs.build(leaves, writer.put)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Store a file whose leaves are made one after the other, while the ones before are sent."""
        return self.add_file(unixfs.made(size, make))

    def pin(self, cid: CID) -> None:
        """Pin on every node that can; at least `factor` must."""
        self._on_enough(lambda node: node.pin(cid), f"pin {cid}")

    def unpin(self, cid: CID) -> None:
        """Unpin on all nodes.

        Raises:
            StoreUnavailableError: a node doesn't; the others did.
        """
        self._on_all(lambda node: node.unpin(cid), f"unpin {cid}")

    def delete_block(self, cid: CID) -> None:
        """Remove one block from all nodes.

        Raises:
            StoreUnavailableError: a node doesn't; the others did.
        """
        self._on_all(lambda node: node.delete_block(cid), f"remove block {cid}")

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        """Remove blocks from all nodes, and return how many bytes they had on all of them together.

        Raises:
            StoreUnavailableError: a node doesn't; the others did.
        """
        wanted = list(cids)
        return sum(self._on_all(lambda node: node.delete_blocks(wanted), f"remove {len(wanted)} blocks"))

    # Reading

    def get_block(self, cid: CID) -> bytes:
        """Return a block from the first node that gives its true bytes.

        Raises:
            BlockNotFoundError: no node has it.
            IntegrityError: none has its true bytes, and one gives false ones.
            BlockOutOfReachError: of those that answer none has it, and one doesn't answer.
            StoreUnavailableError: none answers.
        """
        return self._from_any(lambda node: cid.check(node.get_block(cid), node.name), f"block {cid}")

    def near(self, cids: Sequence[CID]) -> list[bytes | None]:
        """Return what the node that is asked first has at hand, in their order; None for what `get_block` must give."""
        number = self._order()[0]
        try:
            return near(self.nodes[number], cids)
        except FAILURES as exc:
            self._note(number, exc)
            return [None] * len(cids)

    @property
    def near_folder(self) -> Path | None:
        """Where another process can read the blocks of the node that is asked first; None if it has no folder."""
        return near_folder(self.nodes[self._order()[0]])

    def has_block(self, cid: CID) -> bool:
        """Tell whether a node has the block.

        Raises:
            StoreUnavailableError: none of those that answer has it.
        """
        failures: list[PanaChainError] = []
        for number in self._order():
            try:
                if self.nodes[number].has_block(cid):
                    return True
            except FAILURES as exc:
                self._note(number, exc)
                failures.append(exc)
        if failures:
            raise StoreUnavailableError(f"whether there is a block {cid} isn't known: {failures[0]}")
        return False

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves from the first node that gives them; where it fails, from the others."""
        number = self._order()[0]
        done = 0
        try:
            for leaf in self.nodes[number].read_file(cid):
                done += 1
                yield leaf
            return
        except FAILURES as exc:
            self._note(number, exc)
        leaves = unixfs.leaves_of(cid, self.get_block)
        rest = (leaf for position, leaf in enumerate(leaves) if position >= done)
        yield from ahead.in_order(self._pool, lambda leaf: unixfs.leaf(*leaf, self.get_block), rest)

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block that a node has, once."""
        return (cid for cid, _, _ in self._union(lambda node: ((cid, 0, 0.0) for cid in node.blocks())))

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        """Yield CID, bytes and Unix time of storing of every block, as the first node that has it tells."""
        return self._union(lambda node: node.sizes())

    def pins(self) -> Iterator[CID]:
        """Yield what any node pins, sorted.

        Raises:
            StoreUnavailableError: a node doesn't answer, so its pins aren't known.
        """
        found = self._on_all(lambda node: set(node.pins()), "list the pins")
        yield from sorted(set().union(*found))

    # Repair

    def repair(
        self, roots: Iterable[CID], *, erased: Iterable[CID] = (), progress: Progress | None = None
    ) -> RepairReport:
        """Check every block of every root on every node, and heal what is missing or damaged from the others.

        Afterwards each node pins what any node pinned, as far as it has all of it. A node that doesn't answer is left
        as it is.

        Args:
            roots: where to begin; what they link is followed.
            erased: blocks that are known elsewhere to be erased: each node notes them, too.
            progress: is told the blocks that were checked.
        """
        return Repair(self, list(dict.fromkeys(roots)), progress, self._pool, erased=list(erased)).run()

    # Internal

    def _order(self) -> list[int]:
        """Return the numbers of the nodes, those last that didn't answer a while ago."""
        now = self._clock()
        # Last and not never: it may be the only one that has the block.
        return sorted(range(len(self.nodes)), key=lambda number: (self._resting.get(number, 0.0) > now, number))

    def _note(self, number: int, failure: PanaChainError) -> None:
        """Remember what a node failed with."""
        if isinstance(failure, IntegrityError):
            # Once is enough: a node whose disk is damaged would be named at every block.
            if number not in self._named:
                self._named.add(number)
                _LOG.warning("%s gives false bytes, the next one is asked: %s", self.label(number), failure)
        elif not isinstance(failure, BlockNotFoundError):
            self._resting[number] = self._clock() + REST

    def _from_any(self, ask: Callable[[BlobStore], _T], what: str) -> _T:
        failures: dict[int, PanaChainError] = {}
        for number in self._order():
            try:
                return ask(self.nodes[number])
            except FAILURES as exc:
                self._note(number, exc)
                failures[number] = exc
        kinds = [type(failure) for failure in failures.values()]
        message = f"no node gives {what}: {self._reasons(failures)}"
        # False bytes are named first. Absence is said only if every node says so: one that is down may have the block.
        if any(issubclass(kind, IntegrityError) for kind in kinds):
            raise IntegrityError(message)
        if all(issubclass(kind, BlockNotFoundError) for kind in kinds):
            raise BlockNotFoundError(message)
        if any(issubclass(kind, BlockNotFoundError) for kind in kinds):
            raise BlockOutOfReachError(message)
        raise StoreUnavailableError(message)

    def _on_enough(self, work: Callable[[BlobStore], object], what: str) -> None:
        """Do it on all nodes at once; `factor` of them must succeed."""
        failures = self.on_each(work, range(len(self.nodes)))[1]
        self._check_enough(failures, what)

    def _check_enough(self, failures: dict[int, PanaChainError], what: str) -> None:
        done = len(self.nodes) - len(failures)
        if done < self.factor:
            raise StoreUnavailableError(
                f"{done} of {len(self.nodes)} nodes could {what}, {self.factor} are needed: {self._reasons(failures)}"
            )
        for number, failure in failures.items():
            _LOG.warning(
                "%s couldn't %s: %s; repair it with `panachain storage repair`", self.label(number), what, failure
            )

    def _on_all(self, work: Callable[[BlobStore], _T], what: str) -> list[_T]:
        results, failures = self.on_each(work, range(len(self.nodes)))
        if failures:
            raise StoreUnavailableError(f"not every node could {what}: {self._reasons(failures)}")
        return list(results.values())

    def on_each(
        self, work: Callable[[BlobStore], _T], numbers: Iterable[int]
    ) -> tuple[dict[int, _T], dict[int, PanaChainError]]:
        """Do something on some nodes at once, by their numbers, and return their results and failures."""
        futures = {number: self._pool.submit(guards.as_part(work), self.nodes[number]) for number in numbers}
        results: dict[int, _T] = {}
        failures: dict[int, PanaChainError] = {}
        for number, future in futures.items():
            try:
                results[number] = future.result()
            except FAILURES as exc:
                self._note(number, exc)
                failures[number] = exc
        return results, failures

    @contextmanager
    def held(self) -> Iterator[dict[int, PanaChainError]]:
        """Hold all nodes' guards while blocks are in memory that are to be stored, and give the nodes that can't be.

        They are held here, and not by the threads that ask the nodes: of those nobody may wait for an erasure, which
        waits for others that need them.
        """
        until = time.monotonic() + guards.WAIT
        found = [(guard, number) for number, node in enumerate(self.nodes) for guard in guards_of(node)]
        failures: dict[int, PanaChainError] = {}
        with ExitStack() as held:
            # In the order in which an erasure takes them.
            for guard, number in sorted(found, key=lambda one: one[0].place):
                try:
                    held.enter_context(guard.shared(until - time.monotonic()))
                except FAILURES as exc:
                    self._note(number, exc)
                    failures[number] = exc
            yield failures

    def _reasons(self, failures: dict[int, PanaChainError]) -> str:
        return "; ".join(f"{self.label(number)}: {failure}" for number, failure in sorted(failures.items()))

    def _union(
        self, listing: Callable[[BlobStore], Iterator[tuple[CID, int, float]]]
    ) -> Iterator[tuple[CID, int, float]]:
        seen: set[CID] = set()
        for node in self.nodes:
            for entry in listing(node):
                if entry[0] not in seen:
                    seen.add(entry[0])
                    yield entry


class _Writer:
    """Blocks on their way to all nodes; a node that fails gets no more of them."""

    def __init__(self, store: ReplicatedStore) -> None:
        self._store = store
        self._held: list[tuple[CID, bytes]] = []
        self._size = 0
        self._failures: dict[int, PanaChainError] = {}
        self._held_open = ExitStack()

    def __enter__(self) -> _Writer:
        # The nodes' own writers hold their locks for each piece only, and the next one is in memory here.
        self._failures = self._held_open.enter_context(self._store.held())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._held_open.close()

    def put(self, cid: CID, data: bytes) -> None:
        """Take one block, whose CID was checked or computed by the caller."""
        self._held.append((cid, data))
        self._size += len(data)
        if self._size >= PIECE or len(self._held) >= PIECE_BLOCKS:
            self._flush()

    def finish(self) -> None:
        """Send what is left.

        Raises:
            StoreUnavailableError: fewer than `factor` nodes have all blocks.
        """
        if self._held:
            self._flush()
        self._store._check_enough(self._failures, "store the blocks")

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        check_not_erased(self._store, [cid for cid, _ in held])
        good = [number for number in range(len(self._store.nodes)) if number not in self._failures]
        self._failures |= self._store.on_each(lambda node: node.put_blocks(held), good)[1]
        if len(self._store.nodes) - len(self._failures) < self._store.factor:
            # No use in going on.
            self._store._check_enough(self._failures, "store the blocks")
