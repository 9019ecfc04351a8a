"""Walk: the regular files that a path names, found and opened without following anything out of its folder.

Never blocks on a FIFO or a device, never reads more bytes than a file had when it was found, and refuses one that
changed since. Follows security rule 13 and POSIX (open, lstat).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from panachain.errors import InputError, UsageError

CHUNK: Final = 1 << 20
"""Bytes that are read at once."""
_HINT: Final = "correct that file, or leave it out; what was published before isn't published twice"


@dataclass(frozen=True)
class FoundFile:
    """A regular file as it was found."""

    shown: Path
    """As it was named or found, for messages and for its suffix."""
    real: Path
    """Without links."""
    found: os.stat_result

    def open(self) -> BinaryIO:
        """Open the file that was found, and no other one.

        Raises:
            InputError: it can't be read, is another one now, or is a database that this process has open: closing it
                here would drop the locks that SQLite has on it (POSIX, `fcntl`).
        """
        # Imported here: the process that reads beside an upload opens no file.
        from panachain.private_files import is_held

        if is_held(self.real, self.found):
            raise InputError(
                "it is a database of this program, which has it open",
                hint="leave the program's home out: name the folders that hold records",
            )
        try:
            # A moment ago it was a regular file. Should it be a FIFO or a link by now: neither wait nor follow.
            descriptor = os.open(self.real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            raise InputError(f"it can't be read: {exc.strerror}") from exc
        size = self.found.st_size
        # Room for all of a small file, and no more: it is made anew for each.
        file = io.BufferedReader(_ExactFile(descriptor, size), min(CHUNK, max(size, 1)))
        try:
            self.check_unchanged(file)
        except InputError:
            file.close()
            raise
        return file

    def check_unchanged(self, file: BinaryIO) -> None:
        """Check that an open file is the one that was found, as it was then.

        Raises:
            InputError: it isn't.
        """
        if _marks(os.fstat(file.fileno())) != _marks(self.found):
            raise InputError(f"it changed while it was read; it had {self.found.st_size} bytes")


class _ExactFile(io.RawIOBase):
    """A file of exactly so many bytes, no matter what is added to it or taken from it meanwhile."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("a position before the file's beginning")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        left = max(0, self._size - self._at)
        try:
            count = os.preadv(self._descriptor, [memoryview(buffer)[:left]], self._at) if left else 0
        except OSError as exc:
            raise InputError(f"it can't be read: {exc.strerror}") from exc
        if left and not count and len(buffer):
            raise InputError(f"it changed while it was read; of {self._size} bytes the last {left} are missing")
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def walk(path: Path | str) -> Iterator[FoundFile]:
    """Yield the file that a path names, or the files of the folder that it names."""
    missing = UsageError(f"there is no file or folder {spelled(path) or 'without a name'}")
    if not os.fspath(path):
        raise missing
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise missing from None
    except OSError as exc:
        raise InputError(f"{spelled(path)} can't be read: {exc.strerror}; nothing was published") from exc
    if stat.S_ISDIR(status.st_mode):
        yield from _walk_folder(Path(path), real)
    else:
        yield _regular(FoundFile(Path(path), real, status))


def _walk_folder(shown: Path, real: Path) -> Iterator[FoundFile]:
    # No recursion: folders can be nested deeper than Python's stack.
    seen: set[tuple[int, int]] = set()
    stack = [(shown, real, iter(_names(shown, real)))]
    while stack:
        folder, place, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            continue
        found = _found(folder / name, place / name, shown, real)
        if found is None:
            continue
        if not stat.S_ISDIR(found.found.st_mode):
            yield _regular(found)
        elif (key := (found.found.st_dev, found.found.st_ino)) not in seen:
            seen.add(key)
            stack.append((found.shown, found.real, iter(_names(found.shown, found.real))))


def _names(shown: Path, real: Path) -> list[str]:
    try:
        with os.scandir(real) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as exc:
        raise unpublished(shown, InputError(f"it can't be read: {exc.strerror}")) from exc


def _found(shown: Path, real: Path, root_shown: Path, root: Path) -> FoundFile | None:
    """Return what lies at a place in a folder, links followed; None for a link to what the walk meets anyway."""
    try:
        status = real.lstat()
        if not stat.S_ISLNK(status.st_mode):
            return FoundFile(shown, real, status)
        target = Path(os.path.realpath(real, strict=True))
        status = target.stat()
    except OSError as exc:
        raise unpublished(shown, InputError(f"it can't be read, or leads nowhere: {exc.strerror}")) from exc
    if not target.is_relative_to(root):
        raise unpublished(shown, InputError(f"it is a symbolic link that leads out of {spelled(root_shown)}"))
    if real.is_relative_to(target):
        raise unpublished(shown, InputError("it is a symbolic link to a folder that it lies in"))
    hidden = any(name.startswith(".") for name in target.relative_to(root).parts)
    return FoundFile(shown, target, status) if hidden else None


def _regular(file: FoundFile) -> FoundFile:
    if not stat.S_ISREG(file.found.st_mode):
        raise unpublished(file.shown, InputError("it is a device, a FIFO or a socket, no file"))
    return file


def spelled(path: Path | str) -> str:
    """Return a path for messages: what can't be printed, or isn't UTF-8, is escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def unpublished(path: Path, exc: InputError) -> InputError:
    """Return an error with the path that it is about, and what it means for the upload."""
    # What a command says after any other failure, that it goes on by itself, isn't so: the file stays as it is.
    hint = _HINT if exc.hint == exc.usual_hint else exc.hint
    return InputError(f"{spelled(path)}: {exc}; nothing was published", hint=hint)


def _marks(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells whether a file is still the same one with the same bytes."""
    return (stat.S_IFMT(status.st_mode), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
