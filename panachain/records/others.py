"""Others: files that no reader knows, those that lie beside records and are none, and what their text gives away.

Opens no file. Follows FHIR Bulk Data Access 2.0 (export manifest) and IHE ITI TF-2 3.32 (XDM: INDEX.HTM, README.TXT).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import Category
from panachain.records import hl7
from panachain.records.canonical import read
from panachain.records.encodings import as_utf8
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import restricted_category
from panachain.records.sensitivity import Matcher, matcher_of
from panachain.records.texts import findings_in, text_of

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
_XDM: Final = "IHE_XDM"
"""The folder of an XDM archive."""
_STYLES: Final = frozenset({".xsl", ".xslt"})
_STYLE_SHEET: Final = re.compile(
    rb"[^<]*(?:<[?!][^<]*)*<(?:[\w.-]+:)?(?:stylesheet|transform)\s[^>]*http://www\.w3\.org/1999/XSL/Transform"
)
"""A document whose first element is XSLT's."""
_SUBMISSION: Final = re.compile(rb"<(?:[\w.-]+:)?SubmitObjectsRequest[\s>]")
"""How ebXML begins that describes the documents of an XDM archive (IHE ITI TF-3, section 4.2.1)."""
_RECORDS: Final = re.compile(rb"urn:hl7-org:v[23]|http://hl7\.org/fhir")
"""Namespaces of documents that are records."""
_MANIFEST: Final = frozenset({"transactionTime", "request", "output"})
"""Members that a bulk export's manifest must have."""
_MOST_MANIFEST: Final = 1 << 20
"""Bytes of a manifest."""
_REQUEST: Final = re.compile(
    r"(?P<server>https?://.+?)(?:/Patient|/Group/[A-Za-z0-9.-]{1,64})?/\$export(?:\?.*)?", re.DOTALL
)
"""What an export was asked for with."""
_MOST_TEXT: Final = 8 << 20
"""Bytes of a file whose text is looked at; its words take about a second for each million."""
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
    if suffix == ".css" or (suffix in _STYLES and _STYLE_SHEET.match(text)):
        return "a style sheet"
    if name == "metadata.xml" and _RECORDS.search(text) is None:
        place = re.split(r"[/\\!]", str(path).upper())
        if _XDM in place or _SUBMISSION.search(text):
            return "the metadata of an XDM archive"
    if suffix == ".json" and b'"transactionTime"' in text:
        try:
            value, _ = read(text)
        except InputError:
            return ""
        if isinstance(value, dict) and value.keys() >= _MANIFEST and "resourceType" not in value:
            return "the manifest of a bulk export"
    return ""


def server_of(folder: Path) -> str:
    """Return the address of the server that an export is of, by the manifest beside it; empty if it isn't told.

    Args:
        folder: of the export; of a file nothing is told.
    """
    # Imported here: the process that reads beside an upload opens no file, and looks for no server.
    from panachain.private_files import read_regular

    found = set()
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            content = as_utf8(read_regular(path, _MOST_MANIFEST))
        except (OSError, ValueError):
            # No manifest of an export. Whoever reads the files says which of them can't be read.
            continue
        if what_it_is(path, content):
            request = str(read(content)[0]["request"])
            place = _REQUEST.fullmatch(request)
            found.add(place["server"] if place else "")
    return found.pop() if len(found) == 1 else ""


def restricted_text(file: BinaryIO, matcher: Matcher | None = None) -> Category | None:
    """Return the restricted category that a text's words lead to, or None; what isn't text has no words.

    Args:
        file: of any kind, at its beginning.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: it is a text that is too long to look at all of it.
    """
    content = file.read(_MOST_TEXT + 1)
    text = text_of(content)
    if text is None:
        return None
    if len(content) > _MOST_TEXT:
        raise InputError(
            f"a text of more than {_MOST_TEXT} bytes whose kind no reader knows: nobody looks at all of its words",
            hint="name a restricted category, or cut it into parts",
        )
    used = matcher or matcher_of()
    found = findings_in(text, used)
    if _MESSAGE.search(text):
        # Messages after a preface of any kind: their codes say more than their words.
        messages = text.encode()
        found += hl7.findings(messages, hl7.name_of(messages)[2], used)
    return restricted_category(found, RESTRICTED_DEFAULT)
