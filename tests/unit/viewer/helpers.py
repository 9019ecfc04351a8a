"""Records for the viewer's tests, made of a few resources."""

from __future__ import annotations

import json
from typing import Any

from panachain.viewer.chart import Chart, chart
from panachain.viewer.items import Item, Told

NOW = 1_700_000_000.0
"""November 2023."""


def item(
    *resources: dict[str, Any],
    number: int = 1,
    hospital: str = "City clinic",
    category: str = "laboratory",
    **more: Any,
) -> Item:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
    return file(json.dumps(bundle).encode(), "application/fhir+json", number, hospital, category, **more)


def file(
    content: bytes,
    media_type: str,
    number: int = 1,
    hospital: str = "City clinic",
    category: str = "documents",
    **more: Any,
) -> Item:
    return Item(
        number=number,
        media_type=media_type,
        category=category,
        year=2020,
        hospital=f"0x{hospital}",
        hospital_name=hospital,
        size=len(content),
        read=lambda: content,
        **more,
    )


def shown(*items: Item, language: str = "en", told: Told | None = None) -> Chart:
    return chart(items, language=language, now=NOW, told=told)


def of(*resources: dict[str, Any]) -> Chart:
    return shown(item(*resources))


def observation(value: Any, when: str = "2020-01-01", unit: str = "mg/dL", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]},
        "effectiveDateTime": when,
        "valueQuantity": {"value": value, "unit": unit},
        **more,
    }
