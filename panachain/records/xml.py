"""XML: a document of C-CDA or any other kind is checked and told apart, and stays one record, byte for byte.

Nothing that a document declares is ever followed: a declared entity, a default of an attribute and a DTD outside of the
document are refused, so nothing can expand or be fetched; what only says which elements there are is harmless. Depth,
size and the size of one tag are bounded. FHIR and Apple Health in XML are cut by `xml_cutter.py`.
Reads bytes that it is given, opens no file. Follows XML 1.0, CDA R2 and C-CDA R2.1.

A document is restricted when an element has a sensitive code (`records/sensitivity`) in its attribute `code` with its
`codeSystem` (CDA) or as elements `system` and `code` (FHIR), when a code of HL7 v3 ActCode is a label, or when a
`confidentialityCode` anywhere in it is R or V. A document of C-CDA stays whole (ADR 29), and names the sections that
close it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from xml.parsers import expat

from panachain.errors import InputError
from panachain.model.scope import UNDATED, Category
from panachain.records.fhir_category import bounded_year
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import file_in, label_findings, restricted_category
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.texts import findings_in, is_read, text_of

MAX_SIZE: Final = 64 << 20
"""Bytes of one document."""
MAX_DEPTH: Final = 200
"""Nesting of elements; C-CDA's deepest official example has 20 levels."""
MAX_ATTRIBUTES: Final = 100_000
"""Attributes of one large tag, counted by their equals signs."""
_LARGE_TAG: Final = 1 << 20
"""Bytes from which a tag's attributes are counted."""
_PIECE: Final = 1 << 16
_LARGEST_PIECE: Final = 1 << 20
_TIMES: Final = (["effectiveTime"], ["effectiveTime", "low"])
"""Where below its root a document says when it is from."""
FHIR: Final = "http://hl7.org/fhir"
"""FHIR's namespace."""
SEPARATOR: Final = "\n"
"""Stands between namespace and name where `Bounded` tells namespaces; expat refuses a namespace that holds it."""
_AFTER_ROOT: Final = expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]
_REFUSED: Final = "XML that declares entities or values of attributes, or names a DTD outside of it, is refused"
_IS_UTF16: Final = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*encoding\s*=\s*["']utf-?16""", re.IGNORECASE)
_TWO_ROOTS: Final = (
    "an XML document has one root element: export it again (Apple Health's export_cda.xml isn't one document; its"
    " export.xml holds the same measurements)"
)
_SECTION: Final = ["ClinicalDocument", "component", "structuredBody", "component", "section"]
"""Where a section begins; sections in it count as part of it."""
_LONGEST_NAME: Final = 80
_SECTIONS: Final = {
    "48765-2": "Allergies",
    "11450-4": "Problem list",
    "10160-0": "Medications",
    "11369-6": "Immunizations",
    "30954-2": "Results",
    "29762-2": "Social history",
    "47519-4": "Procedures",
    "46240-8": "Encounters",
    "8716-3": "Vital signs",
    "10157-6": "Family history",
    "47420-5": "Functional status",
    "18776-5": "Plan of treatment",
    "10190-7": "Mental status",
    "51848-0": "Assessment",
    "11348-0": "Past medical history",
}
"""LOINC codes of sections (C-CDA R2.1), for documents that don't say what they mean."""
_CODING: Final = ("system", "version", "code", "display", "userSelected")
"""Elements of a FHIR Coding."""
_ACT_CODE: Final = "2.16.840.1.113883.5.4"
"""The code system whose codes label how sensitive something is, HL7 v3 ActCode."""


TAG: Final = re.compile(rb"""<[^"'<>]*+(?:(?:"[^"]*+"|'[^']*+')[^"'<>]*+)*+>""")
"""A tag, whatever its attributes hold."""
DECLARATION: Final = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*\?>")
UTF8: Final = b'<?xml version="1.0" encoding="UTF-8"?>'
"""The declaration of a document that was recoded."""
_NAME: Final = re.compile(rb"[^\s/>]+")
_INLINE: Final = frozenset(
    {"content", "sub", "sup", "linkHtml", "footnote", "footnoteRef", "renderMultiMedia", "b", "i"}
)
"""Elements that stand inside a phrase (CDA R2, section 4.3.5)."""
_WHO: Final = frozenset(
    {
        *("given", "family", "prefix", "suffix", "delimiter"),
        *("streetAddressLine", "city", "state", "postalCode", "country", "county"),
    }
)
"""Elements that hold parts of names and addresses."""
_THINGS: Final = frozenset({"manufacturedMaterial", "manufacturedLabeledDrug", "playingEntity"})
"""Elements whose `name` isn't a person's or an organisation's (CDA R2)."""
_WORD: Final = re.compile(r"[^\W\d_]{2}")
_MOST_WORDS: Final = 64 << 20
"""Characters that are looked at together; a file in base64 may have so many."""


@dataclass
class Section:
    """A section of a C-CDA document, with those that stand in it."""

    code: str = ""
    display: str = ""
    findings: tuple[Finding, ...] = ()
    """What of it is sensitive."""

    @property
    def name(self) -> str:
        """Its code, and what that means as far as the document or the table says it."""
        return f"section {self.code} {self.display or _SECTIONS.get(self.code, '')}".strip()[:_LONGEST_NAME]


@dataclass
class Document:
    """What an XML document tells about itself."""

    media_type: str = "application/xml"
    year: int = UNDATED
    restricted: Category | None = None
    """The restricted category that it belongs to, if any."""
    findings: tuple[Finding, ...] = ()
    """Why."""
    sections: tuple[Section, ...] = ()
    """Of a C-CDA document, in their order."""
    is_read: bool = True
    """Whether all files that stand in it are texts, of which the words were looked at."""

    def where(self, finding: Finding) -> tuple[str, ...]:
        """Return the names of the sections that a finding stands in; none for what stands in the header."""
        return tuple(dict.fromkeys(one.name for one in self.sections if finding in one.findings))

    @property
    def closed_by(self) -> tuple[str, ...]:
        """The names of the sections that lead to the category of the whole, if it is restricted."""
        closing = (one for one in self.sections if one.findings and self.restricted is not None)
        return tuple(
            dict.fromkeys(
                one.name
                for one in closing
                if restricted_category(list(one.findings), RESTRICTED_DEFAULT) is self.restricted
            )
        )


def read_document(content: Iterable[bytes], matcher: Matcher | None = None) -> Document:
    """Check an XML document, and return what it tells about itself.

    Args:
        content: its bytes, in pieces of any size.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: it isn't well formed, declares entities or attributes, or is too large or too deep.
    """
    reader = DocumentReader(matcher or matcher_of())
    for piece in content:
        for start in range(0, len(piece), _PIECE):
            reader.feed(piece[start : start + _PIECE])
    return reader.close()


def name_of(tag: bytes) -> bytes:
    """Return the name of the element that a tag begins, with its prefix; empty if it can't be read."""
    found = _NAME.match(tag, 1)
    return found[0] if found is not None else b""


def encoding_of(start: bytes) -> str | None:
    """Return the encoding of a document whose own declaration is wrong, or None where the declaration tells it.

    Args:
        start: the document's first bytes. A text in UTF-16 that was recoded (`encodings.py`) is UTF-8, and still says
            that it is UTF-16.
    """
    return "utf-8" if _IS_UTF16.match(start) else None


def root_of(start: bytes) -> tuple[str, str]:
    """Return namespace and name of a document's root element; two empty texts where its first bytes don't tell.

    Args:
        start: its first bytes, from the first sign on.
    """
    found: list[str] = []

    def stop(name: str, _attributes: dict[str, str]) -> NoReturn:
        found.append(name)
        raise _RootFoundError

    parser = expat.ParserCreate(encoding_of(start), SEPARATOR)
    parser.StartElementHandler = stop
    # What is wrong with a document is told by the reader that splits it.
    with suppress(expat.ExpatError, _RootFoundError, LookupError, ValueError):
        parser.Parse(start, False)
    namespace, _, name = found[0].rpartition(SEPARATOR) if found else ("", "", "")
    return namespace, name


class _RootFoundError(Exception):
    """The root's tag is read; nothing after it is looked at."""


class Bounded:
    """Reads a document of which nothing is followed and everything is bounded; subclasses say what they look at."""

    def __init__(self, encoding: str | None = None, *, namespaces: bool = False, most: int | None = MAX_SIZE) -> None:
        """Begin a document.

        Args:
            encoding: counts instead of the document's own declaration.
            namespaces: whether names come with their namespace, SEPARATOR between them, and no attribute `xmlns`.
            most: bytes that it may have; None for any number.
        """
        self._held = bytearray()
        self._given = 0
        self._signs = 0
        self._most = most
        self._parser = expat.ParserCreate(encoding, SEPARATOR if namespaces else None)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._check_doctype
        self._parser.AttlistDeclHandler = self._check_attribute
        self._parser.EntityDeclHandler = self._refuse
        self._parser.ExternalEntityRefHandler = self._refuse
        self._parser.SkippedEntityHandler = self._refuse

    def feed(self, piece: bytes) -> None:
        """Take some bytes of the document."""
        self._held += piece
        # Expat looks again at all of a tag that hasn't ended: the larger it is, the more it gets at once.
        if len(self._held) >= min(self._waiting(), _LARGEST_PIECE):
            self._parse(final=False)

    def read(self, content: bytes) -> None:
        """Take a whole document that is in memory, and end it."""
        for start in range(0, len(content), _PIECE):
            self.feed(content[start : start + _PIECE])
        self.end()

    def end(self) -> None:
        """End the document."""
        self._parse(final=True)

    def _waiting(self) -> int:
        """Return how many of the bytes that expat has belong to a tag that hasn't ended."""
        return self._given - max(0, self._parser.CurrentByteIndex)

    def _parse(self, *, final: bool) -> None:
        piece = bytes(self._held)
        self._signs = self._signs + piece.count(b"=") if self._waiting() > _LARGE_TAG else 0
        self._given += len(piece)
        self._held.clear()
        if self._signs > MAX_ATTRIBUTES:
            raise InputError(f"XML with more than {MAX_ATTRIBUTES} attributes in one tag")
        if self._most is not None and self._given > self._most:
            raise InputError(f"XML of more than {self._most} bytes")
        self._take(piece)
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as exc:
            if exc.code == _AFTER_ROOT:
                raise InputError(f"not XML: something follows its root element: {exc}", hint=_TWO_ROOTS) from None
            # The message gives line and column, never content.
            raise InputError(f"not XML: {exc}") from None
        except (LookupError, ValueError):
            raise InputError("XML in an encoding that isn't known") from None

    def _take(self, piece: bytes) -> None:
        """See bytes that are about to be parsed."""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def _end(self, name: str) -> None:
        raise NotImplementedError

    def _check_doctype(self, _name: str, system: str | None, public: str | None, _internal: bool) -> None:
        if system is not None or public is not None:
            raise InputError(_REFUSED)

    def _check_attribute(self, _element: str, _name: str, _kind: str, default: str | None, _required: bool) -> None:
        if default is not None:
            raise InputError(_REFUSED)

    def _refuse(self, *_: Any) -> NoReturn:
        raise InputError(_REFUSED)


class DocumentReader(Bounded):
    """Reads what a document tells about itself, in pieces of any size; see `read_document`."""

    names_tell = False
    """Whether parts of names and addresses are looked at, too."""

    def __init__(self, matcher: Matcher, encoding: str | None = None) -> None:
        """Take what says what is sensitive, and the encoding if the document's own declaration is wrong."""
        super().__init__(encoding)
        self._matcher = matcher
        self._document = Document()
        self._path: list[str] = []
        self._found: dict[Finding, None] = {}
        self._coding: dict[str, str] = {}
        self._sections: list[tuple[Section, dict[Finding, None]]] = []
        self._in_section = False
        self._is_file = False
        self._file_at = 0
        """How deep the element stands whose words are a file; 0 outside of one."""
        self._words: list[str] = []
        self._size = 0
        self._parser.CharacterDataHandler = self._write

    def close(self) -> Document:
        """End the document, and return what it told."""
        self.end()
        self._document.findings = tuple(self._found)
        for section, found in self._sections:
            section.findings = tuple(found)
        self._document.sections = tuple(section for section, _ in self._sections)
        self._document.restricted = restricted_category(list(self._found), RESTRICTED_DEFAULT)
        return self._document

    def _write(self, text: str) -> None:
        self._words.append(text)
        self._size += len(text)
        if self._size > _MOST_WORDS:
            self._read_words()

    def _read_words(self) -> None:
        """Note what the words since the last element that begins something new tell, but for who somebody is."""
        if not self._words:
            return
        text = "".join(self._words)
        self._words.clear()
        self._size = 0
        if self._is_file:
            content = file_in(text)
            self._document.is_read = self._document.is_read and is_read(content)
            text = text_of(content) or ""
        if _WORD.search(text) and (self.names_tell or not self._is_who()):
            self.note(findings_in(text, self._matcher))

    def _is_who(self) -> bool:
        name = self._path[-1]
        return name in _WHO or (name == "name" and _THINGS.isdisjoint(self._path[-2:-1]))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise InputError(f"XML nested deeper than {MAX_DEPTH}")
        if name.rpartition(":")[2] not in _INLINE:
            self._read_words()
        if not self._file_at and attributes.get("representation", "").upper() == "B64":
            self._file_at = len(self._path) + 1
        self._is_file = self._file_at > 0
        self._path.append(name.rpartition(":")[2])
        if len(self._path) == 1:
            self._document.media_type = _media_type(self._path[0], attributes)
        elif self._path[1:] in _TIMES and self._document.year == UNDATED:
            self._document.year = _year(attributes.get("value", ""))
        elif self._path == _SECTION:
            self._sections.append((Section(), {}))
            self._in_section = True
        elif self._in_section and self._path[5:] == ["code"]:
            self._sections[-1][0].code = attributes.get("code", "")
            self._sections[-1][0].display = attributes.get("displayName", "")
        self._look(attributes)

    def _end(self, name: str) -> None:
        if name.rpartition(":")[2] not in _INLINE:
            self._read_words()
        if len(self._path) <= self._file_at:
            self._file_at = 0
        self._is_file = self._file_at > 0
        if self._path == _SECTION:
            self._in_section = False
        ended = self._path.pop()
        if self._coding and ended not in _CODING:
            # A FHIR Coding ends: its system, code and display stood in elements of their own.
            system, code, display = (self._coding.get(one, "") for one in ("system", "code", "display"))
            self._note(system, code, display)
            if ended == "security":
                self.note(label_findings(system, code))
            self._coding = {}

    def _look(self, attributes: dict[str, str]) -> None:
        """Note sensitive codes and labels of one element."""
        name = self._path[-1]
        if name in _CODING and "value" in attributes and "code" not in attributes:
            self._coding[name] = attributes["value"]
        elif name == "text" and "value" in attributes:
            self._note("", "", attributes["value"])
        if "code" in attributes:
            system = attributes.get("codeSystem", "")
            self._note(system, attributes["code"], attributes.get("displayName", ""))
            if name == "confidentialityCode" or system == _ACT_CODE:
                self.note(label_findings(system, attributes["code"], strict=False))
        elif "displayName" in attributes:
            self._note("", "", attributes["displayName"])

    def _note(self, system: str, code: str, display: str) -> None:
        self.note(self._matcher.look(system, code, display))

    def note(self, found: Iterable[Finding]) -> None:
        """Note what is sensitive where the reader is."""
        noted = dict.fromkeys(found)
        self._found.update(noted)
        if self._in_section:
            self._sections[-1][1].update(noted)


def _media_type(root: str, attributes: dict[str, str]) -> str:
    if FHIR in attributes.values():
        return "application/fhir+xml"
    is_cda = root == "ClinicalDocument" and "urn:hl7-org:v3" in attributes.values()
    return "application/cda+xml" if is_cda else "application/xml"


def _year(time: str) -> int:
    digits = time[:4]
    return bounded_year(int(digits)) if len(digits) == 4 and digits.isascii() and digits.isdigit() else UNDATED
