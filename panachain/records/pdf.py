"""PDF: what a file calls itself, in its information, its metadata, its bookmarks and its name, and what its text tells.

For the former it holds one window of the file; the text is read by another process (`pdf_text.py`). Opens no file.
Compressed objects are unpacked within bounds, as information stands in them since PDF 1.5; whatever can't be read tells
nothing. Follows PDF 2.0 (ISO 32000-2, sections 7.3.4, 7.5.7 and 14.3) and XMP (ISO 16684-1).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO, Final

from panachain.records.pdf_text import MOST_BYTES, PdfText, text_of_pdf
from panachain.records.sensitivity import Finding, Matcher
from panachain.records.texts import findings_in

MEDIA_TYPE: Final = "application/pdf"
_WINDOW: Final = 1 << 20
_OVERLAP: Final = 1 << 14
"""Bytes that are looked at twice where the file is cut: no text that counts is longer, and no object's beginning."""
_STREAMS: Final = 256
"""Compressed objects that are unpacked, and bytes of each."""
_UNPACKED: Final = 1 << 20
_MOST_TEXT: Final = 1 << 20
"""Characters of titles that are looked at; their words take about a second."""
_TEXT: Final = re.compile(
    rb"/(?:Title|Subject|Keywords)[\0\t\n\f\r ]*+(?:\(((?:[^\\)]|\\.){0,4096}+)|<([0-9A-Fa-f\s]{0,8192}+)>)", re.DOTALL
)
_METADATA: Final = re.compile(
    rb"<(dc:title|dc:description|dc:subject|pdf:Keywords)\b[^>]{0,200}>(?=(.{0,4096}))"
    rb"|(?:dc:title|dc:description|pdf:Keywords)=[\"']([^\"']{0,4096})[\"']",
    re.DOTALL,
)
_NAMED: Final = re.compile(rb"/(?:ObjStm|Metadata)\b")
_STREAM: Final = re.compile(rb"stream\r?\n")
_FAR: Final = 1000
"""Bytes of an object's dictionary behind its type; another object may begin right behind it."""
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|\r?\n|(.))", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_BETWEEN: Final = re.compile(r"<[^>]*>|[\x00-\x1f]")
_JOINTS: Final = re.compile(r"[_\W]+|(?<=[a-z])(?=[A-Z])")


def findings(file: BinaryIO, name: str, matcher: Matcher) -> list[Finding]:
    """Return what a PDF file's text tells, and the texts by which it calls itself.

    Args:
        file: at its beginning.
        name: of the file, also with the archive that it lies in; empty if nobody knows it.
        matcher: says what is sensitive.
    """
    found = dict.fromkeys(named(name, matcher))
    left = _MOST_TEXT
    for text in titles(file):
        found.update(dict.fromkeys(findings_in(text, matcher)))
        left -= len(text)
        if left < 0:
            break
    found.update(dict.fromkeys(findings_in(text_in(file).text, matcher)))
    return list(found)


def text_in(file: BinaryIO) -> PdfText:
    """Return the text of a PDF file; it is read from its beginning, but for one that is too large."""
    file.seek(0)
    return text_of_pdf(file.read(MOST_BYTES + 1))


def named(name: str, matcher: Matcher) -> list[Finding]:
    """Return what the words of a file's name tell."""
    return findings_in(_JOINTS.sub(" ", PurePath(name.rpartition("!")[2]).stem), matcher)


def titles(file: BinaryIO) -> Iterator[str]:
    """Yield titles, subjects and keywords of a PDF file, and of its bookmarks."""
    kept, streams = b"", 0
    while piece := file.read(_WINDOW):
        text = kept + piece
        yield from _texts(text)
        for begin in _streams(text):
            streams += 1
            if streams > _STREAMS:
                break
            yield from _texts(_unpacked(text[begin:]))
        kept = text[-_OVERLAP:]


def _streams(text: bytes) -> Iterator[int]:
    """Yield where each stream begins that may hold objects or metadata."""
    last = 0
    # Not one pattern: of names that no stream follows it would look at a thousand bytes for each, one by one.
    for found in _NAMED.finditer(text):
        start = found.end()
        at = text.find(b"stream", start, start + _FAR + len(b"stream"))
        begins = _STREAM.match(text, at) if at >= 0 else None
        if begins is not None and start >= last and text.find(b"endobj", start, at) < 0:
            last = begins.end()
            yield last


def _texts(text: bytes) -> Iterator[str]:
    for found in _TEXT.finditer(text):
        yield _decoded(_plain(found[1]) if found[1] is not None else _from_hex(found[2]))
    for found in _METADATA.finditer(text):
        inside = found[3] if found[1] is None else found[2].partition(b"</" + found[1])[0]
        yield _BETWEEN.sub(" ", inside.decode("utf-8", "replace"))


def _plain(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda one: bytes([int(one[1], 8) & 255]) if one[1] else _letter(one[2] or b""), text)


def _letter(letter: bytes) -> bytes:
    return _LETTERS.get(letter, letter)


def _from_hex(digits: bytes) -> bytes:
    kept = b"".join(digits.split())
    return bytes.fromhex((kept + b"0" * (len(kept) % 2)).decode())


def _decoded(text: bytes) -> str:
    if text.startswith(b"\xfe\xff"):
        return text[2:].decode("utf-16-be", "replace")
    # PDFDocEncoding is Latin-1 but for signs that no word has.
    return text.decode("utf-8" if text.startswith(b"\xef\xbb\xbf") else "latin-1", "replace")


def _unpacked(text: bytes) -> bytes:
    """Return the beginning of a stream that zlib packed, as far as it can be unpacked."""
    unpacker, made = zlib.decompressobj(), b""
    try:
        made = unpacker.decompress(text, _UNPACKED)
    except zlib.error:
        # Metadata that isn't packed was looked at as it is; what is packed in another way tells nothing.
        return b""
    return made
