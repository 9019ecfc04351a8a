"""What a FHIR resource says that is sensitive: labels, codes, displays, texts, and what it only stands beside."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from panachain.model.scope import Category
from panachain.records.canonical import read
from panachain.records.fhir_sensitivity import (
    _TEXTS,
    PLACE,
    UNKNOWN_LABEL,
    findings,
    label_findings,
    restricted_category,
)
from panachain.records.sensitivity import PROFILES, Matcher

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def kinds(resource: dict[str, Any]) -> set[str]:
    """Return the kinds that are found with the quick look and without it: they are the same."""
    value, compact = read(json.dumps(resource).encode())
    quick, slow = findings(value, compact), findings(value)
    assert quick == slow
    return {one.kind for one in slow}


@pytest.mark.parametrize(
    "resource",
    [
        {"code": {"coding": [{"system": ICD, "code": "B20"}]}},
        {"code": {"coding": [{"code": "B20", "system": "urn:oid:2.16.840.1.113883.6.90"}]}},
        {"diagnosis": [{"diagnosisCodeableConcept": {"coding": [{"system": ICD, "code": "b20"}]}}]},
        {"contained": [{"resourceType": "Condition", "code": {"coding": [{"system": ICD, "code": "B20"}]}}]},
        {"reasonCode": [{"text": "HIV disease"}]},
        {"reasonReference": [{"reference": "Condition/1", "display": "HIV disease"}]},
        {"extension": [[{"valueCoding": {"system": ICD, "code": "B20"}}]]},
    ],
)
def test_a_code_a_text_or_a_display_counts_wherever_it_stands(resource: dict[str, Any]) -> None:
    assert "HIV" in kinds({"resourceType": "Claim", **resource})


@pytest.mark.parametrize("name", sorted(_TEXTS))
def test_whatever_somebody_wrote_is_read(name: str) -> None:
    # Among other members, in depth, with what JSON escapes, and where it is very long.
    for text in ("HIV disease", 'the "new" HIV disease', "see below:\nHIV disease", "word " * 2000 + "HIV disease"):
        assert kinds({"resourceType": "Basic", "extension": [{"url": "urn:x", name: text}]}) == {"HIV"}
    assert kinds({"resourceType": "Basic", "extension": [{"url": "urn:x", name: "a broken leg"}]}) == set()


def test_each_text_of_a_list_is_read() -> None:
    assert kinds({"resourceType": "Location", "alias": ["Ward 3", "HIV ward"]}) == {"HIV"}
    assert kinds({"resourceType": "Location", "alias": ["Ward 3", "East ward"]}) == set()


def test_a_narrative_is_read_across_its_tags() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p class="x">has <b>opioid</b> dependence &amp; asthma</p></div>'
    assert kinds({"resourceType": "Basic", "text": {"status": "generated", "div": div}}) == {"OPIOIDUD"}


def test_a_place_that_is_registered_is_closed_by_its_name_and_that_is_said() -> None:
    for kind in ("Organization", "Location", "HealthcareService"):
        (found,) = findings({"resourceType": kind, "name": "Addiction unit"})
        assert (found.kind, found.rule) == ("SUD", f"{PLACE}{kind}, words: addiction unit")


@pytest.mark.parametrize("member", ["data", "content"])
def test_a_file_that_is_a_text_is_read_whatever_it_says_that_it_is(member: str) -> None:
    for kind, content in (
        ("text/plain", b"HIV disease"),
        ("application/octet-stream", b"HIV disease"),
        ("text/html; charset=utf-16", "<p>HIV disease".encode("utf-16")),
        ("application/rtf", b"{\\rtf1 HIV disease\\par}"),
    ):
        file = {"contentType": kind, member: b64encode(content).decode()}
        assert kinds({"resourceType": "DiagnosticReport", "presentedForm": [file]}) == {"HIV"}
    for data in (b64encode(bytes(range(256)) + b"HIV disease").decode(), "no base64"):
        assert kinds({"resourceType": "Binary", "contentType": "image/png", member: data}) == set()


@pytest.mark.parametrize(
    "resource",
    [
        {"identifier": [{"system": "http://hospital.example/beds", "value": "B20"}]},
        {"location": [{"code": "B20", "system": "http://hospital.example/beds"}]},
        {"subject": {"reference": "Patient/1", "display": "Herr Depression"}},
        {"name": [{"text": "Hiv Aids"}]},
        {"performer": [{"reference": "Organization/1"}]},
    ],
)
def test_a_context_by_its_name_alone_closes_nothing(resource: dict[str, Any]) -> None:
    assert kinds({"resourceType": "Observation", **resource}) == set()


@pytest.mark.parametrize(
    "value",
    [
        "http://loinc.org/vs/24012-7",
        "https://fhir.example/Observation?code=http%3A%2F%2Floinc.org%7C24012-7",
    ],
)
def test_a_questionnaires_item_and_a_search_name_codes_too(value: str) -> None:
    for key in ("url",) if "?" in value else ("linkId", "questionnaire", "url"):
        assert "HIV" in kinds({"resourceType": "QuestionnaireResponse", "item": [{key: value}]})


@pytest.mark.parametrize("value", ["http://h.example/86406008", "urn:x:24012-7", "http://h.example/x%7C24012-7"])
def test_any_address_may_name_a_code(value: str) -> None:
    assert "HIV" in kinds({"resourceType": "Observation", "extension": [{"url": value}]})


@pytest.mark.parametrize(
    "labelled",
    [
        {"meta": {"security": [{"system": ACT, "code": "PSY"}]}},
        {"securityLabel": [{"coding": [{"system": ACT, "code": "PSY"}]}]},
        {"code": {"extension": [{"url": "http://x/inline-sec-label", "valueCoding": {"system": ACT, "code": "PSY"}}]}},
    ],
)
def test_a_label_counts_wherever_labels_stand(labelled: dict[str, Any]) -> None:
    assert kinds({"resourceType": "DocumentReference", **labelled}) == {"PSY"}


def test_a_label_that_is_unknown_restricts() -> None:
    assert kinds({"resourceType": "Observation", "meta": {"security": [{"system": ACT, "code": "XYZ"}]}}) == {
        UNKNOWN_LABEL
    }
    assert [one.kind for one in label_findings(ACT, "XYZ", strict=False)] == []


@pytest.mark.parametrize("code", ["N", "L", "U"])
def test_a_label_that_says_normal_closes_nothing(code: str) -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    assert kinds({"resourceType": "Observation", "meta": {"security": [{"system": system, "code": code}]}}) == set()


def test_a_composition_that_is_confidential_is_restricted() -> None:
    assert kinds({"resourceType": "Composition", "confidentiality": "R"}) == {UNKNOWN_LABEL}
    assert kinds({"resourceType": "Composition", "confidentiality": "N"}) == set()


def test_a_value_with_an_escaped_quote_is_not_passed_over() -> None:
    assert "HIV" in kinds({"resourceType": "Observation", "note": [{"text": 'they wrote "HIV disease"'}]})


def test_what_the_quick_look_remembers_belongs_to_one_profile() -> None:
    """What one profile finds harmless another may close."""
    value, compact = read(json.dumps({"code": {"coding": [{"system": ICD, "code": "F1123"}]}}).encode())
    assert not findings(value, compact, Matcher(PROFILES["us-ca-ab352"]))
    assert findings(value, compact, Matcher(PROFILES["us-42cfr2"]))
    assert not findings(value, compact, Matcher(PROFILES["us-ca-ab352"]))


def test_findings_lead_to_one_category() -> None:
    value = {"meta": {"security": [{"code": "R"}]}}
    assert restricted_category(findings(value), Category.MENTAL_HEALTH) is Category.MENTAL_HEALTH
    value["meta"]["security"].append({"code": "ETH"})
    assert restricted_category(findings(value), Category.MENTAL_HEALTH) is Category.SUBSTANCE_USE
    assert restricted_category([], Category.MENTAL_HEALTH) is None


def test_a_name_that_tells_what_a_clinic_treats_is_told_apart_from_what_a_record_says() -> None:
    clinic = {"serviceProvider": {"display": "Riverside Mental Health Center"}}
    (one,) = findings({"resourceType": "Encounter", **clinic})
    assert one.rule == f"{PLACE}serviceProvider, words: mental health"
    (other,) = findings({"resourceType": "Encounter", "reasonCode": [{"text": "Riverside Mental Health Center"}]})
    assert other.rule == "words: mental health"


@pytest.mark.parametrize("value", [{"code": "R"}, ["R"], 1, None])
def test_a_confidentiality_that_is_no_code_stops_nothing(value: Any) -> None:
    assert kinds({"resourceType": "Composition", "confidentiality": value}) == set()
    assert kinds({"confidentiality": value, "code": {"coding": [{"system": ICD, "code": "F1123"}]}}) == {"OPIOIDUD"}
