"""Long lists in pages: which lines one page shows, and where it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

PER_PAGE: Final = 50
"""Lines of a long list on one page."""


@dataclass(frozen=True)
class Part(Generic[Item]):
    """One page of a long list."""

    items: Sequence[Item]
    number: int
    """Of the page, from 1."""
    pages: int
    total: int
    """Items of the whole list."""

    @property
    def before(self) -> int:
        """The number of the page before this one; 0 for none."""
        return self.number - 1

    @property
    def after(self) -> int:
        """The number of the next page; 0 for none."""
        return self.number + 1 if self.number < self.pages else 0


def part_of(items: Sequence[Item], page: str | int, *, size: int = PER_PAGE) -> Part[Item]:
    """Return one page of a list; a number that there isn't becomes the nearest that there is.

    Args:
        items: the whole list.
        page: the number, as the address of the page has it.
        size: lines of a page.
    """
    number, pages = place_of(len(items), page, size=size)
    return Part(items[(number - 1) * size : number * size], number, pages, len(items))


def place_of(total: int, page: str | int, *, size: int = PER_PAGE) -> tuple[int, int]:
    """Return the number of a page of a list whose items are elsewhere, and of how many; as `part_of`."""
    pages = max(1, -(-total // size))
    told = str(page)
    wanted = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else 1
    return min(max(wanted, 1), pages), pages
