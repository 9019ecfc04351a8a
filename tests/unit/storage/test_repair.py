"""Repair of several nodes: one heals the other, and what none has is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panachain.errors import DiskError, StoreUnavailableError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore


@pytest.fixture
def nodes() -> list[MemoryStore]:
    return [MemoryStore(f"n{number}", at=1.0) for number in range(3)]


@pytest.fixture
def store(nodes: list[MemoryStore]) -> ReplicatedStore:
    return ReplicatedStore(nodes, 2)


def a_batch(store: ReplicatedStore) -> CID:
    """Store a file, some small blocks and the list that names them; return the pinned list."""
    file = store.add_file([os.urandom(unixfs.CHUNK), os.urandom(100)])
    small = [os.urandom(50) for _ in range(5)]
    blocks = [(CID.of(RAW, data), data) for data in small]
    data = dagcbor.encode({"v": 1, "blocks": sorted([file, *(cid for cid, _ in blocks)])})
    root = CID.of(DAG_CBOR, data)
    store.put_blocks([*blocks, (root, data)])
    store.pin(root)
    return root


class TestRepair:
    def test_whole_nodes_stay_as_they_are(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        root = a_batch(store)
        report = store.repair([root, root])
        assert report.whole
        assert [(node.checked, node.healed, node.lost) for node in report.nodes] == [(len(nodes[0].held), 0, 0)] * 3
        assert report.to_json()["schema"] == "panachain/repair/1"

    def test_every_block_can_be_healed(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        root = a_batch(store)
        for cid in list(nodes[0].held):
            nodes[1].delete_block(cid)
            nodes[2].damage(cid)
            report = store.repair([root])
            assert report.whole
            assert [node.healed for node in report.nodes] == [0, 1, 1]
            assert nodes[0].held == nodes[1].held == nodes[2].held

    def test_an_empty_node_gets_all_of_it_and_the_pins(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        root = a_batch(store)
        nodes[1].held.clear()
        nodes[1].pinned.clear()
        assert store.repair([root]).whole
        assert nodes[1].held == nodes[0].held
        assert nodes[1].pinned == {root}

    def test_a_lost_leaf_is_named_and_the_rest_is_healed(
        self, store: ReplicatedStore, nodes: list[MemoryStore]
    ) -> None:
        root = a_batch(store)
        lost = next(cid for cid in nodes[0].held if cid.codec == RAW)
        for node in nodes:
            node.delete_block(lost)
        nodes[1].held.clear()
        nodes[1].pinned.clear()
        report = store.repair([root])
        assert report.lost == [lost]
        assert not report.whole
        assert nodes[1].held == nodes[0].held
        assert [node.lost for node in report.nodes] == [1, 1, 1]
        # Its pin would promise what it doesn't have.
        assert not nodes[1].pinned

    def test_a_lost_list_is_named(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        root = a_batch(store)
        for node in nodes:
            node.damage(root)
        report = store.repair([root])
        assert report.lost == [root]
        assert [node.lost for node in report.nodes] == [1, 1, 1]

    def test_a_node_that_is_down_is_left_out(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        root = a_batch(store)
        nodes[0].down = True
        nodes[1].held.clear()
        report = store.repair([root])
        assert not report.whole
        assert report.nodes[0].failure
        assert report.nodes[1].healed == len(nodes[2].held)

    def test_a_node_that_goes_down_meanwhile_is_given_up(
        self, store: ReplicatedStore, nodes: list[MemoryStore]
    ) -> None:
        root = a_batch(store)
        nodes[1].held.clear()

        def fails(*_: object) -> None:
            raise DiskError("the disk is full")

        nodes[1].put_blocks = fails  # type: ignore[method-assign]
        report = store.repair([root])
        assert report.nodes[1].failure == "the disk is full"
        assert report.nodes[1].lost == len(nodes[0].held)
        assert not report.nodes[0].failure

    def test_a_node_that_refuses_to_remove_under_a_pin_is_unpinned_first(
        self, store: ReplicatedStore, nodes: list[MemoryStore]
    ) -> None:
        root = a_batch(store)
        node = nodes[0]
        node.damage(root)
        real = node.delete_block

        def delete_block(cid: CID) -> None:
            if root in node.pinned:
                raise StoreUnavailableError("pin check failed")
            real(cid)

        node.delete_block = delete_block  # type: ignore[method-assign]
        assert store.repair([root]).whole
        assert node.pinned == {root}
        assert node.held == nodes[1].held

    def test_embedded_stores_heal_each_other(self, tmp_path: Path) -> None:
        folders = [tmp_path / "a", tmp_path / "b"]
        store = ReplicatedStore([EmbeddedStore(folder) for folder in folders], 2)
        root = a_batch(store)
        for pack in (folders[1] / "packs").iterdir():
            content = bytearray(pack.read_bytes())
            for position in range(0, len(content), 40):
                content[position] ^= 1
            pack.write_bytes(content)
        report = store.repair([root])
        assert report.whole
        assert report.nodes[0].healed == 0
        assert report.nodes[1].healed == report.nodes[1].checked == len(list(store.nodes[1].blocks()))
        store.close()
        alone = EmbeddedStore(folders[1])
        for cid in alone.blocks():
            alone.get_block(cid)
        alone.close()
