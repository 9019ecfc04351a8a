"""Key commitment: AES-GCM doesn't commit to its key, so a header does.

Follows docs/spec/formats.md and "Key Committing AEADs" (RFC 9771 section 4.3.4): one HKDF output is the commitment,
others, under other labels, are the content keys; so a ciphertext made for two keys shows at once.
"""

from __future__ import annotations

from panachain.crypto import labels
from panachain.crypto.kdf import derive


def key_commitment(envelope_key: bytes) -> bytes:
    """Return the commitment to an envelope key, 32 bytes."""
    return derive(envelope_key, labels.ENVELOPE_COMMITMENT)


def content_key(envelope_key: bytes, index: int) -> bytes:
    """Return the key of the envelope's content number `index`, 32 bytes."""
    return derive(envelope_key, labels.ENVELOPE_CONTENT, index.to_bytes(8, "big"))


def inventory_key(envelope_key: bytes) -> bytes:
    """Return the key of the envelope's inventory, 32 bytes."""
    return derive(envelope_key, labels.ENVELOPE_INVENTORY)
