"""Hybrid public-key encryption: what is sealed to one person or service stays closed for quantum computers, too.

The only file that imports the HPKE of `cryptography`. It never offers another suite, and no cryptography of its own.
Follows RFC 9180 (base mode, single shot) with the KEM MLKEM768-X25519 of draft-ietf-hpke-pq (0x647a, also called
X-Wing), HKDF-SHA256 and ChaCha20-Poly1305: the suite of age 1.3's post-quantum recipients, for which the draft has
vectors.

    sealed = encapsulated secret (1,120 bytes) ‖ ciphertext ‖ tag (16 bytes)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from hashlib import shake_256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from panachain.errors import IntegrityError, UsageError
from panachain.model.sizes import KEY_SIZE, SEAL_OVERHEAD, SEALING_SIZE

_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC: Final = 1184
"""Bytes of an encapsulation key of ML-KEM-768 (FIPS 203, table 3); the X25519 key follows."""
_MLKEM_SEED: Final = 64
"""Bytes d ‖ z of an ML-KEM key (FIPS 203, section 7.1)."""


class SealingKey:
    """A secret key that others seal to. Its `repr` shows nothing of it."""

    def __init__(self, seed: bytes, others: Sequence[SealingKey] = ()) -> None:
        """Take the 32 bytes that both halves of the key follow from.

        Args:
            seed: 32 bytes.
            others: keys of the same owner, which open what this one doesn't: those before a change of keys.

        Raises:
            UsageError: another length.
        """
        if len(seed) != KEY_SIZE:
            raise UsageError(f"a sealing key has 32 bytes, got {len(seed)}")
        # The private key's form of draft-ietf-hpke-pq: SHAKE256 stretches it to the seeds of ML-KEM and of X25519.
        stretched = shake_256(seed).digest(_MLKEM_SEED + KEY_SIZE)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(stretched[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(stretched[_MLKEM_SEED:])
        self._inner = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public: bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        """The public key, 1,216 bytes."""
        self._others = tuple(others)

    @classmethod
    def random(cls) -> SealingKey:
        """Return a fresh key from the operating system's CSPRNG."""
        return cls(os.urandom(KEY_SIZE))

    def __repr__(self) -> str:
        return "SealingKey()"


def check_public(public: bytes) -> None:
    """Check that something can be sealed to `public`.

    Raises:
        IntegrityError: it isn't a public key of MLKEM768-X25519.
    """
    _public(public)


def seal(public: bytes, plain: bytes, info: bytes) -> bytes:
    """Return `plain` sealed to the owner of `public`: `SEAL_OVERHEAD` bytes longer.

    Args:
        public: an MLKEM768-X25519 public key, 1,216 bytes.
        plain: what only the holder of its secret key shall read.
        info: the label of what is sealed; it opens with the same one only.

    Raises:
        IntegrityError: `public` isn't a key.
    """
    return _SUITE.encrypt(plain, _public(public), info)


def open_(secret: SealingKey, sealed: bytes, info: bytes) -> bytes:
    """Return what was sealed to `secret` under the same `info`.

    Raises:
        IntegrityError: it was sealed to another key or for another use, or a byte was changed.
    """
    if len(sealed) < SEAL_OVERHEAD:
        raise IntegrityError(f"a seal has at least {SEAL_OVERHEAD} bytes, got {len(sealed)}")
    for key in (secret, *secret._others):
        try:
            return _SUITE.decrypt(sealed, key._inner, info)
        except (InvalidTag, ValueError):
            # Nothing in a seal says whose it is: the next key of the same owner is tried.
            continue
    raise IntegrityError("the seal doesn't open: sealed to another key or for another use, or changed") from None


# Reading a key expands the matrix of ML-KEM, and a reader's key is sealed to again and again.
@lru_cache(maxsize=256)
def _public(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != SEALING_SIZE:
        raise IntegrityError(f"a public key for seals has {SEALING_SIZE} bytes, got {len(public)}")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC])
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:])
        # With a point of small order every shared secret is zero, which the exchange refuses (RFC 7748, section 6.1).
        X25519PrivateKey.generate().exchange(x25519)
    except ValueError:
        raise IntegrityError("nothing can be sealed to this public key") from None
    return MLKEM768X25519PublicKey(mlkem, x25519)
