"""Small seals: one message to one public key, or under one one-time key.

Never signs: who sealed is stated by a signature inside. Follows docs/spec/formats.md (`panachain/box/1`).

    box    = wrap(fresh key → public key) ‖ stream(key, padded message, context)
    shared = one wrap for each reader, in the order that its format names, ‖ stream(key, padded message, context)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from panachain.crypto import padding, stream, umbral
from panachain.errors import IntegrityError
from panachain.model.sizes import KEY_SIZE

_ZERO_NONCE: Final = bytes(12)


def seal_to(public: bytes, message: bytes, context: bytes) -> bytes:
    """Return `message`, padded and sealed to the owner of `public`.

    Args:
        public: an Umbral public key, 33 bytes.
        message: what only the holder of its secret key shall read.
        context: a label; the box opens with the same one only.
    """
    key = os.urandom(KEY_SIZE)
    return umbral.wrap(public, key) + stream.seal(padding.pad(message), key, context)


def open_box(secret: umbral.SecretKey, box: bytes, context: bytes) -> bytes:
    """Return the message of a box.

    Raises:
        IntegrityError: it was sealed to another key or context, or was changed.
    """
    key = umbral.unwrap(secret, box[: umbral.WRAP_SIZE])
    return padding.unpad(stream.open_(box[umbral.WRAP_SIZE :], key, context))


def seal_to_each(publics: Sequence[bytes], message: bytes, context: bytes) -> bytes:
    """Return `message`, padded and sealed once to several owners; any of them opens it with `open_shared`."""
    key = os.urandom(KEY_SIZE)
    return b"".join(umbral.wrap(public, key) for public in publics) + stream.seal(padding.pad(message), key, context)


def open_shared(secret: umbral.SecretKey, box: bytes, context: bytes, *, readers: int) -> bytes:
    """Return the message of a box that was sealed to `readers` owners.

    Raises:
        IntegrityError: it was sealed to others, or for another context, or was changed.
    """
    # How many wraps there are comes from the format and never from the box, whose bytes anybody could have made.
    head = readers * umbral.WRAP_SIZE
    for start in range(0, head, umbral.WRAP_SIZE):
        try:
            key = umbral.unwrap(secret, box[start : start + umbral.WRAP_SIZE])
        except IntegrityError:
            # This wrap is another reader's: only one of them opens with this key.
            continue
        return padding.unpad(stream.open_(box[head:], key, context))
    raise IntegrityError("the box isn't sealed to this key")


def aead_one(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Return `plain` under a key that seals this one message: AES-256-GCM, NIST SP 800-38D.

    No nonce: the key is used once, so the constant nonce can't repeat under it.
    """
    return AESGCM(key).encrypt(_ZERO_NONCE, plain, context)


def open_one(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what `aead_one` sealed.

    Raises:
        IntegrityError: wrong key or context, or changed bytes.
    """
    try:
        return AESGCM(key).decrypt(_ZERO_NONCE, sealed, context)
    except (InvalidTag, ValueError):
        raise IntegrityError("the seal doesn't open: wrong key or changed bytes") from None
