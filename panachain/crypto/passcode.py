"""What is kept of a short passcode, so that whoever reads it doesn't have the passcode.

Never the only guard: a passcode of a few digits is guessed at leisure by whoever has this. Its tries are counted where
it is asked for, and what it guards is sealed under another key. Follows RFC 7914 (scrypt), docs/spec/sharing.md.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SALT_SIZE: Final = 16
"""Bytes."""
HASH_SIZE: Final = 32
"""Bytes."""
_COST: Final = 1 << 15
"""scrypt's N, with r = 8: 32 MiB and some 80 ms for each try. The number of tries is what bounds guessing."""


def new_salt() -> bytes:
    """Return a salt, 16 random bytes."""
    return os.urandom(SALT_SIZE)


def hashed(passcode: str, salt: bytes) -> bytes:
    """Return what is kept of a passcode, 32 bytes.

    Args:
        passcode: of any length.
        salt: from `new_salt`, one for each.
    """
    return Scrypt(salt=salt, length=HASH_SIZE, n=_COST, r=8, p=1).derive(passcode.encode("utf-8", "replace"))


def fits(passcode: str, salt: bytes, kept: bytes) -> bool:
    """Tell whether a passcode is the one of which `kept` is what `hashed` gave."""
    return hmac.compare_digest(hashed(passcode, salt), kept)
