"""Which category and year a resource belongs to: sensitive codes and labels come first, then the type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.fhir_category import category_of, year_of
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.sources import read_bytes
from panachain.records.split import split_json


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("86406008", Category.SEXUAL_HEALTH),
        ("1040".ljust(36, "A"), Category.SEXUAL_HEALTH),
        ("370143000", Category.MENTAL_HEALTH),
        ("7200002", Category.SUBSTANCE_USE),
        ("38341003", Category.CONDITIONS),
    ],
)
@pytest.mark.parametrize("spelled", ["{}", "\\u00{:x}{}", "  {}"])
def test_sensitive_codes_are_restricted(code: str, category: Category, spelled: str) -> None:
    text = code if spelled == "{}" else spelled.format(ord(code[0]), code[1:]) if "u00" in spelled else code
    blank = " \n" if spelled == "  {}" else ""
    content = f'{{"resourceType":"Condition","deep":[[{{"a":{{"code"{blank}:{blank}"{text}"}}}}]]}}'.encode()
    assert [record.category for record in read_bytes(content, ".json")] == [category]


def test_a_sensitive_code_in_a_text_or_another_name_is_none() -> None:
    content = rb'{"resourceType":"Condition","x\"code":"86406008","text":"\"code\":\"86406008\"","codes":"86406008"}'
    assert [record.category for record in read_bytes(content, ".json")] == [Category.CONDITIONS]


def test_security_label_makes_a_resource_restricted() -> None:
    content = b'{"resourceType":"MedicationRequest","meta":{"security":[{"code":"PSY"}]}}'
    assert [record.category for record in read_bytes(content, ".json")] == [Category.MENTAL_HEALTH]


@pytest.mark.parametrize("code", ["R", "V"])
def test_confidential_resources_are_restricted_too(code: str) -> None:
    resource = {"resourceType": "Condition", "meta": {"security": [{"code": code}]}}
    assert category_of(resource) in RESTRICTED
    # A code that tells why comes first.
    resource["meta"]["security"].append({"code": "HIV"})  # type: ignore[index]
    assert category_of(resource) is Category.SEXUAL_HEALTH
    assert category_of({"resourceType": "Condition", "meta": {"security": [{"code": "N"}]}}) is Category.CONDITIONS


@pytest.mark.parametrize(
    ("resource", "category", "year"),
    [
        (
            {"resourceType": "Observation", "category": [{"coding": [{"code": "vital-signs"}]}]},
            Category.VITALS,
            UNDATED,
        ),
        ({"resourceType": "Observation", "effectivePeriod": {"start": "2019-05"}}, Category.LABORATORY, 2019),
        ({"resourceType": "Patient", "date": "2019"}, Category.DEMOGRAPHICS, UNDATED),
        ({"resourceType": "Claim", "created": "1850-01-01"}, Category.INSURANCE, UNDATED),
        ({"resourceType": "Unheard", "date": "2011-01-01"}, Category.DOCUMENTS, 2011),
    ],
)
def test_category_and_year_come_from_the_resource(resource: dict[str, Any], category: Category, year: int) -> None:
    (piece,) = split_json(json.dumps(resource).encode())
    assert (piece.category, piece.year) == (category, year)


@pytest.mark.parametrize(
    ("labels", "category"),
    [
        (["GDIS"], Category.GENOMICS),
        (["GDIS", "ETH"], Category.SUBSTANCE_USE),
        (["GDIS", "R"], RESTRICTED_DEFAULT),
    ],
)
def test_a_restricted_label_counts_before_any_other(labels: list[str], category: Category) -> None:
    resource = {"resourceType": "Observation", "meta": {"security": [{"code": code} for code in labels]}}

    assert category_of(resource) is category


# Dates.

DATES = [
    line.split("\t")
    for line in (Path(__file__).parents[2] / "vectors" / "fhir_dates.tsv").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
NO_EVENT = {
    # How long something keeps, and how long somebody lives.
    *("expirationDate", "expiry", "useBy", "validTo", "manufactureDate", "birthDate", "bornDate", "deceasedDate"),
    *("deceasedDateTime", "priorDate", "extractionDate", "accident", "nextScheduled", "lastOccurrenceDate"),
    # When a definition or a text was approved, published or looked at.
    *("approvalDate", "lastReviewDate", "releaseDate", "publicationDate", "presentationDate", "articleDate"),
    *("lastRevisionDate", "dateAccessed", "lockedDate", "installDate", "ifModifiedSince", "marketPeriod"),
}
"""Elements that don't say when something happened."""
NO_EVENT_THERE = {
    *("Patient.contact[].period", "Organization.qualification[].period", "Practitioner.qualification[].period"),
    *("Practitioner.practitionerRole[].period", "PractitionerRole.period", "PractitionerRole.notAvailable[].during"),
    *("RelatedPerson.period", "HealthcareService.notAvailable[].during", "NamingSystem.uniqueId[].period"),
    *("EvidenceReport.subject.characteristic[].period", "Permission.rule[].data[].period[]"),
    *("SubstanceDefinition.name[].official[].date", "ValueSet.expansion.timestamp", "Task.restriction.period"),
    *("Transport.restriction.period", "ImmunizationRecommendation.recommendation[].dateCriterion[].value"),
    *("Questionnaire.item[].initialDate", "Questionnaire.item[].initialDateTime"),
    *("Questionnaire.item[].enableWhen[].answerDate", "Questionnaire.item[].enableWhen[].answerDateTime"),
    *("EvidenceVariable.characteristic[].timeFromEvent[].eventDateTime", "MeasureReport.group[].measureScoreDateTime"),
    *("ResearchElementDefinition.characteristic[].participantEffectiveDateTime",),
    *("ResearchElementDefinition.characteristic[].studyEffectiveDateTime",),
}


def only(kind: str, path: str, form: str) -> dict[str, Any]:
    """Return a resource that has nothing but one date."""
    made: Any = {"start": "2024-05-06T10:00:00Z"} if form == "period" else "2024-05-06"
    for name in reversed(path.split(".")):
        plain = name.removesuffix("[]")
        made = {plain: [made] if plain != name else made}
    return {"resourceType": kind, "id": "2017", "meta": {"lastUpdated": "2018-01-01"}, **made}


def is_event(kind: str, path: str) -> bool:
    last = path.rpartition(".")[2].removesuffix("[]")
    is_value = last.startswith("value") and last[5:6].isupper()
    return not is_value and last not in NO_EVENT and f"{kind}.{path}" not in NO_EVENT_THERE


def test_every_date_of_every_version_gives_the_year() -> None:
    for kind, path, form, _versions in DATES:
        resource = only(kind, path, form)
        expected = 2024 if is_event(kind, path) else UNDATED
        assert (kind, path, year_of(resource)) == (kind, path, expected)
        # XML has no lists of one, and what a list of one is says it all the same.
        of_one = year_of(json.loads(json.dumps(resource).replace("[", "").replace("]", "")))
        assert (kind, path, of_one) == (kind, path, expected)


def test_every_exception_is_an_element_that_there_is() -> None:
    known = {f"{kind}.{path}" for kind, path, *_ in DATES}
    assert known >= NO_EVENT_THERE
    assert {path.rpartition(".")[2].removesuffix("[]") for path in known} >= NO_EVENT


@pytest.mark.parametrize(
    ("resource", "year"),
    [
        ({"resourceType": "Observation", "effectiveDateTime": "2016-12-31T23:59:60Z"}, 2016),
        ({"resourceType": "Observation", "effectiveDateTime": "2024"}, 2024),
        ({"resourceType": "Observation", "effectiveDateTime": "2024-02-30"}, 2024),
        ({"resourceType": "Observation", "effectiveDateTime": "2023-12-31T23:30:00-05:00"}, 2023),
        ({"resourceType": "Observation", "effectiveDateTime": " 2024-01-01"}, UNDATED),
        ({"resourceType": "Observation", "effectiveDateTime": "soon", "issued": "2021-01-01T00:00:00Z"}, 2021),
        ({"resourceType": "Observation", "effectiveTiming": {"event": ["2020-01-01", "2021-01-01"]}}, 2020),
        ({"resourceType": "ServiceRequest", "occurrenceTiming": {"repeat": {"boundsPeriod": {"end": "2019"}}}}, 2019),
        # The nearest date counts, whatever stands deeper and before it.
        ({"resourceType": "Claim", "item": [{"servicedDate": "2011-01-01"}], "created": "2012-01-01"}, 2012),
        ({"resourceType": "Encounter", "location": [{"period": {"start": "2015"}}], "period": {"start": "2016"}}, 2016),
        # What looks like a date and is none.
        ({"resourceType": "Observation", "valueDateTime": "2001-01-01"}, UNDATED),
        ({"resourceType": "Observation", "contained": [{"resourceType": "Encounter", "period": {"start": "2001"}}]},
         UNDATED),
        ({"resourceType": "Device", "identifier": [{"period": {"start": "2001"}}]}, UNDATED),
        ({"resourceType": "MolecularSequence", "variant": [{"start": "2001", "end": "2002"}]}, UNDATED),
        ({"resourceType": "Basic", "extension": [{"valuePeriod": {"start": "2001"}}]}, UNDATED),
    ],
)  # fmt: skip
def test_odd_and_nested_dates(resource: dict[str, Any], year: int) -> None:
    assert year_of(resource) == year
