"""`backup`: what it saves comes back whole, whatever is written meanwhile, and nothing is overwritten."""

from __future__ import annotations

import hashlib
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


class Zeros(io.RawIOBase):
    """So many zeros, which take no memory."""

    def __init__(self, left: int) -> None:
        self.left = left

    def read(self, count: int = -1) -> bytes:
        count = min(count, self.left)
        self.left -= count
        return bytes(count)


def archived(path: Path, member: tarfile.TarInfo, content: io.RawIOBase | io.BytesIO, *, mode: str, size: int) -> None:
    """Write an archive of one file, whose sum of `size` zeros is right."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        tar.addfile(member, content)
        sums = {"schema": "panachain/backup/1", "sha256": {"a": hashlib.sha256(bytes(size)).hexdigest()}}
        listed = json.dumps(sums).encode()
        last = tarfile.TarInfo("backup.json")
        last.size = len(listed)
        tar.addfile(last, io.BytesIO(listed))


@pytest.mark.parametrize("packed", ["w:gz", "w:bz2", "w:xz"])
def test_a_packed_archive_is_none(tmp_path: Path, packed: str) -> None:
    """A few bytes that become as many as their maker likes, each of them with the right sum."""
    member = tarfile.TarInfo("a")
    member.size = 8 << 20
    archived(tmp_path / "one.tar", member, Zeros(8 << 20), mode=packed, size=8 << 20)
    with pytest.raises(IntegrityError, match="can't be read as a backup"):
        backup.restore(tmp_path / "one.tar", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar"]


def test_a_file_with_holes_is_none(tmp_path: Path) -> None:
    """A kilobyte that says that it is eight megabytes, most of them left out (GNU tar, "Sparse Formats")."""
    member = tarfile.TarInfo("a")
    member.size = 512
    sparse = {"major": "1", "minor": "0", "name": "a", "realsize": str(8 << 20)}
    member.pax_headers = {f"GNU.sparse.{name}": value for name, value in sparse.items()}
    holes = io.BytesIO(b"1\n%d\n0\n".ljust(512, b"\0") % (8 << 20))
    archived(tmp_path / "one.tar", member, holes, mode="w", size=8 << 20)
    with pytest.raises(IntegrityError):
        backup.restore(tmp_path / "one.tar", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar"]


def refused_within(archive: Path, into: Path, most: int) -> None:
    """Check that an archive is refused, and that it took fewer bytes of memory than that."""
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            backup.restore(archive, into)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_without_end_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.size = kind, 24 << 20
    with (tmp_path / "one.tar").open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(member.size + 4096)
    refused_within(tmp_path / "one.tar", tmp_path / "again", 8 << 20)


@pytest.mark.parametrize("size", [-512, -1024, -(1 << 40)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_length_below_zero_ends_it(tmp_path: Path, kind: bytes, size: int) -> None:
    """It leads a reader back to where it was, again and again."""
    member = tarfile.TarInfo("a")
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:512])
    (tmp_path / "one.tar").write_bytes(bytes(block) + bytes(4096))
    with pytest.raises(IntegrityError):
        backup.restore(tmp_path / "one.tar", tmp_path / "again")


def test_the_list_of_sums_is_no_longer_than_that_of_its_files(tmp_path: Path) -> None:
    """A list of lists would take forty times its own size."""
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        last = tarfile.TarInfo("backup.json")
        last.size = 4 << 20
        tar.addfile(last, io.BytesIO(b"[" + b"[]," * ((4 << 20) // 3)))
    refused_within(tmp_path / "one.tar", tmp_path / "again", 4 << 20)


@pytest.mark.parametrize("name", ["a%62.db", "a?mode=rwc", "a?x=1.db", "a#b.db", "a b.db", "ä\udcff.db"])
def test_a_database_is_saved_whatever_it_is_called(folder: Path, tmp_path: Path, name: str) -> None:
    """Its name is no part of a URI, where it would be that of another file, or of a new and empty one."""
    for one, value in ((name, "right"), ("ab.db", "wrong")):
        db = sqlite3.connect(folder / one)
        with db:
            db.execute("CREATE TABLE log (value TEXT)")
            db.execute("INSERT INTO log VALUES (?)", (value,))
        db.close()
    before = sorted(folder.iterdir())
    backup.save(folder, tmp_path / "one.tar")
    backup.restore(tmp_path / "one.tar", tmp_path / "again")
    db = sqlite3.connect(tmp_path / "again" / name)
    assert db.execute("SELECT value FROM log").fetchall() == [("right",)]
    db.close()
    assert sorted(folder.iterdir()) == before


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
