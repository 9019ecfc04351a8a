"""What every block store offers: one interface, and blocks that somebody else shall find."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from panachain.errors import StoreUnavailableError
from panachain.ipld.cid import CID, RAW
from panachain.storage.blocks import BlobStore, keep
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.kubo import KuboStore
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore

METHODS = [name for name, value in vars(BlobStore).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("store", [EmbeddedStore, KuboStore, ReplicatedStore, MemoryStore])
@pytest.mark.parametrize("name", METHODS)
def test_each_store_has_the_whole_interface(store: Any, name: str) -> None:
    wanted = list(inspect.signature(getattr(BlobStore, name)).parameters)
    assert list(inspect.signature(getattr(store, name)).parameters)[: len(wanted)] == wanted


class TestKeep:
    def test_a_blob_is_stored_pinned_and_named_by_its_bytes(self) -> None:
        store = MemoryStore()
        cid = keep(store, b"sealed")
        assert cid == CID.of(RAW, b"sealed")
        assert store.get_block(cid) == b"sealed"
        assert list(store.pins()) == [cid]
        assert keep(store, b"sealed") == cid

    def test_nothing_is_pinned_that_is_not_stored(self) -> None:
        store = MemoryStore()
        store.down = True
        with pytest.raises(StoreUnavailableError):
            keep(store, b"sealed")
        store.down = False
        assert (list(store.blocks()), list(store.pins())) == ([], [])
