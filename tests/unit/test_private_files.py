"""Files that are whole or not there at all, and that nobody but their owner can read."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import panachain
from panachain.follow.database import SqliteDatabase
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.private_files import (
    make_private_folder,
    open_private,
    others_may_write,
    own_folder,
    private_file,
    read_regular,
    set_aside,
    to_read_alone,
    write_private,
)
from panachain.records.journal import Journal
from panachain.service.database import SqliteDurable
from panachain.service.gate.service import AuditLog
from panachain.service.proxy.store import ProxyStore
from panachain.service.relay.store import RelayStore
from panachain.storage.embedded import EmbeddedStore


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


def test_folders_on_the_way_are_private_too(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "b" / "c")
    private_file(tmp_path / "d" / "e" / "index.sqlite")
    for path in ("a", "a/b", "a/b/c", "d", "d/e"):
        assert mode(tmp_path / path) == 0o700
    assert mode(tmp_path / "d" / "e" / "index.sqlite") == 0o600


def test_a_folder_of_our_own_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o777)
    own_folder(tmp_path / "store")
    assert mode(tmp_path / "store") == 0o700


def test_a_file_that_others_could_read_is_closed_and_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"kept")
    path.chmod(0o666)
    private_file(path)
    assert (mode(path), path.read_bytes()) == (0o600, b"kept")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    victim.chmod(0o644)
    for name, target in (("there", victim), ("nowhere", tmp_path / "made")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            private_file(tmp_path / name)
    assert (victim.read_bytes(), mode(victim), (tmp_path / "made").exists()) == (b"theirs", 0o644, False)
    write_private(tmp_path / "there", b"ours")
    assert (victim.read_bytes(), (tmp_path / "there").is_symlink()) == (b"theirs", False)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file"):
        private_file(tmp_path / "pipe")


def test_what_belongs_to_another_user_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    for take in (private_file, lambda path: own_folder(path.parent)):
        with pytest.raises(PermissionError, match="another user"):
            take(tmp_path / "note")


def test_appending_goes_on_at_the_end(tmp_path: Path) -> None:
    for text in (b"a", b"b"):
        with open(open_private(tmp_path / "log", os.O_WRONLY | os.O_APPEND), "ab") as file:
            file.write(text)
    assert (tmp_path / "log").read_bytes() == b"ab"


@pytest.mark.parametrize(
    ("mode", "group", "open_to_others"),
    [
        *((0o700, 1, False), (0o755, 1, False), (0o775, 1, True), (0o777, 1, True), (0o1777, 1, True)),
        # A group of the user's own, which many systems give each user.
        *((0o775, 0, False), (0o777, 0, True), (0o702, 0, True)),
    ],
)
def test_others_are_the_group_too_unless_it_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, group: int, open_to_others: bool
) -> None:
    tmp_path.chmod(mode)
    found = tmp_path.stat().st_gid
    monkeypatch.setattr(os, "getegid", lambda: found)
    monkeypatch.setattr(os, "geteuid", lambda: found + group)
    assert others_may_write(tmp_path) is open_to_others
    tmp_path.chmod(0o700)


PROXY = Address("0x" + "11" * 20)
OPENED: dict[str, Callable[[Path], Any]] = {
    "a hospital's journal": lambda path: Journal(path / "deep" / "journal.sqlite"),
    "a store": lambda path: EmbeddedStore(path / "deep" / "store"),
    "a relay's database": lambda path: RelayStore(path / "deep" / "relay.sqlite"),
    "a proxy's database": lambda path: ProxyStore(
        path / "deep" / "p.sqlite", bytes(32), proxy=Address("0x" + "11" * 20)
    ),
    "a gate's log": lambda path: AuditLog(path / "deep" / "audit.jsonl"),
}


@pytest.mark.parametrize("what", OPENED)
def test_all_that_a_program_keeps_is_private_from_its_first_moment_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    # Whatever the umask is, and without a moment between making a file and closing it to others.
    monkeypatch.setattr(os, "chmod", lambda *given: pytest.fail(f"made open, and closed later: {given}"))
    kept = OPENED[what](tmp_path)
    try:
        if what == "a store":
            data = b"a block"
            kept.put_block(CID.of(0x55, data), data)
        found = {path: mode(path) for path in tmp_path.rglob("*")}
        assert len(found) >= 2
        assert all(is_mode == (0o700 if path.is_dir() else 0o600) for path, is_mode in found.items()), {
            str(path): oct(is_mode) for path, is_mode in found.items()
        }
    finally:
        kept.close()


_TABLE = "CREATE TABLE IF NOT EXISTS kept (one);"
DATABASES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a hospital's journal": ("journal.sqlite", Journal),
    "a store's index": ("index.sqlite", lambda path: EmbeddedStore(path.parent)),
    "a proxy's database": ("p.sqlite", lambda path: ProxyStore(path, bytes(32), proxy=PROXY)),
    "a relay's or an issuer's database": ("d.sqlite", lambda path: SqliteDurable(path, _TABLE, "it", "nothing")),
    "a copy of a chain": ("chain.sqlite", lambda path: SqliteDatabase(path, lambda *_: None)),
}
_OTHERS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    print(db.execute(sys.argv[2]).fetchone())
except sqlite3.OperationalError as exc:
    print(exc)
"""


def of_another_process(path: Path, statement: str) -> str:
    """Return what another process is told that uses a database."""
    command = [sys.executable, "-I", "-c", _OTHERS, str(path), statement]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.mark.parametrize("what", DATABASES)
def test_whoever_opens_a_database_again_drops_none_of_its_locks(tmp_path: Path, what: str) -> None:
    name, opened = DATABASES[what]
    path = tmp_path / "deep" / name
    first = opened(path)
    # It needs the file alone, to change how its journal is kept: nobody may have it while others use it.
    alone = "PRAGMA journal_mode=DELETE"
    try:
        assert of_another_process(path, alone) == "database is locked"
        second = opened(path)
        try:
            assert of_another_process(path, alone) == "database is locked"
        finally:
            second.close()
        assert of_another_process(path, alone) == "database is locked"
    finally:
        first.close()
    # Else the question would tell nothing.
    assert of_another_process(path, alone) == "('delete',)"


def test_whoever_writes_a_database_keeps_others_out_while_another_object_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "erased.sqlite"
    private_file(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        first.execute("CREATE TABLE note (text)")
        first.execute("BEGIN IMMEDIATE")
        private_file(path)
        assert of_another_process(path, "BEGIN IMMEDIATE") == "database is locked"
        first.execute("COMMIT")
    assert of_another_process(path, "BEGIN IMMEDIATE") == "None"


def test_a_file_is_made_once_however_many_threads_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, seen = tmp_path / "index.sqlite", os.close, list[str]()

    def closes(descriptor: int) -> None:
        # A thread that comes now waits until the descriptor is closed: it would lose its locks with it.
        seen.append("closing")
        other.start()
        other.join(0.05)
        seen.append("closed" if other.is_alive() else "too early")
        real(descriptor)

    def also() -> None:
        private_file(path)
        seen.append("other")

    other = threading.Thread(target=also, daemon=True)
    monkeypatch.setattr(os, "close", closes)
    private_file(path)
    other.join(60)
    assert seen == ["closing", "closed", "other"]


def test_a_store_that_others_could_look_into_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    EmbeddedStore(folder).close()
    for path in (folder, folder / "packs"):
        path.chmod(0o755)
    (folder / "index.sqlite").chmod(0o644)
    EmbeddedStore(folder).close()
    assert [mode(path) for path in (folder, folder / "packs", folder / "index.sqlite")] == [0o700, 0o700, 0o600]


PACKAGE = Path(panachain.__file__).parent
MADE_UP = {"devnet/command.py"}
"""It writes samples that nobody's life stands in, where a user wants to look at them."""


MAKING = {"mkdir", "makedirs", "write_text", "write_bytes", "touch", "open", "connect"}
"""Last names of what makes files and folders."""


def makes_files_openly(path: Path) -> set[str]:
    """Return by what a module makes files or folders that the umask may leave open to others."""
    found = set()
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        # Most calls are of something else, and writing them out takes longer than all the rest.
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in MAKING:
            continue
        called = ast.unparse(node.func)
        given = [ast.unparse(argument) for argument in (*node.args, *(keyword.value for keyword in node.keywords))]
        if called.endswith((".mkdir", ".makedirs", ".write_text", ".write_bytes", ".touch")):
            # A umask takes rights away, and gives none. Parents that are made on the way have others.
            closed = (
                called.endswith(".mkdir")
                and f"{0o700}" in given
                and "parents" not in [one.arg for one in node.keywords]
            )
            found |= {called} - ({called} if closed else set())
        if called == "open" and len(given) > 1 and given[1][1:2] in ("w", "a", "x"):
            # Of a descriptor that was made private, or that nobody else has.
            found |= {called} - ({called} if given[0].startswith(("open_private(", "os.open(")) else set())
        if called == "os.open" and "O_CREAT" in given[1]:
            found |= {called} - ({called} if "O_EXCL" in given[1] and given[2:] == [str(0o600)] else set())
        if called == "sqlite3.connect" and "private_file(" not in text:
            # What is opened for reading alone is never made.
            makes = given[0] not in (repr(":memory:"), repr("")) and not given[0].startswith("to_read_alone(")
            found |= {called} if makes else set()
    return found


@pytest.mark.checkout
def test_nobody_else_makes_files_or_folders() -> None:
    modules = (path for path in PACKAGE.rglob("*.py") if path.name != "private_files.py")
    open_ones = {path.relative_to(PACKAGE).as_posix(): found for path in modules if (found := makes_files_openly(path))}
    assert set(open_ones) == MADE_UP, open_ones


def test_what_makes_files_openly_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "open(a, 'w')\nopen(a, 'rb')\nos.open(a, os.O_CREAT, 0o644)\nb.mkdir()\nsqlite3.connect(a)\n"
        "sqlite3.connect(':memory:')\nsqlite3.connect('')\nsqlite3.connect(to_read_alone(a), uri=True)\n"
        "c.mkdir(mode=0o700)\nd.mkdir(0o755)\ne.mkdir(0o700, parents=True)\n"
    )
    assert makes_files_openly(file) == {"open", "os.open", "b.mkdir", "d.mkdir", "e.mkdir", "sqlite3.connect"}


def test_a_process_that_holds_keys_writes_no_core_dump() -> None:
    code = (
        "import resource\n"
        "from panachain.private_files import forbid_core_dumps\n"
        "forbid_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"(0, 0)"


def test_what_is_set_aside_keeps_its_content_and_writes_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "note"
    (tmp_path / "note.damaged").symlink_to("nowhere")
    for number in (2, 3):
        path.write_bytes(b"%d" % number)
        assert set_aside(path) == tmp_path / f"note.damaged-{number}"
    path.mkdir()
    set_aside(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["note.damaged", *(f"note.damaged-{n}" for n in (2, 3, 4))]
    assert (tmp_path / "note.damaged-3").read_bytes() == b"3"
    with pytest.raises(FileNotFoundError):
        set_aside(path)


def test_only_files_of_a_size_are_read_and_nothing_else_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"text")
    (tmp_path / "link").symlink_to("note")
    assert read_regular(tmp_path / "note", 4) == read_regular(tmp_path / "link", 4) == b"text"
    with pytest.raises(ValueError, match="more than 3 bytes"):
        read_regular(tmp_path / "note", 3)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(OSError, match=r"no file|Is a directory"):
            read_regular(tmp_path / name, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "gone", 4)


def test_sqlite_opens_for_reading_alone_the_file_that_is_named_and_makes_none(tmp_path: Path) -> None:
    named = tmp_path / "a?b#c%20d.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(to_read_alone(named), uri=True).execute("SELECT 1 FROM sqlite_master")
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(named)) as made:
        made.execute("CREATE TABLE one (number)")
    with closing(sqlite3.connect(to_read_alone(named), uri=True)) as read:
        assert read.execute("SELECT name FROM sqlite_master").fetchall() == [("one",)]
        with pytest.raises(sqlite3.OperationalError):
            read.execute("INSERT INTO one VALUES (1)")
