"""A key store that a thread opens from a passphrase, while the program loads what is to be done with it.

Making a key from a passphrase takes half a second by design (ADR 47), without Python's lock; loading an actor's modules
takes as long. Never keeps a passphrase where a traceback could show it. Follows ADR 68.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from panachain.errors import LockedError
from panachain.sdk.profiles import unlock

if TYPE_CHECKING:
    from panachain.crypto.keys import Seed
    from panachain.passphrase import Hidden
    from panachain.sdk.profiles import Profile


class Unlocking:
    """A profile that is being unlocked. Its `repr` shows nothing of it."""

    __slots__ = ("_outcome", "_profile", "_thread", "hidden")

    def __init__(self, profile: Profile, hidden: Hidden) -> None:
        """Begin to unlock a profile; a wrong passphrase is told by `seed`."""
        self.hidden = hidden
        """The passphrase."""
        self._profile = profile
        self._outcome: Seed | BaseException = LockedError(f"profile {profile.name!r} isn't unlocked yet")
        # No daemon: it may bring the key store's lock up to date, and is to finish that.
        self._thread = threading.Thread(target=self._run, name="unlock")
        self._thread.start()

    def seed(self) -> Seed:
        """Wait, and return the seed, once; raises as `profiles.unlock`."""
        self._thread.join()
        # Told once: whoever holds this afterwards holds no seed.
        outcome, self._outcome = self._outcome, LockedError(f"profile {self._profile.name!r} isn't unlocked any more")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def __repr__(self) -> str:
        return "Unlocking()"

    def _run(self) -> None:
        try:
            self._outcome = unlock(self._profile, self.hidden.reveal())
        except BaseException as exc:  # noqa: BLE001 - raised in `seed`, in the thread that waits for it.
            # Without the frames of this thread, which hold the passphrase.
            self._outcome = exc.with_traceback(None)
            exc.__cause__ = exc.__context__ = None
