"""Moves: records get new headers in the new lanes of patients who rotated theirs and asked for it, and old ones go.

Opens no record: a patient hands over the new envelope, already wrapped. Follows design section 8 (Revoke, R4) and
records/rewrap.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.model.actors import Actor, Address
from panachain.model.progress import Progress
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header, open_header
from panachain.records.pairing import Pairing
from panachain.records.publish import MAX_RECORDS, shorten_list
from panachain.records.rewrap import open_order
from panachain.sdk.batches import Batches
from panachain.sdk.network import Network
from panachain.sdk.pairings import Pairings
from panachain.sdk.results.uploads import RewrapReport


@dataclass(frozen=True)
class _Move:
    """One record that a patient asks to move."""

    old: Header
    envelope: bytes
    """The new envelope block."""
    pairing: Pairing
    emergency: bool
    """As `rewrap.Move`."""


class Moves:
    """The moves of one hospital.

    1. Read each paired patient's orders, and check that they name records of theirs that weren't moved yet.
    2. Give these records new headers, all patients' together in as few batches as hold them, and send each batch.
    3. Delete the old headers and envelopes, once the new ones are on chain.
    """

    def __init__(self, network: Network, hospital: Address, seed: Seed, batches: Batches, pairings: Pairings) -> None:
        """Take the hospital's account and seed, its batches, and the pairings with its patients."""
        self._network = network
        self._hospital = hospital
        self._seed = seed
        self._batches = batches
        self._pairings = pairings

    def run(self, progress: Progress | None = None) -> RewrapReport:
        """Do all three steps; a killed run is finished by the same call.

        An order that isn't its patient's, or that names what this hospital didn't publish for that patient, moves
        nothing and is told in the report; all others are done.
        """
        # 1. Read the orders.
        findings = Findings()
        moves = [
            move for patient, pairing in self._pairings.all(findings) for move in self._of(patient, pairing, findings)
        ]
        # 2. New headers: a batch of one patient's records would show that they are one's.
        sent = []
        for start in range(0, len(moves), MAX_RECORDS):
            sent.append(self._move(moves[start : start + MAX_RECORDS]))
            if progress is not None:
                progress(min(start + MAX_RECORDS, len(moves)), len(moves), unit="records")
        # 3. Delete the old ones.
        return RewrapReport(len(moves), self._delete_moved(), tuple(sent), tuple(findings.omissions))

    def _of(self, patient: Actor, pairing: Pairing, findings: Findings) -> list[_Move]:
        """Return what a patient's orders ask for, each order whole or not at all."""
        found: dict[CID, _Move] = {}
        for order in pairing.orders:
            try:
                for move in self._ordered(patient, pairing, order):
                    # Once, however many orders name it.
                    found.setdefault(CID.parse(move.old.info.header_cid), move)
            except LEFT_OUT as exc:
                findings.left_out("", f"order {order} of patient {patient.handle}", exc)
        if found:
            try:
                # Before a batch is begun, in which all patients' records go together.
                self._batches.learn(pairing.patient)
            except LEFT_OUT as exc:
                findings.left_out("", f"the lanes of patient {patient.handle}", exc)
                return []
        return list(found.values())

    def _ordered(self, patient: Actor, pairing: Pairing, order: CID) -> list[_Move]:
        """Return the records that an order names and that weren't moved yet.

        Raises:
            IntegrityError: the order isn't the patient's, or names a record of somebody else.
            BlockNotFoundError: the store lost the order, or a header.
        """
        found = []
        block = self._network.store.get_block(order)
        for move in open_order(block, secret=self._seed.receiving(), verifying_key=patient.verifying_key):
            # It was moved by an earlier run, or the order is an old one.
            if not self._batches.journal.has(str(move.header)):
                continue
            old = open_header(
                self._network.store.get_block(move.header),
                cid=move.header,
                hospital=self._hospital,
                locator_key=move.locator_key,
                verifying_key=self._seed.signer().public,
            )
            # The order is signed by its patient, but anybody may name any header.
            if old.patient != pairing.patient:
                raise IntegrityError(f"{patient.handle} asks to move a record of somebody else; nothing was moved")
            # Before a batch is begun: a record that the pairing has no lanes for would break it off.
            pairing.path(old.info.category, old.info.year, emergency=move.emergency)
            found.append(_Move(old, move.envelope, pairing, move.emergency))
        return found

    def _move(self, moves: Sequence[_Move]) -> str:
        """Give records new headers in one batch, and return the hash of its transaction."""
        builder = self._batches.begin()
        try:
            for move in moves:
                builder.move(move.old, move.envelope, move.pairing, emergency=move.emergency)
            return self._batches.send(builder).tx
        finally:
            builder.close()

    def _delete_moved(self) -> int:
        """Delete old headers and envelopes whose records have new ones on chain, and let go of what kept them."""
        rows = self._batches.journal.deletable()
        gone: dict[str, set[CID]] = defaultdict(set)
        for header, envelope, kept_by in rows:
            gone[kept_by] |= {CID.parse(header), CID.parse(envelope)}
        # A batch whose list isn't known was pinned by nothing that could be found.
        unlisted = gone.pop("", set())
        store = self._network.store
        # The new lists before the old ones go: at no moment is a block that is still needed without a pin.
        lists = {old: str(shorten_list(store, CID.parse(old), without)) for old, without in gone.items()}
        for old in lists:
            store.unpin(CID.parse(old))
        store.delete_blocks(unlisted.union(*gone.values()))
        self._batches.journal.deleted([header for header, _, _ in rows], lists)
        return len(rows)
