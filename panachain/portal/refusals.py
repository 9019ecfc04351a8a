"""How the portal refuses a request: by an error that becomes a page, never a traceback.

Says nothing of what the request held. Follows RFC 9110 section 15.
"""

from __future__ import annotations

from typing import TypeVar

from panachain.errors import PanaChainError

Failed = TypeVar("Failed", bound=PanaChainError)
_SAID = "said_in_the_readers_language"


class RefusedError(Exception):
    """The portal doesn't do what a request asks; `status` is the HTTP status, `why` a sentence for a page."""

    def __init__(self, status: int, why: str, *, hint: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.hint = hint


class LockedPageError(Exception):
    """The page needs an unlocked profile: the browser is sent to where one is unlocked."""


def said(error: Failed) -> Failed:
    """Return an error whose message and hint are in the reader's language already, noted as such."""
    setattr(error, _SAID, True)
    return error


def is_said(error: PanaChainError) -> bool:
    """Tell whether an error was told in the reader's language."""
    return getattr(error, _SAID, False) is True
