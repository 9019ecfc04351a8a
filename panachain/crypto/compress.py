"""Compression before sealing: zstandard (RFC 8878), or nothing where it doesn't help.

Never decompresses beyond the size that the sealed header declares. Follows docs/spec/formats.md.

    packed = 0x00 ‖ bytes   or   0x01 ‖ zstandard frame
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import IO, Final, cast

import zstandard

from panachain.errors import IntegrityError

LEVEL: Final = 3
"""zstandard level of large content: FHIR JSON shrinks thirty times at some 700 MB/s a core."""
SMALL_LEVEL: Final = 6
"""Level of content up to `_SMALL`: a tenth smaller, at some 250 MB/s."""
_SMALL: Final = 1 << 16
"""Bytes; most records of FHIR are smaller."""
STORED: Final = b"\x00"
"""Method: the bytes as they are."""
FRAME: Final = b"\x01"
"""Method: one zstandard frame that states its content's size."""
_WORTH: Final = 0.95
"""A sample that doesn't shrink below this part of its size tells that the rest won't."""
_WINDOW: Final = 8 << 20
"""Bytes of history that a frame may ask its reader to hold (RFC 8878, section 3.1.1.1.2)."""
_PIECE: Final = 1 << 20
_TINY: Final = 1 << 14
"""Bytes up to which a thread's own compressor is used again; for more it takes no less time."""
_LOCAL: Final = threading.local()


def compress(data: bytes) -> bytes:
    """Return `data` packed, at most one byte longer."""
    level = SMALL_LEVEL if len(data) <= _SMALL else LEVEL
    compressor = _kept() if len(data) <= _TINY else zstandard.ZstdCompressor(level=level)
    packed = compressor.compress(data)
    return FRAME + packed if len(packed) < len(data) else STORED + data


def _kept() -> zstandard.ZstdCompressor:
    # To make one takes half as long as a small record. Each frame begins anew, so none depends on an earlier one.
    made: zstandard.ZstdCompressor | None = getattr(_LOCAL, "compressor", None)
    if made is None:
        made = _LOCAL.compressor = zstandard.ZstdCompressor(level=SMALL_LEVEL)
    return made


def shrinks(sample: bytes) -> bool:
    """Tell whether content that begins like this is worth compressing."""
    return len(zstandard.ZstdCompressor(level=1).compress(sample)) < _WORTH * len(sample)


def compress_pieces(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the packed form of content of `size` bytes that is too large for memory."""
    yield FRAME
    frame = zstandard.ZstdCompressor(level=LEVEL).compressobj(size=size)
    for piece in pieces:
        packed = frame.compress(piece)
        if packed:
            yield packed
    yield frame.flush()


def decompress(packed: bytes, size: int) -> bytes:
    """Return what was packed.

    Args:
        packed: from a verified seal only.
        size: bytes that the header declares; more is refused before it is written to memory.

    Raises:
        IntegrityError: unknown method, damaged frame, or another size.
    """
    method, body = packed[:1], packed[1:]
    if method == STORED:
        data = body
    elif method == FRAME:
        try:
            stated = zstandard.frame_content_size(body)
            # Compared before anything is unpacked: a few bytes can unpack to as many gigabytes as they like.
            if stated != size:
                raise IntegrityError(f"the compressed content states {stated} bytes, the header {size}")
            data = zstandard.ZstdDecompressor().decompress(body, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as exc:
            raise IntegrityError("the compressed content is damaged") from exc
    else:
        raise IntegrityError(f"unknown compression method {method.hex() or 'none'}")
    if len(data) != size:
        raise IntegrityError(f"the content has {len(data)} bytes, the header states {size}")
    return data


def decompress_pieces(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield what was packed, in pieces of bounded size.

    Args:
        pieces: the packed form, from verified seals only; the method byte stands alone or begins the first piece.
        size: bytes that the header declares.

    Raises:
        IntegrityError: as `decompress`.
    """
    source = iter(pieces)
    first = next(source, b"")
    method, rest = first[:1], first[1:]
    done = 0
    for piece in _unpacked(method, _chain(rest, source)):
        done += len(piece)
        # At once, and not at the end: the frame may go on without end.
        if done > size:
            raise IntegrityError(f"the content has more bytes than the {size} that the header states")
        yield piece
    if done != size:
        raise IntegrityError(f"the content has {done} bytes, the header states {size}")


def _unpacked(method: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    if method == STORED:
        yield from source
        return
    if method != FRAME:
        raise IntegrityError(f"unknown compression method {method.hex() or 'none'}")
    reader = cast(IO[bytes], _Reader(source))
    try:
        # The frame says how large its window is, and that much memory would be taken.
        frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(reader, read_size=1 << 16)
        # Reading asks for bounded output, so a frame of zeros can't fill the memory.
        while piece := frame.read(_PIECE):
            yield piece
    except zstandard.ZstdError as exc:
        raise IntegrityError("the compressed content is damaged") from exc


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


class _Reader:
    """Makes pieces a file, as far as zstandard needs one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)
