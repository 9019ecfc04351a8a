"""Plots in SVG: values over time, and encounters on a timeline; each says in words what it shows, with a table beside.

Nothing but numbers and escaped texts goes into one: no style, no script, no address. Colours come from the style sheet.
Follows SVG 2 and WAI-ARIA's graphics roles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import floor, isfinite, log10
from typing import Final

from panachain.viewer.fhir import Entry
from panachain.viewer.observations import Point, Series

_WIDTH: Final = 640
_HEIGHT: Final = 200
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 14
_BOTTOM: Final = 30
MOST_POINTS: Final = 400
"""Points of one line; of more the newest ones are drawn."""
_MOST_ROWS: Final = 12
_MOST_BARS: Final = 100
"""Bars of one row."""
_MARKERS: Final = 5
"""Shapes of markers, one for each hospital."""


@dataclass(frozen=True)
class Plot:
    """A plot."""

    svg: str
    """Safe in a page."""
    is_all: bool
    """Whether all values are drawn."""


def of_series(
    series: Series,
    title: str,
    sources: Sequence[str],
    *,
    identifier: str,
    description: str,
    tick: Callable[[float], str],
    most: int = MOST_POINTS,
) -> Plot:
    """Return values of one unit over time.

    Args:
        series: oldest first.
        title: says what is drawn.
        sources: the hospitals, of which each has a marker of its own.
        identifier: of the plot in its page.
        description: says in words what the plot shows.
        tick: gives the text of a moment on the axis, of Unix seconds.
        most: points that are drawn; of more the newest ones.
    """
    points = series.points[-most:]
    pairs = [(point.when.seconds or 0.0, point.number or 0.0) for point in points]
    bounds = {(point.low, point.high) for point in points}
    low, high = bounds.pop() if len(bounds) == 1 else (None, None)
    shown = [value for _, value in pairs] + [one for one in (low, high) if one is not None]
    bottom, top, steps = _scale(min(shown), max(shown))
    first, last = pairs[0][0], pairs[-1][0]
    if last - first < 86_400:
        first, last = first - 43_200, last + 43_200

    def x(seconds: float) -> float:
        return _LEFT + (seconds - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (top - value) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_head(identifier, title, description, _HEIGHT)]
    if low is not None or high is not None:
        above = y(high if high is not None else top)
        below = y(low if low is not None else bottom)
        parts.append(
            f'<rect class="v-range" x="{_LEFT}" y="{above:.1f}" width="{_WIDTH - _LEFT - _RIGHT}"'
            f' height="{max(below - above, 0.5):.1f}"/>'
        )
    for value in steps:
        parts.append(
            f'<line class="v-grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(
            f'<text class="v-tick" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{_text(value)}</text>'
        )
    for seconds in _moments(first, last):
        anchor = "start" if x(seconds) < _LEFT + 30 else "end" if x(seconds) > _WIDTH - 60 else "middle"
        parts.append(
            f'<text class="v-tick" x="{x(seconds):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">'
            f"{escape(tick(seconds))}</text>"
        )
    line = " ".join(f"{x(seconds):.1f},{y(value):.1f}" for seconds, value in pairs)
    parts.append(f'<polyline class="v-line" points="{line}"/>')
    for (seconds, value), point in zip(pairs, points, strict=True):
        parts.append(_marker(x(seconds), y(value), sources.index(point.source) if point.source in sources else 0))
    parts.append("</svg>")
    return Plot("".join(parts), len(points) == len(series.points))


def of_encounters(
    entries: Sequence[Entry],
    title: str,
    *,
    identifier: str,
    description: str,
    tick: Callable[[float], str],
    words: Callable[[str], str],
) -> Plot | None:
    """Return encounters on a timeline, a row for each kind; None where fewer than two have a date.

    Args:
        entries: those that are so.
        title: says what is drawn.
        identifier: of the plot in its page.
        description: says in words what the plot shows.
        tick: gives the text of a moment on the axis, of Unix seconds.
        words: gives the name of a row, of an encounter's title.
    """
    dated = [one for one in entries if one.when.is_known]
    if len(dated) < 2:
        return None
    kinds: dict[str, list[Entry]] = {}
    for one in dated:
        kinds.setdefault(one.title, []).append(one)
    ranked = sorted(kinds.items(), key=lambda item: -len(item[1]))
    rows = ranked[:_MOST_ROWS]
    first = min(one.when.seconds or 0.0 for _, some in rows for one in some)
    last = max(one.until.seconds or one.when.seconds or 0.0 for _, some in rows for one in some)
    last = max(last, first + 86_400)
    height, left = 24 * len(rows) + _BOTTOM + 4, 200

    def x(seconds: float) -> float:
        return left + (seconds - first) / (last - first) * (_WIDTH - left - _RIGHT)

    parts = [_head(identifier, title, description, height)]
    for place, (name, some) in enumerate(rows):
        middle = 16 + 24 * place
        shown = words(name)
        shown = shown if len(shown) <= 26 else f"{shown[:25]}…"
        parts.append(f'<text class="v-tick" x="{left - 10}" y="{middle + 4}" text-anchor="end">{escape(shown)}</text>')
        parts.append(f'<line class="v-grid" x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{middle}" y2="{middle}"/>')
        for one in some[:_MOST_BARS]:
            begin = x(one.when.seconds or 0.0)
            end = x(max(one.until.seconds or 0.0, one.when.seconds or 0.0))
            parts.append(
                f'<rect class="v-stay" x="{begin - 3:.1f}" y="{middle - 6}" width="{max(end - begin, 0) + 6:.1f}"'
                ' height="12" rx="3"/>'
            )
    for seconds in _moments(first, last):
        anchor = "start" if x(seconds) < left + 30 else "end" if x(seconds) > _WIDTH - 60 else "middle"
        parts.append(
            f'<text class="v-tick" x="{x(seconds):.1f}" y="{height - 8}" text-anchor="{anchor}">'
            f"{escape(tick(seconds))}</text>"
        )
    parts.append("</svg>")
    drawn = sum(len(some[:_MOST_BARS]) for _, some in rows)
    return Plot("".join(parts), drawn == len(entries))


def latest(points: Sequence[Point]) -> Point | None:
    """Return the newest value that has a date."""
    return next((point for point in points if point.when.is_known), None)


def _head(identifier: str, title: str, description: str, height: int) -> str:
    return (
        f'<svg class="v-plot" viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-labelledby="{identifier}-t {identifier}-d">'
        f'<title id="{identifier}-t">{escape(title)}</title><desc id="{identifier}-d">{escape(description)}</desc>'
    )


def _marker(x: float, y: float, place: int) -> str:
    shape = place % _MARKERS
    if shape == 0:
        return f'<circle class="v-dot v-dot-0" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if shape == 1:
        return f'<rect class="v-dot v-dot-1" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    corners = {
        2: ((0, -5), (5, 4), (-5, 4)),
        3: ((0, -6), (6, 0), (0, 6), (-6, 0)),
        4: ((0, 5), (5, -4), (-5, -4)),
    }[shape]
    drawn = " ".join(f"{x + right:.1f},{y + down:.1f}" for right, down in corners)
    return f'<polygon class="v-dot v-dot-{shape}" points="{drawn}"/>'


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return a scale's ends and its steps, three to six, of round numbers."""
    if high - low <= abs(high) * 1e-9:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= rough)
    bottom, top = floor(low / step) * step, -floor(-high / step) * step
    steps = [bottom + step * place for place in range(round((top - bottom) / step) + 1)]
    return bottom, top, [one for one in steps if isfinite(one)][:9]


def _text(value: float) -> str:
    return f"{value:.6g}"


def _moments(first: float, last: float) -> list[float]:
    """Return up to six moments of an axis: beginnings of years where it spans several."""
    try:
        begin, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    except (ValueError, OverflowError, OSError):
        return []
    years = end.year - begin.year
    if years < 2:
        return [first, (first + last) / 2, last]
    step = -(-years // 5)
    starts = [datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in range(begin.year + 1, end.year + 1, step)]
    return [one for one in starts if first <= one <= last]
