"""What every block store offers: one interface, and blocks that somebody else shall find."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import IntegrityError, StoreUnavailableError
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


class TestNaming:
    """A block that doesn't fit is said with the name of the store that gave it, by every store."""

    def test_one_in_memory_and_each_of_several(self) -> None:
        first, second = MemoryStore("first twin"), MemoryStore("second twin")
        cid = keep(ReplicatedStore([first, second], 2), b"sealed")
        for store in (first, second):
            store.damage(cid)
            with pytest.raises(IntegrityError, match=rf"block {cid} of the {store.name} has 6 bytes that don't fit"):
                store.get_block(cid)
        with pytest.raises(IntegrityError) as caught:
            ReplicatedStore([first, second], 2).get_block(cid)
        assert first.name in str(caught.value)
        assert second.name in str(caught.value)

    def test_a_store_that_checks_nothing_is_checked(self) -> None:
        first, second = MemoryStore("first twin"), MemoryStore("second twin")
        cid = keep(ReplicatedStore([first, second], 2), b"sealed")
        for store in (first, second):
            store.get_block = lambda _: b"other bytes"  # type: ignore[method-assign]
        with pytest.raises(IntegrityError, match="of the second twin has 11 bytes"):
            ReplicatedStore([first, second], 2).get_block(cid)

    @pytest.mark.parametrize("size", [10, 300_000])
    def test_the_embedded_one(self, tmp_path: Path, size: int) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        cid = keep(store, b"a" * size)
        (pack,) = (store.folder / "packs").iterdir()
        pack.write_bytes(pack.read_bytes().replace(b"aaaaaaaaaa", b"aaaaabaaaa"))
        with pytest.raises(IntegrityError, match=rf"block {cid} of the {store.name} has {size} bytes"):
            store.get_block(cid)

    def test_what_is_written_is_its_callers(self) -> None:
        store = MemoryStore()
        with pytest.raises(IntegrityError, match="of the caller has 5 bytes"):
            store.put_block(CID.of(RAW, b"sealed"), b"other")


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
