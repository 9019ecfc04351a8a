"""Garbage collection: what is reached stays, what isn't goes when it is old, and in doubt nothing goes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import collect
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from tests.unit.storage.memory_store import MemoryStore

DAY = 86_400
NOW = 1_000_000_000.0


def leaf(store: BlobStore, data: bytes = b"") -> CID:
    data = data or os.urandom(20)
    cid = CID.of(RAW, data)
    store.put_block(cid, data)
    return cid


def node(store: BlobStore, value: Any) -> CID:
    data = dagcbor.encode(value)
    cid = CID.of(DAG_CBOR, data)
    store.put_block(cid, data)
    return cid


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(at=NOW - 2 * DAY)


class TestCollect:
    def test_pins_and_roots_keep_what_they_reach(self, store: MemoryStore) -> None:
        pinned = node(store, {"v": 1, "blocks": [leaf(store), store.add_file([bytes(unixfs.CHUNK), b"end"])]})
        named = node(store, [leaf(store)])
        store.pin(pinned)
        kept = set(store.held)
        garbage = [leaf(store), node(store, [named])]

        found = collect.collect(store, [named], now=NOW)

        assert set(store.held) == kept
        assert (found.kept, found.removed, found.young) == (len(kept), 2, 0)
        assert found.freed == sum(len(b"x" * 20) if cid.codec == RAW else 42 for cid in garbage)

    def test_without_pins_and_roots_all_goes(self, store: MemoryStore) -> None:
        node(store, [leaf(store)])
        assert collect.collect(store, [], now=NOW).removed == 2
        assert not store.held

    def test_young_blocks_stay(self, store: MemoryStore) -> None:
        old = leaf(store)
        store.now = NOW - DAY + 1
        young = leaf(store)
        found = collect.collect(store, [], now=NOW)
        assert (found.removed, found.young) == (1, 1)
        assert not store.has_block(old)
        assert store.has_block(young)

    def test_grace_is_half_open(self, store: MemoryStore) -> None:
        store.now = NOW - 10
        leaf(store)
        assert collect.collect(store, [], now=NOW, grace=10.5).removed == 0
        assert collect.collect(store, [], now=NOW, grace=10).removed == 1

    def test_dry_run_counts_and_keeps(self, store: MemoryStore) -> None:
        leaf(store)
        found = collect.collect(store, [], now=NOW, dry_run=True)
        assert (found.removed, found.freed, found.dry_run) == (1, 20, True)
        assert len(store.held) == 1

    @pytest.mark.parametrize("broken", ["missing", "damaged"])
    def test_nothing_goes_when_a_node_on_the_way_is_broken(self, store: MemoryStore, broken: str) -> None:
        inner = node(store, [leaf(store)])
        store.pin(node(store, [inner]))
        leaf(store)
        before = set(store.held) - {inner}
        if broken == "missing":
            store.delete_block(inner)
        else:
            store.damage(inner)
        with pytest.raises((BlockNotFoundError, IntegrityError)):
            collect.collect(store, [], now=NOW)
        assert before <= set(store.held)

    def test_a_root_that_the_store_does_not_have_is_somebody_elses(self, store: MemoryStore) -> None:
        mine = leaf(store)
        elsewhere = [CID.of(DAG_CBOR, b"\x80"), CID.of(RAW, b"nowhere")]
        assert collect.collect(store, [*elsewhere, mine], now=NOW).kept == 1

    def test_the_same_bytes_under_another_codec_stay(self, store: MemoryStore) -> None:
        # Kubo lists its blocks as raw ones.
        root = node(store, [])
        store.pin(root)
        store.put_block(CID(RAW, root.digest), store.get_block(root))
        assert collect.collect(store, [], now=NOW).removed == 0

    def test_what_is_pinned_while_marking_stays(self, store: MemoryStore) -> None:
        late = leaf(store)
        first = node(store, [])
        store.pin(first)
        real = store.get_block

        def get_block(cid: CID) -> bytes:
            store.pin(late)
            return real(cid)

        store.get_block = get_block  # type: ignore[method-assign]
        assert collect.collect(store, [], now=NOW).removed == 0

    def test_store_without_times_gives_grace_from_the_first_sight(self) -> None:
        store = MemoryStore(at=0)
        garbage = leaf(store)
        wanted = leaf(store)
        store.pin(wanted)
        seen: dict[str, float] = {}
        assert collect.collect(store, [], now=NOW, first_seen=seen).young == 1
        assert seen == {garbage.digest.hex(): NOW}
        assert collect.collect(store, [], now=NOW + DAY - 1, first_seen=seen).removed == 0
        assert collect.collect(store, [], now=NOW + DAY, first_seen=seen).removed == 1
        assert seen == {}
        assert set(store.held) == {wanted}

    def test_what_comes_into_reach_again_is_forgotten(self) -> None:
        store = MemoryStore(at=0)
        cid = leaf(store)
        seen: dict[str, float] = {}
        collect.collect(store, [], now=NOW, first_seen=seen)
        collect.collect(store, [cid], now=NOW + DAY, first_seen=seen)
        assert seen == {}
        assert collect.collect(store, [], now=NOW + 2 * DAY, first_seen=seen).removed == 0

    def test_store_without_times_and_memory_loses_nothing(self) -> None:
        store = MemoryStore(at=0)
        leaf(store)
        assert collect.collect(store, [], now=NOW, grace=0.5).removed == 0

    def test_a_clock_that_was_set_back_removes_nothing_early(self) -> None:
        store = MemoryStore(at=0)
        leaf(store)
        seen: dict[str, float] = {}
        collect.collect(store, [], now=NOW + 10 * DAY, first_seen=seen)
        assert collect.collect(store, [], now=NOW, first_seen=seen).removed == 0
        # And nothing is kept for longer than the grace from then on.
        assert collect.collect(store, [], now=NOW + DAY, first_seen=seen).removed == 1

    @settings(max_examples=60)
    @given(st.integers(0, 2**32 - 1))
    def test_random_graphs_keep_exactly_what_is_reached(self, seed: int) -> None:
        chance = random.Random(seed)
        store = MemoryStore(at=1)
        links: dict[CID, list[CID]] = {}
        for _ in range(chance.randrange(1, 60)):
            below = chance.sample(list(links), min(len(links), chance.randrange(4)))
            cid = node(store, {"n": chance.randbytes(8), "l": below}) if below else leaf(store, chance.randbytes(9))
            links[cid] = below
        wanted = chance.sample(list(links), min(len(links), 3))
        for cid in wanted[1:]:
            store.pin(cid)
        reached: set[CID] = set()
        waiting = list(wanted)
        while waiting:
            cid = waiting.pop()
            reached.add(cid)
            waiting += [below for below in links[cid] if below not in reached]
        collect.collect(store, wanted[:1], now=NOW)
        assert set(store.held) == reached

    def test_embedded_store_is_swept_and_its_bytes_are_gone(self, tmp_path: Path) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        secret = os.urandom(5000)
        leaf(store, secret)
        file = store.add_file([os.urandom(unixfs.CHUNK), b"end"])
        store.pin(file)
        found = collect.collect(store, [], now=time.time() + 10, grace=5)
        assert (found.kept, found.removed, found.freed) == (3, 1, 5000)
        assert not any(secret in path.read_bytes() for path in (tmp_path / "blocks").rglob("*") if path.is_file())
        assert b"".join(store.read_file(file)).endswith(b"end")
        store.close()
