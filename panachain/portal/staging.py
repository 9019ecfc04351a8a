"""Staging: where files lie that were dropped into the portal, until they are published or given up; exports, too.

A folder of its own for each (0700, its files 0600), below the profile that uploads. Whoever made it holds a
lock on it, so that one whose program is gone is found and removed at the next start. Names of files come from
elsewhere: none of them leads anywhere but into the folder. Follows ADR 41 and security rules 13 and 21.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panachain.errors import DiskError, PanaChainError, TooLargeError, UsageError
from panachain.plain import clean
from panachain.private_files import own_folder

_LOG: Final = logging.getLogger(__name__)
FOLDER: Final = "staging"
"""Below a profile's folder."""
MOST_FILES: Final = 20_000
"""Files of one upload."""
DEEPEST: Final = 32
"""Folders in one another."""
_LONGEST: Final = 200
"""Bytes of a name in a folder; file systems take 255."""
_LONGEST_PATH: Final = 2_000
"""Bytes of a path within the folder; systems take 4,096 with all that stands before it."""
_RESERVE: Final = 256 << 20
"""Bytes that stay free on the disk: sealing needs some, and so does everybody else."""
_NOTHING: Final = "nothing of this upload was kept or published"


class Reserved:
    """A folder of its own (0700) for what may be plain for a while. Use `close` when it isn't needed any more.

    It goes once nobody works in it: one who writes meanwhile would make its removal stop halfway.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        """Take the folder, and the descriptor that holds the lock on it."""
        self.folder = folder
        self._descriptor = descriptor
        self._uses = 0
        self._closing = False
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self, gone: PanaChainError) -> Iterator[None]:
        """Keep the folder until the end of what is done with it, also if it is closed meanwhile.

        Args:
            gone: is raised where it was closed already.
        """
        with self._lock:
            if self._closing:
                raise gone
            self._uses += 1
        try:
            yield
        finally:
            with self._lock:
                self._uses -= 1
            self._remove_unused()

    def close(self) -> None:
        """Remove all of it, once nobody works in it any more; twice is once."""
        with self._lock:
            self._closing = True
        self._remove_unused()

    def _remove_unused(self) -> None:
        with self._lock:
            if not self._closing or self._uses:
                return
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            # Whatever is left lies there without a lock, so that the next start removes it.
            os.close(descriptor)
        if self.folder.exists():
            _LOG.error("a folder below %s can't be removed; the next start tries it again", FOLDER)

    def __del__(self) -> None:
        self.close()


@dataclass
class Staged:
    """One upload's files on disk. Use `close` when they aren't needed any more."""

    _reserved: Reserved = field(repr=False)
    files: int = 0
    size: int = 0
    """Bytes of all files."""
    hidden: int = 0
    """Files that weren't taken, since a folder's hidden files are no records."""
    copies: dict[Path, bytes] = field(default_factory=dict)
    """The SHA-256 of each file, as `Hospital.upload_many` takes it."""
    _taken: set[str] = field(default_factory=set, repr=False)

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._reserved.folder

    @property
    def name(self) -> str:
        """What it is called in addresses of pages: nobody guesses it."""
        return self.folder.name

    @property
    def paths(self) -> list[Path]:
        """What was dropped: files and folders, as an upload takes them."""
        return sorted(self.folder.iterdir())

    def shown(self, text: str) -> str:
        """Return a text of the SDK's with paths as whoever uploaded knows them."""
        return text.replace(f"{self.folder}{os.sep}", "")

    def begin(self, path: str) -> Incoming | None:
        """Begin a file, by its path as a browser tells it; None for one that isn't taken, since it is hidden.

        Raises:
            UsageError: the path leads out of the folder, or is none.
            TooLargeError: there are too many files.
            DiskError: it can't be made.
        """
        parts = _parts(path)
        if any(part.startswith(".") for part in parts):
            self.hidden += 1
            return None
        if self.files >= MOST_FILES:
            raise TooLargeError(
                f"more than {MOST_FILES:,} files; {_NOTHING}",
                size=self.files + 1,
                limit=MOST_FILES,
                hint="upload them in parts, or pack them into a zip archive",
            )
        *folders, last = map(_harmless, parts)
        place = self._free(folders, last)
        self.files += 1
        try:
            _make_folders(self.folder, place.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return Incoming(self, place, os.open(place, flags, 0o600))
        except OSError as exc:
            raise DiskError(f"a file that arrives can't be kept: {exc.strerror}; {_NOTHING}") from exc

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the files until the end of what is done with them, also if they are closed meanwhile.

        Raises:
            UsageError: they are gone already.
        """
        gone = UsageError("these files aren't kept any more; nothing was published", hint="upload them again")
        with self._reserved.in_use(gone):
            yield

    def check_room(self) -> None:
        """Check that the disk still has room, for bodies whose size nobody announced.

        Raises:
            DiskError: it hasn't.
        """
        if shutil.disk_usage(self.folder).free < _RESERVE:
            raise DiskError(f"the disk is nearly full; {_NOTHING}", hint="make room on the disk of this profile")

    def close(self) -> None:
        """Remove all of it, once nobody uses it any more; twice is once."""
        self._reserved.close()

    def _free(self, folders: list[str], last: str) -> Path:
        """Return a place that no other file has: two names may be the same once they are harmless."""
        stem, dot, suffix = last.rpartition(".")
        if not stem:
            stem, dot, suffix = last, "", ""
        for number in range(1, MOST_FILES + 2):
            name = last if number == 1 else f"{stem} ({number}){dot}{suffix}"
            # As a file system sees it that knows no capitals.
            key = "/".join([*folders, name]).casefold()
            if key not in self._taken:
                self._taken.add(key)
                # A folder can't have the name of a file, nor the other way round.
                self._taken.update("/".join(folders[:depth]).casefold() + "/" for depth in range(1, len(folders) + 1))
                if f"{key}/" in self._taken or any(
                    "/".join(folders[:depth]).casefold() in self._taken for depth in range(1, len(folders) + 1)
                ):
                    raise UsageError(f"two of its files have the names of a file and of a folder; {_NOTHING}")
                return self.folder.joinpath(*folders, name)
        raise UsageError(f"too many files have one name; {_NOTHING}")


class Incoming:
    """A file that arrives."""

    def __init__(self, staged: Staged, path: Path, descriptor: int) -> None:
        """Take the open file."""
        self._staged = staged
        self._path = path
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, piece: memoryview) -> None:
        """Take the next bytes.

        Raises:
            DiskError: the disk is full; nothing is kept.
        """
        self._digest.update(piece)
        self._size += len(piece)
        self._staged.size += len(piece)
        try:
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        except OSError as exc:
            raise DiskError(f"a file that arrives can't be kept: {exc.strerror}; {_NOTHING}") from exc

    def close(self) -> None:
        """End it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._staged.copies[Path(os.path.realpath(self._path))] = self._digest.digest()


def stage(profile: Path, size: int = 0) -> Staged:
    """Make a place for one upload.

    Args:
        profile: the folder of the profile that uploads.
        size: bytes that are announced.

    Raises:
        DiskError: it can't be made, or the disk has no place for so much.
    """
    above = profile / FOLDER
    try:
        own_folder(above)
        free = shutil.disk_usage(above).free
    except OSError as exc:
        raise DiskError(f"no file can be kept while it arrives: {exc.strerror}; nothing was published") from exc
    if size > free - _RESERVE:
        raise DiskError(
            f"{size:,} bytes are to arrive, and the disk has {free:,} left; nothing was kept or published",
            hint="make room on the disk of this profile, or upload less at once",
        )
    return Staged(reserve(profile))


def reserve(profile: Path) -> Reserved:
    """Make a folder that goes with its owner: where that program is gone, the next start removes it.

    Args:
        profile: the folder of a profile.

    Raises:
        DiskError: it can't be made.
    """
    above = profile / FOLDER
    try:
        own_folder(above)
        while True:
            folder = above / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if _is_ours(folder, descriptor):
                return Reserved(folder, descriptor)
            os.close(descriptor)
    except OSError as exc:
        raise DiskError(f"nothing can be kept on the disk for a while: {exc.strerror}") from exc


def sweep(profile: Path) -> int:
    """Remove what programs left that are gone, and return how many uploads that were; those of live ones stay.

    Args:
        profile: the folder of a profile.
    """
    removed = 0
    for folder in _folders(profile / FOLDER):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # Its owner removed it at this moment.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        except OSError as exc:
            if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        finally:
            os.close(descriptor)
    return removed


def sweep_all(home: Path) -> int:
    """Remove what programs left that are gone, of all profiles of a home; one that fails stops none of the others."""
    removed = 0
    for profile in _folders(home / "profiles"):
        try:
            removed += sweep(profile)
        except OSError as exc:
            _LOG.error("what was left in %s can't be removed (%s); the next start tries it again", profile, exc)
    return removed


def _parts(path: str) -> list[str]:
    """Return the names in a path.

    Raises:
        UsageError: it leads out of where it stands, or is too long or too deep.
    """
    parts = path.split("/")
    if (
        not path
        or "\0" in path
        or any(part in ("", ".", "..") for part in parts)
        or len(parts) > DEEPEST
        or len(path.encode("utf-8", "surrogatepass")) > _LONGEST_PATH
    ):
        raise UsageError(f"one of its files has a name that no file can have here; {_NOTHING}")
    return parts


def _harmless(name: str) -> str:
    """Return a name without what a terminal, a page or another system could take for more than a letter."""
    kept = clean(name).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", "\N{REPLACEMENT CHARACTER}")
    kept = kept.replace("\\", "\N{REPLACEMENT CHARACTER}")
    encoded = kept.encode("utf-8", "replace")
    if len(encoded) <= _LONGEST:
        return encoded.decode()
    # The end tells the kind.
    end = encoded[-40:].decode("utf-8", "ignore")
    suffix = end[end.rfind(".") :] if "." in end else ""
    return encoded[: _LONGEST - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def _make_folders(root: Path, folder: Path) -> None:
    """Make the folders of a place within `root`, each for its owner only."""
    for part in reversed([folder, *folder.parents]):
        if part != root and part.is_relative_to(root):
            part.mkdir(mode=0o700, exist_ok=True)


def _is_ours(folder: Path, descriptor: int) -> bool:
    """Lock a folder that was just made, and tell whether no sweep has taken it away meanwhile."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())


def _folders(above: Path) -> list[Path]:
    try:
        return [entry for entry in above.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return []
