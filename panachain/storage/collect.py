"""Garbage collection: what nothing reaches any more, and is old enough, is removed.

Marks from pins and from the roots that the caller names, along links; then sweeps. Never removes a block that it can't
prove to be out of reach: when a node that could link others is missing or damaged, nothing is removed at all. Never
knows what a block means: which manifests the chain names is the caller's to say (sdk/storage.py).
Follows docs/spec/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final

from panachain.ipld.cid import CID, RAW
from panachain.ipld.dag import walk
from panachain.model.progress import Progress
from panachain.storage.blocks import BlobStore

GRACE: Final = 86_400
"""Seconds for which a block is kept that nothing reaches: an upload that is under way has pinned nothing yet."""


@dataclass(frozen=True)
class Collection:
    """What a collection kept and removed, in blocks and bytes."""

    kept: int
    """Blocks that a pin or a root reaches."""
    kept_bytes: int
    young: int
    """Blocks that nothing reaches, but that are younger than the grace period."""
    young_bytes: int
    removed: int
    freed: int
    """Bytes of the removed blocks."""
    dry_run: bool = False
    """Whether the removal was left out."""

    def to_json(self) -> dict[str, object]:
        """Return the collection as JSON, schema `panachain/collection/1`."""
        return {"schema": "panachain/collection/1", **vars(self)}


def mark(store: BlobStore, roots: Iterable[CID], *, progress: Progress | None = None) -> set[bytes]:
    """Return the digests of all blocks that the pins of `store` and `roots` reach.

    Digests, not CIDs: the same bytes may be stored under another codec, and Kubo lists its blocks without one.

    Args:
        store: where pins and links are read.
        roots: wanted as well; one that the store doesn't have is somebody else's to keep.
        progress: is told the blocks that were reached.

    Raises:
        IntegrityError: a block on the way is damaged, so what it links isn't known.
        BlockNotFoundError: a block under a pin, or under a root that is there, is missing.
    """
    pins = set(store.pins())
    wanted = [*sorted(pins), *(root for root in roots if root.codec == RAW or store.has_block(root))]
    live: set[bytes] = set()

    def reach(begin: Iterable[CID]) -> None:
        for cid, _ in walk(begin, store.get_block):
            live.add(cid.digest)
            if progress is not None:
                progress(len(live), 0, unit="blocks")

    reach(wanted)
    # Marking takes its time, and what was pinned meanwhile may be old.
    while new := set(store.pins()) - pins:
        pins |= new
        reach(sorted(new))
    return live


def sweep(
    store: BlobStore,
    live: set[bytes],
    *,
    now: float,
    grace: float = GRACE,
    dry_run: bool = False,
    first_seen: MutableMapping[str, float] | None = None,
) -> Collection:
    """Remove the blocks of one store that aren't `live` and were stored at least `grace` seconds ago.

    Args:
        store: is swept.
        live: digests, from `mark`.
        now: Unix seconds.
        grace: seconds.
        dry_run: count only.
        first_seen: for stores that don't know when a block was stored: digest in hex to the Unix seconds when it was
            first seen out of reach. It is brought up to date; without it such blocks are never removed.
    """
    kept = kept_bytes = young = young_bytes = freed = 0
    old: list[CID] = []
    out_of_reach: dict[str, float] = {}
    for cid, size, at in store.sizes():
        if cid.digest in live:
            kept, kept_bytes = kept + 1, kept_bytes + size
            continue
        if not at:
            # The store doesn't know the age, so the grace period runs from when the block was first seen out of reach.
            key = cid.digest.hex()
            at = out_of_reach[key] = min((first_seen or {}).get(key, now), now)
        if now - at >= grace:
            old.append(cid)
            freed += size
        else:
            young, young_bytes = young + 1, young_bytes + size
    if old and not dry_run:
        freed = store.delete_blocks(old)
        for cid in old:
            # If it comes back one day, its time begins anew.
            out_of_reach.pop(cid.digest.hex(), None)
    if first_seen is not None:
        first_seen.clear()
        first_seen.update(out_of_reach)
    return Collection(kept, kept_bytes, young, young_bytes, len(old), freed, dry_run)


def collect(
    store: BlobStore,
    roots: Iterable[CID],
    *,
    now: float,
    grace: float = GRACE,
    dry_run: bool = False,
    first_seen: MutableMapping[str, float] | None = None,
) -> Collection:
    """Mark and sweep one store.

    Args:
        store: pins are read from it, and it is swept.
        roots: as for `mark`.
        now: as for `sweep`, and so are the others.
        grace: seconds.
        dry_run: count only.
        first_seen: for stores without times.

    Raises:
        IntegrityError: as for `mark`; nothing was removed.
        BlockNotFoundError: as for `mark`; nothing was removed.
    """
    live = mark(store, roots)
    return sweep(store, live, now=now, grace=grace, dry_run=dry_run, first_seen=first_seen)
