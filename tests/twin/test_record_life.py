"""A record's life: every reader sees of each resource the newest version, once, and nothing that was taken back.

Patient and practitioner read what two hospitals published, in one batch or in many, before and after a rotation. The
inputs are the ways in which hospitals of other systems export the same again, correct it and take it back.
Follows ADR 28.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from panachain.records.canonical import resources
from panachain.sdk.opening import Opening
from panachain.sdk.results.uploads import UploadReport
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import again, grant

BUNDLE = "application/fhir+json"
YEARS = (2024, 2025, 2026)
TAKEN_BACK, DELETED = (0, 1), (2, 3)


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def potassium(number: int | str, value: str, version: int | None = None, **more: Any) -> dict[str, Any]:
    meta = {} if version is None else {"meta": {"versionId": str(version)}}
    return {
        "resourceType": "Observation",
        "id": str(number),
        "status": "final",
        "code": {"text": "Potassium"},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2024-05-06",
        "valueString": value,
        **meta,
        **more,
    }


def publish(world: World, *entries: dict[str, Any], where: str = "hospital", **more: Any) -> UploadReport:
    """Upload one Bundle of entries, or of resources."""
    held = [
        one
        if "request" in one or "resource" in one
        else {"fullUrl": f"https://h.example/{one['resourceType']}/{one['id']}", "resource": one}
        for one in entries
    ]
    path = world.home / f"life-{len(list(world.home.glob('life-*')))}.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", **more, "entry": held}))
    report: UploadReport = world.sessions[where].upload([path], world.patient.address)
    return report


def delete(number: int | str) -> dict[str, Any]:
    place = f"Observation/{number}"
    return {"fullUrl": f"https://h.example/{place}", "request": {"method": "DELETE", "url": place}}


def found(opening: Iterable[Any]) -> list[Any]:
    """Return the resources of all records of an opening, as text of JSON, sorted."""
    return sorted(
        one.decode()
        for record in opening
        if record.info.media_type == BUNDLE and b'"entry"' in record.content
        for one in resources(record.content)
    )


def texts(*wanted: dict[str, Any]) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True, separators=(",", ":")) for one in wanted)


def readers(world: World, *categories: str) -> list[Opening]:
    """Return what the patient and a practitioner open, to whom these categories were granted."""
    policy = grant(world, categories=categories or ("laboratory",)).policy_id
    return [again(world).records(), again(world, "clinician").open(policy)]


class TestCases:
    def test_a_history_has_one_current_version_and_no_deleted_resource(self, world: World) -> None:
        """As hapifhir/hapi-fhir#5088 exports it: two versions under one fullUrl, newest first, and a deletion."""
        current = potassium(7, "corrected", 2)
        publish(
            world,
            {"fullUrl": "https://h.example/Observation/7", "resource": current, "request": {"method": "PUT"}},
            {"fullUrl": "https://h.example/Observation/7", "resource": potassium(7, "wrong", 1), "request": {}},
            {"fullUrl": "https://h.example/Condition/8", "request": {"method": "DELETE", "url": "Condition/8"}},
            type="history",
        )
        patient, practitioner = readers(world)
        assert found(patient) == found(practitioner) == texts(current)
        assert (patient.behind.superseded, patient.behind.deleted) == (1, 1)

    @pytest.mark.parametrize("same", [True, False])
    def test_two_hospitals_with_the_same_resource_show_it_once_with_both(self, world: World, same: bool) -> None:
        """As SEED-platform/seed#2405 has it: identical but for what each server writes into meta."""
        here, there = potassium(6, "3.9", 1), potassium(6, "3.9" if same else "4.0", 5, meta={"source": "#x"})
        publish(world, here)
        publish(world, there, potassium("other", "1"), where="clinic")
        for opening in readers(world):
            records = list(opening)
            shown = found(records)
            assert shown in (texts(here, potassium("other", "1")), texts(there, potassium("other", "1"))) or not same
            assert len(shown) == (2 if same else 3)
            assert opening.behind.same == (1 if same else 0)
            sources = {record.info.hospital for record in records} | {
                one for record in records for one in record.also_from
            }
            assert {world.hospital.address, world.clinic.address} <= sources
            assert any(record.to_json().get("also_from") for record in records) == same

    def test_an_update_replaces_what_it_corrects(self, world: World) -> None:
        """As jwilleke/yourphr#252 has it: versionId 1, then 2, in two exports."""
        wrong = potassium("o7", "1.0 WRONG", meta={"versionId": "1", "lastUpdated": "2024-05-06T10:00:00Z"})
        right = potassium(
            "o7", "4.0 RIGHT", status="corrected", meta={"versionId": "2", "lastUpdated": "2024-05-07T10:00:00Z"}
        )
        publish(world, wrong)
        publish(world, right)
        for opening in readers(world):
            assert found(opening) == texts(right)
            assert opening.behind.superseded == 1
        everything = again(world).records(history=True)
        assert found(everything) == texts(wrong, right)

    def test_an_export_with_another_time_publishes_nothing(self, world: World) -> None:
        """As ohs-foundation/fhir-data-pipes#98 has it: only meta.lastUpdated differs, of the Bundle or the resource."""
        first = publish(world, potassium("o8", "1"), meta={"lastUpdated": "2024-07-01T00:00:00Z"}, total=1)
        block = world.network.mainchain.head_block().number
        second = publish(
            world,
            potassium("o8", "1", meta={"lastUpdated": "2024-07-02T00:00:00Z"}),
            meta={"lastUpdated": "2024-07-02T00:00:00Z"},
            total=1,
        )
        assert (len(first.records), len(second.records), second.unchanged) == (2, 0, 1)
        assert world.network.mainchain.head_block().number == block

    def test_what_was_entered_in_error_is_shown_no_more(self, world: World) -> None:
        """As medplum/medplum#8163 has it: the status alone changes."""
        publish(world, potassium("o9", "somebody else's result"), potassium("stays", "1"))
        publish(world, potassium("o9", "x", status="entered-in-error"))
        for opening in readers(world):
            assert found(opening) == texts(potassium("stays", "1"))
            assert opening.behind.in_error == 2

    @pytest.mark.parametrize("full", [True, False])
    def test_a_deletion_takes_back_what_lies_in_its_category(self, world: World, full: bool) -> None:
        """A DELETE has no resource, so nothing in it tells the category: it goes where the resource is."""
        publish(world, potassium("o9", "somebody else's result"), potassium("stays", "1"))
        entry = delete("o9") if full else {"request": {"method": "DELETE", "url": "Observation/o9"}}
        report = publish(world, entry, type="history")
        assert [one.category.value for one in report.records] == ["laboratory"]
        for opening in readers(world):
            assert found(opening) == texts(potassium("stays", "1"))
            assert opening.behind.deleted == 2
        # Exported again it is nothing new, and what was deleted can come back.
        assert publish(world, entry, type="history", total=1).unchanged == 1
        publish(world, potassium("o9", "new"))
        for opening in readers(world):
            assert found(opening) == texts(potassium("stays", "1"), potassium("o9", "new"))

    def test_a_history_that_begins_with_the_deletion_ends_with_it(self, world: World) -> None:
        publish(world, delete(7), potassium(7, "corrected", 2), potassium(7, "wrong", 1), type="history")
        for opening in readers(world):
            assert found(opening) == []

    def test_each_entry_that_counts_keeps_its_bytes(self, world: World) -> None:
        odd = '{ "fullUrl":"https://h.example/Observation/odd" ,"resource":{"resourceType":"Observation","id":"odd",'
        odd += '"code":{"text":"Potassium"},"effectiveDateTime":"2024-05-06","valueQuantity":{"value": 1.50}} }'
        other = json.dumps({"resource": potassium(1, "old")})
        path = world.home / "odd.json"
        path.write_text(f'{{"resourceType":"Bundle","type":"collection","entry":[{other}, {odd}]}}')
        world.hospital.upload([path], world.patient.address)
        publish(world, potassium(1, "new"))
        assert any(odd.encode() in record.content for record in again(world).records())


class TestOtherPlaces:
    """A newer version has another category or year: who reads one lane can't see what is in the other one."""

    def test_the_old_lane_is_told_that_there_is_a_newer_version(self, world: World) -> None:
        old, new = potassium(1, "old"), potassium(1, "new", effectiveDateTime="2025-05-06")
        publish(world, old, potassium(2, "stays", effectiveDateTime="2024-05-07"))
        publish(world, new)
        policy = grant(world, categories=("laboratory",), years=(2024,)).policy_id
        opening = world.clinician.open(policy)
        assert found(opening) == texts(potassium(2, "stays", effectiveDateTime="2024-05-07"))
        assert (opening.behind.elsewhere, opening.behind.superseded) == (1, 0)
        for everything in readers(world):
            assert found(everything) == texts(new, potassium(2, "stays", effectiveDateTime="2024-05-07"))
            assert (everything.behind.elsewhere, everything.behind.superseded) == (0, 1)

    def test_an_older_version_that_comes_later_counts_nowhere(self, world: World) -> None:
        publish(world, potassium(1, "new", 2, effectiveDateTime="2025-05-06"))
        publish(world, potassium(1, "old", 1))
        policy = grant(world, categories=("laboratory",), years=(2024,)).policy_id
        assert found(world.clinician.open(policy)) == []
        for opening in readers(world):
            assert found(opening) == texts(potassium(1, "new", 2, effectiveDateTime="2025-05-06"))

    def test_what_is_more_closed_now_is_open_no_more(self, world: World) -> None:
        """The same resource with a label: it moves into a restricted category."""
        publish(world, potassium(1, "x"))
        system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        labelled = potassium(1, "x", meta={"security": [{"system": system, "code": "HIV"}]})
        publish(world, labelled)
        patient, practitioner = readers(world)
        assert found(patient) == texts(labelled)
        assert found(practitioner) == []
        assert practitioner.behind.elsewhere == 1

    def test_a_deletion_is_told_in_every_lane(self, world: World) -> None:
        publish(world, potassium(1, "old"))
        publish(world, potassium(1, "new", effectiveDateTime="2025-05-06"))
        publish(world, delete(1))
        for year in (2024, 2025):
            policy = grant(world, categories=("laboratory",), years=(year,)).policy_id
            assert found(world.clinician.open(policy)) == []
        assert found(again(world).records()) == []


class TestRotation:
    def test_what_counts_is_the_same_in_new_lanes(self, world: World) -> None:
        """Re-wrapped headers lie in later transactions: their resources are as old as they were."""
        policy = grant(world)
        publish(world, potassium(1, "old"))
        publish(world, potassium(1, "new"))
        world.patient.revoke(policy.policy_id, rotate=True)
        again(world, "hospital").rewrap()
        publish(world, potassium(2, "other"))
        for opening in readers(world):
            assert found(opening) == texts(potassium(1, "new"), potassium(2, "other"))

    def test_a_hospital_that_was_restored_supersedes_what_it_published_before(self, world: World) -> None:
        publish(world, potassium(1, "old"))
        for path in world.hospital.profile.folder.glob("journal.sqlite*"):
            path.unlink()
        again(world, "hospital")
        publish(world, potassium(1, "new"))
        for opening in readers(world):
            assert found(opening) == texts(potassium(1, "new"))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 12))])
def test_whatever_the_order_every_reader_sees_exactly_the_newest(world: World, seed: int) -> None:
    """Versions of some resources, of one year or of several, in random order over several uploads.

    Some of the last versions take it back, some resources are deleted, and some records are withdrawn.
    """
    chance = random.Random(seed)
    versions = {
        number: [
            potassium(number, f"{number}-{version}", version, effectiveDateTime=f"{chance.choice(YEARS)}-05-06")
            for version in range(1, chance.randint(1, 4) + 1)
        ]
        for number in range(8)
    }
    todo: list[dict[str, Any]] = [version for mine in versions.values() for version in mine]
    for number in TAKEN_BACK:
        gone = len(versions[number]) + 1
        year = chance.choice(YEARS)
        todo.append(potassium(number, "", gone, status="entered-in-error", effectiveDateTime=f"{year}-05-06"))
    chance.shuffle(todo)
    while todo:
        count = chance.randint(1, 6)
        publish(world, *todo[:count])
        del todo[:count]
    for number in DELETED:
        publish(world, delete(number))
    wrong = publish(world, potassium("wrong", "another person's"), potassium(7, "another person's", 99))
    world.hospital.withdraw([one.header_cid for one in wrong.records if one.media_type == BUNDLE], "wrong-patient")
    newest = [mine[-1] for number, mine in versions.items() if number not in (*TAKEN_BACK, *DELETED)]
    for opening in readers(world):
        assert found(opening) == texts(*newest)
    for year in YEARS:
        policy = grant(world, categories=("laboratory",), years=(year,)).policy_id
        own = [one for one in newest if one["effectiveDateTime"].startswith(str(year))]
        # Whoever reads one year alone isn't shown what another year's version superseded.
        assert [one for one in found(world.clinician.open(policy)) if one not in texts(*own)] == []
    assert set(texts(*(one for mine in versions.values() for one in mine))) <= set(
        found(again(world).records(history=True))
    )
