"""What somebody in between forges or hides is found, and nothing of it is handed out or shown.

One test for each defence that stands alone: tests/mutants.toml takes each away, and its test must fail.
"""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from panachain.errors import IntegrityError, PanaChainError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records.publish import BatchBuilder
from panachain.sdk.batches import open_batches
from tests.twin.world import World
from tests.unit.sdk.helpers import forge, grant, upload

NOBODYS = Address("0x" + "77" * 20)
RECORD = PlainRecord(Category.LABORATORY, 2025, "text/plain", b"of somebody else", b"s" * 32, 0)


def delivered(world: World, made: object) -> list[bytes]:
    """Return what the clinician gets, whichever way the rest is refused."""
    contents = []
    try:
        for record in world.clinician.open(made):
            contents.append(record.content)
    except PanaChainError:
        return contents
    return contents


def test_another_patients_record_in_the_lane_is_handed_to_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)
    hospital = world.hospital
    pairing = replace(hospital.pairing(world.patient.whoami()), patient=NOBODYS)
    with open_batches(world.network, hospital.address, hospital._seed, hospital.profile.folder) as batches:
        # An honest hospital looks once more whose records it sends.
        monkeypatch.setattr(batches.unsent, "untouched", lambda _: True)
        builder = batches.begin()
        builder.add(RECORD, pairing)
        assert not batches.send(builder).dropped
    assert RECORD.content not in delivered(world, made)


def test_terms_that_the_patient_did_not_sign_open_and_show_nothing(world: World) -> None:
    upload(world)
    forged = forge(world, world.patient.address)
    with pytest.raises(IntegrityError):
        list(world.clinician.open(forged))
    assert [view for view in world.clinician.inbox() if view.policy_id == forged] == []


def test_a_storage_transaction_that_is_shown_with_another_manifest_is_found(world: World) -> None:
    upload(world)
    upload(world)
    ledger = world.network.mainchain.ledger
    shown = list(ledger.events(hospital=world.hospital.address))
    shown[0] = replace(shown[0], manifest=shown[1].manifest)
    with patch.object(ledger, "events", lambda **_: iter(shown)), pytest.raises(IntegrityError):
        world.network.manifests_of(world.hospital.address)


def test_a_storage_transaction_that_is_hidden_is_found(world: World) -> None:
    upload(world)
    upload(world)
    ledger = world.network.mainchain.ledger
    shown = list(ledger.events(hospital=world.hospital.address))
    # That the newest isn't hidden is proven where blocks are read: tests/unit/chain/test_block_receipts.py.
    del shown[0]
    with patch.object(ledger, "events", lambda **_: iter(shown)), pytest.raises(IntegrityError):
        world.network.manifests_of(world.hospital.address)


@pytest.mark.parametrize("wrong", ["sequence", "previous", "hospital"])
def test_a_manifest_in_another_place_than_it_states_is_found(world: World, wrong: str) -> None:
    upload(world)
    made = grant(world)
    hospital, network = world.hospital, world.network
    (first,) = network.manifests_of(hospital.address)
    stated = {"hospital": hospital.address, "sequence": 2, "previous": CID(DAG_CBOR, first)}
    stated[wrong] = {"hospital": NOBODYS, "sequence": 3, "previous": None}[wrong]
    builder = BatchBuilder(network.store, signer=hospital._seed.signer(), at=world.now, **stated)  # type: ignore[arg-type]
    builder.add(RECORD, hospital.pairing(world.patient.whoami()))
    batch = builder.finish()
    builder.close()
    network.mainchain.ledger.store(hospital._sender(), batch.root.digest, 1)
    assert RECORD.content not in delivered(world, made)
