"""GA4GH Crypt4GH: one file, sealed to a reader's public key, as genomics tools open it.

Never opens one: readers have their own tools. The format doesn't say where a file ends, and one that was cut at a
segment's end opens; whoever hands one on says how many bytes it has. Composed of X25519, BLAKE2b
and ChaCha20-Poly1305 with the IETF's nonce. Follows GA4GH File Encryption Standard 1.0 (Crypt4GH), RFC 7748, RFC 7693,
RFC 8439, and docs/spec/sharing.md, section "Crypt4GH".

    file    = "crypt4gh" ‖ 1, 4 bytes ‖ number of packets, 4 ‖ packets ‖ segments           (little-endian)
    packet  = its length, 4 ‖ 0, 4 ‖ writer's public key, 32 ‖ nonce, 12 ‖ sealed ‖ tag, 16
    sealed  = 0, 4 (data key) ‖ 0, 4 (ChaCha20-Poly1305) ‖ data key, 32
    segment = nonce, 12 ‖ at most 65,536 sealed bytes ‖ tag, 16
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from panachain.errors import InputError

MAGIC: Final = b"crypt4gh"
SEGMENT: Final = 65_536
"""Bytes of a segment, opened."""
KEY_SIZE: Final = 32
"""Bytes of a key, public, secret or of data."""
NONCE_SIZE: Final = 12
"""Bytes, RFC 8439."""
TAG_SIZE: Final = 16
"""Bytes, RFC 8439."""
_VERSION: Final = (1).to_bytes(4, "little")
_X25519: Final = bytes(4)
"""Header encryption method 0: X25519 with ChaCha20-Poly1305."""
_DATA_KEY: Final = bytes(8)
"""Packet type 0, data encryption parameters, with method 0, ChaCha20-Poly1305."""
_PACKET: Final = 4 + 4 + KEY_SIZE + NONCE_SIZE + len(_DATA_KEY) + KEY_SIZE + TAG_SIZE
"""Bytes of a packet with a data key, its length included: 108."""
_PEM: Final = re.compile(
    rb"\s*-----BEGIN CRYPT4GH PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END CRYPT4GH PUBLIC KEY-----\s*"
)


def read_public_key(content: bytes) -> bytes:
    """Return a reader's public key, 32 bytes, from the file that their tool made (`crypt4gh-keygen`).

    Raises:
        InputError: it is no such file; a secret key's, above all.
    """
    if b"PRIVATE KEY" in content:
        raise InputError(
            "this file holds a secret key, and none is needed", hint="take the public one, which often ends in .pub"
        )
    found = _PEM.fullmatch(content) if len(content) <= 4096 else None
    try:
        key = base64.b64decode(b"".join(found[1].split()), validate=True) if found is not None else b""
    except binascii.Error:
        key = b""
    if len(key) != KEY_SIZE:
        raise InputError("this file holds no Crypt4GH public key", hint="crypt4gh-keygen makes one")
    # A point of small order gives all readers the same secret.
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        raise InputError("this Crypt4GH public key is none that anybody can have") from None
    return key


def seal(pieces: Iterable[bytes], readers: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a file, header first, one segment at a time.

    Args:
        pieces: the content, in pieces of any size.
        readers: public keys, 32 bytes each, at least one.

    Raises:
        InputError: one of them is no key.
    """
    writer, data_key = X25519PrivateKey.generate(), os.urandom(KEY_SIZE)
    yield (
        MAGIC
        + _VERSION
        + len(readers).to_bytes(4, "little")
        + b"".join(_packet(writer, reader, data_key) for reader in readers)
    )
    cipher, waiting = ChaCha20Poly1305(data_key), bytearray()
    for piece in pieces:
        waiting += piece
        at = 0
        while len(waiting) - at >= SEGMENT:
            yield _segment(cipher, waiting[at : at + SEGMENT])
            at += SEGMENT
        del waiting[:at]
    if waiting:
        yield _segment(cipher, waiting)


def _packet(writer: X25519PrivateKey, reader: bytes, data_key: bytes) -> bytes:
    public = writer.public_key().public_bytes_raw()
    nonce = os.urandom(NONCE_SIZE)
    sealed = ChaCha20Poly1305(_shared(writer, reader, reader=reader, writer=public)).encrypt(
        nonce, _DATA_KEY + data_key, None
    )
    return _PACKET.to_bytes(4, "little") + _X25519 + public + nonce + sealed


def _shared(own: X25519PrivateKey, other: bytes, *, reader: bytes, writer: bytes) -> bytes:
    """Return the key between a writer and a reader, section 3.2.1: half of BLAKE2b of the secret and both keys.

    Raises:
        InputError: the other's key is none that anybody can have.
    """
    try:
        secret = own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise InputError("a Crypt4GH public key is none that anybody can have") from None
    return blake2b(secret + reader + writer, digest_size=64).digest()[:KEY_SIZE]


def _segment(cipher: ChaCha20Poly1305, content: bytes | bytearray) -> bytes:
    # Random as the standard wants it. One key seals one file: 2^32 segments of 64 KiB would be 256 TiB.
    nonce = os.urandom(NONCE_SIZE)
    return nonce + cipher.encrypt(nonce, bytes(content), None)
