"""Several nodes as one store: enough of them have each block, and one heals the other."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    DiskError,
    IntegrityError,
    StoreUnavailableError,
)
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import replicated
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.replicated import PIECE, ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore

DATA = b"a block"
CID_OF_DATA = CID.of(RAW, DATA)


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


@pytest.mark.parametrize("factor", [0, -1, 4])
def test_factor_must_fit_the_nodes(nodes: list[MemoryStore], factor: int) -> None:
    with pytest.raises(ConfigurationError, match="1 <= replication <= nodes"):
        ReplicatedStore(nodes, factor)


class TestWrites:
    def test_go_to_every_node(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        root = store.add_file([bytes(unixfs.CHUNK), b"end"])
        made = store.add_made(5, lambda _, buffer: buffer.__setitem__(slice(None), b"hello"))
        store.pin(root)
        assert all(node.held == nodes[0].held and node.pinned == {root} for node in nodes)
        assert set(nodes[0].held) >= {CID_OF_DATA, root, made}

    @pytest.mark.parametrize("operation", ["put_block", "put_blocks", "add_file", "pin"])
    def test_count_when_enough_nodes_took_them(
        self,
        store: ReplicatedStore,
        nodes: list[MemoryStore],
        caplog: pytest.LogCaptureFixture,
        operation: str,
    ) -> None:
        work = {
            "put_block": lambda: store.put_block(CID_OF_DATA, DATA),
            "put_blocks": lambda: store.put_blocks([(CID_OF_DATA, DATA)]),
            "add_file": lambda: store.add_file([DATA]),
            "pin": lambda: store.pin(CID_OF_DATA),
        }[operation]
        nodes[1].down = True
        with caplog.at_level(logging.WARNING):
            work()
        assert "node 2 (n1) couldn't" in caplog.text
        nodes[0].down = True
        with pytest.raises(StoreUnavailableError, match=r"1 of 3 nodes .* 2 are needed: node 1 \(n0\).*node 2 \(n1\)"):
            work()

    def test_a_full_disk_is_a_failure_of_its_node(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        def full(*_: object) -> None:
            raise DiskError("the disk is full")

        nodes[0].put_blocks = full  # type: ignore[method-assign]
        store.put_blocks([(CID_OF_DATA, DATA)])
        nodes[1].put_blocks = full  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            store.put_blocks([(CID_OF_DATA, DATA)])

    def test_a_node_that_failed_gets_no_more_of_the_file(
        self, store: ReplicatedStore, nodes: list[MemoryStore]
    ) -> None:
        leaves = [os.urandom(unixfs.CHUNK) for _ in range(2 * PIECE // unixfs.CHUNK)]

        def some_leaves():  # type: ignore[no-untyped-def]
            yield from leaves[:-4]
            # It comes back, but has missed a part already.
            nodes[2].down = False
            yield from leaves[-4:]

        nodes[2].down = True
        store.add_file(some_leaves())
        assert not nodes[2].held

    def test_stop_as_soon_as_too_many_nodes_failed(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        taken = 0

        def endless():  # type: ignore[no-untyped-def]
            nonlocal taken
            while True:
                taken += 1
                yield os.urandom(unixfs.CHUNK)

        nodes[0].down = nodes[1].down = True
        with pytest.raises(StoreUnavailableError):
            store.add_file(endless())
        assert taken <= PIECE // unixfs.CHUNK

    def test_block_under_another_cid_reaches_no_node(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        for work in (lambda: store.put_block(CID_OF_DATA, b"x"), lambda: store.put_blocks([(CID_OF_DATA, b"x")])):
            with pytest.raises(IntegrityError):
                work()
        assert not any(node.held for node in nodes)


class TestReads:
    def test_come_from_the_first_node_that_gives_true_bytes(
        self, store: ReplicatedStore, nodes: list[MemoryStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put_block(CID_OF_DATA, DATA)
        nodes[0].damage(CID_OF_DATA)
        nodes[1].delete_block(CID_OF_DATA)
        with caplog.at_level(logging.WARNING):
            assert store.get_block(CID_OF_DATA) == DATA
            assert store.get_block(CID_OF_DATA) == DATA
        assert caplog.text.count("node 1 (n0) gives false bytes") == 1

    def test_a_node_that_checks_nothing_is_checked(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        nodes[0].get_block = lambda _: b"false"  # type: ignore[method-assign]
        assert store.get_block(CID_OF_DATA) == DATA

    def test_errors_say_what_is_known(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        with pytest.raises(BlockNotFoundError):
            store.get_block(CID_OF_DATA)
        assert not store.has_block(CID_OF_DATA)
        nodes[2].down = True
        with pytest.raises(StoreUnavailableError, match=r"node 3 \(n2\)") as caught:
            store.get_block(CID_OF_DATA)
        assert not isinstance(caught.value, BlockNotFoundError)
        with pytest.raises(StoreUnavailableError):
            store.has_block(CID_OF_DATA)
        nodes[0].put_block(CID_OF_DATA, DATA)
        assert store.has_block(CID_OF_DATA)
        nodes[0].damage(CID_OF_DATA)
        with pytest.raises(IntegrityError):
            store.get_block(CID_OF_DATA)

    def test_a_node_that_did_not_answer_is_asked_last(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        nodes[0].down = True
        assert store.get_block(CID_OF_DATA) == DATA
        nodes[0].down = False
        store.get_block(CID_OF_DATA)
        assert nodes[0].asked == 0
        # But it is asked: it may be the only one that has the block.
        nodes[1].delete_block(CID_OF_DATA)
        nodes[2].delete_block(CID_OF_DATA)
        assert store.get_block(CID_OF_DATA) == DATA

    def test_a_node_that_rested_is_asked_first_again(self, nodes: list[MemoryStore]) -> None:
        now = 0.0
        store = ReplicatedStore(nodes, 2, clock=lambda: now)
        store.put_block(CID_OF_DATA, DATA)
        nodes[0].down = True
        store.get_block(CID_OF_DATA)
        nodes[0].down = False
        now = replicated.REST - 1
        store.get_block(CID_OF_DATA)
        assert nodes[0].asked == 0
        now = replicated.REST
        store.get_block(CID_OF_DATA)
        assert nodes[0].asked == 1

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_file_is_read_on_where_a_node_fails(
        self, store: ReplicatedStore, nodes: list[MemoryStore], place: int
    ) -> None:
        leaves = [os.urandom(unixfs.CHUNK), os.urandom(unixfs.CHUNK), b"end"]
        root = store.add_file(leaves)
        nodes[0].damage(CID.of(RAW, leaves[place]))
        assert list(store.read_file(root)) == leaves

    def test_lists_are_those_of_all_nodes(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        nodes[2].put_block(CID.of(RAW, b"only here"), b"only here")
        nodes[2].pin(CID.of(RAW, b"only here"))
        assert sorted(store.blocks()) == sorted([CID_OF_DATA, CID.of(RAW, b"only here")])
        assert sorted(store.sizes()) == sorted([(CID_OF_DATA, 7, 1.0), (CID.of(RAW, b"only here"), 9, 1.0)])
        assert list(store.pins()) == [CID.of(RAW, b"only here")]
        # An incomplete list of pins would let wanted blocks look like garbage.
        nodes[0].down = True
        with pytest.raises(StoreUnavailableError, match="node 1"):
            list(store.pins())


class TestRemoval:
    def test_reaches_every_node(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        store.pin(CID_OF_DATA)
        store.unpin(CID_OF_DATA)
        assert store.delete_blocks([CID_OF_DATA]) == 3 * len(DATA)
        store.delete_block(CID_OF_DATA)
        assert not any(node.held or node.pinned for node in nodes)

    def test_tells_of_a_node_that_it_did_not_reach(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.put_block(CID_OF_DATA, DATA)
        nodes[1].down = True
        with pytest.raises(StoreUnavailableError, match=r"not every node could remove .* node 2"):
            store.delete_block(CID_OF_DATA)
        assert not nodes[0].held
        assert not nodes[2].held

    def test_close_closes_all(self, store: ReplicatedStore, nodes: list[MemoryStore]) -> None:
        store.close()
        assert all(node.closed for node in nodes)


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
