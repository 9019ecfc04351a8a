"""Pairing: whom a patient lets publish, and whom no more."""

from __future__ import annotations

import os

import pytest

from panachain.errors import AccessDeniedError, PanaChainError
from tests.hostile.evil_hospital import EvilHospital
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload


def test_an_unpaired_hospital_publishes_no_more_and_can_be_paired_with_again(world: World) -> None:
    upload(world)
    gone = world.patient.unpair(world.hospital.address)
    assert gone.hospital == world.hospital.address
    with pytest.raises(AccessDeniedError, match="hasn't paired"):
        upload(world)
    assert len(list(world.patient.records())) == 1
    world.patient.pair(world.hospital.address)
    upload(world)
    assert len(list(world.patient.records())) == 2


def test_who_is_no_hospital_of_the_patients_can_not_be_unpaired(world: World) -> None:
    for address in (EvilHospital(world).address, world.clinician.address):
        with pytest.raises(PanaChainError):
            world.patient.unpair(address)


def test_a_hospital_that_published_something_broken_can_be_paired_with_again(world: World) -> None:
    evil = EvilHospital(world)
    world.patient.pair(evil.address)
    world.patient.revoke(grant(world), rotate=True)
    evil.commit(os.urandom(32))
    paired = world.patient.pair(evil.address)
    assert paired.epoch == 1
    assert [one.what for one in paired.omissions] == ["storage transaction 1"]
