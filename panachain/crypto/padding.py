"""Padding by the Padme rule: a sealed size tells at most O(log log n) bits about the true one.

Follows Nikitin et al., "Reducing Metadata Leakage from Encrypted Files" (PoPETs 2019), section 4. The true length
stands at the end, under the seal, so that a stream can be padded before its length is known.

    padded = message ‖ zeros ‖ length of the message (8 bytes, big-endian)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from panachain.errors import IntegrityError

LENGTH_SIZE: Final = 8
"""Bytes of the length behind the message, big-endian."""
_PIECE: Final = 1 << 16
"""Bytes of zeros that `pad_pieces` yields at once."""


def padme(size: int) -> int:
    """Return the padded size of `size` bytes."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    # Padme keeps as many leading bits of the size as its exponent has bits: at most 12 % are added, less for large
    # ones.
    last_bits = exponent - exponent.bit_length()
    # All lower bits are rounded up to zero.
    mask = (1 << last_bits) - 1
    return (size + mask) & ~mask


# Many headers, and many records of one kind, are of the same few sizes.
@lru_cache(maxsize=1024)
def padded_size(size: int, minimum: int = 0) -> int:
    """Return the bytes of a padded message of `size` bytes."""
    return max(padme(size + LENGTH_SIZE), minimum)


def pad(message: bytes, minimum: int = 0) -> bytes:
    """Return message ‖ zeros ‖ length, of a Padme size.

    Args:
        message: of any size.
        minimum: bytes that also a short message takes, so that all short ones look alike.
    """
    return message.ljust(padded_size(len(message), minimum) - LENGTH_SIZE, b"\0") + trailer(len(message))


def pad_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a message and then its padding."""
    size = 0
    for piece in pieces:
        size += len(piece)
        yield piece
    zeros = padded_size(size) - LENGTH_SIZE - size
    while zeros:
        part = min(zeros, _PIECE)
        yield bytes(part)
        zeros -= part
    yield trailer(size)


def trailer(size: int) -> bytes:
    """Return what stands at the end of a padded message of `size` bytes."""
    return size.to_bytes(LENGTH_SIZE, "big")


def message_size(end: bytes, padded: int, minimum: int = 0) -> int:
    """Return the size of a message whose padded form has `padded` bytes and ends in `end`.

    Raises:
        IntegrityError: no message of the stated size has that padded size.
    """
    size = int.from_bytes(end, "big")
    # The stated length must lead to this very size. Otherwise one message had several padded forms, and a sealer could
    # hide something in the size.
    if len(end) != LENGTH_SIZE or padded_size(size, minimum) != padded:
        raise IntegrityError(f"padding of {padded} bytes doesn't fit its stated length")
    return size


def unpad(padded: bytes, minimum: int = 0) -> bytes:
    """Return the message; `minimum` is what `pad` was given.

    Raises:
        IntegrityError: the length, the size or a padding byte isn't what `pad` writes.
    """
    end = len(padded) - LENGTH_SIZE
    size = message_size(padded[-LENGTH_SIZE:], len(padded), minimum)
    if padded[size:end] != bytes(end - size):
        raise _not_zeros()
    return padded[:size]


def check_zeros(padding: bytes) -> None:
    """Check a piece of what stands between message and length.

    Raises:
        IntegrityError: a byte isn't zero.
    """
    if padding.strip(b"\0"):
        raise _not_zeros()


def _not_zeros() -> IntegrityError:
    return IntegrityError("the padding isn't zeros")
