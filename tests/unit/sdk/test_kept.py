"""What an actor keeps on this machine: sealed, theirs alone, and no worse to lose than to have."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from panachain.crypto.keys import Seed
from panachain.sdk import kept as module
from panachain.sdk.kept import Kept

SEED, OTHER = Seed(b"s" * 32), Seed(b"o" * 32)
CONTENT = {"a": [1, "two", b"three"], "b": None}


def test_what_is_kept_is_read_again_and_says_nothing_to_others(tmp_path: Path) -> None:
    kept = Kept(tmp_path, SEED, "notices")
    assert kept.read() is None
    kept.write({"policy": "0x1234567890"})
    kept.write(CONTENT)
    assert Kept(tmp_path, SEED, "notices").read() == CONTENT
    (path,) = (tmp_path / "kept").iterdir()
    assert b"three" not in path.read_bytes()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_another_seed_another_name_and_changed_bytes_find_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Kept(tmp_path, SEED, "notices").write(CONTENT)
    path = tmp_path / "kept" / "notices.sealed"
    assert Kept(tmp_path, OTHER, "notices").read() is None
    path.rename(path.with_name("receipts.sealed"))
    assert Kept(tmp_path, SEED, "receipts").read() is None
    content = path.with_name("receipts.sealed").read_bytes()
    for damaged in (bytes([*content[:-1], content[-1] ^ 1]), content[:20], b""):
        path.write_bytes(damaged)
        assert Kept(tmp_path, SEED, "notices").read() is None
    assert caplog.text.count("is made anew") == 5


def test_a_file_that_nobody_wrote_here_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, SEED, "notices")
    kept.write(CONTENT)
    monkeypatch.setattr(module, "MAXIMUM_SIZE", 10)
    assert kept.read() is None


def test_what_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kept").write_text("")
    with caplog.at_level(logging.WARNING):
        Kept(tmp_path, SEED, "notices").write(CONTENT)
    assert "found again each time" in caplog.text
