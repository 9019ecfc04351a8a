"""DICOM: an object is told from other files and dated by its header; its pixels are never read.

Reads the header only up to the size of the image; what is longer than a date is passed over, and of a deflated data set
only the beginning is unpacked. It is no general reader: it can't be made to recurse, to hold more than that beginning,
or to log a value.
Opens no file. Follows DICOM PS3.5 section 7 and PS3.10 section 7.1.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import UNDATED
from panachain.records.fhir_category import bounded_year

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

_IMPLICIT: Final = b"1.2.840.10008.1.2"
_BIG_ENDIAN: Final = b"1.2.840.10008.1.2.2"
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_MOST_INFLATED: Final = 1 << 20
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
        if not self._explicit or tag == _ITEM or tag in _ENDS or not _is_vr(head[4:6]):
            return tag, self._size.unpack(head[4:])[0]
        if head[4:6] not in _LONG:
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
