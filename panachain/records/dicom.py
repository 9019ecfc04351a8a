"""DICOM: an object is told from other files and dated by its header; its pixels are never read.

Reads the header only, up to the image; of a deflated data set only the beginning is unpacked. What is sensitive is told
by its descriptions, comments, codes with their meanings, the text of a structured report, a document that it holds, and
by labels of confidentiality. It is no general reader: it can't be made to recurse, to hold more than one text at once,
or to log a value.
Opens no file. Follows DICOM PS3.5 section 7, PS3.6, PS3.10 section 7.1; PS3.3 sections C.17 and C.24.2.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import UNDATED
from panachain.records.fhir_category import bounded_year
from panachain.records.fhir_sensitivity import UNKNOWN_LABEL, label_findings
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.texts import findings_in, text_of

MEDIA_TYPE: Final = "application/dicom"
MAX_ELEMENTS: Final = 100_000
"""Elements that are looked at, in sequences too; what isn't known by then stays unknown."""

_PREAMBLE: Final = 128
_PREFIX: Final = b"DICM"
_CLASS_OF_FILE: Final = 0x0002_0002
_TRANSFER_SYNTAX: Final = 0x0002_0010
_STUDY_DATE: Final = 0x0008_0020
_ROWS: Final = 0x0028_0010
CHARACTER_SET: Final = 0x0008_0005
PATIENT_NAME: Final = 0x0010_0010
PATIENT_ID: Final = 0x0010_0020
PATIENT_ISSUER: Final = 0x0010_0021
PATIENT_BIRTH: Final = 0x0010_0030
_TELLING: Final = frozenset(
    {_CLASS_OF_FILE, 0x0004_1220, 0x0008_0016, _STUDY_DATE, 0x0008_0060, PATIENT_NAME, PATIENT_ID, _ROWS}
)
"""SOP classes, directory, date, modality, patient, rows: what has none of them is no DICOM object (PS3.3 annex C)."""
_ITEM: Final = 0xFFFE_E000
_ENDS: Final = (0xFFFE_E00D, 0xFFFE_E0DD)
"""Item delimitation, sequence delimitation."""
_UNDEFINED: Final = 0xFFFF_FFFF
"""Length of what ends with a delimitation."""
_LONG: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Value representations whose length has four bytes, PS3.5 table 7.1-1."""
_LONGEST: Final = 64
"""Bytes of a value that is looked at: a UID has no more."""

_VALUES: Final = (
    *(b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SS", b"US", b"SL", b"UL", b"SV", b"UV", b"FL", b"FD", b"AT"),
    *(b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"PN", b"TM", b"UI", b"UR"),
)
"""Those of numbers, dates, identifiers, fixed words and names of persons, which aren't looked at."""
_CODES: Final = {
    0x0008_0100: "code",
    0x0008_0119: "code",
    0x0008_0120: "code",
    0x0008_0102: "system",
    0x0008_0104: "name",
}
"""Code value in its three lengths, the scheme that it is of, and its meaning."""
_LABELLED: Final = frozenset({0x0040_1008, 0x0040_3001})
"""Confidentiality Code, and Confidentiality Constraint on Patient Data Description."""
_OPEN_LABELS: Final = frozenset({"", "N", "NORMAL", "U", "L", "M", "NO", "NONE"})
_PERSON: Final = frozenset(
    {
        *(PATIENT_NAME, PATIENT_ID, PATIENT_ISSUER, 0x0010_1000, 0x0010_1001, 0x0010_1005, 0x0010_1040, 0x0010_1060),
        *(0x0010_2154, 0x0008_0090, 0x0008_1048, 0x0008_1050, 0x0008_1060, 0x0008_1070, 0x0040_A123),
    }
)
"""Who somebody is: names, identifiers, address, telephone; physicians, operators and whom a report names."""
_DOCUMENT: Final = 0x0042_0011
"""Encapsulated Document."""
_SYSTEM: Final = 0x0008_0102
_READ: Final = frozenset(
    {
        # Modality, institution, department; study, series, diagnoses on admission, derivation.
        *(0x0008_0060, 0x0008_0080, 0x0008_1040, 0x0008_1030, 0x0008_103E, 0x0008_1080, 0x0008_2111),
        # Alerts, allergies, occupation, history and comments of the patient.
        *(0x0010_2000, 0x0010_2110, 0x0010_2180, 0x0010_21B0, 0x0010_4000),
        # Contrast agent, body part, protocol, comments of the image.
        *(0x0018_0010, 0x0018_0015, 0x0018_1030, 0x0020_4000),
        # Why something was asked for, what, and what was said of it and done.
        *(0x0032_1030, 0x0032_1060, 0x0032_4000, 0x0040_0007, 0x0040_0254, 0x0040_0280),
        *(0x0040_1002, 0x0040_1400, 0x0040_2400),
        # The text of a structured report; meanings of codes; titles and descriptions of documents and content.
        *(0x0040_A160, 0x0008_0104, 0x0042_0010, 0x0070_0080, 0x0070_0081),
        # Radiotherapy: comment of a dose, structure sets, regions, plans, beams.
        *(0x3004_0006, 0x3006_0002, 0x3006_0004, 0x3006_0006, 0x3006_0026, 0x3006_0028),
        *(0x300A_0002, 0x300A_0003, 0x300A_0004, 0x300A_00C2),
        # What was read in an image, and what is thought of it.
        *(0x4008_010B, 0x4008_0115, 0x4008_0300),
    }
)
"""Attributes that a person reads, PS3.6: none that names somebody."""
_ENCODINGS: Final = {
    **dict.fromkeys(("ISO_IR 100", "ISO 2022 IR 100"), "iso8859_1"),
    **dict.fromkeys(("ISO_IR 101", "ISO 2022 IR 101"), "iso8859_2"),
    **dict.fromkeys(("ISO_IR 109", "ISO 2022 IR 109"), "iso8859_3"),
    **dict.fromkeys(("ISO_IR 110", "ISO 2022 IR 110"), "iso8859_4"),
    **dict.fromkeys(("ISO_IR 144", "ISO 2022 IR 144"), "iso8859_5"),
    **dict.fromkeys(("ISO_IR 127", "ISO 2022 IR 127"), "iso8859_6"),
    **dict.fromkeys(("ISO_IR 126", "ISO 2022 IR 126"), "iso8859_7"),
    **dict.fromkeys(("ISO_IR 138", "ISO 2022 IR 138"), "iso8859_8"),
    **dict.fromkeys(("ISO_IR 148", "ISO 2022 IR 148"), "iso8859_9"),
    **dict.fromkeys(("ISO_IR 203", "ISO 2022 IR 203"), "iso8859_15"),
    **dict.fromkeys(("ISO_IR 13", "ISO 2022 IR 13"), "shift_jis"),
    **dict.fromkeys(("ISO_IR 166", "ISO 2022 IR 166"), "tis_620"),
    **dict.fromkeys(("ISO 2022 IR 87", "ISO 2022 IR 159"), "iso2022_jp_2"),
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
"""Specific Character Set, PS3.3 section C.12.1.1.2, as Python calls them."""
_TO_G1: Final = (b"\x1b$)C", b"\x1b$)A", b"\x1b(B")
"""Escapes to sets that the encodings above have in their upper half, and back to ASCII."""
_ESCAPE: Final = re.compile(r"\x1b[ -/]+[0-~]")
"""How a text changes to another set of characters (ISO/IEC 2022), also inside a word: nobody sees it."""
_PIXELS: Final = 0x7FE0_0000
_AFTER_PIXELS: Final = 0x7FE1_0000
_MOST_TEXT: Final = 8 << 20
"""Bytes of one text, or one document, that are looked at."""
_MOST_TEXTS: Final = 16 << 20
"""Bytes of all texts of an object that are read for its words."""

_IMPLICIT: Final = b"1.2.840.10008.1.2"
_BIG_ENDIAN: Final = b"1.2.840.10008.1.2.2"
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_MOST_INFLATED: Final = 16 << 20
"""Bytes of a deflated data set that are looked at."""
_CHUNK: Final = 1 << 16


def has_preamble(start: bytes) -> bool:
    """Whether a file starts with a preamble of any content, `DICM`, and an element of the file meta information."""
    after = start[_PREAMBLE + 4 : _PREAMBLE + 6]
    return start[_PREAMBLE : _PREAMBLE + 4] == _PREFIX and (after == b"\x02\x00" or not _begins_element(start))


def begins_dicom(start: bytes) -> bool:
    """Whether a file that starts like this is DICOM: a preamble, or elements of the first groups right away."""
    return has_preamble(start) or _begins_element(start)


def _begins_element(start: bytes) -> bool:
    if len(start) < 8:
        return False
    if start[:3] == b"\x00\x08\x00":
        return _is_vr(start[4:6])
    if start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] != 0:
        return False
    # An element without a VR has its length here: a group's length or a character set is short.
    return _is_vr(start[4:6]) or int.from_bytes(start[4:8], "little") <= _LONGEST


def deflated_at(file: BinaryIO) -> int | None:
    """Return where the deflated data set of an object begins (PS3.5 annex A.5); None where it isn't deflated."""
    file.seek(0)
    file.seek(_PREAMBLE + 4 if has_preamble(file.read(_PREAMBLE + 6)) else 0)
    syntax = dict(_Reader(file, explicit=True).elements(last=0x0002_FFFF)).get(_TRANSFER_SYNTAX, b"")
    return file.tell() if syntax.rstrip(b"\0 ") == _DEFLATED else None


def study_year(file: BinaryIO) -> int:
    """Return the year of the study that an object belongs to, or UNDATED.

    Args:
        file: at its beginning.

    Raises:
        InputError: it is no DICOM object: it lacks every attribute that tells what it is.
    """
    found = _header(file, last=_ROWS)
    if _TELLING.isdisjoint(found):
        raise InputError("not a DICOM file: it has none of the attributes that tell what it is")
    digits = found.get(_STUDY_DATE, b"")[:4]
    return bounded_year(int(digits)) if len(digits) == 4 and digits.isdigit() else UNDATED


def patient(file: BinaryIO) -> dict[int, bytes]:
    """Return the elements of an object up to the patient's birth date, each value of up to 64 bytes."""
    file.seek(0)
    return _header(file, last=PATIENT_BIRTH)


def findings(file: BinaryIO, matcher: Matcher | None = None) -> list[Finding]:
    """Return what an object tells that is sensitive, as far as its header and its text say it.

    Args:
        file: of any kind; read from its beginning.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: its data set is damaged, or has a text of more than 8 MiB.
    """
    used = matcher or matcher_of()
    file.seek(0)
    file.seek(_PREAMBLE + 4 if has_preamble(file.read(_PREAMBLE + 6)) else 0)
    syntax = dict(_Reader(file, explicit=True).elements(last=0x0002_FFFF)).get(_TRANSFER_SYNTAX, b"")
    found: dict[Finding, None] = {}
    coded: dict[str, str] = {}
    for tag, value in _data_set(file, syntax.rstrip(b"\0 ")).texts():
        text = _ESCAPE.sub("\u200b", text_of(value) or "").strip("\0 ")
        if tag in _CODES:
            # The code comes first, then its scheme and its meaning, as far as they are there.
            coded = {_CODES[tag]: text} if _CODES[tag] == "code" else coded | {_CODES[tag]: text}
            found |= dict.fromkeys(used.look(coded.get("system", ""), coded.get("code", ""), coded.get("name", "")))
        elif tag in _LABELLED:
            if text.upper() not in _OPEN_LABELS:
                found |= dict.fromkeys([*label_findings("", text), *_unknown(text)])
        elif tag not in _PERSON:
            found |= dict.fromkeys(findings_in(text, used))
    return list(found)


def texts(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield what a person reads in an object: each text or document with an empty system, each code with its system.

    Args:
        file: of any kind; read from its beginning, and no further than to the image.

    Raises:
        InputError: its data set is damaged, one text has more than 8 MiB, or all of them have more than 16 MiB.
    """
    file.seek(0)
    file.seek(_PREAMBLE + 4 if has_preamble(file.read(_PREAMBLE + 6)) else 0)
    syntax = dict(_Reader(file, explicit=True).elements(last=0x0002_FFFF)).get(_TRANSFER_SYNTAX, b"")
    sets, code, system, left = "", "", "", _MOST_TEXTS
    wanted = _READ | _CODES.keys() | {CHARACTER_SET, _DOCUMENT}
    for tag, value in _data_set(file, syntax.rstrip(b"\0 ")).texts(wanted):
        left -= len(value)
        if left < 0:
            raise InputError(f"a DICOM file with more than {_MOST_TEXTS:,} bytes of texts")
        if tag == CHARACTER_SET:
            sets = value.decode("ascii", "replace")
        elif tag == _DOCUMENT:
            # Its length is even, PS3.5 section 7.1.1.
            yield "", text_of(value.rstrip(b"\0")) or ""
        elif tag == 0x0008_0100:
            code = _decoded(value, sets)
        elif tag == _SYSTEM:
            system = _decoded(value, sets)
            if code:
                yield system, code
            code = ""
        elif _CODES.get(tag) == "code":
            # The longer forms of a code stand behind its system.
            yield system, _decoded(value, sets)
        else:
            yield "", _decoded(value, sets)


def _decoded(value: bytes, sets: str) -> str:
    """Return a text, given the data set's Specific Character Set."""
    named = [one.strip("\0 ") for one in sets.split("\\")]
    # Where there are several, the last one is that of the escapes, and the ones before are in it.
    known = [_ENCODINGS[one] for one in named if one in _ENCODINGS]
    if not known:
        return (text_of(value) or "").strip("\0 ")
    for escape in _TO_G1 if known[-1] in ("euc_kr", "gb2312") else ():
        value = value.replace(escape, b"")
    return value.decode(known[-1], "replace").strip("\0 ")


def _unknown(label: str) -> Iterator[Finding]:
    if not any(label_findings("", label)):
        yield Finding(UNKNOWN_LABEL, tells=True, rule="a confidentiality that isn't known")


def _header(file: BinaryIO, *, last: int) -> dict[int, bytes]:
    """Return the elements up to the tag `last`, from where the file stands."""
    file.seek(_PREAMBLE + 4 if has_preamble(file.read(_PREAMBLE + 6)) else 0)
    found = dict(_Reader(file, explicit=True).elements(last=0x0002_FFFF))
    syntax = found.get(_TRANSFER_SYNTAX, b"").rstrip(b"\0 ")
    found.update(_data_set(file, syntax).elements(last=last))
    return found


class _Reader:
    """Reads elements from where a file is."""

    def __init__(self, file: BinaryIO, *, explicit: bool, endian: str = "<") -> None:
        self._file = file
        self._explicit = explicit
        self._tag = struct.Struct(endian + "HH")
        self._short = struct.Struct(endian + "H")
        self._size = struct.Struct(endian + "L")
        self._left = MAX_ELEMENTS
        self._vr = b""
        """Of the element that was read last; empty where the data set doesn't say it."""

    def elements(self, *, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield tag and value of each element up to the tag `last`, the values of long ones empty."""
        while (head := self._head()) is not None and head[0] <= last:
            tag, size = head
            if size <= _LONGEST:
                yield tag, self._file.read(size)
                continue
            yield tag, b""
            if size == _UNDEFINED:
                self._pass_over()
            else:
                self._file.seek(size, 1)
        if head is not None:
            self._file.seek(self._before)

    def texts(self, wanted: Collection[int] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield tag and value of each element up to the image that may hold text, those inside sequences too.

        Args:
            wanted: only elements with these tags, of whatever type they are; None for all that may hold text.

        Raises:
            InputError: one is longer than 8 MiB.
        """
        while (head := self._head()) is not None and not _PIXELS <= head[0] < _AFTER_PIXELS:
            tag, size = head
            if size == _UNDEFINED or tag == _ITEM or tag in _ENDS or self._vr == b"SQ" or self._begins_item():
                # What follows is inside of it, and is read as if it stood here: nothing recurses.
                continue
            is_read = (tag == _DOCUMENT or self._vr not in _VALUES) if wanted is None else tag in wanted
            if is_read and size:
                if size > _MOST_TEXT:
                    raise InputError(
                        f"a DICOM file with a text of {size} bytes: nobody looks at all of its words",
                        hint="name a restricted category",
                    )
                yield tag, self._file.read(size)
            else:
                self._file.seek(size, 1)

    def _begins_item(self) -> bool:
        """Tell whether the value that follows is a sequence, which a data set without types doesn't say.

        Nor does a value of unknown type (PS3.5 section 6.2.2): whoever passes on what it doesn't know makes one of it.
        """
        if self._vr not in (b"", b"UN"):
            return False
        start = self._file.read(4)
        self._file.seek(-len(start), 1)
        return len(start) == 4 and self._tag.unpack(start) == (_ITEM >> 16, _ITEM & 0xFFFF)

    def _pass_over(self) -> None:
        """Pass over what has no defined length, with all that is in it."""
        opened = 1
        while opened and (head := self._head()) is not None:
            tag, size = head
            if tag in _ENDS:
                opened -= 1
            elif size == _UNDEFINED:
                opened += 1
            else:
                self._file.seek(size, 1)

    def _head(self) -> tuple[int, int] | None:
        """Return tag and length of the next element, or None at the end or when it has been enough."""
        self._before = self._file.tell()
        self._left -= 1
        head = self._file.read(8)
        if len(head) < 8 or self._left < 0:
            return None
        group, element = self._tag.unpack(head[:4])
        tag = group << 16 | element
        self._vr = b""
        if not self._explicit or tag == _ITEM or tag in _ENDS or not _is_vr(head[4:6]):
            return tag, self._size.unpack(head[4:])[0]
        self._vr = head[4:6]
        if self._vr not in _LONG:
            return tag, self._short.unpack(head[6:])[0]
        size = self._file.read(4)
        return (tag, self._size.unpack(size)[0]) if len(size) == 4 else None


def _data_set(file: BinaryIO, syntax: bytes) -> _Reader:
    """Return the reader of a data set whose transfer syntax is known, or can be seen."""
    if syntax == _DEFLATED:
        return _Reader(_inflated(file), explicit=True)
    if syntax:
        return _Reader(file, explicit=syntax != _IMPLICIT, endian=">" if syntax == _BIG_ENDIAN else "<")
    start = file.read(6)
    file.seek(-len(start), 1)
    # The first group is a small number: read the wrong way round it is a large one.
    endian = ">" if start[:1] == b"\0" and start[1:2] != b"\0" else "<"
    return _Reader(file, explicit=_is_vr(start[4:6]), endian=endian)


def _inflated(file: BinaryIO) -> BinaryIO:
    """Return the beginning of a deflated data set, PS3.5 annex A.5: as much of it as its header may have.

    Raises:
        InputError: it is damaged.
    """
    unpacker, found = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    try:
        while len(found) < _MOST_INFLATED and (piece := file.read(_CHUNK)):
            found += unpacker.decompress(piece, _MOST_INFLATED - len(found))
    except zlib.error:
        raise InputError("a damaged DICOM file: its data set can't be unpacked") from None
    return io.BytesIO(found)


def _is_vr(text: bytes) -> bool:
    return len(text) == 2 and text.isalpha() and text.isupper()
