"""Batches on their way to the chain: one storage transaction each, journaled before it is signed and before it is sent.

Decides nothing about records: sdk/uploads.py and sdk/moves.py fill the batches. The journal is compared as a whole with
the hospital's history on chain, which is right wherever they differ. Follows design section 8 (Publish), ADR 20, and
security rules 5 and 25.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from panachain.chain.contracts.record_ledger import STORING
from panachain.chain.evm import Sender
from panachain.crypto import kdf, labels
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, PartlyDoneError, TransactionError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.storage_transactions import StorageEvent
from panachain.records.journal import Batch, Journal
from panachain.records.journal_erased import Erasing
from panachain.records.journal_resources import KnownResource
from panachain.records.journal_unsent import Kind
from panachain.records.journal_withdrawn import Withdrawing
from panachain.records.publish import BatchBuilder, BeginLists, Lists, PreparedBatch, lists_here
from panachain.sdk.network import Network
from panachain.sdk.own_history import OwnHistory
from panachain.sdk.results.uploads import SettleReport
from panachain.sdk.unsent import KEYS, PLACE, Unsent

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class SentBatch:
    """A batch that is on chain."""

    batch: PreparedBatch
    tx: str
    """Hash of its storage transaction; empty if nothing of it was sent."""
    gas: int
    dropped: Mapping[Address, int] = field(default_factory=dict)
    """Whose lanes or choices changed while it was sealed, with how many records: these weren't sent."""


class Batches:
    """The batches of one hospital, as long as it holds its journal; see `open_batches`."""

    def __init__(self, network: Network, hospital: Address, seed: Seed, journal: Journal) -> None:
        """Take the hospital's account, seed and journal."""
        self._network = network
        self._hospital = hospital
        self._seed = seed
        self.journal = journal
        self.resource_key = kdf.derive(seed.store_key(), labels.RESOURCES)
        """What fingerprints of resources are keyed with, 32 bytes."""
        self.history = OwnHistory(network, hospital, seed)
        self.unsent = Unsent(network, hospital, seed, journal, self.history)
        """What is sealed and not on chain, and what of that must be uploaded again."""

    def learn(self, patient: Address) -> None:
        """Have the journal know a patient's records, whichever machine published them.

        Raises:
            IntegrityError, BlockNotFoundError: batches that this journal didn't make can't be read.
        """
        self.history.learn(self.journal, [patient])

    def has_any(self, patient: Address) -> bool:
        """Tell whether this hospital published a record of a patient.

        Raises:
            IntegrityError, BlockNotFoundError: as `learn`.
        """
        self.learn(patient)
        return self.journal.has_any(patient)

    def begin(self, lists: Lists = lists_here, begin_lists: BeginLists | None = None) -> BatchBuilder:
        """Return an empty batch that follows the hospital's newest one on chain.

        Args:
            lists: makes its lists of words.
            begin_lists: as `BatchBuilder`.

        Raises:
            IntegrityError: the chain, as it is seen, has fewer batches than were mined of the journal's.
        """
        manifests = self._network.manifests_of(self._hospital)
        newest = max((batch.sequence for batch in self.journal.batches()), default=0)
        # Their receipts are there: a node that lags, or that hides them, must not get a second one in a place.
        if newest > len(manifests):
            raise _hidden(len(manifests), newest)
        sequence = len(manifests) + 1
        return BatchBuilder(
            self._network.store,
            hospital=self._hospital,
            signer=self._seed.signer(),
            sequence=sequence,
            previous=CID(DAG_CBOR, manifests[-1]) if manifests else None,
            at=int(self._network.clock()),
            merging=self.history.merging(self.journal, sequence),
            lists=lists,
            begin_lists=begin_lists,
        )

    def send(
        self,
        builder: BatchBuilder,
        done: Sequence[tuple[Address, bytes]] = (),
        resources: Sequence[KnownResource] = (),
        withdrawn: Sequence[Withdrawing] = (),
        followed: Sequence[str] = (),
        elsewhere: Sequence[tuple[KnownResource, str]] = (),
        erasing: Sequence[Erasing] = (),
        attested: Sequence[str] = (),
        refused: Sequence[tuple[str, str]] = (),
    ) -> SentBatch:
        """Finish a batch, write it into the journal, and bring it on chain.

        Args:
            builder: with the batch's records; it is closed.
            done: (patient, source) pairs whose last record is in this batch.
            resources: the versions that its records hold.
            withdrawn: records of earlier batches that its statements withdraw.
            followed: as `Journal.prepare`.
            elsewhere: as `Journal.prepare`.
            erasing: as `Journal.prepare`.
            attested: as `Journal.prepare`.
            refused: as `Journal.prepare`.

        Returns:
            What is on chain of it: without the records of patients whose lanes changed while it was being filled.

        Raises:
            TransactionError: as `reconcile`; or it did what a patient asked for, who changed lanes meanwhile.
        """
        batch = builder.finish()
        builder.close()
        pairings = list(builder.pairings.values())
        prepared = self.journal.prepare(
            sequence=batch.sequence,
            manifest=str(batch.root),
            list_cid=str(batch.list_cid),
            records=batch.journal_records,
            done=done,
            moved=batch.moved,
            resources=resources,
            withdrawn=withdrawn,
            followed=followed,
            elsewhere=elsewhere,
            erasing=erasing,
            attested=attested,
            refused=refused,
            words=batch.words,
            sealed_for=self.unsent.sealed_for(pairings, self.resource_key),
        )
        if self.unsent.untouched(pairings):
            return SentBatch(batch, *self._store(prepared))
        changed, kind = self._changed(prepared), self.journal.unsent.kind(prepared.sequence)
        left = self._mended(prepared, changed) if changed else prepared
        if changed and kind is not Kind.RECORDS:
            raise TransactionError(
                "a patient changed lanes while they were read; nothing was sent",
                hint="the same command again does it by the lanes as they are now",
            )
        return _what_is_left(batch, left, changed, *(("", 0) if left is None else self._store(left)))

    def reconcile(self) -> int:
        """Bring journal and chain into agreement, over their whole length; return how many batches had to be sent.

        1. Where the chain has another batch than the journal, or the store lost one that the chain hasn't, the journal
           forgets its own from there on, once their transactions can't be mined any more: their sources count as new.
        2. What is on chain is noted, and what isn't any more is pending again.
        3. What the chain has beyond the journal is adopted: from another machine, or from before a backup was restored.
        4. What the journal has beyond the chain is sent, in order; but nothing into lanes that its patient has given
           new keys to, or against what they close, since it was sealed: that is taken out, and named until its source
           is uploaded again (`unsent`).

        Raises:
            TransactionError: the chain refuses a batch.
        """
        self.unsent.delete()
        on_chain = self._on_chain()
        # 1. Conflicts.
        first = self._first_conflict(on_chain)
        if first is not None:
            for batch in self.journal.batches():
                if batch.sequence >= first:
                    self._sender().bury(self.journal.sent(batch.sequence))
            # One of them may have been mined at the last moment.
            on_chain = self._on_chain()
            first = self._first_conflict(on_chain)
            if first is not None:
                self._check_not_mined(first, on_chain)
                self._forget(first, on_chain)
        # 2. Each batch's place.
        known = {batch.sequence: batch for batch in self.journal.batches()}
        for batch in known.values():
            event = on_chain.get(batch.sequence)
            if event is None and batch.tx is not None:
                self.journal.vanished(batch.sequence)
            elif event is not None and (batch.tx, batch.block) != (event.tx_hash, event.block):
                self.journal.mined(batch.sequence, event.tx_hash, event.block)
        # 3. What others published.
        beyond = [event for sequence, event in on_chain.items() if sequence not in known]
        if beyond:
            self._adopt(beyond)
        # 4. What isn't on chain.
        sent = 0
        while pending := self.journal.pending():
            changed = self._changed(pending[0])
            left = self._mended(pending[0], changed) if changed else pending[0]
            if left is not None and left.tx is None:
                self._store(left)
                sent += 1
        return sent

    def _changed(self, batch: Batch) -> dict[Address, str]:
        """Return of whom the records in a batch can't be sent as they are, each with the name of a reason."""
        changed = self.unsent.changed(batch, self.resource_key)
        if KEYS not in changed.values() and self.journal.unsent.was_mined(batch.sequence):
            # Everybody could find it already: to keep it back now would only lose it.
            self.unsent.tell(batch, changed)
            return {}
        return changed

    def _mended(self, batch: Batch, changed: Mapping[Address, str]) -> Batch | None:
        """Take some patients' records out of a batch, unless it is on chain already.

        1. Its signed transactions are mined now or never.
        2. If one was mined at the last moment, the batch stays as it is.
        3. What follows it names its manifest: it goes, last one first.
        4. The batch without these records is stored, and replaces it in the journal, all at once.

        Returns:
            What is left of it, or what is on chain; None if nothing is.

        Raises:
            IntegrityError: the node hides a batch that is mined.
        """
        # 1. The transactions.
        following = [one for one in self.journal.batches() if one.sequence >= batch.sequence]
        for one in following:
            self._sender().bury(self.journal.sent(one.sequence))
        # 2. Mined at the last moment.
        on_chain = self._on_chain()
        if (event := on_chain.get(batch.sequence)) is not None:
            self.journal.mined(batch.sequence, event.tx_hash, event.block)
            self.unsent.tell(batch, changed)
            return next(one for one in self.journal.batches() if one.sequence == batch.sequence)
        self._check_not_mined(batch.sequence, on_chain)
        # 3. What follows.
        for one in reversed(following[1:]):
            self.unsent.cut(one, dict.fromkeys(self.journal.unsent.scopes(one.sequence), PLACE))
        # 4. The batch.
        return self.unsent.cut(batch, changed)

    def _on_chain(self) -> dict[int, StorageEvent]:
        return {event.sequence: event for event in self._network.stored_by(self._hospital)}

    def _first_conflict(self, on_chain: Mapping[int, StorageEvent]) -> int | None:
        """Return from which sequence on the journal's batches can't be on chain any more."""
        for batch in self.journal.batches():
            event = on_chain.get(batch.sequence)
            root = CID.parse(batch.manifest)
            if event is None and not self._network.store.has_block(root):
                return batch.sequence
            if event is not None and event.manifest != root.digest:
                return batch.sequence
        return None

    def _check_not_mined(self, first: int, on_chain: Mapping[int, StorageEvent]) -> None:
        """Check that no batch is forgotten that has a receipt, once its transactions can't be mined any more.

        Raises:
            IntegrityError: the node hides one: the next manifest would state its place for good.
        """
        for batch in self.journal.batches():
            if batch.sequence >= first and batch.sequence not in on_chain:
                sent = self.journal.sent(batch.sequence)
                # Their nonces are used up: nothing is sent, and a receipt is of one that was mined.
                if sent and self._sender().resend(sent, what=STORING) is not None:
                    raise _hidden(len(on_chain), batch.sequence)

    def _forget(self, first: int, on_chain: Mapping[int, StorageEvent]) -> None:
        lost = self.journal.adopted.forget(first)
        why = "another machine published with this profile" if first in on_chain else "the store has lost it"
        _LOG.warning(
            "batch %d of this profile's journal can't be published any more, because %s: the journal forgets it and"
            " what followed (records: %d); the next upload of their files publishes them anew",
            first,
            why,
            lost,
        )

    def _adopt(self, events: Sequence[StorageEvent]) -> None:
        roots = {event.sequence: CID(DAG_CBOR, event.manifest) for event in events}
        lists = self.history.lists(list(roots.values()))
        _LOG.warning(
            "this profile's journal lacks %d of the hospital's batches, which another machine published, or this one"
            " before its files were restored: they are read from the chain and the store",
            len(events),
        )
        self.journal.adopted.add(
            (
                Batch(event.sequence, str(roots[event.sequence]), event.count, event.tx_hash, event.block),
                str(lists.get(roots[event.sequence], "")),
            )
            for event in events
        )
        self.history.learn(self.journal)

    def _sender(self) -> Sender:
        return self._network.sender(self._seed.account_key())

    def _store(self, batch: Batch) -> tuple[str, int]:
        """Send a batch's storage transaction, or the one that was signed for it before; return its hash and gas."""
        sender = self._sender()

        def signed(tx_hash: str, raw: str) -> None:
            self.journal.sending(batch.sequence, tx_hash, raw)

        before = self.journal.sent(batch.sequence)
        # With the same nonce only one of them can ever be mined, so nothing is stored twice.
        receipt = sender.resend(before, what=STORING, signed=signed) if before else None
        if receipt is None:
            digest = CID.parse(batch.manifest).digest
            # After the nonce was read, which nothing else that is mined can have had: now nobody's batch can come
            # between. One that replaces a transaction that sticks has the same nonce.
            receipt = self._network.mainchain.ledger.store(
                sender, digest, batch.count, signed=signed, taken=lambda: self._check_next(batch)
            )
        self.journal.mined(batch.sequence, receipt.tx_hash, receipt.block)
        return receipt.tx_hash, receipt.gas_used

    def _check_next(self, batch: Batch) -> None:
        """Check that a batch is the next one on chain, so that its manifest states its place rightly.

        Raises:
            TransactionError: another machine's batch has its place.
        """
        newest = len(self._network.manifests_of(self._hospital))
        if newest != batch.sequence - 1:
            raise TransactionError(
                f"storage transaction {batch.sequence} was to be sent, and the chain has {newest} of this hospital: "
                "another machine publishes with the same profile; nothing was sent",
                hint="the same command again publishes what is missing; let one machine at a time publish",
            )


def _what_is_left(
    batch: PreparedBatch, left: Batch | None, changed: Mapping[Address, str], tx: str, gas: int
) -> SentBatch:
    """Return what is on chain of a batch of which some patients' records were taken out."""
    stays = tuple(one for one in batch.records if one.patient not in changed)
    dropped = Counter(one.patient for one in batch.records if one.patient in changed)
    root = batch.root if left is None else CID.parse(left.manifest)
    return SentBatch(replace(batch, root=root, records=stays), tx, gas, dropped)


def _hidden(shown: int, mined: int) -> IntegrityError:
    return IntegrityError(
        f"the node shows {shown} storage transactions of this hospital, and {mined} of them are mined; nothing was"
        " published",
        hint="wait for the node, or name another one; the same command again goes on",
    )


@contextmanager
def open_journal(profile: Path) -> Iterator[Journal]:
    """Open the journal of a hospital's profile, to look at it."""
    journal = Journal(profile / "journal.sqlite")
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def open_batches(network: Network, hospital: Address, seed: Seed, profile: Path) -> Iterator[Batches]:
    """Hold a hospital's journal, alone, for as long as batches are made."""
    with open_journal(profile) as journal, journal.exclusive():
        yield Batches(network, hospital, seed, journal)


def settled(network: Network, hospital: Address, seed: Seed, profile: Path) -> SettleReport:
    """Bring a hospital's journal and the chain into agreement, and return what that took.

    Raises:
        PartlyDoneError: something was sealed for lanes that have new keys since, and wasn't sent: its files must be
            uploaded again, and it is named until they are. All else was done: `result` is the report.
    """
    with open_batches(network, hospital, seed, profile) as batches:
        report = SettleReport(batches.reconcile(), tuple(batches.unsent.lacking()))
    if report.omissions:
        done = f"storage transactions that were sent: {report.transactions}"
        raise PartlyDoneError.of(report.omissions, done=done, result=report)
    return report
