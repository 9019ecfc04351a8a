"""Others: files that no reader knows, those that lie beside records and are none, and what their text gives away.

Opens no file. Follows FHIR Bulk Data Access 2.0 (export manifest) and IHE ITI TF-2 3.32 (XDM: INDEX.HTM, README.TXT).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import Category
from panachain.records import hl7
from panachain.records.canonical import read
from panachain.records.encodings import as_utf8
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import restricted_category
from panachain.records.sensitivity import Finding, Matcher, matcher_of

CATEGORY_HINT: Final = (
    "name the category that its content belongs to, --category CATEGORY: a restricted one if anything in it is"
    " sensitive"
)
"""What to do with a file whose kind no reader knows."""
_NOTES: Final = frozenset({"readme", "license", "licence", "copying", "changelog", "notice", "index"})
"""Names, without a suffix, of texts about a folder."""
_TEXTS: Final = frozenset({"", ".txt", ".md", ".rst", ".htm", ".html"})
_SYSTEM: Final = frozenset({"thumbs.db", "desktop.ini", "autorun.inf", "ehthumbs.db", "icon\r"})
"""What systems of desktops leave in folders."""
_SUMS: Final = frozenset({".md5", ".sha1", ".sha256", ".sha512"})
_MANIFEST: Final = frozenset({"transactionTime", "request", "output"})
"""Members that a bulk export's manifest must have."""
_MOST_TEXT: Final = 8 << 20
"""Bytes of a file whose text is looked at; its words take about a second for each million."""
_LINE: Final = 2000
"""Characters that are looked at together, at most."""
_OVERLAP: Final = 200
"""Characters that are looked at twice where a line is cut: no word is longer."""
_SIGNS: Final = bytes(sign for sign in range(256) if sign >= 0x20 or sign in b"\t\n\v\f\r\x1b\x1c")
"""Bytes that texts have."""
_CONTROLS: Final = 100
"""One byte in so many may be another one."""
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_MESSAGE: Final = re.compile(r"(?:^|[\r\n\v\x1c])[ \t]*MSH[^\w\s]")


def what_it_is(path: Path, start: bytes) -> str:
    """Return what a file in a folder is that is no record, or an empty text.

    Args:
        path: its name.
        start: its first bytes, all of them where it is small.
    """
    name, suffix = path.name.rpartition("!")[2].lower(), path.suffix.lower()
    if name in _SYSTEM:
        return "a file of the desktop"
    if suffix in _SUMS:
        return "checksums"
    if suffix in _TEXTS and name.removesuffix(suffix) in _NOTES:
        return "a text about the folder"
    text = as_utf8(start)
    if suffix == ".json" and b'"transactionTime"' in text:
        try:
            value, _ = read(text)
        except InputError:
            return ""
        if isinstance(value, dict) and value.keys() >= _MANIFEST and "resourceType" not in value:
            return "the manifest of a bulk export"
    return ""


def restricted_text(file: BinaryIO, matcher: Matcher | None = None) -> Category | None:
    """Return the restricted category that a text's words lead to, or None; what isn't text has no words.

    Args:
        file: of any kind, at its beginning.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: it is a text that is too long to look at all of it.
    """
    content = file.read(_MOST_TEXT + 1)
    text = _text_of(content)
    if text is None:
        return None
    if len(content) > _MOST_TEXT:
        raise InputError(
            f"a text of more than {_MOST_TEXT} bytes whose kind no reader knows: nobody looks at all of its words",
            hint="name a restricted category, or cut it into parts",
        )
    used = matcher or matcher_of()
    found = dict.fromkeys(found_in(text, used))
    if _MESSAGE.search(text):
        # Messages after a preface of any kind: their codes say more than their words.
        messages = text.encode()
        found.update(dict.fromkeys(hl7.findings(messages, hl7.name_of(messages)[2], used)))
    return restricted_category(list(found), RESTRICTED_DEFAULT)


def found_in(text: str, matcher: Matcher) -> Iterator[Finding]:
    """Yield what the words of a text of any length tell."""
    for line in text.splitlines():
        for start in range(0, len(line), _LINE - _OVERLAP):
            yield from matcher.text(line[start : start + _LINE])


def _text_of(content: bytes) -> str | None:
    """Return a text in whichever encoding it seems to be, or None for what is none."""
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
