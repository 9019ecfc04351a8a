"""Many small blocks at once: each is what its CID says, and one that isn't costs none of its neighbours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.errors import StoreUnavailableError
from panachain.ipld.cid import CID, RAW
from panachain.storage import nearby
from panachain.storage.blocks import SMALL, TOGETHER
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.nearby import read_near


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "blocks")


def stored(store: EmbeddedStore, sizes: list[int]) -> list[tuple[CID, bytes]]:
    made = [(CID.of(RAW, data), data) for data in map(os.urandom, sizes)]
    store.put_blocks(made)
    return made


def opener(store: EmbeddedStore) -> Callable[[str], int]:
    return lambda pack: os.open(store.folder / "packs" / pack, os.O_RDONLY)


def test_neighbours_are_read_at_once_and_no_more_of_them_than_a_run_has(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stored(store, [1000] * 100 + [SMALL, 0, 1, SMALL])
    reads: list[int] = []
    real = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return real(descriptor, size, offset)

    monkeypatch.setattr(nearby.os, "pread", pread)
    assert read_near(store._db, [cid for cid, _ in made], opener(store)) == [data for _, data in made]
    assert max(reads) <= SMALL
    assert sum(reads) == sum(len(data) for _, data in made)
    assert len(reads) <= 6
    # What lies between the wanted ones isn't read.
    reads.clear()
    some = made[:100:10]
    assert read_near(store._db, [cid for cid, _ in some], opener(store)) == [data for _, data in some]
    assert reads == [1000] * 10


def test_a_damaged_or_missing_neighbour_costs_itself(store: EmbeddedStore) -> None:
    made = stored(store, [100] * 50)
    (pack,) = (store.folder / "packs").iterdir()
    changed = bytearray(pack.read_bytes())
    changed[20 * 100 + 7] ^= 1
    # The last two were cut off, as on a disk that was full.
    pack.write_bytes(changed[:-150])
    cids = [cid for cid, _ in made]
    cids[3] = CID.of(RAW, b"unknown")
    expected: list[bytes | None] = [data for _, data in made]
    for place in (3, 20, 48, 49):
        expected[place] = None
    assert read_near(store._db, cids, opener(store)) == expected


def test_what_the_index_says_wrongly_gives_nothing_wrong(store: EmbeddedStore) -> None:
    made = stored(store, [100] * 10)
    cids = [cid for cid, _ in made]
    store._db.execute("UPDATE block SET offset = offset + 1 WHERE cid = ?", (bytes(cids[4]),))
    store._db.execute("UPDATE block SET pack = 'none.pack' WHERE cid = ?", (bytes(cids[5]),))
    store._db.execute("UPDATE block SET offset = -5 WHERE cid = ?", (bytes(cids[6]),))
    found = read_near(store._db, cids, opener(store))
    assert found == [None if place in (4, 5, 6) else data for place, (_, data) in enumerate(made)]


def test_a_pack_that_cannot_be_opened_costs_what_is_in_it(store: EmbeddedStore) -> None:
    first = stored(store, [100] * 5)
    store._finish_pack()
    second = stored(store, [100] * 5)
    lost = store._find(first[0][0])
    assert lost is not None

    def descriptor(pack: str) -> int:
        if pack == lost[0]:
            raise StoreUnavailableError("not now")
        return opener(store)(pack)

    found = read_near(store._db, [cid for cid, _ in first + second], descriptor)
    assert found == [None] * 5 + [data for _, data in second]


def test_any_number_up_to_the_most_is_found_and_an_index_that_is_gone_is_told(store: EmbeddedStore) -> None:
    made = stored(store, [40] * TOGETHER)
    for count in (1, 2, TOGETHER - 1, TOGETHER):
        some = made[:count]
        assert read_near(store._db, [cid for cid, _ in some], opener(store)) == [data for _, data in some]
    store._db.execute("DROP TABLE block")
    with pytest.raises(sqlite3.Error):
        read_near(store._db, [made[0][0]], opener(store))
