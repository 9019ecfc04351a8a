"""Plots as SVG, made here and in no browser: bars with their numbers, for people who see them and those who don't.

What a plot shows stands beside it as a table; a screen reader reads title and description. No colour, style or script
is in it: bars take the colour of the text around them, so both themes and print have enough contrast. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from panachain.plain import line

MOST_BARS: Final = 40
"""Bars of one plot; what lies beyond them stands in the table."""
_WIDTH: Final = 256
"""Units: one CSS pixel each within a card on the narrowest screen, so that text is as large as its size says."""
_ROW: Final = 22
_LABEL: Final = 96
_NUMBER: Final = 50
_CHARACTERS: Final = 14
"""Of a label, about as many as fit."""


@dataclass(frozen=True)
class Bars:
    """A plot of horizontal bars, and the table beside it."""

    title: str
    label: str
    """What the rows of the table are: its first column."""
    measure: str
    """What the numbers count: its second column."""
    rows: tuple[tuple[str, int], ...]
    """Label and number of each bar, from the top on."""
    sentence: str = ""
    """What the plot says, in words; for those who don't see it."""

    @classmethod
    def of(
        cls,
        title: str,
        numbers: Mapping[str, int],
        *,
        label: str,
        measure: str,
        sentence: str = "",
        largest_first: bool = False,
    ) -> Bars:
        """Return a plot of some numbers.

        Args:
            title: what is shown.
            numbers: by their labels, in their order.
            label: what the labels are.
            measure: what the numbers count.
            sentence: what the plot says.
            largest_first: whether to order by number.
        """
        rows = list(numbers.items())
        if largest_first:
            rows.sort(key=lambda row: (-row[1], row[0]))
        return cls(title, label, measure, tuple(rows), sentence)

    def svg(self, name: str) -> Markup:
        """Return the plot as SVG for the inside of a page.

        Args:
            name: of the plot on its page, letters and dashes: IDs are made of it.
        """
        shown = self.rows[:MOST_BARS]
        height = _ROW * max(len(shown), 1) + 4
        most = max((number for _, number in shown), default=0)
        parts = [
            f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
            f' aria-labelledby="{escape(name)}-title {escape(name)}-desc" xmlns="http://www.w3.org/2000/svg">',
            f'<title id="{escape(name)}-title">{escape(line(self.title))}</title>',
            f'<desc id="{escape(name)}-desc">{escape(line(self.sentence))}</desc>',
        ]
        for at, (label, number) in enumerate(shown):
            parts += _bar(at * _ROW + 2, line(label), number, most)
        return Markup("".join(map(str, [*parts, "</svg>"])))  # noqa: S704


def _bar(top: int, label: str, number: int, most: int) -> Sequence[str | Markup]:
    room = _WIDTH - _LABEL - _NUMBER
    # A bar of something is seen, however small its part.
    length = max(round(room * number / most, 1), 1.0) if most and number else 0.0
    middle = top + _ROW // 2 + 3
    told = label if len(label) <= _CHARACTERS else label[: _CHARACTERS - 1] + "…"
    return (
        f'<text x="{_LABEL - 6}" y="{middle}" text-anchor="end" font-size="12" fill="currentColor">',
        escape(told),
        f'</text><rect x="{_LABEL}" y="{top + 3}" width="{length}" height="{_ROW - 8}" fill="currentColor"',
        f' fill-opacity="0.55"/><text x="{_LABEL + length + 5}" y="{middle}" font-size="12" fill="currentColor">',
        f"{number:,}</text>",
    )
