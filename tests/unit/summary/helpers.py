"""Records for the summary's tests, and what a summary says of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection
from typing import Any

from panachain.model.scope import Category
from panachain.summary import Summary, summary
from panachain.viewer.items import Item, Told
from tests.unit.viewer.helpers import NOW, item

__all__ = ["NOW", "item"]
SNOMED = "http://snomed.info/sct"


def concept(code: str, display: str = "", system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})]}


def made(*items: Item, told: Told | None = None, readable: Collection[Category] = frozenset(Category)) -> Summary:
    numbers = itertools.count()
    ids = {one.number: f"bafy{one.number}" for one in items}
    return summary(
        items,
        now=NOW,
        told=told,
        readable=readable,
        ids=ids,
        new_id=lambda: f"00000000-0000-4000-8000-{next(numbers):012}",
    )


def document(found: Summary) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(found.content)
    return value


def of_kind(found: Summary, kind: str) -> list[dict[str, Any]]:
    resources = (entry["resource"] for entry in document(found)["entry"])
    return [one for one in resources if one["resourceType"] == kind]


def section(found: Summary, code: str) -> dict[str, Any]:
    sections: list[dict[str, Any]] = of_kind(found, "Composition")[0]["section"]
    return next(one for one in sections if one["code"]["coding"][0]["code"] == code)


def allergy(code: str = "91936005", display: str = "Allergy to penicillin", **more: Any) -> dict[str, Any]:
    active = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]
    }
    return {"resourceType": "AllergyIntolerance", "clinicalStatus": active, "code": concept(code, display),
            "recordedDate": "2019-02-11", **more}  # fmt: skip


def condition(code: str = "195967001", display: str = "Asthma", state: str = "active", **more: Any) -> dict[str, Any]:
    told = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": state}]}
    return {"resourceType": "Condition", "clinicalStatus": told, "code": concept(code, display),
            "onsetDateTime": "2018-05-01", **more}  # fmt: skip


def result(value: float, when: str, code: str = "2345-7", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "effectiveDateTime": when,
            "category": [concept("laboratory", system="http://terminology.hl7.org/CodeSystem/observation-category")],
            "code": concept(code, "Glucose", "http://loinc.org"), "valueQuantity": {"value": value, "unit": "mg/dL"},
            **more}  # fmt: skip
