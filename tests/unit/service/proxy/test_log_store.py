"""What is kept of the tree: full tiles and maps once, the longest cosigned checkpoint, the newest place of each log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.service.proxy.log_store import LogStore
from tests.unit.service.proxy_world import ProxyWorld


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    world = ProxyWorld(tmp_path, count=2)
    world.grant()
    yield LogStore(world.stores[0])
    world.close()


def test_what_is_full_stays_as_it_is(store: LogStore) -> None:
    store.keep_tile(0, 0, b"first")
    store.keep_tile(0, 0, b"second")
    assert (store.tile(0, 0), store.tile(0, 1)) == (b"first", None)
    store.keep_full_map(1, 2, b"tree")
    store.keep_full_map(0, 2, b"tree")
    store.keep_full_map(1, 3, b"other")
    assert store.full_maps() == [(0, 2, b"tree"), (1, 2, b"tree")]


def test_the_longest_cosigned_checkpoint_is_kept(store: LogStore) -> None:
    assert store.cosigned() is None
    for size, note in ((3, "three"), (5, "five"), (4, "four")):
        store.keep_cosigned(size, note)
    assert store.cosigned() == "five"
    store.keep_cosigned(5, "five, by more")
    assert store.cosigned() == "five, by more"


def test_a_log_is_noted_where_it_goes_on(store: LogStore) -> None:
    assert store.witness("a", 3, b"root", lambda size, root: (size, root) == (0, b"")) == (3, b"root")
    assert store.witness("a", 4, b"other", lambda *_: False) == (3, b"root")
    assert store.witness("b", 1, b"root", lambda *_: True) == (1, b"root")
    assert store.witness("a", 4, b"more", lambda size, root: (size, root) == (3, b"root")) == (4, b"more")


def test_entries_are_receipts_with_their_policies(store: LogStore) -> None:
    ((policy, entry), *_) = store.entries(1, 10)
    assert policy.encode() in entry
    assert store.size() == 1
    assert len(store.audit_keys([policy])[policy]) == 1216
