"""Text as people see it: others' made harmless, in this one place, and numbers with their nouns.

A note, an endpoint, a name or an error text of a service may hold escape sequences, letters that turn the writing
around, letters that nobody sees, other people's line ends, or a novel. Never changes what a program reads: JSON escapes
by itself (`json_line`). Follows the Unicode categories Cc, Cf, Zl, Zp (UAX 44), and OWASP on formulas in CSV.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import re

MOST: Final = 20_000
"""Characters of a piece of talk; what is longer is cut, and says so."""
MOST_OF_LINE: Final = 4_000
"""Characters of what stands on one line."""
MOST_OF_TRACE: Final = 200_000
"""Characters of a traceback."""
_UNSEEN: Final = frozenset(
    # Letters that look like spaces, with which a note could move what follows it under another column's title.
    "\u115f\u1160\u2800\u3164\uffa0"
    # Marks that nobody sees, which make two words differ that look the same.
    "\u034f\u17b4\u17b5"
) | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet takes for a formula; the last four are wide forms of the first."""
MOST_MARKS: Final = 64
"""Marks in a row that count: no writing puts more than a few on a letter, and no word of a search has more letters."""
_JOINER: Final = "\u034f"
"""Combining grapheme joiner: no mark by its class, and whoever takes it away joins what stood on both sides."""
_QUOTED: Final = frozenset(',;"\t\r\n')
"""What ends a cell to some reader of CSV: which separator a spreadsheet takes depends on where its user lives."""


def clean(text: str, *, most: int = MOST) -> str:
    """Return `text` with each control, format and blank character replaced, but for spaces, line ends and tabs.

    Args:
        text: of anybody.
        most: characters that are kept.
    """
    kept = text[:most]
    if not (kept.isascii() and kept.isprintable()):
        kept = "".join(
            c if (c.isprintable() and c not in _UNSEEN) or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in kept
        )
    return kept if len(text) <= most else f"{kept}… ({len(text) - most} more characters)"


def line(text: str) -> str:
    """Return `text` on one line, without control characters."""
    return " ".join(clean(text, most=MOST_OF_LINE).split())


def trace(text: str) -> str:
    """Return a traceback, of which no line can be taken for one of the program's own."""
    return "\n".join(f"| {part}" for part in clean(text, most=MOST_OF_TRACE).splitlines())


def cell(text: str) -> str:
    """Return one cell of CSV that no spreadsheet takes for a formula, quoted where a reader could find another end."""
    # Behind quotes and blanks too, which spreadsheets leave out.
    if text != "-" and text.lstrip(" '\"").startswith(_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) else text


def json_line(value: object, *, indent: int | None = None) -> str:
    """Return JSON without a raw control character, on one line without `indent`."""
    # Imported here: whoever only cleans texts, as each error does, needs none.
    import json

    text = json.dumps(value, ensure_ascii=True, indent=indent, separators=None if indent else (", ", ": "))
    # JSON lets one control character stand as it is.
    return text.replace("\x7f", "\\u007f")


def few_marks(text: str) -> str:
    """Return a text without the marks that follow 64 others in a row, before it is normalised.

    What normalises (UAX 15) puts the marks of a letter in order, one by one: of 64 KB of them in seconds, of a MiB in
    a quarter of an hour. Texts that are written have none of these, and are returned as they are.
    """
    return text if text.isascii() else _marks().sub(lambda run: _first_marks(run[0]), text)


def _first_marks(run: str) -> str:
    # Lines of blanks, dashes or dots: nearly all runs.
    if run.isascii() or not any(map(_marks_in, run)):
        return run
    kept, marked = list[str](), 0
    for sign in run:
        marks = _marks_in(sign)
        marked = marked + marks if marks else 0
        if marked <= MOST_MARKS:
            kept.append(sign)
    return "".join(kept)


def _marks_in(sign: str) -> int:
    """Return how many marks a sign becomes where it is normalised, which may be put in another place there."""
    import unicodedata

    plain = unicodedata.normalize("NFKD", sign)
    return len(plain) if sign == _JOINER or unicodedata.combining(plain[0]) else 0


@cache
def _marks() -> re.Pattern[str]:
    import re

    # No mark is a letter, but for two of Kana in half width; and some are two marks in one.
    return re.compile(rf"[\W\uff9e\uff9f]{{{MOST_MARKS // 2 + 1},}}")


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 record` or `2 policies`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
    return f"{number:,} {plural}"


def were(number: int, noun: str) -> str:
    """Return a number with its noun and verb, such as `1 opening was` or `2 openings were`."""
    return f"{count(number, noun)} {'was' if number == 1 else 'were'}"
