"""Text of PDF files, as another process reads it (`pdf_worker.py`): no file makes this one slow, large or fail.

The process is started with the first file and goes on with the next ones; one that dies is replaced. Opens no file.
"""

from __future__ import annotations

import atexit
import io
import subprocess
import sys
import threading
from functools import lru_cache
from hashlib import sha256
from typing import IO, Final, NamedTuple

MAGIC: Final = b"%PDF-"
MOST_BYTES: Final = 64 << 20
"""Bytes of a file that is read."""
_KEPT: Final = 8
"""Texts that are kept: whoever explains a category asks again."""


class PdfText(NamedTuple):
    """What was read of a file."""

    text: str
    is_all: bool
    """Whether each page has text, and all of it was read; else some of it may be a scan."""


_NOTHING: Final = PdfText("", is_all=False)


class _Worker:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
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

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                # It ends with its input; one that reads a hostile file is ended.
                self._process.kill()
                self._process.communicate()
                self._process = None

    def _ask(self, content: bytes) -> PdfText:
        if self._is_here:
            # Imported here: no other process reads a file itself.
            from panachain.records.pdf_worker import text_in

            found, is_all = text_in(io.BytesIO(content))
            return PdfText(found.decode(), is_all)
        source, sink = self._pipes()
        try:
            source.write(len(content).to_bytes(4, "big") + content)
            source.flush()
            head = sink.read(5)
            text = sink.read(int.from_bytes(head[1:], "big"))
        except OSError:
            head, text = b"", b""
        if len(head) == 5 and len(text) == int.from_bytes(head[1:], "big"):
            return PdfText(text.decode(), bool(head[0]))
        # It took more memory than it may, or crashed.
        if self._process is not None:
            self._process.kill()
            # Closes the pipes too: what it never read would be written once more, and fail, when they are forgotten.
            self._process.communicate()
            self._process = None
        return _NOTHING

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                # -P: no module is taken from the folder that somebody happens to work in.
                [sys.executable, "-P", "-m", "panachain.records.pdf_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            atexit.register(self.close)
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process without pipes")
        return self._process.stdin, self._process.stdout


_WORKER: Final = _Worker()


def read_in_this_process() -> None:
    """Read files in this process from now on: for one that is bounded itself, and dies alone (`reading_worker.py`)."""
    _WORKER.in_this_process()


def text_of_pdf(content: bytes) -> PdfText:
    """Return the text of a PDF file; of one that has none, or can't be read, nothing.

    Args:
        content: the file; of one that is larger than 64 MiB nothing is read.
    """
    return _WORKER.read(content) if len(content) <= MOST_BYTES else _NOTHING
