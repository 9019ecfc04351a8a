"""Packs grow at their end, are locked while they may grow, and reach the disk while more is made."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from panachain.storage import packs
from panachain.storage.packs import EarlySync, Pack, write_all

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
