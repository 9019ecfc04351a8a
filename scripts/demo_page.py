"""The demo's page: what happened, as one would show it to the board of a hospital.

One file without outside resources, readable on a phone, light and dark. Never shows an identifier but behind "Details",
and puts no text into the page unescaped. Pure: takes the report, gives HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

TEMPLATE: Final = Path(__file__).with_name("demo.html")
_WIDTH: Final = 340
"""Units of a plot's width, about the pixels that a phone gives it: so its letters stay readable there."""
_NARROW: Final = 3
"""Columns of a table that a phone shows beside each other; of a wider one each row becomes a block."""
_ROW: Final = 40
"""Units of a bar with its label."""


def page(report: Mapping[str, Any]) -> str:
    """Return the page of a report of schema `panachain/demo/2`, finished or not."""
    steps = report["steps"]
    ok = bool(report["ok"])
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        verdict="Everything held" if ok else "The story failed",
        verdict_class="" if ok else " failed",
        lead=html.escape(report["lead"]),
        numbers="".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in report["numbers"]
        ),
        matrix=_matrix(report["matrix"]),
        caption=_text(report["matrix"].get("caption", "")),
        steps="".join(map(_step, steps)),
        plots=_plots(steps),
        limits=_text(report["limits"]),
    )


def _step(step: Mapping[str, Any]) -> str:
    costs = [_seconds(step["ms"]), *([f"{step['gas']:,} gas"] if step["gas"] else [])]
    note = f"<p>{_text(step['note'])}</p>" if step["note"] else ""
    table = _table(step["titles"], step["rows"]) if step["rows"] else ""
    return (
        f'<li><div class="card"><h3>{_text(step["title"])}</h3><p class="cost">{" · ".join(costs)}</p>'
        f"{note}{table}{_details(step['details'])}</div></li>"
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = [all(_is_number(row[at]) for row in rows) for at in range(len(titles))]

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f'<{tag} data-title="{_text(title)}"{" class=number" if number else ""}>{_text(cell)}</{tag}>'
            for cell, title, number in zip(row, titles, numbers, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    wide = " class=wide" if len(titles) > _NARROW else ""
    return f"<table{wide}><thead><tr>{cells('th', titles)}</tr></thead><tbody>{body}</tbody></table>"


def _details(details: Mapping[str, str]) -> str:
    if not details:
        return ""
    listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in details.items())
    return f"<details><summary>Details</summary><dl>{listed}</dl></details>"


def _matrix(matrix: Mapping[str, Any]) -> str:
    """Return who reads what before and after the revocation."""
    if not matrix.get("rows"):
        return "<p>The story ended before anybody could read anything.</p>"
    parts = [_text(part) for part in matrix["parts"]]
    heads = "".join(f"<th scope=col>{part}</th>" for _ in ("before", "after") for part in parts)
    rows = ""
    for who, before, after in matrix["rows"]:
        cells = "".join(map(_cell, before)) + "".join(
            _cell(now, changed=now != then) for now, then in zip(after, before, strict=True)
        )
        rows += f"<tr><th scope=row>{_text(who)}</th>{cells}</tr>"
    span = len(parts)
    return (
        f'<table class="matrix"><thead><tr><th></th><th scope=colgroup colspan={span}>before</th>'
        f"<th scope=colgroup colspan={span}>after</th></tr><tr><th></th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _cell(reads: str, *, changed: bool = False) -> str:
    kind = {"yes": "yes", "partly": "partly"}.get(reads, "no")
    return f'<td><span class="{kind}{" changed" if changed else ""}">{_text(reads)}</span></td>'


def _plots(steps: Sequence[Mapping[str, Any]]) -> str:
    times = [(step["short"], step["ms"], _seconds(step["ms"])) for step in steps]
    gas = [(step["short"], step["gas"], f"{step['gas']:,}") for step in steps if step["gas"]]
    parts = [("Time of each step", times, "bar")]
    if gas:
        parts.append(("Gas of each transaction", gas, "bar-two"))
    return "".join(f'<div class="card"><h3>{title}</h3>{_bars(title, rows, kind)}</div>' for title, rows, kind in parts)


def _bars(title: str, rows: Sequence[tuple[str, float, str]], kind: str) -> str:
    """Return a plot of bars, each below its label, the amount at the right."""
    longest = max((value for _, value, _ in rows), default=0) or 1
    height = _ROW * len(rows) + 4
    bars = "".join(
        f"<text x=0 y={_ROW * at + 16}>{_text(name)}</text>"
        f'<text class="amount" x={_WIDTH} y={_ROW * at + 16} text-anchor="end">{_text(amount)}</text>'
        f'<rect class="{kind}" x=0 y={_ROW * at + 22} width={max(_WIDTH * value / longest, 2):.1f} height=10 rx=3 />'
        for at, (name, value, amount) in enumerate(rows)
    )
    told = ", ".join(f"{name}: {amount}" for name, _, amount in rows)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_text(f"{title}. {told}")}">{bars}</svg>'


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and not cell.strip("0123456789,.").strip(" BKMGTi")


def _text(value: object) -> str:
    return html.escape(str(value))
