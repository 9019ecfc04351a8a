"""A patient's lanes: restored from the seed, told to hospitals, and read with the patient's own keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.errors import IntegrityError, UnknownActorError
from panachain.model.actors import Actor, Role
from panachain.model.scope import Scope
from panachain.records.findings import Findings, Strict
from panachain.sdk.patient import Patient
from panachain.sdk.proven_keys import ProvenKeys
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant, upload

LAB = Scope.parse("laboratory")


def test_a_hospital_gets_the_lanes_of_the_next_two_years_by_the_networks_clock(world: World) -> None:
    year = world.hospital.pairing(world.patient.whoami()).last_year
    world.clock.now += 366 * 86_400
    world.patient.pair(world.hospital.address)
    assert world.hospital.pairing(world.patient.whoami()).last_year == year + 1


def test_a_new_device_knows_the_generations(world: World, tmp_path: Path) -> None:
    lanes = world.patient._lanes
    assert lanes.generations().epoch == 0
    rotated = lanes.generations().rotated([LAB])
    assert lanes.pair_again(rotated, Strict()) == [world.hospital.address, world.clinic.address]
    elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
    assert elsewhere._lanes.generations() == rotated
    assert elsewhere._lanes.generations().current(LAB) == 1


def test_a_hospital_that_knows_the_lanes_is_not_told_again(world: World) -> None:
    lanes = world.patient._lanes
    rotated = lanes.generations().rotated([LAB])
    lanes.pair_again(rotated, Strict())
    assert lanes.pair_again(rotated, Strict()) == []


def test_orders_name_what_lies_in_older_lanes_and_nothing_before_a_rotation(world: World) -> None:
    upload(world, 2)
    lanes, hospital = world.patient._lanes, world.network.resolve(world.hospital.address, Role.HOSPITAL)
    assert lanes.orders(hospital, lanes.generations(), Strict()) == []
    rotated = lanes.generations().rotated([LAB])
    assert len(lanes.orders(hospital, rotated, Strict())) == 1
    assert lanes.orders(hospital, lanes.generations().rotated([Scope.parse("vitals")]), Strict()) == []


def test_the_patient_reads_all_hospitals_and_restricted_categories_too(world: World) -> None:
    upload(world)
    upload(world, where="clinic", category="vitals")
    upload(world, category="mental-health")
    found = list(world.patient.records())
    assert {record.provenance.hospital for record in found} == {world.hospital.address, world.clinic.address}
    assert {record.provenance.opened_as for record in found} == {"patient"}
    assert len(found) == 3


def test_one_record_is_found_by_its_id(world: World) -> None:
    upload(world, 2)
    (wanted, *_) = world.patient.records()
    assert again(world).get(wanted.info.header_cid).content == wanted.content
    with pytest.raises(UnknownActorError, match="this patient has no record bafy"):
        world.patient.get("bafy")


def test_still_there_counts_headers_of_lanes_until_they_are_moved(world: World) -> None:
    upload(world)
    lost = grant(world)
    lanes = world.patient._policies.find(lost.policy_id).terms.lanes
    assert world.patient._lanes.still_there(lanes, Strict()) == 1
    world.patient.revoke(lost.policy_id, rotate=True)
    world.hospital.rewrap()
    assert world.patient._lanes.still_there(lanes, Strict()) == 0


def test_a_hospital_whose_key_is_not_proven_keeps_no_other_from_new_lanes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes, real = world.patient._lanes, type(world.network.keys).check

    def check(self: ProvenKeys, actor: Actor) -> Actor:
        if actor.address == world.hospital.address:
            raise IntegrityError("the registry keeps another key")
        return real(self, actor)

    monkeypatch.setattr(type(world.network.keys), "check", check)
    findings = Findings()
    assert lanes.pair_again(lanes.generations().rotated([LAB]), findings) == [world.clinic.address]
    assert {one.hospital for one in findings.omissions} == {world.hospital.address}
