"""dag-cbor: one value, one encoding.

The decoder is total and bounded: it accepts canonical bytes only, so what it read encodes back to the same bytes.
Follows the DAG-CBOR specification (ipld.io/specs/codecs/dag-cbor) and RFC 8949 section 4.2. Floats aren't used by
our formats, so both directions refuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from panachain.errors import IntegrityError, UsageError
from panachain.ipld.cid import CID

MAX_DEPTH: Final = 16
"""Nesting that the decoder follows."""
MAX_SIZE: Final = 1 << 20
"""Bytes of one block."""
_CID_TAG: Final = 42
_CID_SIZE: Final = 36
"""Bytes of a CID's binary form."""
_INTEGERS: Final = {0x18: (1, 24), 0x19: (2, 1 << 8), 0x1A: (4, 1 << 16), 0x1B: (8, 1 << 32)}
"""First bytes of longer integers: how many bytes follow, and the least number that isn't written shorter."""
_FEW: Final = 16
"""Keys of a map whose order is remembered."""
_SHORT: Final = 64
"""Letters of each: others are of whoever wrote what is encoded again."""
_OTHER: Final = 0xFF
"""A first byte that nothing begins with here."""


def encode(value: Any) -> bytes:
    """Return the canonical encoding.

    Raises:
        UsageError: a type that isn't in our formats, or an integer beyond 64 bits.
    """
    out = bytearray()
    _encode(value, out)
    return bytes(out)


def decode(data: bytes, *, limit: int = MAX_SIZE) -> Any:
    """Return the value in a block.

    Args:
        data: the encoding.
        limit: bytes that it may have; more than a block's for what a program wrote for itself.

    Raises:
        IntegrityError: not canonical, too deep, too large, truncated, or with bytes left over.
    """
    if len(data) > limit:
        raise IntegrityError(f"dag-cbor of {len(data)} bytes, at most {limit} are read")
    reader = _Reader(data)
    value = reader.value(0)
    if reader.position != len(data):
        raise IntegrityError(f"dag-cbor: {len(data) - reader.position} bytes are left over")
    return value


def decode_items(data: bytes, count: int) -> list[Any]:
    """Return the items of a list whose head was taken off.

    Args:
        data: their encodings, one after the other.
        count: how many they are.

    Raises:
        IntegrityError: as `decode` of the list.
    """
    reader = _Reader(data)
    reader.need(count)
    items = reader.list_of(count, 1)
    if reader.position != len(data):
        raise IntegrityError(f"dag-cbor: {len(data) - reader.position} bytes are left over")
    return items


def _head(major: int, number: int, out: bytearray) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for marker, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            out.append(major << 5 | marker)
            out += number.to_bytes(size, "big")
            return
    raise UsageError("dag-cbor has no integers beyond 64 bits")


def _encode(value: Any, out: bytearray) -> None:
    # By the very type, which is a look-up; what is derived from one is looked for among the bases.
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer = next((write for kind, write in _WRITERS.items() if isinstance(value, kind)), None)
    if writer is None:
        raise UsageError(f"dag-cbor: no encoding for {type(value).__name__}")
    writer(value, out)


def _none(_: None, out: bytearray) -> None:
    out.append(0xF6)


def _bool(value: bool, out: bytearray) -> None:
    out.append(0xF5 if value else 0xF4)


def _int(value: int, out: bytearray) -> None:
    if 0 <= value < 24:
        out.append(value)
    elif value >= 0:
        _head(0, value, out)
    else:
        _head(1, -1 - value, out)


def _bytes(value: bytes, out: bytearray) -> None:
    size = len(value)
    if size < 24:
        out.append(0x40 | size)
    elif size < 256:
        # A digest, a key, a signature: most of what we write.
        out.append(0x58)
        out.append(size)
    else:
        _head(2, size, out)
    out += value


def _str(value: str, out: bytearray) -> None:
    text = value.encode()
    size = len(text)
    if size < 24:
        out.append(0x60 | size)
    else:
        _head(3, size, out)
    out += text


def _link(value: CID, out: bytearray) -> None:
    out += _LINK
    out += bytes(value)


def _list(value: Sequence[Any], out: bytearray) -> None:
    _head(4, len(value), out)
    known = _WRITERS.get
    for item in value:
        # As `_encode` does, without a call for each item.
        (known(type(item)) or _encode)(item, out)


def _dict(value: dict[Any, Any], out: bytearray) -> None:
    _head(5, len(value), out)
    known = _WRITERS.get
    is_usual = len(value) <= _FEW and all(len(key) <= _SHORT for key in value if type(key) is str)
    for begun, key in _few_keys(tuple(value)) if is_usual else _keys(value):
        out += begun
        item = value[key]
        (known(type(item)) or _encode)(item, out)


_LINK: Final = b"\xd8\x2a\x58\x25\0"
"""Tag 42, 37 bytes. The zero is the multibase prefix of raw bytes, which the tag's definition asks for."""
# Bool before int, because a bool is one in Python.
_WRITERS: Final[dict[type, Callable[[Any, bytearray], None]]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    bytes: _bytes,
    str: _str,
    CID: _link,
    list: _list,
    tuple: _list,
    dict: _dict,
}


def _keys(keys: Iterable[Any]) -> list[tuple[bytes, Any]]:
    """Return the keys of a map in their order, each encoded before itself."""
    found = []
    for size, raw, key in sorted([(*_key_order(key), key) for key in keys]):
        head = bytearray()
        _head(3, size, head)
        found.append((bytes(head) + raw, key))
    return found


# What we write are nodes of a few forms, again and again.
_few_keys: Final = lru_cache(maxsize=256)(_keys)


def _key_order(key: Any) -> tuple[int, bytes]:
    if not isinstance(key, str):
        raise UsageError("dag-cbor: map keys are text")
    raw = key.encode()
    # Shorter keys first, as RFC 7049, section 3.9, orders them; dag-cbor kept that order.
    return len(raw), raw


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise IntegrityError(f"dag-cbor is nested deeper than {MAX_DEPTH}")
        data, position = self._data, self.position
        # What most values are, read at once: a byte string of 24 bytes or more, as digests and keys, and a CID.
        if data.startswith(_LINK, position):
            end = position + len(_LINK) + _CID_SIZE
            if end > len(data):
                raise IntegrityError("dag-cbor ends too early")
            self.position = end
            return CID.from_bytes(data[position + len(_LINK) : end])
        if data.startswith(b"\x58", position) and len(data) > position + 1 and data[position + 1] >= 24:
            end = position + 2 + data[position + 1]
            if end > len(data):
                raise IntegrityError("dag-cbor ends too early")
            self.position = end
            return data[position + 2 : end]
        major, number = self._read_head()
        if major == 2:
            return self._take(number)
        if major == 3:
            return self._text(number)
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major == 4:
            # A list of n items has at least n bytes: refuse a bomb before it is built.
            self.need(number)
            return self.list_of(number, depth + 1)
        if major == 5:
            return self._map(number, depth)
        if major == 6:
            return self._cid(number)
        return self._simple(number)

    def list_of(self, count: int, depth: int) -> list[Any]:
        """Read a list's items, `depth` deep: what most are at once; all else, and all that is wrong, by `value`."""
        if count and depth > MAX_DEPTH:
            raise IntegrityError(f"dag-cbor is nested deeper than {MAX_DEPTH}")
        data, position, items = self._data, self.position, list[Any]()
        size = len(data)
        for _ in range(count):
            first = data[position] if position < size else _OTHER
            if first < 0x18:
                items.append(first)
                position += 1
                continue
            if first in _INTEGERS:
                long, least = _INTEGERS[first]
                end = position + 1 + long
                number = int.from_bytes(data[position + 1 : end], "big")
                if number >= least and end <= size:
                    items.append(number)
                    position = end
                    continue
            elif 0x40 <= first < 0x58 or (first == 0x58 and position + 1 < size and data[position + 1] >= 24):
                start = position + 1 + (first == 0x58)
                end = start + (data[position + 1] if first == 0x58 else first - 0x40)
                if end <= size:
                    items.append(data[start:end])
                    position = end
                    continue
            elif 0x80 <= first < 0x98:
                # A list in a list, as the rows of a table are; it has a byte for each item at least.
                self.position = position + 1
                self.need(first - 0x80)
                items.append(self.list_of(first - 0x80, depth + 1))
                position = self.position
                continue
            elif 0x60 <= first < 0x78:
                end = position + first - 0x5F
                text = data[position + 1 : end]
                # Other text, and text that ends too early, is looked at more closely.
                if end <= size and text.isascii():
                    items.append(text.decode())
                    position = end
                    continue
            elif first == 0xD8 and data.startswith(_LINK, position):
                end = position + len(_LINK) + _CID_SIZE
                if end <= size:
                    items.append(CID.from_bytes(data[position + len(_LINK) : end]))
                    position = end
                    continue
            self.position = position
            items.append(self.value(depth))
            position = self.position
        self.position = position
        return items

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        self.need(2 * count)
        result: dict[str, Any] = {}
        previous: tuple[int, bytes] | None = None
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise IntegrityError("dag-cbor: a map key isn't text")
            order = _key_order(key)
            # Strictly ascending: one order means one encoding, and so one CID, for each value.
            if previous is not None and order <= previous:
                raise IntegrityError("dag-cbor: map keys are doubled or out of order")
            previous = order
            result[key] = self.value(depth + 1)
        return result

    def _cid(self, tag: int) -> CID:
        if tag != _CID_TAG:
            raise IntegrityError(f"dag-cbor: tag {tag} isn't allowed")
        major, size = self._read_head()
        raw = self._take(size)
        if major != 2 or raw[:1] != b"\0":
            raise IntegrityError("dag-cbor: a CID isn't written as it must be")
        return CID.from_bytes(raw[1:])

    def _simple(self, number: int) -> bool | None:
        if number == 20:
            return False
        if number == 21:
            return True
        if number == 22:
            return None
        raise IntegrityError("dag-cbor: floats and other simple values aren't used here")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise IntegrityError("dag-cbor: text that isn't UTF-8") from None

    def _read_head(self) -> tuple[int, int]:
        position = self.position
        if position >= len(self._data):
            raise IntegrityError("dag-cbor ends too early")
        first = self._data[position]
        self.position = position + 1
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info > 27 or major == 7:
            raise IntegrityError("dag-cbor: indefinite lengths, floats and reserved values aren't allowed")
        size = 1 << info - 24
        number = int.from_bytes(self._take(size), "big")
        # It would have fitted into half as many bytes, or into the first byte.
        if number < (24 if size == 1 else 1 << 4 * size):
            raise IntegrityError("dag-cbor: an integer isn't in its shortest form")
        return major, number

    def need(self, size: int) -> None:
        if size > len(self._data) - self.position:
            raise IntegrityError("dag-cbor ends too early")

    def _take(self, size: int) -> bytes:
        start = self.position
        end = start + size
        if end > len(self._data):
            raise IntegrityError("dag-cbor ends too early")
        self.position = end
        return self._data[start:end]
