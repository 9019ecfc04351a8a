"""Packs grow at their end, are locked while they may grow, and reach the disk while more is made."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from mmap import mmap
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.storage import packs
from panachain.storage.packs import EarlySync, LargeFile, Pack, write_all

TIMEOUT = 60
"""Seconds that a test waits for another thread, on any machine."""


def test_what_is_appended_lies_where_the_offset_says(tmp_path: Path) -> None:
    pack = Pack(tmp_path / "a.pack")
    offsets = [pack.append(b"one"), pack.reserve(4), pack.append(b"two")]
    pack.sync()
    assert offsets == [0, 3, 7]
    assert (tmp_path / "a.pack").read_bytes() == b"one\0\0\0\0two"


def test_nobody_takes_the_name_of_another_pack(tmp_path: Path) -> None:
    first = Pack(tmp_path / "a.pack")
    with pytest.raises(FileExistsError):
        Pack(first.path)


def test_one_that_was_removed_before_it_was_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, removed = fcntl.flock, [2]

    def locked(descriptor: int, kind: int) -> None:
        if removed[0]:
            removed[0] -= 1
            (tmp_path / "a.pack").unlink()
        flock(descriptor, kind)

    monkeypatch.setattr(packs.fcntl, "flock", locked)
    pack = Pack(tmp_path / "a.pack")
    pack.append(b"there")
    assert (removed, pack.path.read_bytes()) == ([0], b"there")


def test_a_pack_is_locked_as_long_as_somebody_may_append(tmp_path: Path) -> None:
    pack = Pack(tmp_path / "a.pack")
    with open(pack.path, "rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        del pack
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_all_is_written_where_the_system_takes_less_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack, pwrite = Pack(tmp_path / "a.pack"), os.pwrite
    monkeypatch.setattr(packs.os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data[:2]), offset))
    write_all(pack.descriptor, memoryview(b"seven.."), 3)
    assert pack.path.read_bytes() == b"\0\0\0seven.."


class CountingPack(Pack):
    """Tells when it is synced, and fails then if it is to."""

    failing = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.synced = threading.Event()

    def sync(self) -> None:
        self.synced.set()
        if self.failing:
            raise OSError("the disk is gone")


def test_the_disk_is_told_to_begin_once_enough_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_SYNC_EVERY", 100)
    pack = CountingPack(tmp_path / "a.pack")
    early = EarlySync(pack)
    early.add(99)
    assert not pack.synced.is_set()
    early.add(1)
    assert pack.synced.wait(TIMEOUT)
    early.finish()


def test_a_disk_that_fails_early_is_left_to_the_callers_last_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_SYNC_EVERY", 1)
    pack = CountingPack(tmp_path / "a.pack")
    pack.failing = True
    early = EarlySync(pack)
    early.add(1)
    assert pack.synced.wait(TIMEOUT)
    early.add(1)
    early.finish()
    with pytest.raises(OSError, match="the disk is gone"):
        pack.sync()


PIECE = 1 << 16
"""Bytes of a piece of a large file in these tests; like a leaf, a multiple of every disk's block."""


class TestLargeFile:
    def fill(self, pack: Pack, size: int) -> tuple[bytes, LargeFile]:
        """Write a file of random bytes, the last piece first, and return its bytes."""
        data = os.urandom(size)
        pack.reserve(size)
        file = LargeFile(pack, size)
        file.make_room(lambda: True)
        buffer = memoryview(mmap(-1, PIECE))
        for offset in reversed(range(0, size, PIECE)):
            piece = data[offset : offset + PIECE]
            buffer[: len(piece)] = piece
            file.write(buffer[: len(piece)], offset)
        file.finish()
        pack.append(b"behind")
        pack.sync()
        return data, file

    def refusing(self, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> list[int]:
        """Let the system refuse a call for direct writing, and return the descriptors that refused."""
        real_open, real = os.open, getattr(os, call)
        direct: set[int] = set()
        refused: list[int] = []

        def opened(path: Any, flags: int, *mode: int) -> int:
            # As usual in truth: the folder of tests may lie where no direct writing is.
            descriptor = real_open(path, flags & ~packs._DIRECT, *mode)
            if flags & packs._DIRECT:
                direct.add(descriptor)
            return descriptor

        def refuse(first: Any, *rest: Any) -> Any:
            if call == "posix_fallocate" or first in direct or (call == "open" and rest[0] & packs._DIRECT):
                refused.append(0)
                raise OSError(code, os.strerror(code))
            return real(first, *rest)

        monkeypatch.setattr(packs.os, "open", opened)
        monkeypatch.setattr(packs.os, call, refuse)
        return refused

    @pytest.mark.parametrize("size", [1, 4095, 4096, PIECE, 5 * PIECE + 4097])
    @pytest.mark.parametrize("direct", [True, False])
    def test_what_threads_write_lies_there_whole(
        self, tmp_path: Path, size: int, direct: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not direct:
            monkeypatch.setattr(packs, "_DIRECT", 0)
        pack = Pack(tmp_path / "a.pack")
        data, file = self.fill(pack, size)
        assert direct or not file.direct
        assert pack.path.read_bytes() == data + b"behind"

    @pytest.mark.parametrize("call", ["open", "posix_fallocate", "pwrite"])
    @pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
    def test_a_file_system_that_refuses_is_written_as_usual(
        self, tmp_path: Path, call: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pack = Pack(tmp_path / "a.pack")
        refused = self.refusing(monkeypatch, call, code)
        if call == "pwrite" and code != errno.EINVAL:
            # What isn't said of a block's size is the disk's failure.
            with pytest.raises(OSError, match="not supported"):
                self.fill(pack, 3 * PIECE)
            return
        data, file = self.fill(pack, 3 * PIECE + 5)
        assert len(refused) == 1
        assert not file.direct
        assert pack.path.read_bytes() == data + b"behind"

    @pytest.mark.parametrize("call", ["open", "posix_fallocate", "pwrite"])
    def test_a_full_disk_is_no_reason_to_go_on(
        self, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pack = Pack(tmp_path / "a.pack")
        self.refusing(monkeypatch, call, errno.ENOSPC)
        with pytest.raises(OSError, match="No space"):
            self.fill(pack, PIECE)

    def test_a_piece_waits_for_its_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packs, "_FIRST", PIECE)
        monkeypatch.setattr(packs, "_STEP", PIECE)
        self.slow_room(monkeypatch, 0.0)
        pack = Pack(tmp_path / "a.pack")
        file = LargeFile(pack, 4 * PIECE)
        written = threading.Event()

        def write() -> None:
            file.write(memoryview(mmap(-1, PIECE)), 2 * PIECE)
            written.set()

        thread = threading.Thread(target=write)
        thread.start()
        asked: list[bool] = []

        def wanted() -> bool:
            # The first step is there; two are taken: the piece's own, and the one before it.
            asked.append(written.is_set())
            return len(asked) < 3 or written.wait(TIMEOUT)

        file.make_room(wanted)
        thread.join()
        assert asked[:2] == [False, False]
        assert pack.path.stat().st_size == 4 * PIECE
        file.finish()

    def slow_room(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[tuple[int, int]]:
        """Let each step of room take so much processor time, and return the steps; the pack is opened as usual."""
        spent = 0.0
        steps: list[tuple[int, int]] = []
        allocate = os.posix_fallocate

        def allocated(descriptor: int, offset: int, size: int) -> None:
            nonlocal spent
            spent += seconds
            steps.append((offset, size))
            allocate(descriptor, offset, size)

        monkeypatch.setattr(packs, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
        monkeypatch.setattr(packs.os, "posix_fallocate", allocated)
        monkeypatch.setattr(packs.time, "thread_time", lambda: spent)
        return steps

    def test_a_disks_room_is_taken_in_few_steps(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packs, "_FIRST", PIECE)
        monkeypatch.setattr(packs, "_STEP", 3 * PIECE)
        steps = self.slow_room(monkeypatch, packs._WORK / 2)
        _, file = self.fill(Pack(tmp_path / "a.pack"), 5 * PIECE + 1)
        assert steps == [(0, PIECE), (PIECE, 3 * PIECE), (4 * PIECE, PIECE + 1)]
        assert file.direct

    def test_one_that_finds_no_room_leaves_nothing_open(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pack = Pack(tmp_path / "a.pack")
        descriptor = os.open(pack.path, os.O_WRONLY)
        monkeypatch.setattr(packs, "_open_direct", lambda path: descriptor)
        monkeypatch.setattr(packs.os, "posix_fallocate", Mock(side_effect=OSError(errno.ENOSPC, "no room")))
        with pytest.raises(OSError, match="no room"):
            LargeFile(pack, PIECE)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    def test_where_room_is_work_each_piece_takes_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packs, "_FIRST", PIECE)
        steps = self.slow_room(monkeypatch, packs._WORK * 2)
        pack = Pack(tmp_path / "a.pack")
        data, file = self.fill(pack, 5 * PIECE + 4097)
        assert steps == [(0, PIECE)]
        assert not file.direct
        assert pack.path.read_bytes() == data + b"behind"

    def test_one_at_a_time_writes_through_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packs, "_DIRECT", 0)
        file = LargeFile(pack := Pack(tmp_path / "a.pack"), 8 * PIECE)
        pwrite, writing, most = os.pwrite, [0], [0]
        counted = threading.Lock()

        def write(descriptor: int, data: memoryview, offset: int) -> int:
            with counted:
                writing[0] += 1
                most[0] = max(most[0], writing[0])
            done = pwrite(descriptor, data, offset)
            with counted:
                writing[0] -= 1
            return done

        monkeypatch.setattr(packs.os, "pwrite", write)
        data = os.urandom(8 * PIECE)
        threads = [
            threading.Thread(target=file.write, args=(memoryview(data)[offset : offset + PIECE], offset))
            for offset in range(0, len(data), PIECE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        file.finish()
        assert most == [1]
        assert pack.path.read_bytes() == data

    def test_who_gives_up_keeps_nobody_waiting(self, tmp_path: Path) -> None:
        pack = Pack(tmp_path / "a.pack")
        file = LargeFile(pack, PIECE)
        file.make_room(lambda: False)
        file.write(memoryview(mmap(-1, PIECE)), 0)
        file.finish()

    def test_the_disk_is_told_early_of_what_goes_through_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packs, "_SYNC_EVERY", 2 * PIECE)
        monkeypatch.setattr(packs, "_DIRECT", 0)
        pack = CountingPack(tmp_path / "a.pack")
        file = LargeFile(pack, 2 * PIECE)
        for offset in (0, PIECE):
            assert not pack.synced.is_set()
            file.write(memoryview(mmap(-1, PIECE)), offset)
        assert pack.synced.wait(TIMEOUT)
        file.finish()


class TestPages:
    def test_huge_ones_are_asked_for_where_there_are_some(self, monkeypatch: pytest.MonkeyPatch) -> None:
        advised = self.advice(monkeypatch)
        monkeypatch.setattr(packs, "_HUGE", 14)
        self.use(packs.pages(2 << 20))
        assert advised == [14]

    def test_a_kernel_that_was_built_without_them_gives_usual_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        advised = self.advice(monkeypatch, OSError(errno.EINVAL, "no huge pages"))
        monkeypatch.setattr(packs, "_HUGE", 14)
        self.use(packs.pages(2 << 20))
        assert advised == [14]

    def test_a_system_that_knows_none_isnt_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        advised = self.advice(monkeypatch)
        monkeypatch.setattr(packs, "_HUGE", None)
        self.use(packs.pages(1 << 20))
        assert advised == []

    def advice(self, monkeypatch: pytest.MonkeyPatch, failure: OSError | None = None) -> list[int]:
        advised: list[int] = []

        class Advised(mmap):
            def madvise(self, option: int, *where: int) -> None:
                advised.append(option)
                if failure is not None:
                    raise failure

        monkeypatch.setattr(packs.mmap, "mmap", Advised)
        return advised

    def use(self, buffer: memoryview) -> None:
        assert not bytes(buffer).strip(b"\0")
        buffer[-1:] = b"x"
        assert buffer[-1] == ord("x")
