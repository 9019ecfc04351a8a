"""Summaries of what is opened: of all hospitals', with what a policy doesn't open, and an opening in the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panachain.errors import PartlyDoneError, UsageError
from panachain.model.scope import EMERGENCY, RESTRICTED, Category
from panachain.sdk.results.summaries import PatientSummary
from tests.twin.world import World
from tests.unit.sdk.helpers import grant
from tests.unit.summary.helpers import allergy, condition
from tests.unit.summary.ips import faults


def publish(world: World, *resources: dict[str, Any], where: str = "hospital") -> None:
    dated = ({**one, "subject": {"reference": "Patient/p"}, "recordedDate": "2025-01-02"} for one in resources)
    world.upload_each(where, [{key: value for key, value in one.items() if key != "onsetDateTime"} for one in dated])


def summary_of(world: World, **more: Any) -> PatientSummary:
    made: PatientSummary = world.patient.records(**more).summary(now=float(world.now))
    return made


def test_a_patients_summary_is_of_all_hospitals_and_leads_to_each_record(world: World) -> None:
    publish(world, allergy(id="a"))
    publish(world, allergy(id="b"), condition(id="c"), where="clinic")
    found = summary_of(world)
    assert faults(found.content) == []
    assert (found.sections["allergies"], found.sections["problems"], found.merged) == (1, 1, 1)
    assert (found.hospitals, found.withheld, found.omissions) == (2, (), ())
    published = {record.info.header_cid for record in world.patient.records()}
    entries = [entry["resource"] for entry in found.document["entry"]]
    told = {one["entity"][0]["what"]["identifier"]["value"] for one in entries if one["resourceType"] == "Provenance"}
    assert told == published


def test_a_practitioners_summary_says_what_was_not_granted(world: World) -> None:
    publish(world, allergy(id="a"), condition(id="c"))
    policy = grant(world, categories=("allergies",))
    found = world.clinician.open(policy).summary(now=float(world.now))
    assert (found.sections["allergies"], found.sections["problems"]) == (1, 0)
    assert set(found.withheld) == {one.value for one in Category if one is not Category.ALLERGIES}
    assert [reading.records for reading in world.clinician.readings] == [1]


@pytest.mark.parametrize(
    ("granted", "withheld"),
    [
        (("all",), RESTRICTED),
        (("emergency",), set(Category) - EMERGENCY),
        (("all", *(one.value for one in RESTRICTED)), set()),
    ],
)
def test_what_is_withheld_follows_from_the_terms(
    world: World, granted: tuple[str, ...], withheld: set[Category]
) -> None:
    publish(world, allergy(id="a"))
    opening = world.clinician.open(grant(world, categories=granted))
    found = opening.summary(now=float(world.now))
    assert set(found.withheld) == {one.value for one in withheld}
    assert found.sections["allergies"] == 1


def test_a_part_of_the_years_is_called_withheld(world: World) -> None:
    publish(world, allergy(id="a"))
    policy = grant(world, categories=("allergies",))
    whole = world.clinician.open(policy)
    part = world.clinician.open(policy, since=world.now - 10)
    assert "allergies" not in whole.summary(now=float(world.now)).withheld
    assert "allergies" in part.summary(now=float(world.now)).withheld


def test_a_record_that_can_not_be_opened_is_named_and_the_rest_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(world, allergy(id="a"))
    opening = world.patient.records()
    records = list(world.patient.records())
    error = UsageError("torn")

    def torn() -> Any:
        yield from records
        opening.findings.left_out(world.hospital.address, "record bafytorn", error)
        raise PartlyDoneError.of(opening.omissions, done="1 record was opened")

    monkeypatch.setattr(opening, "_records", torn())
    found = opening.summary(now=float(world.now))
    assert found.sections["allergies"] == 1
    assert [one.what for one in found.omissions] == ["record bafytorn"]
    assert "record bafytorn" in found.content.decode()


def test_records_that_were_taken_before_would_be_missing(world: World) -> None:
    publish(world, allergy(id="a"))
    opening = world.patient.records()
    next(opening)
    with pytest.raises(UsageError, match="taken already"):
        opening.summary(now=float(world.now))


def test_what_it_shows_of_itself_holds_no_plaintext(world: World) -> None:
    publish(world, allergy(id="a"))
    found = summary_of(world)
    assert "91936005" in found.content.decode()
    assert "91936005" not in repr(found) + json.dumps(found.to_json())
