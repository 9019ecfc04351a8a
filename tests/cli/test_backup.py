"""`scripts/backup.py`: what it saves comes back whole, whatever is written meanwhile, and nothing is overwritten."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "backup.py"


def load() -> Any:
    found = importlib.util.spec_from_file_location("backup", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


backup = load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service's folder: a key, a database in use, and what can be made again."""
    made = tmp_path / "proxy"
    (made / "follow").mkdir(parents=True)
    (made / "deep" / "er").mkdir(parents=True)
    for name, content in {
        "seed.json": b"{}",
        "proxy.toml": b"a = 1\n",
        "deep/er/note": b"",
        "follow/1.db": b"x",
    }.items():
        (made / name).write_bytes(content)
        (made / name).chmod(0o600)
    (made / "outside").symlink_to("/etc/hostname")
    return made


def rows(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(db.execute("SELECT count(*) FROM log").fetchone()[0])
    finally:
        db.close()


def test_a_database_is_saved_as_of_one_moment_while_it_is_written(folder: Path, tmp_path: Path) -> None:
    db = sqlite3.connect(folder / "proxy.sqlite", check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, content BLOB)")
    db.commit()
    stopped = threading.Event()
    written = [0]

    def write() -> None:
        while not stopped.is_set():
            with db:
                # Two rows in one transaction: half of it would show as an odd number.
                db.executemany("INSERT INTO log (content) VALUES (?)", [(b"x" * 500,)] * 2)
            written[0] += 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written[0] < 20:
            pass
        before = written[0]
        assert backup.main(["save", str(folder), str(tmp_path / "one.tar")]) == 0
    finally:
        stopped.set()
        writer.join()
        db.close()
    assert backup.main(["restore", str(tmp_path / "one.tar"), str(tmp_path / "again")]) == 0
    found = rows(tmp_path / "again" / "proxy.sqlite")
    assert before <= found <= written[0]
    assert found % 2 == 0


def test_all_comes_back_but_for_what_is_made_again(folder: Path, tmp_path: Path) -> None:
    archive, again = tmp_path / "one.tar", tmp_path / "again"
    assert backup.main(["save", str(folder), str(archive)]) == 0
    assert archive.stat().st_mode & 0o777 == 0o600
    assert backup.main(["restore", str(archive), str(again)]) == 0
    found = {path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert found == {"seed.json": b"{}", "proxy.toml": b"a = 1\n", "deep/er/note": b""}
    assert {path.stat().st_mode & 0o77 for path in [again, *again.rglob("*")]} == {0}


def test_nothing_is_overwritten(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "one.tar"
    archive.write_bytes(b"another")
    assert backup.main(["save", str(folder), str(archive)]) == 1
    assert archive.read_bytes() == b"another"
    archive.unlink()
    assert backup.main(["save", str(folder), str(archive)]) == 0
    assert backup.main(["restore", str(archive), str(folder)]) == 1
    assert "wasn't written" in capsys.readouterr().err


@pytest.mark.parametrize("spoil", ["cut", "flip", "outside", "unlisted", "none"])
def test_a_damaged_archive_restores_nothing(folder: Path, tmp_path: Path, spoil: str) -> None:
    archive = tmp_path / "one.tar"
    assert backup.main(["save", str(folder), str(archive)]) == 0
    content = archive.read_bytes()
    if spoil == "cut":
        archive.write_bytes(content[:700])
    elif spoil == "flip":
        archive.write_bytes(content.replace(b"a = 1\n", b"a = 2\n"))
    elif spoil == "none":
        archive.write_bytes(b"no archive")
    else:
        with tarfile.open(archive, "a") as tar:
            backup.add(tar, "../outside" if spoil == "outside" else "unlisted", b"x", 0o600)
    assert backup.main(["restore", str(archive), str(tmp_path / "again")]) == 1
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "outside").exists()


def test_a_damaged_database_is_no_backup(folder: Path, tmp_path: Path) -> None:
    (folder / "proxy.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert backup.main(["save", str(folder), str(tmp_path / "one.tar")]) == 1
    assert not (tmp_path / "one.tar").exists()


@pytest.mark.parametrize("arguments", [[], ["save"], ["steal", "a", "b"], ["save", "a", "b", "c"]])
def test_what_nobody_knows_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert backup.main(arguments) == 2
    assert "restore ARCHIVE FOLDER" in capsys.readouterr().err


def test_the_manifest_names_each_file(folder: Path, tmp_path: Path) -> None:
    backup.save(folder, tmp_path / "one.tar")
    with tarfile.open(tmp_path / "one.tar") as tar:
        file = tar.extractfile("backup.json")
        assert file is not None
        assert set(json.load(file)["sha256"]) == set(tar.getnames()) - {"backup.json"}
