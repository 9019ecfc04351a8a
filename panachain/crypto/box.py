"""Small seals: one message to one public key, or under one one-time key.

Never signs: who sealed is stated by a signature inside. Follows docs/spec/formats.md (`panachain/box/2`).

    seal   = HPKE of a fresh key to a public key, with the context as its info: 1,168 bytes (crypto/hpke.py)
    box    = seal ‖ stream(key, padded message, context)
    shared = one seal of the key for each reader, in the order that its format names, ‖ stream(key, padded message,
             context)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from panachain.crypto import hpke, padding, stream
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError
from panachain.model.sizes import KEY_SIZE, SEAL_OVERHEAD

SEAL_SIZE: Final = SEAL_OVERHEAD + KEY_SIZE
"""Bytes of a key that is sealed to one reader: 1,168."""
_ZERO_NONCE: Final = bytes(12)


def seal_to(public: bytes, message: bytes, context: bytes) -> bytes:
    """Return `message`, padded and sealed to the owner of `public`.

    Args:
        public: a sealing key's public half, 1,216 bytes.
        message: what only the holder of its secret key shall read.
        context: a label; the box opens with the same one only.

    Raises:
        IntegrityError: `public` isn't a key.
    """
    return seal_to_each([public], message, context)


def open_box(secret: SealingKey, box: bytes, context: bytes) -> bytes:
    """Return the message of a box.

    Raises:
        IntegrityError: it was sealed to another key or context, or was changed.
    """
    return open_shared(secret, box, context, readers=1)


def seal_to_each(publics: Sequence[bytes], message: bytes, context: bytes) -> bytes:
    """Return `message`, padded and sealed once to several owners; any of them opens it with `open_shared`.

    Raises:
        IntegrityError: one of `publics` isn't a key.
    """
    # One key for all readers, so that all of them see the same message.
    key = os.urandom(KEY_SIZE)
    seals = [hpke.seal(public, key, context) for public in publics]
    return b"".join(seals) + stream.seal(padding.pad(message), key, context)


def open_shared(secret: SealingKey, box: bytes, context: bytes, *, readers: int, likely: int = 0) -> bytes:
    """Return the message of a box that was sealed to `readers` owners.

    Args:
        secret: of one of them.
        box: from `seal_to_each`.
        context: the label that it was sealed with.
        readers: how many owners its format names.
        likely: whose place is tried first: each wrong try costs as much as the right one.

    Raises:
        IntegrityError: it was sealed to others, or for another context, or was changed.
    """
    # How many seals there are comes from the format and never from the box, whose bytes anybody could have made.
    head = readers * SEAL_SIZE
    for place in sorted(range(readers), key=lambda place: place != likely):
        try:
            key = hpke.open_(secret, box[place * SEAL_SIZE : (place + 1) * SEAL_SIZE], context)
        except IntegrityError:
            # This seal is another reader's: only one of them opens with this key.
            continue
        # A box that ends within its last seal may hold a shorter key: anybody can make one.
        if len(key) == KEY_SIZE:
            return padding.unpad(stream.open_(box[head:], key, context))
    raise IntegrityError("the box isn't sealed to this key, or was sealed for another use")


def aead_one(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Return `plain` under a key that seals this one message: AES-256-GCM, NIST SP 800-38D.

    No nonce: the key is used once, so the constant nonce can't repeat under it.
    """
    return AESGCM(key).encrypt(_ZERO_NONCE, plain, context)


def open_any(key: bytes, seals: bytes, size: int, context: bytes, *, likely: int = 0) -> tuple[int, bytes] | None:
    """Return which of several messages `aead_one` sealed under a key, and that message; None if it is none of them.

    Args:
        key: 32 bytes.
        seals: one after the other, of which at most one is meant for the key.
        size: bytes of each.
        context: as `aead_one`.
        likely: which one is tried first.
    """
    cipher = AESGCM(key)
    for place in _order(likely, len(seals) // size):
        try:
            return place, cipher.decrypt(_ZERO_NONCE, seals[place * size : (place + 1) * size], context)
        except (InvalidTag, ValueError):
            # Another key's.
            continue
    return None


@lru_cache(maxsize=64)
def _order(likely: int, count: int) -> tuple[int, ...]:
    """Return the numbers below `count`, the likely one first."""
    return tuple(sorted(range(count), key=lambda place: place != likely))


def open_one(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what `aead_one` sealed.

    Raises:
        IntegrityError: wrong key or context, or changed bytes.
    """
    try:
        return AESGCM(key).decrypt(_ZERO_NONCE, sealed, context)
    except (InvalidTag, ValueError):
        raise IntegrityError("the seal doesn't open: wrong key or changed bytes") from None
