"""Erasing: blocks leave every node of a store, and each node is asked afterwards whether it has them still.

Never says that something is gone which wasn't looked for. Knows no record: which blocks go is the caller's to say
(sdk/erasing.py). What a disk, a file system or a backup keeps of bytes that were overwritten is beyond a program's
reach. Follows ADR 59 and security rule 14.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import PanaChainError
from panachain.ipld.cid import CID
from panachain.storage.blocks import BlobStore
from panachain.storage.nodes import nodes_of

PATIENCE: Final = 10.0
"""Seconds for which a node is asked again whose files others write to."""
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
    """Files of the node that others write to, so that what nothing names in them couldn't be overwritten."""

    unsure: bool = False
    """Whether the deletion itself failed: then what it has no more may be left in its files."""


def erase(store: BlobStore, cids: Sequence[CID], unlist: Unlist) -> list[NodeErasure]:
    """Delete blocks on every node of a store, and look whether they are gone.

    A node that fails keeps the others from nothing. One whose files others write to is waited for, not for long:
    what they wrote and didn't name yet may be a copy of what is deleted.

    Args:
        store: of one or several nodes.
        cids: of the blocks.
        unlist: is called for each node before anything is deleted there.
    """
    patience = time.monotonic() + PATIENCE
    found = []
    for name, node in nodes_of(store):
        one = NodeErasure(name)
        try:
            unlist(node, cids)
            one.freed = node.delete_blocks(cids)
            scrub = getattr(node, "scrub", None)
            if scrub is not None:
                one.busy = scrub()
                while one.busy and time.monotonic() < patience:
                    time.sleep(_PAUSE)
                    one.busy = scrub()
        except PanaChainError as exc:
            one.failure, one.unsure = exc, True
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
