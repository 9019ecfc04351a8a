"""Words: what a text is cut into for a search, the same at every hospital and every reader.

Case, accents and compatibility forms make no difference; letters of any script do. Never looks at a dictionary, a
setting or the language of this machine: two programs must cut a text alike, or a search would find less than there is.
Which words are forms of one another is the reader's to say (records/lexicon.py). Pure. Follows docs/spec/search.md
(Words) and Unicode (UAX 15).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache
from typing import Final

from panachain.plain import few_marks

PREFIX: Final = 3
"""Letters that a word's beginning must have at least to be looked for."""
LONGEST: Final = 64
"""Letters of a word that count: what follows them makes no difference."""

_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_SINGLE: Final = (
    (0x0E00, 0x0EFF),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Scripts without blanks between words: each letter is a word, and what somebody looks for is a phrase of them."""
_MARKS: Final = ((0x0591, 0x08FF), (0x0900, 0x1CFF), (0xA800, 0xABFF))
"""Where marks stand that belong to letters and are none by themselves."""
_KEPT: Final = bytes(
    one if one in b"abcdefghijklmnopqrstuvwxyz0123456789" else one + 32 if one in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" else 32
    for one in range(256)
)
"""By ASCII letter: what is left of it; a blank where it belongs to no word."""
_KEPT_APART: Final = _KEPT.replace(b" ", b"\0", 1)
APART: Final = "\0"
"""What stands between two texts in a list of their words."""


def normalized(text: str) -> str:
    """Return a text without what makes no difference: case, accents, compatibility forms."""
    if text.isascii():
        return text.lower()
    text = few_marks(text)
    # Case is folded before and behind: folding may give what NFKC changes, and the other way round.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", folded)))


def forms_of(text: str) -> list[str]:
    """Return the words of a text in their order, as they are written but for case and accents."""
    # Nearly all texts: the pattern for any script takes many times as long. Without accents it is most of the others.
    plain = text if text.isascii() else normalized(text)
    if plain.isascii():
        return _short(plain.encode().translate(_KEPT).decode().split())
    return _short(_word().findall(plain))


def forms_apart(texts: Collection[str]) -> list[str] | None:
    """Return the words of many texts as one list, with `APART` between two texts; faster than each by itself.

    Args:
        texts: those that aren't of ASCII as `normalized` returns them.

    Returns:
        None where one of them has a letter or sign beyond ASCII: then each is cut by itself.
    """
    joined = f" {APART} ".join(texts)
    if not joined.isascii() or joined.count(APART) != max(len(texts) - 1, 0):
        return None
    return _short(joined.encode().translate(_KEPT_APART).decode().split())


def _short(words: list[str]) -> list[str]:
    if len(max(words, key=len, default="")) > LONGEST:
        return [word[:LONGEST] for word in words]
    return words


@cache
def _word() -> re.Pattern[str]:
    # Marks of Indic, Arabic and Hebrew letters aren't letters to `\w`, and cut words apart.
    marks = "".join(
        re.escape(chr(code))
        for first, last in _MARKS
        for code in range(first, last + 1)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
    single = "".join(f"{chr(first)}-{chr(last)}" for first, last in _SINGLE)
    return re.compile(f"[{single}]|(?:(?![{single}])[^\\W_])(?:(?![{single}])[^\\W_]|[{marks}])*")
