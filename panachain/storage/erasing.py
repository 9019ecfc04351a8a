"""Erasing: blocks leave every node of a store, and each node is asked afterwards whether it has them still.

Never says that something is gone which wasn't looked for. Knows no record: which blocks go is the caller's to say
(sdk/erasing.py). What a disk, a file system or a backup keeps of bytes that were overwritten is beyond a program's
reach. Follows ADR 59 and security rule 14.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from panachain.errors import PanaChainError
from panachain.ipld.cid import CID
from panachain.storage.blocks import BlobStore
from panachain.storage.nodes import nodes_of

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
    """Files of the node that others write to, so that what they don't name couldn't be overwritten."""


def erase(store: BlobStore, cids: Sequence[CID], unlist: Unlist) -> list[NodeErasure]:
    """Delete blocks on every node of a store, and look whether they are gone.

    A node that fails keeps the others from nothing.

    Args:
        store: of one or several nodes.
        cids: of the blocks.
        unlist: is called for each node before anything is deleted there.
    """
    found = []
    for name, node in nodes_of(store):
        one = NodeErasure(name)
        try:
            unlist(node, cids)
            one.freed = node.delete_blocks(cids)
            scrub = getattr(node, "scrub", None)
            one.busy = scrub() if scrub is not None else 0
        except PanaChainError as exc:
            one.failure = exc
        # Read back: a node that says that it deleted something isn't believed.
        for cid in cids:
            try:
                if node.has_block(cid):
                    one.left.add(cid)
            except PanaChainError as exc:
                one.failure = one.failure or exc
                one.left.add(cid)
        found.append(one)
    return found
