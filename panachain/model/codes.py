"""Enumerations whose members have a written number: on the wire and on the chains, never their place in the source.

A number stays with its member for good. Those in use are in docs/spec/formats.md, section "Codes", and a vector file
pins them.
"""

from __future__ import annotations

from enum import Enum
from typing import Self


class Coded(Enum):
    """A word with a number. The word is the member's value: `Category("laboratory")` finds it, and JSON has it."""

    _value_: str
    code: int
    """The number that stands for the member where a format has no room for words."""

    def __new__(cls, word: str, code: int = -1) -> Self:
        """Make a member of its word and its number."""
        # The default is for type checkers, which take the look-up `Category("laboratory")` for a call of this.
        if code < 0:
            raise TypeError(f"{word} has no number")
        member = object.__new__(cls)
        member._value_ = word
        member.code = code
        return member

    # Each member is there once. Enum's own hash asks Python for the name: splitting a record looks a category up often.
    __hash__ = object.__hash__

    @classmethod
    def by_code(cls, code: int) -> Self | None:
        """Return the member with this number, or None when there is none: somebody else may know more of them."""
        return next((member for member in cls if member.code == code), None)
