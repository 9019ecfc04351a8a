"""Padding by the Padme rule: a sealed size tells at most O(log log n) bits about the true one.

Follows Nikitin et al., "Reducing Metadata Leakage from Encrypted Files" (PoPETs 2019), section 4. The true length
stands before the message, under the seal.
"""

from __future__ import annotations

from typing import Final

from panachain.errors import IntegrityError

LENGTH_SIZE: Final = 8
"""Bytes of the length before the message, big-endian."""


def padme(size: int) -> int:
    """Return the padded size of `size` bytes."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    last_bits = exponent - exponent.bit_length()
    mask = (1 << last_bits) - 1
    return (size + mask) & ~mask


def pad(message: bytes) -> bytes:
    """Return length ‖ message ‖ zeros, of a Padme size."""
    framed = len(message).to_bytes(LENGTH_SIZE, "big") + message
    return framed.ljust(padme(len(framed)), b"\0")


def unpad(padded: bytes) -> bytes:
    """Return the message.

    Raises:
        IntegrityError: the length, the size or a padding byte isn't what `pad` writes.
    """
    size = int.from_bytes(padded[:LENGTH_SIZE], "big")
    end = LENGTH_SIZE + size
    if len(padded) < LENGTH_SIZE or padme(end) != len(padded) or padded[end:].strip(b"\0"):
        raise IntegrityError(f"padding of {len(padded)} bytes doesn't fit its stated length")
    return padded[LENGTH_SIZE:end]
