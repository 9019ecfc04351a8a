"""The document: valid by an outside reader and by the profiles' table, honest about what it lacks, and never ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from panachain.model.scope import EMERGENCY, RESTRICTED, Category
from panachain.records.samples import sample_bundle
from panachain.summary import Summary
from panachain.viewer.items import Told
from tests.support import shared
from tests.unit.summary.helpers import allergy, concept, condition, document, item, made, of_kind, section
from tests.unit.summary.ips import REQUIRED, faults
from tests.unit.test_plain import ANY, is_plain
from tests.unit.viewer.helpers import file

PATIENTS = 17
"""Bundles of patients in the oldest folder of Synthea's; another file there is of practitioners."""


def of_file(path: Path) -> Summary:
    return made(file(path.read_bytes(), "application/fhir+json"))


def test_ips_from_17_synthea_patients_are_17_valid() -> None:
    folder = shared("data", "fhir-r4", "synthea-2019-smart")
    paths = [path for path in sorted(folder.glob("*.json")) if not path.name.startswith("_")]
    assert len(paths) == PATIENTS
    found = {path.name: faults(of_file(path).content) for path in paths}
    print(f"IPS from {len(paths)} Synthea patients: {sum(not one for one in found.values())} valid")
    assert not {name: one for name, one in found.items() if one}


@pytest.mark.parametrize(
    "folder", ["synthea-2020-iris", "synthea-2021-hiv-documents", "synthea-v3.0-pathling", "synthea-v3.3-pathling"]
)
def test_later_synthea_gives_valid_ones_too(folder: str) -> None:
    for path in sorted(shared("data", "fhir-r4", folder).glob("*.json")):
        assert faults(of_file(path).content) == [], path.name


def test_hl7s_own_examples_together_give_a_valid_one() -> None:
    paths = sorted(shared("data", "fhir-r4", "hl7-examples-4.0.1").glob("*.json"))
    contents = (path.read_bytes() for path in paths)
    found = made(*(file(one, "application/fhir+json", number) for number, one in enumerate(contents, 1)))
    assert faults(found.content) == []
    assert all(found.sections.values()), found.sections


def test_our_own_sample_gives_a_valid_one() -> None:
    found = made(file(sample_bundle(), "application/fhir+json"))
    assert faults(found.content) == []
    assert found.sections["allergies"] == 1


def test_the_table_notices_whatever_is_missing() -> None:
    """A check that can't fail would be none: without each required element in turn the document isn't valid."""
    whole = document(made(file(sample_bundle(), "application/fhir+json")))
    assert faults(json.dumps(whole).encode()) == []
    for place, entry in enumerate(whole["entry"]):
        for path in REQUIRED[entry["resource"]["resourceType"]]:
            name = path.partition(".")[0].removesuffix("[x]")
            broken = json.loads(json.dumps(whole))
            resource = broken["entry"][place]["resource"]
            for key in [key for key in resource if key.lstrip("_").startswith(name)]:
                del resource[key]
            assert faults(json.dumps(broken).encode()), (entry["resource"]["resourceType"], path)


def test_nothing_recorded_is_no_statement_that_there_is_nothing() -> None:
    found = made()
    assert faults(found.content) == []
    told = section(found, "48765-2")
    assert told["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "No known" not in found.content.decode()
    assert of_kind(found, "AllergyIntolerance") == []


def test_what_a_hospital_stated_as_none_known_stands_there_as_its_statement() -> None:
    found = made(item(allergy("716186003", "No known allergy")))
    assert of_kind(found, "AllergyIntolerance")[0]["code"]["coding"][0]["code"] == "716186003"
    assert "City clinic" in section(found, "48765-2")["text"]["div"]


class TestWithheld:
    def test_a_category_that_was_not_granted_is_called_withheld_and_not_empty(self) -> None:
        found = made(item(condition()), readable={Category.CONDITIONS})
        assert faults(found.content) == []
        assert section(found, "48765-2")["emptyReason"]["coding"][0]["code"] == "withheld"
        assert "emptyReason" not in section(found, "11450-4")
        assert set(found.withheld) == {one.value for one in Category} - {"conditions"}
        assert document(found)["meta"]["security"][0]["code"] == "REDACTED"

    def test_the_same_rule_tells_it_whether_or_not_there_is_anything(self) -> None:
        """A notice only where something is would betray that there is something."""
        withheld = tuple(one.value for one in Category if one in RESTRICTED)
        for items in ((), (item(condition()),)):
            found = made(*items, told=Told(withheld=withheld), readable=frozenset(EMERGENCY))
            words = of_kind(found, "Composition")[0]["text"]["div"]
            assert "Something may be withheld" in words
            assert "mental-health" in words

    def test_whoever_reads_everything_is_told_of_nothing(self) -> None:
        found = made(item(condition()))
        assert found.withheld == ()
        assert "withheld" not in found.content.decode()
        assert "security" not in document(found)["meta"]

    def test_what_could_not_be_opened_is_named(self) -> None:
        found = made(item(condition()), told=Told(omissions=("record bafk of the <clinic>",)))
        assert "record bafk of the &lt;clinic&gt;" in of_kind(found, "Composition")[0]["text"]["div"]
        assert document(found)["meta"]["security"][0]["code"] == "REDACTED"

    def test_what_can_not_be_read_is_named_and_costs_the_others_nothing(self) -> None:
        broken = file(b'{"resourceType": "Bundle", "entry": [', "application/fhir+json", 2)
        found = made(item(condition()), broken)
        assert (found.sections["problems"], [one.record for one in found.unread]) == (1, [2])
        assert "can't be read: record 2 of City clinic" in of_kind(found, "Composition")[0]["text"]["div"]

    def test_files_that_are_not_fhir_are_counted(self) -> None:
        found = made(item(condition()), file(b"%PDF-1.7", "application/pdf", 2))
        assert found.others == 1
        assert "Not looked into: 1 record not" in of_kind(found, "Composition")[0]["text"]["div"]


class TestProvenance:
    def test_each_statement_leads_to_its_record_and_hospital(self) -> None:
        found = made(item(allergy()), item(condition(), number=2, hospital="Mercy", stored_at=1_600_000_000))
        urls = {entry["resource"]["resourceType"]: entry["fullUrl"] for entry in document(found)["entry"]}
        by_record = {one["entity"][0]["what"]["identifier"]["value"]: one for one in of_kind(found, "Provenance")}
        assert by_record["bafy2"]["target"] == [{"reference": urls["Condition"]}]
        assert by_record["bafy2"]["agent"][0]["who"]["display"] == "Mercy"
        assert by_record["bafy2"]["recorded"] == "2020-09-13T12:26:40Z"
        assert by_record["bafy1"]["target"] == [{"reference": urls["AllergyIntolerance"]}]

    def test_of_what_two_hospitals_say_both_records_are_named(self) -> None:
        found = made(item(allergy()), item(allergy(), number=2, hospital="Mercy"))
        assert (found.merged, found.sections["allergies"]) == (1, 1)
        assert len(of_kind(found, "Provenance")) == 2
        assert "City clinic, Mercy" in section(found, "48765-2")["text"]["div"]

    def test_nobody_attests_it_and_a_program_is_its_author(self) -> None:
        found = made(item(allergy()))
        composition = of_kind(found, "Composition")[0]
        assert "attester" not in composition
        author = next(
            entry["resource"] for entry in document(found)["entry"]
            if entry["fullUrl"] == composition["author"][0]["reference"]
        )  # fmt: skip
        assert author["deviceName"][0]["name"] == "PanaChain"
        assert "Nobody checked or attested it" in composition["text"]["div"]


class TestPerson:
    def person(self, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "Patient",
            "name": [{"family": "Sample", "given": ["P."]}],
            "birthDate": "1970-01-02",
            **more,
        }

    def test_contacts_of_all_hospitals_and_relatives_are_there_once(self) -> None:
        contact = {"name": {"text": "R."}, "telecom": [{"system": "phone", "value": "555-1"}]}
        other = {"resourceType": "RelatedPerson", "name": [{"text": "S."}], "telecom": [{"value": "555-2"}]}
        found = made(
            item(self.person(contact=[contact])),
            item(self.person(contact=[contact]), other, number=2, hospital="Mercy"),
        )
        shown = of_kind(found, "Patient")[0]["contact"]
        assert [one["telecom"][0]["value"] for one in shown] == ["555-1", "555-2"]
        assert faults(found.content) == []

    def test_the_newest_record_says_who_and_an_older_one_what_it_lacks(self) -> None:
        old = item(self.person(gender="female", telecom=[{"value": "1"}]), stored_at=1)
        new = item(self.person(telecom=[{"value": "2"}]), number=2, stored_at=2)
        patient = of_kind(made(old, new), "Patient")[0]
        assert (patient["gender"], patient["telecom"]) == ("female", [{"value": "2"}])

    def test_nobody_named_is_absent_and_not_invented(self) -> None:
        patient = of_kind(made(item(condition())), "Patient")[0]
        assert patient["name"][0]["extension"][0]["valueCode"] == "unknown"
        assert patient["_birthDate"]["extension"][0]["valueCode"] == "unknown"

    def test_records_of_two_persons_are_told_apart_loudly(self) -> None:
        found = made(item(self.person()), item(self.person(birthDate="1980-01-01"), number=2))
        assert found.differs
        assert "different persons" in of_kind(found, "Composition")[0]["text"]["div"]
        assert not made(item(self.person()), item(self.person(), number=2)).differs


def test_a_medicine_that_is_referred_to_comes_along() -> None:
    statement = {
        "resourceType": "MedicationStatement", "status": "active", "effectiveDateTime": "2023-01-01",
        "medicationReference": {"reference": "#m"}, "contained": [
            {"resourceType": "Medication", "id": "m", "code": concept("387207008", "Ibuprofen")}],
    }  # fmt: skip
    found = made(item(statement))
    assert faults(found.content) == []
    medication = next(one for one in document(found)["entry"] if one["resource"]["resourceType"] == "Medication")
    shown = of_kind(found, "MedicationStatement")[0]
    assert shown["medicationReference"] == {"reference": medication["fullUrl"]}
    assert "Ibuprofen" in section(found, "10160-0")["text"]["div"]


def test_decimals_keep_their_digits() -> None:
    result = {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2023-01-01",
        "category": [concept("laboratory", system="http://terminology.hl7.org/CodeSystem/observation-category")],
        "code": concept("2345-7", system="http://loinc.org"),
    }  # fmt: skip
    content = json.dumps({**result, "valueQuantity": {"value": 1, "unit": "mg"}}).replace('"value": 1', '"value": 1.10')
    assert b'"value":1.10' in made(file(content.encode(), "application/fhir+json")).content


@given(ANY)
def test_no_text_of_others_steers_a_terminal_that_shows_the_document(text: str) -> None:
    """`panachain summary` prints it."""
    told = allergy(display=text, note=[{"text": text}], reaction=[{"manifestation": [{"text": text}]}], id=text)
    shown = made(item(told, {"resourceType": "Patient", "name": [{"text": text}]}, hospital="City")).content.decode()
    assert is_plain(shown, but="\n\t")


_WORDS = ["active", "2020-01-01", "final", "completed"]
_KEYS = ["code", "coding", "status", "text", "value", "system", "start", "reference", "display", "name"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(_WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=8,
)
_ELEMENTS = st.sampled_from(
    [
        *("status", "clinicalStatus", "code", "category", "onsetDateTime", "medicationCodeableConcept", "intent"),
        *("valueQuantity", "vaccineCode", "effectiveDateTime", "reaction", "dosage", "note", "component", "contact"),
        *("birthDate", "device", "deviceName", "contained", "medicationReference", "modifierExtension", "id"),
    ]
)
_KINDS = st.sampled_from([kind for kind in REQUIRED if kind not in ("Bundle", "Provenance", "Composition")])


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@example([("Immunization", {"status": "completed"})])
@given(st.lists(st.tuples(_KINDS, st.dictionaries(_ELEMENTS, _JSON, max_size=8)), max_size=4))
def test_whatever_a_hospital_writes_the_document_stays_valid(parts: list[tuple[str, dict[str, Any]]]) -> None:
    found = made(item(*({"resourceType": kind, **elements} for kind, elements in parts)))
    assert faults(found.content) == []
