"""A hospital's storage transactions in a store, for tests of what is done to stores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.records import manifest
from panachain.storage.blocks import BlobStore

HOSPITAL = Address("0x52908400098527886E0F7030069857D2E4169EE7")


def put(store: BlobStore, codec: int, data: bytes) -> CID:
    cid = CID.of(codec, data)
    store.put_block(cid, data)
    return cid


class Published:
    """A hospital's storage transactions in a store, as `publish` makes them."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.manifests: list[CID] = []
        self.lists: list[CID] = []
        self.headers: list[CID] = []

    def batch(self, records: int = 3, *, listed: bool = True, pinned: bool = True, carrying: Sequence[CID] = ()) -> CID:
        """Publish some records; `carrying` are headers of earlier batches that the manifest has too."""
        store = self.store
        blocks = []
        rows: dict[bytes, CID] = {os.urandom(16): header for header in carrying}
        for _ in range(records):
            header = put(store, RAW, os.urandom(300))
            blocks += [header, put(store, RAW, os.urandom(200)), store.add_file([os.urandom(100)])]
            rows[os.urandom(16)] = header
            self.headers.append(header)
        previous = self.manifests[-1] if self.manifests else None
        root, nodes = manifest.build(rows, hospital=HOSPITAL, sequence=len(self.manifests) + 1, previous=previous)
        store.put_blocks(nodes)
        self.manifests.append(root)
        if listed:
            cids = sorted([*blocks, *(cid for cid, _ in nodes)])
            half = len(cids) // 2
            parts = [put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": cids[:half]}))]
            parts += [put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": cids[half:]}))]
            listing = put(store, DAG_CBOR, dagcbor.encode({"v": 1, "parts": parts}))
            self.lists.append(listing)
            if pinned:
                store.pin(listing)
        return root

    def network(self, home: Path, terms: tuple[bytes, ...] = ()) -> Any:
        """Return as much of a network as garbage collection asks."""
        heads = SimpleNamespace(hospital="0x" + "11" * 20, manifests=tuple(cid.digest for cid in self.manifests))
        events = [SimpleNamespace(terms=digest) for digest in (*terms, b"")]
        return SimpleNamespace(
            store=self.store,
            home=home,
            hospital_heads=lambda: [heads],
            mainchain=SimpleNamespace(policies=SimpleNamespace(events=lambda kind: iter(events))),
        )
