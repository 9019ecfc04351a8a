"""A report on paper: PDF whose text can be selected and searched, with page numbers, and whose table goes over pages.

Asks nobody and decides nothing: what stands in it is given. Others' text is made harmless first, and letters for which
the font has no form are written by their numbers, which the report says: nothing is left out, and nothing is drawn as
something else. Follows docs/spec/log.md, section "Reports". `fpdf2` is the extra `panachain[report]`, and this its only
place; so is Noto Sans (OFL 1.1), of which the letters that are used are embedded.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from panachain.errors import ConfigurationError
from panachain.plain import few_marks, line

MOST: Final = 20_000
"""Openings of one report; it says how many more there are. A table of more pages is a file for a program."""
_SMALL: Final = 8.0
"""Points of the letters in tables and below pages."""
_TEXT: Final = 9.5
_TITLE: Final = 17.0
_HEADING: Final = 12.0
_MARGIN: Final = 14.0
"""Millimetres."""
_LONGEST: Final = 240
"""Characters of a cell: more is cut, and says so. A row must fit on a page."""
_FONT: Final = "report"
_SHAPED: Final = frozenset({"Lo", "Mn", "Mc", "Me", "Lm", "Sk"})
"""Categories of letters that depend on those beside them, or of scripts whose letters do: these aren't set here."""


@dataclass(frozen=True)
class Part:
    """A part of a report: a heading, sentences, and a table if there are rows."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    """Shares of the line's width, one for each column."""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Report:
    """A report of one year, before it is on paper.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     report = patient.auditing.report(2026)
        >>> report.year, report.openings >= 0
        (2026, True)
    """

    title: str
    year: int
    made_at: int
    """Unix seconds."""
    openings: int
    """How many there were, those too that the table has no room for."""
    about: tuple[tuple[str, str], ...]
    summary: tuple[str, ...]
    parts: tuple[Part, ...]
    complete: bool
    """Whether all was looked at and proven that could be; the report says what wasn't, and what can't be."""

    @property
    def shown(self) -> int:
        """How many openings have a line in it."""
        return min(self.openings, MOST)

    def pdf(self) -> bytes:
        """Return the report as PDF.

        Raises:
            ConfigurationError: `panachain[report]` isn't installed.
        """
        return _pdf(self)


def _pdf(report: Report) -> bytes:
    """Return a report as PDF.

    Raises:
        ConfigurationError: fpdf2 or the font isn't installed.
    """
    document, drawn = _document()
    spoken = _Spoken(drawn)
    document.set_title(spoken(report.title))
    document.set_creation_date(datetime.fromtimestamp(report.made_at, UTC))
    document.set_producer("PanaChain")
    document.add_page()
    document.set_font(_FONT, size=_TITLE)
    document.multi_cell(0, 9, spoken(report.title), align="L", new_x="LMARGIN", new_y="NEXT")
    document.set_font(_FONT, size=_TEXT)
    for name, value in report.about:
        document.multi_cell(0, 5, f"{spoken(name)}: {spoken(value)}", align="L", new_x="LMARGIN", new_y="NEXT")
    for paragraph in report.summary:
        document.ln(1.5)
        document.multi_cell(0, 5, spoken(paragraph), align="L", new_x="LMARGIN", new_y="NEXT")
    for part in report.parts:
        _heading(document, spoken(part.heading))
        for paragraph in part.paragraphs:
            document.set_font(_FONT, size=_TEXT)
            document.multi_cell(0, 5, spoken(paragraph), align="L", new_x="LMARGIN", new_y="NEXT")
            document.ln(1)
        if part.rows:
            _table(document, part.columns, part.widths, [[spoken(cell) for cell in row] for row in part.rows])
    if spoken.numbered:
        document.ln(2)
        document.set_font(_FONT, size=_TEXT)
        document.multi_cell(
            0,
            5,
            "Letters for which the font of this report has no form are written by their numbers, such as [U+4E2D].",
            align="L",
            new_x="LMARGIN",
            new_y="NEXT",
        )
    made = io.BytesIO()
    document.output(made)
    return made.getvalue()


class _Spoken:
    """Text as it can be set: harmless, and every letter with a form of its own."""

    def __init__(self, drawn: Callable[[str], bool]) -> None:
        self._drawn = drawn
        self.numbered = False

    def __call__(self, text: str) -> str:
        clean = unicodedata.normalize("NFC", few_marks(line(text)))
        if len(clean) > _LONGEST * 10:
            clean = f"{clean[: _LONGEST * 10]}… ({len(clean) - _LONGEST * 10} more characters)"
        # Where fpdf2 puts the number of pages.
        return "".join(map(self._letter, clean.replace("{nb}", "{ nb }")))

    def _letter(self, letter: str) -> str:
        if letter.isascii() or letter == "\N{REPLACEMENT CHARACTER}":
            return letter
        if unicodedata.category(letter) not in _SHAPED and self._drawn(letter):
            return letter
        self.numbered = True
        return f"[U+{ord(letter):04X}]"


def _document() -> tuple[Any, Callable[[str], bool]]:
    try:
        import fontpkg_noto_sans
        from fpdf import FPDF
    except ImportError:
        raise ConfigurationError(
            "reports are written by `fpdf2`, which isn't installed", hint="pip install 'panachain[report]'"
        ) from None

    class Document(FPDF):
        def footer(self) -> None:
            """Write the page's number below it, and of how many."""
            self.set_y(-_MARGIN)
            self.set_font(_FONT, size=_SMALL)
            self.cell(0, 6, f"Page {self.page_no()} of {{nb}}", align="R")

    document: Any = Document(orientation="landscape", unit="mm", format="A4")
    document.set_margin(_MARGIN)
    document.set_auto_page_break(auto=True, margin=_MARGIN + 6)
    # Its default form alone: making others of a variable font takes seconds.
    file = Path(fontpkg_noto_sans.ROOT) / "files" / "NotoSans[wdth,wght].ttf"
    document.add_font(_FONT, "", file)
    known = document.fonts[_FONT].cmap
    return document, lambda letter: ord(letter) in known


def _heading(document: Any, text: str) -> None:
    document.ln(4)
    # Never the last line of a page: with the first rows of its table below it.
    if document.will_page_break(30):
        document.add_page()
    document.set_font(_FONT, size=_HEADING)
    document.multi_cell(0, 7, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _table(document: Any, columns: Sequence[str], widths: Sequence[int], rows: Sequence[Sequence[str]]) -> None:
    from fpdf.fonts import FontFace

    document.set_font(_FONT, size=_SMALL)
    head = FontFace(emphasis=None, fill_color=(225, 230, 236))
    with document.table(
        borders_layout="HORIZONTAL_LINES",
        col_widths=tuple(widths),
        headings_style=head,
        line_height=4,
        padding=0.7,
        text_align="LEFT",
        v_align="TOP",
    ) as table:
        table.row(columns)
        for row in rows:
            table.row([_cut(cell) for cell in row])


def _cut(cell: str) -> str:
    return cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}… ({len(cell) - _LONGEST} more characters)"
