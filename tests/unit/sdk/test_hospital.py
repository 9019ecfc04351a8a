"""The hospital as a facade."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.errors import AccessDeniedError, TransactionError
from panachain.records.publish import MAX_RECORDS
from tests.twin.chains import TwinSender
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again, upload


def test_lists_what_it_published_and_opens_none_of_it(world: World) -> None:
    upload(world, 2)
    views = list(world.hospital.records())
    assert [view.sequence for view in views] == [1, 1]
    assert {view.patient for view in views} == {world.patient.address}
    assert {view.record_id for view in views} == {record.info.header_cid for record in world.patient.records()}
    with pytest.raises(AccessDeniedError, match="keeps no key to what it publishes"):
        world.hospital.get(views[0].record_id)


def test_settle_finishes_an_interrupted_upload_once(world: World) -> None:
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(world)
    assert again(world, "hospital").settle().transactions == 1
    assert world.hospital.settle().transactions == 0
    assert len(list(world.patient.records())) == 1


def test_an_upload_first_finishes_the_one_before(world: World) -> None:
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        upload(world)
    upload(world)
    assert [view.sequence for view in again(world, "hospital").records()] == [1, 2]
    assert len(list(world.patient.records())) == 2


def test_a_dry_run_estimates_one_transaction_for_each_batch(world: World, tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps(resource("laboratory", 2025, 0)))
    with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=7):
        assert world.hospital.upload([tmp_path], world.patient.address, dry_run=True).gas == 7
        assert [world.hospital._estimate(count) for count in (0, 1, MAX_RECORDS, MAX_RECORDS + 1)] == [0, 7, 7, 14]


def test_several_patients_go_in_one_transaction(world: World, tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps(resource("laboratory", 2025, 0)))
    (tmp_path / "1.json").write_text(json.dumps(resource("vitals", 2025, 1)))
    assigned = [(tmp_path / "0.json", world.patient.address), (str(tmp_path / "1.json"), world.patient.address)]
    report = world.hospital.upload_many(assigned)
    assert (len(report.records), len(report.transactions)) == (2, 1)
