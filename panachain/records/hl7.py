"""HL7 v2: a file of messages is cut into messages, each a record; their bytes, one after the other, are the file.

Reads messages only as far as it takes to tell category and year; never changes a byte. Opens no file.
Follows HL7 v2.9 chapters 2 (messages, batches) and 2A (data types), and MLLP release 1 (framing).

What surrounds messages stays: a batch's header segments (FHS, BHS) go with the message after them, its trailers (BTS,
FTS) with the message before them, and so do the control characters of MLLP. A message in a text, such as OBX-5 with
what a router forwards, stays in it: its lines end with a line feed where the segments around it end with a carriage
return, as the standard wants.

A message is restricted when a field that holds codes (`_CODED`) or any word that isn't a person's name tells something
sensitive (`records/sensitivity`), when an access restriction (ARV-3), a hospital service (PV1-10) or the like
(`_LABELLED`) bears a label of HL7 v3 ActCode or HL7 table 0717, or when its document is `R` or `V` (TXA-18, table 0272;
MSH-26 likewise).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.fhir_category import bounded_year
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import label_findings, restricted_category
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.split import Piece
from panachain.records.texts import findings_in, text_of

MEDIA_TYPE: Final = "application/hl7-v2"
MAX_MESSAGE: Final = 64 << 20
"""Bytes of one message."""
_WINDOW: Final = 1 << 20
_REACH: Final = 2048
"""Bytes after a place that decide whether a message or batch begins there."""

# A header segment: its name, the separator that it declares, one to five encoding characters, the separator again.
_HEADER: Final = rb"(MSH|FHS|BHS)(?:\||([^\w\s])[^\w\s]{1,5}\2)"
# What routers write before the first message is kept with it: blanks, lines of comment. Possessive: of a MiB of blanks
# each split into two runs would be tried.
_BEGINS: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]*+(?:#|//|;)[^\r\n]{0,200}+[\r\n]){0,10}+[ \t\r\n]*+\x0b?+[ \t]*+" + _HEADER
)
_BOUNDARY: Final = re.compile(rb"[\r\n\x0b\x1c]\x0b?" + _HEADER)
"""Begins with the end of what is before, or with the control character that begins a frame."""
_END: Final = re.compile(rb"[^\r\n\x0b\x1c]*+(\r\n|[\r\n\x0b\x1c])")
"""The rest of a segment, and how it ends."""
_SEGMENT: Final = re.compile(rb"[^\r\n\x0b\x1c]+")
_MOST_FIELDS: Final = 100
"""Fields of a segment that are looked at one by one; what follows them is one more."""
_UNSEEN: Final = "\u200b".encode()
"""Zero width space: parts two words, and no word (`sensitivity.matcher.plain_text`)."""
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

_CATEGORIES: Final = {
    **dict.fromkeys((b"ORU", b"OUL"), Category.LABORATORY),
    **dict.fromkeys((b"ADT", b"SIU"), Category.ENCOUNTERS),
    b"VXU": Category.IMMUNIZATIONS,
    **dict.fromkeys((b"RDE", b"RDS", b"RAS", b"RGV", b"OMP"), Category.MEDICATIONS),
    **dict.fromkeys((b"ORM", b"OML"), Category.LABORATORY),
    b"MDM": Category.DOCUMENTS,
}
"""By MSH-9.1; other messages are documents."""

_DIAGNOSES: Final = ("I10", "I9C")
"""Systems of a diagnosis that names none."""
_PROCEDURES: Final = ("C4", "HPC", "I10P", "I9CP")
_CODED: Final[Mapping[bytes, Mapping[int, tuple[str, ...]]]] = {
    **{name: {3: ()} for name in (b"AL1", b"GOL", b"IAM")},
    b"DG1": {3: _DIAGNOSES},
    b"DRG": {1: ("DRG",)},
    b"FT1": {7: _PROCEDURES, 19: _DIAGNOSES, 25: _PROCEDURES},
    b"OBR": {4: (), 31: ()},
    b"OBX": {3: (), 5: ()},
    b"ORC": {16: ()},
    b"PR1": {3: _PROCEDURES},
    b"PRB": {3: _DIAGNOSES},
    b"PV2": {3: ()},
    b"RXA": {5: ()},
    **{name: {2: ()} for name in (b"RXC", b"RXD", b"RXE")},
    b"RXG": {4: ()},
    b"RXO": {1: ()},
    b"SCH": {7: ()},
}
"""Fields that hold codes of what a patient has, had or gets, and the systems that they mean where they name none.
Others hold numbers that only look alike: beds, IDs."""
_PERSONS: Final = frozenset({b"MSH", b"FHS", b"BHS", b"PID", b"PD1", b"NK1", b"GT1", b"STF"})
"""Segments that say who somebody is, and how to read the message: names aren't looked at for words. What stands in any
other field, also of segments that only two programs know, may tell."""
_FILE: Final = b"ED"
"""The type (OBX-2) of a value that holds a file: source, type, subtype, encoding, data (HL7 v2.9 section 2A.3.27)."""
_DECODED: Final[Mapping[str, Callable[[str], bytes]]] = {"base64": b64decode, "hex": bytes.fromhex}
_LABELLED: Final[Mapping[bytes, tuple[int, ...]]] = {b"ARV": (3,), b"CON": (2,), b"PV1": (10,), b"PV2": (22,)}
_CONFIDENTIAL: Final = {b"DG1": (18,), b"MSH": (26,), b"PRB": (22,), b"TXA": (18,)}
_CONSENTS: Final = frozenset({"42CFR2", "42CFRPART2"})
"""Codes of HL7 table 0059 and in use that name a law on substance use."""


def begins_hl7(start: bytes) -> bool:
    """Whether a file that starts like this is HL7 v2."""
    return _BEGINS.match(start) is not None


def split_messages(file: BinaryIO, category: Category | None = None, matcher: Matcher | None = None) -> Iterator[Piece]:
    """Yield one record for each message, holding one at a time.

    Args:
        file: messages, in a batch or not, framed or not.
        category: instead of the one that the message's type tells; a restricted one gives way to a restricted one only.
        matcher: says what is sensitive; None takes the default profile's.

    Raises:
        InputError: one message has more than MAX_MESSAGE bytes.
    """
    for message in _messages(file):
        header = next((fields for fields in _segments(message) if fields[0] == b"MSH"), [])
        header += [b""] * (_MOST_FIELDS - len(header))
        code = _CATEGORIES.get(header[8][:3], Category.DOCUMENTS)
        restricted = restricted_category(list(findings(message, header[1], matcher)), RESTRICTED_DEFAULT)
        found = category if category in RESTRICTED else restricted or category or code
        yield Piece(found, _year(header[6]), MEDIA_TYPE, message)


def check_messages(file: BinaryIO) -> None:
    """Check that messages can be cut, without a look at what they say.

    Raises:
        InputError: as `split_messages`.
    """
    for _ in _messages(file):
        pass


def patients(file: BinaryIO) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    """Yield each PID segment: encoding characters, padded to four, sending facility (MSH-4), and its fields.

    Raises:
        InputError: one message has more than MAX_MESSAGE bytes.
    """
    file.seek(0)
    for message in _messages(file):
        encoding, sender = rb"^~\&", b""
        for fields in _segments(message, of=(b"MSH", b"PID")):
            if fields[0] == b"MSH":
                encoding = (fields[1][:5] or encoding).ljust(4, b"\0")
                sender = fields[3] if len(fields) > 3 else b""
            else:
                yield encoding, sender, fields


def name_of(message: bytes) -> tuple[str, str, bytes]:
    """Return type (MSH-9), control ID (MSH-10) and encoding characters (MSH-2) of a message; empty if it has none."""
    header = next((fields for fields in _segments(message) if fields[0] == b"MSH"), [])
    header += [b""] * (_MOST_FIELDS - len(header))
    kind, control = (header[place].decode("utf-8", "replace").strip() for place in (8, 9))
    return kind, control, header[1]


def findings(message: bytes, encoding: bytes, matcher: Matcher | None = None) -> Iterator[Finding]:
    """Yield what makes a message sensitive.

    Args:
        message: its bytes.
        encoding: MSH-2, the characters that part a field.
        matcher: as `split_messages`.
    """
    used = matcher or matcher_of()
    signs = (encoding[:5] or rb"^~\&").ljust(4, b"\0")
    for fields in _segments(message):
        name = fields[0]
        for number, systems in _CODED.get(name, {}).items():
            for repetition in () if _is_file(fields, number) else _repetitions(fields, number, signs):
                yield from _coded(repetition, systems, used)
        if name not in _PERSONS:
            yield from _words(fields, signs, used)
        for number in _LABELLED.get(name, ()):
            for repetition in _repetitions(fields, number, signs):
                yield from (one for part in repetition for one in _label(part))
        for number in _CONFIDENTIAL.get(name, ()):
            for repetition in _repetitions(fields, number, signs):
                yield from (one for part in repetition if part in ("R", "V") for one in label_findings("", part))


def _words(fields: list[bytes], signs: bytes, matcher: Matcher) -> Iterator[Finding]:
    """Yield what the words of a segment tell, and those of the file that it holds."""
    for number in range(1, len(fields)):
        if not any(sign in _LETTERS for sign in fields[number]):
            continue
        for repetition in _repetitions(fields, number, signs):
            if _is_file(fields, number) and len(repetition) > 4:
                # In its place: what base64 spells by chance is no word.
                repetition[4] = _text_of_file(repetition[3], repetition[4])
            yield from findings_in(" ".join(repetition), matcher)


def _is_file(fields: list[bytes], number: int) -> bool:
    return (fields[0], number, fields[2:3]) == (b"OBX", 5, [_FILE])


def _text_of_file(encoding: str, data: str) -> str:
    """Return the text of a file that a value holds, or what stands there where it isn't encoded as it says."""
    try:
        return text_of(_DECODED[encoding.lower()](data)) or ""
    except (KeyError, ValueError):
        return data


def _coded(components: list[str], systems: tuple[str, ...], matcher: Matcher) -> Iterator[Finding]:
    """Yield what an element coded twice (CWE) tells: code, text, system, and the alternative ones after them."""
    for start in range(0, len(components), 3):
        code, text, system = [*components[start : start + 3], "", ""][:3]
        for one in (system,) if system else systems or ("",):
            yield from matcher.look(one, code, text)
        # Senders put codes where others have texts.
        yield from (one for part in (text, system) for name in systems for one in matcher.look(name, part))
        if not text:
            # A text field is one component: OBX-5 of type FT or ST.
            yield from matcher.text(code)


def _label(code: str) -> Iterator[Finding]:
    if code.upper() in _CONSENTS:
        yield from label_findings("", "42CFRPart2")
    else:
        yield from label_findings("", code)


def _repetitions(fields: list[bytes], number: int, signs: bytes) -> Iterator[list[str]]:
    """Yield the components of each repetition of a field, without escapes."""
    # The separator itself counts as the first field of a header.
    index = number - 1 if fields[0] == b"MSH" else number
    if index >= len(fields) or not fields[index]:
        return
    component, repetition, escape, subcomponent = (signs[place : place + 1] for place in range(4))
    for one in fields[index].split(repetition):
        parts = one.replace(subcomponent, component).split(component)
        yield [_unescaped(part, escape) for part in parts]


def _unescaped(part: bytes, escape: bytes) -> str:
    """Return a component as text: bytes written in hex are put back, other escapes are blanks.

    Where highlighting begins and ends nobody sees a sign, also inside a word.
    """
    if escape in part:
        mark = re.escape(escape)
        part = re.sub(mark + rb"X((?:[0-9A-Fa-f]{2})+)" + mark, lambda hit: bytes.fromhex(hit[1].decode()), part)
        part = re.sub(mark + b"[HN]" + mark, _UNSEEN, part)
        part = re.sub(mark + rb"[^\r\n]{1,20}?" + mark, b" ", part)
    return part.decode("utf-8", "replace").strip()


def _messages(file: BinaryIO) -> Iterator[bytes]:
    """Cut a file at every header segment that follows a message."""
    buffer = bytearray(file.read(_WINDOW))
    first = _BEGINS.match(buffer)
    has_message, searched = first is not None and first[1] == b"MSH", first.end() if first else 0
    outer = _end_of(buffer, searched)
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
            if outer == b"\r" and _is_in_text(buffer, found):
                continue
            outer = _end_of(buffer, found.end())
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


def _is_in_text(buffer: bytearray, found: re.Match[bytes]) -> bool:
    """Tell whether a header after a message whose segments end with carriage returns is a line of a text."""
    after_line_feed = found[0][:1] == b"\n" and buffer[found.start() - 1 : found.start()] != b"\r"
    return after_line_feed and _end_of(buffer, found.end()) == b"\n"


def _end_of(buffer: bytearray, start: int) -> bytes:
    """Return what ends the segment that goes on here; empty if it isn't read to its end."""
    found = _END.match(buffer, start)
    return found[1] if found else b""


def _segments(message: bytes, *, of: tuple[bytes, ...] = ()) -> Iterator[list[bytes]]:
    """Yield the fields of each segment, of all or of some names, its name first; what follows it separates them."""
    for segment in _SEGMENT.finditer(message):
        text = segment[0].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t")
        if len(text) > 3 and (not of or text.startswith(of)):
            yield text.split(text[3:4], _MOST_FIELDS)


def _year(time: bytes) -> int:
    return bounded_year(int(time[:4])) if re.match(rb"[0-9]{4}", time) else UNDATED
