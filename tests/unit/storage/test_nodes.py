"""What each node holds, and how nodes are mended."""

from __future__ import annotations

import pytest

from panachain.errors import StoreUnavailableError
from panachain.ipld import dagcbor
from panachain.ipld.cid import DAG_CBOR, RAW
from panachain.storage import nodes as look
from panachain.storage.kubo import KuboStore
from panachain.storage.replicated import ReplicatedStore
from tests.faults import kubo_twin
from tests.faults.kubo_twin import KuboTwin
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.published import put


class TestStatusAndRepair:
    def test_status_tells_what_each_node_holds(self) -> None:
        nodes = [MemoryStore("a"), MemoryStore("b")]
        store = ReplicatedStore(nodes, 2)
        store.pin(put(store, RAW, b"12345"))
        nodes[1].down = True
        good, bad = look.status(store)
        assert (good.state, good.blocks, good.size, good.pins) == ("ok", 1, 5, 1)
        assert (bad.state, bad.detail, bad.exit_code) == ("failed", "b doesn't answer", 7)
        assert (good.hint, bad.hint) == ("", StoreUnavailableError.usual_hint)
        assert bad.to_json()["hint"] == bad.hint

    def test_a_single_store_is_checked_too(self) -> None:
        store = MemoryStore()
        kept, lost = put(store, RAW, b"kept"), put(store, RAW, b"lost")
        store.pin(put(store, DAG_CBOR, dagcbor.encode([kept, lost])))
        assert look.repair(store).whole
        store.damage(lost)
        report = look.repair(store)
        assert report.lost == [lost]
        assert report.nodes[0].checked == 3

    @pytest.mark.parametrize("down", [1, 2])
    def test_repair_begins_at_the_pins_that_are_in_reach(self, down: int) -> None:
        nodes = [MemoryStore("a"), MemoryStore("b")]
        store = ReplicatedStore(nodes, 2)
        store.pin(put(store, RAW, b"1"))
        for node in nodes[:down]:
            node.down = True
        if down == 2:
            with pytest.raises(StoreUnavailableError, match="no node answers"):
                look.repair(store)
        else:
            report = look.repair(store)
            assert [node.checked for node in report.nodes] == [0, 1]

    def test_progress_is_told_of_nodes_and_blocks(self) -> None:
        store = ReplicatedStore([MemoryStore("a"), MemoryStore("b")], 2)
        leaves = [put(store, RAW, bytes([number])) for number in range(5)]
        store.pin(put(store, DAG_CBOR, dagcbor.encode(leaves)))
        told: list[tuple[int, int, str]] = []

        def progress(done: int, total: int, *, unit: str) -> None:
            told.append((done, total, unit))

        look.status(store, progress=progress)
        look.repair(store, progress=progress)
        assert told == [(1, 2, "nodes"), (2, 2, "nodes"), *((number, 0, "blocks") for number in range(1, 7))]

    def test_a_node_says_what_it_is(self) -> None:
        with kubo_twin.running(KuboTwin(peers=3)) as twin:
            (found,) = look.status(KuboStore(twin.api))
        assert (found.state, found.detail) == ("ok", "Kubo 0.43.1, 3 peers, 12D3KooW")
