"""Key commitment: AES-GCM doesn't commit to its key, so a header does.

Follows docs/spec/formats.md and "Key Committing AEADs" (RFC 9771 section 4.3.4): one HKDF output is the commitment,
others, under other labels, are the content keys; so a ciphertext made for two keys shows at once.
"""

from __future__ import annotations

from panachain.crypto import labels
from panachain.crypto.kdf import derive, deriver


class EnvelopeKey:
    """The key that seals the records of one envelope, and what is derived from it."""

    def __init__(self, key: bytes) -> None:
        """Take 32 uniformly random bytes."""
        self.key = key
        """What is wrapped to the lanes."""
        self.commitment = derive(key, labels.ENVELOPE_COMMITMENT)
        """What each header states, 32 bytes."""
        # Begun once, because each record of the envelope derives a key from it.
        self._content_key = deriver(key, labels.ENVELOPE_CONTENT)

    def content_key(self, index: int) -> bytes:
        """Return the key of the envelope's content number `index`, 32 bytes."""
        return self._content_key(index.to_bytes(8, "big"))

    def inventory_key(self) -> bytes:
        """Return the key of the envelope's inventory, 32 bytes."""
        return derive(self.key, labels.ENVELOPE_INVENTORY)
