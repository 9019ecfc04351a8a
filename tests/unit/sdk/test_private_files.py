"""Files that are whole or not there at all, and that nobody but their owner can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panachain.sdk.private_files import make_private_folder, write_private


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    """A shell that lets everybody read what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_and_a_file_are_their_owners_only(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "home" / "profiles")
    write_private(tmp_path / "home" / "profiles" / "note", b"text")
    assert mode(tmp_path / "home" / "profiles") == 0o700
    assert mode(tmp_path / "home" / "profiles" / "note") == 0o600


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "home")
    (tmp_path / "home" / "kept").touch()
    make_private_folder(tmp_path / "home")
    assert (tmp_path / "home" / "kept").exists()


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(FileExistsError):
        make_private_folder(tmp_path / "home")


def test_a_file_that_everybody_could_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"a longer text than the next")
    path.chmod(0o666)
    write_private(path, b"short")
    assert path.read_bytes() == b"short"
    assert mode(path) == 0o600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "note"
    write_private(path, b"old")

    def refuses(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, refuses)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: (done.append(name), real(*given)))
    write_private(tmp_path / "note", b"text")
    assert done == ["fsync", "replace"]
