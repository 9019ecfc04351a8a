"""The Contract ABI's encoding, for the types that our contracts use: a few strict lines.

It reads the one canonical encoding only, which is what Solidity writes: each tail follows the one before it, padding is
zero, and nothing is left over. So nothing that a node sends is read twice, and a value never takes more room than the
bytes that came. tests/unit/chain/test_codec.py compares it with `eth_abi` and web3.py; ADR 11 says why it is ours.
Follows the Contract ABI Specification ("Formal Specification of the Encoding", "Strict Encoding Mode").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Protocol

from panachain.ethereum import parse_address

WORD: Final = 32
"""bytes"""
_UINT: Final = re.compile(r"uint([1-9]\d{0,2})")
_FIXED: Final = re.compile(r"bytes([1-9]|[12]\d|3[0-2])")


class Kind(Protocol):
    """A type of the ABI."""

    dynamic: bool
    """Whether its place in the head holds an offset, and the value lies behind the head."""
    size: int
    """Bytes that it takes in the head."""

    def encode(self, value: Any) -> bytes:
        """Return the encoding, a whole number of words.

        Raises:
            ValueError: the value doesn't fit the type.
        """

    def decode(self, data: bytes, at: int) -> tuple[Any, int]:
        """Return the value that begins at byte `at`, and where it ends.

        Raises:
            ValueError: there is no canonical encoding of this type.
        """


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the encoding of some values as one tuple.

    Args:
        types: such as `uint48`, `bytes[]` or `(address,bytes32)`.
        values: an address as text; `bytesN` with exactly N bytes; a tuple or list for arrays and tuples.

    Raises:
        ValueError: a value doesn't fit its type.
    """
    return _sequence(tuple(types)).encode(values)


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return the values that `data` encodes as one tuple, and nothing behind them.

    Addresses come in lower case, arrays and tuples as tuples.

    Raises:
        ValueError: `data` isn't the canonical encoding of values of these types.
    """
    values, end = _sequence(tuple(types)).decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the last value")
    found: tuple[Any, ...] = values
    return found


def from_hex(text: object) -> bytes:
    """Return the bytes that a node's hex data holds.

    Raises:
        ValueError: it isn't hex data of whole bytes after `0x`.
    """
    if isinstance(text, str) and text.startswith("0x"):
        with suppress(ValueError):
            found = bytes.fromhex(text[2:])
            # Python skips spaces. A pattern that counts pairs would take 60 times the text's memory.
            if 2 * len(found) == len(text) - 2:
                return found
    raise ValueError("no hex data after 0x")


class _Word:
    """What stands in one word: its subclasses say how."""

    dynamic = False
    size = WORD

    def decode(self, data: bytes, at: int) -> tuple[Any, int]:
        word = data[at : at + WORD]
        if len(word) != WORD:
            raise ValueError("the data ends within a word")
        return self.read(word), at + WORD

    def read(self, word: bytes) -> Any:
        raise NotImplementedError


class _Uint(_Word):
    def __init__(self, bits: int) -> None:
        self._limit = 1 << bits

    def encode(self, value: Any) -> bytes:
        # A bool is an int to Python, and not to the ABI.
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < self._limit:
            raise ValueError(f"not a number from 0 to {self._limit - 1:#x}")
        return value.to_bytes(WORD, "big")

    def read(self, word: bytes) -> int:
        value = int.from_bytes(word, "big")
        if value >= self._limit:
            raise ValueError(f"a number above {self._limit - 1:#x}")
        return value


class _Bool(_Word):
    def encode(self, value: Any) -> bytes:
        if not isinstance(value, bool):
            raise ValueError("neither true nor false")
        return value.to_bytes(WORD, "big")

    def read(self, word: bytes) -> bool:
        value = int.from_bytes(word, "big")
        if value > 1:
            raise ValueError("a truth value that is neither 0 nor 1")
        return bool(value)


class _Address(_Word):
    def encode(self, value: Any) -> bytes:
        checked = parse_address(value)
        # Mixed case is a checksum (EIP-55): one that doesn't fit is a slip of the pen, which would cost somebody money.
        if value[2:] not in (checked[2:], checked[2:].lower(), checked[2:].upper()):
            raise ValueError("an address whose checksum doesn't fit")
        return bytes.fromhex(value[2:]).rjust(WORD, b"\0")

    def read(self, word: bytes) -> str:
        if any(word[:12]):
            raise ValueError("an address of more than 20 bytes")
        return "0x" + word[12:].hex()


class _FixedBytes(_Word):
    def __init__(self, length: int) -> None:
        self._length = length

    def encode(self, value: Any) -> bytes:
        # A shorter value would be filled up, and two values would have one encoding.
        if not isinstance(value, bytes | bytearray) or len(value) != self._length:
            raise ValueError(f"not {self._length} bytes")
        return bytes(value).ljust(WORD, b"\0")

    def read(self, word: bytes) -> bytes:
        if any(word[self._length :]):
            raise ValueError(f"more than {self._length} bytes")
        return word[: self._length]


class _Bytes:
    """`bytes`, or `string` in UTF-8: length, then the bytes, filled up with zeros to whole words."""

    dynamic = True
    size = WORD

    def __init__(self, *, text: bool) -> None:
        self._text = text

    def encode(self, value: Any) -> bytes:
        if self._text and isinstance(value, str):
            content = value.encode()
        elif not self._text and isinstance(value, bytes | bytearray):
            content = bytes(value)
        else:
            raise ValueError("not a text" if self._text else "not bytes")
        return len(content).to_bytes(WORD, "big") + content + bytes(-len(content) % WORD)

    def decode(self, data: bytes, at: int) -> tuple[Any, int]:
        length, start = _LENGTH.decode(data, at)
        end = start + length
        filled = end + -length % WORD
        if filled > len(data) or any(data[end:filled]):
            raise ValueError("bytes that end too early, or aren't filled up with zeros")
        content = data[start:end]
        return (content.decode() if self._text else content), filled


class _Tuple:
    """Values of several types: the heads, then the tails of those that are dynamic."""

    def __init__(self, members: Sequence[Kind]) -> None:
        self._members = members
        self.dynamic = any(member.dynamic for member in members)
        self._head = sum(member.size for member in members)
        self.size = WORD if self.dynamic else self._head

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, tuple | list) or len(value) != len(self._members):
            raise ValueError(f"not {len(self._members)} values")
        return _encode_all(self._members, value)

    def decode(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        return _decode_all(self._members, data, at)


class _Array:
    """Any number of values of one type: how many, then they as a tuple."""

    dynamic = True
    size = WORD

    def __init__(self, member: Kind) -> None:
        self._member = member

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, tuple | list):
            raise ValueError("not a list of values")
        return len(value).to_bytes(WORD, "big") + _encode_all([self._member] * len(value), value)

    def decode(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        length, start = _LENGTH.decode(data, at)
        # Before anything is made of this length: it may be any number.
        if length > (len(data) - start) // self._member.size:
            raise ValueError("an array of more values than there are bytes for")
        return _decode_all([self._member] * length, data, start)


_LENGTH: Final = _Uint(256)
"""Of lengths and offsets."""


def _encode_all(members: Sequence[Kind], values: Sequence[Any]) -> bytes:
    heads, tails = [], []
    offset = sum(member.size for member in members)
    for member, value in zip(members, values, strict=True):
        encoded = member.encode(value)
        if member.dynamic:
            heads.append(offset.to_bytes(WORD, "big"))
            tails.append(encoded)
            offset += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + tails)


def _decode_all(members: Sequence[Kind], data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
    head, tail = start, start + sum(member.size for member in members)
    values = []
    for member in members:
        if member.dynamic:
            offset, head = _LENGTH.decode(data, head)
            # Nowhere else: data that several offsets point to would be read several times.
            if offset != tail - start:
                raise ValueError("a tail that doesn't follow the one before it")
            value, tail = member.decode(data, tail)
        else:
            value, head = member.decode(data, head)
        values.append(value)
    return tuple(values), tail


@lru_cache(maxsize=256)
def _sequence(types: tuple[str, ...]) -> _Tuple:
    return _Tuple([_kind(text) for text in types])


def _kind(text: str) -> Kind:
    """Return the type that its canonical name spells.

    Raises:
        ValueError: none of our contracts uses such a type.
    """
    if text.endswith("[]"):
        return _Array(_kind(text[:-2]))
    if text.startswith("(") and text.endswith(")"):
        return _sequence(tuple(_split(text[1:-1])))
    simple: dict[str, Kind] = {
        "address": _Address(),
        "bool": _Bool(),
        "bytes": _Bytes(text=False),
        "string": _Bytes(text=True),
    }
    if text in simple:
        return simple[text]
    if (number := _UINT.fullmatch(text)) and int(number[1]) % 8 == 0 and int(number[1]) <= 256:
        return _Uint(int(number[1]))
    if fixed := _FIXED.fullmatch(text):
        return _FixedBytes(int(fixed[1]))
    raise ValueError(f"the type {text!r} isn't one of those that our contracts use")


def _split(text: str) -> Iterator[str]:
    """Yield the types of a tuple: commas within an inner one separate nothing here."""
    depth = start = 0
    for position, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]
