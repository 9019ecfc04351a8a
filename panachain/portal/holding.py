"""Holding: a file that somebody hands to a page to be looked at once, in memory alone.

For what may be a leaked key: it is written to no disk, kept under no name, and never shown. Never more of them than
there are places: one for each seat, and few in the portal. Follows docs/spec/tracing.md and docs/spec/portal.md,
section "Leaks".
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from threading import Lock
from typing import Final

from panachain.errors import UsageError
from panachain.portal.i18n import _
from panachain.portal.refusals import RefusedError, said

MOST: Final = 4
"""Files that the portal holds at once."""


class Places:
    """The places for files in the memory of one portal."""

    def __init__(self, most: int = MOST) -> None:
        """Take how many there are."""
        self._most = most
        self._taken: set[object] = set()
        self._lock = Lock()

    def check(self, seat: object) -> None:
        """Check that a seat can have a place now: asked before a file is taken at all.

        Raises:
            RefusedError: it has one already, or all are taken.
        """
        with self._lock:
            self._check(seat)

    def take(self, seat: object, most: int) -> Held:
        """Return a place for a file of `most` bytes; its `close` or `done` gives it back.

        Raises:
            RefusedError: as `check`.
        """
        with self._lock:
            self._check(seat)
            self._taken.add(seat)
        return Held(most, lambda: self._free(seat))

    def _check(self, seat: object) -> None:
        if seat in self._taken:
            why = _(
                "Another file of yours is being looked at. Wait until that has ended; nothing of this one was kept."
            )
            raise RefusedError(409, why)
        if len(self._taken) >= self._most:
            why = _("Too many files are being looked at just now. Try it again later; nothing of this one was kept.")
            raise RefusedError(409, why)

    def _free(self, seat: object) -> None:
        with self._lock:
            self._taken.discard(seat)


class Held:
    """One file in memory, up to a size."""

    def __init__(self, most: int, free: Callable[[], None] = lambda: None) -> None:
        """Take how many bytes it may have, and what gives its place back."""
        self._most = most
        self._free: Callable[[], None] | None = free
        self._content: BytesIO | None = BytesIO()
        self._size = 0
        self._begun = self._looked = False
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Held({self._size} bytes)"

    def begin(self, path: str) -> _Arriving:
        """Begin the file; its name says nothing.

        Raises:
            UsageError: it is the second one.
        """
        if self._begun:
            raise said(UsageError(_("One file at a time; nothing was looked at.")))
        self._begun = True
        return _Arriving(self)

    def write(self, piece: memoryview) -> None:
        """Take the next bytes.

        Raises:
            UsageError: there are too many.
        """
        self._size += len(piece)
        content = self._content
        if self._size > self._most or content is None:
            self.close()
            text = _("The file has more than %(most)d MiB; nothing was looked at.", most=self._most >> 20)
            raise said(UsageError(text))
        content.write(piece)

    def check_room(self) -> None:
        """Do nothing: memory has room for `most` bytes."""

    def check_begun(self) -> None:
        """Check that a file came, and that something is in it.

        Raises:
            UsageError: none did.
        """
        if not self._size or self._content is None:
            raise said(UsageError(_("No file was chosen; nothing was looked at.")))

    def take(self) -> bytes:
        """Return what arrived, and hold it no more; its place is its own until `done`.

        Raises:
            UsageError: no file came, or it was forgotten.
        """
        with self._lock:
            content, self._content, self._looked = self._content, None, True
        if not self._size or content is None:
            raise said(UsageError(_("No file was chosen; nothing was looked at.")))
        # The very bytes that arrived: a second copy of 64 MiB would be made otherwise.
        return content.getvalue()

    def close(self) -> None:
        """Forget what arrived and give the place back, unless it is being looked at: then `done` does."""
        with self._lock:
            if self._looked:
                return
        self.done()

    def done(self) -> None:
        """Forget it, and give the place back: once, however often it is called."""
        with self._lock:
            self._content, free, self._free = None, self._free, None
        if free is not None:
            free()


class _Arriving:
    """The file while it arrives: that it ended isn't yet the end of its place."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def write(self, piece: memoryview) -> None:
        """Take the next bytes; raises as `Held.write`."""
        self._held.write(piece)

    def close(self) -> None:
        """End it."""
