"""What each node holds, and how nodes are mended."""

from __future__ import annotations

import pytest

from panachain.errors import StoreUnavailableError
from panachain.ipld import dagcbor
from panachain.ipld.cid import DAG_CBOR, RAW
from panachain.storage import nodes as look
from panachain.storage.replicated import ReplicatedStore
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
