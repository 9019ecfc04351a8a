"""Key derivation: HKDF-SHA256 under labels. Follows RFC 5869; labels are in crypto/labels.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SHA256: Final = SHA256()


def derive(key: bytes, label: bytes, context: bytes = b"") -> bytes:
    """Return HKDF-Expand-SHA256 of a uniformly random key, RFC 5869 section 2.3: 32 bytes.

    Args:
        key: 32 uniformly random bytes, so the extract step isn't needed (section 3.3).
        label: from crypto/labels.py.
        context: what the derived key is bound to.
    """
    # The first and only block of HKDF-Expand is HMAC(key, info ‖ 0x01). Python's own `hmac` lets go of its lock for it,
    # and waits for it where other threads work.
    return _begun(key, _length_prefixed(label) + context + b"\x01").finalize()


def deriver(key: bytes, label: bytes) -> Callable[[bytes], bytes]:
    """Return `derive` for one key and label, which takes the context: for many, three times as fast."""
    begun = _begun(key, _length_prefixed(label))

    def derived(context: bytes) -> bytes:
        # The block that `derive` computes.
        copied = begun.copy()
        copied.update(context + b"\x01")
        return copied.finalize()

    return derived


def numbered_deriver(key: bytes, label: bytes) -> Callable[[int], bytes]:
    """Return `derive` for one key and label and numbered contexts: for many, four times as fast.

    Returns:
        What takes a number, 0 <= number < 2^64, and derives with its 8 bytes, big-endian, as the context.
    """
    begun = _begun(key, _length_prefixed(label))

    def derived(number: int) -> bytes:
        copied = begun.copy()
        # The context, and the number of HKDF's only block behind it.
        copied.update((number << 8 | 1).to_bytes(9, "big"))
        return copied.finalize()

    return derived


def hmacs(key: bytes, beginning: bytes) -> Callable[[bytes], bytes]:
    """Return HMAC-SHA256 of one key and of messages with one beginning, which takes the rest: for many of them."""
    begun = _begun(key, beginning)

    def mac(rest: bytes) -> bytes:
        copied = begun.copy()
        copied.update(rest)
        return copied.finalize()

    return mac


def _begun(key: bytes, beginning: bytes) -> HMAC:
    """Return an HMAC to be copied, since one can be finished once only: key and beginning are hashed once for all."""
    begun = HMAC(key, _SHA256)
    begun.update(beginning)
    return begun


def hkdf(key: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
    """Return HKDF-SHA256, RFC 5869, of `size` bytes."""
    return HKDF(_SHA256, size, salt, info).derive(key)


def _length_prefixed(label: bytes) -> bytes:
    # So that no label followed by a context can equal another label.
    return bytes([len(label)]) + label
