"""Which category and year a resource belongs to: sensitive codes and labels come first, then the type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.fhir_category import category_of
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
