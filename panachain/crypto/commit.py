"""Key commitment and mask: what a header states of an envelope key, and what a wrap holds instead of it.

Follows docs/spec/formats.md and "Key Committing AEADs" (RFC 9771 section 4.3.4): AES-GCM doesn't commit to its key, so
a header does. One HKDF output is the commitment, others, under other labels, are the content keys; so a ciphertext made
for two keys shows at once.

What Umbral wraps is never the envelope key itself (ADR 36):

    message = envelope key XOR HKDF-Expand(hospital's own pepper of the lane, label ‖ commitment)

So a wrap gives nothing to whoever has the lane's secret key, or the logarithms of every point, and not the pepper. The
commitment names the mask, because it is a function of the key and of nothing else: under one pepper two envelope keys
never share a mask, unless SHA-256 collides, and no state or fresh randomness has to see to that. The same key under the
same pepper, as when an envelope is wrapped again, gives the same message, and so no second equation for the same key.
"""

from __future__ import annotations

from panachain.crypto import labels
from panachain.crypto.kdf import derive, numbered_deriver
from panachain.errors import IntegrityError, UsageError
from panachain.model.sizes import HASH_SIZE, KEY_SIZE


class EnvelopeKey:
    """The key that seals the records of one envelope, and what is derived from it."""

    def __init__(self, key: bytes) -> None:
        """Take 32 uniformly random bytes."""
        self.key = key
        """What the records are sealed under; each lane's wrap holds it under a mask."""
        self.commitment = derive(key, labels.ENVELOPE_COMMITMENT)
        """What each header states, 32 bytes."""
        # Begun once, because each record of the envelope derives a key from it.
        self.content_key = numbered_deriver(key, labels.ENVELOPE_CONTENT)
        """Takes a number, and returns the key of the envelope's content of that number, 32 bytes."""

    @classmethod
    def unmasked(cls, message: bytes, *, pepper: bytes, commitment: bytes) -> EnvelopeKey:
        """Return the key that a wrap's message holds, checked against its commitment.

        Args:
            message: what Umbral gave, 32 bytes.
            pepper: of the lane that the wrap was made for, the publishing hospital's own, 32 bytes.
            commitment: as a header of the envelope states it, 32 bytes.

        Raises:
            UsageError: the pepper doesn't have 32 bytes.
            IntegrityError: what comes out isn't the committed key.
        """
        found = cls(_xor(message, _mask(pepper, commitment)))
        if found.commitment != commitment:
            raise IntegrityError(
                "the envelope key in the wrap isn't the one its hospital committed to: it was wrapped for another"
                " hospital, lane or generation, or its header names another envelope"
            )
        return found

    def masked(self, pepper: bytes) -> bytes:
        """Return what is wrapped to one lane, 32 bytes.

        Args:
            pepper: of that lane, the publishing hospital's own, 32 bytes.

        Raises:
            UsageError: the pepper doesn't have 32 bytes.
        """
        return _xor(self.key, _mask(pepper, self.commitment))

    def inventory_key(self) -> bytes:
        """Return the key of the envelope's inventory, 32 bytes."""
        return derive(self.key, labels.ENVELOPE_INVENTORY)

    def words_key(self) -> bytes:
        """Return the key of the envelope's list of words, 32 bytes."""
        return derive(self.key, labels.ENVELOPE_WORDS)


def _mask(pepper: bytes, commitment: bytes) -> bytes:
    # HMAC takes a key of any length: with an empty one everybody could compute the mask.
    if len(pepper) != KEY_SIZE:
        raise UsageError(f"a pepper has {KEY_SIZE} bytes, got {len(pepper)}")
    if len(commitment) != HASH_SIZE:
        raise IntegrityError(f"commitment of {len(commitment)} bytes, expected {HASH_SIZE}")
    return derive(pepper, labels.ENVELOPE_MASK, commitment)


def _xor(one: bytes, other: bytes) -> bytes:
    if len(one) != len(other):
        raise IntegrityError(f"a wrap holds {len(other)} bytes, got {len(one)}")
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(KEY_SIZE, "big")
