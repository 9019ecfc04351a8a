"""What a summary says in words: the narrative of the document and of each section, as XHTML that any viewer shows.

Every text of a record is escaped; there is no markup of others in it. Follows FHIR R4, Narrative, and IPS 2.0.0, which
wants each section to say in words what its entries say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from panachain.summary.choice import Row

_XHTML: Final = "http://www.w3.org/1999/xhtml"
_MOST_FACT: Final = 500
"""Characters of one fact; the entry has all of it."""
_HEADS: Final = ("What", "When", "More", "From")


def table(rows: Sequence[Row], notes: Iterable[str]) -> dict[str, str]:
    """Return the narrative of a section: a row for each entry, and what else is to be said."""
    parts = [_paragraph(note) for note in notes]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in _HEADS)
        body = "".join(
            f"<tr>{_cell(row.what or 'not said')}{_cell(row.when)}{_cell('; '.join(map(_short, row.facts)))}"
            f"{_cell(', '.join(row.sources))}</tr>"
            for row in rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return _narrative(parts or [_paragraph("Nothing.")])


def paragraphs(told: Iterable[str]) -> dict[str, str]:
    """Return a narrative of some sentences."""
    return _narrative([_paragraph(one) for one in told])


def _narrative(parts: Sequence[str]) -> dict[str, str]:
    return {"status": "generated", "div": f'<div xmlns="{_XHTML}">{"".join(parts)}</div>'}


def _paragraph(told: str) -> str:
    return f"<p>{escape(told, quote=False)}</p>"


def _cell(told: str) -> str:
    return f"<td>{escape(told, quote=False)}</td>"


def _short(told: str) -> str:
    return told if len(told) <= _MOST_FACT else f"{told[:_MOST_FACT]}…"
