"""What counts: facts of now, once each, and only what says the same becomes one."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.summary import choice
from tests.unit.summary.helpers import allergy, concept, condition, item, made, of_kind, result, section

MEDICINE = concept("387207008", "Ibuprofen")


def statement(status: str = "active", **more: Any) -> dict[str, Any]:
    return {"resourceType": "MedicationStatement", "status": status, "medicationCodeableConcept": MEDICINE,
            "effectiveDateTime": "2023-01-01", **more}  # fmt: skip


class TestFacts:
    @pytest.mark.parametrize(
        "denied",
        [
            condition(verificationStatus=concept("entered-in-error")),
            condition(verificationStatus=concept("refuted")),
            condition(modifierExtension=[{"url": "http://example.org/not", "valueBoolean": True}]),
            condition(state="resolved"),
            condition(state="inactive"),
        ],
    )
    def test_what_is_not_so_or_is_over_is_not_in_it(self, denied: dict[str, Any]) -> None:
        assert made(item(denied)).sections["problems"] == 0
        assert made(item(denied, condition())).sections["problems"] == 1

    @pytest.mark.parametrize("status", ["completed", "stopped", "not-taken", "entered-in-error", "intended"])
    def test_a_medicine_that_is_not_taken_now_is_not_in_it(self, status: str) -> None:
        assert made(item(statement(status))).sections["medications"] == 0
        assert made(item(statement())).sections["medications"] == 1

    def test_an_allergy_that_nobody_confirmed_is_in_it_and_says_so(self) -> None:
        """Whoever gives a medicine wants to know it all the same."""
        found = made(item(allergy(verificationStatus=concept("unconfirmed"))))
        assert of_kind(found, "AllergyIntolerance")[0]["verificationStatus"]["coding"][0]["code"] == "unconfirmed"
        assert "not confirmed" in section(found, "48765-2")["text"]["div"]

    def test_an_older_version_is_not_in_it(self) -> None:
        old, new = (condition(str(number), id="c", meta={"versionId": str(number)}) for number in (1, 2))
        found = made(item(old), item(new, number=2))
        assert [one["code"]["coding"][0]["code"] for one in of_kind(found, "Condition")] == ["2"]

    def test_what_its_hospital_withdrew_is_not_in_it(self) -> None:
        gone = item(condition(id="c"), states={"Condition/c": "in_error"})
        assert made(gone).sections["problems"] == 0

    def test_what_is_contained_in_another_resource_is_no_statement_of_its_own(self) -> None:
        assert made(item({"resourceType": "List", "contained": [condition(id="x")]})).sections["problems"] == 0


class TestOnce:
    def test_what_two_hospitals_say_in_the_same_way_stands_there_once(self) -> None:
        spelled = allergy(display="Penicillin allergy")
        found = made(item(allergy()), item(spelled, number=2, hospital="Mercy"))
        assert (found.sections["allergies"], found.merged) == (1, 1)

    def test_the_one_that_says_more_stays_whichever_comes_first(self) -> None:
        more = allergy(criticality="high")
        for resources in ((allergy(), more), (more, allergy())):
            found = made(item(resources[0]), item(resources[1], number=2, hospital="Mercy"))
            assert [one.get("criticality") for one in of_kind(found, "AllergyIntolerance")] == ["high"]
            assert found.merged == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (allergy(criticality="high"), allergy(criticality="low")),
            (allergy(recordedDate="2019-02-11"), allergy(recordedDate="2020-02-11")),
            (allergy("91936005"), allergy("294505008")),
            (allergy(note=[{"text": "mild"}]), allergy(note=[{"text": "nearly died"}])),
            (
                allergy(reaction=[{"manifestation": [concept("39579001")]}]),
                allergy(reaction=[{"manifestation": [concept("271807003")]}]),
            ),
        ],
    )
    def test_what_differs_in_anything_stays_twice(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        found = made(item(one), item(other, number=2, hospital="Mercy"))
        assert (found.sections["allergies"], found.merged) == (2, 0)

    def test_two_doses_of_one_medicine_stay_two(self) -> None:
        doses = (statement(dosage=[{"text": text}]) for text in ("200 mg", "400 mg"))
        found = made(*(item(one, number=number) for number, one in enumerate(doses, 1)))
        assert found.sections["medications"] == 2

    def test_many_of_the_same_cost_no_more_than_few(self) -> None:
        found = made(item(*(condition() for _ in range(2_000))))
        assert (found.sections["problems"], found.merged) == (1, 1_999)

    def test_many_that_differ_are_cut_and_counted(self) -> None:
        found = made(item(*(condition(str(number)) for number in range(choice.MOST + 3))))
        assert found.sections["problems"] == choice.MOST
        assert "3 older ones are in the records" in section(found, "11450-4")["text"]["div"]


class TestNewest:
    def test_of_each_result_the_newest_is_enough_and_the_rest_is_counted(self) -> None:
        found = made(item(result(90, "2021-01-01"), result(120, "2023-01-01"), result(1, "2020-01-01", "718-7")))
        values = [one["valueQuantity"]["value"] for one in of_kind(found, "Observation")]
        assert values == [120, 1]
        assert "1 older ones are in the records" in section(found, "30954-2")["text"]["div"]

    def test_a_newer_value_that_was_taken_back_does_not_hide_the_one_before(self) -> None:
        wrong = result(999, "2023-06-01", status="entered-in-error")
        found = made(item(result(90, "2021-01-01"), wrong))
        assert [one["valueQuantity"]["value"] for one in of_kind(found, "Observation")] == [90]

    def test_the_blood_group_is_in_it_wherever_it_stands(self) -> None:
        group = result(0, "2001-01-01", "882-1", category=[concept("exam")])
        group = {key: value for key, value in group.items() if key != "valueQuantity"}
        found = made(item(group | {"valueCodeableConcept": concept("278149003", "Blood group A Rh(D) positive")}))
        assert "Blood group A" in section(found, "30954-2")["text"]["div"]

    def test_vital_signs_are_no_results(self) -> None:
        pulse = result(60, "2023-01-01", "8867-4", category=[concept("vital-signs")])
        assert made(item(pulse)).sections["results"] == 0


class TestDevices:
    DEVICE = {"resourceType": "Device", "id": "d", "type": concept("14106009", "Cardiac pacemaker")}  # noqa: RUF012
    USE = {"resourceType": "DeviceUseStatement", "status": "active", "device": {"reference": "Device/d"}}  # noqa: RUF012

    def test_a_device_alone_becomes_a_statement_of_its_use_and_one_with_a_statement_stands_once(self) -> None:
        for resources in ((self.DEVICE,), (self.DEVICE, self.USE)):
            found = made(item(*resources))
            assert (found.sections["devices"], len(of_kind(found, "DeviceUseStatement"))) == (1, 1)
            assert "Cardiac pacemaker" in found.content.decode()

    def test_a_statement_that_leads_nowhere_stands_there_in_words(self) -> None:
        found = made(item(self.USE))
        assert of_kind(found, "DeviceUseStatement") == []
        assert "in words only" in section(found, "46264-8")["text"]["div"]


def test_what_r4_does_not_know_is_told_in_words_and_not_lost() -> None:
    order = {"resourceType": "MedicationOrder", "status": "active", "medicationCodeableConcept": MEDICINE}
    found = made(item(order))
    assert "Ibuprofen" in section(found, "10160-0")["text"]["div"]
    assert section(found, "10160-0")["emptyReason"]["coding"][0]["code"] == "unavailable"


def test_a_resource_that_breaks_the_reader_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = choice.entry_of

    def broken(found: Any, *more: Any) -> Any:
        if found.resource.get("id") == "bad":
            raise RuntimeError("of its content")
        return whole(found, *more)

    monkeypatch.setattr(choice, "entry_of", broken)
    found = made(item(condition(id="bad"), allergy()))
    assert (found.sections["allergies"], [one.reason for one in found.unread]) == (1, ["RuntimeError"])
