"""Excerpts of C-CDA: what a document holds for an emergency, section by section, so far as nothing in it is closed.

The document itself stays one record as it is (ADR 29). Beside it each section of allergies, medicines, problems and
immunizations becomes a small document of its own, which says of which one it is an excerpt, and bears nobody's
signature. What is sensitive is left out: of a section the entries that are closed or refer to one that is, and then its
narrative, too. Where the header is sensitive, there are no excerpts. Follows CDA R2 and C-CDA R2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO, Final, NamedTuple
from uuid import UUID

from panachain.model.scope import Category
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.xml import DECLARATION, MAX_SIZE, TAG, UTF8, DocumentReader, Section, encoding_of, name_of

MEDIA_TYPE: Final = "application/cda+xml"
_CATEGORIES: Final = {
    "48765-2": Category.ALLERGIES,
    **dict.fromkeys(("10160-0", "10183-2", "42346-7", "29549-3"), Category.MEDICATIONS),
    **dict.fromkeys(("11450-4", "11348-0", "46241-6", "11535-2"), Category.CONDITIONS),
    "11369-6": Category.IMMUNIZATIONS,
}
"""By LOINC code of the section: those that the emergency lane is for (`model/scope.py`)."""
_KEPT: Final = ("code", "effectiveTime", "confidentialityCode", "languageCode", "recordTarget", "author", "custodian")
"""Children of the header that an excerpt repeats, in the schema's order."""
_FIRST: Final = ("realmCode", "typeId")
_BODY: Final = ["ClinicalDocument", "component", "structuredBody", "component", "section"]
_ACTS: Final = frozenset(
    {
        *("act", "observation", "substanceAdministration", "procedure", "encounter", "supply", "organizer"),
        *("observationMedia", "regionOfInterest"),
    }
)
"""Elements whose `id` other entries refer to."""
_MOST_TEXT: Final = 1 << 20
"""Characters of one entry or narrative; a longer one is left out."""


class Excerpt(NamedTuple):
    """A section as a document of its own."""

    category: Category
    name: str
    """Of the section."""
    content: bytes


@dataclass
class _Piece:
    """A child of the header or of a section."""

    name: str
    start: int
    end: int = 0
    found: dict[Finding, None] = field(default_factory=dict)
    size: int = 0
    """Characters of its words."""
    ids: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class _Cut:
    """A section with its children."""

    section: Section
    tags: list[bytes]
    """Of the elements around it, and its own."""
    children: list[_Piece] = field(default_factory=list)


def excerpts(file: BinaryIO, matcher: Matcher | None = None) -> Iterator[Excerpt]:
    """Yield the excerpts of a C-CDA document that `xml.read_document` could read.

    Args:
        file: the document at its beginning, UTF-16 recoded.
        matcher: says what is sensitive; None takes the default profile's.
    """
    content = file.read(MAX_SIZE)
    cutter = _Cutter(content, matcher or matcher_of())
    cutter.feed(content)
    cutter.close()
    if cutter.is_open:
        for number, cut in enumerate(cutter.cuts):
            yield from cutter.excerpt(number, cut)


class _Cutter(DocumentReader):
    # An excerpt repeats names of the header where more people read it than the document.
    names_tell = True

    def __init__(self, content: bytes, matcher: Matcher) -> None:
        super().__init__(matcher, encoding_of(content))
        self._content = content
        self._tags: list[bytes] = []
        self._header: list[_Piece] = []
        self._piece: _Piece | None = None
        self._at = 0
        """How many elements are around the piece."""
        self._around = False
        """Whether something sensitive stands in no piece: in the tags around sections, which every excerpt repeats."""
        self.cuts: list[_Cut] = []

    @property
    def is_open(self) -> bool:
        """Whether nothing in the header, and in the tags around sections, is sensitive."""
        return not self._around and not any(self._is_closed(one) for one in self._header if one.name != "component")

    def excerpt(self, number: int, cut: _Cut) -> Iterator[Excerpt]:
        """Yield the excerpt of a section, if there is anything that it may say."""
        category = _CATEGORIES.get(cut.section.code)
        if category is None:
            return
        told = [one for one in cut.children if one.name not in ("entry", "component", "text")]
        entries = [one for one in cut.children if one.name in ("entry", "component")]
        texts = [one for one in cut.children if one.name == "text"]
        if any(self._is_closed(one) for one in told):
            return
        kept = self._open_entries(entries)
        if len(kept) == len(entries) and not any(self._is_closed(one) for one in texts):
            kept = [*texts, *kept]
        if not kept:
            return
        chosen = sorted((*told, *kept), key=lambda one: one.start)
        inside = b"".join(self._content[one.start : one.end] for one in chosen)
        yield Excerpt(category, cut.section.name, self._document_of(number, cut, inside))

    def _open_entries(self, entries: list[_Piece]) -> list[_Piece]:
        """Return the entries that close nothing, and have no act in common with one that does."""
        closed = [one for one in entries if self._is_closed(one)]
        ids = set[tuple[str, str]]().union(
            *(one.ids for cut in self.cuts for one in cut.children if self._is_closed(one))
        )
        still = [one for one in entries if one not in closed]
        while more := [one for one in still if not one.ids.isdisjoint(ids)]:
            ids.update(*(one.ids for one in more))
            still = [one for one in still if one.ids.isdisjoint(ids)]
        return still

    def _is_closed(self, piece: _Piece) -> bool:
        return piece.size > _MOST_TEXT or bool(piece.found)

    def _document_of(self, number: int, cut: _Cut, inside: bytes) -> bytes:
        prefix = name_of(self._tags[0]).removesuffix(b"ClinicalDocument")
        digest = sha256(self._content + number.to_bytes(4)).digest()
        declared = DECLARATION.match(self._content)
        declaration = b"" if declared is None else declared[0] if encoding_of(self._content) is None else UTF8
        own = b'<%bid root="%b"/>' % (prefix, str(UUID(bytes=digest[:16], version=5)).encode())
        parent = b'<%brelatedDocument typeCode="XFRM"><%bparentDocument>%b</%bparentDocument></%brelatedDocument>' % (
            *(prefix, prefix, self._all("id"), prefix, prefix),
        )
        ends = b"".join(b"</%b>" % name_of(tag) for tag in reversed([self._tags[0], *cut.tags]))
        header = [*map(self._all, _FIRST), own, *map(self._all, _KEPT), parent]
        return b"".join((declaration, self._tags[0], *header, *cut.tags, inside, ends))

    def _all(self, name: str) -> bytes:
        return b"".join(self._content[one.start : one.end] for one in self._header if one.name == name)

    def note(self, found: Iterable[Finding]) -> None:
        """Note what is sensitive, and in which piece."""
        noted = dict.fromkeys(found)
        super().note(noted)
        if self._piece is not None:
            self._piece.found.update(noted)
        elif noted:
            self._around = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        depth = len(self._path)
        if depth < len(_BODY):
            del self._tags[depth:]
            self._tags.append(self._tag_at(at))
        local = name.rpartition(":")[2]
        if depth == 1 and local != "component":
            self._begin(_Piece(local, at), self._header)
        elif self._path == _BODY:
            self._begin(_Piece(local, at), self.cuts[-1].children)
        super()._start(name, attributes)
        if self._path == _BODY:
            self.cuts.append(_Cut(self._sections[-1][0], list(self._tags[1:])))
        if self._piece is not None and local == "id" and self._path[-2] in _ACTS:
            named = attributes.get("root", ""), attributes.get("extension", "")
            if any(named):
                self._piece.ids.add(named)

    def _end(self, name: str) -> None:
        super()._end(name)
        if self._piece is not None and len(self._path) == self._at:
            at = self._parser.CurrentByteIndex
            is_empty = self._tag_at(self._piece.start).endswith(b"/>")
            self._piece.end = at if is_empty else self._content.index(b">", at) + 1
            self._piece = None

    def _begin(self, piece: _Piece, pieces: list[_Piece]) -> None:
        pieces.append(piece)
        self._piece, self._at = piece, len(self._path)

    def _write(self, text: str) -> None:
        if self._piece is not None and not text.isspace():
            self._piece.size += len(text)
        super()._write(text)

    def _tag_at(self, at: int) -> bytes:
        found = TAG.match(self._content, at)
        return found[0] if found is not None else b""
