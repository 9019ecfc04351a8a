"""Choices: what a patient wants of sensitive kinds, for all hospitals.

Kinds are codes of HL7 v3 ActCode; which there are is `panachain/records/sensitivity/`'s affair. Opens nothing: what a
hospital's profile closes stays closed. Follows docs/spec/sensitivity.md (What a patient chooses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Choices:
    """What a patient chose last."""

    number: int = 0
    """How often they changed it; of two pairings the one with the higher number is the newer."""
    closed: frozenset[str] = frozenset()
    """Kinds that are closed, whatever a hospital's profile says."""
    emergency: frozenset[str] = frozenset()
    """Kinds that the emergency summary holds although they are closed."""

    def changed(self, closed: frozenset[str], emergency: frozenset[str]) -> Choices:
        """Return what is after a change; the same if it changes nothing."""
        if (closed, emergency) == (self.closed, self.emergency):
            return self
        return Choices(self.number + 1, closed, emergency)

    def merged(self, other: Choices) -> Choices:
        """Return the newer one; of two that were made at the same time whatever closes more."""
        if self.number != other.number:
            return max(self, other, key=lambda one: one.number)
        return Choices(self.number, self.closed | other.closed, self.emergency & other.emergency)

    def together(self, other: Choices) -> Choices:
        """Return what holds for a person of whom two accounts chose: what either closes, and what both open."""
        number = max(self.number, other.number)
        return Choices(number, self.closed | other.closed, self.emergency & other.emergency)


NONE: Final = Choices()
"""The choices of a patient who never made any."""
