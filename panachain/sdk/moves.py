"""Moves: records get new headers in lanes where their patients asked to have them, and the old ones go.

After a rotation a patient hands over the new envelope, already wrapped, and no record is opened; what goes into another
category is sealed anew (sdk/reseals.py). Follows design section 8 (Revoke, R4) and records/rewrap.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from panachain.crypto.keys import Seed
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import unixfs
from panachain.ipld.cid import CID
from panachain.model.actors import Actor, Address
from panachain.model.progress import Progress
from panachain.records import rewrap
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header, open_header_of
from panachain.records.pairing import Pairing
from panachain.records.publish import MAX_RECORDS, BatchBuilder, listed, shorten_list
from panachain.records.rewrap import Reseal
from panachain.sdk.batches import Batches
from panachain.sdk.network import Network
from panachain.sdk.pairings import Pairings
from panachain.sdk.reseals import Resealing, Reseals
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
    2. Give these records new headers, all patients' together in as few batches as hold them, and send each batch; what
       goes into another category is sealed anew before.
    3. Delete the old headers and envelopes, and the contents that were sealed anew, once the new ones are on chain.
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
        reseals = Reseals(self._network, self._batches)
        again: list[Resealing] = []
        moves: list[_Move] = []
        for patient, pairing in self._pairings.all(findings):
            orders = self._orders(patient, pairing, findings)
            if not orders or not self._is_known(patient, findings):
                continue
            wanted = {cid: order for cid, order in orders.items() if isinstance(order, Reseal)}
            asked = reseals.of(patient, pairing, wanted, findings)
            found = self._of(patient, pairing, orders, findings)
            # What goes into another category, and what stays beside it, gets a header in the lanes as they are now.
            taken = {header for one in asked for header in one.headers}
            again += asked
            moves += [move for move in found if move.old.info.header_cid not in taken]
        # 2. New headers: a batch of one patient's records would show that they are one's.
        sent = _Sent(self._batches, reseals, progress, sum(one.count for one in again) + len(moves))
        try:
            for one in again:
                try:
                    # All of it before the batch has any: an envelope goes whole or not at all.
                    records = reseals.opened(one)
                except LEFT_OUT as exc:
                    findings.left_out("", f"records of {one.scope.text} of patient {one.pairing.patient}", exc)
                    continue
                reseals.fill(sent.room(one.count), one, records)
                sent.resealed += sum(not leaving.stays for leaving in one.leaving)
                sent.moved += len(one.staying)
            for move in moves:
                sent.room(1).move(move.old, move.envelope, move.pairing, emergency=move.emergency)
                sent.moved += 1
            sent.send()
        finally:
            sent.give_up()
        # 3. Delete the old ones.
        deleted = self.delete_moved()
        return RewrapReport(sent.moved, deleted, tuple(sent.transactions), tuple(findings.omissions), sent.resealed)

    def _orders(self, patient: Actor, pairing: Pairing, findings: Findings) -> dict[CID, list[rewrap.Move] | Reseal]:
        """Return what a patient asks for, by the orders' CIDs; each that can't be read is told."""
        found = {}
        for cid in pairing.orders:
            try:
                found[cid] = self._pairings.order(patient, cid)
            except LEFT_OUT as exc:
                findings.left_out("", f"order {cid} of patient {patient.handle}", exc)
        return found

    def _is_known(self, patient: Actor, findings: Findings) -> bool:
        """Tell whether the journal knows a patient's records: before a batch is begun, in which all patients' go."""
        try:
            self._batches.learn(patient.address)
        except LEFT_OUT as exc:
            findings.left_out("", f"the records of patient {patient.handle}", exc)
            return False
        return True

    def _of(
        self,
        patient: Actor,
        pairing: Pairing,
        orders: Mapping[CID, list[rewrap.Move] | Reseal],
        findings: Findings,
    ) -> list[_Move]:
        """Return what a patient's orders to re-wrap ask for, each order whole or not at all."""
        found: dict[CID, _Move] = {}
        for cid, order in orders.items():
            # The others are followed by sdk/reseals.py.
            if isinstance(order, Reseal):
                continue
            try:
                for move in self._ordered(patient, pairing, order):
                    # Once, however many orders name it.
                    found.setdefault(CID.parse(move.old.info.header_cid), move)
            except LEFT_OUT as exc:
                findings.left_out("", f"order {cid} of patient {patient.handle}", exc)
        return list(found.values())

    def _ordered(self, patient: Actor, pairing: Pairing, order: Iterable[rewrap.Move]) -> list[_Move]:
        """Return the records that an order names and that weren't moved yet.

        Raises:
            IntegrityError: the order names a record of somebody else.
            BlockNotFoundError: the store lost a header.
        """
        found = []
        for move in order:
            # It was moved by an earlier run, or the order is an old one.
            if not self._batches.journal.has(str(move.header)):
                continue
            old = open_header_of(
                self._network.store.get_block(move.header),
                cid=move.header,
                hospital=self._hospital,
                locator_key=move.locator_key,
                verifying_keys=self._seed.verifying_keys(),
            )
            # The order is signed by its patient, but anybody may name any header.
            if old.patient != pairing.patient:
                raise IntegrityError(f"{patient.handle} asks to move a record of somebody else; nothing was moved")
            # Before a batch is begun: a record that the pairing has no lanes for would break it off.
            pairing.path(old.info.category, old.info.year, emergency=move.emergency)
            found.append(_Move(old, move.envelope, pairing, move.emergency))
        return found

    def delete_moved(self) -> int:
        """Delete old headers and envelopes whose records have new ones on chain, and let go of what kept them.

        Returns:
            How many headers.
        """
        rows = self._batches.journal.deletable()
        if not rows:
            return 0
        gone: dict[str, set[CID]] = defaultdict(set)
        sealed: set[CID] = set()
        for header, envelope, kept_by in rows:
            gone[kept_by] |= {CID.parse(header), CID.parse(envelope)}
            if header == envelope:
                sealed.add(CID.parse(header))
        # A batch whose list isn't known was pinned by nothing that could be found.
        unlisted = gone.pop("", set())
        store = self._network.store
        if sealed:
            # A content is in the lists of all batches that gave its record a header.
            for kept_by in set(self._batches.journal.lists()):
                gone[kept_by] |= sealed & set(listed(store, CID.parse(kept_by)))
        # The new lists before the old ones go: at no moment is a block that is still needed without a pin.
        lists = {old: str(shorten_list(store, CID.parse(old), without)) for old, without in gone.items() if without}
        for old in lists:
            store.unpin(CID.parse(old))
        store.delete_blocks(unlisted.union(*gone.values(), *(self._leaves(cid) for cid in sealed)))
        self._batches.journal.deleted([header for header, _, _ in rows], lists)
        return sum(header != envelope for header, envelope, _ in rows)

    def _leaves(self, cid: CID) -> set[CID]:
        """Return the leaves of a sealed content; none of what is gone already."""
        try:
            return {leaf for leaf, _ in unixfs.leaves_of(cid, self._network.store.get_block)}
        except BlockNotFoundError:
            return set()


class _Sent:
    """The batches of one run, filled one after the other."""

    def __init__(self, batches: Batches, reseals: Reseals, progress: Progress | None, total: int) -> None:
        self._batches = batches
        self._reseals = reseals
        self._progress = progress
        self._total = total
        self._builder: BatchBuilder | None = None
        self._done = 0
        self.moved = 0
        self.resealed = 0
        self.transactions: list[str] = []

    def room(self, count: int) -> BatchBuilder:
        """Return a batch with room for so many records."""
        if self._builder is not None and (self._builder.full or self._builder.count + count > MAX_RECORDS):
            self.send()
        self._builder = self._builder or self._batches.begin()
        return self._builder

    def give_up(self) -> None:
        """Forget what wasn't sent."""
        if self._builder is not None:
            self._builder.close()

    def send(self) -> None:
        """Send what the batch holds."""
        if self._builder is None:
            return
        self._done += self._builder.count
        sent = self._batches.send(self._builder, followed=self._reseals.followed, elsewhere=self._reseals.elsewhere)
        self._builder = None
        self._reseals.followed, self._reseals.elsewhere = [], []
        self.transactions.append(sent.tx)
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total, unit="records")
