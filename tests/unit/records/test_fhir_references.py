"""What refers to what: by which names a resource is meant, and which references carry meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panachain.records.fhir_references import CONTEXT, meaning_references, names_of, references_in


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_a_resource_is_meant_by_type_and_id_and_by_its_full_url() -> None:
    resource = {"resourceType": "Condition", "id": "c1"}
    assert names_of(resource) == (b"Condition/c1",)
    assert names_of(resource, "urn:uuid:1234") == (b"urn:uuid:1234", b"Condition/c1")
    assert names_of(resource, "https://fhir.example/r4/Condition/c1") == (b"Condition/c1",)
    assert names_of({}) == ()


@pytest.mark.parametrize(
    "reference",
    ["Condition/c1", "https://fhir.example/r4/Condition/c1", "Condition/c1/_history/3"],
)
def test_a_reference_means_the_resource_however_it_is_written(reference: str) -> None:
    entry = {"resourceType": "MedicationRequest", "reasonReference": [{"reference": reference}]}
    assert references_in(compact(entry)) == {b"Condition/c1"}
    assert list(meaning_references(entry)) == [b"Condition/c1"]


@pytest.mark.parametrize("element", ["subject", "encounter", "performer", "recorder", "location"])
def test_a_context_carries_no_meaning(element: str) -> None:
    assert element in CONTEXT
    for value in ({"reference": "Encounter/e1"}, [{"reference": "Encounter/e1"}]):
        entry = {"resourceType": "Observation", element: value}
        assert list(meaning_references(entry)) == []
        assert references_in(compact(entry)) == frozenset()


def test_what_stands_beneath_a_context_is_context_only_there() -> None:
    """A participant's reason is a reason."""
    entry = {
        "participant": [{"individual": {"reference": "Practitioner/p"}}],
        "diagnosis": [{"condition": {"reference": "Condition/c"}}],
    }
    assert list(meaning_references(entry)) == [b"Condition/c"]


@pytest.mark.parametrize(
    "element",
    [
        "reasonReference",
        "diagnosis",
        "result",
        "focus",
        "addresses",
        "basedOn",
        "entry",
        "evidence",
        "item",
        "target",
        "no such element",
    ],
)
def test_every_other_element_carries_meaning(element: str) -> None:
    entry = {element: [{"reference": "Condition/c1", "display": "x"}]}
    assert list(meaning_references(entry)) == [b"Condition/c1"]
    assert references_in(compact(entry)) == {b"Condition/c1"}


def test_the_quick_look_misses_nothing_that_the_walk_finds() -> None:
    """Members in any order, nested lists, and several references in one element."""
    entry = {
        "a": [[{"display": "x", "reference": "Condition/1"}], [{"reference": "Condition/2"}]],
        "subject": {"display": "x", "reference": "Patient/1"},
        "b": {"c": {"reference": "Condition/3", "display": "y"}},
    }
    assert set(meaning_references(entry)) <= references_in(compact(entry))
    assert set(meaning_references(entry)) == {b"Condition/1", b"Condition/2", b"Condition/3"}


@pytest.mark.parametrize("number", ["0741c\ud8007a8", 'with "quotes"', "back\\slash", "Ärzte/in"])
def test_a_name_that_is_no_valid_id_is_found_again(number: str) -> None:
    meant = {"resourceType": "Condition", "id": number}
    referring = {"resourceType": "MedicationRequest", "reasonReference": [{"reference": f"Condition/{number}"}]}
    for escaped in (True, False):
        text = json.dumps(referring, ensure_ascii=escaped, separators=(",", ":")).encode("utf-8", "surrogatepass")
        assert references_in(text) == set(names_of(meant))
    assert set(meaning_references(referring)) == set(names_of(meant))
