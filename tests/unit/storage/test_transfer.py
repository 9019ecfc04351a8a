"""CAR files: what goes out comes in elsewhere, to the byte, and nothing is pinned that isn't whole."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from panachain.errors import IntegrityError
from panachain.ipld import car, unixfs
from panachain.ipld.cid import CID
from panachain.storage import transfer
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.published import Published


class TestCars:
    def exported(self, store: BlobStore, roots: list[CID]) -> tuple[bytes, transfer.CarReport]:
        file = io.BytesIO()
        report = transfer.export_car(store, roots, file, name="x.car")
        return file.getvalue(), report

    def test_everything_that_was_published_goes_over(self, tmp_path: Path) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        data, report = self.exported(published.store, published.lists)
        assert (report.blocks, report.missing) == (len(published.store.held), ())  # type: ignore[attr-defined]
        other = EmbeddedStore(tmp_path / "blocks")
        seen: list[int] = []
        checked: list[int] = []

        def progress(done: int, total: int, unit: str) -> None:
            if unit == "blocks":
                assert total == 0
                checked.append(done)
                return
            assert (total, unit) == (len(data), "bytes")
            seen.append(done)

        back = transfer.import_car(other, io.BytesIO(data), name="x.car", total=len(data), progress=progress)

        assert (back.blocks, back.size, back.pinned, back.missing) == (report.blocks, report.size, 2, ())
        assert seen[-1] == report.size
        # Two batches share no block but the manifests' chain, which each root reaches.
        assert checked == list(range(1, len(checked) + 1))
        assert len(checked) >= report.blocks
        assert sorted(other.pins()) == sorted(published.lists)
        assert self.exported(other, published.lists)[0] == data

    def test_same_roots_give_the_same_bytes_and_another_order_the_same_blocks(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        first, again = (self.exported(published.store, published.lists)[0] for _ in range(2))
        assert first == again
        turned = self.exported(published.store, published.lists[::-1])[0]
        blocks = [sorted(car.read_car(io.BytesIO(data))[1]) for data in (first, turned)]
        assert blocks[0] == blocks[1]

    def test_missing_blocks_are_named_and_their_roots_not_pinned(self, tmp_path: Path) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        lost = published.headers[-1]
        published.store.delete_block(lost)
        data, report = self.exported(published.store, published.lists)
        assert report.missing == (lost,)
        other = MemoryStore()
        back = transfer.import_car(other, io.BytesIO(data), name="x.car")
        assert (back.missing, back.pinned) == ((lost,), 1)
        assert other.pinned == {published.lists[0]}

    def test_damaged_block_ends_the_export(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.store.damage(published.headers[0])  # type: ignore[attr-defined]
        with pytest.raises(IntegrityError):
            self.exported(published.store, published.lists)

    @pytest.mark.parametrize("times", [1, 2])
    def test_what_the_store_has_damaged_is_written_anew(self, tmp_path: Path, times: int) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        data, _ = self.exported(published.store, published.lists)
        other = MemoryStore()
        transfer.import_car(other, io.BytesIO(data), name="x.car")
        # A list, a part of it, manifests and what they name: one damage hides the other.
        for cid in list(other.held)[::times]:
            other.damage(cid)
        other.pinned.clear()
        back = transfer.import_car(other, io.BytesIO(data), name="x.car")
        assert (back.missing, back.pinned) == ((), 2)
        assert self.exported(other, published.lists)[0] == data

    def test_cut_off_car_pins_nothing(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        data, _ = self.exported(published.store, published.lists)
        other = MemoryStore()
        with pytest.raises(IntegrityError):
            transfer.import_car(other, io.BytesIO(data[:-10]), name="x.car")
        assert not other.pinned


def test_leaves_of_a_large_file_go_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixfs, "CHUNK", 16)
    monkeypatch.setattr(unixfs, "MAX_LINKS", 4)
    store = MemoryStore()
    leaves = [os.urandom(16) for _ in range(40)]
    root = store.add_file(leaves)
    file = io.BytesIO()
    transfer.export_car(store, [root], file, name="x.car")
    other = EmbeddedStore(tmp_path / "blocks")
    transfer.import_car(other, io.BytesIO(file.getvalue()), name="x.car")
    assert list(other.read_file(root)) == leaves
