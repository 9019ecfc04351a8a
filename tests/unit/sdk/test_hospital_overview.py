"""What a hospital's people look at."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.errors import AccessDeniedError, TransactionError, UsageError
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.scope import Category
from tests.twin.chains import TwinSender
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant, upload
from tests.unit.sdk.test_changes import bundle, publish, stamped


def test_patients_are_those_who_are_paired_and_those_of_whom_something_is_published(world: World) -> None:
    assert [(one.patient, one.paired, one.records) for one in world.hospital.overview.patients()] == [
        (world.patient.address, True, 0)
    ]
    upload(world, 3)
    world.patient.unpair(world.hospital.address)
    (left,) = world.hospital.overview.patients()
    assert (left.paired, left.records, left.newest) == (False, 3, 1)


def test_a_pairing_tells_what_its_patient_closes_and_nobody_elses_can_be_read(world: World) -> None:
    found = world.hospital.overview.pairing(world.patient.address)
    assert (found.patient, found.closed, found.rotations) == (world.patient.address, (), 0)
    assert found.lanes > 20
    world.patient.unpair(world.hospital.address)
    with pytest.raises(AccessDeniedError):
        world.hospital.overview.pairing(world.patient.address)


def test_a_batch_that_was_interrupted_is_pending_until_it_is_settled(world: World) -> None:
    upload(world)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(world, 2)
    seen = world.hospital.overview.batches()
    assert [(one.sequence, one.records, one.is_on_chain) for one in seen.batches] == [(2, 2, False), (1, 1, True)]
    assert [one.sequence for one in seen.pending] == [2]
    assert again(world, "hospital").settle().transactions == 1
    assert world.hospital.overview.batches().pending == ()


def test_what_waits_because_of_jitter_is_told(world: World, tmp_path: Path) -> None:
    publish(world, tmp_path, bundle(stamped(1)), jitter=86_400)
    waiting = world.hospital.overview.batches().waiting
    assert (waiting.records, waiting.latest_at) == (1, world.now + 86_400)
    assert world.now <= waiting.next_at <= waiting.latest_at


def test_what_rotations_and_wishes_ask_for_is_due_until_it_is_done(world: World) -> None:
    upload(world, 3)
    assert world.hospital.overview.due().records == 0
    world.patient.revoke(grant(world).policy_id, rotate=True)
    assert world.hospital.overview.due().moves == ((world.patient.address, 3),)
    world.hospital.rewrap()
    assert world.hospital.overview.due().moves == ()
    record = next(iter(world.patient.records()))
    world.patient.choices.recategorize([record.info.header_cid], "mental-health")
    assert world.hospital.overview.due().reseals == ((world.patient.address, 1),)
    world.hospital.rewrap()
    assert world.hospital.overview.due().records == 0


def test_a_pairing_that_the_store_lost_is_told_and_hides_nobody_else(world: World) -> None:
    upload(world)
    event = world.network.sidechain.identities.paired(hospital=world.hospital.address)[0]
    world.network.store.delete_blocks([CID(0x55, event.digest)])
    due = again(world, "hospital").overview.due()
    assert (due.records, len(due.omissions)) == (0, 1)


def test_records_are_told_page_by_page_with_what_became_of_them(world: World) -> None:
    upload(world, 3)
    upload(world, 1, category="vitals")
    overview, patient = world.hospital.overview, world.patient.address
    first = overview.records(patient, count=2)
    assert (first.total, [one.category for one in first.records]) == (4, ["vitals", "laboratory"])
    assert [one.sequence for one in first.records] == [2, 1]
    assert len(overview.records(patient, start=2).records) == 2
    assert overview.records(patient, category=Category.VITALS).total == 1
    world.hospital.withdraw([first.records[0].record_id], "wrong-patient")
    seen = {one.record_id: one for one in overview.records(patient).records}
    assert seen[first.records[0].record_id].withdrawn == "wrong-patient"
    assert [one.is_statement for one in seen.values()].count(True) == 1
    assert [one.withdrawn for one in seen.values()].count("") == 4
    assert [(one.reason, one.patient) for one in overview.life().withdrawals] == [("wrong-patient", patient)]


def test_nobody_asks_for_a_page_without_end(world: World) -> None:
    for how in ({"count": 201}, {"count": -1}, {"start": -1}):
        with pytest.raises(UsageError):
            world.hospital.overview.records(world.patient.address, **how)


def test_a_header_that_the_store_lost_hides_no_other_record(world: World) -> None:
    upload(world, 3)
    lost = next(world.hospital.records()).record_id
    world.network.store.delete_blocks([CID.parse(lost)])
    page = world.hospital.overview.records(world.patient.address)
    assert (page.total, len(page.records), len(page.omissions)) == (3, 2, 1)


def test_a_correction_shows_its_versions(world: World, tmp_path: Path) -> None:
    publish(world, tmp_path / "1", bundle(stamped(1)))
    publish(world, tmp_path / "2", bundle(stamped(1, "2025-07-01T00:00:00Z", valueString="corrected")))
    (versions,) = world.hospital.overview.life(world.patient.address).corrections
    assert [one.sequence for one in versions] == [1, 2]
    assert versions[0].updated_at < versions[1].updated_at


def test_an_unknown_patient_is_refused(world: World) -> None:
    with pytest.raises(UsageError):
        world.hospital.overview.records(Address("0x" + "11" * 20))
