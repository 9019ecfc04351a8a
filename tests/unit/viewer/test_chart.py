"""The chart: several hospitals' records beside each other, nothing merged; one bad record costs no other."""

from __future__ import annotations

import pytest

from panachain.viewer import rendering
from panachain.viewer.chart import Chart
from panachain.viewer.fhir import resources
from panachain.viewer.folder import _Links
from panachain.viewer.items import Item, Told, UnreadableError, items_of
from panachain.viewer.kinds import DENIED, GROUPS, KINDS, MARKS, SECTIONS
from tests.support import shared
from tests.unit.viewer.helpers import file, item, observation, of, shown


def condition(name: str = "Asthma", **more: object) -> dict[str, object]:
    return {"resourceType": "Condition", "code": {"text": name}, "onsetDateTime": "2019-05-01", **more}


def test_each_hospital_is_named_and_nothing_is_merged() -> None:
    chart = shown(item(condition()), item(condition(), number=2, hospital="Mercy"))
    entries = chart.section("conditions").entries
    assert [(one.source, one.record, "repeated" in one.marks) for one in entries] == [
        ("City clinic", 1, True),
        ("Mercy", 2, True),
    ]
    assert [(one.name, one.records) for one in chart.sources] == [("City clinic", 1), ("Mercy", 1)]


def test_the_newest_version_counts_and_older_ones_say_so() -> None:
    old = condition("Old", id="1", meta={"versionId": "1"})
    new = condition("New", id="1", meta={"versionId": "2"})
    found = {one.title: "superseded" in one.marks for one in of(new, old).section("conditions").entries}
    assert found == {"Old": True, "New": False}


def test_the_same_id_of_two_hospitals_is_two_things() -> None:
    chart = shown(item(condition("A", id="1")), item(condition("B", id="1"), number=2, hospital="Mercy"))
    assert all("superseded" not in one.marks for one in chart.section("conditions").entries)


def test_a_record_that_cannot_be_read_is_named_and_costs_no_other() -> None:
    def broken() -> bytes:
        raise UnreadableError("a block is missing")

    bad = Item(2, "application/fhir+json", "laboratory", 2020, "0x1", size=3, read=broken)
    chart = shown(item(condition()), bad, file(b"{", "application/fhir+json", 3))
    assert [one.record for one in chart.unread] == [2, 3]
    assert chart.unread[0].reason == "a block is missing"
    assert len(chart.section("conditions").entries) == 1


def test_one_that_is_too_large_is_a_file() -> None:
    def never() -> bytes:
        raise AssertionError

    chart = shown(Item(1, "application/fhir+json", "laboratory", 2020, "0x1", size=1 << 40, read=never))
    assert chart.section("documents").documents[0].kind == "large"


def test_records_of_different_persons_are_told() -> None:
    one = {"resourceType": "Patient", "name": [{"family": "A", "given": ["B"]}], "birthDate": "1970-01-01"}
    assert not of(one, one | {"name": [{"text": "A B"}]}).differs
    assert of(one, one | {"birthDate": "1970-01-02"}).differs
    assert of(one, one | {"name": [{"text": "C D"}]}).differs


def test_a_language_that_nobody_translated_to_is_english() -> None:
    assert shown(item(condition()), language="xx").language == "en"


def test_what_was_left_out_is_kept() -> None:
    told = Told(withheld=("mental-health",))
    assert shown(item(condition()), told=told).told == told


def test_tables_of_kinds_fit_together() -> None:
    assert {one.section for one in KINDS.values()} <= set(SECTIONS)
    assert set(GROUPS) <= set(SECTIONS)
    assert set(MARKS) >= DENIED


def test_records_of_the_sdk_become_items_with_names() -> None:
    chart = shown(item(observation(5)))
    assert chart.section("laboratory").analytes[0].points[0].source == "City clinic"
    assert items_of([]) == ()


def told(chart: Chart) -> set[tuple[int, str]]:
    """Return record and name of each resource that a chart tells."""
    found = {(one.record, one.resource) for section in chart.sections for one in section.entries}
    for section in chart.sections:
        found |= {(one.record, one.resource) for whole in section.analytes for one in (*whole.points, *whole.denied)}
    return found | {(one.record, one.resource) for one in chart.section("documents").documents}


@pytest.mark.deep
class TestSamples:
    """Records of others: each resource is told somewhere, and none keeps another from it."""

    def test_every_resource_of_every_patient_is_told(self) -> None:
        for path in sorted(shared("data", "fhir-r4").rglob("*.json")):
            found = file(path.read_bytes(), "application/fhir+json")
            chart = shown(found)
            wanted = [one for one in resources(found) if one.within is None and one.kind not in ("Patient", "Bundle")]
            names = {(1, one.name or one.kind) for one in wanted if one.kind != "Binary"}
            assert (path.name, chart.unread, names - told(chart)) == (path.name, (), set())

    def test_every_case_that_failed_somewhere_is_told_or_named(self) -> None:
        types = {".json": "application/fhir+json", ".hl7": "application/hl7-v2", ".xml": "application/cda+xml"}
        for path in sorted(shared("cases").rglob("in/*")):
            if path.is_file() and path.stat().st_size < 1 << 20:
                found = file(path.read_bytes(), types.get(path.suffix, "application/dicom"))
                chart = shown(found, file(path.read_bytes(), "text/plain", 2))
                assert chart.sections or chart.unread, path.name
                assert all(
                    rendering.document(chart, one, _Links(chart, set(), inside=True)) for one in chart.all_documents
                )

    def test_what_was_entered_in_error_is_never_a_fact(self) -> None:
        for path in sorted(shared("data", "fhir-r4").rglob("*.json")):
            content = path.read_bytes()
            if b"entered-in-error" in content and b'"resourceType":"Bundle"' not in content.replace(b" ", b""):
                chart = shown(file(content, "application/fhir+json"))
                entries = [
                    one for section in chart.sections for one in section.entries if one.state == "entered-in-error"
                ]
                assert all(not one.is_fact for one in entries), path.name
