"""Links and walks: the order is that of `ipfs dag export`, and garbage is refused."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError
from panachain.ipld import dag, dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, DAG_PB, RAW
from panachain.storage.blocks import BlobStore
from tests.unit.storage.memory_store import MemoryStore

DAY = 86_400
NOW = 1_000_000_000.0


def leaf(store: BlobStore, data: bytes = b"") -> CID:
    data = data or os.urandom(20)
    cid = CID.of(RAW, data)
    store.put_block(cid, data)
    return cid


def node(store: BlobStore, value: Any) -> CID:
    data = dagcbor.encode(value)
    cid = CID.of(DAG_CBOR, data)
    store.put_block(cid, data)
    return cid


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(at=NOW - 2 * DAY)


class TestWalk:
    def test_goes_depth_first_in_the_order_of_links_and_once(self, store: MemoryStore) -> None:
        a, b, c = leaf(store), leaf(store), leaf(store)
        inner = node(store, {"deep": [[{"x": b}], a]})
        root = node(store, {"a": c, "b": inner, "c": [a, inner], "d": b})
        found = [cid for cid, _ in dag.walk([a, root, root], store.get_block)]
        assert found == [a, root, c, inner, b]

    def test_raw_blocks_are_not_fetched(self, store: MemoryStore) -> None:
        root = node(store, [leaf(store), leaf(store)])
        assert [data is None for _, data in dag.walk([root], store.get_block)] == [False, True, True]
        assert store.asked == 1

    def test_follows_files_of_several_levels(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unixfs, "CHUNK", 8)
        monkeypatch.setattr(unixfs, "MAX_LINKS", 4)
        root = store.add_file([number.to_bytes(8, "big") for number in range(40)])
        found = {cid for cid, _ in dag.walk([root], store.get_block)}
        assert found == set(store.held)
        leaves = [cid for cid, data in dag.walk([root], store.get_block) if data is None]
        assert leaves == [cid for cid, _ in unixfs.leaves_of(root, store.get_block)]

    def test_a_chain_longer_than_the_stack_is_followed(self, store: MemoryStore) -> None:
        previous = None
        for _ in range(5000):
            previous = node(store, {"previous": previous})
        assert previous is not None
        assert sum(1 for _ in dag.walk([previous], store.get_block)) == 5000

    def test_goes_on_without_the_links_of_what_is_not_given(self, store: MemoryStore) -> None:
        below = leaf(store)
        hidden = node(store, [below])
        last = leaf(store)
        root = node(store, [hidden, last])
        found = list(dag.walk([root], lambda cid: None if cid == hidden else store.get_block(cid)))
        assert [cid for cid, _ in found] == [root, hidden, last]

    @given(st.binary(max_size=200), st.sampled_from([DAG_PB, DAG_CBOR]))
    def test_garbage_for_a_node_is_refused_with_a_type(self, data: bytes, codec: int) -> None:
        try:
            dag.links(CID.of(codec, data), data)
        except IntegrityError:
            return

    def test_links_of_a_file_node_are_those_of_its_reader(self, store: MemoryStore) -> None:
        root = store.add_file([bytes(unixfs.CHUNK), b"end"])
        assert dag.links(root, store.get_block(root)) == [cid for cid, _ in unixfs.leaves_of(root, store.get_block)]
