"""Guardians on the sidechain: what the chain knows of them, what is announced, and what a guardian shows of themselves.

The chain holds commitments and no names: a guardian is named by acting. Never asks a node: `panachain/chain` reads and
writes these. Follows docs/spec/recovery.md, section "Guardians", and ADR 54.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from panachain.model.actors import Address

MOST: Final = 16
"""Commitments in a list (`IdentityRegistry.MAX_GUARDIANS`)."""
DAY: Final = 86_400
USUAL_DELAY: Final = 3 * DAY
"""Seconds that a recovery and a change of guardians wait, unless the patient says otherwise."""
COMPLETION: Final = 14 * DAY
"""Seconds for which an open recovery can be completed when its delay is over (`IdentityRegistry.COMPLETION`)."""


@dataclass(frozen=True)
class GuardianProof:
    """By what a guardian is known to the contract: a place in the patient's list, and the salt of its commitment."""

    commitments: tuple[bytes, ...]
    """The whole list, as it was announced; 32 bytes each."""
    place: int
    """From 0 on."""
    salt: bytes = field(repr=False)
    """32 bytes. Whoever knows it and the two accounts sees who is whose guardian."""

    @property
    def arguments(self) -> tuple[list[bytes], int, bytes]:
        """As the contract's functions take it."""
        return list(self.commitments), self.place, self.salt


@dataclass(frozen=True)
class Guardianship:
    """What the chain knows of one patient's guardians now."""

    digest: bytes
    """Of the present list, 32 bytes; zeros for no guardians."""
    threshold: int
    """How many of them move the patient; 0 for no guardians."""
    delay: int
    """Seconds that a recovery and the next change wait."""
    next_digest: bytes
    """Of the list that was announced; zeros if nobody shall be named, or nothing was announced."""
    changes_at: int
    """Unix seconds when that counts, or later; 0 if nothing was announced."""
    frozen_until: int
    """Unix seconds; 0 if nobody froze."""
    successor: Address | None = None
    """To whom guardians move the patient; None if no recovery is open."""
    ready_at: int = 0
    """Unix seconds from which on the successor completes it; 0 for none."""


@dataclass(frozen=True)
class GuardiansEvent:
    """What a patient announced of their guardians."""

    patient: Address
    commitments: tuple[bytes, ...]
    threshold: int
    delay: int
    """Seconds."""
    invitations: bytes
    """Digest of the CID of what is sealed to them, 32 bytes."""


@dataclass(frozen=True)
class RecoveryEvent:
    """One step of moving a patient to another account."""

    name: str
    """Of the contract's event: `RecoveryApproved`, `RecoveryOpened`, `RecoveryCancelled` or `IdentityReplaced`."""
    successor: Address | None = None
    """None for a veto."""
    guardian: Address | None = None
    """Who spoke, where somebody did."""
    ready_at: int = 0
    """Unix seconds from which on an opened recovery can be completed; 0 for other steps."""
