"""Replay: bytes that are made piece by piece, as a file that can be read from its beginning as often as one likes.

Holds one piece at a time. Opens no file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from panachain.errors import InputError

_WINDOW: Final = 1 << 16
"""Bytes that are read, or passed over, together."""


def replayed(pieces: Callable[[], Iterator[bytes]]) -> BinaryIO:
    """Return a file of pieces.

    Args:
        pieces: makes them anew, from the first one on; none is empty.
    """
    return io.BufferedReader(_Replayed(pieces), _WINDOW)


class _Replayed(io.RawIOBase):
    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._pieces = pieces
        self._begin()

    def _begin(self) -> None:
        self._left = self._pieces()
        self._held = memoryview(b"")
        self._at = 0
        self._error: InputError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence == os.SEEK_END:
            raise io.UnsupportedOperation("the end isn't known before all is read")
        if offset < self._at:
            self._begin()
        # Whatever stands before is made and forgotten: how long a piece is tells nothing of where it lay.
        while self._at < offset and (passed := self.read(min(_WINDOW, offset - self._at))):
            del passed
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        if not self._held:
            self._held = memoryview(self._next())
        count = min(len(buffer), len(self._held))
        memoryview(buffer)[:count] = self._held[:count]
        self._held = self._held[count:]
        self._at += count
        return count

    def _next(self) -> bytes:
        """Return the next piece; what couldn't be made once isn't the end for whoever reads on."""
        if self._error is not None:
            raise self._error
        try:
            return next(self._left, b"")
        except InputError as exc:
            self._error = exc
            raise
