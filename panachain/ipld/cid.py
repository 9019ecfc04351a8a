"""CIDs: content identifiers, version 1, sha2-256, base32.

Never accepts another version, hash or base: one byte string has one CID here.
Follows the CID specification and the multiformats tables (github.com/multiformats/cid, /multicodec).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.errors import IntegrityError, UsageError
from panachain.model.sizes import HASH_SIZE

RAW: Final = 0x55
"""Codec of a byte string."""
DAG_PB: Final = 0x70
"""Codec of a UnixFS node."""
DAG_CBOR: Final = 0x71
"""Codec of a manifest node."""
CODEC_NAMES: Final = {RAW: "raw", DAG_PB: "dag-pb", DAG_CBOR: "dag-cbor"}
"""What Kubo calls them."""
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""Base32, RFC 4648 section 6, in lower case."""
_DIGITS: Final = bytes(_ALPHABET, "ascii") * 8
"""What each byte below 32 is written as, for `bytes.translate`."""
_GROUPS: Final = 64
"""Digits of 5 bits that are spread at once, a power of two; a CID has 58 of them."""
_LED: Final = bytes(_GROUPS - 37) + b"\1"
"""What stands before a CID's 36 bytes among others: its last bit becomes a digit, the `b` that begins the text."""
_AT_ONCE: Final = 64
"""CIDs that are spelled in one step."""
_TO_DIGITS: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""To the digits that Python reads numbers of base 32 in."""
_LENGTH: Final = 59
"""Characters of a CIDv1 in base32 with a digest of 32 bytes."""
CALLER: Final = "caller"
"""Origin of bytes that are about to be written."""
_SHA2_256: Final = b"\x12\x20"
"""Multihash: function sha2-256, 32 bytes."""


def _steps() -> Iterator[tuple[int, int, int]]:
    """Yield how a number's digits of 5 bits are spread to a byte each: which stay, which move, and how far."""
    # Halves move apart, then the halves of each half, and so on.
    size = _GROUPS // 2
    while size:
        half = (1 << 5 * size) - 1
        low = sum(half << 16 * size * place for place in range(_GROUPS // (2 * size)))
        yield low, low << 5 * size, 3 * size
        size //= 2


_SPREAD: Final = tuple(_steps())
_EACH: Final = sum(1 << 8 * _GROUPS * place for place in range(_AT_ONCE))
_SPREAD_ALL: Final = tuple((stay * _EACH, move * _EACH, by) for stay, move, by in _SPREAD)
"""The same for numbers that stand beside one another, each in as many bytes as it has digits in the end."""


_PREFIXES: Final = {codec: bytes([1, codec]) + _SHA2_256 for codec in CODEC_NAMES}
"""What stands before the digest in the binary form."""


@dataclass(frozen=True, init=False)
class CID:
    """A content identifier."""

    codec: int
    digest: bytes
    """sha2-256, 32 bytes."""

    def __init__(self, codec: int, digest: bytes) -> None:
        """Take codec and digest.

        Raises:
            IntegrityError: another codec than ours, or no digest of 32 bytes.
        """
        if codec not in CODEC_NAMES or len(digest) != HASH_SIZE:
            raise IntegrityError(f"CID of codec {codec:#x} with {len(digest)} bytes of digest isn't used here")
        # Frozen, and made by the ten thousands: what a dataclass writes takes twice as long.
        fields = self.__dict__
        fields["codec"] = codec
        fields["digest"] = digest

    @classmethod
    def of(cls, codec: int, data: bytes) -> CID:
        """Return the CID of a block."""
        return cls(codec, hashlib.sha256(data).digest())

    @classmethod
    def parse(cls, text: str) -> CID:
        """Return the CID that `text` spells.

        Raises:
            UsageError: it isn't a CIDv1 in base32 with sha2-256, in its canonical spelling.
        """
        try:
            # 36 bytes are 57.6 characters of base32: the last one ends in two zero bits.
            number = int(text[1:].translate(_TO_DIGITS), 32) if len(text) == _LENGTH else 0
            cid = cls.from_bytes((number >> 2).to_bytes(36, "big"))
        except (ValueError, OverflowError, IntegrityError):
            raise UsageError(f"{text[:80]!r} is no CID of version 1 in base32 with sha2-256") from None
        if str(cid) != text:
            raise UsageError(f"{text[:80]!r} isn't the canonical spelling of a CID")
        return cid

    @classmethod
    def from_bytes(cls, raw: bytes) -> CID:
        """Return the CID with this binary form.

        Raises:
            IntegrityError: another version, codec or hash.
        """
        if len(raw) != 36 or raw[0] != 1 or raw[2:4] != _SHA2_256:
            raise IntegrityError(f"CID of {len(raw)} bytes isn't of version 1 with sha2-256")
        return cls(raw[1], raw[4:])

    def __bytes__(self) -> bytes:
        return _PREFIXES[self.codec] + self.digest

    def __str__(self) -> str:
        # The same object is spelled again and again; nothing else than this fills the place.
        known: str | None = self.__dict__.get("_text")
        if known is None:
            number = int.from_bytes(bytes(self), "big") << 2
            # Six steps on one number in place of 58 on its digits: three times as fast.
            for stay, move, by in _SPREAD:
                number = number & stay | (number & move) << by
            known = self.__dict__["_text"] = "b" + number.to_bytes(_LENGTH - 1, "big").translate(_DIGITS).decode()
        return known

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not CID:
            return NotImplemented
        return self.digest == other.digest and self.codec == other.codec

    def __hash__(self) -> int:
        return hash(self.digest)

    def __lt__(self, other: CID) -> bool:
        # By what `bytes` gives, as all sorted lists of CIDs are; most differ in their digests alone.
        if self.codec != other.codec:
            return self.codec < other.codec
        return self.digest < other.digest

    def __getstate__(self) -> dict[str, object]:
        return {"codec": self.codec, "digest": self.digest}

    def check(self, data: bytes, origin: str) -> bytes:
        """Return `data` if it is the block of this CID.

        Args:
            data: the bytes.
            origin: who gave them, as the message names it; a store is called by its name.

        Raises:
            IntegrityError: it isn't.
        """
        if hashlib.sha256(data).digest() != self.digest:
            raise IntegrityError(
                f"block {self} of the {origin} has {len(data)} bytes that don't fit its CID; none was used"
            )
        return data


def spell(cids: Sequence[CID]) -> None:
    """Find the texts of many CIDs at once, in a sixth of the time that `str` takes; each has its own then."""
    for start in range(0, len(cids), _AT_ONCE):
        some = cids[start : start + _AT_ONCE]
        number = int.from_bytes(b"".join([_LED + _PREFIXES[one.codec] + one.digest for one in some]), "big") << 2
        for stay, move, by in _SPREAD_ALL:
            number = number & stay | (number & move) << by
        texts = number.to_bytes(_GROUPS * len(some), "big").translate(_DIGITS).decode()
        for place, one in enumerate(some):
            end = _GROUPS * (place + 1)
            one.__dict__["_text"] = texts[end - _LENGTH : end]


def varint(number: int) -> bytes:
    """Return the shortest unsigned varint (github.com/multiformats/unsigned-varint), as UnixFS and CAR have it, too."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
