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

from panachain.model.scope import Category
from panachain.records.canonical import resources
from panachain.sdk.opening import Opening
from panachain.sdk.results.uploads import UploadReport
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import again, grant

BUNDLE = "application/fhir+json"
ALL = tuple(one.value for one in Category)


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

    def test_each_entry_that_counts_keeps_its_bytes(self, world: World) -> None:
        odd = '{ "fullUrl":"https://h.example/Observation/odd" ,"resource":{"resourceType":"Observation","id":"odd",'
        odd += '"code":{"text":"Potassium"},"effectiveDateTime":"2024-05-06","valueQuantity":{"value": 1.50}} }'
        other = json.dumps({"resource": potassium(1, "old")})
        path = world.home / "odd.json"
        path.write_text(f'{{"resourceType":"Bundle","type":"collection","entry":[{other}, {odd}]}}')
        world.hospital.upload([path], world.patient.address)
        publish(world, potassium(1, "new"))
        assert any(odd.encode() in record.content for record in again(world).records())


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


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.deep), pytest.param(3, marks=pytest.mark.deep)])
def test_whatever_the_order_every_reader_sees_exactly_the_newest(world: World, seed: int) -> None:
    """Versions of some resources, in random order over several uploads; some of the last ones take it back."""
    chance = random.Random(seed)
    versions = {
        number: [potassium(number, f"{number}-{version}", version) for version in range(1, chance.randint(1, 4) + 1)]
        for number in range(8)
    }
    for number in (0, 1):
        versions[number].append(potassium(number, "", len(versions[number]) + 1, status="entered-in-error"))
    todo = [version for mine in versions.values() for version in mine]
    chance.shuffle(todo)
    while todo:
        count = chance.randint(1, 6)
        publish(world, *todo[:count])
        del todo[:count]
    newest = [mine[-1] for number, mine in versions.items() if number not in (0, 1)]
    for opening in readers(world):
        assert found(opening) == texts(*newest)
    assert found(again(world).records(history=True)) == texts(*(one for mine in versions.values() for one in mine))
