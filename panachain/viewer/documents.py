"""Documents: files that are records, or stand in one, and what each of them shows.

What a file is, is told by its media type and its first bytes; what nobody can show safely can be had as a file. A
body is made when it is asked for. PDF files show their text, read by a bounded process (`records/pdf_text.py`); the
file itself is for whoever asks for it. Follows docs/adr/0039.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import IntegrityError
from panachain.plain import clean, line
from panachain.records import viewer_bundle
from panachain.records.encodings import as_utf8
from panachain.records.pdf_text import text_of_pdf
from panachain.viewer import cda, hl7
from panachain.viewer.apple import Table, read_export
from panachain.viewer.cda import Cda
from panachain.viewer.fhir import Entry, File
from panachain.viewer.hl7 import Message
from panachain.viewer.items import Item, UnreadableError
from panachain.viewer.moments import NEVER, Moment
from panachain.viewer.safe import markup
from panachain.viewer.words import N_

MOST_ROWS: Final = 2_000
_SEPARATORS: Final = ",;\t|"
_MOST_COLUMNS: Final = 60
_MOST_CELL: Final = 2_000
MOST_TEXT: Final = 400_000
"""Characters of a text that are shown."""

KINDS: Final = {
    "pdf": N_("PDF"),
    "cda": N_("Clinical document (C-CDA)"),
    "hl7": N_("Message (HL7 v2)"),
    "dicom": N_("Image (DICOM)"),
    "apple": N_("Apple Health"),
    "csv": N_("Table"),
    "text": N_("Text"),
    "html": N_("Formatted text"),
    "picture": N_("Picture"),
    "viewer": N_("Software that travels with records"),
    "large": N_("A file too large to be shown"),
    "file": N_("File"),
}
"""What kinds are called, to be translated."""
_BY_TYPE: Final = {
    "application/pdf": "pdf",
    "application/cda+xml": "cda",
    "application/hl7-cda+xml": "cda",
    "application/hl7-sda+xml": "cda",
    "application/hl7-v2": "hl7",
    "x-application/hl7-v2+er7": "hl7",
    "application/dicom": "dicom",
    "text/csv": "csv",
    "text/plain": "text",
    "text/markdown": "text",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/json": "text",
    "application/xml": "xml",
    "text/xml": "xml",
    viewer_bundle.MEDIA_TYPE: "viewer",
}
_PICTURES: Final = frozenset(
    {"image/png", "image/jpeg", "image/jpg", "image/gif", "image/bmp", "image/tiff", "image/webp"}
)
SUFFIXES: Final = {"pdf": "pdf", "dicom": "dcm", "text": "txt", "csv": "txt"}
"""Kind → the end of a file's name that no browser runs; others are `bin`."""


@dataclass(frozen=True)
class Document:
    """A file that can be shown or had."""

    key: str
    """`7` for the record of that number, `7-2` for a file in it."""
    kind: str
    """Of `KINDS`."""
    title: str
    """What it is called; empty where it doesn't say so."""
    when: Moment
    media_type: str
    size: int
    source: str
    record: int
    resource: str = ""
    """Type and id of the resource that it stands in; empty for a record of its own."""
    marks: tuple[str, ...] = ()
    read: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)
    file: str = ""
    """Name of the file beside the page; empty where there is none."""
    named: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Gives what an address is called."""

    @property
    def kind_name(self) -> str:
        """What its kind is called, to be translated."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Software:
    """What a viewer bundle says of itself; nobody looked at its signature here."""

    name: str
    version: str
    about: str
    publisher: str
    """What the publisher is called that it names, or their address."""
    files: tuple[str, ...]


@dataclass(frozen=True)
class Body:
    """What a document shows: what its kind has."""

    text: str = ""
    markup: str = ""
    """Safe in a page."""
    cda: Cda | None = None
    message: Message | None = None
    software: Software | None = None
    tables: tuple[Table, ...] = ()
    is_all: bool = True
    """Whether all of it is shown."""
    error: str = ""
    """Why nothing of it is shown."""
    inner: Document | None = None
    """The file that the document is around, and what that shows."""
    inner_body: Body | None = None


def of_record(item: Item) -> Document:
    """Return a record that is a file, without looking into more of it than its beginning."""
    kind = "large" if item.is_too_large else kind_of(item.media_type, item.content[:4096])
    title, when = "", NEVER
    if kind == "hl7":
        title, when = hl7.title_of(item.content)
    elif kind == "cda":
        head = cda.head_of(item.content)
        title, when = head.title, head.when
    elif kind == "viewer":
        title = _software_name(item.content)
    return Document(
        key=str(item.number),
        kind=kind,
        title=title,
        when=when if when.is_known else Moment(str(item.year), None, (item.year,)) if item.year else NEVER,
        media_type=item.media_type,
        size=item.size,
        source=item.source,
        record=item.number,
        read=item.read,
        file=item.file,
        named=item.named,
    )


def of_file(file: File, entry: Entry, item: Item, place: int) -> Document | None:
    """Return a file that stands in a resource; None for one that lies elsewhere, which nobody fetches."""
    if file.is_elsewhere:
        return None
    name = "".join(sign if sign.isalnum() else "-" for sign in entry.resource)[:80]
    return Document(
        key=f"{item.number}-{name}-{place}",
        kind=kind_of(file.media_type, file.content[:4096]),
        title=file.title or entry.title,
        when=entry.when,
        media_type=file.media_type or "application/octet-stream",
        size=len(file.content),
        source=entry.source,
        record=item.number,
        resource=entry.resource,
        marks=entry.marks,
        read=lambda: file.content,
    )


def kind_of(media_type: str, start: bytes) -> str:
    """Return what a file is; its first bytes count where they say something else than its media type."""
    named = media_type.partition(";")[0].strip().lower()
    if start.startswith(b"%PDF-"):
        return "pdf"
    kind = _BY_TYPE.get(named, "")
    if named in _PICTURES:
        return "picture"
    if kind == "pdf":
        return "file"
    if kind in ("xml", "html") or (not kind and as_utf8(start).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml")):
        text = as_utf8(start)
        if b"ClinicalDocument" in text:
            return "cda"
        if b"HealthData" in text:
            return "apple"
        return "html" if kind == "html" else "text"
    return kind or "file"


def body_of(document: Document, depth: int = 0) -> Body:
    """Return what a document shows."""
    try:
        return _body(document, depth)
    except UnreadableError as exc:
        return Body(error=line(str(exc)))
    except Exception as exc:  # noqa: BLE001  # Whatever a hostile file brings about costs that file only.
        return Body(error=type(exc).__name__)


def _body(document: Document, depth: int) -> Body:
    kind = document.kind
    if kind in ("large", "file", "dicom", "picture"):
        return Body()
    content = document.read()
    if kind == "viewer":
        return Body(software=_software(document, content))
    if kind == "pdf":
        found = text_of_pdf(content)
        return Body(text=clean(found.text, most=MOST_TEXT), is_all=found.is_all)
    if kind == "cda":
        return _cda(document, cda.read_cda(content), depth)
    if kind == "hl7":
        message = hl7.read_hl7(content)
        return Body(message=message, is_all=not message.is_cut)
    if kind == "apple":
        tables, is_all = read_export(content)
        return Body(tables=tables, is_all=is_all)
    text = _decoded(content)
    if kind == "html":
        return Body(markup=markup(text))
    if kind == "csv":
        return _table(text)
    return Body(text=clean(text, most=MOST_TEXT), is_all=len(text) <= MOST_TEXT)


def _software(document: Document, content: bytes) -> Software:
    try:
        found = viewer_bundle.read_bundle(content).bundle
    except IntegrityError as exc:
        raise UnreadableError(str(exc)) from exc
    publisher = document.named(found.publisher) or found.publisher
    return Software(line(found.name), line(found.version), line(found.about), publisher, tuple(found.files))


def _software_name(content: bytes) -> str:
    try:
        return line(viewer_bundle.read_bundle(content).bundle.name)
    except IntegrityError:
        return ""


def _cda(document: Document, found: Cda, depth: int) -> Body:
    if not found.file or depth > 2:
        return Body(cda=found)
    content = found.file
    inner = Document(
        key=f"{document.key}-file",
        kind=kind_of(found.file_type, content[:4096]),
        title=found.title,
        when=found.when,
        media_type=found.file_type,
        size=len(content),
        source=document.source,
        record=document.record,
        read=lambda: content,
    )
    return Body(cda=found, inner=inner, inner_body=body_of(inner, depth + 1))


def _table(text: str) -> Body:
    # Of what separates in practice the one that the first line has most of.
    separator = max(_SEPARATORS, key=text[:4096].partition("\n")[0].count)
    rows: list[tuple[str, ...]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            if len(rows) > MOST_ROWS:
                break
            rows.append(tuple(line(cell)[:_MOST_CELL] for cell in row[:_MOST_COLUMNS]))
    except csv.Error:
        return Body(text=clean(text, most=MOST_TEXT))
    if not rows:
        return Body()
    wide = max(len(row) for row in rows)
    filled = [row + ("",) * (wide - len(row)) for row in rows]
    return Body(tables=(Table("", filled[0], tuple(filled[1:])),), is_all=len(rows) <= MOST_ROWS)


def _decoded(content: bytes) -> str:
    text = as_utf8(content).removeprefix(b"\xef\xbb\xbf")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("windows-1252", "replace")
