"""A patient's choices: told to every hospital, restored from the pairings, and kept by whatever is uploaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import IntegrityError, PartlyDoneError, UsageError
from panachain.model.choices import Choices
from panachain.records.findings import Strict
from panachain.records.pairing import open_pairing
from panachain.sdk import lanes
from panachain.sdk.own_choices import changed
from panachain.sdk.patient import Patient
from tests.twin.world import World

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"


def resource(kind: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": "r", "subject": {"reference": "Patient/p"}, **members}


ALCOHOL = resource("Condition", code={"coding": [{"system": ICD10, "code": "F10.20"}]})
SEQUENCE = resource("MolecularSequence")
SICKLE = resource(
    "Condition", code={"coding": [{"system": ICD10, "code": "D57.1", "display": "Sickle-cell disease without crisis"}]}
)
COMMON = resource("Condition", code={"coding": [{"system": ICD10, "code": "J45.50"}]})


def uploaded(
    world: World, folder: Path, content: dict[str, Any] | str, where: str = "hospital", **more: Any
) -> set[str]:
    """Return the categories of what a hospital publishes."""
    text = content if isinstance(content, str) else json.dumps(content)
    path = folder / f"{where}-{len(list(folder.iterdir()))}.json"
    path.write_text(text)
    report = world.sessions[where].upload([path], world.patient.address, **more)
    return {info.category.value for info in report.records}


@pytest.fixture
def minimal(world: World) -> World:
    """Return a world whose hospitals close as little as a profile allows."""
    world.network.config = replace(world.network.config, sensitivity="minimal")
    return world


def test_every_hospital_closes_it_from_its_next_upload_on(minimal: World, tmp_path: Path) -> None:
    world = minimal
    assert uploaded(world, tmp_path, ALCOHOL) == {"conditions"}
    report = world.patient.choices.change(close=["alcohol"])
    assert (report.closed, set(report.told)) == (("ETHUD",), {world.hospital.address, world.clinic.address})
    for where in ("hospital", "clinic"):
        more = {**ALCOHOL, "id": where}
        assert uploaded(world, tmp_path, more, where) == {"substance-use"}
        assert uploaded(world, tmp_path, {**COMMON, "id": f"common-{where}"}, where) == {"conditions"}


def test_nobody_is_told_twice(world: World) -> None:
    world.patient.choices.change(close=["alcohol"])
    block = world.network.sidechain.head_block().number
    assert world.patient.choices.change(close=["ETHUD"]).told == ()
    assert world.network.sidechain.head_block().number == block


def test_it_is_restored_from_the_pairings_alone_and_a_rotation_keeps_it(world: World, tmp_path: Path) -> None:
    world.patient.choices.change(close=["alcohol"])
    world.patient.unpair(world.clinic.address)
    world.patient._lanes.pair_again(world.patient._lanes.generations().rotated([]), Strict())
    elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
    assert elsewhere.choices.now().closed == ("ETHUD",)
    # A hospital that is paired anew gets what was chosen before.
    elsewhere.pair(world.clinic.address)
    assert world.clinic.pairing(world.patient.whoami()).choices == Choices(1, frozenset({"ETHUD"}))


def test_pairing_with_one_hospital_tells_the_others(world: World) -> None:
    report = world.patient.pair(world.hospital.address, close=["pregnancy", "abortion"])
    assert (report.closed, report.omissions) == (("ABORTION", "PREGNANT"), ())
    assert world.clinic.pairing(world.patient.whoami()).choices.closed == {"PREGNANT", "ABORTION"}


@pytest.mark.parametrize("profile", ["minimal", "strict"])
def test_what_is_reopened_is_as_each_hospital_closes_it(world: World, tmp_path: Path, profile: str) -> None:
    world.network.config = replace(world.network.config, sensitivity=profile)
    world.patient.choices.change(close=["substance-use"])
    assert world.patient.choices.change(reopen=["SUD"]).closed == ()
    expected = {"minimal": "conditions", "strict": "substance-use"}[profile]
    assert uploaded(world, tmp_path, ALCOHOL) == {expected}


def test_a_part_of_what_is_closed_cannot_be_reopened() -> None:
    closed = changed(Choices(), close=["substance-use", "alcohol"])
    with pytest.raises(UsageError, match="alcohol is part of substance-use"):
        changed(closed, reopen=["alcohol"])
    assert changed(closed, reopen=["substance-use"]).closed == frozenset()
    assert changed(changed(Choices(), close=["alcohol"]), reopen=["alcohol"]) == Choices(2)


@pytest.mark.parametrize("content", [SEQUENCE, SICKLE], ids=lambda one: str(one["resourceType"]))
def test_genetic_information_is_private_then(world: World, tmp_path: Path, content: dict[str, Any]) -> None:
    assert uploaded(world, tmp_path, content) == {"genomics"}
    world.patient.choices.change(close=["genetics"])
    entries = [{"fullUrl": f"urn:{one}", "resource": {**content, "id": one}} for one in ("a",)]
    refers = {**resource("ClinicalImpression"), "problem": [{"reference": "urn:a"}]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*entries, {"resource": refers}]}
    assert uploaded(world, tmp_path, bundle) == {"private"}


def test_a_category_that_is_named_opens_nothing_that_the_patient_closed(world: World, tmp_path: Path) -> None:
    assert uploaded(world, tmp_path, '{"variants": 1}', category="genomics") == {"genomics"}
    world.patient.choices.change(close=["genetics"])
    assert uploaded(world, tmp_path, '{"variants": 2}', category="genomics") == {"private"}
    telling = {"coding": SICKLE["code"]["coding"]}
    assert uploaded(world, tmp_path, telling, category="documents") == {"private"}


def test_a_hospital_refuses_a_kind_that_it_does_not_know_and_publishes_for_others(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Choices(1, frozenset({"A-KIND-OF-TOMORROW"}))
    world.patient._lanes.tell(world.patient._lanes.generations(), unknown, Strict())
    blocks = set(world.network.store.pinned)
    with pytest.raises(IntegrityError, match="doesn't know"):
        uploaded(world, tmp_path, COMMON)
    assert set(world.network.store.pinned) == blocks
    # A device that doesn't know it either passes it on.
    world.patient.choices.change(close=["alcohol"])
    assert world.hospital.pairing(world.patient.whoami()).choices.closed == {"A-KIND-OF-TOMORROW", "ETHUD"}


def test_a_hospital_that_cannot_be_told_is_named_and_told_by_the_same_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = lanes.OwnLanes.pair

    def broken(self: Any, hospital: Any, *args: Any, **more: Any) -> Any:
        if hospital.address == world.clinic.address:
            raise IntegrityError("its key isn't proven")
        return real(self, hospital, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(lanes.OwnLanes, "pair", broken)
        with pytest.raises(PartlyDoneError) as caught:
            world.patient.choices.change(close=["alcohol"])
    assert [one.hospital for one in caught.value.omissions] == [world.clinic.address]
    assert world.patient.choices.change(close=["alcohol"]).told == (world.clinic.address,)


def test_who_is_paired_with_nobody_has_nobody_to_tell(world: World) -> None:
    for hospital in (world.hospital, world.clinic):
        world.patient.unpair(hospital.address)
    with pytest.raises(UsageError, match="no hospital is paired"):
        world.patient.choices.change(close=["alcohol"])


def test_no_store_reads_it(world: World) -> None:
    """It lies in the pairing, which opens for the hospital and the patient alone."""
    world.patient.choices.change(close=["alcohol"])
    digest = world.network.sidechain.identities.ever_paired(patient=world.patient.address)[-1].digest
    assert all(b"ETHUD" not in data for data, _ in world.network.store.held.values())
    blob = next(data for cid, (data, _) in world.network.store.held.items() if cid.digest == digest)
    with pytest.raises(IntegrityError):
        open_pairing(
            blob,
            secret=world.clinician._seed.sealing(),
            hospital=world.clinic.address,
            patient=world.patient.address,
            verifying_key=world.patient.whoami().verifying_key,
        )


RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def medicine(name: str, display: str, **more: Any) -> dict[str, Any]:
    coded = {"coding": [{"system": RXNORM, "display": display}]}
    return {**resource("MedicationStatement", medicationCodeableConcept=coded), "id": name, **more}


DOLUTEGRAVIR = medicine("dolutegravir", "dolutegravir 50 MG")
METHADONE = medicine("methadone", "methadone hydrochloride 10 MG")
ASTHMA = {
    **resource("Condition", code={"coding": [{"system": "http://snomed.info/sct", "code": "426656000"}]}),
    "id": "asthma",
    "severity": {"coding": [{"system": "http://snomed.info/sct", "code": "24484000", "display": "Severe"}]},
}
PENICILLIN = {
    **resource("AllergyIntolerance", code={"coding": [{"system": "http://snomed.info/sct", "code": "91936005"}]}),
    "id": "penicillin",
    "criticality": "high",
    "reaction": [{"manifestation": [{"text": "Anaphylaxis"}], "severity": "severe"}],
}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    entries = [{"fullUrl": f"urn:{one['id']}", "resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def read(world: World, *categories: str) -> set[str]:
    """Return which resources a clinician reads by a grant of some categories."""
    policy = world.patient.grant(world.clinician.address, categories, until=world.now + 86_400)
    texts = b"".join(record.content for record in world.clinician.open(policy))
    names = ("asthma", "penicillin", "dolutegravir", "methadone", "sickle", "refers", "labelled", "both")
    return {name for name in names if f'"id": "{name}"'.encode() in texts}


class TestEmergency:
    @pytest.mark.parametrize("profile", ["default", "strict"])
    def test_severe_asthma_and_an_allergy_to_penicillin_are_in_the_summary(
        self, world: World, tmp_path: Path, profile: str
    ) -> None:
        world.network.config = replace(world.network.config, sensitivity=profile)
        uploaded(world, tmp_path, bundle(ASTHMA, PENICILLIN, DOLUTEGRAVIR))
        assert read(world, "emergency") == {"asthma", "penicillin"}

    def test_it_leaves_out_only_what_is_closed(self, world: World, tmp_path: Path) -> None:
        """A sickle cell disease is among the genomics, which `all` covers."""
        uploaded(world, tmp_path, bundle({**SICKLE, "id": "sickle"}, METHADONE))
        assert read(world, "emergency") == read(world, "all") == {"sickle"}
        world.patient.choices.change(close=["genetics"])
        uploaded(world, tmp_path, bundle({**SICKLE, "id": "sickle", "subject": {"reference": "Patient/q"}}), "clinic")
        assert read(world, "private") == {"sickle"}

    def test_the_patient_includes_what_helps(self, world: World, tmp_path: Path) -> None:
        world.patient.choices.change(emergency=["antiretrovirals", "methadone"])
        assert world.patient.choices.now().emergency == ("HIV", "OPIOIDUD")
        assert uploaded(world, tmp_path, bundle(ASTHMA, DOLUTEGRAVIR, METHADONE)) == {
            "conditions",
            "sexual-health",
            "substance-use",
        }
        assert read(world, "emergency") == {"asthma", "dolutegravir", "methadone"}
        # Everybody else reads it in its restricted category alone.
        assert read(world, "all") == read(world, "conditions", "medications") == {"asthma"}
        assert read(world, "sexual-health") == {"dolutegravir"}
        assert {one.info.category.value for one in world.patient.records()} == {
            "conditions",
            "sexual-health",
            "substance-use",
        }

    @pytest.mark.parametrize("kind", ["hiv", "methadone"])
    def test_nothing_else_comes_with_it(self, world: World, tmp_path: Path, kind: str) -> None:
        world.patient.pair(world.hospital.address, emergency=[kind])
        refers = {**medicine("refers", "amoxicillin"), "reasonReference": [{"reference": "urn:methadone"}]}
        labelled = {**DOLUTEGRAVIR, "id": "labelled", "meta": {"security": [{"code": "R"}]}}
        both = {**medicine("both", "dolutegravir 50 MG"), "note": [{"text": "buprenorphine"}]}
        uploaded(world, tmp_path, bundle(DOLUTEGRAVIR, METHADONE, refers, labelled, both))
        assert read(world, "emergency") == {{"hiv": "dolutegravir", "methadone": "methadone"}[kind]}

    def test_a_rotation_keeps_it_and_what_is_taken_back_counts_for_what_comes_later(
        self, world: World, tmp_path: Path
    ) -> None:
        world.patient.choices.change(emergency=["hiv"])
        uploaded(world, tmp_path, bundle(ASTHMA, DOLUTEGRAVIR))
        for number in range(2):
            policy = world.patient.grant(world.nurse.address, ["emergency", "sexual-health"], until=world.now + 86_400)
            world.patient.revoke(policy, rotate=True)
            assert world.hospital.rewrap().moved == 2, number
            assert read(world, "emergency") == {"asthma", "dolutegravir"}
            assert read(world, "sexual-health") == {"dolutegravir"}
            assert read(world, "all") == {"asthma"}
            world.patient.choices.change(no_emergency=["hiv"])
        uploaded(world, tmp_path, bundle({**DOLUTEGRAVIR, "id": "labelled"}))
        assert read(world, "emergency") == {"asthma", "dolutegravir"}
        assert read(world, "sexual-health") == {"dolutegravir", "labelled"}

    def test_the_reader_is_told_that_something_may_be_withheld_whether_or_not_it_is(
        self, world: World, tmp_path: Path
    ) -> None:
        uploaded(world, tmp_path, bundle(ASTHMA))
        closed = ["mental-health", "substance-use", "sexual-health", "gender", "violence", "private"]
        for granted, told in (
            (["emergency"], closed),
            (["emergency", "gender"], [one for one in closed if one != "gender"]),
            (["emergency", *closed], []),
            (["all"], []),
        ):
            policy = world.patient.grant(world.clinician.address, granted, until=world.now + 86_400)
            opening = world.clinician.open(policy)
            assert len(list(opening)) == 1
            assert [one.value for one in opening.withheld] == told


def test_what_a_hospital_was_asked_to_move_stands_beside_it(world: World, tmp_path: Path) -> None:
    """A hospital that hasn't moved records after a rotation yet is asked for it still when choices are told."""
    uploaded(world, tmp_path, COMMON)
    until = world.now + 86_400
    lost = world.patient.grant(world.sessions["clinician"].address, ["conditions"], until=until)
    world.patient.revoke(lost.policy_id, rotate=True)
    world.patient.choices.change(close=["alcohol"])
    assert world.hospital.rewrap().moved == 1
