"""Ethereum's hash and addresses, for every floor above: Keccak-256 and EIP-55.

It imports one hash function and nothing else: every command needs it, and `eth_utils`, which has the same, takes as
long to import as the rest of a command. Never holds a key.
Follows the Yellow Paper (section 3: KEC; appendix F: the address of a public key) and EIP-55.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from panachain.absent import absent
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.sizes import ADDRESS_SIZE

# With cffi, pycryptodome parses a C declaration for each function, by a parser in Python that takes longer to import
# than all of this program's own modules. Without it, it takes ctypes, as on machines that have no cffi.
with absent("cffi"):
    from Crypto.Hash import keccak as _keccak

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def keccak(data: bytes | str) -> bytes:
    """Return the Keccak-256 hash of bytes, or of a text in UTF-8: 32 bytes."""
    # Not SHA3-256: the standard changed the padding after Ethereum had chosen.
    return _keccak.new(data=data.encode() if isinstance(data, str) else data, digest_bits=256).digest()


def checksum_address(raw: bytes) -> Address:
    """Return 20 bytes as an EIP-55 address.

    Raises:
        IntegrityError: another length.
    """
    # Checked before the cache is asked: what comes from somebody's block may be of any type, also one without a hash.
    if not isinstance(raw, bytes) or len(raw) != ADDRESS_SIZE:
        raise IntegrityError("an address has 20 bytes")
    return _checksum(raw)


def parse_address(text: str) -> Address:
    """Return the EIP-55 address that a text of 40 hex digits after `0x` spells, in whatever case.

    Raises:
        ValueError: it spells no address.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise ValueError("an address has 40 hex digits after 0x")
    return _checksum(bytes.fromhex(text[2:]))


def address_of_point(point: bytes) -> Address:
    """Return the address of an account's public key.

    Args:
        point: the uncompressed point, 65 bytes.
    """
    return _checksum(keccak(point[1:])[12:])


@lru_cache(maxsize=4096)
def _checksum(raw: bytes) -> Address:
    digits = raw.hex()
    # A letter is a capital where the hash of the digits has a nibble of 8 or more.
    capitals = keccak(digits).hex()
    return Address("0x" + "".join(d.upper() if c >= "8" else d for d, c in zip(digits, capitals, strict=False)))
