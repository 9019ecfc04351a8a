"""Key blocks: the public keys of one actor as one block of the store, of which the chain keeps the digest.

Never holds a secret, and never looks whether a key is one: whoever seals to it or verifies with it finds out.
Follows docs/spec/formats.md (`panachain/key-block/1`) and docs/adr/0035.

    person or service = version 1 ‖ sealing key ‖ receiving key ‖ verifying key
    group             = version 2 ‖ sealing key ‖ receiving key
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final, Self

from panachain.errors import IntegrityError
from panachain.model.sizes import PUBLIC_SIZE, SEALING_SIZE

_SINGLE: Final = 1
"""First byte of a block with a verifying key."""
_SHARED: Final = 2
"""First byte of a group's block: a group signs nothing, each of its members does."""
_SIZES: Final = {
    _SINGLE: 1 + SEALING_SIZE + 2 * PUBLIC_SIZE,
    _SHARED: 1 + SEALING_SIZE + PUBLIC_SIZE,
}
"""Bytes of a block by its first byte."""
MAXIMUM_SIZE: Final = max(_SIZES.values())
"""Bytes of the longest block."""


@dataclass(frozen=True)
class PublicKeys:
    """The public keys of one actor."""

    sealing: bytes
    """Of HPKE with MLKEM768-X25519, 1,216 bytes: what is sealed to the actor."""
    receiving: bytes
    """Of Umbral, a compressed secp256k1 point, 33 bytes: what proxies re-encrypt to."""
    verifying: bytes
    """Of Umbral's signer, a compressed secp256k1 point, 33 bytes; empty for a group."""

    def encode(self) -> bytes:
        """Return the block.

        Raises:
            IntegrityError: a key has another length than its kind.
        """
        version = _SINGLE if self.verifying else _SHARED
        block = bytes([version]) + self.sealing + self.receiving + self.verifying
        if PublicKeys.parse(block) != self:
            raise IntegrityError("the keys aren't as long as those of a key block; none was written")
        return block

    @classmethod
    def parse(cls, block: bytes) -> Self:
        """Return the keys of a block.

        Raises:
            IntegrityError: another version, another length than the version's, or something that is no compressed
                point.
        """
        size = _SIZES.get(block[0]) if block else None
        if size is None:
            raise IntegrityError(f"a key block of {len(block)} bytes has no version that is known here")
        if len(block) != size:
            raise IntegrityError(f"a key block of version {block[0]} has {size} bytes, this one has {len(block)}")
        receiving_at = 1 + SEALING_SIZE
        verifying_at = receiving_at + PUBLIC_SIZE
        keys = cls(block[1:receiving_at], block[receiving_at:verifying_at], block[verifying_at:])
        points = [key for key in (keys.receiving, keys.verifying) if key]
        if any(point[0] not in (2, 3) for point in points):
            raise IntegrityError("a key block holds something that is no compressed point (SEC 1, section 2.3.3)")
        return keys

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the block, 32 bytes: what the chain keeps, and what the block's CID holds (CIDv1, raw)."""
        return sha256(self.encode()).digest()
