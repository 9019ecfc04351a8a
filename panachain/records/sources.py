"""Sources: files and folders of health data, read into records.

Decides a file's kind by its bytes first and by its name second; what no reader knows needs `--category`. Never follows
a link out of the folder that was named, never unpacks an archive, never blocks on what isn't a file, never holds more
of a file than it must: kinds that stay one record are left in their file when they are large.
Follows FHIR R4, DICOM PS3.10 section 7.1, HL7 v2.x chapter 2, C-CDA R2.1, PDF 2.0 (ISO 32000-2) and ADR 7.

| kind | told by | records | category, year |
|---|---|---|---|
| FHIR | `{`, `[`, `.json` | `split.py` | of each resource |
| NDJSON | `.ndjson`, `.jsonl` | `split.py` | of each resource |
| HL7 v2 | MSH, FHS, BHS | one for each message | type of message, MSH-7 |
| DICOM | DICM, first element, `.dcm` | one | imaging, StudyDate |
| XML | `<` and C-CDA, `<?xml`, `.xml`, `.cda`, `.ccda` | one | documents, effectiveTime |
| PDF | `%PDF-` | one | documents, undated |
| anything else, archives too | | one | only with `--category` |

`--category` replaces the category of all but FHIR; a restricted one closes FHIR, too. A document that a code or label
makes restricted (`xml.py`, `hl7.py`) stays restricted: whoever names a category for a folder hasn't looked into each of
its files.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from panachain.crypto import labels
from panachain.errors import InputError
from panachain.ipld import dagcbor
from panachain.model.records import FileContent, PlainRecord
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records import classify, dicom, hl7, xml
from panachain.records.canonical import BLANKS, BOM
from panachain.records.classify import Classified
from panachain.records.sensitivity import DEFAULT, Matcher, Profile, matcher_of
from panachain.records.split import Piece, split_json, split_lines, split_stream
from panachain.records.walk import CHUNK, FoundFile, unpublished, walk

LARGE: Final = 64 << 20
"""Bytes from which on a source is known by where it lies instead of by its bytes (ADR 7)."""
INLINE: Final = 8 << 20
"""Bytes up to which a file that stays one record is held in memory."""
_HELD: Final = 16 << 20
"""Bytes up to which a file that is split is held in memory; a larger one is read again, and in pieces."""
_START: Final = 4096
"""Bytes of a file that tell its kind."""
_ARCHIVES: Final = (
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c"),
    *(b"\x04\x22\x4d\x18", b"\x1f\x9d", b"Rar!\x1a\x07"),
)
"""How gzip, zstandard, bzip2, xz, zip, 7z, lz4, compress and RAR begin."""
_XML_SUFFIXES: Final = (".xml", ".cda", ".ccda")
_XML_UTF16: Final = (b"\xff\xfe<\0", b"\xfe\xff\0<")
_OCTETS: Final = "application/octet-stream"


class _Kind(Enum):
    FHIR = auto()
    NDJSON = auto()
    HL7 = auto()
    DICOM = auto()
    XML = auto()
    PDF = auto()
    ARCHIVE = auto()
    OTHER = auto()


_SPLIT: Final = (_Kind.FHIR, _Kind.NDJSON, _Kind.HL7)
"""Kinds that can become several records."""


@dataclass
class Source:
    """One file of health data."""

    path: Path = field(repr=False)
    """As it was named or found."""
    size: int
    """Bytes."""
    identity: bytes
    """32 bytes: the SHA-256 of its bytes or, if there are more than LARGE, of where it lies; see ADR 7."""
    _file: FoundFile = field(repr=False)
    _category: Category | None = field(repr=False)
    _content: bytes | None = field(repr=False)
    _matcher: Matcher | None = field(default=None, repr=False)

    def records(self) -> Iterator[PlainRecord]:
        """Yield the source's records, the same ones in the same order each time.

        Raises:
            InputError: the file can't be read as what it claims to be, or changed since it was found.
        """
        try:
            for part, piece in enumerate(self._pieces()):
                yield PlainRecord(*piece, source=self.identity, part=part)
        except InputError as exc:
            raise unpublished(self.path, exc) from None
        # Whoever wants them again has the file read again.
        self._content = None

    def classified(self) -> Iterator[Classified]:
        """Yield what the source holds, resource by resource, each with its category and why; reads it once more.

        Raises:
            InputError: as `records`.
        """
        try:
            with self._file.open() as file:
                kind = _kind_of(file.read(_START), self.path.suffix.lower())
                file.seek(0)
                yield from self._explained(file, kind)
                self._file.check_unchanged(file)
        except InputError as exc:
            raise unpublished(self.path, exc) from None

    def _explained(self, file: BinaryIO, kind: _Kind) -> Iterator[Classified]:
        chosen, matcher = self._category, self._matcher or matcher_of()
        if kind in (_Kind.FHIR, _Kind.NDJSON):
            try:
                yield from classify.of_fhir(file, chosen, matcher, lines=kind is _Kind.NDJSON)
            except InputError:
                # JSON that isn't FHIR is welcome with a category, as `_pieces_of_bytes` decides.
                if chosen is None or kind is _Kind.NDJSON:
                    raise
                piece = next(self._pieces())
                yield classify.of_file(piece.media_type, piece.category, piece.year, chosen)
        elif kind is _Kind.HL7:
            yield from classify.of_messages(file, chosen, matcher)
        elif kind is _Kind.XML:
            document = xml.read_document(iter(lambda: file.read(CHUNK), b""), matcher)
            yield classify.of_document(document, _document_category(document, chosen), chosen)
        else:
            for piece in self._pieces():
                yield classify.of_file(piece.media_type, piece.category, piece.year, chosen)

    def _pieces(self) -> Iterator[Piece]:
        suffix = self.path.suffix.lower()
        if self._content is not None:
            yield from _pieces_of_bytes(self._content, suffix, self._category, self._matcher)
            return
        with self._file.open() as file:
            kind = _kind_of(file.read(_START), suffix)
            file.seek(0)
            if _is_held(kind, self.size):
                content = file.read(self.size)
                if sha256(content).digest() != self.identity:
                    raise InputError("it changed after it was found")
                yield from _pieces_of_bytes(content, suffix, self._category, self._matcher)
            else:
                whole = FileContent(self._file.real, self.size)
                try:
                    yield from _pieces_of_file(file, whole, kind, self._category, self._matcher)
                except InputError:
                    # What was torn by somebody's writing looks like a bad file.
                    self._file.check_unchanged(file)
                    raise
            self._file.check_unchanged(file)


def find_sources(
    paths: Sequence[Path], category: Category | None = None, profile: Profile = DEFAULT
) -> Iterator[Source]:
    """Yield files, and the files in folders in the order of their names, each as a source.

    Hidden files are left out of folders. A link inside a folder is followed once: what it leads to is one source, also
    when the folder holds it elsewhere.

    Args:
        paths: files and folders.
        category: puts files (not FHIR) into this category, and admits kinds that no reader knows.
        profile: says what is sensitive.

    Raises:
        UsageError: there is no such file or folder.
        InputError: a file can't be read, is no file, or a link leads out of its folder.
    """
    for path in paths:
        for file in walk(path):
            yield _source(file, category, matcher_of(profile))


def read_source(path: Path, category: Category | None = None) -> Iterator[PlainRecord]:
    """Yield the records of a file, or of every file in a folder; see `find_sources` and `Source.records`."""
    for source in find_sources([path], category):
        yield from source.records()


def read_bytes(
    content: bytes, suffix: str, category: Category | None = None, source: bytes | None = None
) -> Iterator[PlainRecord]:
    """Yield the records of one file's bytes.

    Args:
        content: the file.
        suffix: of its name, in lower case with the dot; used where the bytes allow several kinds.
        category: as `find_sources`.
        source: what identifies it, 32 bytes; the SHA-256 of its bytes by default.

    Raises:
        InputError: as `Source.records`.
    """
    identity = sha256(content).digest() if source is None else source
    for part, piece in enumerate(_pieces_of_bytes(content, suffix, category)):
        yield PlainRecord(*piece, source=identity, part=part)


def _source(file: FoundFile, category: Category | None, matcher: Matcher) -> Source:
    try:
        identity, content = _identified(file)
    except InputError as exc:
        raise unpublished(file.shown, exc) from None
    return Source(file.shown, file.found.st_size, identity, file, category, content, matcher)


def _identified(file: FoundFile) -> tuple[bytes, bytes | None]:
    """Return what identifies a file, and its bytes if they are to be held."""
    size = file.found.st_size
    if not size:
        raise InputError("it is empty")
    if size > LARGE:
        return _large_identity(file), None
    with file.open() as opened:
        kind = _kind_of(opened.read(_START), file.shown.suffix.lower())
        opened.seek(0)
        content = opened.read(size) if _is_held(kind, size) else None
        identity = sha256(content) if content is not None else sha256()
        while content is None and (chunk := opened.read(CHUNK)):
            identity.update(chunk)
        file.check_unchanged(opened)
    return identity.digest(), content


def _is_held(kind: _Kind, size: int) -> bool:
    """Whether a file is held in memory as a whole."""
    return size <= (_HELD if kind in _SPLIT else INLINE)


def _large_identity(file: FoundFile) -> bytes:
    path, status = os.fsencode(file.real), file.found
    try:
        name: str | bytes = path.decode()
    except UnicodeDecodeError:
        name = path
    where = [name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
    return sha256(labels.LARGE_SOURCE + dagcbor.encode(where)).digest()


def _kind_of(start: bytes, suffix: str) -> _Kind:
    """Return the kind of a file.

    Args:
        start: its first _START bytes.
        suffix: of its name, in lower case with the dot.
    """
    text = start.removeprefix(BOM).lstrip(BLANKS)
    if start.startswith(_ARCHIVES):
        return _Kind.ARCHIVE
    if suffix in (".ndjson", ".jsonl"):
        return _Kind.NDJSON
    if suffix == ".json" or (text.startswith((b"{", b"[")) and not text.startswith(rb"{\rtf")):
        return _Kind.FHIR
    if dicom.begins_dicom(start) or suffix == ".dcm":
        return _Kind.DICOM
    if start.startswith(b"%PDF-"):
        return _Kind.PDF
    if hl7.begins_hl7(start):
        return _Kind.HL7
    if start.startswith(_XML_UTF16) or (
        text.startswith(b"<") and (suffix in _XML_SUFFIXES or text.startswith(b"<?xml") or b"urn:hl7-org:v3" in start)
    ):
        return _Kind.XML
    return _Kind.OTHER


def _pieces_of_bytes(
    content: bytes, suffix: str, category: Category | None, matcher: Matcher | None = None
) -> Iterator[Piece]:
    kind = _kind_of(content[:_START], suffix)
    if kind is _Kind.FHIR:
        if suffix == ".json" or category is None or b"resourceType" in content:
            yield from split_json(content, category, matcher)
        else:
            yield _json_or_other(content, category, matcher)
    elif not content:
        raise InputError("it is empty")
    else:
        yield from _pieces_of_file(io.BytesIO(content), content, kind, category, matcher)


def _json_or_other(content: bytes, category: Category, matcher: Matcher | None) -> Piece:
    """Return what begins like JSON, and may be something else, as one record."""
    try:
        return next(split_json(content, category, matcher))
    except InputError:
        return Piece(category, UNDATED, _OCTETS, content)


def _pieces_of_file(
    file: BinaryIO,
    content: bytes | FileContent,
    kind: _Kind,
    category: Category | None,
    matcher: Matcher | None,
) -> Iterator[Piece]:
    """Yield the records of an open file.

    Args:
        file: at its beginning.
        content: what a record that is the whole file holds.
        kind: from `_kind_of`.
        category: as `find_sources`.
        matcher: says what is sensitive.
    """
    if kind is _Kind.FHIR:
        yield from split_stream(file, category, matcher)
    elif kind is _Kind.NDJSON:
        yield from split_lines(file, category, matcher)
    elif kind is _Kind.HL7:
        yield from hl7.split_messages(file, category, matcher)
    elif kind is _Kind.DICOM:
        yield _dicom_piece(file, content, category)
    elif kind is _Kind.XML:
        document = xml.read_document(iter(lambda: file.read(CHUNK), b""), matcher)
        yield Piece(_document_category(document, category), document.year, document.media_type, content)
    elif kind is _Kind.PDF:
        yield Piece(category or Category.DOCUMENTS, UNDATED, "application/pdf", content)
    else:
        yield _other_piece(content, kind, category)


def _document_category(document: xml.Document, named: Category | None) -> Category:
    """Return where a document goes: a category that was named opens nothing that its content closes."""
    return named if named in RESTRICTED else document.restricted or named or Category.DOCUMENTS


def _dicom_piece(file: BinaryIO, content: bytes | FileContent, category: Category | None) -> Piece:
    sure = file.read(132)[128:] == b"DICM"
    file.seek(0)
    try:
        return Piece(category or Category.IMAGING, dicom.study_year(file), dicom.MEDIA_TYPE, content)
    except InputError:
        # It only looked like DICOM: with a category it is welcome as whatever it is.
        if sure or category is None:
            raise
        return _other_piece(content, _Kind.OTHER, category)


def _other_piece(content: bytes | FileContent, kind: _Kind, category: Category | None) -> Piece:
    if category is not None:
        return Piece(category, UNDATED, _OCTETS, content)
    if kind is _Kind.ARCHIVE:
        raise InputError("archives aren't unpacked", hint="unpack it first, or name a category: --category documents")
    raise InputError(
        "no reader knows this kind of file (FHIR, NDJSON, DICOM, HL7 v2, C-CDA and PDF are known)",
        hint="name its category: --category documents",
    )
