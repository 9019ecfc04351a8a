"""Batches: in the journal before they are signed, on chain in order, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from panachain.errors import TransactionError
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records.publish import BatchBuilder
from panachain.sdk.batches import Batches, open_batches, open_journal
from tests.twin.chains import TwinSender
from tests.twin.world import World


@pytest.fixture
def batches(world: World) -> Iterator[Batches]:
    session = world.hospital
    with open_batches(world.network, session.address, session._seed, session.profile.folder) as opened:
        yield opened


def filled(world: World, batches: Batches, content: bytes = b"x") -> BatchBuilder:
    builder, patient = batches.begin(), world.patient.whoami()
    record = PlainRecord(Category.LABORATORY, 2025, "text/plain", content, content.ljust(32), 0)
    builder.add(record, world.hospital.pairing(patient), batches.journal.counters(patient.address))
    return builder


def test_follow_each_other_from_the_newest_on_chain(world: World, batches: Batches) -> None:
    sent = [batches.send(filled(world, batches, content)).batch for content in (b"a", b"b")]
    assert [batch.sequence for batch in sent] == [1, 2]
    assert list(world.network.manifests_of(world.hospital.address)) == [batch.root.digest for batch in sent]


def test_headers_tell_the_networks_time(world: World, batches: Batches) -> None:
    world.advance(1000)
    (record,) = batches.send(filled(world, batches)).batch.records
    assert record.info.stored_at == world.now


def test_are_in_the_journal_before_they_are_signed_and_reconciled_after_an_interruption(
    world: World, batches: Batches
) -> None:
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        batches.send(filled(world, batches))
    (pending,) = batches.journal.pending()
    assert (pending.sequence, pending.tx) == (1, None)
    assert batches.reconcile() == 1
    assert batches.reconcile() == 0
    assert batches.journal.pending() == []
    assert world.network.mainchain.ledger.ledger_of(world.hospital.address)[0] == 1


def test_one_that_is_on_chain_unnoticed_is_noted_and_not_sent_again(world: World, batches: Batches) -> None:
    with patch.object(type(batches.journal), "mined", side_effect=KeyError), pytest.raises(KeyError):
        batches.send(filled(world, batches))
    assert batches.reconcile() == 0
    assert batches.journal.pending() == []
    assert world.network.mainchain.ledger.ledger_of(world.hospital.address)[0] == 1


def test_one_that_a_reorganisation_took_away_is_sent_again(world: World, batches: Batches) -> None:
    batches.send(filled(world, batches))
    ledger, sent = world.network.mainchain.ledger, []
    with (
        patch.object(ledger, "events", return_value=iter(())),
        patch.object(Batches, "_store", lambda _, batch: sent.append(batch.sequence)),
    ):
        assert batches.reconcile() == 1
    assert sent == [1]


def test_another_machines_batch_in_the_same_place_is_an_error(world: World, batches: Batches) -> None:
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        batches.send(filled(world, batches))
    world.network.mainchain.ledger.store(world.hospital._sender(), b"\1" * 32, 1)
    with pytest.raises(TransactionError, match="another manifest than this profile's journal"):
        batches.reconcile()


def test_the_journal_can_be_looked_at_by_itself(world: World) -> None:
    with open_journal(world.hospital.profile.folder) as journal:
        assert list(journal.records()) == []
