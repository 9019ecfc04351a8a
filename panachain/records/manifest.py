"""Manifests: the sorted map, from brief IDs to header CIDs, that one storage transaction publishes.

A manifest may stand for earlier ones, too: then it has their rows under keys of its own, and whoever reads it needn't
read those. Its root holds an RFC 6962 tree hash over its rows, in their order, and each node that of what is below it:
so tree and leaves can't say two things, and `records/manifest_proof.py` proves rows without leaves.
Everything in it looks random; the root alone names the hospital, which is public.
Follows docs/spec/formats.md (`panachain/manifest/2`), design section 7 and ADR 37.

    root  = {v, hospital, from, sequence, previous, count, tree, node}
    inner = {bounds: [first key of each child], links: [CID of each child], hashes: 32-byte tree hashes of the children}
    leaf  = {keys: 16-byte keys one after the other, headers: 32-byte digests one after the other}

A row of the tree is key ‖ header's digest. Nodes are full but for the last one of each level, so that `count` alone
says how many rows each holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import add
from typing import Any, Final, Protocol

from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.sizes import HASH_SIZE
from panachain.records import tree_hash

VERSION: Final = 2
KEY_SIZE: Final = 16
"""Bytes of a brief ID or search token."""
LEAF_ROWS: Final = 2048
"""Rows of a full leaf; a power of two, so that a leaf is a subtree."""
FANOUT: Final = 1024
"""Links of a full inner node; a power of two, too."""
MAX_DEPTH: Final = 4
"""Inner levels that a reader follows: more than 10^12 rows."""

Block = tuple[CID, bytes]


def build(
    entries: Mapping[bytes, CID], *, hospital: Address, sequence: int, previous: CID | None, first: int | None = None
) -> tuple[CID, list[Block]]:
    """Return the root's CID and all blocks of a manifest; the same entries always give the same blocks.

    Args:
        entries: 16-byte keys to the CIDs of headers (codec raw).
        hospital: who publishes.
        sequence: number of the storage transaction, from 1 on.
        previous: root of the manifest before it.
        first: the first of the storage transactions that it stands for; None for itself alone.

    Raises:
        UsageError: no entries, or a key of another length.
    """
    if not entries or any(len(key) != KEY_SIZE for key in entries) or any(c.codec != RAW for c in entries.values()):
        raise UsageError(f"a manifest needs keys of {KEY_SIZE} bytes and raw header CIDs, and at least one")
    blocks: list[Block] = []
    ordered = sorted(entries.items())
    level: list[_Child] = []
    for start in range(0, len(ordered), LEAF_ROWS):
        rows = ordered[start : start + LEAF_ROWS]
        leaf = _Leaf(tuple(key for key, _ in rows), b"".join(cid.digest for _, cid in rows))
        cid = _add({"keys": b"".join(leaf.keys), "headers": leaf.headers}, blocks)
        level.append(_Child(rows[0][0], cid, leaf.tree))
    while len(level) > 1:
        level = [_parent(level[start : start + FANOUT], blocks) for start in range(0, len(level), FANOUT)]
    root = {
        "v": VERSION,
        "hospital": bytes.fromhex(hospital[2:]),
        "from": sequence if first is None else first,
        "sequence": sequence,
        "previous": previous,
        "count": len(entries),
        "tree": level[0].tree,
        "node": level[0].cid,
    }
    return _add(root, blocks), blocks


@dataclass(frozen=True)
class _Child:
    """A node as its parent names it."""

    first: bytes
    cid: CID
    tree: bytes


def _parent(children: list[_Child], blocks: list[Block]) -> _Child:
    hashes = [child.tree for child in children]
    node = {
        "bounds": [child.first for child in children],
        "links": [child.cid for child in children],
        "hashes": b"".join(hashes),
    }
    return _Child(children[0].first, _add(node, blocks), tree_hash.combined(hashes))


class BlockSource(Protocol):
    """Where a manifest's blocks come from: a `BlobStore`, or the blocks of a proof."""

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        ...


class Root:
    """What the root of a manifest says, checked by itself."""

    def __init__(self, cid: CID, block: bytes) -> None:
        """Take a block that was checked against its CID.

        Raises:
            IntegrityError: it is no root of this version.
        """
        fields = _fields(cid, block, {"v", "hospital", "from", "sequence", "previous", "count", "tree", "node"})
        previous, node, tree = fields["previous"], fields["node"], fields["tree"]
        if fields["v"] != VERSION:
            raise IntegrityError(f"manifest {cid} is of version {fields['v']!r}, expected {VERSION}")
        numbers = fields["from"], fields["sequence"], fields["count"]
        if any(type(number) is not int for number in numbers) or not isinstance(node, CID):
            raise IntegrityError(f"manifest {cid} has a field of the wrong type")
        if not isinstance(tree, bytes) or len(tree) != HASH_SIZE:
            raise IntegrityError(f"manifest {cid} has no tree hash of {HASH_SIZE} bytes")
        # The chain of predecessors is followed by readers: it must end in None and lead over CIDs.
        if previous is not None and not isinstance(previous, CID):
            raise IntegrityError(f"manifest {cid} names no CID as its predecessor")
        self.cid = cid
        self.hospital: Address = checksum_address(fields["hospital"])
        self.first: int
        """The first of the storage transactions that it stands for; the last one is `sequence`."""
        self.sequence: int
        self.count: int
        """Rows, not records."""
        self.first, self.sequence, self.count = numbers
        # A reader goes on before `first`: another one would make them read anything twice, or for ever.
        if not 1 <= self.first <= self.sequence or self.count < 1:
            raise IntegrityError(f"manifest {cid} states numbers that no manifest has")
        self.previous: CID | None = previous
        self.tree: bytes = tree
        """RFC 6962 tree hash over all rows."""
        self.node: CID = node


@dataclass(frozen=True)
class Place:
    """Where a key stands, or would stand, among the rows of a manifest."""

    index: int
    """Of the first row whose key isn't below it; as many as there are rows if it is above all of them."""
    header: CID | None
    """What the manifest has under it."""


@dataclass(frozen=True)
class ProvenRow:
    """A row of a manifest, with its audit path."""

    index: int
    key: bytes
    header: bytes
    """Digest of the header's CID, 32 bytes."""
    path: tuple[bytes, ...]


class Manifest:
    """A manifest in a store, read as far as a lookup needs it; every node is checked."""

    def __init__(self, store: BlockSource, root: CID) -> None:
        """Fetch and check the root.

        Raises:
            IntegrityError: it is no manifest.
            BlockNotFoundError: the store lacks it.
        """
        self._store = store
        self.root = root
        self._nodes: dict[CID, _Leaf | _Inner] = {}
        said = Root(root, store.get_block(root))
        self.hospital, self.first, self.sequence = said.hospital, said.first, said.sequence
        self.previous, self.count, self.tree = said.previous, said.count, said.tree
        self._height = 0
        while _capacity(self._height) < self.count:
            self._height += 1
            if self._height > MAX_DEPTH:
                raise IntegrityError(f"manifest {root} is deeper than {MAX_DEPTH} levels")
        self._top = _Expected(said.node, None, None, self._height, 0, self.count, self.tree)

    def lookup(self, key: bytes) -> CID | None:
        """Return the header's CID under `key`, or None when the manifest proves that it has none.

        Raises:
            IntegrityError: a node on the path is malformed, out of its bounds, or not what the tree hash says.
            BlockNotFoundError: the store lacks a node.
        """
        leaf, _ = self._down(key)
        # What `find` does, without a call for each step: a reader looks up every record of a lane.
        keys, position = leaf.keys, bisect_left(leaf.keys, key)
        if position == len(keys) or keys[position] != key:
            return None
        return CID(RAW, leaf.headers[HASH_SIZE * position : HASH_SIZE * (position + 1)])

    def place(self, key: bytes) -> Place:
        """Return where `key` stands.

        Raises:
            IntegrityError: as `lookup`.
            BlockNotFoundError: as `lookup`.
        """
        leaf, start = self._down(key)
        position = leaf.position(key)
        return Place(start + position, leaf.find(key, position))

    def row(self, index: int) -> ProvenRow:
        """Return one row with its audit path.

        Raises:
            IntegrityError: as `lookup`, or there is no such row.
            BlockNotFoundError: as `lookup`.
        """
        if not 0 <= index < self.count:
            raise IntegrityError(f"manifest {self.root} has {self.count} rows, so none is number {index}")
        here, paths = self._top, list[list[bytes]]()
        while here.height:
            node = self._inner(here)
            position = (index - here.start) // _capacity(here.height - 1)
            paths.append(tree_hash.path_of(node.hashes, position))
            here = self._child(here, node, position)
        leaf, position = self._leaf(here), index - here.start
        paths.append(tree_hash.path_of(leaf.hashes, position))
        path = tuple(one for below in reversed(paths) for one in below)
        return ProvenRow(index, leaf.keys[position], leaf.digest(position), path)

    def rows(self) -> Iterator[tuple[bytes, CID]]:
        """Yield every key with its header's CID, in order.

        Raises:
            IntegrityError: a node is malformed, or the rows aren't as many as the root states.
        """
        for leaf in self._leaves(self._top):
            yield from leaf.rows()

    def keys(self) -> Iterator[bytes]:
        """Yield every key, in order.

        Raises:
            IntegrityError: as `rows`.
        """
        for leaf in self._leaves(self._top):
            yield from leaf.keys

    def _leaves(self, here: _Expected) -> Iterator[_Leaf]:
        if not here.height:
            yield self._leaf(here)
            return
        node = self._inner(here)
        for position in range(len(node.links)):
            yield from self._leaves(self._child(here, node, position))

    def _down(self, key: bytes) -> tuple[_Leaf, int]:
        """Return the leaf that has `key` if any has it, and the index of its first row."""
        here = self._top
        while here.height:
            # The child whose first key is the last one not above `key`; a key before all of them would be in the first
            # one.
            node = self._inner(here)
            position = max(bisect_right(node.bounds, key) - 1, 0)
            here = here.children.get(position) or self._child(here, node, position)
        # The leaf's bounds were checked on the way down. So a key that isn't in it is proven absent, which ends a
        # reader's search.
        return self._leaf(here), here.start

    def _child(self, here: _Expected, node: _Inner, position: int) -> _Expected:
        known = here.children.get(position)
        if known is None:
            known = here.children[position] = self._expected(here, node, position)
        return known

    def _expected(self, here: _Expected, node: _Inner, position: int) -> _Expected:
        capacity = _capacity(here.height - 1)
        last = position + 1 == len(node.links)
        return _Expected(
            node.links[position],
            node.bounds[position],
            here.upper if last else node.bounds[position + 1],
            here.height - 1,
            here.start + position * capacity,
            here.rows - position * capacity if last else capacity,
            node.hashes[position],
        )

    def _leaf(self, here: _Expected) -> _Leaf:
        if isinstance(here.found, _Leaf):
            return here.found
        node = self._node(here)
        if not isinstance(node, _Leaf) or len(node.keys) != here.rows:
            has = len(node.keys) if isinstance(node, _Leaf) else "no leaf"
            raise IntegrityError(f"node {here.cid}: manifest {self.root} states {here.rows} rows and has {has}")
        here.found = node
        return node

    def _inner(self, here: _Expected) -> _Inner:
        if isinstance(here.found, _Inner):
            return here.found
        node = self._node(here)
        expected = -(-here.rows // _capacity(here.height - 1))
        if not isinstance(node, _Inner) or len(node.links) != expected:
            raise IntegrityError(f"node {here.cid} of manifest {self.root} doesn't have {expected} children")
        here.found = node
        return node

    def _node(self, here: _Expected) -> _Leaf | _Inner:
        known = self._nodes.get(here.cid)
        if known is None:
            known = self._nodes[here.cid] = _parse_node(here.cid, self._store.get_block(here.cid))
        first, last = known.span
        # A node that strays from its parent's bounds could hide a key from the search.
        if (here.lower is not None and first != here.lower) or (here.upper is not None and last >= here.upper):
            raise IntegrityError(f"node {here.cid} of manifest {self.root} leaves its bounds")
        # A proof is checked against the tree hash alone: it must say the same as the nodes.
        if known.tree != here.tree:
            raise IntegrityError(f"node {here.cid} of manifest {self.root} isn't what its tree hash says")
        return known


@dataclass(slots=True)
class _Expected:
    """A node, and what everything above it says of it."""

    cid: CID
    lower: bytes | None
    """Its first key."""
    upper: bytes | None
    """A key above all of its own."""
    height: int
    """Levels below it; 0 for a leaf."""
    start: int
    """Index of its first row."""
    rows: int
    tree: bytes
    found: _Leaf | _Inner | None = None
    """The node itself, once it was read and found to be what is said of it here."""
    children: dict[int, _Expected] = field(default_factory=dict)
    """What is said of the nodes below it that were asked for, by their places."""


def _capacity(height: int) -> int:
    """Return the rows of a full node."""
    return LEAF_ROWS * int(FANOUT**height)


@dataclass(frozen=True)
class _Leaf:
    keys: tuple[bytes, ...]
    headers: bytes

    @property
    def span(self) -> tuple[bytes, bytes]:
        return self.keys[0], self.keys[-1]

    @cached_property
    def hashes(self) -> list[bytes]:
        headers, size = self.headers, HASH_SIZE
        digests = [headers[start : start + size] for start in range(0, len(headers), size)]
        return tree_hash.row_hashes(map(add, self.keys, digests))

    @cached_property
    def tree(self) -> bytes:
        return tree_hash.combined(self.hashes)

    def digest(self, position: int) -> bytes:
        return self.headers[HASH_SIZE * position : HASH_SIZE * (position + 1)]

    def rows(self) -> Iterator[tuple[bytes, CID]]:
        for position, key in enumerate(self.keys):
            yield key, CID(RAW, self.digest(position))

    def position(self, key: bytes) -> int:
        return bisect_left(self.keys, key)

    def find(self, key: bytes, position: int) -> CID | None:
        if position == len(self.keys) or self.keys[position] != key:
            return None
        return CID(RAW, self.digest(position))


@dataclass(frozen=True)
class _Inner:
    bounds: tuple[bytes, ...]
    links: tuple[CID, ...]
    hashes: tuple[bytes, ...]

    @property
    def span(self) -> tuple[bytes, bytes]:
        return self.bounds[0], self.bounds[-1]

    @cached_property
    def tree(self) -> bytes:
        return tree_hash.combined(self.hashes)


def _parse_node(cid: CID, block: bytes) -> _Leaf | _Inner:
    fields = _fields(cid, block, None)
    # The kind of a node is told by its fields: exactly these, so that no node can be read in two ways.
    if set(fields) == {"keys", "headers"}:
        keys, headers = fields["keys"], fields["headers"]
        if not (isinstance(keys, bytes) and isinstance(headers, bytes)) or len(keys) % KEY_SIZE:
            raise IntegrityError(f"manifest leaf {cid} has a field of the wrong type or size")
        rows = tuple(keys[start : start + KEY_SIZE] for start in range(0, len(keys), KEY_SIZE))
        if len(headers) != HASH_SIZE * len(rows) or len(rows) > LEAF_ROWS:
            raise IntegrityError(f"manifest leaf {cid} has {len(rows)} keys and {len(headers)} bytes of digests")
        _check_sorted(cid, rows)
        return _Leaf(rows, headers)
    if set(fields) == {"bounds", "links", "hashes"}:
        bounds, links, hashes = fields["bounds"], fields["links"], fields["hashes"]
        if not (isinstance(bounds, list) and isinstance(links, list)) or len(bounds) != len(links):
            raise IntegrityError(f"manifest node {cid} has bounds and links that don't fit each other")
        if any(not isinstance(b, bytes) or len(b) != KEY_SIZE for b in bounds):
            raise IntegrityError(f"manifest node {cid} has a bound of the wrong size")
        # A node is dag-cbor, so a link to a raw block is none.
        if len(links) > FANOUT or any(not isinstance(link, CID) or link.codec != DAG_CBOR for link in links):
            raise IntegrityError(f"manifest node {cid} has links that aren't nodes")
        if not isinstance(hashes, bytes) or len(hashes) != HASH_SIZE * len(links):
            raise IntegrityError(f"manifest node {cid} doesn't have a hash of each child")
        _check_sorted(cid, tuple(bounds))
        cut = (hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE))
        return _Inner(tuple(bounds), tuple(links), tuple(cut))
    raise IntegrityError(f"manifest node {cid} is neither leaf nor inner node")


def _check_sorted(cid: CID, keys: tuple[bytes, ...]) -> None:
    if not keys or any(left >= right for left, right in pairwise(keys)):
        raise IntegrityError(f"manifest node {cid} is empty or out of order")


def _fields(cid: CID, block: bytes, expected: set[str] | None) -> dict[str, Any]:
    fields = dagcbor.decode(block)
    if not isinstance(fields, dict) or (expected is not None and set(fields) != expected):
        raise IntegrityError(f"manifest block {cid} doesn't have the fields that it must have")
    return fields


def _add(node: dict[str, Any], blocks: list[Block]) -> CID:
    data = dagcbor.encode(node)
    cid = CID.of(DAG_CBOR, data)
    blocks.append((cid, data))
    return cid
