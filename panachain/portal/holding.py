"""Holding: a file that somebody hands to a page to be looked at once, in memory alone.

For what may be a leaked key: it is written to no disk, kept under no name, and never shown. Follows
docs/spec/tracing.md and docs/spec/portal.md, section "Leaks".
"""

from __future__ import annotations

from panachain.errors import UsageError
from panachain.portal.i18n import _
from panachain.portal.refusals import said


class Held:
    """One file in memory, up to a size."""

    def __init__(self, most: int) -> None:
        """Take how many bytes it may have."""
        self._most = most
        self._content = bytearray()
        self._begun = False

    def __repr__(self) -> str:
        return f"Held({len(self._content)} bytes)"

    def begin(self, path: str) -> Held:
        """Begin the file; its name says nothing.

        Raises:
            UsageError: it is the second one.
        """
        if self._begun:
            raise said(UsageError(_("One file at a time; nothing was looked at.")))
        self._begun = True
        return self

    def write(self, piece: memoryview) -> None:
        """Take the next bytes.

        Raises:
            UsageError: there are too many.
        """
        if len(self._content) + len(piece) > self._most:
            self._content.clear()
            text = _("The file has more than %(most)d MiB; nothing was looked at.", most=self._most >> 20)
            raise said(UsageError(text))
        self._content += piece

    def check_room(self) -> None:
        """Do nothing: memory has room for `most` bytes."""

    def close(self) -> None:
        """End the file; what arrived is kept until `take`."""

    def take(self) -> bytes:
        """Return what arrived, and forget it.

        Raises:
            UsageError: no file came.
        """
        if not self._begun:
            raise said(UsageError(_("No file was chosen; nothing was looked at.")))
        taken = bytes(self._content)
        self._content.clear()
        return taken
