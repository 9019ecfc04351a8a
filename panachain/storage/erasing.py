"""Erasing: blocks leave every node of a store, and each node is asked afterwards whether it has them still.

Never says that something is gone which wasn't looked for. Knows no record: which blocks go is the caller's to say
(sdk/erasing.py). What a disk, a file system or a backup keeps of bytes that were overwritten is beyond a program's
reach. Follows ADR 59 and security rule 14.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import PanaChainError
from panachain.ipld.cid import CID
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import guards_of
from panachain.storage.nodes import nodes_of

PATIENCE: Final = 30.0
"""Seconds for which those are waited for who write to a node already; whoever comes later waits meanwhile."""
_PAUSE: Final = 0.2
"""Seconds between two times."""
Unlist = Callable[[BlobStore, Collection[CID]], None]
"""Lets go, on one node, of what keeps blocks from being deleted: pinned lists that name them."""


@dataclass
class NodeErasure:
    """What became of blocks on one node."""

    name: str
    left: set[CID] = field(default_factory=set)
    """Those that the node still has, or of which it doesn't say whether it has them."""
    failure: PanaChainError | None = None
    """Why, if it failed."""
    freed: int = 0
    """Bytes."""
    busy: int = 0
    """Files of the node that others write to, so that what nothing names in them couldn't be overwritten; its lock is
    one of them, which whoever has blocks in memory holds."""

    unsure: bool = False
    """Whether the deletion itself failed: then what it has no more may be left in its files."""


def erase(store: BlobStore, cids: Sequence[CID], unlist: Unlist) -> list[NodeErasure]:
    """Delete blocks on every node of a store, and look whether they are gone.

    Meanwhile nobody else writes to any of them, and afterwards none of them takes what was erased. A node that fails
    keeps the others from nothing. One that others write to is waited for, not for long: what they hold in memory, or
    wrote and didn't name yet, may be a copy of what is deleted.

    Args:
        store: of one or several nodes.
        cids: of the blocks.
        unlist: is called for each node before anything is deleted there.
    """
    patience = time.monotonic() + PATIENCE
    nodes = [(NodeErasure(name), node) for name, node in nodes_of(store)]
    with ExitStack() as held:
        # All of them, before the first deletion: a repair would carry a block from one that waits to one that is done.
        for one, node in sorted(nodes, key=lambda pair: [guard.place for guard in guards_of(pair[1])]):
            try:
                for guard in guards_of(node):
                    one.busy += not held.enter_context(guard.alone(max(0.0, patience - time.monotonic())))
                    # Before the deletion: whatever breaks off now, nobody stores them again.
                    guard.note(cids)
            except PanaChainError as exc:
                one.failure, one.unsure = exc, True
        for one, node in nodes:
            _erase(one, node, cids, unlist, patience)
    return [one for one, _ in nodes]


def _erase(one: NodeErasure, node: BlobStore, cids: Sequence[CID], unlist: Unlist, patience: float) -> None:
    held = one.busy
    try:
        unlist(node, cids)
        one.freed = node.delete_blocks(cids)
        scrub = getattr(node, "scrub", None)
        if scrub is not None:
            files = scrub()
            while files and time.monotonic() < patience:
                time.sleep(_PAUSE)
                files = scrub()
            one.busy = held + files
    except PanaChainError as exc:
        one.failure, one.unsure = one.failure or exc, True
    # Read back: a node that says that it deleted something isn't believed.
    for cid in cids:
        try:
            if node.has_block(cid):
                one.left.add(cid)
        except PanaChainError as exc:
            one.failure = one.failure or exc
            one.left.add(cid)
