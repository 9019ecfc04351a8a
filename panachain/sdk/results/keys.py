"""What is known of an actor's own key blocks, and what a change of them did: digests and times, never a key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyBlockView:
    """One key block that an actor has or had.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     newest = hospital.keys.all()[0]
        >>> newest.state, newest.is_own, newest.is_stored
        ('current', True, True)
    """

    generation: int
    """0 as registered, and one more after each change."""
    digest: bytes
    """SHA-256 of the block, 32 bytes, as the chain names it."""
    state: str
    """`current`, `ending` (what is published until its end still counts), `ended`, or `compromised`."""
    valid_from: int
    """Unix seconds of the change that made it the newest; 0 for the registration."""
    ends_at: int
    """Unix seconds from when on nothing counts that is published under it; 0 for the newest."""
    is_own: bool
    """Whether it follows from the profile's seed: what is sealed to one that doesn't never opens here."""
    is_stored: bool
    """Whether the store has it: without it nothing that was signed with its keys can be verified."""

    def to_json(self) -> dict[str, object]:
        """Return the key block as JSON, schema `panachain/key-generation/1`."""
        return {
            "schema": "panachain/key-generation/1",
            "generation": self.generation,
            "key_digest": self.digest.hex(),
            "state": self.state,
            "valid_from": self.valid_from,
            "ends_at": self.ends_at,
            "own": self.is_own,
            "stored": self.is_stored,
        }


@dataclass(frozen=True)
class KeyRotationReport:
    """A change of an actor's key block that was made, or that would be.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     planned = hospital.keys.plan()
        >>> planned.generation, planned.tx, planned.compromised
        (1, '', False)
    """

    handle: str
    generation: int
    """Of the new block."""
    digest: bytes
    """SHA-256 of the new block, 32 bytes."""
    earlier_digest: bytes
    """Of the block that it replaces, 32 bytes."""
    earlier_ends_at: int
    """Unix seconds from when on nothing counts that is published under the earlier block."""
    compromised: bool
    """Whether that end lies in the past: what was published since then doesn't count under blocks of that time."""
    newest_spared: bool
    """Whether the earlier block began after that end: then it is replaced, and those before it end."""
    sealed: tuple[tuple[str, int], ...]
    """What is sealed to the actor's blocks so far, and how much; all of it stays readable."""
    tx: str = ""
    """Hash of the transaction; empty for a change that wasn't made."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/key-rotation/1`."""
        return {
            "schema": "panachain/key-rotation/1",
            "handle": self.handle,
            "generation": self.generation,
            "key_digest": self.digest.hex(),
            "earlier_key_digest": self.earlier_digest.hex(),
            "earlier_ends_at": self.earlier_ends_at,
            "compromised": self.compromised,
            "newest_spared": self.newest_spared,
            "stays_readable": dict(self.sealed),
            "tx": self.tx,
        }
