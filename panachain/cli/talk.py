"""What modules log and warn of, on standard error: cleaned, because it holds text of others.

Where a program has set up logging of its own, nothing changes. Follows docs/spec/cli.md, section "Output".
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from panachain.plain import line as on_one_line
from panachain.plain import trace


class PlainFormatter(logging.Formatter):
    """Formats a log record as one clean line; a traceback follows on lines of its own where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        told = on_one_line(record.getMessage())
        if record.exc_info and record.exc_info[0] is not None:
            told = f"{told}\n{trace(self.formatException(record.exc_info))}"
        return told


class _Talk(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is then."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setLevel(logging.WARNING)
        self.setFormatter(PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


@contextmanager
def clean_talk() -> Iterator[None]:
    """Let nothing that is logged or warned of reach the terminal as others wrote it."""
    root, handler, shown = logging.getLogger(), _Talk(), warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        # The line of code that warns isn't shown.
        del line
        told = on_one_line(f"{filename}:{lineno}: {category.__name__}: {message}")
        (file or sys.stderr).write(f"{told}\n")

    added = not root.handlers
    if added:
        root.addHandler(handler)
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown
        if added:
            root.removeHandler(handler)
