"""Findings: what a search or an opening had to leave out, and what struck it, while the rest was delivered.

Never swallows a failure: each is kept with whose it is, and whoever collects them says so in the end. Failures that
aren't one hospital's fault (a denied access, a full disk, a store that doesn't answer at all) pass through.
Follows security rule 22.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from panachain.errors import (
    BlockNotFoundError,
    BlockOutOfReachError,
    IntegrityError,
    Omission,
    PanaChainError,
    TooLargeError,
    alone,
)

UNREADABLE: Final = (IntegrityError, BlockNotFoundError, BlockOutOfReachError)
"""What strikes one block, whatever else the stores hold; a store that doesn't answer at all strikes everything."""
LEFT_OUT: Final = (*UNREADABLE, TooLargeError)
"""What one hospital, lane, envelope or record can bring about by itself."""


class Findings:
    """What was left out so far, and what else is to be said."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.omissions: list[Omission] = []
        """What was left out."""
        self.notices: list[Omission] = []
        """What is odd, although nothing that could be found was left out."""
        self._said: set[str] = set()

    def left_out(self, hospital: str, what: str, error: PanaChainError) -> None:
        """Note what is left out, once: several lanes meet the same damage."""
        self._add(self.omissions, Omission(hospital, what, error))

    def notice(self, hospital: str, what: str, error: PanaChainError) -> None:
        """Note what is odd, once."""
        self._add(self.notices, Omission(hospital, what, error))

    @contextmanager
    def alone(self, hospital: str, what: str = "") -> Iterator[None]:
        """Let a failure inside end this part only."""
        try:
            yield
        except LEFT_OUT as exc:
            self.left_out(hospital, what, exc)

    def _add(self, where: list[Omission], found: Omission) -> None:
        # A hospital may have thousands of broken ones: the frames that an error came through hold what was read.
        alone(found.error)
        if str(found) not in self._said:
            self._said.add(str(found))
            where.append(found)


class Strict(Findings):
    """For callers to whom a part is worth nothing without the rest: the first omission is raised."""

    def left_out(self, hospital: str, what: str, error: PanaChainError) -> NoReturn:
        """Raise it."""
        raise error
