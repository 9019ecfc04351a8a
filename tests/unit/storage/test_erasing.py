"""Erasing: each node is asked afterwards, and one that fails keeps the others from nothing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO
from unittest.mock import Mock

import pytest

from panachain.errors import DiskError, StoreUnavailableError
from panachain.ipld.cid import CID, RAW
from panachain.storage import erasing
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.erasing import erase
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore

BLOCKS = {CID.of(RAW, data): data for data in (os.urandom(100) for _ in range(3))}


def nothing(_node: BlobStore, _cids: Collection[CID]) -> None:
    """No list names them."""


class Liar(MemoryStore):
    """Says that it deleted."""

    def delete_blocks(self, cids: object) -> int:
        return 300


class Mute(MemoryStore):
    """Doesn't say whether it has a block."""

    def has_block(self, cid: CID) -> bool:
        raise StoreUnavailableError("nobody answers")


def test_what_is_gone_everywhere_is_left_nowhere(tmp_path: Path) -> None:
    first, second = MemoryStore(), EmbeddedStore(tmp_path)
    for node in (first, second):
        node.put_blocks(BLOCKS.items())
    store = ReplicatedStore([first, second], 2)
    found = erase(store, list(BLOCKS), nothing)
    assert [(one.left, one.failure, one.busy) for one in found] == [(set(), None, 0)] * 2
    assert not any(data in path.read_bytes() for data in BLOCKS.values() for path in tmp_path.rglob("*.pack"))
    store.close()


def test_a_node_is_not_believed_and_the_others_are_done() -> None:
    nodes: list[MemoryStore] = [Liar(), Mute(), MemoryStore()]
    for node in nodes:
        node.put_blocks(BLOCKS.items())
    liar, mute, good = erase(ReplicatedStore(nodes, 1), list(BLOCKS), nothing)
    assert (liar.left, liar.failure) == (set(BLOCKS), None)
    assert (mute.left, str(mute.failure)) == (set(BLOCKS), "nobody answers")
    assert (good.left, good.failure) == (set(), None)


def test_bytes_that_the_index_does_not_name_go_too(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    store.put_blocks(BLOCKS.items())
    kept = os.urandom(5000)
    store.put_block(CID.of(RAW, kept), kept)
    (pack,) = (tmp_path / "packs").iterdir()
    # Two writers that were killed: one behind what is named, and one in a pack of its own.
    rest, other = os.urandom(9 << 20), os.urandom(70)
    with open(pack, "ab") as file:
        file.write(rest)
    (tmp_path / "packs" / "0000000000000000.pack").write_bytes(other)
    assert store.scrub() == 0
    content = b"".join(path.read_bytes() for path in (tmp_path / "packs").iterdir())
    assert rest[:64] not in content
    assert rest[-64:] not in content
    assert other not in content
    for cid, data in [*BLOCKS.items(), (CID.of(RAW, kept), kept)]:
        assert store.get_block(cid) == data
    # And it still takes what comes.
    store.put_block(CID.of(RAW, other), other)
    assert store.get_block(CID.of(RAW, other)) == other


def writing(folder: Path) -> BinaryIO:
    """Return a file of a store as a writer in another process holds it."""
    path = folder / "packs" / "0000000000000000.pack"
    path.write_bytes(b"being written")
    file = open(path, "rb")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def test_a_node_whose_files_are_in_use_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedStore(tmp_path)
    store.put_blocks(BLOCKS.items())
    with writing(tmp_path) as file:
        waited: list[float] = []

        def ends(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                file.close()

        monkeypatch.setattr(erasing.time, "sleep", ends)
        (found,) = erase(store, list(BLOCKS), nothing)
    assert (found.left, found.busy, found.unsure, len(waited)) == (set(), 0, False, 3)


def test_and_is_busy_if_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedStore(tmp_path)
    monkeypatch.setattr(erasing, "PATIENCE", 0.0)
    with writing(tmp_path):
        (found,) = erase(store, list(BLOCKS), nothing)
    assert (found.left, found.busy) == (set(), 1)


def test_a_node_that_fails_to_look_is_not_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddedStore(tmp_path)
    monkeypatch.setattr(store, "scrub", Mock(side_effect=DiskError("the disk is read-only")))
    (found,) = erase(store, list(BLOCKS), nothing)
    assert (found.left, found.unsure, str(found.failure)) == (set(), True, "the disk is read-only")


def test_a_pack_that_somebody_writes_to_is_left_and_counted(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    path = tmp_path / "packs" / "0000000000000000.pack"
    path.write_bytes(b"being written")
    with open(path, "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        assert store.scrub() == 1
        assert path.read_bytes() == b"being written"
    assert store.scrub() == 0
    # Nothing is in it that anybody names.
    assert not path.exists()
