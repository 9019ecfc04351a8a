"""Files and folders that nobody but their owner can look into, from their first moment on.

Never leaves half a file, never follows a link in a file's place, and never believes the umask: each folder that has to
be made on the way is private too. Follows docs/spec/cli.md, section "State on disk", and security rule 21.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_LAX: Final = "others may write it (chmod go-w; where a disk knows no such rights, a copy elsewhere)"
_MAKING: Final = threading.Lock()
"""Held while an empty file is made that a library opens by its name."""
_HELD: Final = dict[tuple[int, int], str]()
"""Files that this process gave to a library that locks them, by device and number: where each lies, without links."""
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""Ends of the names of what SQLite has open beside a database, and of the database itself."""


def make_private_folder(path: Path) -> None:
    """Make a folder that nobody else can look into (0700), and those above it that aren't there; others stay.

    Raises:
        OSError: it can't be made, or something else has its name.
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        # `parents=True` would make those above with the mode that the umask leaves.
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        if not path.is_dir():
            raise


def own_folder(path: Path) -> None:
    """Make a folder that is all ours (0700); one that is there is closed to others.

    Raises:
        OSError: it can't be made or closed, or belongs to somebody else.
    """
    make_private_folder(path)
    _close(path, path.stat(), 0o700)


def private_file(path: Path) -> None:
    """Make an empty file of our own (0600), with its folder; one that is there is closed to others.

    For libraries that open a file by its name, as SQLite does, whose other files then get its mode. A file that is
    there isn't opened: closing any descriptor of a file drops all locks that this process has on it (POSIX, `fcntl`),
    those of SQLite among them, and others would write beside whoever believes to be alone.

    Raises:
        OSError: it can't be made or closed, is a link or no file, or belongs to somebody else.
    """
    make_private_folder(path.parent)
    # Whoever finds the file that is made here finds it closed: a library's lock on it comes after that.
    with _MAKING:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    _check_is_file(path, found)
    _close(path, found, 0o600)
    _HELD[found.st_dev, found.st_ino] = os.path.realpath(path)


def is_held(path: Path, found: os.stat_result) -> bool:
    """Tell whether a library of this process may have locks on a file, so that nobody else opens it here.

    Looks at names and numbers only. One whose library closed it counts as held for as long as it lies there.

    Args:
        path: of the file, without links.
        found: what `stat` says of it.
    """
    if not _HELD:
        return False
    name = str(path)
    # Written by other threads meanwhile.
    held = list(_HELD.values())
    if any(name == f"{one}{end}" for one in held if name.startswith(one) for end in _BESIDE):
        return True
    # The same file by another name; but a number that was a database's may be another file's by now.
    where = _HELD.get((found.st_dev, found.st_ino))
    return where is not None and _is_at(where, found)


def _is_at(where: str, found: os.stat_result) -> bool:
    with suppress(OSError):
        there = os.lstat(where)
        return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)
    return False


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of a file of our own, which is made if need be; raises as `private_file`.

    Never of a database of SQLite: see `private_file`.

    Args:
        path: of the file.
        flags: of `os.open`, beside those that make it.
    """
    make_private_folder(path.parent)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        found = os.fstat(descriptor)
        _check_is_file(path, found)
        _close(path, found, 0o600, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, most: int) -> bytes:
    """Return a file's content; nothing else in its place is read, nor waited for, as a FIFO would be.

    Args:
        path: of the file; links are followed.
        most: bytes that it may have.

    Raises:
        OSError: it can't be read, or is no file.
        ValueError: it is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        _check_is_file(path, os.fstat(descriptor))
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Keep every other thread and process out that changes a file: what one reads, and then writes, is one change.

    Not to be entered twice by one thread. Reading alone needs no lock, since files are written whole.

    Args:
        path: of the file; the lock lies beside it, empty.

    Raises:
        OSError: the folder isn't there, or can't be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.with_name(f".{path.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only (0600)."""
    with beside(path, content) as temporary:
        os.replace(temporary, path)


@contextmanager
def beside(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file that is to take `path`'s place, whole and on the disk, and give its path; what is left there goes.

    Raises:
        OSError: the disk refuses.
    """
    # A name that nobody foresees, and a file that is new: no link of somebody else's stands there.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Give what can't be read another name beside its place, which nobody reads and nobody takes away; return it.

    Args:
        path: of the file, or of what stands in a file's place.

    Raises:
        OSError: it isn't there, or its folder can't be written.
    """
    number = 1
    while True:
        aside = path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))
        # An earlier one is nobody's to write over, a link that leads nowhere included.
        if not os.path.lexists(aside):
            path.rename(aside)
            return aside
        number += 1


def to_read_alone(path: Path) -> str:
    """Return the URI by which SQLite opens a file for reading, and never makes it.

    Escaped: of a name with a question mark, a hash or a percent sign it would open another file, and make it if need be
    (SQLite, "URI filenames").
    """
    return f"{path.absolute().as_uri()}?mode=ro"


def forbid_core_dumps() -> None:
    """Keep this process and its children from writing a core dump, a file that would hold their keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def others_may_write(folder: Path) -> bool:
    """Tell whether somebody else may put files into a folder, or take them out.

    A group that is the user's own counts as the user: many systems give each one, and let it write.
    """
    return _is_writable(folder.stat())


def is_exchangeable(path: Path) -> bool:
    """Tell whether somebody else may put another file or folder in a path's place.

    Where only the owner takes away what they made (the sticky bit, as of /tmp), nobody else may. Only the folder it
    lies in is looked at: those above are their owner's, and machines whose volumes everybody may write to are many.

    Raises:
        OSError: that folder can't be looked at.
    """
    # Where the links on the way lead to.
    above = path.parent.resolve()
    return above.is_dir() and others_may_write(above) and not above.stat().st_mode & stat.S_ISVTX


def read_trusted(path: Path, most: int, *, owned: bool = False) -> bytes:
    """Return at most so many bytes of a file that says what its reader trusts or runs: nobody else may write it.

    Args:
        path: of the file.
        most: bytes; one more than is taken shows that it is larger.
        owned: whether it must be the user's own or the system's. Without it a file that a container mounts is read as
            well, of whatever owner and group, unless it lies where anybody could have put it.

    Raises:
        PermissionError: others may write it, or it is somebody else's.
        OSError: it can't be read, or is no file.
    """
    # Without waiting for whoever writes into a pipe of that name.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check_is_file(path, found)
        # Of what is mounted nobody here knows who a group's members are, and whoever mounts it does.
        is_mounted = not owned and found.st_uid != os.geteuid()
        lax = found.st_mode & stat.S_IWOTH if is_mounted else _is_writable(found)
        if lax:
            raise PermissionError(errno.EPERM, _LAX, str(path))
        if found.st_uid not in (0, os.geteuid()) and (owned or path.parent.stat().st_mode & stat.S_IWOTH):
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        return file.read(most)


def _is_writable(found: os.stat_result) -> bool:
    own = found.st_gid == os.getegid() == os.geteuid()
    return bool(found.st_mode & (stat.S_IWOTH if own else stat.S_IWOTH | stat.S_IWGRP))


def _check_is_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "this is no file", str(path))


def _close(path: Path, found: os.stat_result, allowed: int, descriptor: int | None = None) -> None:
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
    if stat.S_IMODE(found.st_mode) & ~allowed:
        os.chmod(path if descriptor is None else descriptor, allowed)
