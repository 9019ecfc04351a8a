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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from itertools import repeat
from typing import Any, Final

from panachain.errors import InputError, PanaChainError
from panachain.model.records import STATEMENT, FileContent, PlainRecord
from panachain.records import canonical, dicom
from panachain.records.canonical import Members, typed
from panachain.records.fhir_sensitivity import _TEXTS as TEXTS
from panachain.records.sensitivity.systems import canonical_system
from panachain.records.split import MEDIA_TYPE
from panachain.records.texts import text_of
from panachain.records.versions import Bundle
from panachain.records.words import APART, forms_apart, forms_of, normalized

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
_QUANTITY: Final = ("valueQuantity", "valueInteger", "valueDecimal")
_SPOKEN: Final = TEXTS | _NAMES
"""Members of FHIR whose strings are words."""
_SHORT: Final = 256
"""Letters of a text that is remembered: names of codes come again and again, and long texts would fill the memory."""
_ABSENT: Final = "\0"
"""What a member is that isn't there: no text of FHIR has this sign."""
_RUN: Final = 4
"""Components from which on they are walked together."""
NUMBER: Final = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})(?:[eE][+-]?\d{1,2})?")
_FEW: Final = 16
"""More letters than a number's whole part may have."""
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


@dataclass(slots=True)
class Value:
    """A number that somebody measured."""

    place: int
    """Of the entry in the record."""
    number: str
    """As it is written, a decimal number."""
    unit: str
    """As it is written; empty if there is none."""


_Measured = tuple[str, str, str, tuple[str, ...]]
"""A number: its code, itself and its unit as `Value` has them, and what the code is called."""
PLACE: Final = MOST_WORDS.bit_length()
"""Bits of a position in an entry; above them stands the entry's place."""


@dataclass
class RecordWords:
    """The words of one record."""

    places: dict[str, list[int]] = field(default_factory=dict)
    """By the word as it is written, but for case and accents: where it stands, in order, each the place of an entry
    and the position among that entry's words, `place << PLACE | position`: one number is made and kept in a fraction
    of what a pair takes. Words of different texts never have positions beside each other."""
    values: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    """By code: the place of the entry, the number and its unit, as in `Value`."""
    called: dict[str, Collection[str]] = field(default_factory=dict)
    """By a word as it is written: the codes of `values` whose names have it, each once."""
    languages: set[str] = field(default_factory=set)
    """Which languages the record says it is written in: the first part of a tag of BCP 47."""


class _Coding(Members):
    """A Coding of FHIR."""

    system: str
    code: str
    display: str = ""


class _Concept(Members):
    """A CodeableConcept of FHIR."""

    coding: list[_Coding]
    text: str = ""


class _Quantity(Members):
    """A Quantity of FHIR."""

    value: int | str
    unit: str = ""
    system: str = _ABSENT
    code: str = _ABSENT


class _Component(Members):
    """A component of an Observation that is a number and nothing else, as most are."""

    code: _Concept
    valueQuantity: _Quantity  # noqa: N815  # FHIR's name.


class EntryWords:
    """What one entry of a record says, before it is cut into words."""

    __slots__ = ("languages", "texts", "values")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.texts: dict[str, None] = {}
        self.values: list[_Measured] = []
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


def _entries(content: bytes, media_type: str, bundle: Bundle | None) -> Iterable[EntryWords] | None:
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
    entry = EntryWords()
    entry.texts[text] = None
    return [entry]


def _collected(entries: Iterable[EntryWords]) -> RecordWords:
    places: dict[str, list[int]] = defaultdict(list)
    values: dict[str, list[tuple[int, str, str]]] = {}
    named: set[tuple[str, tuple[str, ...]]] = set()
    languages: set[str] = set()
    count = 0
    for place, entry in enumerate(entries):
        words = _words_apart(entry.texts)
        count += len(words) + bool(entry.texts) + len(entry.values)
        _check_count(count)
        for at, one in enumerate(words, place << PLACE):
            places[one].append(at)
        if entry.values:
            codes, numbers, units, names = zip(*entry.values, strict=True)
            for text in ("".join(codes), "".join(units)):
                if not text.isascii():
                    # Half of a surrogate is no text, and fails here rather than in the upload.
                    text.encode()
            for code, measured in zip(codes, zip(repeat(place), numbers, units), strict=False):
                if code in values:
                    values[code].append(measured)
                else:
                    values[code] = [measured]
            if any(names):
                # Each name of a number is cut for each of its codes.
                count += sum(map(len, names))
                named.update(pair for pair in zip(codes, names, strict=True) if pair[1])
                _check_count(count)
        languages |= entry.languages
    # No phrase goes from one text into another: what stands between two of them is no word.
    places.pop(APART, None)
    return RecordWords(dict(places), values, _called(values, named, count), languages)


def _called(
    codes: Collection[str], named: Iterable[tuple[str, tuple[str, ...]]], count: int
) -> dict[str, Collection[str]]:
    """Return by what words codes are called: those of their names, and their own.

    Args:
        codes: of the record's numbers.
        named: codes with their names.
        count: words that the record has without these.
    """
    by_names: dict[str, set[str]] = defaultdict(set)
    for code, names in named:
        for name in names:
            for one in _cut(name):
                mine = by_names[one]
                if code not in mine:
                    mine.add(code)
                    # Long names of many codes would be a product.
                    count += 1
        _check_count(count)
    called: dict[str, Any] = {}
    # Most words have one code, and a list of one is made in half of the time of a set.
    rest = iter(codes)
    code = next(rest, "")
    for one in _words_apart(codes):
        if one == APART:
            code = next(rest)
        elif one in by_names:
            count += code not in by_names[one]
            by_names[one].add(code)
        elif one not in called:
            called[one] = [code]
            count += 1
        elif called[one][-1] is not code:
            called[one].append(code)
            count += 1
    _check_count(count)
    return called | by_names


def _check_count(count: int) -> None:
    if count > MOST_WORDS:
        raise InputError(f"more than {MOST_WORDS:,} words")


def _words_apart(texts: Collection[str]) -> list[str]:
    """Return the words of an entry's texts at their positions, with one that is none between two texts."""
    words = forms_apart(texts)
    if words is None:
        words = forms_apart([_plain(text) for text in texts])
    if words is None:
        words = [word for text in texts for word in (*_cut(text), APART)][:-1]
    return words


def _plain(text: str) -> str:
    """Return a text so that it is cut alike, in ASCII if it can be."""
    if text.isascii():
        return text
    return _plain_short(text) if len(text) <= _SHORT else normalized(text)


@lru_cache(maxsize=1 << 12)
def _plain_short(text: str) -> str:
    return normalized(text)


def _cut(text: str) -> tuple[str, ...]:
    return _cut_short(text) if len(text) <= _SHORT else tuple(forms_of(text))


@lru_cache(maxsize=1 << 14)
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
    code = code.lower() if code.isascii() else normalized(code)
    return code if len(code) <= _LONGEST_CODE else code[:_LONGEST_CODE]


def entry_words(value: Any) -> EntryWords | None:
    """Return what an entry of FHIR says, or None where that can't be read.

    Args:
        value: what `canonical.literal` returns of it.
    """
    try:
        return _entry_of(value)
    except (PanaChainError, ValueError, RecursionError):
        return None


def words_of_entries(entries: Sequence[EntryWords | None], size: int) -> RecordWords | None:
    """Return the words of a record of FHIR, as `words_of` does.

    Args:
        entries: what `entry_words` returned of its entries, in their order.
        size: bytes of the record.
    """
    if size > MOST_BYTES:
        return None
    known = [one for one in entries if one is not None]
    try:
        return _collected(known) if len(known) == len(entries) else None
    except (PanaChainError, ValueError):
        return None


def _fhir_entry(text: bytes) -> EntryWords:
    return _entry_of(canonical.literal(text))


def _entry_of(value: Any) -> EntryWords:
    entry = EntryWords()
    if type(value) is dict:
        _walk(value, entry, entry.texts)
    elif type(value) is list:
        _walk_list(value, "", entry, entry.texts)
    return entry


def _walk(node: dict[str, Any], entry: EntryWords, texts: dict[str, None]) -> None:
    # For each object of each resource: as few calls as can be. The types are the very ones that a decoder makes.
    concept = node.get("code")
    if type(concept) is dict:
        for member in _QUANTITY:
            if member in node:
                value = node[member]
                _number(concept, value if type(value) is dict else {"value": value}, entry.values)
                break
    for key, value in node.items():
        kind = type(value)
        if kind is str:
            if key in _SPOKEN:
                if key == "div":
                    for part in _TAG.split(value):
                        _add(unescape(part), entry)
                elif value and not value.isspace():
                    texts[value] = None
            elif key == "code":
                if len(value) <= _LONGEST_CODE and ("system" in node or "display" in node):
                    said = coded(_text(node.get("system")), value)
                    if not said.isspace():
                        texts[said] = None
            elif key == "language" and "resourceType" in node:
                entry.written_in(value)
        elif kind is dict:
            _walk(value, entry, texts)
        elif kind is list:
            _walk_list(value, key, entry, texts)


def _walk_list(node: list[Any], name: str, entry: EntryWords, texts: dict[str, None]) -> None:
    if name == "component" and len(node) >= _RUN and _walk_measured(node, entry, texts):
        return
    for value in node:
        kind = type(value)
        if kind is dict:
            _walk(value, entry, texts)
        elif kind is str:
            if name in _SPOKEN:
                _add(value, entry)
        elif kind is list:
            _walk_list(value, name, entry, texts)


def _walk_measured(nodes: list[Any], entry: EntryWords, texts: dict[str, None]) -> bool:
    """Walk a list of objects that are nothing but coded quantities: by far the most of what long lists have.

    Returns:
        Whether they are; else nothing is noted, and each is walked by itself.
    """
    measured = typed(nodes, _Component)
    if measured is None:
        return False
    said: list[str] = []
    values: list[_Measured] = []
    system = name = ""
    for component in measured:
        concept, quantity = component.code, component.valueQuantity
        number = _plain_number(quantity.value)
        unit = quantity.unit or quantity.code.removeprefix(_ABSENT)
        if len(unit) > LONGEST_UNIT:
            unit = unit[:LONGEST_UNIT]
        if len(concept.coding) != 1:
            return False
        (coding,) = concept.coding
        code = coding.code
        if len(code) > _LONGEST_CODE:
            return False
        if coding.system != system:
            # Nearly always that of the one before.
            system = coding.system
            name = canonical_system(system)
        said.append(f"{name} {code}")
        names: tuple[str, ...] = ()
        if coding.display:
            names = (coding.display,)
            said.append(coding.display)
        if concept.text:
            names = (concept.text, *names)
            said.append(concept.text)
        if _ABSENT not in (quantity.code, quantity.system):
            if len(quantity.code) > _LONGEST_CODE:
                return False
            said.append(coded(quantity.system, quantity.code))
        if number is not None and (code := value_code(code)):
            values.append((code, number, unit, names))
    if len(said) > len(nodes) and not all(map(_is_in_order, nodes)):
        # Texts count in the order in which they stand.
        return False
    if "" in said or any(map(str.isspace, said)):
        said = [one for one in said if one and not one.isspace()]
    texts.update(dict.fromkeys(said))
    entry.values += values
    return True


def _is_in_order(node: dict[str, Any]) -> bool:
    """Tell whether the texts of a coded quantity stand in the order in which `_walk_measured` takes them."""
    concept = node["code"]
    coding = [*concept["coding"][0]]
    named = "display" not in coding or coding.index("code") < coding.index("display")
    return next(iter(node)) == "code" and next(iter(concept)) == "coding" and named


def _number(concept: dict[str, Any], quantity: dict[str, Any], values: list[_Measured]) -> None:
    number = _plain_number(quantity.get("value"))
    if number is None:
        return
    said, given = concept.get("text"), concept.get("coding")
    names: tuple[str, ...] = (said,) if type(said) is str and said else ()
    codes, left = [], _MOST_NAMES
    for one in given if type(given) is list else ():
        if type(one) is dict:
            shown, code = one.get("display"), one.get("code")
            if type(shown) is str and shown:
                names += (shown,)
            if type(code) is str:
                codes.append(code)
            left -= 1
            if not left:
                break
    if left == _MOST_NAMES and names:
        # Without a coding, its name is what it is looked for by.
        codes.extend(names)
    unit = quantity.get("unit")
    if type(unit) is not str or not unit:
        unit = _text(quantity.get("code"))
    if len(unit) > LONGEST_UNIT:
        unit = unit[:LONGEST_UNIT]
    for code in codes:
        if code := value_code(code):
            values.append((code, number, unit, names))


def _plain_number(value: Any) -> str | None:
    # Decimals come from `canonical.literal` as they are written, behind a mark.
    if type(value) is str:
        text = value.lstrip("\0")
    elif value is None or type(value) is bool:
        return None
    else:
        text = str(value)
    return text if is_number(text) else None


def is_number(text: str) -> bool:
    """Tell whether a text is a decimal number as it may stand in a list."""
    # Nearly all, and five times as fast: few digits, with a point between them or none.
    if len(text) < _FEW and text[-1:] != "." and text.isascii() and text.replace(".", "", 1).isdigit():
        return True
    return NUMBER.fullmatch(text) is not None


def _add(text: str, entry: EntryWords) -> None:
    if text and not text.isspace():
        entry.texts[text] = None


def _xml_entry(text: str) -> EntryWords:
    """Return the words of XML: what stands between tags, names of codes, and what somebody wrote into attributes."""
    entry = EntryWords()
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


def _hl7_entry(text: str) -> EntryWords:
    """Return the words of a message of HL7 v2: of each component, and the numbers of OBX."""
    entry = EntryWords()
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


def _dicom_entry(content: bytes | FileContent) -> EntryWords:
    """Return the words of an object of DICOM, of whatever size: its image isn't read."""
    entry = EntryWords()
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
