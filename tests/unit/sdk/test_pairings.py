"""Pairings as hospitals see them: who assented, and nobody else."""

from __future__ import annotations

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import AccessDeniedError, IntegrityError
from panachain.ipld.cid import CID
from panachain.model.actors import Role
from panachain.records.findings import Strict
from panachain.records.pairing import make_pairing, seal_pairing
from panachain.storage.blocks import keep
from tests.twin.world import World, actor_of, seed_of


def test_a_hospital_finds_its_patients_and_the_lanes_of_each(world: World) -> None:
    ((patient, pairing),) = world.hospital._pairings.all(Strict())
    assert patient == world.patient.whoami()
    assert pairing == world.hospital.pairing(patient)
    assert (pairing.patient, pairing.hospital) == (world.patient.address, world.hospital.address)


def test_without_an_assent_there_is_no_pairing(world: World) -> None:
    stranger = actor_of("nobody", Role.PATIENT)
    with pytest.raises(AccessDeniedError, match="hasn't paired with"):
        world.hospital.pairings([world.patient.whoami(), stranger])


def test_a_pairing_that_ended_is_none(world: World) -> None:
    identities = world.network.sidechain.identities
    identities.unpair(world.patient._sender(sidechain=True), world.hospital.address)
    assert list(world.hospital._pairings.all(Strict())) == []
    with pytest.raises(AccessDeniedError):
        world.hospital.pairing(world.patient.whoami())


def test_a_pairing_that_another_signed_is_refused(world: World) -> None:
    """The sidechain says which block it is, and the block must be the patient's own."""
    patient, hospital = world.patient, world.hospital.whoami()
    pairing = make_pairing(seed_of("patient"), patient=patient.address, hospital=hospital.address, last_year=2026)
    forged = seal_pairing(
        pairing,
        hospital_key=hospital.sealing_key,
        patient_key=seed_of("patient").sealing().public,
        signer=Seed(b"forger".ljust(32)).signer(),
    )
    cid: CID = keep(world.network.store, forged)
    world.network.sidechain.identities.pair(patient._sender(sidechain=True), hospital.address, cid.digest)
    with pytest.raises(IntegrityError):
        world.hospital.pairing(patient.whoami())
