"""`backup`: what it saves comes back whole, whatever is written meanwhile, and nothing is overwritten."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.cli import backup
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.storage.embedded import EmbeddedStore
from tests.cli.twin import Outcome

Run = Callable[..., Outcome]


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


def test_a_database_is_saved_as_of_one_moment_while_it_is_written(run: Run, folder: Path, tmp_path: Path) -> None:
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
        assert run("backup", "save", str(folder), str(tmp_path / "one.tar")).code == 0
    finally:
        stopped.set()
        writer.join()
        db.close()
    assert run("backup", "restore", str(tmp_path / "one.tar"), str(tmp_path / "again")).code == 0
    found = rows(tmp_path / "again" / "proxy.sqlite")
    assert before <= found <= written[0]
    assert found % 2 == 0


def test_all_comes_back_but_for_what_is_made_again(run: Run, folder: Path, tmp_path: Path) -> None:
    archive, again = tmp_path / "one.tar", tmp_path / "again"
    saved = json.loads(run("backup", "save", str(folder), str(archive), "--json").out)
    assert saved == {"schema": "panachain/saved/1", "archive": str(archive), "files": 3, "size": 8}
    assert archive.stat().st_mode & 0o777 == 0o600
    assert json.loads(run("backup", "restore", str(archive), str(again), "--json").out) == saved
    found = {path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert found == {"seed.json": b"{}", "proxy.toml": b"a = 1\n", "deep/er/note": b""}
    assert {path.stat().st_mode & 0o77 for path in [again, *again.rglob("*")]} == {0}


def test_a_database_is_saved_whatever_its_name_holds(run: Run, tmp_path: Path) -> None:
    # What SQLite takes as a URL, where `?` ends the path and `%61` is an `a`.
    folder, name = tmp_path / "of 100%61?x#y", "p%61?mode=x.sqlite"
    folder.mkdir()
    db = sqlite3.connect(folder / name)
    db.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO log VALUES (1)")
    db.commit()
    db.close()
    assert run("backup", "save", str(folder), str(tmp_path / "one.tar")).code == 0
    assert run("backup", "restore", str(tmp_path / "one.tar"), str(tmp_path / "again")).code == 0
    assert rows(tmp_path / "again" / name) == 1


def test_people_read_how_much_it_was(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("backup", "save", str(folder), str(tmp_path / "one.tar"))
    assert (done.code, "8 B" in done.out, "files    3" in done.out) == (0, True, True)


def test_a_store_that_is_written_meanwhile_is_whole(folder: Path, tmp_path: Path) -> None:
    """Its index is copied before its packs, which only grow: it names no block that the archive lacks."""
    store = EmbeddedStore(folder / "blocks")
    stopped = threading.Event()
    written: list[CID] = []

    def write() -> None:
        while not stopped.is_set():
            data = os.urandom(5000)
            store.put_blocks([(CID.of(RAW, data), data)])
            written.append(CID.of(RAW, data))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            pass
        before = list(written)
        backup.save(folder, tmp_path / "one.tar")
    finally:
        stopped.set()
        writer.join()
        store.close()
    backup.restore(tmp_path / "one.tar", tmp_path / "again")
    again = EmbeddedStore(tmp_path / "again" / "blocks")
    held = list(again.blocks())
    assert set(before) <= set(held)
    assert all(cid.check(again.get_block(cid), "again") for cid in held)
    again.close()


def test_no_file_is_held_whole_in_memory(folder: Path, tmp_path: Path) -> None:
    large = 24 << 20
    with (folder / "pack").open("wb") as file:
        file.truncate(large)
    tracemalloc.start()
    try:
        backup.save(folder, tmp_path / "one.tar")
        backup.restore(tmp_path / "one.tar", tmp_path / "again")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "again" / "pack").stat().st_size == large
    assert peak < large / 3


def test_nothing_is_overwritten(run: Run, folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "one.tar"
    archive.write_bytes(b"another")
    done = run("backup", "save", str(folder), str(archive))
    assert (done.code, "exists already" in done.err) == (2, True)
    assert archive.read_bytes() == b"another"
    archive.unlink()
    assert run("backup", "save", str(folder), str(archive)).code == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run("backup", "restore", str(archive), str(folder)).code == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "spoil", ["cut", "flip", "outside", "absolute", "unlisted", "twice", "link", "version", "none"]
)
def test_a_damaged_archive_restores_nothing(run: Run, folder: Path, tmp_path: Path, spoil: str) -> None:
    archive = tmp_path / "one.tar"
    backup.save(folder, archive)
    content = archive.read_bytes()
    if spoil == "cut":
        archive.write_bytes(content[:700])
    elif spoil == "flip":
        archive.write_bytes(content.replace(b"a = 1\n", b"a = 2\n"))
    elif spoil == "version":
        archive.write_bytes(content.replace(b"panachain/backup/1", b"panachain/backup/2"))
    elif spoil == "none":
        archive.write_bytes(b"no archive")
    else:
        # Before the sums, which end an archive.
        with tarfile.open(archive) as old, tarfile.open(tmp_path / "new.tar", "w") as tar:
            names = {"outside": "../outside", "absolute": str(tmp_path / "outside"), "twice": "seed.json"}
            member = tarfile.TarInfo(names.get(spoil, "more"))
            member.size = 1
            if spoil == "link":
                member.size, member.type, member.linkname = 0, tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(member, io.BytesIO(b"x"))
            for one in old:
                tar.addfile(one, old.extractfile(one))
        (tmp_path / "new.tar").replace(archive)
    done = run("backup", "restore", str(archive), str(tmp_path / "again"))
    assert done.code == 6
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "outside").exists()


def test_an_archive_that_changes_after_it_was_checked_leaves_no_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "one.tar"
    backup.save(folder, archive)
    real = backup.make_private_folder

    def changing(path: Path) -> None:
        archive.write_bytes(archive.read_bytes().replace(b"a = 1\n", b"a = 2\n"))
        real(path)

    monkeypatch.setattr(backup, "make_private_folder", changing)
    with pytest.raises(IntegrityError, match="damaged"):
        backup.restore(archive, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar", "proxy"]


def test_a_damaged_database_is_no_backup(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "proxy.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert run("backup", "save", str(folder), str(tmp_path / "one.tar")).code == 6
    assert not (tmp_path / "one.tar").exists()


@pytest.mark.parametrize("arguments", [["save", "nowhere", "a"], ["restore", "nowhere", "a"], ["save", "a"], ["steal"]])
def test_what_is_not_there_is_usage(
    run: Run, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("backup", *arguments).code == 2
    assert list(tmp_path.glob("a")) == []


def test_a_disk_that_refuses_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("backup", "save", str(folder), str(tmp_path / "no" / "folder" / "one.tar"))
    assert (done.code, "one.tar" in done.err) == (1, True)


def test_the_list_of_sums_names_each_file(folder: Path, tmp_path: Path) -> None:
    backup.save(folder, tmp_path / "one.tar")
    with tarfile.open(tmp_path / "one.tar") as tar:
        file = tar.extractfile("backup.json")
        assert file is not None
        assert set(json.load(file)["sha256"]) == set(tar.getnames()) - {"backup.json"}
