"""Storage transactions: what a hospital put on the mainchain, one after the other.

Never asks a node: `panachain/chain` reads and writes these. Follows design section 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from panachain.model.actors import Address


@dataclass(frozen=True)
class StorageEvent:
    """One storage transaction."""

    hospital: Address
    sequence: int
    manifest: bytes
    """Digest of the manifest root's CID, 32 bytes."""
    count: int
    previous: bytes
    """The hospital's head before this batch, 32 bytes."""
    block: int
    block_hash: str
    tx_hash: str
    index: int


@dataclass(frozen=True)
class ProvenHead:
    """A hospital's history, proven by one block's state root."""

    sequence: int
    """Storage transactions; 0 for none."""
    head: bytes
    """32 bytes."""
    admitted: bool
    """Whether the hospital may store."""
    block: int
    block_hash: str
