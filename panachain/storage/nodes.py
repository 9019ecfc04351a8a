"""The nodes of a store: what each of them holds, and how they are mended from each other.

Needs no key and no chain: everything in the store is sealed, and pins say what is wanted.
Follows docs/spec/network.md, section "Stores".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panachain.errors import PanaChainError, StoreUnavailableError
from panachain.ipld.cid import CID
from panachain.model.progress import Progress
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import guards_of, writing
from panachain.storage.repair import RepairReport
from panachain.storage.replicated import ReplicatedStore


def nodes_of(store: BlobStore) -> list[tuple[str, BlobStore]]:
    """Return what a store consists of, each part with its name."""
    if isinstance(store, ReplicatedStore):
        return [(store.label(number), node) for number, node in enumerate(store.nodes)]
    return [(store.name, store)]


@dataclass(frozen=True)
class NodeStatus:
    """What one node holds."""

    name: str
    state: str
    """`ok` or `failed`: it doesn't answer, or its notes of erasures are lost."""
    blocks: int = 0
    size: int = 0
    """Bytes."""
    pins: int = 0
    detail: str = ""
    """What the node says of itself, or why it failed."""
    exit_code: int = 0
    """What its failure ends the command with."""
    hint: str = ""
    """What helps against its failure."""

    def to_json(self) -> dict[str, object]:
        """Return the node as JSON, schema `panachain/store-node/1`."""
        return {
            "schema": "panachain/store-node/1",
            "name": self.name,
            "state": self.state,
            "blocks": self.blocks,
            "size": self.size,
            "pins": self.pins,
            "detail": self.detail,
            "hint": self.hint,
        }


def status(store: BlobStore, *, progress: Progress | None = None) -> list[NodeStatus]:
    """Return what each node of a store holds.

    Args:
        store: is looked at.
        progress: is told the nodes that were looked at.
    """
    found: list[NodeStatus] = []
    nodes = nodes_of(store)
    for name, node in nodes:
        try:
            for guard in guards_of(node):
                # Whose notes of erasures are lost takes nothing.
                guard.look()
            blocks, size = _totals(node)
            found.append(NodeStatus(name, "ok", blocks, size, sum(1 for _ in node.pins()), _facts(node)))
        except PanaChainError as exc:
            found.append(NodeStatus(name, "failed", detail=str(exc), exit_code=exc.exit_code, hint=exc.hint))
        if progress is not None:
            progress(len(found), len(nodes), unit="nodes")
    return found


def _totals(node: BlobStore) -> tuple[int, int]:
    own = getattr(node, "totals", None)
    if own is not None:
        blocks, size = own()
        return blocks, size
    sizes = [size for _, size, _ in node.sizes()]
    return len(sizes), sum(sizes)


def _facts(node: BlobStore) -> str:
    """Return what a node says of itself; a folder says nothing."""
    own = getattr(node, "facts", None)
    return "" if own is None else str(own())


def repair(
    store: BlobStore, roots: Sequence[CID] = (), *, erased: Sequence[CID] = (), progress: Progress | None = None
) -> RepairReport:
    """Check every block under `roots` (all pins, if none are given) on every node, and heal what can be healed.

    A store of one node is checked too; nothing can be healed there. No record is erased from it meanwhile, and what was
    erased is given to no node. What was erased and is there again, as a backup that was put back has it, is counted on
    each node.

    Args:
        store: is mended.
        roots: where to begin; links are followed.
        erased: blocks that are known elsewhere to be erased: each node notes them, too.
        progress: is told the blocks that were checked; how many there are nobody knows before the end.

    Raises:
        StoreUnavailableError: no node answers.
    """
    several = store if isinstance(store, ReplicatedStore) else ReplicatedStore([store], 1)
    with writing(several):
        return several.repair(roots or sorted(_pins_in_reach(several)), erased=erased, progress=progress)


def pinned(store: BlobStore) -> list[CID]:
    """Return what any node of a store pins, of those that answer, sorted.

    Raises:
        StoreUnavailableError: none does.
    """
    return sorted(_pins_in_reach(store if isinstance(store, ReplicatedStore) else ReplicatedStore([store], 1)))


def _pins_in_reach(store: ReplicatedStore) -> set[CID]:
    found: set[CID] = set()
    failures: list[StoreUnavailableError] = []
    for node in store.nodes:
        try:
            found.update(node.pins())
        except StoreUnavailableError as exc:
            failures.append(exc)
    if len(failures) == len(store.nodes):
        raise StoreUnavailableError(f"no node answers: {failures[0]}")
    return found
