"""The kinds of sensitive information, and the restricted category that each belongs to.

Follows HL7 v3 ActCode, InformationSensitivityPolicy; kinds of our own are marked in `data/kinds.tsv`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from panachain.errors import UsageError
from panachain.model.scope import RESTRICTED, Category
from panachain.records.sensitivity.tables import rows

_ORDER: Final = (
    *(Category.VIOLENCE, Category.GENDER, Category.SEXUAL_HEALTH),
    *(Category.SUBSTANCE_USE, Category.MENTAL_HEALTH, Category.PRIVATE),
)
"""Of what belongs to several restricted categories the first one is taken: the one that the fewest are granted."""


@dataclass(frozen=True)
class Kind:
    """One kind of sensitive information."""

    code: str
    """As HL7 v3 ActCode spells it."""
    word: str
    """What people call it, on the command line."""
    category: Category
    parent: str
    """The kind that it is one of; empty for none."""
    display: str


@dataclass(frozen=True)
class Finding:
    """Why something is sensitive."""

    kind: str
    tells: bool
    """Whether it gives the condition away; else it only hints at it."""
    rule: str
    """Which value set and which of its entries matched, in words."""


@cache
def kinds() -> dict[str, Kind]:
    """Return all kinds by their codes."""
    found = {}
    for code, word, category, parent, display, _source in rows("kinds"):
        found[code] = Kind(code, word, Category(category), parent, display)
    return found


def kind_of(text: str) -> Kind:
    """Return the kind that a word or a code names.

    Args:
        text: as somebody typed it.

    Raises:
        UsageError: there is none.
    """
    plain = text.strip()
    for kind in kinds().values():
        if plain.lower() == kind.word or plain.upper() == kind.code:
            return kind
    known = ", ".join(kind.word for kind in kinds().values())
    raise UsageError(f"{text!a}: no such kind of sensitive information", hint=f"one of {known}")


def with_parts(codes: Iterable[str]) -> frozenset[str]:
    """Return kinds with those that are part of them, however deep.

    Args:
        codes: known ones.
    """
    found = set(codes)
    while more := {kind.code for kind in kinds().values() if kind.parent in found} - found:
        found |= more
    return frozenset(found)


def category_of_kinds(found: Iterable[str]) -> Category | None:
    """Return the category that something of these kinds belongs to: a restricted one before any other.

    Args:
        found: codes of kinds; those that are unknown count for nothing.
    """
    categories = {kinds()[code].category for code in found if code in kinds()}
    closed = [category for category in _ORDER if category in categories and category in RESTRICTED]
    return closed[0] if closed else next(iter(sorted(categories, key=lambda one: one.code)), None)
