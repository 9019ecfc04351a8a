"""Whom an actor doesn't want to hear of: blocked accounts, kept on this machine and known to nobody else.

What a blocked account sends isn't fetched: its requests, and the secrets of the groups that it manages. It isn't told.
Blocking takes no grant back and leaves no group; `revoke` and `leave_group` do.

    HOME/profiles/NAME/blocked.bin    sealed under a key of the profile's seed, so that nobody else reads whom somebody
                                      blocks (`panachain/blocked/1`, docs/spec/cli.md, section "State on disk")
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from panachain.crypto import labels, stream
from panachain.errors import ConfigurationError, DiskError, IntegrityError, UnknownActorError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.model.actors import Address, Role
from panachain.private_files import open_private, write_private
from panachain.sdk.contacts import check_address
from panachain.sdk.resolve import Resolver

FILE: Final = "blocked.bin"
_MAX_SIZE: Final = 1 << 20
"""Bytes of the file that are read; some 40,000 accounts."""


class BlockList:
    """One actor's blocked accounts.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     blocked = patient.blocked.add("nurse")
        ...     blocked in patient.blocked.accounts()
        ...     unblocked = patient.blocked.remove("nurse")
        ...     blocked in patient.blocked.accounts()
        True
        False
    """

    def __init__(self, folder: Path, key: bytes, resolver: Resolver) -> None:
        """Take where it lies, and what opens it; nothing is read yet.

        Args:
            folder: the profile's.
            key: for what the actor encrypts for themselves, 32 bytes.
            resolver: says whom a name means.
        """
        self._path = folder / FILE
        self._key = key
        self._resolver = resolver

    def accounts(self) -> frozenset[Address]:
        """Return the blocked accounts.

        Raises:
            ConfigurationError: the file is damaged, or another profile's.
        """
        try:
            with open(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                sealed = file.read(_MAX_SIZE)
        except FileNotFoundError:
            return frozenset()
        except OSError as exc:
            raise ConfigurationError(f"{self._path} can't be read: {exc.strerror}") from exc
        try:
            found = dagcbor.decode(stream.open_(sealed, self._key, labels.BLOCKED))
            return frozenset(checksum_address(one) for one in found)
        except (IntegrityError, TypeError, ValueError, AttributeError) as exc:
            raise ConfigurationError(
                f"{self._path} isn't this profile's list of blocked accounts",
                hint=f"move it away, and block again: mv '{self._path}' away",
            ) from exc

    def add(self, who: str) -> Address:
        """Block an account, and return it. The same once more is no error.

        Args:
            who: profile name, contact, handle or address; an address needn't be registered.

        Raises:
            UnknownActorError: nobody fits.
        """
        account = self._account(who)
        with self._changing() as accounts:
            accounts.add(account)
        return account

    def remove(self, who: str) -> Address:
        """Hear of an account again, and return it.

        Args:
            who: as for `add`.

        Raises:
            UnknownActorError: nobody fits, or they aren't blocked.
        """
        account = self._account(who)
        with self._changing() as accounts:
            if account not in accounts:
                raise UnknownActorError(f"{account} isn't blocked", hint="panachain blocked")
            accounts.remove(account)
        return account

    def _account(self, who: str) -> Address:
        # Whoever is blocked needn't be asked for: their node may not answer for them.
        if who.startswith("0x"):
            return check_address(who)
        return self._resolver.resolve(who, Role.PRACTITIONER, Role.PATIENT, Role.RESEARCHER).address

    @contextmanager
    def _changing(self) -> Iterator[set[Address]]:
        """Give the accounts, and write them back; two changes at once wait for each other."""
        try:
            with open(open_private(self._path.with_name(f".{FILE}.lock"), os.O_RDWR), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                accounts = set(self.accounts())
                yield accounts
                plain = dagcbor.encode(sorted(bytes.fromhex(one[2:]) for one in accounts))
                write_private(self._path, stream.seal(plain, self._key, labels.BLOCKED))
        except OSError as exc:
            raise DiskError(f"{self._path} can't be written: {exc.strerror}") from exc
