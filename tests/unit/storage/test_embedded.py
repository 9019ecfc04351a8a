"""The embedded store: files made on all cores, deletion, and what a disk that refuses leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.errors import BlockNotFoundError, DiskError, IntegrityError, StoreUnavailableError, UsageError
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import embedded, packs
from panachain.storage.blocks import SMALL, TOGETHER
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.packs import Pack


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "blocks")


def blocks(count: int, size: int = 1000) -> list[tuple[CID, bytes]]:
    made = (os.urandom(size) for _ in range(count))
    return [(CID.of(RAW, data), data) for data in made]


def add(store: EmbeddedStore, data: bytes) -> CID:
    def make(index: int, leaf: memoryview) -> None:
        start = index * unixfs.CHUNK
        leaf[:] = data[start : start + len(leaf)]

    return store.add_made(len(data), make)


@pytest.mark.parametrize("size", [0, 1, unixfs.CHUNK, unixfs.CHUNK + 1, 9 * unixfs.CHUNK + 5])
def test_a_made_file_has_the_cid_of_its_bytes(store: EmbeddedStore, size: int) -> None:
    data = os.urandom(size)
    root = add(store, data)
    leaves = [data[i : i + unixfs.CHUNK] for i in range(0, size, unixfs.CHUNK)] or [b""]
    assert root == unixfs.build(leaves, lambda *_: None)
    assert b"".join(store.read_file(root)) == data


def test_a_made_file_that_fails_leaves_nothing_named(store: EmbeddedStore) -> None:
    def make(index: int, leaf: memoryview) -> None:
        if index == 5:
            raise IntegrityError("no leaf")

    with pytest.raises(IntegrityError, match="no leaf"):
        store.add_made(10 * unixfs.CHUNK, make)
    assert list(store.blocks()) == []
    assert b"".join(store.read_file(add(store, b"later"))) == b"later"


class TestLargeFiles:
    """Files that have a pack to themselves."""

    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "ALONE", 2 * unixfs.CHUNK)

    def packs(self, store: EmbeddedStore) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in (store.folder / "packs").iterdir()}

    @pytest.mark.parametrize("direct", [True, False])
    @pytest.mark.parametrize("leaves", [6, 7])
    @pytest.mark.parametrize("rest", [0, 5, 4096])
    def test_have_the_same_cid_and_are_read_alike(
        self, store: EmbeddedStore, direct: bool, leaves: int, rest: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not direct:
            monkeypatch.setattr(packs, "_DIRECT", 0)
        data = os.urandom(leaves * unixfs.CHUNK + rest)
        root = add(store, data)
        pieces = [data[i : i + unixfs.CHUNK] for i in range(0, len(data), unixfs.CHUNK)]
        assert root == unixfs.build(pieces, lambda *_: None)
        assert b"".join(EmbeddedStore(store.folder).read_file(root)) == data

    def test_are_written_two_leaves_at_once(self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[tuple[int, int]] = []
        write = packs.LargeFile.write

        def note(file: packs.LargeFile, data: memoryview, offset: int) -> None:
            written.append((offset // unixfs.CHUNK, len(data)))
            write(file, data, offset)

        monkeypatch.setattr(packs.LargeFile, "write", note)
        add(store, bytes(4 * unixfs.CHUNK + 7))
        assert sorted(written) == [(0, 2 * unixfs.CHUNK), (2, 2 * unixfs.CHUNK), (4, 7)]

    def test_lie_alone_with_the_nodes_above_them(self, store: EmbeddedStore) -> None:
        small = blocks(3)
        store.put_blocks(small)
        (shared,) = self.packs(store)
        data = os.urandom(3 * unixfs.CHUNK)
        root = add(store, data)
        store.put_blocks(blocks(2))
        own = self.packs(store)
        assert own.pop(shared) == 5000
        assert list(own.values()) == [len(data) + len(store.get_block(root))]

    def test_take_their_room_with_them_when_they_are_deleted(self, store: EmbeddedStore) -> None:
        small = blocks(3)
        store.put_blocks(small)
        before = self.packs(store)
        root = add(store, os.urandom(3 * unixfs.CHUNK))
        kept = add(store, os.urandom(2 * unixfs.CHUNK))
        leaves = [cid for cid, _ in unixfs.leaves_of(root, store.get_block)]
        store.delete_blocks([root, *leaves])
        assert len(self.packs(store)) == 2
        store.delete_blocks([kept, *(cid for cid, _ in unixfs.leaves_of(kept, store.get_block))])
        assert self.packs(store) == before
        assert all(store.get_block(cid) == data for cid, data in small)

    @pytest.mark.parametrize("failing", ["make", "room"])
    def test_that_fail_leave_no_pack(self, store: EmbeddedStore, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def make(index: int, leaf: memoryview) -> None:
            if index == 3:
                raise IntegrityError("no leaf")

        if failing == "make":
            with pytest.raises(IntegrityError, match="no leaf"):
                store.add_made(5 * unixfs.CHUNK, make)
        else:
            with monkeypatch.context() as patch:
                patch.setattr(packs, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
                patch.setattr(packs.os, "posix_fallocate", Mock(side_effect=OSError(errno.ENOSPC, "no room")))
                with pytest.raises(DiskError, match="no room"):
                    add(store, bytes(5 * unixfs.CHUNK))
        assert self.packs(store) == {}
        assert list(store.blocks()) == []
        assert b"".join(store.read_file(add(store, bytes(3 * unixfs.CHUNK)))) == bytes(3 * unixfs.CHUNK)

    @pytest.mark.parametrize(
        ("failure", "told"), [(MemoryError("full"), MemoryError), (OSError(12, "full"), DiskError)]
    )
    def test_for_which_no_thread_has_memory_say_so_and_leave_no_pack(
        self, store: EmbeddedStore, failure: Exception, told: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "pages", Mock(side_effect=failure))
            with pytest.raises(told, match="full"):
                add(store, bytes(5 * unixfs.CHUNK))
        assert self.packs(store) == {}
        assert list(store.blocks()) == []

    @pytest.mark.parametrize("leaves", [1.5, 3])
    def test_of_which_a_block_was_erased_leave_no_byte(self, store: EmbeddedStore, leaves: float) -> None:
        store.put_blocks(small := blocks(3))
        (shared,) = self.packs(store)
        data = os.urandom(int(leaves * unixfs.CHUNK))
        (guard,) = store.guards
        guard.note([CID(RAW, sha256(data[: unixfs.CHUNK]).digest())])
        with pytest.raises(UsageError, match="were erased"):
            add(store, data)
        assert list(self.packs(store)) == [shared]
        assert not (store.folder / "packs" / shared).read_bytes()[5000:].strip(b"\0")
        assert all(store.get_block(cid) == block for cid, block in small)

    def test_end_at_once_when_somebody_interrupts(self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[int] = []
        begun, interrupted = threading.Event(), threading.Event()
        join = threading.Thread.join

        def make(index: int, leaf: memoryview) -> None:
            made.append(index)
            begun.set()
            assert interrupted.wait(60)

        def interrupt(thread: threading.Thread, timeout: float | None = None) -> None:
            if not interrupted.is_set():
                assert begun.wait(60)
                # As a signal's handler raises it while the main thread waits.
                interrupted.set()
                raise KeyboardInterrupt
            join(thread, timeout)

        monkeypatch.setattr(threading.Thread, "join", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.add_made(1000 * unixfs.CHUNK, make)
        assert len(made) < 1000
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("leaves-")]
        assert self.packs(store) == {}

    @pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync", "open", "posix_fallocate"])
    def test_each_call_that_fails_names_nothing(
        self, store: EmbeddedStore, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = getattr(os, call)
        done = False
        for failing in range(1, 9):
            calls = 0

            def fail(*args: object, failing: int = failing) -> object:
                nonlocal calls
                calls += 1
                if calls == failing:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real(*args)

            data = os.urandom(3 * unixfs.CHUNK + 5)
            with monkeypatch.context() as patch:
                patch.setattr(embedded.os, call, fail)
                try:
                    root = add(store, data)
                except DiskError:
                    assert list(store.blocks()) == []
                    continue
            assert calls < failing
            assert b"".join(EmbeddedStore(store.folder).read_file(root)) == data
            done = True
            break
        assert done

    def test_whose_writer_is_killed_are_in_no_index(self, store: EmbeddedStore) -> None:
        program = (
            "import os, pathlib, sys, time\n"
            "from panachain.storage.embedded import ALONE, EmbeddedStore\n"
            "store = EmbeddedStore(pathlib.Path(sys.argv[1]))\n"
            "def make(index, leaf):\n"
            "    if index == 8:\n"
            "        print('begun', flush=True); time.sleep(60)\n"
            "    leaf[:] = b'secret..' * (len(leaf) // 8)\n"
            "store.add_made(ALONE, make)\n"
        )
        command = [sys.executable, "-c", program, str(store.folder)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begun\n"
            assert store.scrub() == 1
            writer.kill()
        assert list(store.blocks()) == []
        assert len(self.packs(store)) == 1
        assert store.scrub() == 0
        # Its room is free again.
        assert self.packs(store) == {}
        data = os.urandom(3 * unixfs.CHUNK)
        assert b"".join(store.read_file(add(store, data))) == data


def test_a_new_pack_is_begun_when_one_is_full(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACK_SIZE", 5000)
    made = blocks(20)
    for cid, data in made:
        store.put_block(cid, data)
    assert len(list((store.folder / "packs").iterdir())) == 4
    assert all(store.get_block(cid) == data for cid, data in made)


def test_threads_may_write_and_read_at_once(store: EmbeddedStore) -> None:
    made = [blocks(50, 20_000) for _ in range(4)]
    failures: list[BaseException] = []

    def work(own: list[tuple[CID, bytes]]) -> None:
        try:
            root = add(store, b"".join(data for _, data in own))
            store.put_blocks(own)
            assert all(store.get_block(cid) == data for cid, data in own)
            assert len(b"".join(store.read_file(root))) == 1_000_000
        except BaseException as exc:  # noqa: BLE001
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(own,)) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_pins_are_kept(store: EmbeddedStore) -> None:
    (first, _), (second, _) = blocks(2)
    store.pin(first)
    store.pin(first)
    store.pin(second)
    store.unpin(second)
    store.unpin(second)
    store.close()
    assert list(EmbeddedStore(store.folder).pins()) == [first]


def test_sizes_tell_bytes_and_time(store: EmbeddedStore) -> None:
    made = dict(blocks(3))
    store.put_blocks(made.items())
    found = list(store.sizes())
    assert {cid: size for cid, size, _ in found} == dict.fromkeys(made, 1000)
    assert all(at > 1_700_000_000 for _, _, at in found)


def test_of_many_blocks_at_once_those_that_are_there_are_not_written_again(store: EmbeddedStore) -> None:
    made = blocks(3 * TOGETHER)
    made[40:40] = blocks(1, SMALL + 1)
    made[200:200] = blocks(1, SMALL + 1)
    store.put_blocks(made[::2])
    # The others, some twice, and what is there already, in between and at the ends.
    store.put_blocks([*made, *made[1:9], made[0]])
    assert all(store.get_block(cid) == data for cid, data in made)
    assert sum(path.stat().st_size for path in (store.folder / "packs").iterdir()) == sum(len(data) for _, data in made)


@pytest.mark.parametrize("place", [0, 100, TOGETHER, 2 * TOGETHER - 1])
def test_among_many_blocks_one_of_another_cid_names_none(store: EmbeddedStore, place: int) -> None:
    made = blocks(2 * TOGETHER)
    made[place] = made[place][0], b"something else"
    with pytest.raises(IntegrityError, match="don't fit its CID"):
        store.put_blocks(made)
    assert not list(store.blocks())


def test_a_block_that_is_stored_again_counts_as_new(tmp_path: Path) -> None:
    times = iter([5.0, 7.0])
    store = EmbeddedStore(tmp_path / "blocks", clock=times.__next__)
    ((cid, data),) = blocks(1)
    store.put_block(cid, data)
    assert [at for _, _, at in store.sizes()] == [5]
    store.put_block(cid, data)
    assert [at for _, _, at in store.sizes()] == [7]


class TestDeleteBlocks:
    def test_frees_the_bytes_and_keeps_the_rest(self, store: EmbeddedStore) -> None:
        made = blocks(100)
        store.put_blocks(made)
        store.close()
        again = EmbeddedStore(store.folder)
        gone, kept = made[:80], made[80:]

        assert again.delete_blocks(cid for cid, _ in gone) == 80_000

        packs = list((store.folder / "packs").iterdir())
        assert sum(pack.stat().st_size for pack in packs) == 20_000
        assert all(again.get_block(cid) == data for cid, data in kept)
        stored = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
        assert not any(data in stored for _, data in gone)
        for cid, _ in gone:
            with pytest.raises(BlockNotFoundError):
                again.get_block(cid)

    def test_removes_a_pack_of_which_nothing_is_left(self, store: EmbeddedStore) -> None:
        made = blocks(3)
        store.put_blocks(made)
        store.close()
        again = EmbeddedStore(store.folder)
        again.delete_blocks(cid for cid, _ in made)
        assert list((store.folder / "packs").iterdir()) == []

    def test_leaves_a_pack_alone_that_somebody_writes_to(self, store: EmbeddedStore) -> None:
        made = blocks(10)
        store.put_blocks(made)
        reader, more = EmbeddedStore(store.folder), blocks(5)
        (pack,) = (store.folder / "packs").iterdir()

        def give() -> Iterator[tuple[CID, bytes]]:
            # Enough that the writer holds its pack from here on.
            yield from blocks(9, 1 << 20)
            assert reader.delete_blocks(cid for cid, _ in made[:9]) == 9000
            assert pack.exists()
            yield from more

        store.put_blocks(give())
        assert all(reader.get_block(cid) == data for cid, data in [made[9], *more])

    def test_who_only_could_write_to_a_pack_keeps_nobody_from_it(self, store: EmbeddedStore) -> None:
        made, more = blocks(10), blocks(5)
        store.put_blocks(made)
        (pack,) = (store.folder / "packs").iterdir()
        other = EmbeddedStore(store.folder)
        assert other.scrub() == 0
        other.delete_blocks(cid for cid, _ in made[:9])
        assert not pack.exists()
        # It doesn't write to a file that has no name any more.
        store.put_blocks(more)
        assert all(EmbeddedStore(store.folder).get_block(cid) == data for cid, data in [made[9], *more])

    def test_many_blocks_of_a_pack_are_one_transaction(self, store: EmbeddedStore) -> None:
        made = blocks(500)
        store.put_blocks(made)
        done: list[str] = []
        store._db.set_trace_callback(done.append)

        store.delete_blocks(cid for cid, _ in made)

        assert done.count("COMMIT") == 1

    def test_what_a_failing_disk_interrupts_the_same_deletion_finishes(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = blocks(9)
        store.put_blocks(made)
        gone = [cid for cid, _ in made[:4]]
        with monkeypatch.context() as broken:
            broken.setattr(embedded, "sync_path", Mock(side_effect=OSError(5, "Input/output error")))
            with pytest.raises(DiskError, match="a deletion"):
                store.delete_blocks(gone)
        assert all(store.has_block(cid) for cid in gone)

        assert store.delete_blocks(gone) == 4000

        assert not any(store.has_block(cid) for cid in gone)
        stored = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
        assert not any(data in stored for _, data in made[:4])
        assert all(store.get_block(cid) == data for cid, data in made[4:])

    def test_a_missing_block_is_no_error(self, store: EmbeddedStore) -> None:
        assert store.delete_blocks([CID.of(RAW, b"missing")]) == 0


def on_disk(store: EmbeddedStore, data: bytes) -> bool:
    """Tell whether any file of the store's folder holds some bytes."""
    return any(data in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())


def beside(patch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], object], *, after: bool = False) -> None:
    """Do something once, before or after a step of whoever comes there first: as another process may."""
    real, acted = getattr(owner, name), False

    def step(*args: Any, **more: Any) -> Any:
        nonlocal acted
        first, acted = not acted, True
        if first and not after:
            act()
        done = real(*args, **more)
        if first and after:
            act()
        return done

    patch.setattr(owner, name, step)


class TestTwoProcesses:
    """Both stores have locks and connections of their own, as those of two processes do."""

    def test_what_is_deleted_while_its_pack_is_written_anew_is_in_neither(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = blocks(10)
        store.put_blocks(made)
        other = EmbeddedStore(store.folder)
        # Copied already, and not named yet where the copy lies.
        beside(monkeypatch, Pack, "sync", lambda: other.delete_blocks([made[9][0]]), after=True)

        store.delete_blocks(cid for cid, _ in made[:8])

        assert not any(on_disk(store, data) for cid, data in made if cid != made[8][0])
        assert list(other.blocks()) == [made[8][0]]
        assert other.get_block(made[8][0]) == made[8][1]

    def test_what_was_moved_before_it_is_deleted_is_deleted_where_it_is(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = blocks(10)
        store.put_blocks(made)
        other = EmbeddedStore(store.folder)
        # The place was looked up; then another process writes the pack anew.
        beside(monkeypatch, store, "_overwrite", lambda: other.delete_blocks(cid for cid, _ in made[:8]))

        assert store.delete_blocks([made[9][0]]) == 1000

        assert not on_disk(store, made[9][1])
        assert list(other.blocks()) == [made[8][0]]

    @pytest.mark.parametrize("size", [1000, 100_000])
    def test_what_is_moved_while_it_is_read_is_read(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        made = blocks(10, size)
        store.put_blocks(made)
        reader = EmbeddedStore(store.folder)
        beside(monkeypatch, reader, "_read", lambda: store.delete_blocks(cid for cid, _ in made[:9]))
        assert reader.get_block(made[9][0]) == made[9][1]
        with monkeypatch.context() as patch:
            beside(patch, reader, "_read", lambda: store.delete_blocks([made[9][0]]))
            with pytest.raises(BlockNotFoundError, match="has no block"):
                reader.get_block(made[9][0])

    @pytest.mark.parametrize("count", [3, 2 * TOGETHER + 20])
    def test_what_was_there_and_is_deleted_meanwhile_is_stored_again(self, store: EmbeddedStore, count: int) -> None:
        made = blocks(count)
        store.put_blocks(made)
        other = EmbeddedStore(store.folder)

        def give() -> Iterator[tuple[CID, bytes]]:
            yield from made
            other.delete_blocks(cid for cid, _ in made)

        store.put_blocks(give())

        assert all(other.get_block(cid) == data for cid, data in made)

    def test_what_a_killed_deletion_overwrote_is_stored_again_and_deleted_again(
        self, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = blocks(3)
        store.put_blocks(made)
        with monkeypatch.context() as patch:
            # All bytes are zeros, and the index names them still.
            beside(patch, embedded, "sync_path", Mock(side_effect=KeyboardInterrupt), after=True)
            with pytest.raises(KeyboardInterrupt):
                store.delete_blocks(cid for cid, _ in made)
        assert store.has_block(made[0][0])
        again = EmbeddedStore(store.folder)

        again.put_blocks(made)

        assert all(again.get_block(cid) == data for cid, data in made)
        again.delete_blocks(cid for cid, _ in made)
        assert not any(on_disk(store, data) for _, data in made)

    @pytest.mark.parametrize("size", [1000, 100_000])
    def test_what_both_store_at_once_has_no_second_copy(self, store: EmbeddedStore, size: int) -> None:
        ((cid, data),) = blocks(1, size)
        other = EmbeddedStore(store.folder)

        def give() -> Iterator[tuple[CID, bytes]]:
            yield cid, data
            other.put_block(cid, data)

        store.put_blocks(give())
        assert store.get_block(cid) == data
        other.delete_block(cid)
        assert not on_disk(store, data)

    def test_what_a_disk_damaged_and_both_name_is_the_whole_one(self, store: EmbeddedStore) -> None:
        ((cid, data),) = blocks(1)
        other = EmbeddedStore(store.folder)

        def give() -> Iterator[tuple[CID, bytes]]:
            yield cid, data
            other.put_block(cid, data)
            (pack,) = (store.folder / "packs").iterdir()
            pack.write_bytes(data[:500] + bytes(500))

        store.put_blocks(give())
        assert other.get_block(cid) == data
        store.delete_block(cid)
        assert not on_disk(store, data[:500])

    def test_a_lost_pack_keeps_no_deletion_from_its_end(self, store: EmbeddedStore) -> None:
        ((cid, data),) = blocks(1)
        store.put_block(cid, data)
        (pack,) = (store.folder / "packs").iterdir()
        pack.unlink()
        store.delete_block(cid)
        assert not store.has_block(cid)


class TestBadDisk:
    @pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync", "open"])
    def test_each_call_that_fails_leaves_the_store_as_it_was(
        self, store: EmbeddedStore, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = blocks(3)
        store.put_blocks(before)
        real = getattr(os, call)
        for failing in range(1, 6):
            count = 0

            def fail(*args: object, failing: int = failing) -> object:
                nonlocal count
                count += 1
                if count >= failing:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(*args)

            fresh = EmbeddedStore(store.folder)
            with monkeypatch.context() as patch:
                patch.setattr(embedded.os, call, fail)
                refused = ""
                try:
                    add(fresh, os.urandom(3 * unixfs.CHUNK))
                    fresh.put_blocks(blocks(2))
                except DiskError as exc:
                    refused = str(exc)
                assert ("No space left" in refused) == (count >= failing)
            assert all(fresh.get_block(cid) == data for cid, data in before)
            later = blocks(2)
            fresh.put_blocks(later)
            assert all(fresh.get_block(cid) == data for cid, data in later)

    def test_a_damaged_pack_is_found(self, store: EmbeddedStore) -> None:
        ((cid, data),) = blocks(1)
        store.put_block(cid, data)
        (pack,) = (store.folder / "packs").iterdir()
        pack.write_bytes(bytes(len(data)))
        with pytest.raises(IntegrityError):
            store.get_block(cid)
        pack.write_bytes(data[:10])
        with pytest.raises(IntegrityError):
            store.get_block(cid)

    def test_a_lost_pack_is_a_missing_block(self, store: EmbeddedStore) -> None:
        ((cid, data),) = blocks(1)
        store.put_block(cid, data)
        (pack,) = (store.folder / "packs").iterdir()
        pack.unlink()
        with pytest.raises(BlockNotFoundError, match="lost the pack"):
            EmbeddedStore(store.folder).get_block(cid)

    def test_a_folder_that_can_not_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreUnavailableError):
            EmbeddedStore(tmp_path / "file" / "blocks")


class TestFolder:
    def test_gives_back_what_it_took_also_after_reopening(self, tmp_path: Path) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        leaves = [os.urandom(unixfs.CHUNK), os.urandom(unixfs.CHUNK), b"end"]
        root = store.add_file(leaves)
        store.put_block(CID.of(DAG_CBOR, b"\xa0"), b"\xa0")
        store.close()
        again = EmbeddedStore(tmp_path / "blocks")
        assert list(again.read_file(root)) == leaves
        assert again.get_block(CID.of(DAG_CBOR, b"\xa0")) == b"\xa0"
        assert len(list(again.blocks())) == 5

    def test_refuses_a_block_under_another_cid(self, tmp_path: Path) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        with pytest.raises(IntegrityError):
            store.put_block(CID.of(RAW, b"a"), b"b")
        with pytest.raises(BlockNotFoundError):
            store.get_block(CID.of(RAW, b"a"))

    def test_deleted_bytes_are_gone_from_the_disk(self, tmp_path: Path) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        secret = os.urandom(64)
        cid = CID.of(RAW, secret)
        store.put_block(cid, secret)
        store.delete_block(cid)
        assert not store.has_block(cid)
        assert not any(secret in path.read_bytes() for path in (tmp_path / "blocks").rglob("*") if path.is_file())

    def test_two_processes_write_one_folder_and_a_kill_leaves_it_whole(self, tmp_path: Path) -> None:
        program = (
            "import os, sys, pathlib\n"
            "from panachain.storage.embedded import EmbeddedStore\n"
            "from panachain.ipld.cid import CID, RAW\n"
            "store = EmbeddedStore(pathlib.Path(sys.argv[1]))\n"
            "while True:\n"
            "    data = os.urandom(5000); cid = CID.of(RAW, data); store.put_block(cid, data); print(cid, flush=True)\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "blocks")]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
        printed = [line.strip() for writer in writers if writer.stdout for line in islice(writer.stdout, 20)]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        printed += [line for writer in writers for line in writer.communicate(timeout=20)[0].splitlines()]
        store = EmbeddedStore(tmp_path / "blocks")
        # The last line of a killed writer may be cut.
        whole = [line for line in printed if len(line) == 59]
        assert len(whole) >= 40
        for line in whole:
            store.get_block(CID.parse(line))


def test_blocks_at_hand_are_those_that_each_look_gives_and_nothing_that_does_not_fit(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_OPEN_PACKS", 1)
    made = blocks(300)
    store.put_blocks(made[:150])
    store._finish_pack()
    store.put_blocks(made[150:])
    assert store.near([]) == []
    large, unknown = blocks(1, SMALL + 1)[0], blocks(1)[0][0]
    store.put_block(*large)
    asked = [cid for cid, _ in made]
    asked[17], asked[140], asked[141] = large[0], unknown, CID(DAG_CBOR, made[3][0].digest)
    expected: list[bytes | None] = [data for _, data in made]
    expected[17] = expected[140] = expected[141] = None
    assert store.near(asked) == expected
    # One byte of one block, as a disk or an intruder changes it.
    place = store._find(made[200][0])
    assert place is not None
    with open(store.folder / "packs" / place[0], "r+b") as file:
        file.seek(place[1])
        file.write(bytes([made[200][1][0] ^ 1]))
    expected[200] = None
    assert store.near(asked) == expected
    # A pack that is gone: what was in it is looked for by `get_block`, which says so.
    place = store._find(made[0][0])
    assert place is not None
    store._forget(place[0])
    (store.folder / "packs" / place[0]).unlink()
    assert store.near(asked) == [None] * 150 + expected[150:]
    store._db.execute("DROP TABLE block")
    with pytest.raises(StoreUnavailableError, match="can't be read"):
        store.near(asked)
