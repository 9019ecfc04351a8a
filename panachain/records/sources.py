"""Sources: files and folders of health data, read into records.

Decides a file's kind by its bytes first and by its name second; what no reader knows needs `--category`. Never follows
a link out of the folder that was named, never blocks on what isn't a file, never holds more of a file than it must:
kinds that stay one record are left in their file when they are large. What zip and gzip hold are sources of their own
(`archives.py`); text in UTF-16 is read like UTF-8 (`encodings.py`), a record that is the whole file keeps its bytes.
Follows FHIR R4, DICOM PS3.10 section 7.1, HL7 v2.x chapter 2, C-CDA R2.1, PDF 2.0 (ISO 32000-2) and ADR 7.

| kind | told by | records | category, year |
|---|---|---|---|
| FHIR | `{`, `[`, `.json` | `split.py` | of each resource |
| NDJSON | `.ndjson`, `.jsonl` | `split.py` | of each resource |
| HL7 v2 | MSH, FHS, BHS | one for each message | type of message, MSH-7 |
| DICOM | DICM, first element, `.dcm` | one | imaging, StudyDate |
| FHIR in XML | a root in FHIR's namespace | `split.py` | of each resource |
| Apple Health | a root `HealthData` | `apple.py` | of each measurement |
| XML | `<` and C-CDA, `<?xml`, `.xml`, `.cda`, `.ccda` | one, and excerpts (`cda.py`) | documents, effectiveTime |
| PDF | `%PDF-` | one | documents, or what its text, title or name tells (`pdf.py`); undated |
| viewer bundle | `panachain/viewer/1` | one | documents, or `--category`; undated |
| zip, gzip | magic | those of its members | of each member |
| other archives | magic | one | only with a restricted `--category` |
| anything else | | one | only with `--category` |

A file that can't be read is a source whose `records` raise: it stops no other one. `--category` replaces the category
of all but FHIR; a restricted one closes FHIR, too. A document that a code or label makes restricted (`xml.py`,
`hl7.py`), or a text by its words (`others.py`), stays restricted: whoever names a category for a folder hasn't looked
into each of its files.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hashlib import sha256
from pathlib import Path, PurePath
from typing import BinaryIO, Final, NamedTuple, Protocol

from panachain.crypto import labels
from panachain.errors import InputError, IntegrityError
from panachain.ipld import dagcbor
from panachain.model.file_content import NO_COPIES
from panachain.model.records import FileContent, PlainRecord, ReadBefore
from panachain.model.scope import EMERGENCY, RESTRICTED, UNDATED, Category
from panachain.records import apple, archives, cda, classify, dicom, encodings, hl7, pdf, persons, viewer_bundle, xml
from panachain.records.canonical import BLANKS, BOM
from panachain.records.classify import Classified
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import restricted_category
from panachain.records.others import CATEGORY_HINT, restricted_text, what_it_is
from panachain.records.sensitivity import DEFAULT, Matcher, Profile, matcher_of
from panachain.records.split import Look, Piece, split_json, split_lines, split_stream, split_xml
from panachain.records.walk import CHUNK, FoundFile, unpublished, walk

LARGE: Final = 64 << 20
"""Bytes from which on a source is known by where it lies instead of by its bytes (ADR 7)."""
INLINE: Final = 8 << 20
"""Bytes up to which a file that stays one record is held in memory."""
_HELD: Final = 16 << 20
"""Bytes up to which a file that is split is held in memory; a larger one is read again, and in pieces."""
_START: Final = 4096
"""Bytes of a file that tell its kind, from its first sign on."""
_FAR: Final = 1 << 20
"""Bytes of blanks before it, and of XML: comments and style sheets may stand before the element that tells."""
_ARCHIVES: Final = (
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c"),
    *(b"\x04\x22\x4d\x18", b"\x1f\x9d", b"Rar!\x1a\x07", b"PK\x07\x08", b"MSCF\0\0\0\0", b"LZIP", b"\x5d\0\0"),
    *(b"\x89LZO\0\r\n\x1a\n", b"!<arch>\n", b"070701", b"070702", b"070707", b"xar!", b"\xff\x06\0\0sNaPpY"),
)
"""How gzip, zstandard, bzip2, xz, zip, 7z, lz4, compress, RAR, zip in parts, cabinets, lzip, lzma, lzop, ar, cpio, xar
and snappy begin."""
_TAR_BLOCK: Final = 512
_TAR_SUM: Final = slice(148, 156)
_XML_SUFFIXES: Final = (".xml", ".cda", ".ccda")
_OCTETS: Final = "application/octet-stream"


class _Kind(Enum):
    FHIR = auto()
    NDJSON = auto()
    FHIR_XML = auto()
    APPLE = auto()
    HL7 = auto()
    DICOM = auto()
    XML = auto()
    PDF = auto()
    VIEWER = auto()
    ARCHIVE = auto()
    OTHER = auto()


_SPLIT: Final = (_Kind.FHIR, _Kind.NDJSON, _Kind.FHIR_XML, _Kind.APPLE, _Kind.HL7)
"""Kinds that can become several records."""
_MUTE: Final = (_Kind.PDF, _Kind.VIEWER, _Kind.ARCHIVE, _Kind.OTHER)
"""Kinds that say nothing of whom they are about."""
_MOST_NOTES: Final = 1 << 20
"""Bytes of a file that may be no record."""
_WHOLE: Final = 64 << 20
"""Bytes that a record that is a whole member of an archive may have: it is held in memory."""


@dataclass
class _About:
    """What is known of a source, and what reading it told."""

    name: str = ""
    """Of its file; empty if nobody knows it."""
    closed_by: tuple[str, ...] = ()


class Reading(NamedTuple):
    """All that the records of a source follow from which is held as a whole."""

    name: str
    """Of its file."""
    content: bytes
    category: Category | None
    """As `find_sources`."""
    profile: Profile | None
    """Says what is sensitive."""

    def pieces(self, look: Look | None = None) -> tuple[list[Piece], tuple[str, ...]]:
        """Return its records, and what closes the document that it is as a whole; the same ones in any process.

        Args:
            look: as `split.split_json`.

        Raises:
            InputError: as `Source.records`.
        """
        about = _About(self.name)
        matcher = None if self.profile is None else matcher_of(self.profile)
        suffix = PurePath(self.name).suffix.lower()
        return list(_pieces_of_bytes(self.content, suffix, self.category, matcher, about, look)), about.closed_by


class Opened(Protocol):
    """A file that can be opened again and again: one on disk, or a member of an archive."""

    def open(self) -> BinaryIO:
        """Open it at its beginning."""
        ...

    def check_unchanged(self, file: BinaryIO) -> None:
        """Check that it is still what was found.

        Raises:
            InputError: it isn't.
        """
        ...


@dataclass(frozen=True)
class _MemberFile:
    """A member of an archive on disk."""

    member: archives.Member
    archive: FoundFile

    def open(self) -> BinaryIO:
        return self.member.open()

    def check_unchanged(self, file: BinaryIO) -> None:
        self.archive.check_unchanged(file)


@dataclass
class Source:
    """One file of health data."""

    path: Path = field(repr=False)
    """As it was named or found."""
    size: int
    """Bytes; of a member of an archive, unpacked."""
    identity: bytes
    """32 bytes: the SHA-256 of its bytes or, if there are more than LARGE, of where it lies; see ADR 7."""
    _file: Opened = field(repr=False)
    _category: Category | None = field(repr=False)
    _content: bytes | None = field(repr=False)
    _matcher: Matcher | None = field(default=None, repr=False)
    error: InputError | None = None
    """Why it can't be read, if that is known before it is read, without its path; `records` raises it."""
    packed: int | None = None
    """Bytes that a member takes in its archive; None for a file of its own."""
    closed_by: tuple[str, ...] = ()
    """Sections that close the document that it is as a whole; known once its records were read."""
    ahead: Callable[[], Sequence[tuple[Piece, ReadBefore | None]] | None] | None = field(
        default=None, repr=False, compare=False
    )
    """Gives what another process read of it (`reading_ahead.py`), or None: then it is read here."""
    kind: _Kind | None = field(default=None, repr=False)
    """Of its bytes and name, if that was told when it was found."""

    def with_profile(self, profile: Profile) -> Source:
        """Return the same source with another profile that says what is sensitive."""
        return replace(self, _matcher=matcher_of(profile), ahead=None)

    def reading(self) -> Reading | None:
        """Return what its records follow from, if it is held as a whole, so that they can be read elsewhere."""
        if self._content is None or self.error is not None:
            return None
        profile = None if self._matcher is None else self._matcher.profile
        return Reading(self.path.name, self._content, self._category, profile)

    def without_bytes(self) -> Source:
        """Return what names the source, without anything that was read of it: to tell of it later."""
        return replace(self, _content=None, ahead=None, error=None)

    @property
    def on_disk(self) -> int:
        """Bytes of the files that were named which are this source."""
        return self.size if self.packed is None else self.packed

    @property
    def file(self) -> Path:
        """The file that was named or found: its archive's, if it is a member of one."""
        if isinstance(self._file, _MemberFile):
            return self._file.archive.shown
        return self._file.shown if isinstance(self._file, FoundFile) else self.path

    def records(self) -> Iterator[PlainRecord]:
        """Yield the source's records, the same ones in the same order each time.

        Raises:
            InputError: the file can't be read as what it claims to be, or changed since it was found.
        """
        try:
            yield from self._records()
        except InputError as exc:
            raise unpublished(self.path, exc) from None

    def whole(self) -> Iterable[PlainRecord]:
        """Return the source's records once all of them could be read: half of a broken file is nothing.

        Raises:
            InputError: as `records`, without the path.
        """
        if self._content is not None:
            return list(self._records())
        # Most kinds are read to their end before the first record comes: what refers to what is known then.
        self._check_streamed()
        records = self._records()
        first = next(records, None)
        return () if first is None else self._rest(first, records)

    def persons(self) -> list[persons.Person]:
        """Return what identifies whom the source is about, as often as it says so; reads it once more.

        Raises:
            InputError: the file changed since it was found, or can't be opened; without the path.
        """
        if self.error is not None:
            raise self.error
        if self._content is not None and self.kind in _MUTE:
            return []
        with io.BytesIO(self._content) if self._content is not None else self._file.open() as file:
            return persons.read_quietly(_persons_of(*_begun(file, self.path.suffix.lower())))

    def classified(self) -> Iterator[Classified]:
        """Yield what the source holds, resource by resource, each with its category and why; reads it once more.

        Raises:
            InputError: as `records`.
        """
        try:
            if self.error is not None:
                raise self.error
            with io.BytesIO(self._content) if self._content is not None else self._file.open() as file:
                for one in self._explained(file):
                    category = self._settled(one.category)
                    emergency = category in EMERGENCY or (one.emergency and category is one.category)
                    yield replace(one, category=category, emergency=emergency)
                if self._content is None:
                    self._file.check_unchanged(file)
        except InputError as exc:
            raise unpublished(self.path, exc) from None

    def start(self) -> bytes:
        """Return its first bytes, as many as are held or can be read; none of what can't be read."""
        if self.error is not None:
            return b""
        if self._content is not None:
            return self._content[:_MOST_NOTES]
        try:
            with self._file.open() as file:
                return file.read(_START)
        except InputError:
            return b""

    def _check_streamed(self) -> None:
        """Look for what makes kinds unreadable whose records come while they are read: messages, Apple's exports."""
        if self.error is None:
            with self._file.open() as file:
                kind, text = _begun(file, self.path.suffix.lower())
                if kind is _Kind.HL7:
                    hl7.check_messages(text)
                elif kind is _Kind.APPLE:
                    apple.check_export(text)

    def _rest(self, first: PlainRecord, records: Iterator[PlainRecord]) -> Iterator[PlainRecord]:
        try:
            yield first
            yield from records
        except InputError as exc:
            raise unpublished(self.path, exc) from None

    def _records(self) -> Iterator[PlainRecord]:
        if self.error is not None:
            raise self.error
        ahead = None if self.ahead is None or self._content is None else self.ahead()
        found = ahead if ahead is not None else ((piece, None) for piece in self._pieces())
        for part, (piece, known) in enumerate(found):
            category = self._settled(piece.category)
            emergency = piece.emergency and category is piece.category
            yield PlainRecord(
                category, piece.year, piece.media_type, piece.content, self.identity, part, emergency, known
            )
        # Whoever wants them again has the file read again.
        self._content = None

    def _settled(self, category: Category) -> Category:
        """Return where something goes, whoever named its category: what the patient closes stays closed."""
        return category if self._matcher is None else self._matcher.profile.category(category)

    def _explained(self, file: BinaryIO) -> Iterator[Classified]:
        chosen, matcher = self._category, self._matcher or matcher_of()
        kind, file = _begun(file, self.path.suffix.lower())
        if kind in (_Kind.FHIR, _Kind.NDJSON):
            try:
                yield from classify.of_fhir(file, chosen, matcher, lines=kind is _Kind.NDJSON)
            except InputError:
                # JSON that isn't FHIR is welcome with a category, as `_pieces_of_bytes` decides.
                if chosen is None or kind is _Kind.NDJSON:
                    raise
                piece = next(self._pieces())
                yield classify.of_file(piece.media_type, piece.category, piece.year, chosen)
        elif kind is _Kind.FHIR_XML:
            yield from classify.of_fhir(file, chosen, matcher, is_xml=True)
        elif kind is _Kind.APPLE:
            yield from classify.of_export(file, chosen, matcher)
        elif kind is _Kind.HL7:
            yield from classify.of_messages(file, chosen, matcher)
        elif kind is _Kind.XML:
            document = xml.read_document(iter(lambda: file.read(CHUNK), b""), matcher)
            yield classify.of_document(document, _document_category(document, chosen), chosen)
            for one in _excerpts(file, document, chosen, matcher):
                yield classify.of_excerpt(one, document.year)
        else:
            told, is_read = [], False
            if kind is _Kind.PDF:
                told, is_read = pdf.findings(file, self.path.name, matcher), pdf.text_in(file).is_all
            for piece in self._pieces():
                looked = piece.media_type == dicom.MEDIA_TYPE and chosen not in RESTRICTED
                found = dicom.findings(file, matcher) if looked else told
                yield classify.of_file(piece.media_type, piece.category, piece.year, chosen, found, is_read=is_read)

    def _pieces(self) -> Iterator[Piece]:
        about = _About(self.path.name)
        yield from self._pieces_about(about)
        self.closed_by = about.closed_by

    def _pieces_about(self, about: _About) -> Iterator[Piece]:
        suffix = self.path.suffix.lower()
        if self._content is not None:
            yield from _pieces_of_bytes(self._content, suffix, self._category, self._matcher, about)
            return
        with self._file.open() as file:
            kind = _kind_of(_beginning(file), suffix)
            file.seek(0)
            if _is_held(kind, self.size):
                content = file.read(self.size)
                if sha256(content).digest() != self.identity:
                    raise InputError("it changed after it was found")
                yield from _pieces_of_bytes(content, suffix, self._category, self._matcher, about)
            else:
                whole = self._whole(file, kind)
                kind, text = _begun(file, suffix)
                pieces = _pieces_of_file(text, whole, kind, self._category, self._matcher, about)
                try:
                    first = next(pieces, None)
                    # Before anything of it is published, since most of them are read to their end by now.
                    self._file.check_unchanged(file)
                    yield from () if first is None else (first,)
                    yield from pieces
                except InputError:
                    # What was torn by somebody's writing looks like a bad file.
                    self._file.check_unchanged(file)
                    raise
            self._file.check_unchanged(file)

    def _whole(self, file: BinaryIO, kind: _Kind) -> bytes | FileContent:
        """Return what a record that is the whole file holds."""
        if isinstance(self._file, FoundFile):
            return FileContent(self._file.real, self.size)
        if kind in _SPLIT:
            return b""
        if self.size > _WHOLE:
            raise InputError(
                f"one record of more than {_WHOLE} bytes in an archive", hint="unpack it and name the folder"
            )
        content = file.read(self.size)
        file.seek(0)
        return content

    @contextmanager
    def fhir(self) -> Iterator[FhirText | None]:
        """Open its text if it is FHIR in JSON, else give None; checks at the end that it is still what was found.

        Raises:
            InputError: it can't be read, or changed since it was found; without the path.
        """
        if self.error is not None:
            raise self.error
        with self._file.open() as file:
            kind, text = _begun(file, self.path.suffix.lower())
            if kind not in (_Kind.FHIR, _Kind.NDJSON):
                yield None
                return
            in_place = isinstance(self._file, FoundFile) and text is file
            yield FhirText(text, lines=kind is _Kind.NDJSON, in_place=in_place)
            self._file.check_unchanged(file)

    def open(self) -> BinaryIO:
        """Open what it was found in, or its member, once more.

        Raises:
            InputError: it can't be opened, or changed since it was found; without the path.
        """
        return self._file.open()

    def release(self) -> None:
        """Forget its bytes: whoever wants them has the file read again."""
        self._content = None

    @classmethod
    def assembled(
        cls,
        path: Path,
        size: int,
        identity: bytes,
        file: Opened,
        *,
        content: bytes | None = None,
        category: Category | None = None,
        matcher: Matcher | None = None,
    ) -> Source:
        """Return a source that is no file of its own: what several files hold of one person (`exports.py`).

        Args:
            path: what it is called; its suffix tells the kind.
            size: its bytes.
            identity: their SHA-256.
            file: gives them.
            content: themselves, if they are held.
            category: as `find_sources`.
            matcher: says what is sensitive.
        """
        return cls(path, size, identity, file, category, content, matcher)


class FhirText(NamedTuple):
    """The open text of FHIR in JSON."""

    file: BinaryIO
    """At its beginning, in UTF-8."""
    lines: bool
    """Whether it is NDJSON."""
    in_place: bool
    """Whether it is the file itself, on disk: what lies where in it is found again by seeking."""


PassedOver = Callable[[Source, str], None]
"""Is told of a file that is no record, and what it is."""


def find_sources(
    paths: Sequence[Path],
    category: Category | None = None,
    profile: Profile = DEFAULT,
    *,
    passed_over: PassedOver | None = None,
    copies: Mapping[Path, bytes] = NO_COPIES,
) -> Iterator[Source]:
    """Yield files, the files in folders in the order of their names, and those in archives, each as a source.

    Hidden files are left out of folders. A link inside a folder is followed once: what it leads to is one source, also
    when the folder holds it elsewhere.

    Args:
        paths: files and folders.
        category: puts files (not FHIR) into this category, and admits kinds that no reader knows.
        profile: says what is sensitive.
        passed_over: is told what lies beside the records of a folder or archive and is none, such as a README; where a
            category is named, or this is None, that is a source as well.
        copies: the SHA-256 of files that were copied to where they lie, by their paths without links: a large one is
            known by it instead of by its place, so that another copy of the same file is the same source.

    Raises:
        UsageError: there is no such file or folder.
        InputError: something is no file, or a link leads out of its folder.
    """
    matcher = matcher_of(profile)
    for path in paths:
        for file in walk(path):
            for source in _sources(file, category, matcher, copies):
                # What was named itself is meant; so is whatever a category was named for.
                among = source.path != path and category is None and passed_over is not None
                what = what_it_is(source.path, source.start()) if among else ""
                if what and passed_over is not None:
                    passed_over(source, what)
                else:
                    yield source


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
        yield PlainRecord(*piece[:4], source=identity, part=part, emergency=piece.emergency)


def _sources(
    file: FoundFile, category: Category | None, matcher: Matcher, copies: Mapping[Path, bytes]
) -> Iterator[Source]:
    """Yield a file as a source, or the members of an archive."""
    try:
        known = _known(file, copies)
    except InputError as exc:
        yield _unreadable(file, file.shown, exc)
        return
    if known is not None:
        identity, content, kind = known
        yield Source(file.shown, file.found.st_size, identity, file, category, content, matcher, kind=kind)
        return
    suffix = file.shown.suffix.lower()
    name = file.shown.stem + (".tar" if suffix == ".tgz" else "" if suffix == ".gz" else file.shown.suffix)
    for found in archives.members(file.open, file.found.st_size, name, INLINE):
        shown = Path(f"{file.shown}!{found.name}") if found.name else file.shown
        if isinstance(found, archives.Refused):
            yield _unreadable(file, shown, found.error)
        elif not found.size:
            yield _unreadable(file, shown, InputError("it is empty"))
        else:
            at = _MemberFile(found, file)
            yield Source(shown, found.size, found.digest, at, category, found.content, matcher, packed=found.packed)


def _known(file: FoundFile, copies: Mapping[Path, bytes]) -> tuple[bytes, bytes | None, _Kind | None] | None:
    """Return what `_identified` does; None of an archive whose members are sources.

    Raises:
        InputError: it is empty, or can't be read.
    """
    if not file.found.st_size:
        raise InputError("it is empty")
    if file.found.st_size > LARGE:
        with suppress(InputError), file.open() as opened:
            # Whoever reads it says what is wrong with it.
            if _is_opened(opened):
                return None
        return copies.get(file.real) or _large_identity(file), None, None
    with file.open() as opened:
        if _is_opened(opened):
            return None
        opened.seek(0)
        return _identified(file, opened, copies)


def _is_opened(file: BinaryIO) -> bool:
    """Whether a file is an archive whose members are sources."""
    start = file.read(_START)
    if not archives.is_archive(start) or dicom.begins_dicom(start):
        return False
    file.seek(0)
    return not archives.is_document(file)


def _unreadable(file: FoundFile, shown: Path, exc: InputError) -> Source:
    """Return a source of which only is known why it can't be read."""
    identity = sha256(os.fsencode(shown)).digest()
    return Source(shown, 0, identity, file, None, None, error=exc)


def _identified(
    file: FoundFile, opened: BinaryIO, copies: Mapping[Path, bytes]
) -> tuple[bytes, bytes | None, _Kind | None]:
    """Return what identifies a file, its bytes if they are to be held, and its kind.

    Args:
        file: of no more than LARGE bytes.
        opened: the same, at its beginning.
        copies: as `find_sources`.
    """
    size, known = file.found.st_size, copies.get(file.real)
    kind = _kind_of(_beginning(opened), file.shown.suffix.lower())
    opened.seek(0)
    content = opened.read(size) if _is_held(kind, size) else None
    if content is None and known is not None:
        # It was read whole when it was copied.
        return known, None, kind
    identity = sha256(content) if content is not None else sha256()
    while content is None and (chunk := opened.read(CHUNK)):
        identity.update(chunk)
    file.check_unchanged(opened)
    return identity.digest(), content, kind


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


def _beginning(file: BinaryIO) -> bytes:
    """Return as much of a file's beginning as tells its kind; the file is at its beginning."""
    start = file.read(_START)
    text = _text_of(start)
    while len(start) < _FAR and (not text or text.startswith(b"<")) and (more := file.read(_FAR // 4)):
        start += more
        text = _text_of(start)
    return start


def _text_of(start: bytes) -> bytes:
    """Return a file's beginning as UTF-8, from its first sign on."""
    return encodings.as_utf8(start).removeprefix(BOM).lstrip(BLANKS)


def _is_tar(start: bytes) -> bool:
    """Whether a file starts with a header of tar: POSIX.1-1988, or an older one that only its sum tells."""
    head = start[:_TAR_BLOCK]
    told = head[_TAR_SUM].strip(b"\0 ")
    if len(head) < _TAR_BLOCK or not told or not told.isdigit():
        return False
    return told.lstrip(b"0") == b"%o" % (sum(head) - sum(head[_TAR_SUM]) + 8 * 0x20)


def _kind_of(start: bytes, suffix: str) -> _Kind:
    """Return the kind of a file.

    Args:
        start: from `_beginning`.
        suffix: of its name, in lower case with the dot.
    """
    if viewer_bundle.is_bundle(start):
        return _Kind.VIEWER
    if dicom.has_preamble(start):
        return _Kind.DICOM
    if start.startswith(_ARCHIVES) or _is_tar(start):
        return _Kind.ARCHIVE
    text = _text_of(start)
    if suffix in (".ndjson", ".jsonl"):
        return _Kind.NDJSON
    if suffix == ".json" or (text.startswith((b"{", b"[")) and not text.startswith(rb"{\rtf")):
        return _Kind.FHIR
    if dicom.begins_dicom(start) or suffix == ".dcm":
        return _Kind.DICOM
    if start.startswith(b"%PDF-"):
        return _Kind.PDF
    if hl7.begins_hl7(encodings.as_utf8(start)):
        return _Kind.HL7
    namespace, root = xml.root_of(text) if text.startswith(b"<") else ("", "")
    if namespace == xml.FHIR:
        return _Kind.FHIR_XML
    if root == apple.ROOT and not namespace:
        return _Kind.APPLE
    if text.startswith(b"<") and (suffix in _XML_SUFFIXES or text.startswith(b"<?xml") or b"urn:hl7-org:v3" in text):
        return _Kind.XML
    return _Kind.OTHER


def _begun(file: BinaryIO, suffix: str) -> tuple[_Kind, BinaryIO]:
    """Return the kind of an open file, and the file at its beginning, its text in UTF-8 if it is one to be split."""
    file.seek(0)
    start = _beginning(file)
    file.seek(0)
    kind, encoding = _kind_of(start, suffix), encodings.utf16_of(start)
    return kind, encodings.recoded(file, encoding) if kind in _SPLIT and encoding else file


def _pieces_of_bytes(
    content: bytes,
    suffix: str,
    category: Category | None,
    matcher: Matcher | None = None,
    about: _About | None = None,
    look: Look | None = None,
) -> Iterator[Piece]:
    kind, text = _begun(io.BytesIO(content), suffix)
    if kind is _Kind.FHIR:
        recoded = text.read()
        if suffix == ".json" or category is None or b"resourceType" in recoded:
            yield from split_json(recoded, category, matcher, look)
        else:
            yield _json_or_other(recoded, content, category, matcher)
    elif not content:
        raise InputError("it is empty")
    else:
        yield from _pieces_of_file(text, content, kind, category, matcher, about or _About())


def _json_or_other(text: bytes, content: bytes, category: Category, matcher: Matcher | None) -> Piece:
    """Return what begins like JSON, and may be something else, as one record."""
    try:
        return next(split_json(text, category, matcher))
    except InputError:
        return _other_piece(io.BytesIO(content), content, _Kind.OTHER, category, matcher)


def _pieces_of_file(
    file: BinaryIO,
    content: bytes | FileContent,
    kind: _Kind,
    category: Category | None,
    matcher: Matcher | None,
    about: _About,
) -> Iterator[Piece]:
    """Yield the records of an open file.

    Args:
        file: at its beginning.
        content: what a record that is the whole file holds.
        kind: from `_kind_of`.
        category: as `find_sources`.
        matcher: says what is sensitive.
        about: knows its name, and is told what closes it.
    """
    if kind is _Kind.FHIR:
        yield from split_stream(file, category, matcher)
    elif kind is _Kind.NDJSON:
        yield from split_lines(file, category, matcher)
    elif kind is _Kind.FHIR_XML:
        yield from split_xml(file, category, matcher)
    elif kind is _Kind.APPLE:
        yield from apple.split_export(file, category, matcher)
    elif kind is _Kind.HL7:
        yield from hl7.split_messages(file, category, matcher)
    elif kind is _Kind.DICOM:
        yield _dicom_piece(file, content, category, matcher)
    elif kind is _Kind.XML:
        document = xml.read_document(iter(lambda: file.read(CHUNK), b""), matcher)
        about.closed_by = document.closed_by
        yield Piece(_document_category(document, category), document.year, document.media_type, content)
        for one in _excerpts(file, document, category, matcher):
            yield Piece(one.category, document.year, cda.MEDIA_TYPE, one.content)
    elif kind is _Kind.PDF:
        yield Piece(_pdf_category(file, about.name, category, matcher), UNDATED, pdf.MEDIA_TYPE, content)
    elif kind is _Kind.VIEWER:
        yield _viewer_piece(file, content, category)
    else:
        yield _other_piece(file, content, kind, category, matcher, about.name)


def _excerpts(
    file: BinaryIO, document: xml.Document, named: Category | None, matcher: Matcher | None
) -> Iterator[cda.Excerpt]:
    """Yield what a document holds for an emergency; nothing where a category was named, which counts for all of it."""
    if document.media_type == cda.MEDIA_TYPE and document.sections and named is None:
        file.seek(0)
        encoding = encodings.utf16_of(file.read(_START))
        file.seek(0)
        yield from cda.excerpts(encodings.recoded(file, encoding) if encoding else file, matcher)


def _document_category(document: xml.Document, named: Category | None) -> Category:
    """Return where a document goes: a category that was named opens nothing that its content closes."""
    return named if named in RESTRICTED else document.restricted or named or Category.DOCUMENTS


def _pdf_category(file: BinaryIO, name: str, named: Category | None, matcher: Matcher | None) -> Category:
    """Return where a PDF file goes: a category that was named opens nothing that its text, title or name closes."""
    if named in RESTRICTED:
        return named
    found = pdf.findings(file, name, matcher or matcher_of())
    return restricted_category(found, RESTRICTED_DEFAULT) or named or Category.DOCUMENTS


def _dicom_piece(
    file: BinaryIO, content: bytes | FileContent, category: Category | None, matcher: Matcher | None
) -> Piece:
    sure = file.read(132)[128:] == b"DICM"
    file.seek(0)
    try:
        year = dicom.study_year(file)
        found = None
        if category not in RESTRICTED:
            found = restricted_category(dicom.findings(file, matcher), RESTRICTED_DEFAULT)
        return Piece(found or category or Category.IMAGING, year, dicom.MEDIA_TYPE, content)
    except InputError:
        # It only looked like DICOM: with a category it is welcome as whatever it is.
        if sure or category is None:
            raise
        return _other_piece(file, content, _Kind.OTHER, category, matcher)


def _viewer_piece(file: BinaryIO, content: bytes | FileContent, named: Category | None) -> Piece:
    """Return software that travels with records: it holds nobody's data, so it goes where whoever uploads it says."""
    try:
        viewer_bundle.read_bundle(file.read(viewer_bundle.MAX_SIZE + 1))
    except IntegrityError as exc:
        raise InputError(str(exc), hint="ask its publisher for another copy") from exc
    return Piece(named or Category.DOCUMENTS, UNDATED, viewer_bundle.MEDIA_TYPE, content)


def _persons_of(kind: _Kind, file: BinaryIO) -> Iterator[persons.Person]:
    if kind in (_Kind.FHIR, _Kind.NDJSON):
        yield from persons.of_fhir(file, lines=kind is _Kind.NDJSON)
    elif kind is _Kind.FHIR_XML:
        yield from persons.of_fhir_xml(file)
    elif kind is _Kind.APPLE:
        yield from persons.of_export(apple.births(file))
    elif kind is _Kind.HL7:
        yield from persons.of_messages(file)
    elif kind is _Kind.DICOM:
        yield from persons.of_dicom(file)
    elif kind is _Kind.XML:
        yield from persons.of_document(file)


def _other_piece(
    file: BinaryIO,
    content: bytes | FileContent,
    kind: _Kind,
    category: Category | None,
    matcher: Matcher | None = None,
    name: str = "",
) -> Piece:
    # A program that unpacks itself ends like the archive that it is.
    if kind is _Kind.ARCHIVE or (category is not None and zipfile.is_zipfile(file)):
        if category in RESTRICTED:
            return Piece(category, UNDATED, _OCTETS, content)
        # A common category would open whatever is in it to everybody who may read that category.
        raise InputError(
            "this archive isn't opened, and nobody knows how sensitive what it holds is",
            hint="unpack it and name the folder: each file then goes where its content belongs",
        )
    if category is None:
        raise InputError(
            "no reader knows this kind of file (FHIR, NDJSON, DICOM, HL7 v2, C-CDA and PDF are known)",
            hint=CATEGORY_HINT,
        )
    file.seek(0)
    found = None if category in RESTRICTED else restricted_text(file, matcher)
    if found is None and category not in RESTRICTED:
        found = restricted_category(pdf.named(name, matcher or matcher_of()), RESTRICTED_DEFAULT)
    return Piece(found or category, UNDATED, _OCTETS, content)
