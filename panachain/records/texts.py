"""Texts: what the words of a file give away, in whichever encoding it is, or in a PDF.

A file is a text if its bytes look like one, whatever its name or media type says. Looks at all of it, some lines at a
time. Opens no file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html import unescape
from typing import Final

from panachain.records.encodings import as_utf8
from panachain.records.pdf_text import MAGIC, text_of_pdf
from panachain.records.sensitivity import Finding, Matcher

_SIGNS: Final = bytes(sign for sign in range(256) if sign >= 0x20 or sign in b"\t\n\v\f\r\x1b\x1c")
"""Bytes that texts have."""
_CONTROLS: Final = 100
"""One byte in so many may be another one."""
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_TAG: Final = re.compile(r"<[^<>]*>")
_INLINE: Final = re.compile(
    r"</?(?:a|abbr|b|big|code|content|del|em|font|i|ins|mark|s|small|span|strike|strong|sub|sup|tt|u|wbr)(?:\s[^<>]*)?/?>"
    r"|<!--[^<>]*-->",
    re.IGNORECASE,
)
"""Tags that stand inside a word and change how it looks (HTML, section 4.5; CDA R2's `content`), and comments."""


def findings_in(text: str, matcher: Matcher) -> list[Finding]:
    """Return what the words of a text tell, each thing once.

    Args:
        text: of any length; of HTML and XML once with their tags, whose attributes may tell, and once without, since
            a tag may stand inside a phrase; and where tags stand inside of words, once more with these made whole.
        matcher: says what is sensitive.
    """
    found = dict[Finding, None]()
    for reading in _readings(text):
        for line in reading.splitlines():
            found.update(dict.fromkeys(matcher.text(line)))
    return list(found)


def _readings(text: str) -> Iterator[str]:
    yield text
    if "<" in text:
        yield unescape(_TAG.sub(" ", text))
        if (joined := _INLINE.sub("", text)) != text:
            yield unescape(_TAG.sub(" ", joined))


def is_read(content: bytes) -> bool:
    """Tell whether `text_of` gives all words of a file: what is no text has none, and a page of a PDF may be a scan."""
    return text_of_pdf(content).is_all if content.startswith(MAGIC) else text_of(content) is not None


def text_of(content: bytes) -> str | None:
    """Return the text of a file, in whichever encoding it seems to be or in a PDF, or None for what has none."""
    if content.startswith(MAGIC):
        return text_of_pdf(content).text or None
    if content.startswith(_UTF32):
        return content.decode("utf-32", "replace")
    for name, zeros, signs in (("utf-16-le", content[1::2], content[::2]), ("utf-16-be", content[::2], content[1::2])):
        # Most characters of a text in UTF-16 are of Latin-1, whatever its first ones are.
        if zeros.count(0) * 2 > len(zeros) and not signs.count(0):
            return content.decode(name, "replace")
    content = as_utf8(content)
    if len(content.translate(None, _SIGNS)) * _CONTROLS > len(content):
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        # ASCII, which most words are, is the same in it and in every encoding of its kind.
        return content.decode("cp1252", "replace")
