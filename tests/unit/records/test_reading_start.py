"""Starting processes that read beside an upload: only where there is much to read, and none stays that nobody took."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from panachain.records import reading_ahead, reading_start
from panachain.records.reading_ahead import Readers
from panachain.records.reading_start import Spare, is_worth_it
from panachain.records.sensitivity import PROFILES
from panachain.records.sources import find_sources


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return what is started, on a machine of two cores."""
    made, start = list[subprocess.Popen[bytes]](), reading_start.start

    def noted(command: Sequence[str]) -> subprocess.Popen[bytes]:
        made.append(start(command))
        return made[-1]

    monkeypatch.setattr(reading_start, "start", noted)
    monkeypatch.setattr(reading_start, "cores", lambda: 2)
    return made


def test_it_is_worth_it_where_files_and_folders_hold_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_start, "WORTH", 1000)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(bytes(500))
    (tmp_path / "2").write_bytes(bytes(499))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert not is_worth_it([tmp_path / "a", tmp_path / "2", tmp_path / "3", tmp_path / "gone", "\0"])
    (folder / "3").write_bytes(b"1")
    assert is_worth_it([tmp_path / "a", tmp_path / "2"])
    monkeypatch.setattr(reading_start, "_MOST_LOOKED_AT", 0)
    assert not is_worth_it([tmp_path / "a", tmp_path / "2"])


def test_an_upload_takes_those_that_load_already(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    for number in range(4):
        (tmp_path / f"{number}.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(300_000))
    with Spare() as spare, Readers(spare=spare) as readers:
        spare.start([tmp_path])
        [one] = started
        pairs = ((source, None) for source in find_sources([tmp_path], None, PROFILES["default"]))
        for source, _ in readers.sources(pairs, lambda *_: True):
            assert [process.pid for process in readers._running] in ([one.pid], [])
            assert len(list(source.whole())) == 1
        assert readers.started == 1
    assert (len(started), one.poll()) == (1, -9)


def test_what_nobody_took_ends_whatever_happens(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    (tmp_path / "a").write_bytes(bytes(reading_start.WORTH))

    def interrupted() -> None:
        with Spare() as spare:
            spare.start([tmp_path])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    [one] = started
    assert (one.returncode, one.stdin and one.stdin.closed, one.stdout and one.stdout.closed) == (-9, True, True)


def test_little_to_read_or_one_core_starts_nothing(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(reading_start.WORTH - 1))
    with Spare() as spare:
        spare.start([tmp_path])
        assert spare.take() is None
    (tmp_path / "b").write_bytes(b"1")
    monkeypatch.setattr(reading_start, "cores", lambda: 1)
    with Spare() as spare:
        spare.start([tmp_path])
        assert spare.take() is None
    assert not started


def test_a_machine_without_another_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(reading_start.WORTH))

    def none_left(_: Sequence[str]) -> subprocess.Popen[bytes]:
        raise BlockingIOError

    monkeypatch.setattr(reading_start, "start", none_left)
    monkeypatch.setattr(reading_start, "cores", lambda: 3)
    with Spare() as spare:
        spare.start([tmp_path])
        assert spare.take() is None


def test_both_modules_start_the_same_program() -> None:
    assert reading_ahead.COMMAND is reading_start.COMMAND
