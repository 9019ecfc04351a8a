"""The Kubo store against a twin of a node: what is sent, and that no answer is believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    IntegrityError,
    StoreUnavailableError,
    UsageError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import kubo
from panachain.storage.kubo import KuboStore
from tests.faults import kubo_twin
from tests.faults.kubo_twin import KuboTwin

NODE = b"\xa1aa\x01"
"""A block of dag-cbor."""
MISSING = CID.of(RAW, b"nobody has this")


@pytest.fixture
def twin() -> Iterator[KuboTwin]:
    with kubo_twin.running(KuboTwin()) as twin:
        yield twin


@pytest.fixture
def store(twin: KuboTwin) -> Iterator[KuboStore]:
    made = KuboStore(twin.api, timeout=60.0, pin_timeout=60.0, pause=0.01)
    yield made
    made.close()


def answering(twin: KuboTwin, name: str, *values: object) -> None:
    """Let the node answer one kind of question with these lines."""
    setattr(twin, f"on_{name}", lambda *_: kubo_twin.lines(*values))


def test_nobody_at_the_address_is_told_with_what_to_do() -> None:
    with pytest.raises(StoreUnavailableError, match="no Kubo node answers at") as caught:
        KuboStore("/ip4/127.0.0.1/tcp/1", timeout=5.0, tries=1)
    assert "embedded" in caught.value.hint
    with pytest.raises(ConfigurationError):
        KuboStore("127.0.0.1:5001")


class TestBlocks:
    @pytest.mark.parametrize(("codec", "data"), [(RAW, b"sealed"), (DAG_CBOR, NODE)])
    def test_round_trip_and_go_away(self, store: KuboStore, codec: int, data: bytes) -> None:
        cid = CID.of(codec, data)
        store.put_block(cid, data)
        assert store.get_block(cid) == data
        assert store.has_block(cid)
        assert [(one.digest, size) for one, size, _ in store.sizes()] == [(cid.digest, len(data))]
        store.delete_block(cid)
        store.delete_block(cid)
        assert not store.has_block(cid)
        with pytest.raises(BlockNotFoundError):
            store.get_block(cid)

    def test_a_cid_that_is_not_the_bytes_is_never_sent(self, store: KuboStore, twin: KuboTwin) -> None:
        twin.requests.clear()
        with pytest.raises(IntegrityError):
            store.put_block(MISSING, b"other")
        with pytest.raises(IntegrityError):
            store.put_blocks([(MISSING, b"other")])
        assert twin.requests == []

    def test_many_go_in_few_requests(self, store: KuboStore, twin: KuboTwin, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kubo, "PIECE_BLOCKS", 100)
        blocks = [(CID.of(RAW, data), data) for data in (os.urandom(50) for _ in range(250))]
        store.put_blocks(blocks)
        assert twin.requests.count("dag/import") == 3
        assert {cid.digest for cid in store.blocks()} == {cid.digest for cid, _ in blocks}
        assert store.totals() == (250, 250 * 50)

    @pytest.mark.parametrize("key", ["", "bafy", str(MISSING), None, 5])
    def test_a_node_that_names_another_block_is_found_out(self, store: KuboStore, twin: KuboTwin, key: object) -> None:
        answering(twin, "block_put", {"Key": key})
        with pytest.raises(IntegrityError, match="stored block"):
            store.put_block(CID.of(RAW, b"sealed"), b"sealed")

    @pytest.mark.parametrize(
        "stats",
        [{}, {"BlockCount": 1}, {"BlockCount": 2, "BlockBytesCount": 6}, {"BlockCount": 1, "BlockBytesCount": 5}, None],
    )
    def test_a_node_that_counts_otherwise_is_found_out(self, store: KuboStore, twin: KuboTwin, stats: object) -> None:
        answering(twin, "dag_import", {"Stats": stats})
        with pytest.raises(IntegrityError, match="1 of 6 were sent"):
            store.put_blocks([(CID.of(RAW, b"sealed"), b"sealed")])

    @pytest.mark.parametrize("size", [None, "6", 6.5, {}])
    def test_a_size_that_is_none_is_found_out(self, store: KuboStore, twin: KuboTwin, size: object) -> None:
        answering(twin, "block_stat", {"Size": size})
        with pytest.raises(IntegrityError, match="doesn't tell the size"):
            store.has_block(MISSING)

    def test_other_bytes_are_never_handed_out(self, store: KuboStore, twin: KuboTwin) -> None:
        cid = CID.of(RAW, b"sealed")
        twin.blocks[cid.digest] = b"forged"
        with pytest.raises(IntegrityError, match=rf"block {cid} of the {store.name} has 6 bytes"):
            store.get_block(cid)

    @pytest.mark.parametrize("ref", [{"Ref": None}, {"Err": "", "Ref": 5}, {"Err": "disk"}])
    def test_a_listing_that_breaks_is_told(self, store: KuboStore, twin: KuboTwin, ref: dict[str, Any]) -> None:
        answering(twin, "refs_local", ref)
        with pytest.raises((IntegrityError, StoreUnavailableError)):
            list(store.blocks())


class TestFiles:
    @pytest.fixture(autouse=True)
    def _small_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unixfs, "CHUNK", 512)

    def stored(self, store: KuboStore, leaves: int = 9) -> tuple[CID, bytes]:
        data = os.urandom(512 * leaves - 7)
        return store.add_file(data[start : start + 512] for start in range(0, len(data), 512)), data

    def test_a_file_comes_back_in_parts_of_many_leaves(
        self, store: KuboStore, twin: KuboTwin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kubo, "RANGE", 4)
        root, data = self.stored(store)
        assert b"".join(store.read_file(root)) == data
        assert twin.requests.count("cat") == 3

    def test_made_leaves_are_a_file(self, store: KuboStore) -> None:
        def make(index: int, buffer: memoryview) -> None:
            buffer[:] = bytes([index]) * len(buffer)

        root = store.add_made(1000, make)
        assert b"".join(store.read_file(root)) == bytes(512) + b"\x01" * 488

    def test_one_leaf_needs_no_part(self, store: KuboStore, twin: KuboTwin) -> None:
        root, data = self.stored(store, leaves=1)
        assert b"".join(store.read_file(root)) == data
        assert "cat" not in twin.requests

    @pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: bytes(len(data))])
    def test_a_part_that_breaks_is_read_leaf_by_leaf(
        self, store: KuboStore, twin: KuboTwin, spoil: Callable[[bytes], bytes]
    ) -> None:
        root, data = self.stored(store)
        real = twin.on_cat
        twin.on_cat = lambda *given: spoil(real(*given))  # type: ignore[method-assign]
        assert b"".join(store.read_file(root)) == data

    def test_a_missing_leaf_is_named(self, store: KuboStore, twin: KuboTwin) -> None:
        root, data = self.stored(store)
        leaf = CID.of(RAW, data[1024:1536])
        del twin.blocks[leaf.digest]
        with pytest.raises(BlockNotFoundError, match=str(leaf)):
            list(store.read_file(root))


class TestPins:
    def test_are_told_sorted_and_without_those_of_others(self, store: KuboStore, twin: KuboTwin) -> None:
        cids = [CID.of(RAW, data) for data in (b"one", b"two")]
        store.put_blocks(zip(cids, (b"one", b"two"), strict=True))
        for cid in cids:
            store.pin(cid)
        assert list(store.pins()) == sorted(cids)
        store.unpin(cids[0])
        store.unpin(cids[0])
        assert list(store.pins()) == [cids[1]]

    def test_what_is_not_there_can_not_be_pinned(self, store: KuboStore) -> None:
        with pytest.raises(BlockNotFoundError):
            store.pin(MISSING)


class TestSweep:
    def test_frees_what_is_named(self, store: KuboStore) -> None:
        cid = CID.of(RAW, b"sealed")
        store.put_block(cid, b"sealed")
        assert store.delete_blocks([cid, MISSING]) == 6
        assert list(store.blocks()) == []

    def test_a_node_with_pins_or_files_of_others_is_left_alone(self, store: KuboStore, twin: KuboTwin) -> None:
        cid = CID.of(RAW, b"sealed")
        store.put_block(cid, b"sealed")
        twin.foreign_pins.add("QmOfSomebodyElse")
        with pytest.raises(UsageError, match="nothing of it was removed"):
            store.delete_blocks([cid])
        twin.foreign_pins.clear()
        answering(twin, "files_stat", {"Hash": "QmFilesOfSomebodyElse"})
        with pytest.raises(UsageError):
            store.delete_blocks([cid])
        answering(twin, "files_stat", {})
        with pytest.raises(IntegrityError, match="doesn't tell of its files"):
            store.delete_blocks([cid])
        assert store.has_block(cid)

    @pytest.mark.parametrize("answer", [{"Hash": "x", "Error": "pinned"}, {"Hash": str(MISSING)}, {}])
    def test_a_removal_that_is_not_confirmed_is_told(
        self, store: KuboStore, twin: KuboTwin, answer: dict[str, str]
    ) -> None:
        answering(twin, "block_rm", answer)
        with pytest.raises(StoreUnavailableError, match="didn't remove all of 1 blocks"):
            store.delete_block(CID.of(RAW, b"sealed"))


def test_a_refusal_is_told_in_the_nodes_words(store: KuboStore, twin: KuboTwin) -> None:
    twin.spoil(kubo_twin.answers(500), times=1)
    with pytest.raises(StoreUnavailableError, match=r"can't give block .*something broke"):
        store.get_block(MISSING)


def test_the_node_tells_of_itself(store: KuboStore) -> None:
    assert store.facts().version == "0.43.1"
