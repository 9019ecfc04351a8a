"""Back up the folder of a service or a home while it is in use, and restore it.

    python backup.py save FOLDER ARCHIVE        writes a new tar file (0600) and reads it back
    python backup.py restore ARCHIVE FOLDER     fills a new folder (0700), once every byte is checked

SQLite databases are copied by SQLite itself, so that a copy is one moment's, whatever is written meanwhile. What can be
made again is left out: copies of chains, metrics, sockets, locks. Nothing is overwritten. The archive holds key stores
and keys: keep it where nobody else reads it. Python's own library is enough, so the file can be copied to any machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

LEFT_OUT = frozenset({"follow", "metrics", "nonces"})
"""Folders that are made again."""
MANIFEST = "backup.json"
SQLITE = b"SQLite format 3\0"
"""How a database file begins (SQLite, section 1.3 of its file format)."""


def save(folder: Path, archive: Path) -> int:
    """Write an archive of a folder, and return how many files it has.

    Raises:
        FileExistsError: the archive is there already.
        OSError: a file can't be read or written.
        ValueError: what was written isn't what was read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        sums: dict[str, str] = {}
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            for path in sorted(files(folder)):
                name, content = path.relative_to(folder).as_posix(), read(path)
                sums[name] = hashlib.sha256(content).hexdigest()
                add(tar, name, content, stat.S_IMODE(path.stat().st_mode))
            add(tar, MANIFEST, json.dumps({"schema": "panachain/backup/1", "sha256": sums}).encode(), 0o600)
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        # Read back: a backup that can't be restored is none.
        return len(checked(archive))
    except BaseException:
        archive.unlink(missing_ok=True)
        raise


def restore(archive: Path, folder: Path) -> int:
    """Fill a new folder, and return how many files it has.

    Raises:
        FileExistsError: the folder is there already.
        ValueError: the archive is damaged, or names a file outside the folder; nothing was written.
    """
    content = checked(archive)
    folder.mkdir(mode=0o700)
    for name, (data, mode) in content.items():
        place = folder / name
        for parent in reversed(place.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return len(content)


def files(folder: Path) -> list[Path]:
    """Return the files that are kept: no link, no socket, and nothing that SQLite or a lock keeps beside a file."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        beside = path.name.endswith(("-wal", "-shm", "-journal", ".lock", ".new"))
        if path.is_file() and not path.is_symlink() and not beside and not LEFT_OUT & set(parts):
            found.append(path)
    return found


def read(path: Path) -> bytes:
    """Return a file's content, a database's as of one moment."""
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            file.seek(0)
            return file.read()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        source = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
            # One file: what lies beside it would be forgotten.
            target.execute("PRAGMA journal_mode=DELETE")
            if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ValueError(f"{path} is damaged")
        finally:
            source.close()
            target.close()
        return copy.read_bytes()


def add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    """Put one file into an archive."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def checked(archive: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of each file in an archive, once all of it is known to be whole.

    Raises:
        ValueError: it is damaged, or names a file outside.
    """
    found: dict[str, tuple[bytes, int]] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                file = tar.extractfile(member)
                if file is None or path.is_absolute() or ".." in path.parts:
                    raise ValueError(f"{archive}: {member.name} is no file inside the folder")
                found[member.name] = file.read(), member.mode
        manifest = json.loads(found.pop(MANIFEST)[0])["sha256"]
    except (tarfile.TarError, KeyError, TypeError, EOFError) as exc:
        raise ValueError(f"{archive} can't be read as a backup") from exc
    if manifest != {name: hashlib.sha256(content).hexdigest() for name, (content, _) in found.items()}:
        raise ValueError(f"{archive} is damaged")
    return found


def main(arguments: list[str]) -> int:
    """Do what is asked for, and return the exit code."""
    works = {"save": save, "restore": restore}
    if len(arguments) != 3 or arguments[0] not in works:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    work, first, second = works[arguments[0]], Path(arguments[1]), Path(arguments[2])
    try:
        count = work(first, second)
    except (OSError, ValueError, sqlite3.Error) as exc:
        sys.stderr.write(f"{arguments[0]} failed: {exc}\n  state: {second} wasn't written\n")
        return 1
    print(f"{count} files in {second}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
