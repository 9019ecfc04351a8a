"""Batches: in the journal before they are signed, on chain in order, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.errors import IntegrityError, TransactionError
from panachain.ipld.cid import CID
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records.publish import BatchBuilder
from panachain.sdk.batches import Batches, open_batches, open_journal
from tests.twin.chains import TwinSender
from tests.twin.world import World


@contextmanager
def elsewhere(world: World, folder: Path) -> Iterator[Batches]:
    """Work with the same profile on another machine."""
    session = world.hospital
    with open_batches(world.network, session.address, session._seed, folder) as opened:
        yield opened


@pytest.fixture
def batches(world: World) -> Iterator[Batches]:
    session = world.hospital
    with open_batches(world.network, session.address, session._seed, session.profile.folder) as opened:
        yield opened


def filled(world: World, batches: Batches, content: bytes = b"x") -> BatchBuilder:
    builder, patient = batches.begin(), world.patient.whoami()
    record = PlainRecord(Category.LABORATORY, 2025, "text/plain", content, content.ljust(32), 0)
    builder.add(record, world.hospital.pairing(patient))
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


@pytest.mark.parametrize("later", [0, 70])
def test_what_a_reorganisation_took_away_is_sent_again_once_however_late_it_is_noticed(
    world: World, batches: Batches, later: int
) -> None:
    chain = world.network.mainchain.chain
    batches.send(filled(world, batches, b"a"))
    before = chain.snapshot()
    lost = [batches.send(filled(world, batches, content)).batch.root.digest for content in (b"b", b"c")]
    chain.roll_back(before)
    for _ in range(later):
        chain.mine()
    assert batches.reconcile() == 2
    assert batches.reconcile() == 0
    assert list(world.network.manifests_of(world.hospital.address))[1:] == lost
    assert batches.send(filled(world, batches, b"d")).batch.sequence == 4
    assert len(list(world.patient.records())) == 4


def test_a_node_that_hides_the_newest_batch_gets_no_second_one_in_its_place(world: World, batches: Batches) -> None:
    batches.send(filled(world, batches, b"a"))
    network = world.network
    with (
        patch.object(network, "manifests_of", lambda _: ()),
        patch.object(network, "stored_by", lambda _: []),
    ):
        assert batches.reconcile() == 1
        with pytest.raises(IntegrityError, match="shows 0 storage transactions of this hospital, and 1 of them"):
            batches.begin()
    assert batches.reconcile() == 0
    assert batches.send(filled(world, batches, b"b")).batch.sequence == 2
    assert len(list(world.patient.records())) == 2


def test_a_batch_that_was_mined_elsewhere_is_noted_at_its_new_place(world: World, batches: Batches) -> None:
    chain = world.network.mainchain.chain
    before = chain.snapshot()
    batches.send(filled(world, batches))
    chain.roll_back(before)
    chain.mine()
    chain.mine()
    (tx, raw), *_ = batches.journal.sent(1)
    world.hospital._sender().resend([(tx, raw)], what="what somebody else sent again")
    assert batches.reconcile() == 0
    (batch,) = batches.journal.batches()
    assert batch.block == chain.head.number


class TestAnotherMachine:
    def test_takes_turns_with_this_one(self, world: World, batches: Batches, tmp_path: Path) -> None:
        batches.send(filled(world, batches, b"a"))
        with elsewhere(world, tmp_path) as other:
            assert other.reconcile() == 0
            other.send(filled(world, other, b"b"))
            assert batches.reconcile() == 0
            batches.send(filled(world, batches, b"c"))
            other.reconcile()
            assert other.send(filled(world, other, b"d")).batch.sequence == 4
        assert sorted(record.content for record in world.patient.records()) == [b"a", b"b", b"c", b"d"]

    def test_a_batch_in_the_place_of_one_that_wasnt_sent_is_told_and_whatever_lost_its_place_goes_anew(
        self, world: World, batches: Batches, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
            batches.send(filled(world, batches, b"a"), [(world.patient.address, b"a".ljust(32))])
        with elsewhere(world, tmp_path) as other:
            other.send(filled(world, other, b"b"))
        assert batches.reconcile() == 0
        assert "another machine published with this profile" in caplog.text
        assert "lacks 1 of the hospital's batches" in caplog.text
        # Neither published nor named as published.
        assert not batches.journal.source_done(world.patient.address, b"a".ljust(32))
        batches.send(filled(world, batches, b"a"))
        assert sorted(record.content for record in world.patient.records()) == [b"a", b"b"]

    def test_that_publishes_at_the_same_moment_lets_nothing_wrong_be_signed(
        self, world: World, batches: Batches, tmp_path: Path
    ) -> None:
        mine = filled(world, batches, b"a")
        with elsewhere(world, tmp_path) as other:
            other.send(filled(world, other, b"b"))
        with pytest.raises(TransactionError, match="another machine publishes with the same profile") as caught:
            batches.send(mine)
        assert "publishes what is missing" in caught.value.hint
        assert batches.journal.sent(1) == []
        assert len(world.network.manifests_of(world.hospital.address)) == 1
        assert len(list(world.patient.records())) == 1

    def test_cannot_let_a_transaction_be_mined_that_was_forgotten(
        self, world: World, batches: Batches, tmp_path: Path
    ) -> None:
        chain = world.network.mainchain.chain
        before = chain.snapshot()
        batches.send(filled(world, batches, b"a"))
        ((tx, raw),) = batches.journal.sent(1)
        chain.roll_back(before)
        with elsewhere(world, tmp_path) as other:
            other.send(filled(world, other, b"b"))
        batches.reconcile()
        assert world.hospital._sender().resend([(tx, raw)], what="what lay in somebody's pool") is None
        assert len(list(world.patient.records())) == 1


def test_a_batch_that_the_store_lost_before_it_was_on_chain_is_forgotten(
    world: World, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        batches.send(filled(world, batches))
    (batch,) = batches.journal.pending()
    world.network.store.delete_blocks([CID.parse(batch.manifest)])
    assert batches.reconcile() == 0
    assert "the store has lost it" in caplog.text
    assert batches.journal.batches() == []


def test_one_that_a_node_hides_is_not_forgotten_though_the_store_lost_it(world: World, batches: Batches) -> None:
    """Two liars at once: without its receipt the journal would forget it, and the next one would state its place."""
    first = batches.send(filled(world, batches)).batch
    held = world.network.store.held.pop(first.root)
    source = world.network.mainchain.ledger.bound.source
    with patch.object(source, "events", lambda *_, **__: iter(())), pytest.raises(IntegrityError, match="shows 0 stor"):
        batches.reconcile()
    assert [batch.sequence for batch in batches.journal.batches()] == [1]
    world.network.store.held[first.root] = held
    assert batches.reconcile() == 0
    assert batches.send(filled(world, batches, b"y")).batch.sequence == 2


def test_the_journal_can_be_looked_at_by_itself(world: World) -> None:
    with open_journal(world.hospital.profile.folder) as journal:
        assert list(journal.records()) == []
