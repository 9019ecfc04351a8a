"""Whose record it is: the same person in any format is the same one, and another one is another one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import InputError
from panachain.records.persons import FIELDS, Person, Prints, distinct, prints_of
from panachain.records.samples import _element, sample_bundle, sample_dicom
from panachain.records.sources import find_sources

KEY = b"k" * 32
OID = "2.16.840.1.113883.19.7"
FAMILIES = ("Müller", "García", "O'Hara", "Okafor", "Lindqvist", "Haddad", "Novák", "Weiß")
GIVEN = ("Änne", "José", "Ruth", "Tomas", "Ida", "Björn", "Chidi", "Leïla")


def fhir(who: dict[str, str], suffix: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", "id": f"p{suffix}"}
    made["identifier"] = [{"system": f"urn:oid:{OID}", "value": who["id"]}]
    made["name"] = [{"prefix": ["Dr."], "family": who["family"].upper(), "given": [who["given"]]}]
    return {**made, "birthDate": f"{who['birth'][:4]}-{who['birth'][4:6]}-{who['birth'][6:]}"}


def written(who: dict[str, str], form: str) -> bytes:
    """Return a file about a person."""
    family, given, birth, number = who["family"], who["given"], who["birth"], who["id"]
    if form == "json":
        return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": fhir(who)}]}).encode()
    if form == "ndjson":
        return json.dumps(fhir(who)).encode() + b"\n"
    if form == "hl7":
        head = "MSH|^~\\&|A|B|C|D|20240611101500||ORU^R01|1|P|2.5.1"
        return f"{head}\rPID|1||{number}^^^&{OID}&ISO^MR~9^^^H^VN||{family}^{given}||{birth}\r".encode()
    if form == "xml":
        return (
            '<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole>'
            f'<id root="{OID}" extension="{number}"/>'
            f"<patient><name><given>{given}</given><family>{family}</family></name>"
            f'<birthTime value="{birth}"/></patient></patientRole></recordTarget><component/></ClinicalDocument>'
        ).encode()
    if form == "fhir.xml":
        return (
            '<Bundle xmlns="http://hl7.org/fhir"><entry><fullUrl value="urn:uuid:1"/><resource><Patient><id value="p"/>'
            f'<identifier><type><coding><code value="VN"/></coding></type><system value="urn:v"/><value value="9"/>'
            f'</identifier><identifier><system value="urn:oid:{OID}"/><value value="{number}"/></identifier>'
            f'<name><family value="{family}"/><given value="{given}"/></name>'
            f'<birthDate value="{birth[:4]}-{birth[4:6]}-{birth[6:]}"/></Patient></resource></entry></Bundle>'
        ).encode()
    values = [(0x10, b"PN", f"{family}^{given}"), (0x20, b"LO", number), (0x21, b"LO", OID), (0x30, b"DA", birth)]
    encoded = b""
    for element, kind, value in values:
        text = value.encode("utf-8")
        text += b" " * (len(text) % 2)
        encoded += b"\x10\0" + bytes([element, 0]) + kind + len(text).to_bytes(2, "little") + text
    meta = _element(2, 0x10, b"UI", "1.2.840.10008.1.2.1")
    return bytes(128) + b"DICM" + meta + _element(8, 5, b"CS", "ISO_IR 192") + encoded


FORMS = ("json", "ndjson", "hl7", "xml", "fhir.xml", "dcm")


def persons(folder: Path, content: bytes, form: str) -> list[Person]:
    path = folder / f"a.{form}"
    path.write_bytes(content)
    return next(iter(find_sources([path]))).persons()


def test_200_pairs_of_same_and_other_persons_in_all_formats_are_told_apart(tmp_path: Path) -> None:
    rng = random.Random(15)
    wrong = []
    for number in range(200):
        one = {"id": f"M{number}", "family": rng.choice(FAMILIES), "given": rng.choice(GIVEN)}
        one["birth"] = f"{rng.randrange(1930, 2020)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
        same, by_name = number % 2 == 0, number % 4 > 1
        other = dict(one)
        if not same:
            # A twin or a namesake: only the number and one thing more differ.
            other["id"] = f"N{number}"
            changed = rng.choice(("given", "birth"))
            left = [name for name in GIVEN if name != one["given"]]
            other[changed] = (
                rng.choice(left) if changed == "given" else f"{int(one['birth'][:4]) + 1}{one['birth'][4:]}"
            )
        forms = rng.choice(FORMS), rng.choice(FORMS)
        first, second = (
            persons(tmp_path, written(who, form), form) for who, form in zip((one, other), forms, strict=True)
        )
        if by_name:
            first[0].identifiers.clear()
        (left_print,), (right_print,) = distinct(first, KEY)[0], distinct(second, KEY)[0]
        if (left_print.differs(right_print) is None) is not same:
            wrong.append((number, forms))
    assert wrong == []


@pytest.mark.parametrize("form", ["json", "ndjson", "hl7", "xml", "fhir.xml"])
def test_several_persons_in_one_source_are_told_by_the_field(tmp_path: Path, form: str) -> None:
    mother = {"id": "1", "family": "Novak", "given": "Ida", "birth": "19900102"}
    child = {"id": "2", "family": "Novak", "given": "Ruth", "birth": "20240102"}
    if form == "json":
        entries = [{"resource": fhir(mother, "1")}, {"resource": fhir(child, "2")}]
        content = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    elif form == "fhir.xml":
        first, second = (written(who, form) for who in (mother, child))
        content = first.replace(b"</Bundle>", second[second.index(b"<entry>") :])
    elif form == "xml":
        first, second = (written(who, form).decode() for who in (mother, child))
        target = second[second.index("<recordTarget>") : second.index("<component/>")]
        content = first.replace("<component/>", f"{target}<component/>").encode()
    else:
        content = written(mother, form) + written(child, form)
    found = persons(tmp_path, content, form)
    several, field = distinct(found, KEY)
    assert (len(several), field) == (2, 0)
    assert FIELDS[found[0].form][0] in ("Patient.identifier", "PID-3", "patientRole/id")


def test_a_linked_patient_is_the_same_person(tmp_path: Path) -> None:
    one = {"id": "1", "family": "Novak", "given": "Ida", "birth": "19900102"}
    linked = {**fhir({**one, "id": "2"}, "2"), "link": [{"other": {"reference": "Patient/p1"}, "type": "replaces"}]}
    entries = [{"resource": fhir(one, "1")}, {"resource": linked}]
    found = persons(
        tmp_path, json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode(), "json"
    )
    assert (len(found), distinct(found, KEY)[1]) == (2, None)


def test_subjects_tell_persons_apart_where_no_patient_is(tmp_path: Path) -> None:
    lines = [{"resourceType": "Observation", "subject": {"reference": f"Patient/{one}"}} for one in ("a", "a", "b")]
    found = persons(tmp_path, b"\n".join(json.dumps(line).encode() for line in lines), "ndjson")
    assert distinct(found, KEY)[1] is not None
    assert distinct(persons(tmp_path, json.dumps(lines[0]).encode(), "ndjson"), KEY)[1] is None


def test_a_person_far_behind_in_a_large_source_is_found(tmp_path: Path) -> None:
    other = {"resourceType": "Observation", "subject": {"reference": "Patient/a"}, "valueString": "x" * 90_000}
    entries = [{"resource": other}] * 9
    patients = [{"resource": fhir({"id": one, "family": one, "given": "B", "birth": "19700101"}, one)} for one in "12"]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [patients[0], *entries, patients[1]]}
    assert distinct(persons(tmp_path, json.dumps(bundle).encode(), "json"), KEY)[1] == 0
    # Whatever piece of the file a reference begins in.
    for blanks in range(0, 120, 7):
        last = b'{"resourceType":"Observation","subject":{"reference":"Patient/b"}}'
        content = json.dumps(other).encode()[:-1] + b" " * ((1 << 18) - 90_200 + blanks) + b"}\n" + last
        assert distinct(persons(tmp_path, content, "ndjson"), KEY)[1] == 0


def test_the_samples_are_about_one_person_whatever_their_number(tmp_path: Path) -> None:
    found = [persons(tmp_path, sample_bundle(seed), "json") for seed in (1, 2, 9)]
    found += [persons(tmp_path, sample_dicom(seed), "dcm") for seed in (1, 2)]
    assert distinct([person for source in found for person in source], KEY)[1] is None


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("Anna Maria Muster", "MUSTER, A.", True),
        ("Jürgen Groß", "Gross Juergen", True),
        ("Anna Muster", "Berta Muster", False),
        ("山田 太郎", "Yamada Tarou", True),
    ],
)
def test_case_accents_order_titles_and_initials_of_a_name_dont_matter(left: str, right: str, same: bool) -> None:
    first, second = (prints_of(Person("fhir", names=[name], births={"19700101"}), KEY) for name in (left, right))
    assert (first.differs(second) is None) is same


def test_identifiers_of_a_visit_or_an_account_identify_nobody(tmp_path: Path) -> None:
    for kind in ("VN", "AN", "vn"):
        message = f"MSH|^~\\&|A|B|C|D|2024||ORU^R01|1|P|2.5.1\rPID|1||9^^^&{OID}&ISO^{kind}~8^^^H^{kind}||A^B||1970\r"
        assert persons(tmp_path, message.encode(), "hl7")[0].identifiers == set()
        typed = {"type": {"coding": [{"code": "x"}, {"code": kind}]}, "system": "urn:s", "value": "9"}
        patient = {"resourceType": "Patient", "id": "p", "identifier": [typed, {"system": "urn:m", "value": "1"}]}
        assert persons(tmp_path, json.dumps(patient).encode(), "json")[0].identifiers == {("urn:m", "1")}


BOTH = {("a", "1"), ("b", "1")}


@pytest.mark.parametrize(
    ("identifiers", "name", "birth", "told"),
    [
        # All systems agree: a corrected date or a new name is the same person, both at once aren't.
        (BOTH, "Anna Aster", "19700101", None),
        (BOTH, "Anna Birch", "19700101", None),
        (BOTH, "Anna Aster", "19700102", None),
        (BOTH, "Berta Birch", "19880808", 2),
        (BOTH, "", "19880808", None),
        # They contradict each other: both name and date have to be known and to agree.
        ({("a", "1"), ("b", "2")}, "Anna Aster", "19700101", None),
        ({("a", "1"), ("b", "2")}, "Berta Aster", "19700101", 0),
        ({("a", "1"), ("b", "2")}, "Anna Aster", "19700102", 0),
        ({("a", "1"), ("b", "2")}, "", "19700101", 0),
        ({("a", "1"), ("b", "2")}, "Anna Aster", "", 0),
        # None agrees: a namesake who was born on the same day.
        ({("a", "2")}, "Anna Aster", "19700101", 0),
        # None in common.
        ({("c", "1")}, "Anna Aster", "1970", None),
        (set(), "Anna Aster", "19700102", 2),
        (set(), "Berta Aster", "19700101", 1),
        (set(), "", "", None),
    ],
)
def test_which_part_says_that_it_is_another_person(
    identifiers: set[tuple[str, str]], name: str, birth: str, told: int | None
) -> None:
    known = Person("fhir", BOTH, ["Anna Aster"], {"19700101"})
    other = Person("fhir", identifiers, [name], {birth} if birth else set())
    left, right = prints_of(known, KEY), prints_of(other, KEY)
    assert (left.differs(right), right.differs(left)) == (told, told)


def test_one_id_twice_in_a_source_is_one_person_who_may_have_changed_their_name_or_two_by_their_numbers() -> None:
    first = Person("fhir", names=["Anna Aster"], births={"19700101"}, marks={"Patient/p"})
    married = Person("fhir", names=["Anna Birch"], births={"19700101"}, marks={"Patient/p"})
    other = Person("fhir", names=["Berta Birch"], births={"19880808"}, marks={"Patient/p"})
    assert distinct([first, married], KEY)[1] is None
    assert distinct([first, other], KEY)[1] == 2
    first.identifiers, married.identifiers = {("a", "1")}, {("a", "2")}
    assert distinct([first, married], KEY)[1] == 0


def test_a_printed_person_shows_nothing() -> None:
    assert repr(Person("fhir", {("a", "1")}, ["Aster"], {"19700101"}, {"Patient/p"}, {"x"})) == "Person(form='fhir')"


@pytest.mark.parametrize(
    "kept", [None, {}, [], {"v": 2, "identifiers": {}, "names": [], "births": []}, {"v": 1, "identifiers": []}]
)
def test_what_was_kept_in_another_form_is_refused(kept: Any) -> None:
    with pytest.raises(InputError, match="another form"):
        Prints.of_kept(kept)


def test_fillers_identify_nobody_and_fingerprints_hold_no_value(tmp_path: Path) -> None:
    who = {"id": "0000", "family": "Novak", "given": "Ida", "birth": "19900102"}
    found = persons(tmp_path, written(who, "hl7"), "hl7")[0]
    assert found.identifiers == set()
    kept = repr(prints_of(found, KEY).to_kept())
    assert not any(word in kept.lower() for word in ("novak", "ida'", "19900102"))
    assert prints_of(found, KEY).to_kept() != prints_of(found, b"x" * 32).to_kept()
