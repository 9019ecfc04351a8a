"""What a resource says is told as what it is: a fact, something unsure, something past, or something that isn't so."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.viewer.fhir import Entry
from tests.unit.viewer.helpers import file, item, of, shown

SNOMED = "http://snomed.info/sct"


def one(resource: dict[str, Any]) -> Entry:
    (section,) = of(resource).sections
    (entry,) = section.entries
    return entry


def condition(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "code": {"text": "Asthma"}, "onsetDateTime": "2019-05-01", **more}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


@pytest.mark.parametrize(
    ("resource", "mark"),
    [
        (condition(verificationStatus=coded("refuted")), "refuted"),
        (condition(verificationStatus=coded("entered-in-error")), "in_error"),
        (condition(verificationStatus="entered-in-error"), "in_error"),
        (condition(modifierExtension=[{"url": "urn:x", "valueBoolean": True}]), "modified"),
        (condition(stage=[{"modifierExtension": [{"url": "urn:x"}]}]), "modified"),
        (condition(implicitRules="urn:x"), "modified"),
        ({"resourceType": "Immunization", "status": "not-done", "vaccineCode": {"text": "x"}}, "not_done"),
        ({"resourceType": "Immunization", "wasNotGiven": True, "vaccineCode": {"text": "x"}}, "not_done"),
        ({"resourceType": "Immunization", "notGiven": True, "vaccineCode": {"text": "x"}}, "not_done"),
        ({"resourceType": "Procedure", "status": "not-done", "code": {"text": "x"}}, "not_done"),
        ({"resourceType": "Procedure", "notPerformed": True, "code": {"text": "x"}}, "not_done"),
        ({"resourceType": "Procedure", "notDone": True, "code": {"text": "x"}}, "not_done"),
        ({"resourceType": "MedicationRequest", "doNotPerform": True, "medication": {"text": "x"}}, "forbidden"),
        ({"resourceType": "MedicationStatement", "status": "not-taken", "medication": {"text": "x"}}, "not_taken"),
        ({"resourceType": "MedicationStatement", "taken": "n", "medication": {"text": "x"}}, "not_taken"),
        ({"resourceType": "MedicationStatement", "wasNotTaken": True, "medication": {"text": "x"}}, "not_taken"),
        ({"resourceType": "Encounter", "status": "cancelled", "type": [{"text": "x"}]}, "cancelled"),
        ({"resourceType": "Appointment", "status": "noshow", "description": "x"}, "not_done"),
        ({"resourceType": "DocumentReference", "docStatus": "entered-in-error", "description": "x"}, "in_error"),
        (
            {"resourceType": "AllergyIntolerance", "verificationStatus": coded("refuted"), "code": {"text": "x"}},
            "refuted",
        ),
    ],
)
def test_what_is_not_so_is_never_a_fact(resource: dict[str, Any], mark: str) -> None:
    entry = one(resource)
    assert mark in entry.marks
    assert (entry.group, entry.is_fact) == ("not", False)


def test_an_escaped_name_hides_no_extension() -> None:
    content = b'{"resourceType":"Condition","code":{"text":"x"},"modifier\\u0045xtension":[{"url":"urn:x"}]}'
    (section,) = shown(file(content, "application/fhir+json")).sections
    assert "modified" in section.entries[0].marks


@pytest.mark.parametrize(
    ("more", "group", "mark"),
    [
        ({"clinicalStatus": coded("active")}, "current", ""),
        ({"clinicalStatus": "active"}, "current", ""),
        ({"clinicalStatus": coded("resolved")}, "past", ""),
        ({"abatementDateTime": "2020-01-01"}, "past", ""),
        ({}, "current", "no_state"),
        ({"verificationStatus": coded("provisional")}, "unsure", "unconfirmed"),
        ({"onsetDateTime": "2024-02-30"}, "current", "bad_date"),
        ({"onsetDateTime": None}, "current", "no_date"),
        ({"onsetDateTime": "2099-01-01"}, "current", "future"),
    ],
)
def test_problems_by_what_is_said_of_them(more: dict[str, Any], group: str, mark: str) -> None:
    entry = one(condition(**more))
    assert entry.group == group
    assert not mark or mark in entry.marks


@pytest.mark.parametrize(
    ("more", "group"),
    [
        ({"status": "active"}, "current"),
        ({"status": "completed"}, "past"),
        ({"status": "stopped"}, "past"),
        ({"status": "active", "effectivePeriod": {"start": "2019-01-01", "end": "2019-02-01"}}, "past"),
        ({"status": "active", "effectivePeriod": {"start": "2019-01-01", "end": "2099-02-01"}}, "current"),
    ],
)
def test_current_medications_are_told_from_past_ones(more: dict[str, Any], group: str) -> None:
    assert (
        one({"resourceType": "MedicationStatement", "medicationCodeableConcept": {"text": "x"}, **more}).group == group
    )


def test_a_proposal_is_no_prescription() -> None:
    entry = one(
        {"resourceType": "MedicationRequest", "status": "active", "intent": "proposal", "medication": {"text": "x"}}
    )
    assert (entry.group, entry.marks) == ("unsure", ("planned", "no_date"))


def test_nothing_of_an_extension_is_told() -> None:
    entry = one(condition(extension=[{"url": "urn:x", "valueString": "only in an extension"}]))
    assert "only in an extension" not in repr(entry)


def test_a_reference_leads_to_the_same_hospital_only() -> None:
    medication = {"resourceType": "Medication", "id": "m", "code": {"text": "aspirin"}}
    request = {"resourceType": "MedicationRequest", "medicationReference": {"reference": "Medication/m"}}
    near = shown(item(medication, request)).section("medications").entries
    assert near[0].title == "aspirin"
    far = shown(item(medication), item(request, number=2, hospital="Mercy")).section("medications").entries
    assert far[0].title == ""


def test_a_contained_resource_is_no_more_so_than_what_is_around_it() -> None:
    inner = {"resourceType": "Condition", "id": "c", "code": {"text": "Asthma"}, "clinicalStatus": coded("active")}
    outer = {"resourceType": "ClinicalImpression", "status": "entered-in-error", "contained": [inner]}
    (entry,) = of(outer).section("conditions").entries
    assert {"contained", "in_error"} <= set(entry.marks)
    assert entry.group == "not"


def test_what_a_hospital_deleted_or_superseded_is_marked() -> None:
    gone = b'{"resourceType":"Bundle","type":"history","entry":[{"request":{"method":"DELETE","url":"Condition/9"}}]}'
    (entry,) = shown(file(gone, "application/fhir+json")).section("conditions").entries
    assert "deleted" in entry.marks
    known = item(condition(id="7"), states={"Condition/7": "superseded"})
    assert "superseded" in shown(known).section("conditions").entries[0].marks


def test_a_file_elsewhere_is_named_and_not_fetched() -> None:
    attachment = {"contentType": "application/pdf", "url": "https://example.org/x.pdf"}
    chart = of({"resourceType": "DocumentReference", "description": "x", "content": [{"attachment": attachment}]})
    assert chart.section("reports").entries[0].files[0].is_elsewhere
    assert chart.section("documents").documents == ()


def test_dose_and_timing_become_a_text() -> None:
    timing = {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}
    dose = {"timing": timing, "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg"}}], "asNeededBoolean": True}
    entry = one({"resourceType": "MedicationRequest", "medication": {"text": "x"}, "dosageInstruction": [dose]})
    assert ("Dose", "5 mg, 2 × / 1 d, p. r. n.") in [(fact.label, fact.value) for fact in entry.facts]
