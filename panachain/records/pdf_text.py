"""Text of PDF files, as another process reads it (`pdf_worker.py`): no file makes this one slow, large or fail.

The process is started with the first file and goes on with the next ones; one that dies, hangs or says what is no
answer is replaced, and its file is one without text (`beside.Asked`). Opens no file. Follows ADR 33 and ADR 82.
"""

from __future__ import annotations

import io
import threading
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from panachain.beside import Asked
from panachain.errors import UnavailableError
from panachain.records.pdf_worker import MOST_TEXT, text_in

MAGIC: Final = b"%PDF-"
MOST_BYTES: Final = 64 << 20
"""Bytes of a file that is read."""
_NEEDED: Final = b"startxref"
"""What each PDF file has near its end (ISO 32000-2, 7.5.5): without it the reader finds no page, however it looks."""
_KEPT: Final = 8
"""Texts that are kept: whoever explains a category asks again."""
_WAIT: Final = 300.0
"""Seconds for one file by the clock, ten times the processor time that it may take."""


class PdfText(NamedTuple):
    """What was read of a file."""

    text: str
    is_all: bool
    """Whether each page has text, and all of it was read; else some of it may be a scan."""


_NOTHING: Final = PdfText("", is_all=False)


class _Worker:
    def __init__(self) -> None:
        self.asked = Asked("panachain.records.pdf_worker", parts=2, most=MOST_TEXT, seconds=_WAIT)
        self._lock = threading.Lock()
        self._is_here = False
        self._known = lru_cache(maxsize=_KEPT)(lambda digest: list[PdfText]())

    def read(self, content: bytes) -> PdfText:
        with self._lock:
            # The digest alone is the key: files of 64 MiB aren't kept.
            kept = self._known(sha256(content).digest())
            if not kept:
                kept.append(self._ask(content))
            return kept[0]

    def in_this_process(self) -> None:
        self._is_here = True

    def _ask(self, content: bytes) -> PdfText:
        if self._is_here:
            found, is_all = text_in(io.BytesIO(content))
            return PdfText(found.decode(), is_all)
        try:
            answer = self.asked.ask(content)
        except (OSError, MemoryError) as exc:
            # Not the file's fault: what it says must not go unread for ever because of it.
            raise UnavailableError(
                "no process can be started that reads PDF files", hint="end other programs, or try again later"
            ) from exc
        try:
            found, is_whole = answer or (b"", b"\0")
            return PdfText(found.decode(), _IS_ALL[is_whole])
        except (UnicodeDecodeError, LookupError):
            # None of ours says that: a file took the process over, and it may say anything of the next ones.
            self.asked.end()
            return _NOTHING


_IS_ALL: Final = {b"\0": False, b"\1": True}
_WORKER: Final = _Worker()


def read_in_this_process() -> None:
    """Read files in this process from now on: for one that is bounded itself, and dies alone (`reading_worker.py`)."""
    _WORKER.in_this_process()


def text_of_pdf(content: bytes) -> PdfText:
    """Return the text of a PDF file; of one that has none, or can't be read, nothing.

    Args:
        content: the file; of one that is larger than 64 MiB nothing is read.
    """
    if len(content) > MOST_BYTES or _NEEDED not in content:
        return _NOTHING
    return _WORKER.read(content)
