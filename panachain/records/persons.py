"""Whose record it is: what identifies the person that a source is about, and whether two are the same person.

Reads no more than it takes, and leaves what can't be read to the reader that splits: it refuses nothing by itself.
Comparing works on keyed fingerprints, so that nothing readable is kept. Opens no file. Follows docs/spec/persons.md,
FHIR R4 (Patient), HL7 v2.9 section 3.4.2 (PID), DICOM PS3.3 section C.7.1.1, C-CDA R2.1 (recordTarget).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar, Final
from xml.parsers import expat

from panachain.errors import InputError
from panachain.plain import few_marks
from panachain.records import dicom, hl7, xml_cutter
from panachain.records.canonical import BLANKS, BOM, MAX_DEPTH, MAX_PIECE, Cutter, read, write
from panachain.records.fhir_references import names_of
from panachain.records.split import xml_form

MAX_PERSONS: Final = 1000
"""Persons of one source that are told apart; more are several anyway."""
_PATIENT: Final = b'"Patient"'
_SUBJECT: Final = re.compile(
    rb'"(?:subject|patient|beneficiary)"\s*+:\s*+\{\s*+"reference"\s*+:\s*+"(?:[^"]*/)?Patient/([A-Za-z0-9.-]{1,64})[/"]'
)
_PATIENT_TAG: Final = re.compile(rb"<(?:[^\s<>/:]{1,100}:)?Patient[\s/>]")
_LONGEST_TAG: Final = 110
_LONGEST_SUBJECT: Final = 400
"""Bytes of a reference that `_SUBJECT` finds wherever it lies."""
_WINDOW: Final = 1 << 18
_TITLES: Final = frozenset({"dr", "prof", "mr", "mrs", "ms", "miss", "herr", "frau", "mme", "sr", "sra", "jr", "med"})
_WORD: Final = re.compile(r"[^\W\d_]+")
_UMLAUT: Final = re.compile("([aou])e")
_HEADER_END: Final = frozenset({"component", "author", "custodian"})
"""Children of a ClinicalDocument that come after all its recordTargets."""
_XML_BOUND: Final = 1 << 20
"""Bytes of a document in which persons are looked for; they stand at its begin."""
_OF_PATIENT: Final = frozenset({"id", "identifier", "name", "birthDate", "link"})
_MANY: Final = frozenset({"identifier", "name", "given", "coding", "link"})
"""Elements of a FHIR Patient that JSON has lists of."""
_CHARACTER_SETS: Final = {b"ISO_IR 192": "utf-8", b"ISO_IR 100": "latin-1", b"": "ascii", b"ISO_IR 6": "ascii"}

FIELDS: Final = {
    "fhir": ("Patient.identifier", "Patient.name", "Patient.birthDate"),
    "reference": ("subject", "subject", "subject"),
    "hl7": ("PID-3", "PID-5", "PID-7"),
    "dicom": ("PatientID", "PatientName", "PatientBirthDate"),
    "apple": ("Me", "Me", "date of birth in Me"),
    "cda": ("patientRole/id", "patient/name", "patient/birthTime"),
}
"""What a format calls identifier, name and birth date."""
_KIND, _NAME, _BIRTH = range(3)
_OF_A_STAY: Final = frozenset({"VN", "AN"})
"""Types of identifiers (HL7 v2 table 0203) of a visit or an account, which identify nobody."""
_DAY: Final = 3
"""Fingerprints of a birth date that is known to the day."""


@dataclass
class Person:
    """What identifies a person, as it was read."""

    form: str
    """A key of FIELDS."""
    # No traceback that prints its locals shows them.
    identifiers: set[tuple[str, str]] = field(default_factory=set, repr=False)
    """System and value."""
    names: list[str] = field(default_factory=list, repr=False)
    births: set[str] = field(default_factory=set, repr=False)
    """Year, month and day in digits, the later ones only where they are known."""
    marks: set[str] = field(default_factory=set, repr=False)
    """How the source refers to this person: logical ids and URLs."""
    links: set[str] = field(default_factory=set, repr=False)
    """What the source says is the same person (Patient.link)."""


@dataclass
class Prints:
    """What identifies a person, as keyed fingerprints only."""

    identifiers: dict[str, list[str]] = field(default_factory=dict)
    """System, its values."""
    names: list[list[list[str]]] = field(default_factory=list)
    """Of each name the script and, word by word, fingerprints of the word and of its first letter."""
    births: list[list[str]] = field(default_factory=list)
    """Of each date the fingerprints of year, month and day, as far as they are known."""

    LARGEST: ClassVar[int] = 1000
    """Fingerprints that are kept of one person."""

    @property
    def size(self) -> int:
        """How many identifiers, names and dates there are."""
        return sum(map(len, self.identifiers.values())) + len(self.names) + len(self.births)

    def differs(self, other: Prints, *, named_alike: bool = False) -> int | None:
        """Return which part says that this is another person (an index of FIELDS' values), or None.

        1. A system of identifiers says "the same" if a value of both is equal, else "another one".
        2. All systems say "the same": so it is, unless neither birth date nor name agrees.
        3. All say "another one": so it is.
        4. They contradict each other: it is the same person only if birth date and name are known and agree.
        5. No system is known of both: birth date and name decide. What isn't known contradicts nothing.

        Args:
            other: the other one.
            named_alike: both are of one source, which has the same id for both: a system that says "the same".
        """
        shared = self.identifiers.keys() & other.identifiers.keys()
        equal = {one for one in shared if not set(self.identifiers[one]).isdisjoint(other.identifiers[one])}
        if named_alike:
            shared, equal = shared | {""}, equal | {""}
        birth, name = self._birth_agrees(other), self._name_agrees(other)
        if shared:
            if equal == shared:
                return _BIRTH if birth is False and name is False else None
            return None if equal and birth and name else _KIND
        if birth is False:
            return _BIRTH
        return _NAME if name is False else None

    def leaves_open(self, other: Prints) -> int | None:
        """Return which part leaves it open whether both are the same person, or None if that is sure.

        It is sure where an identifier of a system that both have, the name and the birth date agree, and nothing
        differs: whoever decides on it alone, and asks nobody, mustn't take twins for one person.
        """
        contradicts = self.contradicts(other)
        if contradicts is not None:
            return contradicts
        if all(set(self.identifiers[one]).isdisjoint(other.identifiers.get(one, ())) for one in self.identifiers):
            return _KIND
        if not self._birth_agrees(other):
            return _BIRTH
        return None if self._name_agrees(other) else _NAME

    def may_be(self, other: Prints) -> bool:
        """Tell whether neither name nor birth date, as far as they are known of both, says that it is another one."""
        return self._birth_agrees(other) is not False and self._name_agrees(other) is not False

    def contradicts(self, other: Prints, *, named_alike: bool = False) -> int | None:
        """Return which part is another one, though it may be the same person; None if nothing is.

        Args:
            other: the other one.
            named_alike: as `differs`.
        """
        differs = self.differs(other, named_alike=named_alike)
        if differs is not None:
            return differs
        if self._birth_agrees(other) is False:
            return _BIRTH
        return _NAME if self._name_agrees(other) is False else None

    def _birth_agrees(self, other: Prints) -> bool | None:
        """Tell whether a birth date of both is the same; None if either has none."""
        if not self.births or not other.births:
            return None
        return any(_same_birth(a, b) for a in self.births for b in other.births)

    def _name_agrees(self, other: Prints) -> bool | None:
        """Tell whether a name of both is the same; None if they have none in the same script."""
        pairs = [(a, b) for a in self.names for b in other.names if a[0] == b[0]]
        return any(_same_name(a[1:], b[1:]) for a, b in pairs) if pairs else None

    def handles(self) -> set[str]:
        """Return by what the same person is found again: identifiers or, if there are none, name and birth date."""
        if self.identifiers:
            return {value for values in self.identifiers.values() for value in values}
        days = [birth[-1] for birth in self.births if len(birth) == _DAY]
        return {
            hashlib.sha256("\0".join([day, *(word[0] for word in name[1:])]).encode()).hexdigest()[:32]
            for day in days
            for name in self.names
        }

    def add(self, other: Prints) -> None:
        """Add what another source tells of the same person."""
        for system, values in other.identifiers.items():
            known = self.identifiers.setdefault(system, [])
            known.extend(one for one in values if one not in known)
        self.names.extend(one for one in other.names if one not in self.names)
        self.births.extend(one for one in other.births if one not in self.births)

    def to_kept(self) -> dict[str, Any]:
        """Return it as DAG-CBOR can hold it."""
        return {"v": 1, "identifiers": self.identifiers, "names": self.names, "births": self.births}

    @classmethod
    def of_kept(cls, kept: Any) -> Prints:
        """Return what was kept.

        Raises:
            InputError: it isn't of this form.
        """
        if not isinstance(kept, dict) or kept.get("v") != 1 or not isinstance(kept.get("identifiers"), dict):
            raise InputError("what is kept of a person has another form")
        identifiers = {system: list(values) for system, values in kept["identifiers"].items()}
        return cls(identifiers, list(kept["names"]), list(kept["births"]))


def prints_of(person: Person, key: bytes) -> Prints:
    """Return a person's fingerprints.

    Args:
        person: as it was read.
        key: 32 bytes that only the hospital has.
    """

    def mark(kind: str, text: str) -> str:
        return hmac.digest(key, f"{kind}\0{text}".encode("utf-8", "replace"), "sha256")[:16].hex()

    made = Prints()
    for system, value in sorted(person.identifiers):
        made.identifiers.setdefault(mark("system", system), []).append(mark("value", f"{system}\0{value}"))
    for name in dict.fromkeys(person.names):
        words = _words(name)
        if words:
            script = "latin" if all("a" <= one[0] <= "z" for one in words) else "other"
            made.names.append(
                [[script], *([mark("word" if one[1:] else "first", one), mark("first", one[0])] for one in words)]
            )
    made.births = [[mark("birth", birth[:size]) for size in (4, 6, 8) if len(birth) >= size] for birth in person.births]
    return made


def distinct(persons: Iterable[Person], key: bytes) -> tuple[list[Prints], int | None]:
    """Return the persons of one source, and which part tells the second one from the first; None if there is one.

    Args:
        persons: as they were read, one person as often as they occur.
        key: as `prints_of`.
    """
    found: list[tuple[Prints, set[str], set[str]]] = []
    told: int | None = None
    for person in persons:
        made = prints_of(person, key)
        for known, marks, links in found:
            linked = marks & person.links or links & person.marks
            by = None if linked else known.differs(made, named_alike=not marks.isdisjoint(person.marks))
            if by is None:
                known.add(made)
                marks |= person.marks
                links |= person.links
                break
            told = by if told is None else told
        else:
            found.append((made, set(person.marks), set(person.links)))
        if len(found) > MAX_PERSONS:
            break
    return [one for one, *_ in found], told if len(found) > 1 else None


def of_fhir(file: BinaryIO, *, lines: bool) -> Iterator[Person]:
    """Yield the Patients of a Bundle, a resource or NDJSON or, if there is none, whom its resources are about."""
    any_patient = False
    # Looking for a word is cheap, cutting isn't: where it doesn't come any more, nothing is cut.
    left = sum(text.count(_PATIENT) for text in _windows(file, len(_PATIENT) - 1))
    if left:
        file.seek(0)
        for text in _lines(file) if lines else _items(file):
            if _PATIENT in text:
                left -= text.count(_PATIENT)
                value, _ = read(text, depth=MAX_DEPTH)
                for patient in _patients(value):
                    any_patient = True
                    yield patient
                if left <= 0:
                    break
    if not any_patient:
        subjects: dict[str, None] = {}
        for text in _windows(file, _LONGEST_SUBJECT):
            subjects.update(dict.fromkeys(one.decode() for one in _SUBJECT.findall(text)))
            if len(subjects) > MAX_PERSONS:
                break
        for subject in list(subjects)[:MAX_PERSONS]:
            yield Person("reference", {("reference", subject)})


def of_patient(resource: dict[str, Any]) -> Person:
    """Return what identifies the patient of a FHIR Patient."""
    return _patient(resource, None)


def of_fhir_xml(file: BinaryIO) -> Iterator[Person]:
    """Yield the Patients of FHIR in XML or, if there is none, whom its resources are about."""
    left = sum(len(_PATIENT_TAG.findall(text)) for text in _windows(file, _LONGEST_TAG))
    subjects: dict[str, None] = {}
    any_patient = False
    cutter = xml_cutter.Cutter(xml_form(file))
    for part in cutter.feed_all(xml_cutter.pieces_of(file)):
        for patient in _patients(part.value):
            any_patient = True
            yield patient
        if any_patient:
            # Parsing isn't free: where no element of this name comes any more, nothing else is parsed.
            left -= len(_PATIENT_TAG.findall(part.kept))
            if left <= 0:
                return
        elif len(subjects) <= MAX_PERSONS:
            subjects.update(dict.fromkeys(one.decode() for one in _SUBJECT.findall(write(part.value))))
    for patient in _patients(cutter.value):
        any_patient = True
        yield patient
    if not any_patient:
        subjects.update(dict.fromkeys(one.decode() for one in _SUBJECT.findall(write(cutter.value))))
        for subject in list(subjects)[:MAX_PERSONS]:
            yield Person("reference", {("reference", subject)})


def of_export(dates: Iterable[str]) -> Iterator[Person]:
    """Yield whom an export of Apple Health is about, by their birth date: it tells nothing else that identifies."""
    yield from (Person("apple", births=_births([one])) for one in dates)


def of_messages(file: BinaryIO) -> Iterator[Person]:
    """Yield the patient of each PID segment."""
    seen: set[tuple[bytes, ...]] = set()
    for encoding, sender, fields in hl7.patients(file):
        telling = (encoding, sender, *fields[3:4], *fields[5:6], *fields[7:8])
        # A thousand messages are most often about one patient.
        if telling in seen:
            continue
        if len(seen) < MAX_PERSONS:
            seen.add(telling)
        person = Person("hl7")
        component, repetition, _, subcomponent = (encoding[place : place + 1] for place in range(4))
        for one in fields[3].split(repetition) if len(fields) > 3 else ():
            parts = [_text(part) for part in one.split(component)] + [""] * 5
            namespace, universal, *_ = [*[*one.split(component)[3:4], b""][0].split(subcomponent), b"", b""]
            authority = _text(universal) or _text(namespace) or _text(sender)
            if _is_value(parts[0]) and parts[4].upper() not in _OF_A_STAY:
                kind = "" if _is_oid(authority) else parts[4].upper()
                person.identifiers.add((_system(authority, f"hl7:{kind}:"), parts[0]))
        for one in fields[5].split(repetition) if len(fields) > 5 else ():
            person.names.append(_text(b" ".join(one.replace(subcomponent, b" ").split(component)[:3])))
        person.births = _births([_text(fields[7])] if len(fields) > 7 else [])
        yield person


def of_dicom(file: BinaryIO) -> Iterator[Person]:
    """Yield the patient of a DICOM object."""
    found = dicom.patient(file)
    names = _CHARACTER_SETS.get(found.get(dicom.CHARACTER_SET, b"").strip(b"\0 "))
    person = Person("dicom", births=_births([_text(found.get(dicom.PATIENT_BIRTH, b""))]))
    value, issuer = _text(found.get(dicom.PATIENT_ID, b"")), _text(found.get(dicom.PATIENT_ISSUER, b""))
    if _is_value(value):
        person.identifiers.add((_system(issuer, "dicom:"), value))
    if names is not None:
        # A name in two scripts stands in groups (PS3.5 section 6.2.1).
        text = found.get(dicom.PATIENT_NAME, b"").decode(names, "replace")
        person.names = [" ".join(one.split("^")[:3]) for one in text.split("=") if "\ufffd" not in one]
    yield person


def of_document(file: BinaryIO) -> Iterator[Person]:
    """Yield each recordTarget of a CDA document, or each Patient of a FHIR one, of the first mebibyte."""
    file.seek(0)
    reader = _Targets()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.EntityDeclHandler = reader.stop
    # What is wrong with a document is told by the reader that splits it.
    with suppress(expat.ExpatError, _StopError, LookupError, ValueError):
        parser.Parse(file.read(_XML_BOUND), False)
    yield from reader.found


class _StopError(Exception):
    """The header of a document is read."""


class _Targets:
    def __init__(self) -> None:
        self.found: list[Person] = []
        self._path: list[str] = []
        self._name: list[str] = []
        self._fhir: _Patients | None = None

    def stop(self, *_: Any) -> None:
        raise _StopError

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2])
        if len(self._path) > MAX_DEPTH or len(self.found) > MAX_PERSONS:
            raise _StopError
        if self._path[0] != "ClinicalDocument":
            self._fhir = self._fhir or _Patients(self.found)
            self._fhir.start(self._path, attributes.get("value"))
            return
        if self._path[1:2] != ["recordTarget"]:
            if len(self._path) == 2 and self._path[1] in _HEADER_END:
                raise _StopError
            return
        rest = self._path[2:]
        if not rest:
            self.found.append(Person("cda"))
        elif rest == ["patientRole", "id"]:
            root, value = attributes.get("root", ""), attributes.get("extension", "")
            if _is_value(value) and root and "nullFlavor" not in attributes:
                self.found[-1].identifiers.add((_system(root, ""), value))
        elif rest == ["patientRole", "patient", "birthTime"]:
            self.found[-1].births |= _births([attributes.get("value", "")])
        elif rest == ["patientRole", "patient", "name"]:
            self._name = []

    def data(self, text: str) -> None:
        if self._path[2:5] == ["patientRole", "patient", "name"]:
            self._name.append(text)

    def end(self, _name: str) -> None:
        if self._fhir is not None:
            self._fhir.end(self._path)
        elif self._path[1:] == ["recordTarget", "patientRole", "patient", "name"]:
            self.found[-1].names.append("".join(self._name))
        elif self._path[2:5] == ["patientRole", "patient", "name"]:
            self._name.append(" ")
        self._path.pop()


class _Patients:
    """Makes of each Patient in FHIR's XML what JSON would hold of it."""

    def __init__(self, found: list[Person]) -> None:
        self._found = found
        self._url: str | None = None
        self._depth = 0
        """Of the Patient that is being read; 0 outside of one."""
        self._nodes: list[dict[str, Any]] = []

    def start(self, path: list[str], value: str | None) -> None:
        if path[-2:] == ["entry", "fullUrl"]:
            self._url = value
        elif path[-2:] == ["Bundle", "entry"]:
            self._url = None
        if self._depth:
            self._nodes.append({} if value is None else {"": value})
        elif path[-1] == "Patient" and path[-2:-1] in ([], ["resource"]):
            self._depth, self._nodes = len(path), [{}]

    def end(self, path: list[str]) -> None:
        if not self._depth:
            return
        node = self._nodes.pop()
        if len(path) == self._depth:
            self._depth = 0
            self._found.append(_patient({"resourceType": "Patient", **node}, self._url))
        elif len(path) > self._depth + 1 or path[-1] in _OF_PATIENT:
            made = node.get("", node)
            if path[-1] in _MANY:
                self._nodes[-1].setdefault(path[-1], []).append(made)
            else:
                self._nodes[-1].setdefault(path[-1], made)


def _windows(file: BinaryIO, overlap: int) -> Iterator[bytes]:
    """Yield all of a file in pieces, each after the end of the one before, so that nothing short is cut in two."""
    file.seek(0)
    kept = b""
    while piece := file.read(_WINDOW):
        text = kept + piece
        yield text
        kept = text[-overlap:]


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_PIECE + 1):
        yield line.removeprefix(BOM).strip(BLANKS)


def _items(file: BinaryIO) -> Iterator[bytes]:
    """Yield the entries of a Bundle, or a single resource."""
    cutter, any_entry = Cutter(file), False
    if cutter.peek() != b"{":
        return
    for name in cutter.names():
        if name == "entry" and cutter.peek() == b"[":
            any_entry = True
            yield from (bytes(one) for one in cutter.items())
        else:
            cutter.value()
    if not any_entry:
        file.seek(0)
        yield file.read(MAX_PIECE).removeprefix(BOM).strip(BLANKS)


def _patients(entry: Any) -> Iterator[Person]:
    """Yield the Patients in an entry, in nested Bundles and Parameters, too; not those inside other resources."""
    stack: list[tuple[Any, Any]] = [(entry, None)]
    while stack:
        item, url = stack.pop()
        if isinstance(item, list):
            stack.extend((one, url) for one in reversed(item))
        elif isinstance(item, dict) and item.get("resourceType") == "Patient":
            yield _patient(item, url)
        elif isinstance(item, dict):
            stack.extend((item[one], item.get("fullUrl")) for one in ("resource", "entry", "parameter") if one in item)


def _patient(resource: dict[str, Any], url: Any) -> Person:
    person = Person("fhir", births=_births([str(resource.get("birthDate") or "")]))
    person.marks = {one.decode("utf-8", "replace") for one in names_of(resource, url)}
    for link in _dicts(resource.get("link")):
        person.links.update(
            str(one["reference"])[-200:].partition("/_history")[0]
            for one in _dicts(link.get("other"))
            if one.get("reference")
        )
    for one in _dicts(resource.get("identifier")):
        kinds = _dicts(_dicts(one.get("type"))[0].get("coding")) if _dicts(one.get("type")) else []
        if any(str(kind.get("code")).upper() in _OF_A_STAY for kind in kinds):
            continue
        if isinstance(one.get("system"), str) and _is_value(one.get("value")):
            person.identifiers.add((_system(one["system"], ""), str(one["value"]).strip()))
    for one in _dicts(resource.get("name")):
        # DSTU2 has several family names.
        parts = [part for key in ("family", "given") for part in _listed(one.get(key)) if isinstance(part, str)]
        told = " ".join(parts) or one.get("text")
        if isinstance(told, str):
            person.names.append(told)
    return person


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, dict)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_value(value: Any) -> bool:
    """Tell whether an identifier identifies anybody: not when it is empty, or a filler such as 0000 or UNKNOWN."""
    text = str(value or "").strip().strip('"')
    return bool(text.strip("0-_.xX?*")) and text.upper() not in ("UNKNOWN", "NONE", "NULL", "ANONYMOUS", "N/A", "NA")


def _is_oid(text: str) -> bool:
    return re.fullmatch(r"[0-2](?:\.\d+)+", text) is not None


def system_of(text: str) -> str:
    """Return a system of FHIR's identifiers in the form in which systems are compared."""
    return _system(text, "")


def _system(text: str, prefix: str) -> str:
    """Return a system in one form: an OID is the same one in each format; other names hold in their format."""
    plain = text.strip().removeprefix("urn:oid:")
    return plain if _is_oid(plain) else prefix + plain.casefold()


def _births(texts: Iterable[str]) -> set[str]:
    digits = (re.sub(r"[^0-9]", "", one[:10])[:8] for one in texts)
    return {one[: len(one) // 2 * 2] for one in digits if len(one) >= 4 and one[:4] not in ("0000", "9999")}


def _text(part: bytes) -> str:
    part = part.strip(b"\0 ")
    try:
        return part.decode()
    except UnicodeDecodeError:
        return part.decode("latin-1")


def _words(name: str) -> list[str]:
    """Return the words of a name without case, accents, titles, and the two ways of writing an umlaut."""
    folded = unicodedata.normalize("NFKD", few_marks(name.casefold().replace("ß", "ss")))
    plain = "".join(one for one in folded if not unicodedata.combining(one))
    words = [_UMLAUT.sub(r"\1", one) for one in _WORD.findall(plain.replace("'", "").replace("\u2019", ""))]
    return sorted({one for one in words if one not in _TITLES})


def _same_birth(left: list[str], right: list[str]) -> bool:
    size = min(len(left), len(right))
    return left[:size] == right[:size]


def _same_name(left: list[list[str]], right: list[list[str]]) -> bool:
    """Tell whether each word of the shorter name is in the longer one, or is the first letter of one there."""
    short, long = sorted((left, right), key=len)
    return all(any(a[0] == b[0] or (a[1] == b[1] and (a[0] == a[1] or b[0] == b[1])) for b in long) for a in short)


def read_quietly(persons: Iterator[Person]) -> list[Person]:
    """Return the persons of a source, as far as it can be read: the reader that splits it says what is wrong."""
    found: list[Person] = []
    try:
        for person in persons:
            found.append(person)
    except InputError:
        pass
    return found
