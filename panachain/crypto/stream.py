"""Streaming AEAD in Tink's format AES256_GCM_HKDF_1MB: written on `cryptography`, read by any Tink.

Never reuses a key and nonce: each stream derives its own key from a fresh salt. Truncation, reordering and bit
flips are found before a byte of the segment is handed out.
Follows Tink, "AES-GCM-HKDF Streaming AEAD" (developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming).

    stream  = header ‖ segment 0 ‖ segment 1 …          each ciphertext segment is 1 MiB, the last one may be shorter
    header  = 0x28 ‖ salt (32) ‖ nonce prefix (7)       counts as part of segment 0
    key     = HKDF-SHA256(key, salt, associated data)
    nonce i = prefix ‖ i (4 bytes, big-endian) ‖ 0x01 for the last segment, else 0x00
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from panachain.crypto.kdf import hkdf
from panachain.errors import IntegrityError, UsageError
from panachain.model.sizes import KEY_SIZE

SEGMENT_SIZE: Final = 1 << 20
"""Bytes of a ciphertext segment: one leaf of the unixfs-v1-2025 CID profile."""
HEADER_SIZE: Final = 40
TAG_SIZE: Final = 16
"""Bytes, NIST SP 800-38D."""
FIRST_PLAIN: Final = SEGMENT_SIZE - HEADER_SIZE - TAG_SIZE
"""Plaintext bytes in the first segment."""
NEXT_PLAIN: Final = SEGMENT_SIZE - TAG_SIZE
"""Plaintext bytes in each later segment."""
_SALT_SIZE: Final = 32
_PREFIX_SIZE: Final = 7
_MAX_SEGMENTS: Final = 1 << 32
_ONLY: Final = b"\0\0\0\0\x01"
"""How the nonce of a stream's only segment ends: number 0, the last one."""


def seal_segments(source: bytes | Iterable[bytes], key: bytes, associated: bytes) -> Iterator[bytes]:
    """Yield the ciphertext segments of a stream, each of exactly 1 MiB but the last.

    Args:
        source: the plaintext, whole or in pieces of any size.
        key: 32 uniformly random bytes.
        associated: bound to the stream, not stored in it.

    Raises:
        UsageError: the key doesn't have 32 bytes, or the plaintext is larger than the format can hold.
    """
    if isinstance(source, bytes) and len(source) <= FIRST_PLAIN:
        yield seal(source, key, associated)
        return
    sealer = SegmentSealer(key, associated)
    for index, (plain, last) in enumerate(_cut(source)):
        segment = bytearray(sealed_size(len(plain)) if index == 0 else len(plain) + TAG_SIZE)
        sealer.seal_into(index, plain, memoryview(segment), last=last)
        yield bytes(segment)


def seal(plain: bytes, key: bytes, associated: bytes) -> bytes:
    """Return the stream of a plaintext that fits in memory."""
    if len(plain) <= FIRST_PLAIN:
        # One segment, as of most of what is sealed: what `SegmentSealer` does, in one step.
        salt, prefix = os.urandom(_SALT_SIZE), os.urandom(_PREFIX_SIZE)
        head = bytes([HEADER_SIZE]) + salt + prefix
        return head + _cipher(key, salt, associated).encrypt(prefix + _ONLY, plain, None)
    return b"".join(seal_segments(plain, key, associated))


def open_segments(segments: Iterable[bytes], key: bytes, associated: bytes) -> Iterator[bytes]:
    """Yield the plaintext of each ciphertext segment, checked.

    Args:
        segments: the stream cut at each MiB, as the store's leaves are.
        key: 32 bytes.
        associated: what it was sealed with.

    Raises:
        IntegrityError: a byte was changed, a segment is missing or out of order, or the key doesn't fit.
    """
    opener: SegmentOpener | None = None
    previous: bytes | None = None
    index = 0
    for segment in segments:
        if opener is not None and previous is not None:
            yield opener.open(index, previous, last=False)
            index += 1
        else:
            opener = SegmentOpener(segment[:HEADER_SIZE], key, associated)
            segment = segment[HEADER_SIZE:]
        # A segment is opened once its successor is seen: only then is it known whether it is the last one, which its
        # nonce says, so that a stream that was cut off doesn't open.
        previous = segment
    if opener is None or previous is None:
        raise IntegrityError("the sealed stream is empty")
    yield opener.open(index, previous, last=True)


def open_(stream: bytes, key: bytes, associated: bytes) -> bytes:
    """Return the plaintext of a stream that fits in memory.

    Raises:
        IntegrityError: as `open_segments`.
    """
    view = memoryview(stream)
    if HEADER_SIZE + TAG_SIZE <= len(stream) <= SEGMENT_SIZE and stream[0] == HEADER_SIZE:
        # One segment, as of most records: what `SegmentOpener` does, in one step.
        salt, prefix = stream[1 : 1 + _SALT_SIZE], stream[1 + _SALT_SIZE : HEADER_SIZE]
        try:
            return _cipher(key, salt, associated).decrypt(prefix + _ONLY, view[HEADER_SIZE:], None)
        except InvalidTag:
            raise _not_open(0) from None
    pieces = (bytes(view[start : start + SEGMENT_SIZE]) for start in range(0, len(stream), SEGMENT_SIZE))
    return b"".join(open_segments(pieces, key, associated))


class SegmentSealer:
    """Seals single segments of one stream, in any order and from any thread; none of them twice."""

    def __init__(self, key: bytes, associated: bytes) -> None:
        """Begin a stream with a fresh salt and nonce prefix.

        Raises:
            UsageError: the key doesn't have 32 bytes.
        """
        # The salt gives each stream a key of its own. So two streams under one key can't share a nonce, whatever the
        # prefixes.
        salt, self._prefix = os.urandom(_SALT_SIZE), os.urandom(_PREFIX_SIZE)
        self._cipher = _cipher(key, salt, associated)
        self.header = bytes([HEADER_SIZE]) + salt + self._prefix
        """What segment 0 begins with, 40 bytes."""

    def seal_into(self, index: int, plain: bytes | bytearray | memoryview, segment: memoryview, *, last: bool) -> None:
        """Seal segment `index` into a buffer of exactly its size.

        Raises:
            UsageError: the stream would be larger than the format can hold.
        """
        if index >= _MAX_SEGMENTS:
            raise UsageError("the plaintext is larger than 4 PiB, the format's limit")
        if index == 0:
            segment[:HEADER_SIZE] = self.header
            segment = segment[HEADER_SIZE:]
        self._cipher.encrypt_into(_nonce(self._prefix, index, last), plain, None, segment)


def sealed_size(size: int) -> int:
    """Return the bytes of the stream of a plaintext of `size` bytes."""
    rest = max(size - FIRST_PLAIN, 0)
    segments = 1 + -(-rest // NEXT_PLAIN)
    return HEADER_SIZE + size + segments * TAG_SIZE


def span(index: int) -> tuple[int, int]:
    """Return where the plaintext of segment `index` begins and ends, in a stream that is long enough."""
    if index == 0:
        return 0, FIRST_PLAIN
    start = FIRST_PLAIN + (index - 1) * NEXT_PLAIN
    return start, start + NEXT_PLAIN


def segment_at(position: int) -> int:
    """Return the index of the segment that holds a byte of the plaintext."""
    return 0 if position < FIRST_PLAIN else 1 + (position - FIRST_PLAIN) // NEXT_PLAIN


class SegmentOpener:
    """Opens single segments of one stream, in any order: random access."""

    def __init__(self, header: bytes, key: bytes, associated: bytes) -> None:
        """Take the stream's header.

        Raises:
            IntegrityError: it is no header.
        """
        # The first byte states the header's length, as in Tink's streaming format.
        if len(header) != HEADER_SIZE or header[0] != HEADER_SIZE:
            raise IntegrityError("the sealed stream has no header")
        self._prefix = header[1 + _SALT_SIZE : HEADER_SIZE]
        self._cipher = _cipher(key, header[1 : 1 + _SALT_SIZE], associated)

    def open(self, index: int, segment: bytes | memoryview, *, last: bool) -> bytes:
        """Return the plaintext of segment `index` (the first one without the header).

        Raises:
            IntegrityError: it isn't that segment of this stream.
        """
        if index >= _MAX_SEGMENTS or len(segment) < TAG_SIZE:
            raise IntegrityError(f"segment {index} of {len(segment)} bytes is too short or too late")
        try:
            return self._cipher.decrypt(_nonce(self._prefix, index, last), segment, None)
        except InvalidTag:
            raise _not_open(index) from None


def _not_open(index: int) -> IntegrityError:
    # The cause says nothing more: GCM doesn't tell a wrong key from a changed byte.
    return IntegrityError(f"segment {index} of the sealed stream doesn't open: wrong key or changed bytes")


def _cipher(key: bytes, salt: bytes, associated: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise UsageError(f"a stream's key has 32 bytes, got {len(key)}")
    return AESGCM(hkdf(key, salt=salt, info=associated, size=32))


def _nonce(prefix: bytes, index: int, last: bool) -> bytes:
    # The index stops reordering, the last byte stops cutting off: both are part of the nonce, so they cost no byte.
    return prefix + index.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _cut(source: bytes | Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield segment-sized pieces of the plaintext, each with whether it is the last."""
    buffer = bytearray()
    size = FIRST_PLAIN
    for piece in (source,) if isinstance(source, bytes) else source:
        buffer += piece
        # Strictly more: a full buffer may yet turn out to be the last segment.
        while len(buffer) > size:
            yield bytes(buffer[:size]), False
            del buffer[:size]
            size = NEXT_PLAIN
    yield bytes(buffer), True
