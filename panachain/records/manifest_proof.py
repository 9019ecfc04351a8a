"""Proofs about one manifest: that it has a key, or that it hasn't, without any of its nodes.

A proof holds the manifest's root and at most two rows with their audit paths, less than 2 kB for ten million rows.
Whoever knows the root's CID, which the chain names, needs nothing else. That the rows are sorted is the hospital's
word, which every reader of a leaf checks. Follows docs/spec/formats.md (`panachain/manifest-proof/1`) and ADR 37.

    proof = {v, root: block, rows: [[index, key, header's digest, path: 32-byte hashes one after the other], …]}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.sizes import HASH_SIZE
from panachain.records import tree_hash
from panachain.records.manifest import KEY_SIZE, BlockSource, Manifest, ProvenRow, Root

_VERSION: Final = 1
_MAX_SIZE: Final = 8192
"""Bytes of a proof that is looked at: as many as for more rows than a manifest can have."""


@dataclass(frozen=True)
class ManifestProof:
    """What one manifest says of one key."""

    root: bytes
    """The root's block."""
    rows: tuple[ProvenRow, ...]
    """The key's own row; or its neighbours, of which there is one where it is before the first or behind the last."""

    def encode(self) -> bytes:
        """Return it as DAG-CBOR."""
        rows = [[row.index, row.key, row.header, b"".join(row.path)] for row in self.rows]
        return dagcbor.encode({"v": _VERSION, "root": self.root, "rows": rows})

    @classmethod
    def parse(cls, data: bytes) -> ManifestProof:
        """Read a proof as it came, from whomever.

        Raises:
            IntegrityError: it is none.
        """
        if len(data) > _MAX_SIZE:
            raise IntegrityError(f"a proof of {len(data)} bytes is none of a manifest")
        fields = dagcbor.decode(data)
        try:
            if set(fields) != {"v", "root", "rows"} or fields["v"] != _VERSION or not isinstance(fields["root"], bytes):
                raise IntegrityError("this is no proof of a manifest, or one of another version")
            return cls(fields["root"], tuple(_row(*row) for row in fields["rows"]))
        except (TypeError, ValueError) as exc:
            raise IntegrityError("the proof lacks a field or has one of the wrong type") from exc

    def check(self, root: CID, key: bytes) -> CID | None:
        """Return the CID that the manifest of this root has under `key`, or None when it proves that it has none.

        Raises:
            IntegrityError: it proves nothing about it.
        """
        if CID.of(DAG_CBOR, self.root) != root:
            raise IntegrityError(f"the proof is of another manifest than {root}")
        said = Root(root, self.root)
        for row in self.rows:
            hashed = tree_hash.row_hash(row.key + row.header)
            tree_hash.check_path(said.tree, count=said.count, index=row.index, hashed=hashed, path=row.path)
        return _concluded(self.rows, said.count, key)


def prove(store: BlockSource, root: CID, key: bytes) -> ManifestProof:
    """Return the proof that a manifest has a key, or that it hasn't.

    Raises:
        IntegrityError: the manifest is malformed.
        BlockNotFoundError: the store lacks a block.
    """
    manifest = Manifest(store, root)
    place = manifest.place(key)
    # Absent: the row before it and the row behind it, as far as there are such.
    wanted = (place.index,) if place.header is not None else (place.index - 1, place.index)
    rows = tuple(manifest.row(index) for index in wanted if 0 <= index < manifest.count)
    return ManifestProof(store.get_block(root), rows)


def _concluded(rows: Sequence[ProvenRow], count: int, key: bytes) -> CID | None:
    """Return what rows say of a key, given that each stands where it says."""
    if len(rows) == 1 and rows[0].key == key:
        return CID(RAW, rows[0].header)
    if len(rows) == 1 and (
        (rows[0].index == 0 and key < rows[0].key) or (rows[0].index == count - 1 and key > rows[0].key)
    ):
        return None
    # Next to each other: otherwise the key might be between them.
    if len(rows) == 2 and rows[1].index == rows[0].index + 1 and rows[0].key < key < rows[1].key:
        return None
    raise IntegrityError("the proof's rows say nothing about the key")


def _row(index: Any, key: Any, header: Any, path: Any) -> ProvenRow:
    if type(index) is not int or not all(isinstance(one, bytes) for one in (key, header, path)):
        raise TypeError("row")
    # A row of another length could be cut in another place than the hospital's.
    if len(key) != KEY_SIZE or len(header) != HASH_SIZE or len(path) % HASH_SIZE:
        raise ValueError("sizes")
    return ProvenRow(index, key, header, tuple(path[at : at + HASH_SIZE] for at in range(0, len(path), HASH_SIZE)))
