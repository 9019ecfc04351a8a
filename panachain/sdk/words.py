"""Categories and purposes as programs give them: words or members of the enums, one or several.

Never decides what a category covers: consent/grant.py makes scopes of these words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from panachain.errors import UsageError
from panachain.model.records import WITHDRAWING, Reason
from panachain.model.scope import Category, Purpose

Categories = str | Category | Iterable[str | Category]
"""Words such as "laboratory", members such as `Category.LABORATORY`, or one of either."""

Purposes = str | Purpose | Iterable[str | Purpose]
"""Codes of HL7 v3 PurposeOfUse such as "TREAT", members such as `Purpose.TREAT`, or one of either."""

WHOLE: Final = ("all", "emergency")
"""Words of lanes that cover several categories."""


def category_words(categories: Categories) -> tuple[str, ...]:
    """Return the words of categories, each once, in their order.

    Args:
        categories: words, members, or one of either; `all` and `emergency` are words too.

    Raises:
        UsageError: a word names no category.
    """
    one = isinstance(categories, str | Category)
    given: Iterable[str | Category] = [categories] if one else categories  # type: ignore[list-item, assignment]
    return tuple(dict.fromkeys(_word(category) for category in given))


def purpose_list(purposes: Purposes) -> tuple[Purpose, ...]:
    """Return purposes, each once, in their order.

    Args:
        purposes: codes, members, or one of either.

    Raises:
        UsageError: a code names no purpose.
    """
    one = isinstance(purposes, str | Purpose)
    given: Iterable[str | Purpose] = [purposes] if one else purposes  # type: ignore[list-item, assignment]
    return tuple(dict.fromkeys(purpose_of(purpose) for purpose in given))


def purpose_of(purpose: str | Purpose) -> Purpose:
    """Return one purpose.

    Raises:
        UsageError: it is neither a purpose nor the code of one.
    """
    if isinstance(purpose, Purpose):
        return purpose
    if isinstance(purpose, str):
        return Purpose.parse(purpose)
    raise UsageError(f"a purpose is a {type(purpose).__name__}; it must be a code or a Purpose")


def category_of(category: str | Category) -> Category:
    """Return one category.

    Raises:
        UsageError: it is neither a category nor the word of one.
    """
    if isinstance(category, Category):
        return category
    if isinstance(category, str):
        return Category.parse(category)
    raise UsageError(f"a category is a {type(category).__name__}; it must be a word or a Category")


def _word(category: str | Category) -> str:
    return category if isinstance(category, str) and category in WHOLE else category_of(category).value


def reason_of(value: Reason | str) -> Reason:
    """Return the reason for which a record is withdrawn.

    Raises:
        UsageError: there is none of that name.
    """
    found = next((one for one in WITHDRAWING if value in (one, one.value)), None)
    if found is None:
        known = ", ".join(one.value for one in WITHDRAWING)
        raise UsageError(f"{str(value)!a} is no reason to withdraw a record; one of {known} is")
    return found
