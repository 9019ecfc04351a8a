"""Several nodes as one store: enough of them have each block, and the next one is asked when one fails."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from panachain.errors import (
    BlockNotFoundError,
    BlockOutOfReachError,
    ConfigurationError,
    DiskError,
    IntegrityError,
    StoreUnavailableError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, RAW
from panachain.storage import replicated
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.repair import PIECE
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore

DATA = b"a block"
CID_OF_DATA = CID.of(RAW, DATA)


@pytest.fixture
def nodes() -> list[MemoryStore]:
    return [MemoryStore(f"n{number}", at=1.0) for number in range(3)]


@pytest.fixture
def store(nodes: list[MemoryStore]) -> ReplicatedStore:
    return ReplicatedStore(nodes, 2)


@pytest.mark.parametrize("factor", [0, -1, 4])
def test_factor_must_fit_the_nodes(nodes: list[MemoryStore], factor: int) -> None:
    with pytest.raises(ConfigurationError, match="1 <= replication <= nodes"):
        ReplicatedStore(nodes, factor)


def test_one_block_that_is_out_of_reach_is_told_from_a_store_that_is(
    store: ReplicatedStore, nodes: list[MemoryStore]
) -> None:
    nodes[1].down = True
    with pytest.raises(BlockOutOfReachError, match=r"n0 has no block .*n1 doesn't answer"):
        store.get_block(CID_OF_DATA)
    for node in nodes:
        node.down = True
    with pytest.raises(StoreUnavailableError) as caught:
        store.get_block(CID_OF_DATA)
    assert type(caught.value) is StoreUnavailableError


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


def test_what_the_first_node_has_at_hand_is_given_and_one_that_is_down_gives_nothing(tmp_path: Path) -> None:
    near, far = EmbeddedStore(tmp_path), MemoryStore("far")
    made = [(CID.of(RAW, data), data) for data in (b"one", b"two")]
    near.put_blocks(made[:1])
    far.put_blocks(made)
    cids = [cid for cid, _ in made]
    store = ReplicatedStore([near, far], 1)
    assert store.near(cids) == [b"one", None]
    assert ReplicatedStore([far, near], 1).near(cids) == [None, None]
    near._db.execute("DROP TABLE block")
    assert store.near(cids) == [None, None]
    assert [store.get_block(cid) for cid in cids] == [b"one", b"two"]
