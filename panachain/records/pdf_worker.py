"""PDF worker: the text of PDF files, read in a process of its own, whose memory and time are bounded.

A program beside another one (`beside.py`), which gives it files, each a question of one part, and takes two for each:
the text in UTF-8, and one byte, whether that is all of it. Opens no file, and logs nothing. Follows PDF 2.0 (ISO
32000-2, section 9.10), and ADR 82.
"""

from __future__ import annotations

import io
import logging
import os
import signal
from types import FrameType
from typing import BinaryIO, Final

from panachain.beside import answer_questions, bound

MOST_TEXT: Final = 4 << 20
"""Bytes of a text that is looked at."""
_MEMORY: Final = 2 << 30
"""Bytes that the process may take."""
_SECONDS: Final = 30.0
"""Processor time for one file at most: the same on a busy machine."""
_FREE_SECONDS: Final = 2.0
"""Processor time for one file, however small."""
_BYTES_A_SECOND: Final = 1 << 15
"""Bytes of a file that are worth a second more: real ones take a seventh of it, and what names itself again and again
takes no more than its bytes are worth."""


class _OutOfTimeError(BaseException):
    """Of no kind that the reader catches."""


def main() -> None:
    """Answer until the input ends."""
    bound(_MEMORY)
    prepare()
    answer_questions(_answer, parts=1)


def prepare() -> None:
    """Prepare this process, whose memory is bounded already, to read files of others."""
    signal.signal(signal.SIGVTALRM, _stop)
    # Warnings of the reader quote what they warn of.
    logging.disable(logging.CRITICAL)


def seconds_for(size: int) -> float:
    """Return the processor time that a file of so many bytes may take."""
    return min(_SECONDS, _FREE_SECONDS + size / _BYTES_A_SECOND)


def text_in(file: BinaryIO, *, seconds: float | None = None) -> tuple[bytes, bool]:
    """Return the text of a PDF file in UTF-8, and whether each page has some and all of it was read.

    A page that the file names again is read once: its words are the same.

    Args:
        file: of any content; what is no PDF has no text.
        seconds: processor time after which the rest isn't read; None for what its size is worth.
    """
    # Imported here: the command line asks for none of it at its start. And before the clock runs.
    from pypdf import PdfReader

    if seconds is None:
        seconds = seconds_for(file.seek(0, os.SEEK_END))
        file.seek(0)
    parts, size, known = list[bytes](), 0, set[object]()
    # Again and again: what is raised where Python is busy with itself is lost. Not too soon: it must get out of there.
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.25)
    try:
        pages = PdfReader(file).pages
        for page in pages:
            place = page.indirect_reference and (page.indirect_reference.idnum, page.indirect_reference.generation)
            if place is not None and place in known:
                continue
            known.add(place)
            parts.append(page.extract_text().encode("utf-8", "replace"))
            size += len(parts[-1]) + 1
            if size > MOST_TEXT:
                return b"\n".join(parts)[:MOST_TEXT], False
        # A page without text may be a scan.
        return b"\n".join(parts), bool(parts) and all(part.strip() for part in parts)
    except (Exception, _OutOfTimeError):  # noqa: BLE001  # Whatever a hostile file makes the reader raise.
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return b"\n".join(parts), False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _answer(content: bytes) -> tuple[bytes, bytes]:
    text, is_all = text_in(io.BytesIO(content))
    return text, bytes([is_all])


def _stop(number: int, frame: FrameType | None) -> None:
    raise _OutOfTimeError


if __name__ == "__main__":
    main()
