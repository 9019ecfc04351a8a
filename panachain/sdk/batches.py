"""Batches on their way to the chain: one storage transaction each, journaled before it is signed and before it is sent.

Decides nothing about records: sdk/uploads.py and sdk/moves.py fill the batches. Follows design section 8 (Publish) and
security rule 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.chain.contracts.record_ledger import STORING
from panachain.crypto.keys import Seed
from panachain.errors import TransactionError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.records.journal import Batch, Journal
from panachain.records.publish import BatchBuilder, PreparedBatch
from panachain.sdk.network import Network

_REORG_DEPTH: Final = 64
"""Blocks under the newest one within which a storage transaction is looked for again."""


@dataclass(frozen=True)
class SentBatch:
    """A batch that is on chain."""

    batch: PreparedBatch
    tx: str
    """Hash of its storage transaction."""
    gas: int


class Batches:
    """The batches of one hospital, as long as it holds its journal; see `open_batches`."""

    def __init__(self, network: Network, hospital: Address, seed: Seed, journal: Journal) -> None:
        """Take the hospital's account, seed and journal."""
        self._network = network
        self._hospital = hospital
        self._seed = seed
        self.journal = journal

    def begin(self) -> BatchBuilder:
        """Return an empty batch that follows the hospital's newest one on chain."""
        manifests = self._network.manifests_of(self._hospital)
        return BatchBuilder(
            self._network.store,
            hospital=self._hospital,
            signer=self._seed.signer(),
            sequence=len(manifests) + 1,
            previous=CID(DAG_CBOR, manifests[-1]) if manifests else None,
            at=int(self._network.clock()),
        )

    def send(self, builder: BatchBuilder, done: Sequence[tuple[Address, bytes]] = ()) -> SentBatch:
        """Finish a batch, write it into the journal, and bring it on chain.

        Args:
            builder: with the batch's records; it is closed.
            done: (patient, source) pairs whose last record is in this batch.
        """
        batch = builder.finish()
        builder.close()
        prepared = self.journal.prepare(
            sequence=batch.sequence,
            manifest=str(batch.root),
            list_cid=str(batch.list_cid),
            records=batch.journal_records,
            done=done,
            counters=batch.counters,
            moved=batch.moved,
        )
        tx, gas = self._store(prepared)
        return SentBatch(batch, tx, gas)

    def reconcile(self) -> int:
        """Bring every batch of the journal on chain, in order; return how many had to be sent.

        Raises:
            TransactionError: the chain has another batch in a place where the journal has one.
        """
        newest = self._network.mainchain.head_block().number
        recent = self.journal.mined_since(newest - _REORG_DEPTH)
        # Most calls end here, without asking the node for all of the hospital's events.
        if not recent and not self.journal.pending():
            return 0
        events = self._network.mainchain.ledger.events(hospital=self._hospital)
        on_chain = {event.sequence: event for event in events}
        for batch in recent:
            # A reorganisation may have put it into another block, or nowhere.
            if batch.sequence not in on_chain:
                self.journal.vanished(batch.sequence)
        sent = 0
        for batch in self.journal.pending():
            mined = on_chain.get(batch.sequence)
            if mined is None:
                self._store(batch)
                sent += 1
            # It was mined, and the program ended before the journal could say so.
            elif mined.manifest == CID.parse(batch.manifest).digest:
                self.journal.mined(batch.sequence, mined.tx_hash, mined.block)
            else:
                raise TransactionError(
                    f"storage transaction {batch.sequence} on chain has another manifest than this profile's journal",
                    hint="is the same hospital profile used on another machine?",
                )
        return sent

    def _store(self, batch: Batch) -> tuple[str, int]:
        """Send a batch's storage transaction, or the one that was signed for it before; return its hash and gas."""
        sender = self._network.sender(self._seed.account_key())

        def signed(tx_hash: str, raw: str) -> None:
            self.journal.sending(batch.sequence, tx_hash, raw)

        before = self.journal.sent(batch.sequence)
        # With the same nonce only one of them can ever be mined, so nothing is stored twice.
        receipt = sender.resend(before, what=STORING, signed=signed) if before else None
        if receipt is None:
            digest = CID.parse(batch.manifest).digest
            receipt = self._network.mainchain.ledger.store(sender, digest, batch.count, signed=signed)
        self.journal.mined(batch.sequence, receipt.tx_hash, receipt.block)
        return receipt.tx_hash, receipt.gas_used


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
