"""Signature worker: tells of digests and signatures whether they are a key's, in a process of its own.

A program beside the one that opens records (`signatures.py`). All that it is told is public, or says nothing without
what was signed: a public key, digests and signatures. It knows no secret, opens no file, writes none, and logs nothing.
Follows ADR 79.

    question = public key (33) ‖ how many (4) ‖ for each: digest (32) ‖ signature (64)
    answer   = for each a byte, 01 if the signature is the key's, else 00
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from panachain.beside import bound
from panachain.model.sizes import PUBLIC_SIZE
from panachain.secp256k1 import DIGEST_SIZE, SIGNATURE_SIZE, Point, verifies_all
from panachain.version import VERSION

_COUNT: Final = 4
"""Bytes of how many there are."""
_EACH: Final = DIGEST_SIZE + SIGNATURE_SIZE
_MEMORY: Final = 1 << 30
"""Bytes that the process may take."""


def question(key: bytes, signed: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the question for messages and their signatures, 64 bytes each.

    Args:
        key: the public key, 33 bytes.
        signed: each message, of which its digest is told, and its signature.

    Raises:
        ValueError: a key or a signature is of another size, so that the rest would be read as something else.
    """
    rows = b"".join([sha256(message).digest() + signature for message, signature in signed])
    if len(key) != PUBLIC_SIZE or any(len(signature) != SIGNATURE_SIZE for _, signature in signed):
        raise ValueError("a key or a signature of another size")
    return key + len(signed).to_bytes(_COUNT, "big") + rows


def main() -> None:
    """Answer until the input ends."""
    # Whoever asks may have been running since before an update, and mean something else by the same bytes.
    if sys.argv[2:] != [VERSION]:
        return
    bound(_MEMORY)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(PUBLIC_SIZE + _COUNT):
        size = int.from_bytes(head[PUBLIC_SIZE:], "big") * _EACH
        rows = source.read(size)
        signed = [(rows[at : at + DIGEST_SIZE], rows[at + DIGEST_SIZE : at + _EACH]) for at in range(0, size, _EACH)]
        sink.write(bytes(verifies_all(Point.parse(head[:PUBLIC_SIZE]), signed)))
        sink.flush()


if __name__ == "__main__":
    main()
