"""Reseals: a hospital follows orders about its patient's own records only, each envelope whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.errors import BlockNotFoundError, IntegrityError, PartlyDoneError
from panachain.ipld.cid import CID
from panachain.model.records import STATEMENT, PlainRecord
from panachain.model.scope import Category, Scope
from panachain.records.publish import BatchBuilder
from panachain.records.rewrap import Reseal
from panachain.storage.blocks import keep
from tests.twin.world import World
from tests.unit.sdk.helpers import again
from tests.unit.sdk.test_changes import bundle, publish, stamped
from tests.unit.sdk.test_recategorizing import observation, own, published


def order(world: World, *contents: CID, key: bytes = b"", **more: Any) -> Reseal:
    """Return an order about contents, of the envelope that the patient has."""
    (headers, *_) = world.patient._lanes.headers()
    found = key or next(iter(headers.envelope_keys.values()))
    return Reseal(Category.PRIVATE, Scope("laboratory/2025"), found, dict.fromkeys(contents, False), **more)


def ask(world: World, *orders: Reseal) -> None:
    world.patient._lanes.ask(world.hospital.whoami(), orders)


def contents(world: World) -> list[CID]:
    return [CID.parse(record.info.content_cid) for record in again(world).records()]


def test_a_record_of_somebody_else_is_not_moved_and_the_other_orders_are_followed(world: World, tmp_path: Path) -> None:
    published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
    foreign = keep(world.network.store, b"another patient's content")
    mine = contents(world)
    bad = order(world, foreign, mine[0], key=b"k" * 32)
    ask(world, bad, order(world, mine[1]))
    with pytest.raises(PartlyDoneError, match="2 records not of this patient") as caught:
        again(world, "hospital").rewrap()
    report: Any = caught.value.result
    assert (report.resealed, len(report.omissions)) == (1, 1)
    assert sorted(category for category, _ in own(world)) == ["laboratory", "private"]


def test_a_key_that_opens_another_envelope_moves_nothing(world: World, tmp_path: Path) -> None:
    published(world, tmp_path / "1", observation(1, "v"))
    ask(world, order(world, *contents(world), key=b"k" * 32))
    with pytest.raises(PartlyDoneError):
        again(world, "hospital").rewrap()
    assert [category for category, _ in own(world)] == ["laboratory"]


def test_a_content_that_the_store_lost_keeps_its_envelope_where_it_is(world: World, tmp_path: Path) -> None:
    published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
    lost, whole = contents(world)
    ask(world, order(world, lost, whole))
    block = world.network.store.get_block(lost)
    world.network.store.delete_blocks([lost])
    with pytest.raises(PartlyDoneError, match=r"records of laboratory/2025"):
        again(world, "hospital").rewrap()
    world.network.store.put_block(lost, block)
    assert again(world, "hospital").rewrap().resealed == 2


def test_a_record_that_is_too_large_for_this_machine_is_named(world: World, tmp_path: Path) -> None:
    published(world, tmp_path / "1", observation(1, "v"))
    ask(world, order(world, *contents(world)))
    world.network.config = replace(world.network.config, record_limit=10)
    with pytest.raises(PartlyDoneError, match="record_limit"):
        again(world, "hospital").rewrap()


def test_a_hospital_whose_journal_was_lost_neither_moves_again_nor_forgets(world: World, tmp_path: Path) -> None:
    publish(world, tmp_path / "1", bundle(stamped(1, valueString="v"), stamped(2, valueString="w")))
    (record,) = again(world).records()
    world.patient.choices.recategorize([record.info.header_cid], "private")
    again(world, "hospital").rewrap()
    (world.hospital.profile.folder / "journal.sqlite").unlink()
    hospital = again(world, "hospital")
    report = hospital.rewrap()
    assert (report.resealed, report.moved, report.omissions) == (0, 0, ())
    # The same file, and a newer one.
    publish(world, tmp_path / "1")
    assert own(world) == [("private", "v"), ("private", "w")]
    newer = stamped(1, "2025-01-01T00:00:00Z", valueString="new")
    assert [one.category.value for one in publish(world, tmp_path / "2", bundle(newer)).records] == ["private"]


def test_an_order_that_nobody_can_read_publishes_nothing_until_the_patient_pairs_again(
    world: World, tmp_path: Path
) -> None:
    """To publish without it could open what the patient closed."""
    published(world, tmp_path / "1", observation(1, "v"))
    ask(world, order(world, *contents(world)))
    (lost,) = world.hospital.pairing(world.patient.whoami()).orders
    world.network.store.delete_blocks([lost])
    with pytest.raises(BlockNotFoundError):
        published(world, tmp_path / "2", observation(2, "w"))
    report = again(world).pair(world.hospital.address)
    assert [one.what for one in report.omissions] == [f"order {lost}"]
    assert len(published(world, tmp_path / "3", observation(3, "x"))) == 1


def test_a_hospital_that_says_a_record_went_and_puts_it_nowhere_is_found_out(world: World, tmp_path: Path) -> None:
    (header,) = published(world, tmp_path / "1", observation(1, "v"))
    ask(world, order(world, *contents(world)))

    def nowhere(self: BatchBuilder, record: PlainRecord, *args: Any, **more: Any) -> None:
        if record.media_type == STATEMENT:
            add(self, record, *args, **more)

    add = BatchBuilder.add
    with patch.object(BatchBuilder, "add", nowhere):
        again(world, "hospital").rewrap()
    world.network.store.delete_blocks([CID.parse(header)])
    opening = again(world).records()
    with pytest.raises(IntegrityError, match="in another category, and it is in none"):
        list(opening)
    assert [one.what for one in opening.omissions] == [f"record {header}"]
