"""Moves: records get new headers where their patient asks for it, once, and old headers go."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from panachain.errors import BlockNotFoundError, IntegrityError, PartlyDoneError, TransactionError
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.sdk import moves as subject
from panachain.sdk import pairings
from panachain.sdk.batches import Batches
from tests.twin.chains import TwinSender
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant, upload


def rotate(world: World) -> None:
    lost = grant(world)
    world.patient.revoke(lost.policy_id, rotate=True)


def test_nothing_is_moved_that_nobody_asks_for(world: World) -> None:
    upload(world)
    report = world.hospital.rewrap()
    assert (report.moved, report.deleted, report.transactions) == (0, 0, ())


def test_all_that_lies_in_old_lanes_is_moved_in_one_batch_and_deleted_there(world: World) -> None:
    upload(world, 3)
    before = {record.info.header_cid: record.content for record in world.patient.records()}
    rotate(world)
    report = world.hospital.rewrap()
    assert (report.moved, len(report.transactions)) == (3, 1)
    after = {record.info.header_cid: record.content for record in world.patient.records()}
    assert not set(before) & set(after)
    assert sorted(before.values()) == sorted(after.values())
    assert report.deleted == 3
    for header in before:
        with pytest.raises(BlockNotFoundError):
            world.network.store.get_block(CID.parse(header))


def test_a_second_run_moves_nothing_again(world: World) -> None:
    upload(world)
    rotate(world)
    world.hospital.rewrap()
    assert again(world, "hospital").rewrap().moved == 0
    assert len(list(world.patient.records())) == 1


def test_an_interrupted_run_is_finished_by_the_same_call(world: World) -> None:
    upload(world)
    rotate(world)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        world.hospital.rewrap()
    report = again(world, "hospital").rewrap()
    assert (report.moved, report.deleted) == (0, 1)
    assert len(list(world.patient.records())) == 1


def test_a_record_of_somebody_else_is_not_moved(world: World) -> None:
    """An order is believed only for records that its own patient's headers name."""
    upload(world)
    rotate(world)
    real = subject.open_header_of

    def of_another(*args: object, **named: object) -> object:
        return replace(real(*args, **named), patient=Address("0x" + "11" * 20))  # type: ignore[arg-type]

    with patch.object(subject, "open_header_of", of_another), pytest.raises(PartlyDoneError, match="nothing was moved"):
        world.hospital.rewrap()
    assert len(list(world.patient.records())) == 1


def test_a_patient_whose_lanes_cannot_be_counted_keeps_no_other_order_back(world: World) -> None:
    """The store lost a former pairing of theirs: their records stay where they are, and the report says so."""
    upload(world)
    rotate(world)
    session = again(world, "hospital")
    lost = BlockNotFoundError("nobody has the pairing")
    with patch.object(Batches, "learn", side_effect=lost), pytest.raises(PartlyDoneError, match="records of patient"):
        session.rewrap()
    assert again(world, "hospital").rewrap().moved == 1


def test_an_order_that_does_not_fit_is_its_patients_or_whose_that_showed_another_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    rotate(world)

    def unlike(*_: object, **__: object) -> None:
        raise IntegrityError("the signature doesn't fit")

    monkeypatch.setattr(pairings, "open_order", unlike)
    with pytest.raises(PartlyDoneError, match=f"aren't what {world.patient.profile.handle} signed"):
        world.hospital.rewrap()
    forged = IntegrityError("the node shows other keys")
    monkeypatch.setattr(world.network.keys, "forgery", lambda actor: forged)
    with pytest.raises(PartlyDoneError, match="the node shows other keys"):
        again(world, "hospital").rewrap()
