"""Staging: names of others lead nowhere, nobody else can look, and nothing outlives its upload."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from panachain.errors import DiskError, TooLargeError, UsageError
from panachain.portal import staging as subject
from panachain.portal.staging import Staged, reserve, stage, sweep, sweep_all

NAMES = [
    "a.json",
    "FOLDER/a.json",
    "line\nend.json",
    "\x1b[31mred.json",
    "turned\u202eround.json",
    "back\\slash\\..\\..\\a.json",
    "C:\\Windows\\a.json",
    'quote".json',
    "<script>alert(1)</script>.json",
    "x" * 300 + ".json",
    "\u4e2d" * 300 + ".dcm",
    "%2e%2e%2fa.json",
    "nul\ufffd.json",
    "~",
    "-rf",
    " ",
    "CON",
    "a.json!b.json",
]
REFUSED = ["", "/", "/etc/passwd", "../a", "a/../../b", "a/..", "./a", "a/./b", "a//b", "a/", "..", ".", "a\0b"]
REFUSED += ["d/" * 40 + "a", "/".join("y" * 90 for _ in range(25))]


def put(staged: Staged, path: str, content: bytes = b"{}") -> Path | None:
    incoming = staged.begin(path)
    if incoming is None:
        return None
    incoming.write(memoryview(content))
    incoming.close()
    return incoming._path


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_file_is_called_it_lies_in_the_folder(tmp_path: Path, name: str) -> None:
    staged = stage(tmp_path)
    place = put(staged, name)
    assert place is not None
    assert place.resolve().is_relative_to(staged.folder.resolve())
    assert place.read_bytes() == b"{}"
    assert all(part.isprintable() and "\\" not in part for part in place.relative_to(staged.folder).parts)
    assert len(os.fsencode(place.name)) <= 255
    if len(name) >= 300:
        assert place.suffix == name[name.rfind(".") :]


@pytest.mark.parametrize("path", REFUSED)
def test_a_path_that_leads_out_is_refused_and_makes_nothing(tmp_path: Path, path: str) -> None:
    staged = stage(tmp_path)
    with pytest.raises(UsageError, match="nothing of this upload was kept"):
        staged.begin(path)
    assert list(staged.folder.iterdir()) == []


def test_nobody_else_can_look_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        staged = stage(tmp_path / "profile")
        put(staged, "FOLDER/a.json")
    finally:
        os.umask(before)
    for path in [staged.folder.parent, *staged.folder.parent.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_hidden_files_are_counted_and_not_taken(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    assert [put(staged, path) for path in (".DS_Store", "folder/.git/config", "...")] == [None] * 3
    assert (staged.hidden, staged.files, list(staged.folder.iterdir())) == (3, 0, [])


def test_two_of_one_name_are_two_files(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    places = [put(staged, path, path.encode()) for path in ("a\n.json", "a\r.json", "a\ufffd.json", "A\ufffd.JSON")]
    assert len({str(place).casefold() for place in places}) == 4
    assert all(place is not None and place.suffix.lower() == ".json" for place in places)


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("A", "a/b/c")])
def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path, paths: tuple[str, str]) -> None:
    staged = stage(tmp_path)
    put(staged, paths[0])
    with pytest.raises(UsageError, match="of a file and of a folder"):
        staged.begin(paths[1])


def test_so_many_files_and_no_more(tmp_path: Path) -> None:
    with patch.object(subject, "MOST_FILES", 3):
        staged = stage(tmp_path)
        for number in range(3):
            put(staged, f"{number}.json")
        with pytest.raises(TooLargeError, match="more than 3 files"):
            staged.begin("3.json")


def test_each_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    place = put(staged, "folder/scan.dcm", b"x" * 11)
    assert staged.copies == {Path(os.path.realpath(str(place))): hashlib.sha256(b"x" * 11).digest()}


def test_what_the_disk_has_no_room_for_is_refused_before_it_arrives(tmp_path: Path) -> None:
    with patch.object(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30)):
        stage(tmp_path, (1 << 30) - (256 << 20))
        with pytest.raises(DiskError, match="nothing was kept"):
            stage(tmp_path, 1 << 30)


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    incoming = stage(tmp_path).begin("a.json")
    assert incoming is not None
    with patch.object(os, "write", side_effect=OSError(28, "No space left on device")), pytest.raises(DiskError):
        incoming.write(memoryview(b"x"))
    staged = stage(tmp_path)
    with patch.object(subject, "_RESERVE", 1 << 60), pytest.raises(DiskError, match="nearly full"):
        staged.check_room()


def test_closing_removes_all_of_it_once_nobody_uses_it(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    put(staged, "FOLDER/a.json")
    with staged.in_use():
        staged.close()
        assert staged.folder.exists()
    assert not staged.folder.exists()
    staged.close()
    with pytest.raises(UsageError, match="aren't kept any more"), staged.in_use():
        pass


def test_what_nobody_holds_any_more_is_gone(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    folder = staged.folder
    del staged
    assert not folder.exists()


def test_a_sweep_takes_what_a_killed_program_left_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    profile = home / "profiles" / "clinic"
    code = (
        "import os, pathlib\n"
        "from panachain.portal.staging import stage\n"
        f"staged = stage(pathlib.Path({str(profile)!r}))\n"
        "incoming = staged.begin('FOLDER/b.json')\n"
        "incoming.write(memoryview(b'plaintext'))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 9
    assert len(list(profile.rglob("b.json"))) == 1
    live = stage(profile)
    assert sweep_all(home) == 1
    assert list(profile.rglob("b.json")) == []
    assert live.folder.exists()
    assert sweep(profile) == 0
    live.close()
    assert sweep(tmp_path / "nobody") == 0


def test_one_profile_that_cant_be_swept_stops_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = [tmp_path / "profiles" / name / subject.FOLDER / "left" for name in ("a", "bad", "c")]
    for folder in left:
        folder.mkdir(parents=True)
    real = subject.sweep

    def refuses(profile: Path) -> int:
        if profile.name == "bad":
            raise OSError(37, "No locks available")
        return real(profile)

    monkeypatch.setattr(subject, "sweep", refuses)
    assert sweep_all(tmp_path) == 2
    assert [folder.exists() for folder in left] == [False, True, False]
    assert f"{tmp_path / 'profiles' / 'bad'} can't be removed" in caplog.text


def test_a_sweep_follows_no_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    (tmp_path / subject.FOLDER).mkdir()
    (tmp_path / subject.FOLDER / "link").symlink_to(other)
    sweep(tmp_path)
    assert (other / "kept").exists()


def test_texts_name_files_as_they_were_dropped(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    place = put(staged, "FOLDER/a.json")
    assert staged.shown(f"{place}: it is empty") == "FOLDER/a.json: it is empty"
    assert [path.name for path in staged.paths] == ["FOLDER"]


def test_a_folder_in_which_somebody_works_goes_once_they_end(tmp_path: Path) -> None:
    held = reserve(tmp_path)
    with held.in_use(UsageError("gone")):
        held.close()
        # What comes after the lock is removed, too.
        (held.folder / "late.zip").write_bytes(b"plain")
        assert sweep(tmp_path) == 0
    assert not held.folder.exists()
    with pytest.raises(UsageError), held.in_use(UsageError("gone")):
        pass
