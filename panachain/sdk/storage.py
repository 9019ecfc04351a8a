"""The store as a whole: opened from the settings, looked at, mended, cleaned up, and carried elsewhere.

Never removes what a manifest on chain names, and never goes by a hospital's word for what its manifests name: they are
read. Needs no key: everything in the store is sealed. Follows docs/spec/network.md, section "Stores", and design
section 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from panachain.config import Config
from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    IntegrityError,
    PanaChainError,
    StoreUnavailableError,
    UsageError,
)
from panachain.ipld import car, dag, dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.records.journal import Journal
from panachain.sdk.profiles import write_private
from panachain.storage import collect
from panachain.storage.blocks import BlobStore
from panachain.storage.replicated import RepairReport, ReplicatedStore

if TYPE_CHECKING:
    from panachain.sdk.network import Network

Progress = Callable[..., None]
"""Called as progress(done, total, unit="blocks" or "bytes"); a total of 0 isn't known."""

_DIGEST: Final = 32
_LIST_FIELDS: Final = ({"v", "blocks"}, {"v", "parts"})
"""Fields of a batch list (`panachain/batch/1`)."""
_LEAF_FIELDS: Final = {"keys", "headers"}
"""Fields of a manifest's leaf (`panachain/manifest/1`)."""


def open_store(config: Config, description: dict[str, Any], *, probe: bool = True) -> BlobStore:
    """Open the store that a network file's `ipfs` describes, or that the settings name instead.

    Args:
        config: the settings; `ipfs` may name another kind than the network file.
        description: the network file's `ipfs`.
        probe: ask a single Kubo node whether it is there. Of several, some may be down.

    Raises:
        ConfigurationError: the description contradicts itself.
        StoreUnavailableError: a single store can't be opened.
    """
    kind = description.get("kind", "embedded") if config.ipfs == "auto" else config.ipfs
    if kind != description.get("kind"):
        # The settings name another kind: what the file says of its own doesn't count.
        description = {}
    if kind == "kubo":
        apis = _texts(description, "apis") or [description.get("api", config.ipfs_api)]
        # Imported here: only who uses Kubo pays for its client.
        from panachain.storage.kubo import KuboStore

        return _replicated([KuboStore(api, probe=probe and len(apis) == 1) for api in apis], description)
    if kind != "embedded":
        raise ConfigurationError(f"the network file names a store of kind {str(kind)[:40]!r}: embedded or kubo")
    from panachain.storage.embedded import EmbeddedStore

    folders = [config.network_file.parent / folder for folder in _texts(description, "folders")]
    return _replicated([EmbeddedStore(folder) for folder in folders or [config.home / "blocks"]], description)


def open_configured(config: Config, *, probe: bool = True) -> BlobStore:
    """Open the store without the chains; without a network file it is the one that the settings name.

    Raises:
        ConfigurationError: the network file is damaged, or contradicts itself.
    """
    description: dict[str, Any] = {}
    try:
        content = json.loads(config.network_file.read_bytes())
        description = content.get("ipfs", {})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise ConfigurationError(f"{config.network_file} can't be read as a network file") from exc
    if not isinstance(description, dict):
        raise ConfigurationError(f"{config.network_file}: `ipfs` must be an object")
    return open_store(config, description, probe=probe)


def keep(store: BlobStore, blob: bytes) -> CID:
    """Store and pin one block that somebody else shall find by its CID, and return it."""
    cid = CID.of(RAW, blob)
    store.put_block(cid, blob)
    store.pin(cid)
    return cid


def nodes_of(store: BlobStore) -> list[tuple[str, BlobStore]]:
    """Return what a store consists of, each part with its name."""
    if isinstance(store, ReplicatedStore):
        return [(store.label(number), node) for number, node in enumerate(store.nodes)]
    return [(store.name, store)]


# Status


@dataclass(frozen=True)
class NodeStatus:
    """What one node holds."""

    name: str
    state: str
    """`ok` or `failed`."""
    blocks: int = 0
    size: int = 0
    """Bytes."""
    pins: int = 0
    detail: str = ""
    """Why it failed."""
    exit_code: int = 0
    """What its failure ends the command with."""

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
        }


def status(store: BlobStore) -> list[NodeStatus]:
    """Return what each node of a store holds."""
    found = []
    for name, node in nodes_of(store):
        try:
            blocks, size = _totals(node)
            found.append(NodeStatus(name, "ok", blocks, size, sum(1 for _ in node.pins())))
        except PanaChainError as exc:
            found.append(NodeStatus(name, "failed", detail=str(exc), exit_code=exc.exit_code))
    return found


def _totals(node: BlobStore) -> tuple[int, int]:
    own = getattr(node, "totals", None)
    if own is not None:
        blocks, size = own()
        return blocks, size
    sizes = [size for _, size, _ in node.sizes()]
    return len(sizes), sum(sizes)


# Repair


def repair(store: BlobStore, roots: Sequence[CID] = ()) -> RepairReport:
    """Check every block under `roots` (all pins, if none are given) on every node, and heal what can be healed.

    A store of one node is checked too; nothing can be healed there.

    Raises:
        StoreUnavailableError: no node answers.
    """
    several = store if isinstance(store, ReplicatedStore) else ReplicatedStore([store], 1)
    if not roots:
        roots = sorted(_pins_in_reach(several))
    return several.repair(roots)


def _pins_in_reach(store: ReplicatedStore) -> set[CID]:
    """Return what any node pins, of those that answer."""
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


# Garbage collection


def collect_garbage(
    network: Network, *, now: float, grace: float = collect.GRACE, dry_run: bool = False
) -> list[tuple[str, collect.Collection]]:
    """Remove from each node what no pin and nothing on the mainchain reaches.

    Args:
        network: its mainchain says which manifests and terms are wanted; every node of its store must answer.
        now: Unix seconds.
        grace: seconds for which a block stays that nothing reaches.
        dry_run: count only.

    Raises:
        IntegrityError: a node on the way is damaged, or a manifest on chain is in no pinned batch list, so its records
            couldn't be told from garbage; nothing was removed.
        StoreUnavailableError: a node doesn't answer, or what it pins is missing; nothing was removed.
    """
    store = network.store
    manifests = [CID(DAG_CBOR, digest) for heads in network.hospital_heads() for digest in heads.manifests]
    check_listed(store, manifests)
    roots = [*manifests, *headers_of(store, manifests), *_terms(network)]
    # Over all nodes: what one of them lost, another one may know.
    live = collect.mark(store, roots)
    memory = _FirstSeen(network.home / "storage-gc.json")
    found = []
    for name, node in nodes_of(store):
        seen = memory.of(name)
        found.append((name, collect.sweep(node, live, now=now, grace=grace, dry_run=dry_run, first_seen=seen)))
    if not dry_run:
        memory.save()
    return found


def _terms(network: Network) -> list[CID]:
    events = network.mainchain.policy_events(kind="PolicyGranted")
    return [CID(RAW, event.terms) for event in events if len(event.terms) == _DIGEST]


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
            for start in range(0, len(digests) - len(digests) % _DIGEST, _DIGEST):
                yield CID(RAW, digests[start : start + _DIGEST])


def check_listed(store: BlobStore, manifests: Iterable[CID]) -> None:
    """Check that every manifest that the store has is in a pinned batch list.

    Headers are sealed: which envelopes and contents they name, nobody but a reader can tell. Only the batch list
    does, so without it they would look like garbage.

    Raises:
        IntegrityError: a manifest is in none.
    """
    listed: set[CID] = set()
    for cid, data in dag.walk(store.pins(), lambda cid: _list_block(store, cid)):
        fields = None if data is None else dagcbor.decode(data)
        if isinstance(fields, dict) and set(fields) == _LIST_FIELDS[0]:
            listed.update(dag.links(cid, data or b""))
    unlisted = [cid for cid in manifests if cid not in listed and store.has_block(cid)]
    if unlisted:
        raise IntegrityError(
            f"{len(unlisted)} manifests on chain, such as {unlisted[0]}, are in no pinned batch list;"
            " nothing was removed",
            hint="panachain storage import a CAR of the hospital that published them",
        )


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


# Export and import


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
        }


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


def export_car(
    store: BlobStore, roots: Sequence[CID], file: BinaryIO, *, name: str, progress: Progress | None = None
) -> CarReport:
    """Write everything that `roots` reach into a CAR: depth first, so the same roots give the same bytes.

    What is missing is left out and named in the report.

    Raises:
        IntegrityError: a block is damaged.
        StoreUnavailableError: the store doesn't answer.
    """
    counted = _Counted(progress)
    lacking: list[CID] = []

    def get(cid: CID) -> bytes | None:
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
    return CarReport(name, tuple(roots), counted.blocks, counted.size, tuple(lacking))


def import_car(
    store: BlobStore, file: BinaryIO, *, name: str, total: int = 0, progress: Progress | None = None
) -> CarReport:
    """Store the blocks of a CAR, and pin those of its roots of which everything is there and true then.

    Blocks that the store has already, but damaged, are written anew.

    Args:
        store: where the blocks go.
        file: the CAR; it is read once more when something in the store is damaged.
        name: of the file, for the report.
        total: bytes of the file, for the progress.
        progress: is told the bytes.

    Raises:
        IntegrityError: the CAR is damaged or foreign; blocks before the damage stay, nothing was pinned.
        StoreUnavailableError: the store doesn't answer; the same import again does the rest.
    """
    start = file.tell()
    roots, blocks = car.read_car(file)
    counted = _Counted(progress, total)

    def counting() -> Iterator[tuple[CID, bytes]]:
        for cid, data in blocks:
            counted.add(data)
            yield cid, data

    store.put_blocks(counting())
    lacking = {root: _lacking(store, root) for root in dict.fromkeys(roots)}
    tried: set[CID] = set()
    # A mended node may show that more is damaged below it.
    while damaged := set().union(*lacking.values()) - tried:
        file.seek(start)
        _replace(store, car.read_car(file)[1], damaged)
        tried |= damaged
        lacking = {root: found and _lacking(store, root) for root, found in lacking.items()}
    complete = [root for root, found in lacking.items() if not found]
    for root in complete:
        store.pin(root)
    missing = tuple(sorted(set().union(*lacking.values())))
    return CarReport(name, tuple(roots), counted.blocks, counted.size, missing, len(complete))


def _replace(store: BlobStore, blocks: Iterable[tuple[CID, bytes]], wanted: set[CID]) -> None:
    """Write the wanted ones of `blocks` anew: a store keeps what it has, also when it is damaged."""
    for cid, data in blocks:
        if cid in wanted:
            store.delete_block(cid)
            store.put_block(cid, data)


def _lacking(store: BlobStore, root: CID) -> list[CID]:
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


def _texts(description: dict[str, Any], name: str) -> list[str]:
    """Return a list of texts in the network file, or an empty one when there is none.

    Raises:
        ConfigurationError: it is something else.
    """
    value = description.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ConfigurationError(f"the network file's ipfs.{name} must be a list of texts")
    if len(set(value)) != len(value):
        raise ConfigurationError(f"the network file's ipfs.{name} names something twice: that is one node, not two")
    return value


def _replicated(stores: Sequence[BlobStore], description: dict[str, Any]) -> BlobStore:
    factor = description.get("replication", min(len(stores), 2))
    if not isinstance(factor, int) or isinstance(factor, bool):
        raise ConfigurationError("the network file's ipfs.replication must be a whole number")
    if len(stores) == 1 and factor == 1:
        return stores[0]
    return ReplicatedStore(stores, factor)
