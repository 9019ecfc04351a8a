"""Archives: the files in a zip or gzip archive, each read as a file of its own, within bounds.

Unpacks into the hands of a reader, never to a disk: a member's name is a word in messages and never a path. Opens gzip
inside zip (bulk exports), no other archive in an archive. Whatever is encrypted, damaged, no regular file or compressed
in another way is refused by name, and stops no other member; one that swells beyond the bounds ends its archive.
Follows RFC 1952 (gzip), APPNOTE 6.3.10 (zip) and IHE ITI TF-2 3.32.4.1 (XDM).
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any, BinaryIO, Final

from panachain.errors import InputError

MAX_MEMBERS: Final = 10_000
"""Files in one archive."""
MAX_TOTAL: Final = 16 << 30
"""Bytes of all members of one archive, unpacked."""
MAX_RATIO: Final = 250
"""Bytes that a byte of an archive may unpack to, beyond FREE; NDJSON in gzip has 10 to 60."""
FREE: Final = 16 << 20
"""Bytes of all members that may have any ratio."""
_AT_ONCE: Final = 4 << 20
"""Bytes that are read at once at most: those of a zip archive's directory."""
_CHUNK: Final = 1 << 16
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others take a dictionary as large as their header says."""
_ENCRYPTED: Final = 0x41
"""Bits of a member's flags: encrypted, strongly encrypted."""
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_DOCUMENTS: Final = frozenset({"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"})
"""Members of a document or program that is a zip archive: Office Open XML, OpenDocument, EPUB, Java."""
_BROKEN: Final = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError, IndexError, KeyError),
)
"""What reading a damaged archive raises."""
_UNPACK: Final = "unpack it and name the folder: each file then goes where its content belongs"


@dataclass(frozen=True)
class Member:
    """One file in an archive, unpacked once to check it."""

    name: str
    """As the archive says."""
    size: int
    """Bytes, unpacked."""
    packed: int
    """Bytes that it takes in its archive."""
    digest: bytes
    """SHA-256 of its bytes."""
    content: bytes | None = field(repr=False)
    """Its bytes, if they are few enough."""
    _open: Callable[[], BinaryIO] = field(repr=False)

    def open(self) -> BinaryIO:
        """Open the member; it can be sought, which unpacks it again."""
        return self._open()


@dataclass(frozen=True)
class Refused:
    """One file in an archive that can't be read, or the rest of the archive where `name` is empty."""

    name: str
    error: InputError


class _BrokenError(InputError):
    """An archive, or a member of one, that is damaged."""


def is_archive(start: bytes) -> bool:
    """Whether a file that starts like this can be opened here."""
    return start.startswith((_GZIP, *_ZIP))


def is_document(file: BinaryIO) -> bool:
    """Whether a zip archive is one document or program, and no set of files."""
    if not file.read(4).startswith(_ZIP):
        return False
    try:
        with _directory(file) as archive:
            return not _DOCUMENTS.isdisjoint(info.filename for info in archive.infolist())
    except InputError:
        return False


def members(open_file: Callable[[], BinaryIO], size: int, name: str, held: int) -> Iterator[Member | Refused]:
    """Yield the files in an archive in its order, hidden ones left out, each checked to its last byte.

    Args:
        open_file: opens the archive.
        size: its bytes.
        name: that a file in gzip has.
        held: bytes up to which a member is held in memory.
    """
    budget = _Budget(size)
    with open_file() as file:
        try:
            if file.read(len(_GZIP)) == _GZIP:
                yield _checked(name, size, lambda: _opened(open_file, None), held, budget)
                return
            with _directory(file) as archive:
                listed = _listed(archive)
                for info in listed:
                    yield _member(archive, info, open_file, held, budget)
            if not listed:
                raise InputError("the archive holds no files", hint=_UNPACK)
        except InputError as exc:
            yield Refused("", exc)


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, open_file: Callable[[], BinaryIO], held: int, budget: _Budget
) -> Member | Refused:
    """Return a member of a zip archive, or why it can't be read."""
    try:
        _check(info)
        with _mapped(), archive.open(info) as inner:
            packed = inner.read(len(_GZIP)) == _GZIP
        name = info.filename.removesuffix(".gz") if packed else info.filename

        def first() -> io.RawIOBase:
            with _mapped():
                return _Unpacked(archive.open(info), packed, budget)

        return _checked(name, info.compress_size, lambda: _opened(open_file, info), held, budget, first)
    except _BrokenError as exc:
        return Refused(info.filename, exc)


def _checked(
    name: str,
    packed: int,
    reopen: Callable[[], BinaryIO],
    held: int,
    budget: _Budget,
    first: Callable[[], io.RawIOBase | BinaryIO] | None = None,
) -> Member:
    """Unpack a member once.

    Raises:
        _BrokenError: it is damaged.
        InputError: the archive swells too much.
    """
    digest, size, kept = sha256(), 0, bytearray()
    with (first or reopen)() as file:
        while piece := file.read(_CHUNK):
            budget.take(len(piece))
            digest.update(piece)
            size += len(piece)
            if size <= held:
                kept += piece
            else:
                kept.clear()
    return Member(name, size, packed, digest.digest(), bytes(kept) if size <= held else None, reopen)


class _Budget:
    """Counts what an archive unpacks to."""

    def __init__(self, packed: int) -> None:
        self._most = min(MAX_TOTAL, max(FREE, packed * MAX_RATIO))
        self._taken = 0

    def take(self, size: int) -> None:
        """Count bytes.

        Raises:
            InputError: they are too many.
        """
        self._taken += size
        if self._taken > self._most:
            raise InputError(
                f"the archive unpacks to more than {self._most} bytes, {MAX_RATIO} for each of its own at most; the"
                " rest of it wasn't read",
                hint=_UNPACK,
            )


class _Guarded(io.RawIOBase):
    """An archive's file that isn't read all at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        # zipfile reads the whole directory, however large the archive says that it is.
        piece = self._file.read(_AT_ONCE + 1 if not 0 <= size <= _AT_ONCE else size)
        if len(piece) > _AT_ONCE:
            raise _BrokenError(f"the archive's directory has more than {_AT_ONCE} bytes", hint=_UNPACK)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Unpacked(io.RawIOBase):
    """A member's bytes; whatever goes wrong is an InputError."""

    def __init__(self, inner: IO[bytes], packed: bool, budget: _Budget | None, below: ExitStack | None = None) -> None:
        self._below = below or ExitStack()
        self._below.callback(inner.close)
        self._inner: IO[bytes] = inner
        if packed:
            # Nothing that a member in a member swells to goes uncounted.
            self._inner = gzip.GzipFile(fileobj=inner if budget is None else _Counted(inner, budget), mode="rb")  # type: ignore[assignment]
        self._fileno: Callable[[], int] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._fileno is None:
            raise io.UnsupportedOperation("a member that is read for the first time")
        return self._fileno()

    def readinto(self, buffer: Any, /) -> int:
        with _mapped():
            # No more at once: zipfile takes as many packed bytes as it is asked for.
            piece = self._inner.read(min(len(buffer), _CHUNK))
        memoryview(buffer)[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with _mapped():
            return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        if not self.closed:
            self._below.close()
        super().close()


class _Counted(io.RawIOBase):
    """What a member in a member is read from."""

    def __init__(self, file: IO[bytes], budget: _Budget) -> None:
        self._file = file
        self._budget = budget

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self._budget.take(len(piece))
        return piece


def _opened(open_file: Callable[[], BinaryIO], info: zipfile.ZipInfo | None) -> BinaryIO:
    """Open a member, or what is in gzip, anew."""
    with ExitStack() as stack:
        file = stack.enter_context(open_file())
        if info is None:
            found = _Unpacked(file, packed=True, budget=None, below=stack.pop_all())
        else:
            archive = stack.enter_context(_directory(file))
            with _mapped():
                inner = archive.open(info)
                packed = inner.read(len(_GZIP)) == _GZIP
                inner.seek(0)
            found = _Unpacked(inner, packed, budget=None, below=stack.pop_all())
        found._fileno = file.fileno
        return io.BufferedReader(found, _CHUNK)


@contextmanager
def _directory(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive."""
    with _mapped():
        archive = zipfile.ZipFile(_Guarded(file))
    with archive:
        yield archive


def _listed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return an archive's files; folders, hidden files and what macOS adds are none."""
    found = [info for info in archive.infolist() if not info.is_dir()]
    if len(found) > MAX_MEMBERS:
        raise InputError(f"an archive of more than {MAX_MEMBERS} files", hint=_UNPACK)
    return [info for info in found if not _is_hidden(info.filename.replace("\\", "/").split("/"))]


def _is_hidden(parts: list[str]) -> bool:
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part.strip(".") for part in parts)


def _check(info: zipfile.ZipInfo) -> None:
    """Check that a member may be unpacked.

    Raises:
        _BrokenError: it may not.
    """
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise _BrokenError("it is a symbolic link or a device, no file", hint=_UNPACK)
    if info.flag_bits & _ENCRYPTED:
        raise _BrokenError("it is encrypted", hint=_UNPACK)
    if info.compress_type not in _METHODS:
        raise _BrokenError(
            f"it is compressed by method {info.compress_type}; zip's methods 0 and 8 are read", hint=_UNPACK
        )


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except _BROKEN:
        # No word of the error's own: its text may quote the archive.
        raise _BrokenError("it is damaged, and can't be unpacked", hint=_UNPACK) from None
