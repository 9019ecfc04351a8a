"""HL7 v2 as readable text: segments by name, fields by name, values without separators and escapes.

Never executes formatting; what no table names is shown by its number. Results that were taken back are marked.
Follows HL7 v2.9, chapters 2, 2.A, 3, 4 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from panachain.plain import clean
from panachain.records.encodings import as_utf8
from panachain.viewer.moments import NEVER, Moment, hl7_moment
from panachain.viewer.words import N_

MOST_SEGMENTS: Final = 2_000
MOST_FIELDS: Final = 100
_MOST_VALUE: Final = 20_000
"""Characters of one value that are shown."""
_SEGMENT: Final = re.compile(r"[^\r\n\x0b\x1c]+")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_TIME: Final = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}(?:\d\d(?:\.\d{1,4})?)?)?(?:[+-]\d{4})?"
)

SEGMENTS: Final[Mapping[str, str]] = {
    "MSH": N_("Message"),
    "EVN": N_("Event"),
    "PID": N_("Patient"),
    "PD1": N_("More about the patient"),
    "NK1": N_("Next of kin"),
    "PV1": N_("Visit"),
    "PV2": N_("More about the visit"),
    "OBR": N_("Order of observations"),
    "OBX": N_("Observation"),
    "ORC": N_("Order"),
    "NTE": N_("Note"),
    "DG1": N_("Diagnosis"),
    "AL1": N_("Allergy"),
    "IAM": N_("Allergy"),
    "PR1": N_("Procedure"),
    "PRB": N_("Problem"),
    "GT1": N_("Guarantor"),
    "IN1": N_("Insurance"),
    "IN2": N_("More about the insurance"),
    "RXA": N_("Medicine that was given"),
    "RXE": N_("Medicine that was ordered"),
    "RXO": N_("Medicine that was ordered"),
    "RXD": N_("Medicine that was dispensed"),
    "RXR": N_("Route"),
    "SPM": N_("Specimen"),
    "TXA": N_("Document"),
    "SCH": N_("Appointment"),
    "AIL": N_("Place"),
    "AIP": N_("Person"),
    "AIS": N_("Service"),
    "TQ1": N_("Timing"),
    "FT1": N_("Charge"),
    "ROL": N_("Role"),
    "PRT": N_("Participation"),
    "SFT": N_("Software"),
    "MRG": N_("Merged patient"),
}
_FIELDS: Final[Mapping[str, Mapping[int, str]]] = {
    "MSH": {
        3: N_("Sending program"),
        4: N_("Sender"),
        5: N_("Receiving program"),
        6: N_("Receiver"),
        7: N_("Time"),
        9: N_("Kind"),
        10: N_("Number"),
        12: N_("Version"),
    },
    "EVN": {1: N_("Kind"), 2: N_("Time"), 6: N_("Happened at")},
    "PID": {
        3: N_("Number"),
        5: N_("Name"),
        7: N_("Born"),
        8: N_("Sex"),
        11: N_("Address"),
        13: N_("Telephone"),
        15: N_("Language"),
        16: N_("Marital status"),
        18: N_("Account"),
        29: N_("Died"),
    },
    "PV1": {
        2: N_("Class"),
        3: N_("Place"),
        7: N_("Attending"),
        8: N_("Referring"),
        10: N_("Service"),
        19: N_("Visit number"),
        44: N_("Begin"),
        45: N_("End"),
    },
    "NK1": {2: N_("Name"), 3: N_("Relationship"), 5: N_("Telephone")},
    "OBR": {
        2: N_("Order number"),
        3: N_("Number"),
        4: N_("What"),
        7: N_("Time"),
        16: N_("Ordered by"),
        25: N_("State"),
    },
    "OBX": {
        3: N_("What"),
        5: N_("Value"),
        6: N_("Unit"),
        7: N_("Reference range"),
        8: N_("Interpretation"),
        11: N_("State"),
        14: N_("Time"),
    },
    "ORC": {1: N_("Action"), 2: N_("Order number"), 5: N_("State"), 9: N_("Time"), 12: N_("Ordered by")},
    "NTE": {3: N_("Text")},
    "DG1": {3: N_("What"), 4: N_("Text"), 5: N_("Time"), 6: N_("Kind")},
    "AL1": {2: N_("Kind"), 3: N_("What"), 4: N_("Severity"), 5: N_("Reaction"), 6: N_("Since")},
    "IAM": {2: N_("Kind"), 3: N_("What"), 4: N_("Severity"), 5: N_("Reaction"), 6: N_("Action")},
    "PR1": {3: N_("What"), 4: N_("Text"), 5: N_("Time")},
    "PRB": {1: N_("Action"), 2: N_("Time"), 3: N_("What")},
    "IN1": {2: N_("Plan"), 4: N_("Insurance"), 12: N_("Begin"), 13: N_("End"), 36: N_("Number")},
    "RXA": {3: N_("Time"), 5: N_("What"), 6: N_("Amount"), 7: N_("Unit"), 18: N_("Refused because"), 20: N_("State")},
    "RXE": {2: N_("What"), 3: N_("Amount"), 5: N_("Unit"), 7: N_("Instruction")},
    "RXO": {1: N_("What"), 2: N_("Amount"), 4: N_("Unit")},
    "RXD": {2: N_("What"), 3: N_("Time"), 4: N_("Amount"), 5: N_("Unit")},
    "RXR": {1: N_("Route"), 2: N_("Place")},
    "SPM": {4: N_("Kind"), 17: N_("Time")},
    "TXA": {2: N_("Kind"), 4: N_("Time"), 5: N_("Author"), 17: N_("State")},
    "SCH": {6: N_("Reason"), 7: N_("Reason"), 11: N_("Time"), 25: N_("State")},
}
_NOT: Final[Mapping[tuple[str, int], frozenset[str]]] = {
    ("OBX", 11): frozenset({"D", "W", "X", "N"}),
    ("RXA", 20): frozenset({"RE", "NA"}),
    ("RXA", 21): frozenset({"D"}),
    ("PRB", 1): frozenset({"DE", "CA"}),
    ("IAM", 6): frozenset({"D"}),
    ("ORC", 1): frozenset({"CA", "OC", "CR", "UC"}),
}
"""Fields that say of their segment that it isn't so: deleted, wrong, not obtained, refused, cancelled."""


@dataclass(frozen=True)
class Line:
    """A field of a segment that says something."""

    label: str
    """Its name, to be translated; or `MSH-11` where no table has one."""
    value: str
    when: Moment = NEVER
    """The value as a moment, where it is one."""


@dataclass(frozen=True)
class Segment:
    """A segment."""

    name: str
    """Its three letters."""
    lines: tuple[Line, ...]
    is_taken_back: bool = False
    """Whether it says of itself that it isn't so."""

    @property
    def title(self) -> str:
        """What it is, to be translated; empty where no table has it."""
        return SEGMENTS.get(self.name, "")


@dataclass(frozen=True)
class Message:
    """A message."""

    segments: tuple[Segment, ...]
    is_cut: bool
    """Whether it has more segments than are shown."""


def read_hl7(content: bytes) -> Message:
    """Return a message as people read it; what is none has no segments."""
    text = as_utf8(content).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    separator, signs = "|", "^~\\&"
    segments: list[Segment] = []
    for found in _SEGMENT.finditer(text):
        raw = found[0].lstrip(" \t")
        if not re.match(r"[A-Z][A-Z0-9]{2}[^A-Za-z0-9]", raw):
            continue
        if len(segments) == MOST_SEGMENTS:
            return Message(tuple(segments), is_cut=True)
        name = raw[:3]
        if name == "MSH":
            separator = raw[3]
            signs = (raw[4:].split(separator, 1)[0][:5]).ljust(4, "\0")
        fields = raw.split(separator)[: MOST_FIELDS + 1]
        # The separator itself counts as the first field of a header.
        numbered = list(enumerate(fields[1:], 2 if name == "MSH" else 1))
        lines = [_line(name, number, value, signs) for number, value in numbered if (name, number) != ("MSH", 2)]
        back = any(value.strip() in _NOT.get((name, number), ()) for number, value in numbered)
        segments.append(Segment(name, tuple(one for one in lines if one is not None), back))
    return Message(tuple(segments), is_cut=False)


def title_of(content: bytes) -> tuple[str, Moment]:
    """Return the kind of a message, such as `ORU R01`, and when it was sent."""
    start = as_utf8(content[:4000]).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    found = re.search(r"MSH([^A-Za-z0-9\s])", start)
    if found is None:
        return "", NEVER
    fields = re.split(r"[\r\n]", start[found.end() :])[0].split(found[1])
    fields += [""] * 8
    kind = [part for part in re.split(r"[^A-Za-z0-9]", fields[7]) if part][:2]
    return " ".join(kind)[:20], hl7_moment(fields[5].split("^")[0])


def _line(name: str, number: int, value: str, signs: str) -> Line | None:
    told = [_said(part, signs) for part in value.split(signs[1])] if signs[1] != "\0" else [_said(value, signs)]
    shown = "\n".join(filter(None, told))[:_MOST_VALUE]
    if not shown or shown == '""':
        return None
    when = hl7_moment(shown) if _TIME.fullmatch(shown) else NEVER
    return Line(_FIELDS.get(name, {}).get(number, f"{name}-{number}"), shown, when)


def _said(value: str, signs: str) -> str:
    component, escape, sub = signs[0], signs[2], signs[3]
    parts = value.replace(sub, component).split(component) if component != "\0" else [value]
    return " · ".join(part for part in (_unescaped(one, escape, signs).strip() for one in parts) if part)


def _unescaped(part: str, escape: str, signs: str) -> str:
    if escape != "\0" and escape in part:
        mark = re.escape(escape)
        part = re.sub(f"{mark}([^{mark}\\r\\n]{{1,200}}){mark}", lambda found: _letter(found[1], signs), part)
    return clean(part, most=_MOST_VALUE)


def _letter(code: str, signs: str) -> str:
    known = {"F": "|", "S": signs[0], "R": signs[1], "E": signs[2], "T": signs[3], "H": "", "N": ""}
    if code in known:
        return known[code]
    if code.startswith((".br", ".sp", ".ce")):
        return "\n"
    if code.startswith("X") and _HEX.fullmatch(code[1:]):
        return bytes.fromhex(code[1:]).decode("utf-8", "replace")
    return " "
