"""What one portal is: where it listens, whose profiles it unlocks, and the secret of whoever started it.

The secret is in memory and in a file of the user's own, which a browser is shown in place of an address: a program's
arguments are everybody's to read. Follows docs/spec/portal.md, section "The way in", and security rule 10.
"""

from __future__ import annotations

import hmac
import html
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panachain.errors import DiskError, LockedError
from panachain.portal.desk import Opener
from panachain.portal.security import Origin
from panachain.private_files import own_folder, write_private
from panachain.sdk.profiles import Profile, list_profiles

_PAGE: Final = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>PanaChain</title>
"""


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
        self.path = folder / f"open-{secrets.token_hex(4)}.html"
        try:
            own_folder(folder)
            self._renew()
        except OSError as exc:
            raise DiskError(f"{self.path} can't be written: {exc.strerror}") from exc

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
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _renew(self) -> None:
        self._secret = secrets.token_urlsafe(32)
        write_private(self.path, _PAGE.format(url=html.escape(self.url)).encode())


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
    debug: bool = False
    """Whether what nobody foresaw goes through to the server, as tests want it."""
    listed: bool = field(init=False)
    """Whether the page that unlocks names the profiles: strangers needn't know who works here."""

    def __post_init__(self) -> None:
        self.listed = self.way is not None

    def profiles(self) -> list[Profile]:
        """Return the profiles that can be unlocked here, by name."""
        return [one for one in list_profiles(self.home) if one.role.value in _ROLES and self.only in ("", one.name)]

    def profile(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            LockedError: there is none of this name; it says what a wrong passphrase says.
        """
        for one in self.profiles():
            if one.name == name:
                return one
        raise LockedError("the profile or its passphrase isn't right")
