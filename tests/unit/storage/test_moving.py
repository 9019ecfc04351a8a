"""A whole store carried into another one: all of it, checked, and again from where it was."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from panachain.errors import StoreUnavailableError
from panachain.ipld.cid import CID, RAW
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.moving import move
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.published import Published, put


def full() -> MemoryStore:
    """Return a store with two batches, and blocks that others keep there, such as terms and pairings."""
    store = MemoryStore()
    published = Published(store)
    published.batch(5)
    published.batch(5)
    for _ in range(7):
        store.pin(put(store, RAW, os.urandom(60)))
    return store


def reached(store: MemoryStore) -> set[CID]:
    copy = MemoryStore()
    move(store, copy)
    return set(copy.held)


def test_all_that_is_pinned_goes_over_with_its_pins(tmp_path: Path) -> None:
    source = full()
    garbage = put(source, RAW, b"nobody wants it")
    target = EmbeddedStore(tmp_path / "blocks")
    told: list[int] = []
    report = move(source, target, progress=lambda done, total, *, unit: told.append(done))
    assert set(target.blocks()) == set(source.held) - {garbage}
    assert set(target.pins()) == source.pinned
    assert (report.blocks, report.copied) == (len(source.held) - 1,) * 2
    assert (report.missing, report.pinned, report.unpinned) == ((), len(source.pinned), 0)
    assert report.size == sum(len(data) for cid, (data, _) in source.held.items() if cid != garbage)
    assert told[-1] == report.blocks
    target.close()


def test_what_only_the_chains_name_goes_over_without_a_pin() -> None:
    source, target = full(), MemoryStore()
    terms = put(source, RAW, b"terms that were never pinned")
    move(source, target, [terms])
    assert terms in target.held
    assert terms not in target.pinned


@pytest.mark.parametrize("after", [0, 1, 5, 11, 17])
def test_one_that_broke_off_anywhere_goes_on_and_sends_nothing_twice(after: int) -> None:
    source = full()
    wanted = reached(source)

    class Breaking(MemoryStore):
        left = after

        def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
            for cid, data in blocks:
                if not self.left:
                    raise StoreUnavailableError("it broke")
                self.left -= 1
                super().put_blocks([(cid, data)])

    target = Breaking()
    with pytest.raises(StoreUnavailableError):
        move(source, target)
    assert target.pinned == set()
    target.left = -1
    report = move(source, target)
    assert report.copied == len(wanted) - after
    assert set(target.held) == wanted
    assert target.pinned == source.pinned
    assert move(source, target).copied == 0


def test_what_the_target_has_damaged_is_written_anew() -> None:
    source, target = full(), MemoryStore()
    move(source, target)
    for cid in list(target.held)[::3]:
        target.damage(cid)
    assert move(source, target).missing == ()
    assert {cid: data for cid, (data, _) in target.held.items()} == {
        cid: data for cid, (data, _) in source.held.items()
    }


def test_what_nobody_has_is_named_and_its_root_not_pinned() -> None:
    source, target = full(), MemoryStore()
    published = Published(source)
    published.batch(3)
    lost, damaged = published.headers[0], published.headers[1]
    del source.held[lost]
    source.damage(damaged)
    report = move(source, target)
    assert set(report.missing) == {lost, damaged}
    assert report.unpinned > 0
    assert report.pinned + report.unpinned == len(source.pinned)
    assert target.pinned < source.pinned


def test_a_store_that_takes_blocks_and_keeps_none_is_told() -> None:
    class Hole(MemoryStore):
        def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
            for _ in blocks:
                pass

    with pytest.raises(StoreUnavailableError):
        move(full(), Hole())
