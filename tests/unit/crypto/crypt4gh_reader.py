"""A strict reader of Crypt4GH, for what our writer and the reference tool write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from panachain.crypto import crypt4gh
from panachain.errors import InputError, IntegrityError

_MOST_PACKETS: Final = 1024
"""Packets of a header that are read."""
_MAX_PACKET: Final = 1 << 16
"""Bytes of a packet that is read, which may be an edit list."""


def open_(file: BinaryIO, secret: bytes) -> Iterator[bytes]:
    """Yield the content of a file, one segment at a time. Whether it is whole, only its size tells.

    Args:
        file: opened at its beginning.
        secret: a reader's secret key, 32 bytes.

    Raises:
        IntegrityError: it is no such file, isn't sealed to this key, was changed, or has an edit list.
    """
    ciphers = [ChaCha20Poly1305(key) for key in _data_keys(file, secret)]
    size = crypt4gh.NONCE_SIZE + crypt4gh.SEGMENT + crypt4gh.TAG_SIZE
    while block := file.read(size):
        yield _opened(ciphers, block)
        if len(block) < size:
            if file.read(1):
                raise IntegrityError("a short segment stands in the middle of the file")
            return


def _data_keys(file: BinaryIO, secret: bytes) -> list[bytes]:
    head = file.read(16)
    if len(head) < 16 or head[:8] != crypt4gh.MAGIC or head[8:12] != crypt4gh._VERSION:
        raise IntegrityError("no Crypt4GH file of version 1")
    count = int.from_bytes(head[12:], "little")
    if not 1 <= count <= _MOST_PACKETS:
        raise IntegrityError(f"a Crypt4GH header of {count} packets, 1 to {_MOST_PACKETS} are read")
    own = X25519PrivateKey.from_private_bytes(secret)
    keys = []
    for _ in range(count):
        size = int.from_bytes(file.read(4), "little") - 4
        if not 0 <= size <= _MAX_PACKET:
            raise IntegrityError("a packet of the Crypt4GH header has no length that is read")
        packet = file.read(size)
        if len(packet) < size:
            raise IntegrityError("the Crypt4GH header breaks off")
        inner = _open_packet(packet, own)
        if inner is None:
            # Another reader's.
            continue
        if inner[:8] != crypt4gh._DATA_KEY or len(inner) != len(crypt4gh._DATA_KEY) + crypt4gh.KEY_SIZE:
            raise IntegrityError("a Crypt4GH file with an edit list or another cipher, which isn't read here")
        keys.append(inner[8:])
    if not keys:
        raise IntegrityError("the Crypt4GH file isn't sealed to this key")
    return keys


def _open_packet(packet: bytes, own: X25519PrivateKey) -> bytes | None:
    if packet[:4] != crypt4gh._X25519 or len(packet) < 4 + crypt4gh.KEY_SIZE + crypt4gh.NONCE_SIZE + crypt4gh.TAG_SIZE:
        return None
    writer, rest = packet[4 : 4 + crypt4gh.KEY_SIZE], packet[4 + crypt4gh.KEY_SIZE :]
    try:
        key = crypt4gh._shared(own, writer, reader=own.public_key().public_bytes_raw(), writer=writer)
        return ChaCha20Poly1305(key).decrypt(rest[: crypt4gh.NONCE_SIZE], rest[crypt4gh.NONCE_SIZE :], None)
    except (InvalidTag, InputError):
        return None


def _opened(ciphers: Sequence[ChaCha20Poly1305], block: bytes) -> bytes:
    if len(block) > crypt4gh.NONCE_SIZE + crypt4gh.TAG_SIZE:
        for cipher in ciphers:
            try:
                return cipher.decrypt(block[: crypt4gh.NONCE_SIZE], block[crypt4gh.NONCE_SIZE :], None)
            except InvalidTag:
                continue
    raise IntegrityError("a segment of the Crypt4GH file was changed, or breaks off")
