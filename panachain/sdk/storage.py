"""What operators do with the store as a whole: look at it, mend it, clean it up, and carry it elsewhere.

Never removes what a manifest on chain names, and never goes by a hospital's word for what its manifests name: they are
read. Needs no key: everything in the store is sealed. Follows docs/spec/network.md, section "Stores", and design
section 7.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.errors import BlockNotFoundError, DiskError, IntegrityError, UsageError
from panachain.ipld import dag, dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.progress import Progress
from panachain.model.sizes import HASH_SIZE
from panachain.plain import count
from panachain.private_files import write_private
from panachain.records.journal import Journal
from panachain.storage import collect
from panachain.storage.blocks import BlobStore
from panachain.storage.configured import open_configured, open_named, pinning_services
from panachain.storage.moving import MoveReport, move
from panachain.storage.nodes import NodeStatus, nodes_of, pinned, repair, status
from panachain.storage.pinning import replicate
from panachain.storage.transfer import CarReport, export_car, import_car

if TYPE_CHECKING:
    # For their types only: most of what stands here asks no chain, and starts at once.
    from panachain.records.locate import HospitalHeads
    from panachain.sdk.network import Network

__all__ = [
    "CarReport",
    "MoveReport",
    "NodeStatus",
    "check_listed",
    "collect_garbage",
    "export_car",
    "headers_of",
    "import_car",
    "journal_erased",
    "journal_roots",
    "move",
    "open_configured",
    "open_named",
    "pinned",
    "pinning_services",
    "repair",
    "replicate",
    "status",
]

_LIST_FIELDS: Final = ({"v", "blocks"}, {"v", "parts"})
"""Fields of a batch list (`panachain/batch/1`)."""
_LEAF_FIELDS: Final = {"keys", "headers"}
"""Fields of a manifest's leaf (`panachain/manifest/1`)."""


def collect_garbage(
    network: Network,
    *,
    now: float,
    grace: float = collect.GRACE,
    dry_run: bool = False,
    without: Collection[Address] = (),
    progress: Progress | None = None,
) -> list[tuple[str, collect.Collection]]:
    """Remove from each node what no pin and nothing on the mainchain reaches.

    Args:
        network: its mainchain says which manifests and terms are wanted; every node of its store must answer.
        now: Unix seconds.
        grace: seconds for which a block stays that nothing reaches.
        dry_run: count only.
        without: hospitals whose manifests are passed over, so that a broken one stops nothing any more. What their
            pinned lists name stays.
        progress: is told the blocks that something reaches, and then the nodes that were swept.

    Raises:
        IntegrityError: a node on the way is damaged, or a manifest on chain is in no pinned batch list, so its records
            couldn't be told from garbage; nothing was removed. A hospital whose manifest it is is named.
        StoreUnavailableError: a node doesn't answer, or what it pins is missing; nothing was removed.
    """
    store = network.store
    listed = _listed(store, store.pins())
    roots = _terms(network)
    for heads in network.hospital_heads():
        if heads.hospital not in without:
            roots += _published(store, heads, listed)
    # Over all nodes: what one of them lost, another one may know.
    live = collect.mark(store, roots, progress=progress)
    memory = _FirstSeen(network.home / "storage-gc.json")
    found = []
    nodes = nodes_of(store)
    for name, node in nodes:
        seen = memory.of(name)
        found.append((name, collect.sweep(node, live, now=now, grace=grace, dry_run=dry_run, first_seen=seen)))
        if progress is not None:
            progress(len(found), len(nodes), unit="nodes")
    if not dry_run:
        memory.save()
    return found


def _published(store: BlobStore, heads: HospitalHeads, listed: set[CID]) -> list[CID]:
    """Return the manifests and headers of one hospital that must stay.

    Raises:
        IntegrityError: one is damaged or unlisted; the message names the hospital.
        BlockNotFoundError: a manifest lacks a part; so does this one.
    """
    manifests = [CID(DAG_CBOR, digest) for digest in heads.manifests]
    hint = f"panachain storage gc --without {heads.hospital} passes over what that hospital published wrongly"
    try:
        check_listed(store, manifests, listed)
        return [*manifests, *headers_of(store, manifests)]
    except IntegrityError as exc:
        raise IntegrityError(f"hospital {heads.hospital}: {exc}", hint=f"{exc.hint}; or {hint}") from exc
    except BlockNotFoundError as exc:
        raise BlockNotFoundError(f"hospital {heads.hospital}: {exc}", hint=f"{exc.hint}; or {hint}") from exc


def _terms(network: Network) -> list[CID]:
    events = network.mainchain.policies.events(kind="PolicyGranted")
    return [CID(RAW, event.terms) for event in events if len(event.terms) == HASH_SIZE]


def headers_of(store: BlobStore, manifests: Iterable[CID]) -> Iterator[CID]:
    """Yield the headers that manifests name: not as links, but as digests one after the other.

    Manifests that the store doesn't have are somebody else's to keep.
    """
    here = [cid for cid in manifests if store.has_block(cid)]
    for cid, data in dag.walk(here, store.get_block):
        if cid.codec != DAG_CBOR or data is None:
            continue
        fields = dagcbor.decode(data)
        if isinstance(fields, dict) and set(fields) == _LEAF_FIELDS and isinstance(fields["headers"], bytes):
            digests = fields["headers"]
            for start in range(0, len(digests) - len(digests) % HASH_SIZE, HASH_SIZE):
                yield CID(RAW, digests[start : start + HASH_SIZE])


def check_listed(store: BlobStore, manifests: Iterable[CID], listed: set[CID]) -> None:
    """Check that every manifest that the store has is in a pinned batch list.

    Headers are sealed: which envelopes and contents they name, nobody but a reader can tell. Only the batch list
    does, so without it they would look like garbage.

    Raises:
        IntegrityError: a manifest is in none.
    """
    unlisted = [cid for cid in manifests if cid not in listed and store.has_block(cid)]
    if unlisted:
        raise IntegrityError(
            f"in no pinned batch list: {count(len(unlisted), 'manifest')} on chain, such as {unlisted[0]};"
            " nothing was removed",
            hint="panachain storage import a CAR of the hospital that published them",
        )


def listed_as_far_as_it_goes(store: BlobStore) -> set[CID]:
    """Return all that those of the pinned batch lists name that the store gives whole; any node's pins count."""
    found: set[CID] = set()
    for pin in pinned(store):
        try:
            found |= _listed(store, [pin])
        except (IntegrityError, BlockNotFoundError):
            # A part of a list would say that its hospital gave up what the other part names.
            continue
    return found


def _listed(store: BlobStore, pins: Iterable[CID]) -> set[CID]:
    """Return all that the batch lists among some pins name."""
    listed: set[CID] = set()
    for cid, data in dag.walk(pins, lambda cid: _list_block(store, cid)):
        fields = None if data is None else dagcbor.decode(data)
        if isinstance(fields, dict) and set(fields) == _LIST_FIELDS[0]:
            listed.update(dag.links(cid, data or b""))
    return listed


def _list_block(store: BlobStore, cid: CID) -> bytes | None:
    """Return a batch list's block, or None for anything else: its links aren't followed."""
    if cid.codec != DAG_CBOR:
        return None
    data = store.get_block(cid)
    fields = dagcbor.decode(data)
    return data if isinstance(fields, dict) and set(fields) in _LIST_FIELDS else None


class _FirstSeen:
    """When blocks were first seen out of reach, on nodes that don't know when they were stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(path.read_bytes())
            self._nodes: dict[str, dict[str, float]] = {
                str(name): {str(digest): float(at) for digest, at in seen.items()} for name, seen in content.items()
            }
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            # Without it the grace period begins anew.
            self._nodes = {}

    def of(self, name: str) -> dict[str, float]:
        """Return one node's part, to be changed in place."""
        return self._nodes.setdefault(name, {})

    def save(self) -> None:
        """Write it to the disk."""
        content = {name: seen for name, seen in self._nodes.items() if seen}
        if not content and not self._path.exists():
            return
        write_private(self._path, json.dumps(content).encode())


def journal_erased(folder: Path) -> list[CID]:
    """Return headers and contents of the records that a hospital's journal knows to be erased; none without a journal.

    Their other blocks are forgotten once they were looked for. So these tell whether a store was put back from before.

    Args:
        folder: the hospital's profile folder.

    Raises:
        DiskError: the journal can't be read, or holds what it never wrote.
    """
    path = folder / "journal.sqlite"
    try:
        if not path.is_file():
            return []
        journal = Journal(path)
        try:
            gone = [one.erasing for one in journal.erasures.all() if one.gone_at is not None]
        finally:
            journal.close()
        return [CID.parse(cid) for one in gone for cid in (one.header, one.content)]
    except (OSError, sqlite3.Error, IntegrityError, UsageError, ValueError, TypeError) as exc:
        # It opens although a page of it is damaged, which shows as it is read.
        raise DiskError(f"the upload journal {path} can't be read: {exc}") from exc


def journal_roots(folder: Path) -> list[CID]:
    """Return the batch lists of everything that a hospital's journal holds, oldest first.

    Args:
        folder: the hospital's profile folder.

    Raises:
        UsageError: it published nothing.
    """
    path = folder / "journal.sqlite"
    if not path.is_file():
        raise UsageError("this hospital has published nothing yet")
    journal = Journal(path)
    try:
        roots = [CID.parse(text) for text in journal.lists()]
    finally:
        journal.close()
    if not roots:
        raise UsageError("this hospital has published nothing yet")
    return roots
