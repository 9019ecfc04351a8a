"""A figure of small panels with logarithmic axes, as SVG, without a plotting library.

Colours and text are legible on a light and on a dark background: the background stays transparent.
Follows SVG 1.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 420, 300
"""Pixels of one panel."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 44, 52
_LINE = "#2f7ed8"
_INK = "#767676"
"""Of text and axes: the grey whose contrast is 4.5 : 1 both to white and to black (WCAG 2.1, 1.4.3)."""
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True)
class Panel:
    """One panel: one line."""

    title: str
    across: str
    """Name of the x axis, with its unit."""
    up: str
    """Unit of the y axis."""
    points: Sequence[tuple[float, float]]
    """From left to right; every number is above zero."""


def draw(panels: Sequence[Panel], path: Path, *, columns: int = 2) -> None:
    """Write a figure of these panels."""
    rows = -(-len(panels) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' {_FONT} font-size='12'>",
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
    ]
    for number, panel in enumerate(panels):
        x, y = number % columns * _WIDTH, number // columns * _HEIGHT
        parts.append(f"<g transform='translate({x} {y})'>")
        parts += _panel(panel)
        parts.append("</g>")
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _panel(panel: Panel) -> list[str]:
    across = _Axis([x for x, _ in panel.points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([y for _, y in panel.points], _HEIGHT - _BOTTOM, _TOP)
    parts = [_text(_WIDTH / 2, 18, panel.title, size=14, weight="bold")]
    for value in across.ticks():
        x = across.at(value)
        parts.append(_rule(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, _short(value)))
    for value in up.ticks():
        y = up.at(value)
        parts.append(_rule(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, _short(value), anchor="end"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, panel.across))
    parts.append(_text(_LEFT - 6, _TOP - 10, panel.up, anchor="end"))
    places = [(across.at(x), up.at(y)) for x, y in panel.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f"<polyline points='{path}' fill='none' stroke='{_LINE}' stroke-width='2'/>")
    parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{_LINE}'/>" for x, y in places]
    return parts


class _Axis:
    """Whole decades from below the smallest value to above the largest one."""

    def __init__(self, values: Sequence[float], start: float, stop: float) -> None:
        self._low = math.floor(math.log10(min(values)) + 1e-9)
        self._high = max(math.ceil(math.log10(max(values)) - 1e-9), self._low + 1)
        self._start, self._stop = start, stop

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._stop - self._start)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{_INK}' stroke-opacity='0.35'/>"


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 12, weight: str = "normal") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' font-weight='{weight}' "
        f"fill='{_INK}'>{escape(text)}</text>"
    )
