"""Reading ahead keeps the order, goes no further than it may, and stops with its reader."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from panachain import beside
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, RAW
from panachain.storage.ahead import AHEAD, WORTH, Coming, in_order, read_file, reading_beside
from panachain.storage.embedded import EmbeddedStore
from tests.unit.storage.memory_store import MemoryStore


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class TestInOrder:
    def test_what_is_ready_first_waits_for_what_comes_first(self, pool: ThreadPoolExecutor) -> None:
        second = threading.Event()

        def work(number: int) -> int:
            if number == 0:
                assert second.wait(60)
            if number == 1:
                second.set()
            return number

        assert list(in_order(pool, work, range(20))) == list(range(20))

    def test_no_more_is_taken_than_may_be_ahead(self, pool: ThreadPoolExecutor) -> None:
        taken: list[int] = []

        def items() -> Iterator[int]:
            for number in range(100):
                taken.append(number)
                yield number

        made = in_order(pool, lambda number: number, items())
        assert [next(made), len(taken)] == [0, AHEAD + 1]
        assert [next(made), len(taken)] == [1, AHEAD + 2]
        made.close()  # type: ignore[attr-defined]

    def test_an_error_comes_in_its_place(self, pool: ThreadPoolExecutor) -> None:
        def work(number: int) -> int:
            if number == 2:
                raise BlockNotFoundError("gone")
            return number

        made = in_order(pool, work, range(9))
        assert [next(made), next(made)] == [0, 1]
        with pytest.raises(BlockNotFoundError):
            next(made)

    def test_a_reader_that_stops_cancels_what_has_not_begun(self) -> None:
        begun: list[int] = []
        go = threading.Event()

        def work(number: int) -> int:
            begun.append(number)
            if number:
                assert go.wait(60)
            return number

        with ThreadPoolExecutor(1) as pool:
            made = in_order(pool, work, range(100))
            assert next(made) == 0
            made.close()  # type: ignore[attr-defined]
            go.set()
        assert len(begun) <= 2

    def test_nothing_gives_nothing(self, pool: ThreadPoolExecutor) -> None:
        assert list(in_order(pool, int, [])) == []


class TestReadFile:
    @pytest.fixture(autouse=True)
    def _small_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unixfs, "CHUNK", 64)

    @pytest.mark.parametrize("leaves", [0, 1, 2, 3, 40])
    def test_gives_what_was_stored(self, leaves: int) -> None:
        held: dict[CID, bytes] = {}
        data = os.urandom(max(leaves * 64 - 7, 0))
        root = unixfs.build((data[start : start + 64] for start in range(0, len(data), 64)), held.__setitem__)
        assert b"".join(read_file(root, held.__getitem__)) == data

    def test_a_leaf_that_is_missing_or_of_another_size_is_told(self) -> None:
        held: dict[CID, bytes] = {}
        data = os.urandom(640)
        root = unixfs.build((data[start : start + 64] for start in range(0, 640, 64)), held.__setitem__)
        leaf = next(cid for cid, content in held.items() if content == data[320:384])

        def get(cid: CID) -> bytes:
            if cid == leaf:
                raise BlockNotFoundError("gone")
            return held[cid]

        with pytest.raises(BlockNotFoundError):
            list(read_file(root, get))
        with pytest.raises(IntegrityError):
            list(read_file(root, lambda cid: held[cid][:-1] if cid == leaf else held[cid]))


class Shelf(MemoryStore):
    """A store that has its blocks at hand, but for those that it lost or damaged since."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[int] = []

    def near(self, cids: Sequence[CID]) -> list[bytes | None]:
        self.rounds.append(len(cids))
        found = [self.held.get(cid, (b"", 0.0))[0] for cid in cids]
        return [data if CID.of(RAW, data) == cid else None for cid, data in zip(cids, found, strict=True)]


class TestComing:
    def made(self, store: MemoryStore, count: int) -> list[CID]:
        made = [(CID.of(RAW, data), data) for data in (os.urandom(40) for _ in range(count))]
        store.put_blocks(made)
        return [cid for cid, _ in made]

    def test_who_asks_for_all_gets_each_once_in_few_rounds_and_who_asks_for_one_gets_one(self) -> None:
        store = Shelf()
        cids = self.made(store, 300)
        coming = Coming(store, cids)
        assert [coming.get_block(cid) for cid in cids] == [store.held[cid][0] for cid in cids]
        assert store.rounds[:7] == [2, 4, 8, 16, 32, 64, 128]
        assert (sum(store.rounds), store.asked) == (300, 0)
        # Again, out of order, and what it wasn't told of: as the store gives it.
        other = self.made(store, 1)
        assert [coming.get_block(cid) for cid in (cids[9], *other)] == [store.held[c][0] for c in (cids[9], *other)]
        assert store.asked == 2
        store.rounds.clear()
        assert Coming(store, cids).get_block(cids[100]) == store.held[cids[100]][0]
        assert store.rounds == [1]

    def test_memory_holds_one_round(self) -> None:
        store = Shelf()
        cids = self.made(store, 200)
        coming = Coming(store, cids)
        for cid in [*cids[:70], *cids[150:]]:
            coming.get_block(cid)
            assert len(coming._held) < 128

    def test_a_block_that_is_lost_or_damaged_costs_itself(self) -> None:
        store = Shelf()
        cids = self.made(store, 30)
        del store.held[cids[11]]
        store.damage(cids[12])
        coming = Coming(store, cids)
        for place, cid in enumerate(cids):
            if place in (11, 12):
                with pytest.raises(BlockNotFoundError if place == 11 else IntegrityError):
                    coming.get_block(cid)
            else:
                assert coming.get_block(cid) == store.held[cid][0]

    def test_of_a_store_that_is_far_away_nothing_is_read_before_it_is_asked_for(self) -> None:
        store = MemoryStore()
        cids = self.made(store, 30)
        coming = Coming(store, cids)
        coming.get_block(cids[0])
        coming.get_block(cids[1])
        assert store.asked == 2


class TestReadingBeside:
    def test_few_are_worth_no_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(beside, "cores", lambda: 2)
        store = EmbeddedStore(tmp_path / "blocks")
        # Each of them is read by itself, and asks beside only once it is under way.
        for counts in ([], [WORTH - 1], [WORTH - 1] * 40):
            with reading_beside(store, counts) as reading:
                assert reading is None
        with reading_beside(store, iter([1, WORTH])) as reading:
            assert reading is not None
            assert reading.is_there
        assert not reading.is_there
