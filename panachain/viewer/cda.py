"""C-CDA: a document's header, and the narrative of its sections, as its own stylesheet would show it, but harmless.

Only the narrative block is shown, which is what its author attested; entries that programs read aren't. The reader
refuses declared entities, follows nothing and is bounded (`records/xml.py`). What it writes is escaped, and goes
through the allow-list once more. Follows CDA R2, sections 4.2 and 4.3.5, and C-CDA R2.1.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from typing import Final

from panachain.errors import InputError
from panachain.plain import clean, line
from panachain.records.xml import MAX_DEPTH, MAX_SIZE, Bounded, encoding_of
from panachain.viewer.items import UnreadableError
from panachain.viewer.moments import NEVER, Moment, hl7_moment
from panachain.viewer.safe import markup

MOST_ROWS: Final = 2_000
"""Rows of the tables of a section that are shown."""
_MOST_SECTION: Final = 400_000
"""Characters of a section's narrative that are shown."""
_SAME: Final = {
    "thead": "thead",
    "tbody": "tbody",
    "tfoot": "tfoot",
    "tr": "tr",
    "table": "table",
    "sub": "sub",
    "sup": "sup",
}
_AS: Final = {
    **_SAME,
    "paragraph": "p",
    "content": "span",
    "item": "li",
    "th": "th",
    "td": "td",
    "footnote": "small",
    "footnoteRef": "sup",
    "linkHtml": "span",
    "br": "br",
}
"""Elements of the narrative block → those of HTML."""
_STYLES: Final = {"bold": "strong", "italics": "em", "underline": "u", "emphasis": "em"}
_NO_MARK: Final = frozenset({"col", "colgroup", "renderMultiMedia"})


@dataclass
class CdaSection:
    """A section with its narrative."""

    title: str = ""
    markup: str = ""
    """Safe in a page."""
    is_cut: bool = False
    """Whether more stands in it than is shown."""
    depth: int = 0
    """How many sections are around it."""
    has_nothing: bool = False
    """Whether the section says that there is no information (`nullFlavor`)."""


@dataclass
class Cda:
    """What a document shows."""

    title: str = ""
    when: Moment = NEVER
    patients: list[str] = field(default_factory=list)
    born: Moment = NEVER
    authors: list[str] = field(default_factory=list)
    custodian: str = ""
    sections: list[CdaSection] = field(default_factory=list)
    file_type: str = ""
    """Media type of the file that the document is, where it has no sections."""
    file: bytes = field(default=b"", repr=False)


def read_cda(content: bytes) -> Cda:
    """Return what a C-CDA document shows.

    Raises:
        UnreadableError: it isn't well formed, declares entities, or is too large or too deep.
    """
    reader = _Reader(encoding_of(content))
    try:
        reader.read(content[: MAX_SIZE + 1])
    except InputError as exc:
        raise UnreadableError(str(exc)) from exc
    return reader.finish()


def head_of(content: bytes) -> Cda:
    """Return what the header of a C-CDA document says; of one that can't be read as much as could be."""
    reader = _Reader(encoding_of(content), only_head=True)
    with suppress(_EnoughError, InputError):
        reader.read(content[:MAX_SIZE])
    return reader.finish()


class _EnoughError(Exception):
    """The header ends here."""


class _Reader(Bounded):
    def __init__(self, encoding: str | None, *, only_head: bool = False) -> None:
        super().__init__(encoding)
        self._only_head = only_head
        self._parser.CharacterDataHandler = self._write
        self._path: list[str] = []
        self._cda = Cda()
        self._words: list[str] = []
        self._names: list[str] = []
        self._open: list[CdaSection] = []
        self._html: list[str] | None = None
        """Of the narrative that is read; None outside of one."""
        self._size = self._rows = 0
        self._ends: list[str] = []
        self._file: list[str] | None = None

    def finish(self) -> Cda:
        for section in self._cda.sections:
            section.markup = markup(section.markup) if section.markup.strip() else ""
        self._cda.authors = list(dict.fromkeys(filter(None, self._cda.authors)))
        self._cda.patients = list(dict.fromkeys(filter(None, self._cda.patients)))
        return self._cda

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise InputError(f"XML nested deeper than {MAX_DEPTH}")
        local = name.rpartition(":")[2]
        self._path.append(local)
        if self._only_head and local == "component":
            raise _EnoughError
        if self._html is not None:
            self._open_mark(local, attributes)
            return
        self._words.clear()
        if local == "section":
            section = CdaSection(depth=len(self._open), has_nothing="nullFlavor" in attributes)
            self._open.append(section)
            self._cda.sections.append(section)
        elif local == "text" and self._path[-2:-1] == ["section"]:
            self._html, self._size, self._rows, self._ends = [], 0, 0, []
        elif local == "text" and self._path[-2:-1] == ["nonXMLBody"]:
            self._cda.file_type = line(attributes.get("mediaType", "text/plain")).lower()[:100]
            self._file = [] if "B64" in attributes.get("representation", "") else None
        elif local == "effectiveTime" and len(self._path) == 2:
            self._cda.when = hl7_moment(attributes.get("value"))
        elif local == "birthTime" and "recordTarget" in self._path:
            self._cda.born = hl7_moment(attributes.get("value"))
        elif local in ("patient", "assignedPerson") and "name" not in self._path:
            self._names.clear()

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        path, depth = self._path, len(self._path)
        if self._html is not None:
            if local == "text" and path[-2:-1] == ["section"]:
                self._open[-1].markup = "".join(self._html)
                self._html = None
            else:
                self._close_mark(local)
            path.pop()
            return
        words = line("".join(self._words))
        if self._file is not None and local == "text":
            self._take_file()
        elif local == "text" and path[-2:-1] == ["nonXMLBody"]:
            self._cda.file = "".join(self._words).encode()
        elif local == "title":
            if depth == 2:
                self._cda.title = words
            elif self._open and path[-2:-1] == ["section"]:
                self._open[-1].title = words
        elif local in ("given", "family", "prefix", "suffix") and words:
            self._names.append(words)
        elif local == "name":
            told = " ".join(filter(None, [*self._names, words]))
            self._take_name(told)
            self._names.clear()
        elif local == "section" and self._open:
            self._open.pop()
        self._words.clear()
        path.pop()

    def _take_name(self, told: str) -> None:
        path = self._path
        if path[-4:-1] == ["recordTarget", "patientRole", "patient"]:
            self._cda.patients.append(told)
        elif path[1:2] == ["author"] and len(path) < 6:
            self._cda.authors.append(told)
        elif path[1:2] == ["custodian"]:
            self._cda.custodian = told

    def _take_file(self) -> None:
        try:
            self._cda.file = b64decode("".join("".join(self._file or ()).split()))
        except (Base64Error, ValueError):
            self._cda.file = b""
        self._file = None

    def _write(self, text: str) -> None:
        if self._html is not None:
            self._put(escape(clean(text, most=len(text))), len(text))
        elif self._file is not None:
            self._file.append(text)
        else:
            self._words.append(text)

    def _put(self, html: str, size: int = 1) -> None:
        self._size += size
        if self._html is not None and self._size <= _MOST_SECTION and self._rows <= MOST_ROWS:
            self._html.append(html)
        elif self._open:
            self._open[-1].is_cut = True

    def _open_mark(self, local: str, attributes: dict[str, str]) -> None:
        inside = self._path[-2]
        if local == "list":
            mark = "ol" if attributes.get("listType") == "ordered" else "ul"
        elif local == "caption":
            mark = "caption" if inside == "table" else "strong"
        elif local == "content":
            styles = attributes.get("styleCode", "").lower().split()
            mark = next((_STYLES[style] for style in styles if style in _STYLES), "span")
        else:
            mark = "" if local in _NO_MARK else _AS.get(local, "span")
        self._rows += local == "tr"
        spans = "".join(
            f' {name}="{escape(attributes[name])}"'
            for name in ("colspan", "rowspan")
            if local in ("td", "th") and name in attributes
        )
        self._put(f"<{mark}{spans}>" if mark else "")
        # An end belongs to its beginning, also where what is between them was cut.
        self._ends.append("" if mark in ("", "br") else f"</{mark}>")

    def _close_mark(self, _local: str) -> None:
        end = self._ends.pop() if self._ends else ""
        if self._html is not None and end and not self._open[-1].is_cut:
            self._html.append(end)
