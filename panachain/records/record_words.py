"""Which words a record has: its codes, displays, free texts, medicines, numbers and the text of its documents.

Reads what `split.py` publishes: Bundles of FHIR entry by entry, HL7 v2, C-CDA, FHIR and Apple Health in XML, PDF,
plain texts, and the header of DICOM. Of an image it reads nothing. Never fails: what can't be read has no words, and
whoever searches is told how many such records there are. Opens no file but the record's own. Follows
docs/spec/search.md (What is found).
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from typing import Any, Final

from panachain.errors import InputError, PanaChainError
from panachain.model.records import STATEMENT, FileContent, PlainRecord
from panachain.records import canonical, dicom
from panachain.records.fhir_sensitivity import _TEXTS as TEXTS
from panachain.records.sensitivity.systems import canonical_system
from panachain.records.split import MEDIA_TYPE
from panachain.records.texts import text_of
from panachain.records.versions import Bundle
from panachain.records.words import forms_of, normalized

MOST_BYTES: Final = 16 << 20
"""Bytes of a record that is read for its words; a larger one has none."""
MOST_WORDS: Final = 200_000
"""Words, each counted once for each entry that has it, of one record; one with more has none."""
_LONGEST_CODE: Final = 128
_MOST_NAMES: Final = 16
"""Codings of a number, and names of these, that count."""
LONGEST_UNIT: Final = 40
"""Letters of a unit that are kept."""
_NAMES: Final = frozenset({"family", "given", "prefix", "suffix", "city"})
"""Further members with words that somebody may look for."""
_FILES: Final = frozenset({"data", "content"})
_QUANTITY: Final = ("valueQuantity", "valueInteger", "valueDecimal")
NUMBER: Final = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})(?:[eE][+-]?\d{1,2})?")
_TAG: Final = re.compile(r"<[^<>]*>")
_INSIDE: Final = r"""(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+"""
"""What stands within a tag of XML: a value may have the sign that else ends it."""
_XML_TAG: Final = re.compile(rf"<([\w:.-]++)({_INSIDE})>")
_XML_MARK: Final = re.compile(rf"<{_INSIDE}>")
_ATTRIBUTE: Final = re.compile(r"""(?<![\w:.-])([\w:.-]++)\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)')""")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?![A-Za-z0-9])")
"""The first part of a tag, RFC 5646, section 2.2.1."""
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HL7_ESCAPE: Final = re.compile(r"\\[^\\\r\n]{0,20}\\")
_SEGMENTS_OF_PERSONS: Final = frozenset({"MSH", "FHS", "BHS"})


@dataclass
class Value:
    """A number that somebody measured."""

    place: int
    """Of the entry in the record."""
    number: str
    """As it is written, a decimal number."""
    unit: str
    """As it is written; empty if there is none."""


@dataclass
class RecordWords:
    """The words of one record."""

    places: dict[str, list[tuple[int, list[int]]]] = field(default_factory=dict)
    """By the word as it is written, but for case and accents: the entries that have it, in order, each with its
    positions among that entry's words. Words of different texts never have positions beside each other."""
    values: dict[str, list[Value]] = field(default_factory=dict)
    """By code."""
    called: dict[str, set[str]] = field(default_factory=dict)
    """By a word as it is written: the codes of `values` whose names have it."""
    languages: set[str] = field(default_factory=set)
    """Which languages the record says it is written in: the first part of a tag of BCP 47."""


class _Entry:
    """What one entry says."""

    def __init__(self) -> None:
        self.texts: dict[str, None] = {}
        self.values: list[tuple[str, str, str, tuple[str, ...]]] = []
        self.languages: set[str] = set()

    def written_in(self, tag: str) -> None:
        """Note that it says in which language it is written, by a tag of BCP 47 such as `de-AT`."""
        if found := _LANGUAGE.match(tag.strip()):
            self.languages.add(found[0].lower())


def words_of(record: PlainRecord, bundle: Bundle | None = None) -> RecordWords | None:
    """Return the words of a record, or None where none can be read.

    Args:
        record: as it is published.
        bundle: its entries, if they are known.
    """
    if record.media_type == STATEMENT:
        return RecordWords()
    try:
        if record.media_type == dicom.MEDIA_TYPE:
            return _collected([_dicom_entry(record.content)])
        if record.size > MOST_BYTES:
            return None
        content = record.content
        if isinstance(content, FileContent):
            content = content.path.read_bytes()
        entries = _entries(content, record.media_type, bundle)
        return None if entries is None else _collected(entries)
    except (PanaChainError, OSError, ValueError, RecursionError):
        # It is published all the same: sealing it needs none of this.
        return None


def _entries(content: bytes, media_type: str, bundle: Bundle | None) -> Iterable[_Entry] | None:
    if media_type == MEDIA_TYPE:
        texts = [entry.text for entry in bundle.entries] if bundle is not None else [content]
        return map(_fhir_entry, texts)
    text = text_of(content)
    if text is None:
        return None
    if media_type == "application/hl7-v2":
        return [_hl7_entry(text)]
    if "xml" in media_type or text.lstrip().startswith("<"):
        return [_xml_entry(text)]
    entry = _Entry()
    entry.texts[text] = None
    return [entry]


def _collected(entries: Iterable[_Entry]) -> RecordWords | None:
    found, count = RecordWords(), 0
    for place, entry in enumerate(entries):
        positions: dict[str, list[int]] = defaultdict(list)
        at = 0
        for text in entry.texts:
            for one in _cut(text):
                positions[one].append(at)
                at += 1
            # No phrase goes from one text into another.
            at += 1
        # Each name of a number is cut for each of its codes.
        count += at + sum(1 + len(names) for *_, names in entry.values)
        _check_count(count)
        for one, where in positions.items():
            found.places.setdefault(one, []).append((place, where))
        for code, number, unit, names in entry.values:
            found.values.setdefault(code, []).append(Value(place, number, unit))
            for name in (*names, code):
                for one in _cut(name):
                    codes = found.called.setdefault(one, set())
                    if code not in codes:
                        codes.add(code)
                        # Long names of many codes would be a product.
                        count += 1
            _check_count(count)
        found.languages |= entry.languages
    return found


def _check_count(count: int) -> None:
    if count > MOST_WORDS:
        raise InputError(f"more than {MOST_WORDS:,} words")


def _cut(text: str) -> tuple[str, ...]:
    # Short texts come again and again, such as names of codes; long ones would fill the memory.
    return _cut_short(text) if len(text) <= 256 else tuple(forms_of(text))


@lru_cache(maxsize=1 << 15)
def _cut_short(text: str) -> tuple[str, ...]:
    return tuple(forms_of(text))


def coded(system: str, code: str) -> str:
    """Return a code with its system as a text of words: `loinc 2345-7`, so that it is found as a phrase.

    Args:
        system: by whichever name; one that isn't known is left out.
        code: in it.
    """
    return f"{canonical_system(system)} {code}"


def value_code(code: str) -> str:
    """Return how the numbers under a code are looked for."""
    return normalized(code)[:_LONGEST_CODE]


def _fhir_entry(text: bytes) -> _Entry:
    entry = _Entry()
    _walk(canonical.literal(text), "", entry)
    return entry


def _walk(node: Any, name: str, entry: _Entry) -> None:
    if isinstance(node, dict):
        _of_object(node, entry)
        for key, value in node.items():
            if type(value) is str:
                _string(key, value, node, entry)
            elif isinstance(value, (dict, list)):
                _walk(value, key, entry)
    elif isinstance(node, list):
        for value in node:
            if type(value) is str:
                if name in TEXTS or name in _NAMES:
                    _add(value, entry)
            elif isinstance(value, (dict, list)):
                _walk(value, name, entry)


def _string(key: str, value: str, node: dict[str, Any], entry: _Entry) -> None:
    if key == "div":
        for part in _TAG.split(value):
            _add(unescape(part), entry)
    elif key in TEXTS or key in _NAMES:
        _add(value, entry)
    elif key == "language" and "resourceType" in node:
        entry.written_in(value)
    elif key == "code" and ("system" in node or "display" in node) and len(value) <= _LONGEST_CODE:
        _add(coded(_text(node.get("system")), value), entry)


def _of_object(node: dict[str, Any], entry: _Entry) -> None:
    for member in _QUANTITY:
        if member in node and isinstance(node.get("code"), dict):
            value = node[member]
            quantity = value if isinstance(value, dict) else {"value": value}
            _number(node["code"], quantity, entry)
            return


def _number(concept: dict[str, Any], quantity: dict[str, Any], entry: _Entry) -> None:
    number = _plain_number(quantity.get("value"))
    codings = [one for one in _list(concept.get("coding")) if isinstance(one, dict)][:_MOST_NAMES]
    names = (_text(concept.get("text")), *(_text(one.get("display")) for one in codings))
    if number is None:
        return
    unit = _text(quantity.get("unit")) or _text(quantity.get("code"))
    for one in codings or [{"code": _text(concept.get("text"))}]:
        code = value_code(_text(one.get("code")))
        if code:
            entry.values.append((code, number, unit[:LONGEST_UNIT], tuple(name for name in names if name)))


def _plain_number(value: Any) -> str | None:
    # Decimals come from `canonical.literal` as they are written, behind a mark.
    text = str(value).lstrip("\0") if not isinstance(value, bool) and value is not None else ""
    return text if NUMBER.fullmatch(text) else None


def _add(text: str, entry: _Entry) -> None:
    if text and not text.isspace():
        entry.texts[text] = None


def _xml_entry(text: str) -> _Entry:
    """Return the words of XML: what stands between tags, names of codes, and what somebody wrote into attributes."""
    entry = _Entry()
    code, names = "", tuple[str, ...]()
    text = _uncommented(text)
    for tag, inside in _XML_TAG.findall(text):
        name = tag.rpartition(":")[2]
        said = {key.rpartition(":")[2]: unescape(one or other) for key, one, other in _ATTRIBUTE.findall(inside)}
        shown = said.get("displayName", "")
        _add(shown, entry)
        if name in ("languageCode", "language"):
            # C-CDA, and a resource of FHIR.
            entry.written_in(said.get("code", "") or said.get("value", ""))
        if name in TEXTS or name in _NAMES:
            _add(said.get("value", ""), entry)
        if name == "code" and "value" in said:
            # FHIR: the code of a coding; its system stands in an element of its own.
            code, names = said["value"], ()
            _add(code, entry)
        elif name == "display" and "value" in said:
            names = (*names, said["value"])[:_MOST_NAMES]
        elif said.get("code") and ("codeSystem" in said or shown):
            _add(coded(said.get("codeSystem", ""), said["code"]), entry)
            if name == "code":
                code, names = said["code"], (shown,)
        elif said.get("type", "").startswith("HK"):
            code = said["type"]
            spoken = _CAMEL.sub(" ", code)
            names = (spoken,)
            _add(spoken, entry)
        number = _plain_number(said.get("value"))
        if number is not None and code and (name == "value" or said.get("type", "").startswith("HK")):
            unit = said.get("unit", "")[:LONGEST_UNIT]
            entry.values.append((value_code(code), number, unit, tuple(one for one in names if one)))
    for part in _XML_MARK.split(text):
        _add(unescape(part), entry)
    return entry


def _uncommented(text: str) -> str:
    """Return XML without its comments; what follows one that doesn't end is none."""
    kept, at = [], 0
    while (begin := text.find("<!--", at)) >= 0:
        kept.append(text[at:begin])
        end = text.find("-->", begin + 4)
        if end < 0:
            return " ".join(kept)
        at = end + 3
    return " ".join((*kept, text[at:]))


def _hl7_entry(text: str) -> _Entry:
    """Return the words of a message of HL7 v2: of each component, and the numbers of OBX."""
    entry = _Entry()
    field, signs = "|", "^~\\&"
    for line in re.split(r"[\r\n\x0b\x1c]+", text.lstrip("\ufeff")):
        head = line[:3]
        if head in _SEGMENTS_OF_PERSONS and len(line) > 8:
            field, signs = line[3], line[4:8]
            # MSH-19, the message's principal language; MSH-1 is the separator itself.
            entry.written_in("".join(line.split(field)[18:19]).partition(signs[0])[0])
            continue
        fields = line.split(field)
        split = re.compile(f"[{re.escape(signs[0] + signs[1] + signs[3:4])}]")
        for one in fields[1:]:
            parts = [_HL7_ESCAPE.sub(" ", part) for part in split.split(one)]
            for part in parts:
                _add(part, entry)
            if len(parts) >= 3 and parts[0] and canonical_system(parts[2]):
                _add(coded(parts[2], parts[0]), entry)
        if head == "OBX" and len(fields) > 5 and fields[2] in ("NM", "SN"):
            named = split.split(fields[3])
            number = _plain_number(split.split(fields[5])[-1].strip())
            if number is not None and named[0]:
                unit = split.split(fields[6])[0] if len(fields) > 6 else ""
                entry.values.append(
                    (value_code(named[0]), number, unit[:LONGEST_UNIT], tuple(one for one in named[1:2] if one))
                )
    return entry


def _dicom_entry(content: bytes | FileContent) -> _Entry:
    """Return the words of an object of DICOM, of whatever size: its image isn't read."""
    entry = _Entry()
    with content.path.open("rb") if isinstance(content, FileContent) else io.BytesIO(content) as file:
        for system, text in dicom.texts(file):
            if system:
                _add(coded(system, text[:_LONGEST_CODE]), entry)
            elif text.startswith("<"):
                # A clinical document that the object holds.
                held = _xml_entry(text)
                entry.texts |= held.texts
                entry.values += held.values
            else:
                _add(text, entry)
    return entry


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else ()
