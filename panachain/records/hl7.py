"""HL7 v2: a file of messages is cut into messages, each a record; their bytes, one after the other, are the file.

Reads messages only as far as it takes to tell category and year; never changes a byte. Opens no file.
Follows HL7 v2.9 chapters 2 (messages, batches) and 2A (data types), and MLLP release 1 (framing).

What surrounds messages stays: a batch's header segments (FHS, BHS) go with the message after them, its trailers (BTS,
FTS) with the message before them, and so do the control characters of MLLP.

A message is restricted when a field that holds codes (`_CODED`) names a sensitive one (`fhir_codes.SENSITIVE`), when
an access restriction (ARV-3), a hospital service (PV1-10) or the like (`_LABELLED`) bears a label of
`fhir_codes.BY_LABEL` or HL7 table 0717, or when its document is `R` or `V` (TXA-18, table 0272; MSH-26 likewise).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.fhir_category import bounded_year
from panachain.records.fhir_codes import BY_LABEL, RESTRICTED_DEFAULT, SENSITIVE
from panachain.records.split import Piece

MEDIA_TYPE: Final = "application/hl7-v2"
MAX_MESSAGE: Final = 64 << 20
"""Bytes of one message."""
_WINDOW: Final = 1 << 20
_REACH: Final = 16
"""Bytes after a place that decide whether a message or batch begins there."""

# A header segment: its name, the separator that it declares, one to five encoding characters, the separator again.
_HEADER: Final = rb"(MSH|FHS|BHS)(?:\||([^\w\s])[^\w\s]{1,5}\2)"
_BEGINS: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*\x0b?" + _HEADER)
_BOUNDARY: Final = re.compile(rb"[\r\n\x0b\x1c]\x0b?" + _HEADER)
"""Begins with the end of what is before, or with the control character that begins a frame."""
_SEGMENT: Final = re.compile(rb"[^\r\n\x0b\x1c]+")
_MOST_FIELDS: Final = 40
"""Fields of a segment that are looked at."""

_CATEGORIES: Final = {
    **dict.fromkeys((b"ORU", b"OUL"), Category.LABORATORY),
    **dict.fromkeys((b"ADT", b"SIU"), Category.ENCOUNTERS),
    b"VXU": Category.IMMUNIZATIONS,
    **dict.fromkeys((b"RDE", b"RDS", b"RAS", b"RGV", b"OMP"), Category.MEDICATIONS),
    b"MDM": Category.DOCUMENTS,
}
"""By MSH-9.1; other messages are documents."""

_CODED: Final = {
    **dict.fromkeys((b"AL1", b"DG1", b"GOL", b"IAM", b"PR1", b"PRB"), (3,)),
    **dict.fromkeys((b"RXC", b"RXD", b"RXE"), (2,)),
    b"FT1": (7, 19, 25),
    b"OBR": (4, 31),
    b"OBX": (3, 5),
    b"ORC": (16,),
    b"PV2": (3,),
    b"RXA": (5,),
    b"RXG": (4,),
    b"RXO": (1,),
    b"SCH": (7,),
}
"""Fields that hold codes of what a patient has, had or gets. Others hold numbers that only look alike: beds, IDs."""
_LABELLED: Final = {b"ARV": (3,), b"PV1": (10,)}
_CONFIDENTIAL: Final = {b"MSH": (26,), b"TXA": (18,)}
_LABELS: Final = {
    **{label.encode(): category for label, category in BY_LABEL.items()},
    b"DRG": Category.SUBSTANCE_USE,
    b"SMD": RESTRICTED_DEFAULT,
}
"""Of HL7 table 0717 (access restriction) the ones that aren't among FHIR's labels: drugs, sensitive data."""
_CODES: Final = {code.encode(): category for code, category in SENSITIVE.items()}


def begins_hl7(start: bytes) -> bool:
    """Whether a file that starts like this is HL7 v2."""
    return _BEGINS.match(start) is not None


def split_messages(file: BinaryIO, category: Category | None = None) -> Iterator[Piece]:
    """Yield one record for each message, holding one at a time.

    Args:
        file: messages, in a batch or not, framed or not.
        category: instead of the one that the message's type tells; a restricted one gives way to a restricted one only.

    Raises:
        InputError: one message has more than MAX_MESSAGE bytes.
    """
    for message in _messages(file):
        header = next((fields for fields in _segments(message) if fields[0] == b"MSH"), [])
        header += [b""] * (_MOST_FIELDS - len(header))
        code = _CATEGORIES.get(header[8][:3], Category.DOCUMENTS)
        restricted = restricted_category(message, _parts(header[1]))
        found = category if category in RESTRICTED else restricted or category or code
        yield Piece(found, _year(header[6]), MEDIA_TYPE, message)


def restricted_category(message: bytes, parts: re.Pattern[bytes]) -> Category | None:
    """Return the restricted category that a message belongs to, or None; the first hit counts.

    Args:
        message: its bytes.
        parts: finds the components of a field.
    """
    for fields in _segments(message):
        for value in _values(fields, _CODED, parts):
            if value in _CODES:
                return _CODES[value]
        for value in _values(fields, _LABELLED, parts):
            if value in _LABELS:
                return _LABELS[value]
        if any(value in (b"R", b"V") for value in _values(fields, _CONFIDENTIAL, parts)):
            return RESTRICTED_DEFAULT
    return None


def _messages(file: BinaryIO) -> Iterator[bytes]:
    """Cut a file at every header segment that follows a message."""
    buffer = bytearray(file.read(_WINDOW))
    first = _BEGINS.match(buffer)
    has_message, searched = first is not None and first[1] == b"MSH", first.end() if first else 0
    read = bytes(1)
    while read:
        read = file.read(_WINDOW)
        buffer += read
        # What begins near the end of what was read is looked at when more is there.
        limit = len(buffer) - (_REACH if read else 0)
        cuts = [0]
        for found in _BOUNDARY.finditer(buffer, searched):
            if found.start() >= limit:
                break
            if has_message:
                cuts.append(found.start() + (found[0][:1] != b"\x0b"))
            has_message = found[1] == b"MSH"
            searched = found.end()
        for start, end in pairwise(cuts):
            yield bytes(buffer[start:end])
        searched = max(searched, limit, 0) - cuts[-1]
        del buffer[: cuts[-1]]
        if len(buffer) > MAX_MESSAGE:
            raise InputError(f"one HL7 v2 message has more than {MAX_MESSAGE} bytes")
    if buffer:
        yield bytes(buffer)


def _segments(message: bytes) -> Iterator[list[bytes]]:
    """Yield the fields of each segment, its name first; the character after the name separates them."""
    for segment in _SEGMENT.finditer(message):
        text = segment[0].removeprefix(b"\xef\xbb\xbf")
        if len(text) > 3:
            yield text.split(text[3:4], _MOST_FIELDS)


def _values(fields: list[bytes], table: Mapping[bytes, tuple[int, ...]], parts: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield the components of those fields of a segment that a table names."""
    for number in table.get(fields[0], ()):
        # The separator itself counts as the first field of a header.
        index = number - 1 if fields[0] == b"MSH" else number
        if index < len(fields):
            yield from (part[0].strip() for part in parts.finditer(fields[index]))


def _parts(encoding: bytes) -> re.Pattern[bytes]:
    """Return what finds the components of a field, given MSH-2."""
    return re.compile(b"[^%b]+" % re.escape(encoding[:5] or rb"^~\&"))


def _year(time: bytes) -> int:
    return bounded_year(int(time[:4])) if re.match(rb"[0-9]{4}", time) else UNDATED
