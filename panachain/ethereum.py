"""Ethereum's hash and addresses, for every floor above: Keccak-256 and EIP-55.

It loads one hash function and nothing else: every command needs it, and `eth_utils`, which has the same, takes as
long to import as the rest of a command. Never holds a key.
Follows the Yellow Paper (section 3: KEC; appendix F: the address of a public key) and EIP-55.
"""

from __future__ import annotations

import ctypes
import re
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import Crypto

from panachain.absent import absent
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.sizes import ADDRESS_SIZE, HASH_SIZE

_CAPACITY: Final = 64
"""Bytes of the sponge's capacity: twice the hash's size (Keccak reference 3.0, section 2)."""
_ROUNDS: Final = 24
_PADDING: Final = 1
"""The bits that end a message: Keccak's own, where SHA3-256 has 6."""
_EMPTY: Final = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""The hash of nothing (Yellow Paper, section 4.1: KEC(()))."""
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def keccak(data: bytes | str) -> bytes:
    """Return the Keccak-256 hash of bytes, or of a text in UTF-8: 32 bytes."""
    return _hash(data.encode() if isinstance(data, str) else data)


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


class _State(threading.local):
    """A hash under way, for each thread its own, in memory of the library, which gets it back as the thread ends."""

    def __init__(self) -> None:
        self.at = ctypes.c_void_p()
        init = _function("keccak_init", ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint8)
        if init(ctypes.byref(self.at), _CAPACITY, _ROUNDS):
            raise MemoryError
        weakref.finalize(self.at, _function("keccak_destroy", ctypes.c_void_p), self.at.value).atexit = False


def _function(name: str, *arguments: Any) -> Callable[..., int]:
    found: Callable[..., int] = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)((name, _library()))
    return found


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    # By its file: the module around it brings subprocess, platform and temporary files, which take longer than to load
    # all adapters of a chain.
    return ctypes.CDLL(str(next(Path(Crypto.__path__[0], "Hash").glob("_keccak.*"))))


def _by_the_library(data: bytes) -> bytes:
    # With cffi, pycryptodome parses a C declaration for each function, by a parser in Python that takes longer to
    # import than all of this program's own modules. Without it, it takes ctypes, as on machines that have no cffi.
    with absent("cffi"):
        from Crypto.Hash import keccak as library

    # Not SHA3-256: the standard changed the padding after Ethereum had chosen.
    return library.new(data=data, digest_bits=256).digest()


def _made() -> Callable[[bytes], bytes]:
    """Return what hashes: the library's C functions themselves, since its object around them takes three times as long.

    Blocks are checked by hundreds of hashes each. Where a version of the library has them no more, its object does it.
    """
    try:
        state = _State()
        reset = _function("keccak_reset", ctypes.c_void_p)
        absorb = _function("keccak_absorb", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
        digest = _function("keccak_digest", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint8)
    except (AttributeError, OSError, StopIteration, TypeError):
        return _by_the_library

    def made(data: bytes) -> bytes:
        at = state.at
        found = ctypes.create_string_buffer(HASH_SIZE)
        if reset(at) or absorb(at, bytes(data), len(data)) or digest(at, found, HASH_SIZE, _PADDING):
            raise MemoryError
        return found.raw

    return made if made(b"") == _EMPTY else _by_the_library


_hash: Final = _made()


@lru_cache(maxsize=4096)
def _checksum(raw: bytes) -> Address:
    digits = raw.hex()
    # A letter is a capital where the hash of the digits has a nibble of 8 or more.
    capitals = keccak(digits).hex()
    return Address("0x" + "".join(d.upper() if c >= "8" else d for d, c in zip(digits, capitals, strict=False)))
