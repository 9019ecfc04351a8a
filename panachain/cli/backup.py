"""`backup`: the folder of a service, or a home, saved while it is in use, and restored.

Never overwrites anything, and holds no file whole in memory: a home may contain a store. SQLite databases are copied by
SQLite itself, so that a copy is one moment's, whatever is written meanwhile. What can be made again is left out: copies
of chains, metrics, sockets, locks. Follows docs/spec/cli.md, section "Backups" (`panachain/backup/1`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.words import size
from panachain.errors import DiskError, IntegrityError, UsageError
from panachain.private_files import make_private_folder, private_file, to_read_alone

LEFT_OUT: Final = frozenset({"follow", "metrics", "nonces"})
"""Folders that are made again."""
_BESIDE: Final = ("-wal", "-shm", "-journal", ".lock", ".new")
"""Ends of names of what SQLite or a lock keeps beside a file, and of what isn't written to its end."""
_ANOTHER: Final = "name a file that `panachain backup save` wrote, or take another copy of it"
_SUMS: Final = "backup.json"
_SCHEMA: Final = "panachain/backup/1"
_SQLITE: Final = b"SQLite format 3\0"
"""How a database file begins (SQLite's file format, section 1.3)."""
_PIECE: Final = 1 << 20
"""Bytes that are held at once."""
_SUM: Final = 80
"""Bytes that the list of files has for each of them beside its name."""
_LETTER: Final = 12
"""Bytes that it has for a character of a name at the most, as JSON escapes it."""


@dataclass(frozen=True)
class Saved:
    """What an archive holds."""

    archive: str
    files: int
    size: int
    """Bytes of the files."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/saved/1`."""
        return {"schema": "panachain/saved/1", **vars(self)}


@click.group(
    "backup",
    cls=LazyGroup,
    epilog="""
        panachain backup save /srv/panachain/proxy proxy.tar
        panachain backup restore proxy.tar /srv/panachain/proxy
    """,
)
def backup() -> None:
    """Save a home or a service's folder while it is in use, and restore it."""


@command(
    "save",
    unchanged="the folder is as it was, and no archive is left",
    after="the same command again: something may have changed at that moment",
    examples="panachain backup save /srv/panachain/proxy proxy.tar",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("archive", metavar="FILE", type=click.Path(path_type=Path))
def save_(folder: Path, archive: Path) -> None:
    """Write all of FOLDER that can't be made again into a new FILE, and read it back.

    The services may go on meanwhile. FILE holds key stores and keys: keep it where nobody else reads it.
    """
    _show(save(folder, archive))


@command(
    "restore",
    unchanged="the archive is as it was, and no folder was made",
    examples="panachain backup restore proxy.tar /srv/panachain/proxy",
)
@click.argument("archive", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def restore_(archive: Path, folder: Path) -> None:
    """Fill a new FOLDER from FILE, once every byte of it is checked."""
    _show(restore(archive, folder))


backup.add_command(save_)
backup.add_command(restore_)


def _show(saved: Saved) -> None:
    app = current()
    app.output.one(saved, fields=("archive", "files", "size"), also={"size": size(saved.size)})


def save(folder: Path, archive: Path) -> Saved:
    """Write an archive of a folder.

    Raises:
        UsageError: there is no such folder, or the archive is there already.
        IntegrityError: a database is damaged, or what was written isn't what was read.
        DiskError: a file can't be read or written.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    with _disk():
        try:
            descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(f"{archive} exists already; it was left as it is", hint="name another file") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(file, folder)
                file.flush()
                os.fsync(file.fileno())
            # A backup that can't be restored is none.
            return _checked(archive)
        except BaseException:
            archive.unlink(missing_ok=True)
            raise


def restore(archive: Path, folder: Path) -> Saved:
    """Fill a new folder from an archive.

    Raises:
        UsageError: there is no such archive, or the folder is there already.
        IntegrityError: the archive is damaged, or names a file outside the folder; nothing was written.
        DiskError: a file can't be read or written.
    """
    with _disk():
        if not archive.is_file():
            raise UsageError(f"there is no file {archive}")
        if folder.exists() or folder.is_symlink():
            raise UsageError(f"{folder} exists already; it was left as it is", hint="name a new folder")
        found = _checked(archive)
        # Beside it first, so that the folder is there whole or not at all, whatever ends this program.
        made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
        try:
            make_private_folder(made)
            # Read once more, and so checked once more: it may be another file by now.
            _checked(archive, made)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return found


def _write(file: IO[bytes], folder: Path) -> None:
    sums: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w") as tar:
        # Databases first: what an index names is then in the files that are copied after it, which only grow.
        paths = _files(folder)
        for path in sorted(paths, key=lambda path: (not _is_database(path), path)):
            name, mode = path.relative_to(folder).as_posix(), stat.S_IMODE(path.stat().st_mode)
            with _opened(path) as content:
                sums[name] = _add(tar, name, content, os.fstat(content.fileno()).st_size, mode)
        listed = json.dumps({"schema": _SCHEMA, "sha256": sums}).encode()
        _add(tar, _SUMS, io.BytesIO(listed), len(listed), 0o600)


def _files(folder: Path) -> list[Path]:
    """Return the files that are kept: no link, no socket."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not path.name.endswith(_BESIDE)
        and not LEFT_OUT & set(path.relative_to(folder).parts)
    ]


def _is_database(path: Path) -> bool:
    # Closing it drops the locks that this process has on it: `save` has none of these databases open then.
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, or of a database a copy as of one moment."""
    if not _is_database(path):
        with path.open("rb") as file:
            yield file
        return
    # Beside nothing of others: the copy holds what the database holds.
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        private_file(copy)
        try:
            with (
                closing(sqlite3.connect(to_read_alone(path), uri=True, timeout=60)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
                # One file: what lies beside it would be forgotten.
                target.execute("PRAGMA journal_mode=DELETE")
                whole = target.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError as exc:
            raise IntegrityError(f"{path} can't be copied: {exc}") from exc
        if not whole:
            raise IntegrityError(f"{path} is damaged")
        with copy.open("rb") as file:
            yield file


class _InPieces:
    """An archive of which nobody takes more than a piece at once.

    tarfile reads a name as long as its header says into memory, and all that is left for a length below zero.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.name = file.name
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        self._check(0 <= count <= _PIECE)
        return self._file.read(count)

    def seek(self, position: int) -> int:
        self._check(position >= 0)
        return self._file.seek(position)

    def _check(self, fits: bool) -> None:
        if not fits:
            raise IntegrityError(f"{self.name} states a length that none of its parts has")


def _pieces(file: IO[bytes], most: int) -> Iterator[bytes]:
    """Yield the first bytes of a file, up to so many."""
    while most > 0 and (piece := file.read(min(most, _PIECE))):
        most -= len(piece)
        yield piece


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sum = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self.sum.update(data)
        return data


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], length: int, mode: int) -> str:
    """Put a file of so many bytes into an archive, whatever is appended to it meanwhile, and return its SHA-256."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = length, mode
    hashing: Any = _Hashing(content)
    tar.addfile(member, hashing)
    return str(hashing.sum.hexdigest())


def _checked(archive: Path, folder: Path | None = None) -> Saved:
    """Check an archive to its last byte, and write its files into a folder, if one is given.

    Raises:
        IntegrityError: it is damaged, or names a file outside.
    """
    found: dict[str, str] = {}
    listed: bytes | None = None
    length = 0
    try:
        # As `save` writes it: a packed archive, or a file with holes, would take any room that its maker writes down.
        with archive.open("rb") as raw, tarfile.open(fileobj=cast(IO[bytes], _InPieces(raw)), mode="r:") as tar:
            most = 0
            for member in tar:
                path = PurePosixPath(member.name)
                file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if (
                    file is None
                    or path.is_absolute()
                    or ".." in path.parts
                    or member.name in found
                    or listed is not None
                ):
                    raise IntegrityError(f"{archive}: {member.name!a} is no file inside the folder")
                if member.name == _SUMS:
                    # No larger than one of the files before it is: what it takes once it is read follows from that.
                    listed = b"".join(_pieces(file, min(member.size, most + _SUM)))
                    continue
                most += _SUM + _LETTER * len(member.name)
                length += member.size
                if folder is None:
                    found[member.name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
                else:
                    found[member.name] = _put(file, folder / path)
        fields = json.loads(listed or b"{}")
        if fields["schema"] != _SCHEMA:
            raise IntegrityError(f"{archive} is of format {fields['schema']!a}, not {_SCHEMA}")
        wanted = fields["sha256"]
    except (tarfile.TarError, KeyError, TypeError, ValueError, EOFError, RecursionError) as exc:
        raise IntegrityError(f"{archive} can't be read as a backup", hint=_ANOTHER) from exc
    if wanted != found:
        raise IntegrityError(f"{archive} is damaged", hint=_ANOTHER)
    return Saved(str(archive), len(found), length)


def _put(file: IO[bytes], place: Path) -> str:
    """Write a file for its owner only, and return its SHA-256."""
    make_private_folder(place.parent)
    content: Any = _Hashing(file)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        shutil.copyfileobj(content, made, _PIECE)
        made.flush()
        os.fsync(made.fileno())
    return str(content.sum.hexdigest())


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise DiskError(f"{where}{exc.strerror or exc}") from exc
