"""Unsent batches: what was sealed for lanes or choices that have changed since isn't sent as it is.

A hospital forgets the key of each envelope as soon as it is wrapped, so nobody but the patient could wrap it for other
lanes: what was sealed for old ones is taken out of its batch, and its source is uploaded again. Everybody else's
records in the batch stay as they are and go with it. Decides nothing about what is on chain, or was.
Follows ADR 84 and design section 8 (Publish; Revoke, R3).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from typing import Final

from panachain.crypto.kdf import hmacs
from panachain.crypto.keys import Seed
from panachain.errors import BlockNotFoundError, IntegrityError, Omission, TransactionError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, DAG_PB
from panachain.model.actors import Address, Role, handle_of
from panachain.model.scope import Category, path_of
from panachain.records import manifest
from panachain.records.findings import Findings
from panachain.records.header import Header
from panachain.records.journal import Batch, Journal, JournalRecord
from panachain.records.journal_unsent import Cut, Kind, Lacking, SealedFor
from panachain.records.lane_walk import lanes_of
from panachain.records.likeness import of_header
from panachain.records.merging import Lost, merged
from panachain.records.pairing import Pairing
from panachain.records.publish import Rows, list_blocks, listed
from panachain.records.rewrap import NO_WISHES
from panachain.sdk.care import in_care
from panachain.sdk.network import Network
from panachain.sdk.own_history import OwnHistory
from panachain.sdk.pairings import Pairings

_LOG: Final = logging.getLogger(__name__)
_USE: Final = b"sealed for"
"""What a fingerprint is of, beside those of sdk/changes.py."""
_MINING: Final = 600
"""Seconds before the end of the hospital's keys from which on nothing is sent under them: the block's time counts."""

LANES: Final = "lanes"
CHOICES: Final = "choices"
PAIRING: Final = "pairing"
KEYS: Final = "keys"
PLACE: Final = "place"
WHY: Final = {
    LANES: "the patient has given new keys to lanes",
    CHOICES: "what the patient closes, or where they want their records, has changed",
    PAIRING: "the patient's pairing has ended or can't be read",
    KEYS: "the keys with which this hospital signed it have ended",
    PLACE: "the batch before it, which it names, has changed",
}
"""Why what was sealed can't be sent as it is."""


class Unsent:
    """The batches of one hospital that are sealed and not on chain."""

    def __init__(self, network: Network, hospital: Address, seed: Seed, journal: Journal, history: OwnHistory) -> None:
        """Take the hospital's account and seed, its journal, and what it published."""
        self._network = network
        self._hospital = hospital
        self._seed = seed
        self._journal = journal
        self._history = history

    def sealed_for(self, pairings: Iterable[Pairing], key: bytes) -> list[SealedFor]:
        """Return what the journal keeps of the pairings by which a batch was sealed.

        Args:
            pairings: one of each patient.
            key: for fingerprints, 32 bytes.
        """
        mac = hmacs(key, _USE + b"\0")
        return [SealedFor(one.patient, one.generations.epoch, mac(_said(one))) for one in pairings]

    def untouched(self, pairings: Iterable[Pairing]) -> bool:
        """Tell whether the chain still names the very pairings by which a batch was sealed a moment ago.

        Of whoever is in care more than their own pairing decides: that is for `changed`.
        """
        known = {one.patient: one for one in pairings}
        accounts = list(known)
        now = self._network.sidechain.identities.pairings_of(accounts, self._hospital)
        wardships, _ = in_care(self._network)
        cared = {account for one in wardships for account in (one.account, one.ward)}
        return not cared & known.keys() and all(
            known[account].digest == digest for account, digest in zip(accounts, now, strict=True)
        )

    def changed(self, batch: Batch, key: bytes) -> dict[Address, str]:
        """Return of whom the records in a batch aren't sealed as they would be now, each with the name of a reason.

        What an older state of the chain says doesn't count: lanes that are newer than those of a node that lags stay.

        Args:
            batch: that isn't on chain.
            key: as `sealed_for`.
        """
        journal, kind = self._journal.unsent, self._journal.unsent.kind(batch.sequence)
        scopes = journal.scopes(batch.sequence)
        if self._is_signed_in_vain(batch):
            return dict.fromkeys(scopes, KEYS)
        if kind is Kind.STATEMENTS:
            return {}
        sealed, mac = journal.sealed_for(batch.sequence), hmacs(key, _USE + b"\0")
        found = dict[Address, str]()
        pairings = self._pairings_now(scopes, kind)
        for patient, mine in scopes.items():
            now = pairings.get(patient)
            before = sealed.get(patient) or self._before(batch, patient)
            if now is None:
                # What a patient asked for, or the law, is done although the pairing has ended since.
                found |= {patient: PAIRING} if kind is Kind.RECORDS else {}
            elif before is None or any(_is_rotated(now, scope, before.epoch) for scope in mine):
                found[patient] = LANES
            elif kind is Kind.RECORDS and not _says(now, before.terms, mac):
                found[patient] = CHOICES
        return found

    def cut(self, batch: Batch, why: Mapping[Address, str]) -> Batch | None:
        """Take some patients' records out of a batch whose transactions can't be mined any more.

        Returns:
            What is left of it, under the same number; None if it is gone as a whole.
        """
        made = self._without(batch, why) if self._journal.unsent.kind(batch.sequence) is Kind.RECORDS else None
        if made is None:
            self._forget(batch, why)
        else:
            self._journal.unsent.cut(made, why)
            for one in self._journal.unsent.lacking(why):
                _LOG.warning("%s of patient %s: %s", _what(one), _handle(one.patient), _why(one))
        self.delete()
        return next((one for one in self._journal.pending() if one.sequence == batch.sequence), None)

    def delete(self) -> None:
        """Delete the blocks that nobody shall find any more, also those that an earlier run left."""
        rows = self._journal.unsent.unwanted()
        if not rows:
            return
        store = self._network.store
        for cid, is_list in rows:
            if is_list:
                store.unpin(CID.parse(cid))
        gone = {CID.parse(cid) for cid, _ in rows}
        store.delete_blocks(gone.union(*(self._leaves(cid) for cid in gone if cid.codec == DAG_PB)))
        self._journal.unsent.gone()

    def lacking(self, patients: Collection[Address] | None = None) -> list[Omission]:
        """Return what was sealed, wasn't sent and must be uploaded again, of everybody or of some patients."""
        hint = "upload the files of that patient again: what is published isn't published twice"
        return [
            Omission("", f"{_what(one)} of patient {_handle(one.patient)}", TransactionError(_why(one), hint=hint))
            for one in self._journal.unsent.lacking(patients)
        ]

    def tell(self, batch: Batch, why: Mapping[Address, str]) -> None:
        """Say of whom records lie in old lanes although that was known, because they were on chain already."""
        for patient, reason in why.items():
            _LOG.warning(
                "storage transaction %d was on chain before this hospital knew that %s: records of patient %s lie where"
                " they would have lain then, until the patient's next order moves them",
                batch.sequence,
                WHY[reason],
                _handle(patient),
            )

    def _is_signed_in_vain(self, batch: Batch) -> bool:
        """Tell whether a batch's headers are signed by keys of the hospital's that have ended since."""
        if len(self._seed.verifying_keys()) < 2:
            return False
        actor = self._network.resolve(self._hospital, Role.HOSPITAL)
        now = int(self._network.clock())
        ended = {
            digest for digest, end in zip(actor.earlier_keys, actor.key_ends(), strict=True) if end.at <= now + _MINING
        }
        if not ended:
            return False
        seeds = [self._seed.of_generation(one) for one in range(self._seed.generation + 1)]
        gone = [one.signer().public for one in seeds if one.public_keys().digest in ended]
        mine = [one for one in self._journal.records() if one.sequence == batch.sequence]
        headers = self._history.headers_of(mine[:1], Findings(), verifying_keys=gone)
        return bool(headers)

    def _pairings_now(self, patients: Iterable[Address], kind: Kind) -> dict[Address, Pairing]:
        """Return the pairings by which patients' records would be sealed now; none of whom nothing would be."""
        network, findings = self._network, Findings()
        own = Pairings(network, network.resolve(self._hospital, Role.HOSPITAL), self._seed.sealing())
        actors = network.sidechain.identities.find(sorted(patients))
        if kind is Kind.ORDERS:
            return {one.patient: one for one in own.of(actors, findings) if one is not None}
        ways = [way for found in own.ways(actors, findings) for way in found]
        pairings = {actor.address: pairing for actor, pairing in ways}
        return own.with_wishes(pairings, {actor.address: actor for actor, _ in ways}, findings)

    def _before(self, batch: Batch, patient: Address) -> SealedFor | None:
        """Return what headers say of the pairing by which they were sealed, where an earlier version didn't note it."""
        mine = [one for one in self._journal.records(patient) if one.sequence == batch.sequence]
        headers = self._history.headers_of(mine, Findings())
        if len(headers) < len(mine):
            return None
        return SealedFor(patient, min(one.epoch for one in headers.values()), b"")

    def _without(self, batch: Batch, patients: Collection[Address]) -> Cut | None:
        """Store what is left of a batch of records; None if that can't be made."""
        store, journal = self._network.store, self._journal
        mine = [one for one in journal.records() if one.sequence == batch.sequence]
        goes = [one for one in mine if one.patient in patients]
        opened = self._history.headers_of(goes, Findings())
        gone = {CID.parse(one.header) for one in goes}.union(*map(self._parts, opened.values()))
        rows = {one.header: one for one in journal.records()}
        beside = [rows[header] for header in journal.unsent.beside(batch.sequence, patients)]
        alike = {cid: of_header(one.info) for cid, one in self._history.headers_of(beside, Findings()).items()}
        if len(goes) == len(mine):
            return Cut(batch.sequence, "", "", [*map(str, gone | self._alone(batch))], self._list(batch), alike)
        try:
            made = self._keyed_anew(batch, {CID.parse(one.header) for one in goes}, mine)
            blocks = listed(store, CID.parse(self._list(batch)))
        except (IntegrityError, BlockNotFoundError):
            return None
        if made is None:
            return None
        root, new = made
        # All else in it is of other codecs: the nodes of the manifest as it was.
        gone |= {cid for cid in blocks if cid.codec == DAG_CBOR} - {cid for cid, _ in new}
        list_cid, nodes = list_blocks([*(cid for cid in blocks if cid not in gone), *(cid for cid, _ in new)])
        store.put_blocks(sorted([*new, *nodes], key=lambda block: bytes(block[0])))
        # Before the old one goes: at no moment is a block that is still needed without a pin.
        store.pin(list_cid)
        return Cut(batch.sequence, str(root), str(list_cid), [*map(str, gone)], self._list(batch), alike)

    def _keyed_anew(
        self, batch: Batch, gone: Collection[CID], mine: Iterable[JournalRecord]
    ) -> tuple[CID, list[tuple[CID, bytes]]] | None:
        """Return a batch's manifest without some headers; None if no lane that is known finds another one."""
        old = manifest.Manifest(self._network.store, CID.parse(batch.manifest))
        patients = {one.patient for one in mine} | self._journal.mergeable.patients(old.first, batch.sequence - 1)
        lanes = [lane for one in sorted(patients) for lane in lanes_of(self._history.pairings_with(one))]
        left = merged(old.first, [(batch.sequence, dict(old.rows()))], lanes, gone)
        if isinstance(left, Lost):
            return None
        rows = Rows(batch.sequence)
        rows.merge(left)
        return manifest.build(
            rows.entries, hospital=self._hospital, sequence=batch.sequence, previous=old.previous, first=old.first
        )

    def _forget(self, batch: Batch, why: Mapping[Address, str]) -> None:
        """Forget a batch as a whole: whoever made it makes it again."""
        journal = self._journal
        lost = [one for one in journal.unsent.scopes(batch.sequence) if one not in why]
        unwanted, old = [*map(str, self._alone(batch))], self._list(batch)
        journal.adopted.forget(batch.sequence, lambda: journal.unsent.unwant(unwanted, old))
        for patient, reason in why.items():
            _LOG.warning(
                "storage transaction %d wasn't sent, because of patient %s: %s since it was sealed; what it did has to"
                " be done again by the same command",
                batch.sequence,
                _handle(patient),
                WHY[reason],
            )
        if lost:
            _LOG.warning("with it went what it did for %d more patients", len(lost))
        self._history.learn(journal)

    def _alone(self, batch: Batch) -> set[CID]:
        """Return the blocks that only one batch's list names."""
        store = self._network.store
        try:
            found = set(listed(store, CID.parse(self._list(batch))))
            for other in set(self._journal.lists()) - {self._list(batch)}:
                found -= set(listed(store, CID.parse(other)))
        except (IntegrityError, BlockNotFoundError):
            # What is of no list that can be read is left to the collection of garbage.
            return set()
        return found

    def _parts(self, header: Header) -> set[CID]:
        """Return what lies under a header."""
        found = {CID.parse(header.info.envelope_cid), header.content}
        if header.inventory is not None:
            found.add(header.inventory)
            words = self._journal.erasures.words_of(str(header.inventory))
            found |= {CID.parse(words)} if words else set()
        return found

    def _list(self, batch: Batch) -> str:
        return self._journal.unsent.list_of(batch.sequence)

    def _leaves(self, cid: CID) -> set[CID]:
        """Return the leaves of a file; none of what is gone already."""
        try:
            return {leaf for leaf, _ in unixfs.leaves_of(cid, self._network.store.get_block)}
        except BlockNotFoundError:
            return set()


def _said(pairing: Pairing) -> bytes:
    """Return what a pairing says of where records go, and which."""
    choices, wishes = pairing.choices, pairing.wishes
    said = [
        sorted(choices.closed),
        sorted(choices.emergency),
        sorted([name, category.value] for name, category in wishes.names.items()),
        sorted([digest, category.value] for digest, category in wishes.digests.items()),
        sorted(wishes.erased),
        None if pairing.takes is None else sorted(category.value for category in pairing.takes),
    ]
    return sha256(dagcbor.encode(said)).digest()


def _says(now: Pairing, terms: bytes, mac: Callable[[bytes], bytes]) -> bool:
    """Tell whether a pairing says what it said when something was sealed."""
    if terms:
        return terms == mac(_said(now))
    # An earlier version didn't note it. Of whoever never said anything nothing can have changed.
    return not now.choices.number and now.wishes == NO_WISHES and now.takes is None


def _is_rotated(now: Pairing, scope: str, epoch: int) -> bool:
    """Tell whether a lane of a record's path is of a newer generation than when it was sealed."""
    name, _, year = scope.partition("/")
    # With the emergency lane wherever a record may be in it: to seal again what isn't costs an upload.
    lanes = path_of(Category.parse(name), int(year), emergency=True)
    return any(now.generations.current(lane) > epoch for lane in lanes)


def _handle(patient: Address) -> str:
    return handle_of(patient, Role.PATIENT)


def _what(one: Lacking) -> str:
    records = f"{one.records} record{'s' if one.records != 1 else ''}"
    sources = f"{one.sources} file{'s' if one.sources != 1 else ''}"
    return f"{records} of {sources} ({', '.join(one.scopes)})"


def _why(one: Lacking) -> str:
    return f"sealed and not sent: {WHY[one.why]} since; they have to be uploaded again"
