"""What the links of this machine lead to: sealed files with their end and their passcode's hash, and no key of theirs.

Never holds a link or its key: whoever reads all of it opens nothing, and can make no link. What is over, revoked or
guessed at too often is deleted, and looked for again, before that is said. Several processes may use one shelf: the
server that gives files out, and the commands that make and revoke. Follows docs/spec/sharing.md, section "The shelf".

    <SHA-256 of the address's secret>/share.json, 1.jwe, 2.jwe, …
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from panachain.crypto import jwe, passcode
from panachain.errors import DiskError, IntegrityError, UnknownActorError, UsageError
from panachain.plain import line
from panachain.private_files import alone_at, make_private_folder, own_folder, read_regular, write_private
from panachain.sharing.link import DIRECT, LONG_TERM, MAX_LABEL, PASSCODE
from panachain.wire.json_text import read_json

SCHEMA: Final = "panachain/share/1"
ATTEMPTS: Final = 10
"""Wrong passcodes that a link takes in all its life, whoever gives them; then its files are deleted."""
MAX_FILES: Final = 100
"""Files of one link."""
MAX_FILE: Final = 64 << 20
"""Bytes of one file, opened."""
LOCATION_SECONDS: Final = 600
"""How long an address of one file is good that a manifest names; the specification allows an hour."""
_SECRET_SIZE: Final = 32
"""Random bytes in a link's address, as many as the specification wants."""
_OPENINGS: Final = 200
"""Openings that are remembered, the newest."""
_RECIPIENT: Final = 100
"""Characters of a recipient's name that are kept."""
_FACTS: Final = "share.json"
_MOST_FACTS: Final = 1 << 22
"""Bytes of it."""
_NEW: Final = ".new-"


@dataclass(frozen=True)
class SharedFile:
    """One sealed file."""

    content_type: str
    size: int
    """Bytes of its JWE."""
    updated_at: int
    """Unix seconds."""


@dataclass(frozen=True)
class Opening:
    """One time that a link was followed."""

    recipient: str
    """As they called themselves; nobody checks it."""
    at: int
    """Unix seconds."""


@dataclass(frozen=True)
class Share:
    """What one link leads to."""

    digest: str
    """Of its address's secret, 64 hexadecimal digits: the name of its folder."""
    label: str
    made_at: int
    """Unix seconds."""
    expires_at: int | None
    """Unix seconds from which on it is over; None for never."""
    flags: frozenset[str]
    files: tuple[SharedFile, ...]
    """Empty once its passcode was guessed at too often."""
    attempts_left: int | None = None
    """Wrong passcodes that it still takes; None where it has no passcode."""
    openings: tuple[Opening, ...] = ()
    written_to: str = ""
    """The file for a static host, where there is one, which this machine's server doesn't give out."""
    location_key: bytes = field(default=b"", repr=False)
    """Authenticates addresses of single files."""
    salt: bytes = field(default=b"", repr=False)
    passcode_hash: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """What people call it by: the digest's beginning."""
        return self.digest[:12]


def new_secret() -> str:
    """Return what makes an address unguessable: 32 random bytes, 43 characters."""
    return jwe.encode(os.urandom(_SECRET_SIZE))


def digest_of(secret: str) -> str:
    """Return by what the shelf knows an address."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


class Shelf:
    """The folder of all links that were made here. Threads and processes may share it."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Take the folder, which is made at the first link.

        Args:
            folder: of this user's only.
            clock: Unix seconds.
        """
        self._folder = folder
        self._clock = clock

    def put(
        self,
        secret: str,
        files: Sequence[tuple[str, str]],
        *,
        label: str,
        flags: frozenset[str],
        expires_at: int | None,
        code: str = "",
        written_to: Path | None = None,
    ) -> Share:
        """Keep what a new link leads to.

        Args:
            secret: of its address.
            files: content type and JWE of each.
            label: for its owner's list.
            flags: of the link.
            expires_at: Unix seconds.
            code: the passcode, where it has one.
            written_to: a file for a static host; its JWE lies there only, and is written already.

        Raises:
            UsageError: the passcode's flag and the passcode don't go together.
            DiskError: the disk refuses; nothing is left.
        """
        if (PASSCODE in flags) is not bool(code):
            raise UsageError("a link with a passcode has one, and another link has none")
        now = int(self._clock())
        salt = passcode.new_salt() if code else b""
        share = Share(
            digest=digest_of(secret),
            label=line(label)[:MAX_LABEL],
            made_at=now,
            expires_at=expires_at,
            flags=flags,
            files=tuple(SharedFile(kind, len(text), now) for kind, text in files),
            attempts_left=ATTEMPTS if code else None,
            written_to=str(written_to.absolute()) if written_to else "",
            location_key=os.urandom(32),
            salt=salt,
            passcode_hash=passcode.hashed(code, salt) if code else b"",
        )
        with self._changing():
            made = self._folder / f"{_NEW}{secrets.token_hex(8)}"
            try:
                make_private_folder(made)
                for number, (_, text) in enumerate([] if written_to else files, 1):
                    write_private(made / f"{number}.jwe", text.encode())
                self._write(made, share)
                made.rename(self._folder / share.digest)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
        return share

    def replace(self, digest: str, files: Sequence[tuple[str, str]]) -> Share:
        """Give a link other files, sealed under its key.

        Raises:
            UsageError: its files were said not to change.
            UnknownActorError: it isn't here, or not any more.
            DiskError: the disk refuses.
        """
        with self._changing():
            share = self._alive(digest)
            if share is None or not share.files:
                raise UnknownActorError("this link isn't one of this machine's, or it is over", hint="share list")
            if LONG_TERM not in share.flags:
                raise UsageError("this link was made for files that don't change", hint="make one with --long-term")
            folder = self._folder / digest
            now = int(self._clock())
            changed = replace(share, files=tuple(SharedFile(kind, len(text), now) for kind, text in files))
            if share.written_to:
                write_private(Path(share.written_to), files[0][1].encode())
            else:
                for number, (_, text) in enumerate(files, 1):
                    write_private(folder / f"{number}.jwe", text.encode())
            self._write(folder, changed)
            for number in range(len(files) + 1, len(share.files) + 1):
                (folder / f"{number}.jwe").unlink(missing_ok=True)
        return changed

    def shares(self) -> list[Share]:
        """Return all that isn't over and can be read, the oldest first; raises as `look`."""
        return self.look()[0]

    def look(self) -> tuple[list[Share], dict[str, IntegrityError]]:
        """Return all that isn't over, the oldest first, and by their digests why others can't be read.

        What is over is deleted.

        Raises:
            DiskError: the disk refuses.
        """
        self.sweep()
        found: list[Share] = []
        damaged: dict[str, IntegrityError] = {}
        with self._reading():
            for digest in self._digests():
                try:
                    share = self._read(digest)
                except IntegrityError as exc:
                    damaged[digest] = exc
                    continue
                found += [] if share is None else [share]
        return sorted(found, key=lambda one: (one.made_at, one.digest)), damaged

    def named(self, name: str) -> Share:
        """Return the one that the beginning of a name means.

        Raises:
            UnknownActorError: none does.
            UsageError: several do.
            IntegrityError: it can't be read.
        """
        shares, damaged = self.look()
        found = [one for one in shares if name and one.digest.startswith(name.lower())]
        for digest, error in damaged.items():
            if name and digest.startswith(name.lower()):
                raise error
        if not found:
            raise UnknownActorError("no link of this machine has this name", hint="panachain share list")
        if found[1:]:
            raise UsageError(f"{len(found)} links have names that begin like this", hint="give more of the name")
        return found[0]

    def of(self, secret: str) -> Share | None:
        """Return what an address leads to; None where it leads to nothing, or to nothing any more.

        Raises:
            IntegrityError: it can't be read.
            DiskError: the disk refuses.
        """
        with self._changing():
            share = self._alive(digest_of(secret))
        return share if share is not None and share.files and not share.written_to else None

    def check(self, share: Share, code: str) -> int | None:
        """Check a passcode; return None if it is right, else how many wrong ones are still taken.

        Each try is counted before it is looked at, on disk: tries at once are no more tries. At the last wrong one the
        files are deleted.

        Raises:
            UnknownActorError: it is over meanwhile.
            DiskError: the disk refuses; the try is not looked at.
        """
        with self._changing():
            now = self._alive(share.digest)
            if now is None or not now.files or not now.attempts_left:
                raise UnknownActorError("this link is over")
            left = now.attempts_left - 1
            self._write(self._folder / now.digest, replace(now, attempts_left=left))
        if passcode.fits(code, now.salt, now.passcode_hash):
            with self._changing():
                again = self._alive(share.digest)
                if again is None or not again.files or again.attempts_left is None:
                    raise UnknownActorError("this link is over")
                self._write(self._folder / again.digest, replace(again, attempts_left=again.attempts_left + 1))
            return None
        if left == 0:
            with self._changing():
                self._disable(share.digest)
        return left

    def opened(self, share: Share, recipient: str) -> None:
        """Note that somebody followed the link; they call themselves `recipient`."""
        opening = Opening(line(recipient)[:_RECIPIENT], int(self._clock()))
        with self._changing():
            now = self._alive(share.digest)
            if now is not None:
                openings = (*now.openings, opening)[-_OPENINGS:]
                self._write(self._folder / now.digest, replace(now, openings=openings))

    def location(self, share: Share, number: int) -> str:
        """Return what stands in the address of one file, good for some minutes.

        Args:
            share: whose file it is.
            number: of the file, from 1 on.
        """
        until = int(self._clock()) + LOCATION_SECONDS
        return f"{number}-{until}-{_mark(share, number, until)}"

    def file_at(self, share: Share, location: str) -> int | None:
        """Return the number of the file that `location` named, or None if it is no such text, or not good any more."""
        number, _, rest = location.partition("-")
        until, _, mark = rest.partition("-")
        if not (_is_number(number) and _is_number(until)):
            return None
        right = hmac.compare_digest(_mark(share, int(number), int(until)).encode(), mark.encode("utf-8", "replace"))
        if not right or int(until) <= self._clock() or not 1 <= int(number) <= len(share.files):
            return None
        return int(number)

    def file(self, share: Share, number: int) -> BinaryIO | None:
        """Return a file's JWE, opened for reading; None if it was deleted meanwhile."""
        try:
            return (self._folder / share.digest / f"{number}.jwe").open("rb")
        except FileNotFoundError:
            return None

    def revoke(self, share: Share) -> None:
        """Delete what a link leads to, and look that it is gone.

        Raises:
            DiskError: the disk refuses, or something of it is still there.
        """
        with self._changing():
            self._delete(share.digest, share.written_to)

    def sweep(self) -> int:
        """Delete what is over, and what an interrupted command left; return how many links that were.

        Raises:
            DiskError: the disk refuses, or something of it is still there.
        """
        if not self._folder.exists():
            return 0
        with self._changing():
            for path in self._folder.iterdir():
                if path.name.startswith(_NEW) or (path.is_dir() and not (path / _FACTS).exists()):
                    # Nobody else is at it: whoever writes one has the lock.
                    shutil.rmtree(path)
            count = 0
            for digest in self._digests():
                # One that can't be read leads to nothing, and `look` names it: the others are deleted at their end.
                with suppress(IntegrityError):
                    count += self._alive(digest) is None
            return count

    def _digests(self) -> list[str]:
        if not self._folder.exists():
            return []
        return sorted(path.name for path in self._folder.iterdir() if len(path.name) == 64 and path.is_dir())

    def _alive(self, digest: str) -> Share | None:
        """Return one that isn't over; one that is over is deleted. Under the lock."""
        share = self._read(digest)
        if share is not None and share.expires_at is not None and self._clock() >= share.expires_at:
            self._delete(digest, share.written_to)
            return None
        return share

    def _read(self, digest: str) -> Share | None:
        try:
            raw = read_regular(self._folder / digest / _FACTS, _MOST_FACTS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            # No file, not to be read, or larger than any: told below.
            raw = b""
        try:
            return _share(digest, read_json(raw))
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"what is known of the link {digest[:12]} can't be read; it leads to nothing",
                hint=f"put {self._folder / digest / _FACTS} back from a backup, or remove that folder: it is its own",
            ) from None

    def _write(self, folder: Path, share: Share) -> None:
        write_private(folder / _FACTS, json.dumps(_fields(share), indent=1).encode())

    def _disable(self, digest: str) -> None:
        """Delete the files of one whose passcode was guessed at too often; its owner's list still names it."""
        share = self._read(digest)
        if share is None:
            return
        self._write(self._folder / digest, replace(share, files=(), attempts_left=0))
        for path in (self._folder / digest).glob("*.jwe"):
            path.unlink()

    def _delete(self, digest: str, written_to: str) -> None:
        folder = self._folder / digest
        # What is known of it first: from here on nobody is given anything.
        (folder / _FACTS).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        if written_to:
            Path(written_to).unlink(missing_ok=True)
        left = [str(path) for path in (folder, *([Path(written_to)] if written_to else [])) if os.path.lexists(path)]
        if left:
            raise DiskError(f"{' and '.join(left)} should be gone and isn't", hint="delete it by hand")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            own_folder(self._folder)
            # One lock for all: changes are rare and short, and what deletes must not meet what writes.
            with alone_at(self._folder / "shelf"):
                yield
        except OSError as exc:
            raise _disk(exc, self._folder) from exc

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise _disk(exc, self._folder) from exc


def _disk(error: OSError, folder: Path) -> DiskError:
    return DiskError(f"{folder}: {error.strerror or errno.errorcode.get(error.errno or 0, 'the disk refuses')}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def _mark(share: Share, number: int, until: int) -> str:
    # The key is this link's own and used for nothing else, so no label is needed.
    return jwe.encode(hmac.digest(share.location_key, f"{number}-{until}".encode(), "sha256"))


def _fields(share: Share) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "label": share.label,
        "made_at": share.made_at,
        "expires_at": share.expires_at,
        "flags": "".join(sorted(share.flags)),
        "files": [[one.content_type, one.size, one.updated_at] for one in share.files],
        "attempts_left": share.attempts_left,
        "openings": [[one.recipient, one.at] for one in share.openings],
        "written_to": share.written_to,
        "location_key": share.location_key.hex(),
        "salt": share.salt.hex(),
        "passcode_hash": share.passcode_hash.hex(),
    }


def _share(digest: str, fields: dict[str, Any]) -> Share:
    if fields["schema"] != SCHEMA:
        raise ValueError("another schema")
    return Share(
        digest=digest,
        label=str(fields["label"]),
        made_at=int(fields["made_at"]),
        expires_at=None if fields["expires_at"] is None else int(fields["expires_at"]),
        flags=frozenset(fields["flags"]),
        files=tuple(SharedFile(str(kind), int(size), int(at)) for kind, size, at in fields["files"]),
        attempts_left=None if fields["attempts_left"] is None else int(fields["attempts_left"]),
        openings=tuple(Opening(str(name), int(at)) for name, at in fields["openings"]),
        written_to=str(fields["written_to"]),
        location_key=bytes.fromhex(fields["location_key"]),
        salt=bytes.fromhex(fields["salt"]),
        passcode_hash=bytes.fromhex(fields["passcode_hash"]),
    )


def sealed(files: Iterable[tuple[str, bytes]], key: bytes, *, flags: frozenset[str]) -> list[tuple[str, str]]:
    """Return content type and JWE of each file.

    Args:
        files: content type and content of each.
        key: of the link.
        flags: of the link.

    Raises:
        UsageError: there is none, there are too many, one is too large, or a link to the file itself has several.
    """
    made: list[tuple[str, str]] = []
    for content_type, content in files:
        if len(content) > MAX_FILE:
            raise UsageError(f"a file of {len(content)} bytes, a link takes files of at most {MAX_FILE}")
        if len(made) == MAX_FILES or (made and DIRECT in flags):
            raise UsageError(f"more files than the {1 if DIRECT in flags else MAX_FILES} that such a link takes")
        made.append((content_type, jwe.seal(content, key, content_type)))
    if not made:
        raise UsageError("there is nothing to share")
    return made
