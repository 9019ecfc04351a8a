"""The journal of a patient's grants: what is left to do lies in the profile's folder `grants`, sealed to the patient.

One file for each grant that isn't finished, and `policies.json` with the next policy number. Takes no step and asks no
chain: sdk/grants.py does. A file that is damaged is set aside under another name, and never taken away; a number that
can't be read is found again by what it was used for. Follows security rule 5, and docs/spec/cli.md (section "Damaged
files").
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from panachain.consent.pending import PendingGrant, open_pending, seal_pending
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, IntegrityError
from panachain.private_files import make_private_folder, open_private, read_regular, set_aside, write_private

_HELD: Final = threading.local()
"""Which locks this thread holds: the system would let it wait for itself, for ever."""
_MOST: Final = 1 << 24
"""Bytes of a grant that isn't finished: of its shares and its sealed terms."""
_LOG: Final = logging.getLogger(__name__)
_NUMBERED: Final = re.compile(r"([0-9]{8})\.sealed(\.damaged(-[0-9]+)?)?")
"""A file of a grant, or of a policy's terms; one that was set aside, too."""
_GAP: Final = 20
"""Unused policy numbers in a row after which a search for policies stops (sdk/policies.py)."""
_PASSES: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.ESTALE, errno.EAGAIN}
)
"""Errors that say nothing of the file itself: it may be read later as it is."""


@dataclass(frozen=True)
class Unreadable:
    """What is written down of a grant, and can't be read."""

    path: Path
    """Where it is now."""
    index: int | None
    """The policy's number, by the file's name."""
    error: ConfigurationError
    is_aside: bool = False
    """Whether it was set aside; else it may be read later."""


class GrantJournal:
    """The unfinished grants of one profile."""

    def __init__(self, profile: Path, seed: Seed) -> None:
        """Take the profile's folder, and the patient's seed, to which everything is sealed."""
        self._profile = profile
        self._seed = seed

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait for this patient's other programs: one policy number is for one grant.

        Raises:
            RuntimeError: this thread holds the lock already, so the program is wrong: it would wait for itself.
        """
        path = self._folder / "lock"
        held: set[Path] = _HELD.__dict__.setdefault("paths", set())
        if path in held:
            raise RuntimeError(f"{path} is locked by this very thread: a step of a grant called another grant")
        with open(open_private(path, os.O_WRONLY), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held.add(path)
            try:
                yield
            finally:
                held.discard(path)

    def read(self) -> list[PendingGrant]:
        """Return the grants that are written down, oldest first.

        Raises:
            ConfigurationError: a file is damaged, or isn't this patient's.
        """
        found, damaged = self.look()
        if damaged:
            raise damaged[0].error
        return found

    def look(self) -> tuple[list[PendingGrant], list[Unreadable]]:
        """Return the grants that are written down, oldest first, and those that can't be read, which stay there."""
        found: list[PendingGrant] = []
        damaged: list[Unreadable] = []
        for path in sorted(self._folder.glob("*.sealed")):
            try:
                found.append(open_pending(read_regular(path, _MOST), self._seed))
            except FileNotFoundError:
                # Another program finished it meanwhile.
                continue
            except (OSError, ValueError, IntegrityError) as exc:
                damaged.append(_unreadable(path, exc))
        return found, damaged

    def put_aside(self, one: Unreadable) -> Unreadable:
        """Set aside what can't be read, and return it as it is now; what may be read later stays where it is."""
        cause = one.error.__cause__
        if isinstance(cause, OSError) and cause.errno in _PASSES:
            return one
        try:
            path = set_aside(one.path)
        except OSError as exc:
            # It is named each time then, and the others go on.
            _LOG.debug("%s can't be set aside: %s", one.path, exc.strerror)
            return one
        error = ConfigurationError(
            f"the unfinished grant {one.path.name} can't be read: it lies in {path} now",
            hint="panachain policies shows what you granted: nothing else is lost with it",
        )
        return Unreadable(path, one.index, error, is_aside=True)

    def aside(self) -> list[int]:
        """Return the policy numbers of the grants that were set aside."""
        return sorted({index for index, name in self._numbers("grants") if not name.endswith(".sealed")})

    def write(self, pending: PendingGrant) -> None:
        """Write down a grant as it is now.

        Raises:
            DiskError: the profile can't be written.
        """
        self._store(self._path(pending), seal_pending(pending, self._seed))

    def forget(self, pending: PendingGrant) -> None:
        """Forget a grant: nothing of it is left to do."""
        self._path(pending).unlink(missing_ok=True)

    def next_index(self) -> int:
        """Return the first policy number that this machine hasn't used.

        Where the file that says so is lost or damaged, by the grants and the terms that lie here: no number was used
        for more than a moment without one of them (docs/spec/cli.md, section "Damaged files").
        """
        try:
            return self._noted()
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            _LOG.warning("%s can't be read (%s): the next number is found by grants and terms", self._following, exc)
        following = 0
        for index in sorted(index for folder in ("grants", "terms") for index, _ in self._numbers(folder)):
            # What is far above all others has the name of no grant: behind a gap nobody finds a policy again.
            if index < following + _GAP:
                following = max(following, index + 1)
        return following

    def use_index(self, index: int) -> None:
        """Note that a policy number is used, before anything is signed with its key.

        Raises:
            DiskError: the profile can't be written.
        """
        # Before the grant itself is written: a number that is lost costs nothing, one that is used twice gives two
        # policies one key.
        try:
            self._noted()
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            with suppress(OSError):
                set_aside(self._following)
        fields = {"schema": "panachain/policies/1", "next": index + 1, "digest": _digest(index + 1)}
        self._store(self._following, json.dumps(fields).encode())

    @cached_property
    def _folder(self) -> Path:
        folder = self._profile / "grants"
        make_private_folder(folder)
        return folder

    def _path(self, pending: PendingGrant) -> Path:
        # With leading zeros, so that the names' order is the order of the grants.
        return self._folder / f"{pending.index:08d}.sealed"

    @property
    def _following(self) -> Path:
        return self._profile / "policies.json"

    def _noted(self) -> int:
        """Return the next number as the file says it; raises what reading it does."""
        content = json.loads(read_regular(self._following, _MOST))
        following = content["next"]
        if type(following) is not int or following < 0:
            raise ValueError("no policy number")
        # Programs of before wrote none.
        if "digest" in content and content["digest"] != _digest(following):
            raise ValueError("it isn't what was written")
        return following

    def _numbers(self, folder: str) -> list[tuple[int, str]]:
        """Return number and name of each file of a folder that has one, also of those that were set aside."""
        try:
            names = [path.name for path in (self._profile / folder).iterdir()]
        except OSError:
            return []
        return [(int(fits[1]), name) for name in names if (fits := _NUMBERED.fullmatch(name))]

    def _store(self, path: Path, content: bytes) -> None:
        try:
            write_private(path, content)
        except OSError as exc:
            raise DiskError(f"the profile can't be written: {exc.strerror}; nothing more was granted") from exc


def _unreadable(path: Path, cause: Exception) -> Unreadable:
    fits = _NUMBERED.fullmatch(path.name)
    error = ConfigurationError(
        f"the unfinished grant {path} can't be read: {getattr(cause, 'strerror', None) or cause}",
        hint="see to it that it can be read, and try again",
    )
    error.__cause__ = cause
    return Unreadable(path, int(fits[1]) if fits else None, error)


def _digest(following: int) -> str:
    return hashlib.sha256(b"next policy number %d" % following).hexdigest()
