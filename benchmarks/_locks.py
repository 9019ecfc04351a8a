"""Key stores of a benchmark's own process that cost nothing, where how long they take isn't what is measured."""

from __future__ import annotations

from typing import Final

from panachain.crypto import wraps

_USUAL: Final = (wraps.USUAL, wraps.LEAST)


def make_cheap() -> None:
    """Let new key stores cost nothing; other processes refuse them."""
    _set(wraps.Cost(memory=8, iterations=1, lanes=1), wraps.Cost(memory=8, iterations=1, lanes=1))


def make_least() -> None:
    """Let new key stores cost what other processes accept at least, a tenth of what they cost as a rule."""
    _set(_USUAL[1], _USUAL[1])


def make_usual() -> None:
    """Let new key stores cost what they always do, and refuse cheap ones."""
    _set(*_USUAL)


def _set(usual: wraps.Cost, least: wraps.Cost) -> None:
    vars(wraps).update(USUAL=usual, LEAST=least)
