"""What one portal is: where it listens, whose profiles it unlocks, and the secret of whoever started it.

The secret is in memory and in a file of the user's own, which a browser is shown in place of an address: a program's
arguments are everybody's to read. Follows docs/spec/portal.md, section "The way in", and security rule 10.
"""

from __future__ import annotations

import fcntl
import hmac
import html
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panachain.agent import client
from panachain.errors import DiskError, LockedError
from panachain.model.actors import Role
from panachain.model.credentials import PASSKEY, Credential
from panachain.portal.desk import Opener
from panachain.portal.security import Origin
from panachain.private_files import open_private, own_folder, write_private
from panachain.sdk.locks import Locks
from panachain.sdk.profiles import Profile, create_profile, list_profiles

_PAGE: Final = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>PanaChain</title>
"""


_WAY: Final = "open-"
_HELD: Final = ".lock"
"""End of the file beside a way in, which its portal has locked."""
_NAME: Final = re.compile(r"[0-9a-f]{16}\.localhost")
"""A name of a portal's own."""
_ROLES: Final = frozenset({"patient", "hospital", "practitioner", "researcher", "registrar"})
"""Roles that the SDK acts for."""


class Way:
    """The way in: a secret that counts once, in a file of the user's own that always holds the one that counts."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        """Make the file; `close` removes it.

        Raises:
            DiskError: it can't be made, or others might read it.
        """
        self._origin = origin
        self._lock = threading.Lock()
        self._secret = ""
        self._held = -1
        try:
            own_folder(folder)
            sweep_ways(folder)
            self.path, self._held = _hold(folder)
            self._renew()
        except OSError as exc:
            self.close()
            raise DiskError(f"the way in can't be written into {folder}: {exc.strerror}") from exc

    @property
    def url(self) -> str:
        """The address that opens the portal, once. What stands behind `#` never leaves the browser by itself."""
        return f"{self._origin}/#{self._secret}"

    def enter(self, secret: str) -> bool:
        """Tell whether a secret is the one that counts; from then on another one does."""
        with self._lock:
            if not hmac.compare_digest(secret.encode(), self._secret.encode()):
                return False
            try:
                self._renew()
            except OSError:
                # The old one counts no more; whoever needs another starts the portal again.
                self._secret = secrets.token_urlsafe(32)
            return True

    def close(self) -> None:
        """Remove the file; twice is once."""
        held, self._held = self._held, -1
        if held >= 0:
            self.path.unlink(missing_ok=True)
            # Last: whoever finds the file without a lock removes it.
            self.path.with_suffix(_HELD).unlink(missing_ok=True)
            os.close(held)

    def _renew(self) -> None:
        self._secret = secrets.token_urlsafe(32)
        write_private(self.path, _PAGE.format(url=html.escape(self.url)).encode())


def sweep_ways(folder: Path) -> int:
    """Remove the ways into portals that are gone, and return how many there were; those of live ones stay.

    Such a file leads to a port that nobody holds any more: another user could serve a page there that asks for a
    passphrase.

    Args:
        folder: of the ways in.

    Raises:
        DiskError: one can't be removed; the others are.
    """
    # Also what was being written when its portal was killed.
    found = {one.name.lstrip(".").partition(".")[0] for mark in (_WAY, f".{_WAY}") for one in folder.glob(f"{mark}*")}
    removed, failure = 0, None
    for stem in sorted(found):
        try:
            removed += _swept(folder, stem)
        except OSError as exc:
            failure = failure or exc
    if failure is not None:
        raise DiskError(
            f"what another portal left in {folder} can't be removed: {failure.strerror}",
            hint=f"look at {failure.filename or folder}, and remove it while no portal runs",
        ) from failure
    return removed


def _swept(folder: Path, stem: str) -> bool:
    """Remove one way in, unless its portal lives, and tell whether there was one."""
    path = folder / f"{stem}.html"
    descriptor = open_private(path.with_suffix(_HELD), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = path.exists()
        for one in (path, *folder.glob(f".{path.name}.*"), path.with_suffix(_HELD)):
            one.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return there


def _hold(folder: Path) -> tuple[Path, int]:
    """Return the path of a new way in, and the descriptor that holds the lock beside it: so it is known as ours."""
    while True:
        path = folder / f"{_WAY}{secrets.token_hex(4)}.html"
        lock = path.with_suffix(_HELD)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Another portal that starts may have taken it for one that is gone.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return path, descriptor
        os.close(descriptor)


def kept_name(profiles: Sequence[Profile]) -> str:
    """Return the name to which passkeys of these profiles are bound, or a new one where there are none.

    Args:
        profiles: those that the portal unlocks. If they have several names, the first one's counts.
    """
    hosts = (one.host for profile in profiles for one in _passkeys(profile) if _NAME.fullmatch(one.host))
    return next(hosts, None) or f"{secrets.token_hex(8)}.localhost"


def _passkeys(profile: Profile) -> list[Credential]:
    try:
        return Locks(profile).credentials(PASSKEY)
    except LockedError:
        # Whoever unlocks it is told what is wrong with its key store.
        return []


@contextmanager
def nobody() -> Iterator[Profile]:
    """Yield a profile that nobody can unlock: a guess at a name that isn't there is tried at it, and takes as long."""
    with tempfile.TemporaryDirectory(prefix="panachain-") as folder:
        yield create_profile(Path(folder), "nobody", Role.HOSPITAL, secrets.token_urlsafe(32))


@dataclass
class Site:
    """One portal."""

    home: Path
    """The folder of all state."""
    origin: Origin
    opener: Opener
    way: Way | None = None
    """None where staff log in through a name of the portal's own: then the passphrase alone opens a profile."""
    only: str = ""
    """The only profile that can be unlocked here; empty for all of this machine."""
    idle: float = 900.0
    """Seconds after which an unused session is locked."""
    guesses: int = 5
    """Wrong passphrases of one profile, or from one address, within a minute."""
    nobody: Profile | None = None
    """Whose profile a passphrase is tried at where there is none of its name; None where profiles are listed."""
    agent: bool = True
    """Whether the settings let an agent keep a profile unlocked."""
    debug: bool = False
    """Whether what nobody foresaw goes through to the server, as tests want it."""
    listed: bool = field(init=False)
    """Whether the page that unlocks names the profiles: strangers needn't know who works here."""

    def __post_init__(self) -> None:
        self.listed = self.way is not None

    @property
    def host(self) -> str:
        """The name to which passkeys are bound: this portal's own below `localhost`; empty where there is none."""
        name = self.origin.host.partition(":")[0]
        return name if self.way is not None and name.endswith(".localhost") else ""

    @property
    def keeps(self) -> bool:
        """Whether an agent counts here: where one person sits at their own machine, and nowhere else."""
        return self.way is not None and self.agent and client.is_possible()

    def passkeys(self, profile: Profile) -> list[Credential]:
        """Return the passkeys that open a profile under this portal's name."""
        return [one for one in _passkeys(profile) if self.host and one.host == self.host]

    def kept_until(self, profile: Profile) -> client.AgentState | None:
        """Return how the agent of a profile is; None where there is none that counts here."""
        return client.status(self.home, profile.name) if self.keeps else None

    def profiles(self) -> list[Profile]:
        """Return the profiles that can be unlocked here, by name."""
        return self.look()[0]

    def look(self) -> tuple[list[Profile], list[str]]:
        """Return the profiles that can be unlocked here, by name, and the names of those that can't be read."""
        found = list_profiles(self.home)
        return (
            [one for one in found if one.role.value in _ROLES and self.only in ("", one.name)],
            [name for name in found.damaged if self.only in ("", name)],
        )

    def profile(self, name: str) -> Profile:
        """Return the profile at which a passphrase is tried.

        Where profiles aren't listed, it is nobody's for a name that isn't there, so that the time tells nothing.

        Raises:
            LockedError: there is none of this name; it says what a wrong passphrase says.
        """
        for one in self.profiles():
            if one.name == name:
                return one
        if self.nobody is not None:
            return self.nobody
        raise LockedError("the profile or its passphrase isn't right")
