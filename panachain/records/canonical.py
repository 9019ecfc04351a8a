"""JSON: what is read is what was written, or it is refused; canonical JSON that keeps each decimal's literal text.

Total and bounded: refuses what two parsers could read differently (NaN, doubled keys) and what could exhaust one
(depth). `parse` is the measure of what is refused; `read` refuses exactly the same, some six times as fast.
Follows RFC 8785 (sorted keys, no blanks) but for numbers, which FHIR R4 section 2.24.0.1 wants unchanged: 1.10 is
not 1.1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, BinaryIO, Final, NoReturn, TypeVar

import msgspec

from panachain.errors import InputError
from panachain.plain import json_line

MAX_DEPTH: Final = 200
"""Nesting; FHIR's deepest official example has 17 levels."""
STORED_DEPTH: Final = MAX_DEPTH + 8
"""Nesting of what we store: a Bundle around a resource adds three levels, an attachment's mark three."""
BOM: Final = b"\xef\xbb\xbf"
"""Byte order mark: some programs write one before JSON, and it is no part of it."""
BLANKS: Final = b" \t\r\n"
"""JSON's white space, RFC 8259 section 2."""
MAX_PIECE: Final = 64 << 20
"""Bytes of one value that is held in memory: one entry of a Bundle, one line of NDJSON."""
MAX_VALUES: Final = 500_000
"""Values in one piece: a text of little else than brackets takes a hundred times its size in memory."""
_WINDOW: Final = 1 << 20
"""Bytes that a cutter reads at once."""
_BATCHES: Final = (1 << 14, 3 << 14, 1 << 17)
"""Bytes in which a cutter looks for several items at once: few, then more."""
_SAFE_DEPTH: Final = 1 << 14
"""Nesting that a decoder in C survives. Python's own limit guards it by default, but other packages raise that."""

_MARK: Final = "\x00"
"""Stands before a decimal's literal while it is held as text; FHIR and we allow no NUL in any string."""
_MARKED: Final = re.compile(r'"\\u0000([^"]*)"')
# Possessive: a string of any length is crossed without one state for each of its characters.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_QUOTED: Final = re.compile(rb'"[^"]*+"')
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEP: Final = [1 if byte in b"[{" else -1 for byte in range(256)]

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_UTF8: Final = (
    "JSON is UTF-8: export it so, or turn its own encoding into it, for example by"
    " `iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW`"
)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_LITERALS: Final = msgspec.json.Decoder(float_hook=_MARK.__add__)
_M = TypeVar("_M", bound="Members")
_SORTED: Final = msgspec.json.Encoder(order="sorted")


def parse(content: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text; decimals are held as marked text, see `dump`.

    Args:
        content: the text.
        depth: nesting that is allowed.

    Raises:
        InputError: not JSON in UTF-8, NaN or Infinity, a doubled key, a NUL, or too deep.
    """
    if rb"\u0000" in content:
        raise InputError("JSON with a NUL character in a string is refused")
    check_depth(content, depth)
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            parse_float=_literal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_pairs,
        )
    except UnicodeDecodeError:
        raise InputError("not UTF-8", hint=_UTF8) from None
    except (ValueError, RecursionError) as exc:
        # The message gives line and column, never content.
        raise InputError(f"not JSON: {exc}") from None


def read(content: bytes, *, depth: int = MAX_DEPTH) -> tuple[Any, bytes]:
    """Return the value of a JSON text, and the same text without blanks and needless escapes.

    For finding things only: decimals may be floats or marked text, and the second text may write numbers anew.

    Args:
        content: the text.
        depth: nesting that is allowed.

    Raises:
        InputError: as `parse`, in exactly the same cases.
    """
    found = _read_quickly(_DECODER, content, depth)
    return _read_strictly(content, depth) if found is None else found


def read_literal(content: bytes, *, depth: int = MAX_DEPTH) -> tuple[Any, bytes] | None:
    """Return what `literal` returns, and the same text without blanks and needless escapes: both of one look.

    Args:
        content: the text.
        depth: nesting that is allowed.

    Returns:
        None where only a strict parser can tell whether it is JSON: `read` asks it.

    Raises:
        InputError: as `read`, but for what only a strict parser refuses.
    """
    return _read_quickly(_LITERALS, content, depth)


def _read_quickly(decoder: msgspec.json.Decoder[Any], content: bytes, depth: int) -> tuple[Any, bytes] | None:
    if len(content) > _SAFE_DEPTH and content.count(b"{") + content.count(b"[") > _SAFE_DEPTH:
        check_depth(content, depth)
    try:
        value = decoder.decode(content)
        compact = _ENCODER.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # What msgspec can't read may still be JSON: a lone surrogate, 1e400, a byte order mark.
        return None
    if b"\\" in content and rb"\u00" in content:
        if rb"\u0000" in content:
            raise InputError("JSON with a NUL character in a string is refused")
        if rb"\u003a" in content or rb"\u003A" in content:
            # An escaped colon would hide a doubled key from the count below.
            return None
    # Of doubled keys msgspec keeps the last: each dropped member takes at least its own colon away.
    colons = compact.count(b":")
    if content.count(b":") != colons:
        return None
    # An object around something has a colon: of most texts no more than these needs counting.
    lists = compact.count(b"[")
    if colons + lists >= depth and compact.count(b"{") + lists > depth:
        check_depth(compact, depth)
    return value, compact


def write(value: Any) -> bytes:
    """Return a value as JSON without blanks, as `read` returns it beside the value."""
    return _ENCODER.encode(value)


def indented(value: object) -> str:
    """Return what `json_line` returns with an indent of 1: for what is large, in a quarter of its time."""
    try:
        return msgspec.json.format(json_line(value).encode(), indent=1).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # What msgspec can't read may still be JSON: a lone surrogate, a number that is none.
        return json_line(value, indent=1)


def check_values(content: bytes) -> None:
    """Check that a JSON text holds no more values than `read` or `parse` may take memory for.

    Raises:
        InputError: it may hold more than MAX_VALUES.
    """
    if len(content) > _WINDOW:
        values = content.count(b",") + content.count(b"[") + content.count(b"{")
        if values > MAX_VALUES:
            raise InputError(f"one resource with {values} values; at most {MAX_VALUES} are read")


def dump(value: Any, *, sort: bool) -> bytes:
    """Return a parsed value as JSON without blanks, decimals as they were written.

    Args:
        value: from `parse`.
        sort: sort the keys (canonical), or keep their order.
    """
    text = json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False)
    # ensure_ascii=False still escapes control characters, so the mark is found in its escaped form.
    return _MARKED.sub(r"\1", text).encode("utf-8", "surrogatepass")


def literal(content: bytes) -> Any:
    """Return the value of a JSON text that `read` accepted before, decimals as marked text; faster than `parse`.

    Raises:
        InputError: it is no JSON.
    """
    try:
        return _LITERALS.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return parse(content, depth=STORED_DEPTH)


def items_in(content: bytes) -> list[bytes] | None:
    """Return the text of each item of a list, or a view that `bytes` copies; None where that can't be told at once.

    Args:
        content: all of the list.
    """
    # Counting takes as long as reading: only where nothing else keeps the decoder from going too deep.
    if sys.getrecursionlimit() > _SAFE_DEPTH and content.count(b"[") + content.count(b"{") > _SAFE_DEPTH:
        return None
    try:
        return list[bytes](_ITEMS.decode(content))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class Members(msgspec.Struct, forbid_unknown_fields=True):
    """The members of an object by their types: those without a default, and no other ones than these."""


def typed(values: list[Any], kind: type[_M]) -> list[_M] | None:
    """Return the objects of a list with their members as attributes, in a fraction of the time that looking takes.

    Args:
        values: what `literal` returned of them.
        kind: what each must be.

    Returns:
        None where one of them has other members, or a value of another type.
    """
    try:
        return msgspec.convert(values, list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def fingerprint_text(value: Any) -> bytes:
    """Return one text for all spellings of a value of `literal`, for comparing only."""
    try:
        return _SORTED.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return dump(value, sort=True)


def canonical(content: bytes) -> bytes:
    """Return the canonical form of a JSON text."""
    return dump(parse(content), sort=True)


def resources(content: bytes) -> list[bytes]:
    """Return the canonical form of each resource in a Bundle, or of the single resource that it is."""
    value = parse(content, depth=STORED_DEPTH)
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        return [
            dump(entry["resource"], sort=True)
            for entry in value.get("entry", [])
            if isinstance(entry, dict) and "resource" in entry
        ]
    return [dump(value, sort=True)]


class Cutter:
    """Cuts a JSON text of any size into the texts of its values, holding one at a time.

    It checks what stands between the values, never what is in them: `read` does that.
    """

    _BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
    # Everything up to the next bracket that isn't inside a string, in one step.
    _NEXT_BRACKET: Final = re.compile(
        rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL
    )
    _SCALAR: Final = re.compile(rb'[^ \t\r\n,:\[\]{}"]*+')
    # The last byte of an item, the comma, and how the next item begins.
    _JOINT: Final = re.compile(rb".[ \t\r\n]*+,[ \t\r\n]*+.{1,16}", re.DOTALL)

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._more()
        if self._buffer.startswith(BOM):
            self._at = len(BOM)

    def peek(self) -> bytes:
        """Return the next byte that isn't blank, without taking it; empty at the end."""
        while True:
            self._at += self._size_of(self._BLANKS)
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self, wanted: bytes) -> bytes:
        """Take the next byte, which must be one of `wanted`.

        Raises:
            InputError: it is another one.
        """
        found = self.peek()
        if not found or found not in wanted:
            raise InputError(f"not JSON: one of {wanted.decode()} is missing")
        self._at += 1
        return found

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            InputError: something does.
        """
        if self.peek():
            raise InputError("not JSON: something follows its end")

    def items(self) -> Iterator[bytes]:
        """Yield the text of each item of the list that comes next, or a view that `bytes` copies."""
        self.take(b"[")
        if self.peek() == b"]":
            self.take(b"]")
            return
        joint, wait = b"", 0
        while True:
            batch = self._batch(joint) if wait <= 0 else []
            if batch:
                yield from batch
            else:
                item = self.value()
                # Where no batch was found, the next one is looked for some way further on: looking isn't free.
                wait = (_BATCHES[-1] if joint and wait <= 0 else wait) - len(item)
                yield item
            self._fill(_BATCHES[-1])
            found = self._JOINT.match(self._buffer, self._at - 1)
            joint = b"" if found is None else found[0]
            if self.take(b",]") == b"]":
                return

    def names(self) -> Iterator[str]:
        """Yield the names of the object that comes next; the caller takes the value of each."""
        self.take(b"{")
        if self.peek() == b"}":
            self.take(b"}")
            return
        while True:
            key = parse(self.value())
            if not isinstance(key, str):
                raise InputError("not JSON: a key is no string")
            self.take(b":")
            yield key
            if self.take(b",}") == b"}":
                return

    def value(self) -> bytes:
        """Return the text of the next value.

        Raises:
            InputError: there is none, it doesn't end, or it has more than MAX_PIECE bytes.
        """
        first = self.peek()
        if first in (b"{", b"["):
            size = self._size_of_nest()
        else:
            size = self._size_of_string() if first == b'"' else self._size_of_scalar()
        start, self._at = self._at, self._at + size
        return self._buffer[start : self._at]

    def _batch(self, joint: bytes) -> list[bytes]:
        """Take as many items as end within a window, all at once; none if that can't be told.

        Args:
            joint: how one item ended and the next one began, which is likely to look the same everywhere.
        """
        for size in _BATCHES if joint else ():
            end = self._buffer.rfind(joint, self._at, self._at + size) + 1
            if not end and len(self._buffer) - self._at < size:
                # No item begins after this one: it ends where the list does, most likely at the last bracket.
                end = self._buffer.rfind(b"]", self._at)
            if end <= self._at:
                continue
            # If this much is a list, then its items are ours: JSON can be read in one way only.
            batch = items_in(b"".join((b"[", memoryview(self._buffer)[self._at : end], b"]")))
            if batch is not None:
                self._at = end
                return batch
        return []

    def _size_of_nest(self) -> int:
        depth, size = 0, 0
        for _ in range(2 * MAX_VALUES):
            found = self._NEXT_BRACKET.match(self._buffer, self._at + size)
            if found is None:
                self._need_more()
                continue
            depth += 1 if found[1] in (b"{", b"[") else -1
            size = found.end() - self._at
            if depth == 0:
                return size
            if depth > STORED_DEPTH:
                raise InputError(f"JSON nested deeper than {MAX_DEPTH}")
        raise InputError(f"one value with more than {MAX_VALUES} others in it")

    def _size_of_string(self) -> int:
        while not (size := self._size_of(_STRING)):
            self._need_more()
        return size

    def _size_of_scalar(self) -> int:
        while (size := self._size_of(self._SCALAR)) == len(self._buffer) - self._at and self._more():
            if size > MAX_PIECE:
                self._need_more()
        if not size:
            raise InputError("not JSON: a value is missing")
        return size

    def _size_of(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._buffer, self._at)
        return 0 if found is None else found.end() - self._at

    def _need_more(self) -> None:
        if len(self._buffer) - self._at > MAX_PIECE:
            raise InputError(f"one value has more than {MAX_PIECE} bytes")
        if not self._more():
            raise InputError("not JSON: it ends too early")

    def _more(self) -> bool:
        if self._ended:
            return False
        # One byte of what is done stays, for `_JOINT`.
        start = max(0, self._at - 1)
        if start > len(self._buffer) // 2:
            self._buffer = self._buffer[start:]
            self._at -= start
        # Twice as much each time, so that a long value isn't copied over and over.
        held = len(self._buffer) - self._at
        read = self._file.read(max(_WINDOW, min(held, MAX_PIECE - held)))
        self._buffer += read
        self._ended = not read
        return bool(read)

    def _fill(self, size: int) -> None:
        while len(self._buffer) - self._at < size and self._more():
            pass


def _read_strictly(content: bytes, depth: int) -> tuple[Any, bytes]:
    value = parse(content, depth=depth)
    return value, dump(value, sort=False)


def _literal(text: str) -> str:
    return _MARK + text


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"JSON doesn't know {name}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InputError("a JSON object has a doubled key")
    return result


def check_depth(content: bytes, depth: int) -> None:
    """Check that a JSON text isn't nested deeper than `depth`, without reading it.

    Raises:
        InputError: it is.
    """
    shorter = brackets = _brackets(content)
    for passes in range(1, 9):
        # Each pass takes the innermost one or two levels away; what is left can't be deeper than half its length.
        shorter = shorter.replace(b"{}", b"").replace(b"[]", b"")
        if 2 * passes + len(shorter) // 2 <= depth:
            return
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > depth:
        raise InputError(f"JSON nested deeper than {MAX_DEPTH}")


def _brackets(content: bytes) -> bytes:
    """Return the brackets of a JSON text that stand outside its strings."""
    if b"\\" in content:
        content = content.replace(rb"\\", b"").replace(rb"\"", b"")
    # Where a string ends and the next one begins, both quotes go: what stood in them is one string then.
    content = content.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    return _QUOTED.sub(b"", content).replace(b'"', b"")
