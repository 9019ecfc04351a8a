"""The walk finds regular files, follows nothing out of its folder, and opens what it found and no other file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from panachain.errors import InputError, UsageError
from panachain.private_files import private_file
from panachain.records.walk import FoundFile, spelled, walk


def only(path: Path) -> FoundFile:
    (found,) = walk(path)
    return found


class TestFinds:
    def test_a_file_or_the_files_of_a_folder_sorted_without_hidden_ones(self, tmp_path: Path) -> None:
        for name in ("b/2", "b/1", "a", ".hidden", ".git/config"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        assert [found.shown.relative_to(tmp_path).as_posix() for found in walk(tmp_path)] == ["a", "b/1", "b/2"]
        assert only(tmp_path / "a").shown == tmp_path / "a"

    @pytest.mark.parametrize("name", ["", "missing", "file/below", "a\0b"])
    def test_nothing_there_is_a_usage_error(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="there is no file or folder"):
            list(walk(f"{tmp_path}/{name}" if name else ""))

    def test_what_is_no_file_is_refused_and_never_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="a device, a FIFO or a socket"):
            list(walk(tmp_path))
        with pytest.raises(InputError, match="no file; nothing was published"):
            list(walk("/dev/null"))


class TestLinks:
    def test_one_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "secret").touch()
        (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(InputError, match="leads out of"):
            list(walk(tmp_path / "in"))

    def test_a_circle_and_a_dead_one_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(InputError, match="to a folder that it lies in"):
            list(walk(tmp_path))
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(InputError, match="leads nowhere"):
            list(walk(tmp_path))

    def test_what_the_walk_meets_anyway_is_found_once(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        (tmp_path / "link").symlink_to("a")
        assert [found.shown.name for found in walk(tmp_path)] == ["a"]

    def test_a_hidden_one_is_found_by_its_link(self, tmp_path: Path) -> None:
        (tmp_path / ".store").mkdir()
        (tmp_path / ".store" / "a").write_text("text")
        (tmp_path / "link").symlink_to(".store/a")
        found = only(tmp_path)
        assert (found.shown, found.real) == (tmp_path / "link", (tmp_path / ".store" / "a").resolve())


class TestOpens:
    def test_what_was_found(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"text")
        with only(tmp_path / "a").open() as file:
            assert file.read() == b"text"
            assert file.seek(-2, os.SEEK_END) == 2
            assert file.read() == b"xt"
            with pytest.raises(ValueError, match="before the file's beginning"):
                file.seek(-9, os.SEEK_END)

    def test_one_that_was_exchanged_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"text")
        found = only(path)
        (tmp_path / "b").write_bytes(b"text")
        (tmp_path / "b").replace(path)
        with pytest.raises(InputError, match="changed while it was read"):
            found.open()
        path.unlink()
        path.symlink_to("/etc/hostname")
        with pytest.raises(InputError, match="can't be read"):
            found.open()

    def test_what_is_added_meanwhile_is_never_read_and_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"text")
        found = only(path)
        with found.open() as file:
            path.write_bytes(b"text and more")
            assert file.read() == b"text"
            with pytest.raises(InputError, match="it had 4 bytes"):
                found.check_unchanged(file)

    def test_what_is_cut_off_meanwhile_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"text")
        with only(path).open() as file:
            path.write_bytes(b"te")
            with pytest.raises(InputError, match="the last"):
                file.read()


def test_names_that_can_not_be_printed_are_escaped() -> None:
    assert spelled("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert spelled("befund-ä.pdf") == "befund-ä.pdf"


class TestDatabases:
    """A folder of records that happens to hold the program's home."""

    def names(self, folder: Path) -> dict[str, bool]:
        """Return which files of a folder are opened."""
        opened = {}
        for found in walk(folder):
            with suppress(InputError):
                opened[found.shown.name] = False
                found.open().close()
                opened[found.shown.name] = True
        return opened

    def test_one_that_this_process_has_open_keeps_its_locks(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.sqlite"
        private_file(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE one (a)")
            db.execute("BEGIN IMMEDIATE")
            os.link(path, tmp_path / "linked")
            (tmp_path / "record.json").write_text("{}")
            assert self.names(tmp_path) == {
                **dict.fromkeys(("journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal", "linked"), False),
                "record.json": True,
            }
            # Whoever wants to write meanwhile still finds it locked.
            writes = (
                "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('INSERT INTO one VALUES (1)')"
            )
            run = subprocess.run([sys.executable, "-c", writes, path], capture_output=True, text=True, timeout=60)
            assert "database is locked" in run.stderr

    def test_one_of_another_program_is_a_file_as_any_other(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "data.sqlite")) as db:
            db.execute("CREATE TABLE one (a)")
        assert self.names(tmp_path) == {"data.sqlite": True}

    def test_a_file_that_took_a_databases_number_is_opened(self, tmp_path: Path) -> None:
        path, other = tmp_path / "gone.sqlite", tmp_path / "record"
        private_file(path)
        path.rename(other)
        assert self.names(tmp_path) == {"record": True}
