"""The journal of a patient's grants: what is left to do lies in the profile's folder `grants`, sealed to the patient.

One file for each grant that isn't finished, and `policies.json` with the next policy number. Takes no step and asks no
chain: sdk/grants.py does. Follows security rule 5.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from panachain.consent.pending import PendingGrant, open_pending, seal_pending
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, IntegrityError
from panachain.private_files import make_private_folder, open_private, read_regular, write_private

_HELD: Final = threading.local()
"""Which locks this thread holds: the system would let it wait for itself, for ever."""
_MOST: Final = 1 << 24
"""Bytes of a grant that isn't finished: of its shares and its sealed terms."""
_MOVE_AWAY: Final = "move it away: the next number is then found on the chain"


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
            raise damaged[0]
        return found

    def look(self) -> tuple[list[PendingGrant], list[ConfigurationError]]:
        """Return the grants that are written down, oldest first, and why others can't be read."""
        found: list[PendingGrant] = []
        damaged: list[ConfigurationError] = []
        for path in sorted(self._folder.glob("*.sealed")):
            try:
                found.append(self._open(path))
            except ConfigurationError as exc:
                damaged.append(exc)
        return found, damaged

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

        Raises:
            ConfigurationError: the file that says so is damaged.
        """
        path = self._profile / "policies.json"
        try:
            following = json.loads(path.read_bytes())["next"]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise ConfigurationError(f"{path} can't be read", hint=_MOVE_AWAY) from exc
        if type(following) is not int or following < 0:
            raise ConfigurationError(f"{path} holds no policy number", hint=_MOVE_AWAY)
        return following

    def use_index(self, index: int) -> None:
        """Note that a policy number is used, before anything is signed with its key.

        Raises:
            DiskError: the profile can't be written.
        """
        # Before the grant itself is written: a number that is lost costs nothing, one that is used twice gives two
        # policies one key.
        content = json.dumps({"schema": "panachain/policies/1", "next": index + 1}).encode()
        self._store(self._profile / "policies.json", content)

    @cached_property
    def _folder(self) -> Path:
        folder = self._profile / "grants"
        make_private_folder(folder)
        return folder

    def _path(self, pending: PendingGrant) -> Path:
        # With leading zeros, so that the names' order is the order of the grants.
        return self._folder / f"{pending.index:08d}.sealed"

    def _open(self, path: Path) -> PendingGrant:
        try:
            return open_pending(read_regular(path, _MOST), self._seed)
        except (OSError, ValueError, IntegrityError) as exc:
            raise ConfigurationError(
                f"the unfinished grant {path} can't be read", hint="move it away, then grant again"
            ) from exc

    def _store(self, path: Path, content: bytes) -> None:
        try:
            write_private(path, content)
        except OSError as exc:
            raise DiskError(f"the profile can't be written: {exc.strerror}; nothing more was granted") from exc
