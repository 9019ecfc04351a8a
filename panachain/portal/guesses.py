"""How often somebody may guess a passphrase or begin a session, and how many passphrases are tried at once.

Whoever unlocked a profile before from the same address isn't hindered by strangers who guess at it. Follows
docs/spec/portal.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from panachain.service.connections import source_of
from panachain.service.limits import Limiter

OF_A_SOURCE, OF_A_PROFILE = 20, 10
"""Guesses of one address at all profiles, and of all strangers at one profile, within a minute."""
BEGUN: Final = 30
"""Sessions that one address may begin within a minute: the desk keeps some hundreds in which nothing is unlocked."""
AT_ONCE: Final = 2
"""Passphrases that are tried at the same time: each takes 128 MiB."""
_FRIENDS: Final = 4096
"""Addresses with the profile that they unlocked, as many as are remembered."""


class Guesses:
    """Counts them, for one portal."""

    def __init__(self, each: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many guesses one address has at one profile within a minute, and a clock."""
        self._each = Limiter(each, clock=clock)
        self._sources = Limiter(OF_A_SOURCE, clock=clock)
        self._profiles = Limiter(OF_A_PROFILE, clock=clock)
        self._begun = Limiter(BEGUN, clock=clock)
        self._friends: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.turn = asyncio.Semaphore(AT_ONCE)
        """To be held while one is tried."""

    def take(self, address: str, profile: str) -> int:
        """Count a guess, and return 0, or in how many seconds the next one is looked at."""
        source = source_of(address)
        wait = self._each.take(f"{source} {profile}") or self._sources.take(source)
        if wait or (source, profile) in self._friends:
            return wait
        return self._profiles.take(profile)

    def begin(self, address: str) -> int:
        """Count a session that is begun, and return 0, or in how many seconds the next one may be."""
        return self._begun.take(source_of(address))

    def right(self, address: str, profile: str) -> None:
        """Note that a guess was right: it counts as none."""
        source = source_of(address)
        self._each.give_back(f"{source} {profile}")
        self._sources.give_back(source)
        if (source, profile) not in self._friends:
            self._profiles.give_back(profile)
        self._friends[source, profile] = None
        while len(self._friends) > _FRIENDS:
            self._friends.popitem(last=False)
