"""The locks of a profile's key store: a passphrase, security keys and passkeys, each of which opens it by itself.

Whoever changes them shows anew that they may: what an agent holds is not enough. Never shows a seed, and never leaves a
key store without a lock that was seen to open. Follows docs/spec/formats.md, section "Key stores", and ADR 57.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from panachain.crypto import keystore
from panachain.crypto.keystore import LockInfo, Opened
from panachain.crypto.wraps import DataKey
from panachain.errors import LockedError, PanaChainError, SecurityKeyError, SecurityKeyMissingError, UsageError, alone
from panachain.model.credentials import MAX_LABEL, PASSKEY, SECURITY_KEY, Answer, Credential
from panachain.passphrase import Hidden, is_named
from panachain.sdk.profiles import Profile, passphrase_sources, unlock

if TYPE_CHECKING:
    from panachain.config import Config
    from panachain.security_keys import Asking


class Locks:
    """The locks of one profile.

    Examples:
        >>> from panachain.sdk.locks import Locks
        >>> from panachain.sdk.profiles import load_profile
        >>> locks = Locks(load_profile(home, "me"))
        >>> [lock.kind for lock in locks.all()]
        ['passphrase']
    """

    def __init__(self, profile: Profile) -> None:
        """Take whose they are."""
        self.profile = profile
        self._path = profile.folder / "seed.json"

    def all(self) -> list[LockInfo]:
        """Return all of them, in the order of the file; asks for nothing.

        Raises:
            LockedError: there is no key store, or it is open to others.
        """
        return keystore.inspect(self._path)[1]

    def credentials(self, kind: str) -> list[Credential]:
        """Return what authenticators have to be asked; raises as `all`.

        Args:
            kind: `security-key` or `passkey`.
        """
        return [one for one in keystore.credentials(self._path) if one.kind == kind]

    def open(self, secret: str | Answer) -> Opened:
        """Open the key store by one of its locks, to change the others.

        Args:
            secret: the passphrase, or what an authenticator answered.

        Raises:
            LockedError: no lock opens.
        """
        hidden = Hidden(secret) if isinstance(secret, str) else secret
        # A traceback that shows variables must not show this one.
        del secret
        try:
            return keystore.authenticate(self._path, hidden.reveal() if isinstance(hidden, Hidden) else hidden)
        except PanaChainError as exc:
            raise alone(exc) from None

    def open_by_security_key(self, asking: Asking, among: Sequence[Credential]) -> Opened:
        """Open the key store by a security key that is plugged in.

        Args:
            asking: asks for the touch and the PIN.
            among: which of `credentials` may open it.

        Raises:
            SecurityKeyError: none opens it; the message says why.
        """
        from panachain import security_keys

        return self.open(security_keys.ask(asking, among))

    def add_security_key(self, opened: Opened, asking: Asking, *, label: str = "", verified: bool = True) -> Credential:
        """Let a security key that is plugged in open the key store, too; it is read back before it counts.

        Args:
            opened: what `open` returned.
            asking: asks for touches and the key's PIN.
            label: what it is called; empty gives it a number.
            verified: whether the key is to check its PIN or a fingerprint each time; else a touch is enough.

        Raises:
            UsageError: the label can't be used, or the key opens it already.
            SecurityKeyError: the key can't do it, or refuses.
            DiskError: the disk refuses; the locks are as they were.
        """
        from panachain import security_keys

        known = keystore.credentials(self._path)
        label = self.label(label, SECURITY_KEY)
        made, first, second = security_keys.enrol(asking, verified=verified, label=label, known=known)
        keystore.add_authenticator(self._path, opened, made, first, second)
        return made

    def add_passkey(self, opened: Opened, credential: Credential, first: Answer, second: Answer) -> None:
        """Let a passkey open the key store, too, with what a browser got from it, twice.

        Raises:
            UsageError: it opens it already, or there are too many.
            LockedError: it doesn't answer the same twice.
            DiskError: the disk refuses; the locks are as they were.
        """
        if credential.kind != PASSKEY:
            raise UsageError("this is no passkey; the locks are as they were")
        keystore.add_authenticator(self._path, opened, credential, first, second)

    def add_passphrase(self, opened: Opened, passphrase: str) -> None:
        """Let a passphrase open the key store, too; raises as `add_security_key`."""
        keystore.add_passphrase(self._path, opened, passphrase)

    def remove(self, opened: Opened, lock: LockInfo) -> None:
        """Take a lock away; the one that opened stays.

        Raises:
            UsageError: it is the one that opened, or isn't there.
            DiskError: the disk refuses; the locks are as they were.
        """
        keystore.remove_lock(self._path, opened, lock.mark)

    def named(self, text: str) -> LockInfo:
        """Return the lock that a number, a label or a kind means.

        Raises:
            UsageError: there is none, or there are several.
        """
        locks = self.all()
        if text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= len(locks):
            return locks[int(text[:9]) - 1]
        found = [one for one in locks if text and text == one.label] or [one for one in locks if text == one.kind]
        if len(found) == 1:
            return found[0]
        raise UsageError(
            f"{len(found)} locks of profile {self.profile.name!r} are called {text!r}", hint="panachain key list"
        )

    def label(self, wanted: str, kind: str) -> str:
        """Return what a new lock is called: as somebody wants it, or with the first number that is free.

        Raises:
            UsageError: it is too long, has signs that can't be shown, or is another one's.
        """
        taken = {one.label for one in self.all()}
        if not wanted:
            usual = "security key" if kind == SECURITY_KEY else "passkey"
            return next(name for number in range(1, 99) if (name := f"{usual} {number}") not in taken)
        if not wanted.isprintable() or wanted != wanted.strip() or wanted.isdecimal():
            raise UsageError("the label is a number, or has signs that can't be shown; nothing was changed")
        if len(wanted.encode(errors="replace")) > MAX_LABEL:
            raise UsageError(f"a label has {MAX_LABEL} bytes at most; nothing was changed")
        if wanted in taken:
            raise UsageError(f"another lock is called {wanted!r}; nothing was changed", hint="panachain key list")
        return wanted


def unlocked_by_passkey(profile: Profile, answer: Answer) -> DataKey:
    """Return what opens a profile from now on, for a passkey's answer.

    Raises:
        LockedError: no passkey of this profile answers so.
    """
    return keystore.authenticate(profile.folder / "seed.json", answer).key


def unlocked_by_security_key(config: Config, profile: Profile, asking: Asking | None = None) -> DataKey | None:
    """Return what a profile's security key opens; None where it isn't asked, and the passphrase is to be.

    It isn't where the settings say so, where something else gives the passphrase, and where none that opens the profile
    is plugged in.

    Args:
        config: the settings.
        profile: whose.
        asking: asks for the touch and the PIN; None does on the terminal.

    Raises:
        SecurityKeyError: it refuses, and nothing else can open the profile here.
    """
    path = profile.folder / "seed.json"
    if not config.security_key or is_named(passphrase_sources(config, profile)):
        return None
    try:
        wanted = [one for one in keystore.credentials(path) if one.kind == SECURITY_KEY]
    except LockedError:
        # Whoever asks for the passphrase next says what is wrong with it.
        return None
    if not wanted:
        return None
    # Imported here: most profiles have none.
    from panachain import security_keys

    asking = asking or security_keys.Terminal()
    try:
        answer = security_keys.ask(asking, wanted)
        key = keystore.authenticate(path, answer).key
        unlock(profile, key)
    except (SecurityKeyError, UsageError) as exc:
        others = any(lock.kind == "passphrase" for lock in keystore.inspect(path)[1])
        if not others or not (sys.stdin.isatty() or isinstance(exc, SecurityKeyMissingError | UsageError)):
            raise
        if not isinstance(exc, SecurityKeyMissingError):
            asking.tell(f"No security key is used: {exc}.")
        return None
    return key
