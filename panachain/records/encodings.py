"""Encodings: UTF-16 is told from the first bytes of a file, and read as the UTF-8 that it stands for.

Holds one window of a file, opens none, and changes nothing on disk. Text without a byte order mark counts as UTF-16
where its first characters are ones that a text can begin with. Follows Unicode 16, sections 3.10 and 23.8, RFC 2781.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.records.replay import replayed

_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF32: Final = codecs.BOM_UTF32_LE
"""Begins with the mark of UTF-16, too."""
_LOOKED_AT: Final = 8
"""Bytes that tell UTF-16 without a mark: four characters of ASCII."""
_CONTROLS: Final = b"\t\n\v\r"
"""Control characters that a text, or a frame of MLLP, may begin with."""
_WINDOW: Final = 1 << 16


def utf16_of(start: bytes) -> str:
    """Return the name of the UTF-16 encoding that a file begins in, or an empty text.

    Args:
        start: the file's first bytes.
    """
    if start.startswith(_UTF32):
        return ""
    marked = _MARKS.get(start[:2])
    if marked is not None:
        return marked
    head = start[:_LOOKED_AT]
    for name, zeros, signs in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if len(signs) == _LOOKED_AT // 2 and not any(zeros) and all(map(_is_text, signs)):
            return name
    return ""


def as_utf8(start: bytes) -> bytes:
    """Return the first bytes of a file as UTF-8 if they are UTF-16, else as they are."""
    name = utf16_of(start)
    return codecs.getincrementaldecoder(name)("replace").decode(start).encode() if name else start


def recoded(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return a file of UTF-16 as one of UTF-8 that can be read from its beginning, as often as one likes.

    Args:
        file: can be sought to its beginning.
        encoding: from `utf16_of`.
    """
    new = codecs.getincrementaldecoder(encoding)

    def pieces() -> Iterator[bytes]:
        file.seek(0)
        decoder, ended = new(), False
        while not ended:
            piece = file.read(_WINDOW)
            ended = not piece
            try:
                text = decoder.decode(piece, ended)
            except UnicodeError:
                raise InputError("UTF-16 with half a character") from None
            if text:
                yield text.encode()

    return replayed(pieces)


def _is_text(sign: int) -> bool:
    return 0x20 <= sign < 0x7F or sign in _CONTROLS
