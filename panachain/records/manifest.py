"""Manifests: the sorted map, from brief IDs to header CIDs, that one storage transaction publishes.

A path from root to leaf proves that a key is there; two neighbours in one leaf, or the bounds of a leaf, prove that
it is not. Everything in it looks random; the root alone names the hospital, which is public.
Follows docs/spec/formats.md (`panachain/manifest/1`) and design section 7.

    root  = {v, hospital, sequence, previous, count, node}
    inner = {bounds: [first key of each child], links: [CID of each child]}
    leaf  = {keys: 16-byte keys one after the other, headers: 32-byte digests one after the other}
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.sizes import HASH_SIZE

VERSION: Final = 1
KEY_SIZE: Final = 16
"""Bytes of a brief ID or search token."""
LEAF_ROWS: Final = 1024
"""Rows of a leaf at most."""
FANOUT: Final = 1024
"""Links of an inner node at most."""
MAX_DEPTH: Final = 4
"""Inner levels that a reader follows: more than 10^12 rows."""

Block = tuple[CID, bytes]


def build(
    entries: Mapping[bytes, CID], *, hospital: Address, sequence: int, previous: CID | None
) -> tuple[CID, list[Block]]:
    """Return the root's CID and all blocks of a manifest; the same entries always give the same blocks.

    Args:
        entries: 16-byte keys to the CIDs of headers (codec raw).
        hospital: who publishes.
        sequence: number of the storage transaction, from 1 on.
        previous: root of the manifest before it.

    Raises:
        UsageError: no entries, or a key of another length.
    """
    if not entries or any(len(key) != KEY_SIZE for key in entries) or any(c.codec != RAW for c in entries.values()):
        raise UsageError(f"a manifest needs keys of {KEY_SIZE} bytes and raw header CIDs, and at least one")
    blocks: list[Block] = []
    ordered = sorted(entries.items())
    level: list[tuple[bytes, CID]] = []
    for start in range(0, len(ordered), LEAF_ROWS):
        rows = ordered[start : start + LEAF_ROWS]
        leaf = {"keys": b"".join(key for key, _ in rows), "headers": b"".join(cid.digest for _, cid in rows)}
        level.append((rows[0][0], _add(leaf, blocks)))
    while len(level) > 1:
        groups = [level[start : start + FANOUT] for start in range(0, len(level), FANOUT)]
        level = [
            (group[0][0], _add({"bounds": [key for key, _ in group], "links": [cid for _, cid in group]}, blocks))
            for group in groups
        ]
    root = {
        "v": VERSION,
        "hospital": bytes.fromhex(hospital[2:]),
        "sequence": sequence,
        "previous": previous,
        "count": len(entries),
        "node": level[0][1],
    }
    return _add(root, blocks), blocks


class BlockSource(Protocol):
    """Where a manifest's blocks come from: a `BlobStore`, or the blocks of a proof."""

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        ...


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
        fields = _fields(store, root, {"v", "hospital", "sequence", "previous", "count", "node"})
        previous, node = fields["previous"], fields["node"]
        if fields["v"] != VERSION:
            raise IntegrityError(f"manifest {root} is of version {fields['v']!r}, expected {VERSION}")
        if not (isinstance(fields["sequence"], int) and isinstance(fields["count"], int) and isinstance(node, CID)):
            raise IntegrityError(f"manifest {root} has a field of the wrong type")
        # The chain of predecessors is followed by readers: it must end in None and lead over CIDs.
        if previous is not None and not isinstance(previous, CID):
            raise IntegrityError(f"manifest {root} names no CID as its predecessor")
        self.hospital: Address = checksum_address(fields["hospital"])
        self.sequence: int = fields["sequence"]
        self.previous: CID | None = previous
        self.count: int = fields["count"]
        """Rows, not records."""
        self._top: CID = node

    def lookup(self, key: bytes) -> CID | None:
        """Return the header's CID under `key`, or None when the manifest proves that it has none.

        Raises:
            IntegrityError: a node on the path is malformed or out of its bounds.
            BlockNotFoundError: the store lacks a node.
        """
        cid = self._top
        lower: bytes | None = None
        upper: bytes | None = None
        for _ in range(MAX_DEPTH + 1):
            node = self._node(cid, lower, upper)
            if isinstance(node, _Leaf):
                # The leaf's bounds were checked on the way down. So a key that isn't in it is proven absent, which ends
                # a reader's search.
                return node.find(key)
            # The child whose first key is the last one not above `key`; a key before all of them would be in the first
            # one.
            position = max(bisect_right(node.bounds, key) - 1, 0)
            cid = node.links[position]
            lower = node.bounds[position]
            upper = node.bounds[position + 1] if position + 1 < len(node.bounds) else upper
        raise IntegrityError(f"manifest {self.root} is deeper than {MAX_DEPTH} levels")

    def rows(self) -> Iterator[tuple[bytes, CID]]:
        """Yield every key with its header's CID, in order.

        Raises:
            IntegrityError: a node is malformed, or the rows aren't as many as the root states.
        """
        number = 0
        for key, cid in self._rows(self._top, None, None, 0):
            number += 1
            yield key, cid
        # Counted to the end: a store that leaves out a node must not make a manifest look shorter than it is.
        if number != self.count:
            raise IntegrityError(f"manifest {self.root} states {self.count} rows and has {number}")

    def _rows(self, cid: CID, lower: bytes | None, upper: bytes | None, depth: int) -> Iterator[tuple[bytes, CID]]:
        if depth > MAX_DEPTH:
            raise IntegrityError(f"manifest {self.root} is deeper than {MAX_DEPTH} levels")
        node = self._node(cid, lower, upper)
        if isinstance(node, _Leaf):
            yield from node.rows()
            return
        for position, link in enumerate(node.links):
            end = node.bounds[position + 1] if position + 1 < len(node.bounds) else upper
            yield from self._rows(link, node.bounds[position], end, depth + 1)

    def _node(self, cid: CID, lower: bytes | None, upper: bytes | None) -> _Leaf | _Inner:
        known = self._nodes.get(cid)
        if known is None:
            known = self._nodes[cid] = _parse_node(self._store, cid)
        first, last = known.span
        # A node that strays from its parent's bounds could hide a key from the search.
        if (lower is not None and first != lower) or (upper is not None and last >= upper):
            raise IntegrityError(f"node {cid} of manifest {self.root} leaves its bounds")
        return known


@dataclass(frozen=True)
class _Leaf:
    keys: tuple[bytes, ...]
    headers: bytes

    @property
    def span(self) -> tuple[bytes, bytes]:
        return self.keys[0], self.keys[-1]

    def rows(self) -> Iterator[tuple[bytes, CID]]:
        for position, key in enumerate(self.keys):
            yield key, self._cid(position)

    def find(self, key: bytes) -> CID | None:
        position = bisect_left(self.keys, key)
        if position == len(self.keys) or self.keys[position] != key:
            return None
        return self._cid(position)

    def _cid(self, position: int) -> CID:
        return CID(RAW, self.headers[HASH_SIZE * position : HASH_SIZE * (position + 1)])


@dataclass(frozen=True)
class _Inner:
    bounds: tuple[bytes, ...]
    links: tuple[CID, ...]

    @property
    def span(self) -> tuple[bytes, bytes]:
        return self.bounds[0], self.bounds[-1]


class Proof:
    """The blocks of a path from a root: whoever knows the root's CID sees that a key is there, or that it isn't."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        """Take the blocks as they came, from whomever.

        Raises:
            IntegrityError: more or larger blocks than a path can have.
        """
        self.blocks = tuple(blocks)
        # The root, the inner levels and a leaf. More can't be on one path, and would only be hashed for nothing.
        if len(self.blocks) > MAX_DEPTH + 2 or any(len(block) > dagcbor.MAX_SIZE for block in self.blocks):
            raise IntegrityError(f"a proof of {len(self.blocks)} blocks is none of a manifest")
        self._by_cid = {CID.of(DAG_CBOR, block): block for block in self.blocks}

    def get_block(self, cid: CID) -> bytes:
        """Return a block of the path.

        Raises:
            IntegrityError: the proof lacks it.
        """
        if cid not in self._by_cid:
            raise IntegrityError(f"the proof lacks block {cid}")
        return self._by_cid[cid]

    def check(self, root: CID, key: bytes) -> CID | None:
        """Return the CID that the manifest of this root has under `key`, or None when it proves that it has none.

        Raises:
            IntegrityError: the blocks prove nothing about it.
        """
        return Manifest(self, root).lookup(key)


def prove(store: BlockSource, root: CID, key: bytes) -> Proof:
    """Return the proof that a manifest has a key, or that it hasn't.

    Raises:
        IntegrityError: the manifest is malformed.
        BlockNotFoundError: the store lacks a block.
    """
    seen = _Recorder(store)
    Manifest(seen, root).lookup(key)
    return Proof(seen.blocks)


class _Recorder:
    def __init__(self, store: BlockSource) -> None:
        self._store = store
        self.blocks: list[bytes] = []

    def get_block(self, cid: CID) -> bytes:
        block = self._store.get_block(cid)
        self.blocks.append(block)
        return block


def _parse_node(store: BlockSource, cid: CID) -> _Leaf | _Inner:
    fields = _fields(store, cid, None)
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
    if set(fields) == {"bounds", "links"}:
        bounds, links = fields["bounds"], fields["links"]
        if not (isinstance(bounds, list) and isinstance(links, list)) or len(bounds) != len(links):
            raise IntegrityError(f"manifest node {cid} has bounds and links that don't fit each other")
        if any(not isinstance(b, bytes) or len(b) != KEY_SIZE for b in bounds):
            raise IntegrityError(f"manifest node {cid} has a bound of the wrong size")
        # A node is dag-cbor, so a link to a raw block is none.
        if len(links) > FANOUT or any(not isinstance(link, CID) or link.codec != DAG_CBOR for link in links):
            raise IntegrityError(f"manifest node {cid} has links that aren't nodes")
        _check_sorted(cid, tuple(bounds))
        return _Inner(tuple(bounds), tuple(links))
    raise IntegrityError(f"manifest node {cid} is neither leaf nor inner node")


def _check_sorted(cid: CID, keys: tuple[bytes, ...]) -> None:
    if not keys or any(left >= right for left, right in pairwise(keys)):
        raise IntegrityError(f"manifest node {cid} is empty or out of order")


def _fields(store: BlockSource, cid: CID, expected: set[str] | None) -> dict[str, Any]:
    fields = dagcbor.decode(store.get_block(cid))
    if not isinstance(fields, dict) or (expected is not None and set(fields) != expected):
        raise IntegrityError(f"manifest block {cid} doesn't have the fields that it must have")
    return fields


def _add(node: dict[str, Any], blocks: list[Block]) -> CID:
    data = dagcbor.encode(node)
    cid = CID.of(DAG_CBOR, data)
    blocks.append((cid, data))
    return cid
