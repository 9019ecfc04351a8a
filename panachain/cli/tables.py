"""Tables of plain text that fit the terminal: columns shrink and wrap, and what is still too wide is stacked.

Pure: takes cells and a width, and gives lines. Never cuts a cell off: an end that isn't shown is one that nobody reads.
Widths follow Unicode Standard Annex 11 (East Asian Width).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = "  "
"""Between two columns."""
_FLOOR: Final = 24
"""Characters that a column keeps at most for its longest word before the word is broken."""
_NARROWEST: Final = 8
"""Characters to which a wrapping column shrinks at most."""


@dataclass(frozen=True)
class Column:
    """How one column stands in a table."""

    title: str
    right: bool = False
    """Whether numbers stand under each other at the right."""
    whole: bool = False
    """Whether its cells are never broken, so that they can be copied."""
    steady: bool = False
    """Whether it shrinks only when the others can't any more: a time on two lines is read badly."""


def display_width(text: str) -> int:
    """Return how many character cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` cells, broken at spaces; a longer word is broken too."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if display_width(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, width)
        lines += full
    return [*lines, line]


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return a table's lines, titles first.

    Args:
        columns: in order.
        rows: a cell for each column.
        width: cells that a line may take; a table that can't be that narrow is stacked, one block per row.
    """
    widths = _fit(columns, rows, width)
    if widths is None:
        return _stack(columns, rows, width)
    lines = _line(columns, [column.title for column in columns], widths)
    for row in rows:
        lines += _line(columns, row, widths)
    return lines


def card(fields: Sequence[tuple[str, str]], width: int, *, whole: Collection[str] = ()) -> list[str]:
    """Return one thing's fields, a title and a value on each line; long values go on below their beginning.

    Args:
        fields: titles and values, in order.
        width: cells that a line may take.
        whole: titles of values that stay on one line, however long they are, because people hand them on.
    """
    left = max((display_width(title) for title, _ in fields), default=0)
    lines = []
    for title, value in fields:
        first, *more = [value] if title in whole else wrap(value, max(width - left - len(GAP), _NARROWEST))
        lines.append(f"{_pad(title, left)}{GAP}{first}".rstrip())
        lines += [f"{'':{left}}{GAP}{line}" for line in more]
    return lines


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return each column's width, or None if the table can't be as narrow as `width`."""
    cells = [[column.title, *(row[at] for row in rows)] for at, column in enumerate(columns)]
    widths = [max(map(display_width, column)) for column in cells]
    floors = [
        natural if column.whole else min(natural, max(_NARROWEST, min(_FLOOR, _longest_word(own))))
        for column, own, natural in zip(columns, cells, widths, strict=True)
    ]
    room = width - len(GAP) * (len(columns) - 1)
    if sum(floors) > room:
        return None
    while sum(widths) > room:
        # The column with the most to give shrinks first, so that short ones stay as they are.
        can = [at for at in range(len(widths)) if widths[at] > floors[at]]
        at = max([at for at in can if not columns[at].steady] or can, key=widths.__getitem__)
        widths[at] -= 1
    return widths


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return one row, which takes as many lines as its longest cell."""
    wrapped = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped))):
        parts = [
            _pad(lines_[number] if number < len(lines_) else "", width, right=column.right)
            for column, lines_, width in zip(columns, wrapped, widths, strict=True)
        ]
        lines.append(GAP.join(parts).rstrip())
    return lines


def _stack(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        lines += card([(column.title, cell) for column, cell in zip(columns, row, strict=True)], width)
    return lines


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def _longest_word(cells: Sequence[str]) -> int:
    return max((display_width(word) for cell in cells for word in cell.split(" ")), default=0)


def _pieces(word: str, width: int) -> list[str]:
    """Return a word in pieces of at most `width` cells."""
    pieces, piece = [], ""
    for character in word:
        if piece and display_width(piece + character) > width:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]
