"""What a hospital published, as the chain and the store tell it: read with the keys that patients' pairings gave it.

A journal that is missing, or older than the chain, learns from it (`OwnHistory.learn`); an upload is read back as its
patients would read it (`OwnHistory.read_back`). Opens no record. Follows ADR 20, design section 8 (Publish) and
security rule 25.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from panachain.crypto.keys import Seed
from panachain.errors import BlockNotFoundError, IntegrityError, NotPairedError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.records import STATEMENT
from panachain.model.scope import Scope, path_of
from panachain.records.findings import Findings, Strict
from panachain.records.header import Header, open_header_of, wrap_at
from panachain.records.journal import FoundRecord, Journal, JournalRecord
from panachain.records.lane_walk import Found, LaneWalk, OwnLane, lanes_of
from panachain.records.likeness import of_header
from panachain.records.locate import HospitalHeads, open_manifest, open_manifests
from panachain.records.manifest import Manifest
from panachain.records.merging import Lost, Merging, firsts, merged
from panachain.records.pairing import Pairing, open_pairing
from panachain.records.publish import listed
from panachain.sdk.network import Network
from panachain.sdk.results.uploads import ReadBack
from panachain.storage.blocks import BlobStore

_LOG: Final = logging.getLogger(__name__)


class OwnHistory:
    """The storage transactions of one hospital, and the lanes in which their records lie."""

    def __init__(self, network: Network, hospital: Address, seed: Seed) -> None:
        """Take the hospital's account and seed."""
        self._network = network
        self._hospital = hospital
        self._seed = seed

    def learn(self, journal: Journal, patients: Iterable[Address] | None = None) -> None:
        """Look through the batches that a journal adopted, and write patients' records in them into it.

        Args:
            journal: of the hospital.
            patients: whose lanes; what can't be read of theirs is an error. None takes everybody who was ever paired,
                and leaves those whose pairings can't be read for later: one patient stops nobody else's records.

        Raises:
            IntegrityError: a manifest isn't the one of its place on chain.
            BlockNotFoundError: the store lacks a manifest.
        """
        adopted = journal.adopted.sequences()
        if not adopted:
            return
        events = self._network.sidechain.identities.ever_paired(self._hospital)
        wanted = {event.patient for event in events} if patients is None else set(patients)
        # Those who were learned up to the same batch are looked for together.
        behind: dict[int, list[Address]] = defaultdict(list)
        for patient in sorted(wanted):
            if journal.adopted.learned(patient) < adopted[-1]:
                behind[journal.adopted.learned(patient)].append(patient)
        if not behind:
            return
        manifests = self._every_manifest()
        for known, group in behind.items():
            lanes: dict[Address, list[OwnLane]] = {}
            for patient in group:
                pairings = self._pairings(patient, [event.digest for event in events if event.patient == patient])
                if pairings or patients is not None:
                    lanes[patient] = lanes_of(pairings)
            following = {sequence for sequence in adopted if sequence > known}
            # What was merged, and is gone where it was at first, is found in the manifest that stands for it.
            gone = following - {one.sequence for one in manifests}
            chosen = [one for one in manifests if one.sequence in following or _stands_for_any(one, gone)]
            self._learn(journal, lanes, chosen, adopted[-1])

    def read_back(self, journal: Journal, sources: Iterable[tuple[Address, bytes]]) -> ReadBack:
        """Read the records of some sources as their patients would, but for opening them.

        1. Take the hospital's manifests from the chain, not from the journal, and check that they form one chain.
        2. Look for each patient's lanes in all of them; each record must be found in every lane of its path.
        3. Fetch its header, and check signature and patient; fetch envelope, inventory and content to the last block.

        Raises:
            IntegrityError: a record isn't found, or isn't what it must be.
            BlockNotFoundError: the store lacks a block of one.
        """
        expected: dict[Address, list[str]] = defaultdict(list)
        for patient, source in sources:
            expected[patient] += journal.headers(patient, source)
        # 1. The manifests.
        manifests = self._manifests()
        events = self._network.sidechain.identities.ever_paired(self._hospital)
        done = ReadBack(0, 0, 0)
        for patient, headers in expected.items():
            pairings = self._pairings(patient, [event.digest for event in events if event.patient == patient])
            # 2. The lanes.
            walk = LaneWalk(lanes_of(pairings))
            found: dict[str, list[Found]] = defaultdict(list)
            for manifest in manifests:
                for one in walk.take(manifest.sequence, dict(manifest.rows())):
                    found[str(one.header)].append(one)
            for header in headers:
                # 3. What it names.
                blocks, size = self._fetch(header, patient, found.get(header, []))
                done = replace(done, records=done.records + 1, blocks=done.blocks + blocks, size=done.size + size)
        return done

    def merging(self, journal: Journal, sequence: int) -> Merging | None:
        """Return what the manifest of the next batch carries of earlier ones; None where it carries nothing.

        What can't be read, or keyed anew, stays where it is: readers find it there, and pay for it.

        Args:
            journal: of the hospital, in agreement with the chain.
            sequence: of the next batch.
        """
        for first in firsts(sequence):
            try:
                found = self._merged(journal, first, sequence)
            except (IntegrityError, BlockNotFoundError) as exc:
                _LOG.warning("storage transactions %d to %d aren't merged: %s", first, sequence - 1, exc)
                continue
            if isinstance(found, Merging):
                return found
            _LOG.warning(
                "storage transactions %d to %d aren't merged: no pairing that can be read finds %d of their records",
                first,
                sequence - 1,
                found.headers,
            )
        return None

    def headers_of(
        self,
        records: Sequence[JournalRecord],
        findings: Findings | None = None,
        verifying_keys: Sequence[bytes] | None = None,
    ) -> dict[str, Header]:
        """Return the opened headers of records of the journal, by their CIDs.

        Args:
            records: which.
            findings: is told of each that can't be opened; without it the first one is an error.
            verifying_keys: of the hospital's signers, those that count, 33 bytes each; None for all.

        Raises:
            IntegrityError: a header isn't this hospital's, or the lane of one isn't in any pairing that can be read.
            BlockNotFoundError: the store lacks one.
        """
        if not records:
            return {}
        events = self._network.sidechain.identities.ever_paired(self._hospital)
        lanes: dict[tuple[Address, str, int], OwnLane] = {}
        for patient in {record.patient for record in records}:
            pairings = self._pairings(patient, [event.digest for event in events if event.patient == patient])
            lanes |= {(patient, lane.scope.text, lane.generation): lane for lane in lanes_of(pairings)}
        found: dict[str, Header] = {}
        findings = findings or Strict()
        for record in records:
            with findings.alone("", f"record {record.header}"):
                lane = lanes.get((record.patient, record.scope, record.generation))
                if lane is None:
                    raise IntegrityError(f"no pairing that can be read has the keys of record {record.header}")
                found[record.header] = self._header(Found(lane, CID.parse(record.header)), verifying_keys)
        return found

    def in_emergency(self, patient: Address, header: Header) -> bool:
        """Tell whether a record lies in its patient's emergency lane, whatever its category."""
        block, cid = self._network.store.get_block(CID.parse(header.info.header_cid)), header.info.header_cid
        for lane in lanes_of(self.pairings_with(patient)):
            if lane.scope != Scope.emergency():
                continue
            try:
                open_header_of(
                    block,
                    cid=CID.parse(cid),
                    hospital=self._hospital,
                    locator_key=lane.locator_key,
                    verifying_keys=self._seed.verifying_keys(),
                )
            except IntegrityError:
                # No slot of it is of this lane.
                continue
            return True
        return False

    def pairings_with(self, patient: Address) -> list[Pairing]:
        """Return a patient's pairings that can be read, oldest first, also those that were taken back."""
        events = self._network.sidechain.identities.ever_paired(self._hospital)
        return self._pairings(patient, [event.digest for event in events if event.patient == patient])

    def newest_pairing(self, patient: Address) -> Pairing:
        """Return the newest of a patient's pairings, also if it was taken back.

        Raises:
            NotPairedError: none can be read.
        """
        found = self.pairings_with(patient)
        if not found:
            raise NotPairedError(f"no pairing with patient {patient} can be read")
        return max(found, key=lambda one: one.generations.epoch)

    def lists(self, roots: Sequence[CID]) -> dict[CID, CID]:
        """Return which of the store's pinned batch lists holds each manifest, as far as the store has them."""
        store, wanted, found = self._network.store, set(roots), dict[CID, CID]()
        for pinned in store.pins():
            for root in wanted & _named(store, pinned):
                found[root] = pinned
        return found

    @property
    def _heads(self) -> HospitalHeads:
        digests = self._network.manifests_of(self._hospital)
        return HospitalHeads(self._hospital, self._seed.verifying_keys()[0], digests)

    def _manifests(self) -> list[Manifest]:
        """Return the manifests that readers go through."""
        # Nobody is told of omissions here, so each one is there or an error was raised.
        live = open_manifests(self._network.store, self._heads)
        return [manifest for manifest in live if manifest is not None]

    def _every_manifest(self) -> list[Manifest]:
        """Return the manifests of all storage transactions, in order, but those that were merged and are gone.

        A record is first in that of the transaction that published it.
        """
        heads, found = self._heads, list[Manifest]()
        merged = {sequence for one in self._manifests() for sequence in range(one.first, one.sequence)}
        for sequence in range(1, len(heads.manifests) + 1):
            try:
                found.append(open_manifest(self._network.store, heads, sequence))
            except BlockNotFoundError:
                if sequence not in merged:
                    raise
        return found

    def _pairings(self, patient: Address, digests: Iterable[bytes]) -> list[Pairing]:
        """Return a patient's pairings with this hospital that can be read, of all that there ever were."""
        actor = self._network.sidechain.identities.identity_of(patient)
        found: list[Pairing] = []
        if actor is None:
            return found
        for digest in dict.fromkeys(digests):
            try:
                found.append(
                    open_pairing(
                        self._network.store.get_block(CID(RAW, digest)),
                        secret=self._seed.sealing(),
                        hospital=self._hospital,
                        patient=patient,
                        verifying_key=self._network.keys.shown(actor).verifying_key,
                    )
                )
            except (IntegrityError, BlockNotFoundError) as exc:
                # An upload needs the newest one and fails without it; an older one names lanes that nobody gets
                # records in any more.
                _LOG.warning("a pairing of %s can't be read: %s", actor.handle, exc)
        return found

    def _learn(
        self, journal: Journal, lanes: Mapping[Address, Sequence[OwnLane]], manifests: Sequence[Manifest], until: int
    ) -> None:
        walk = LaneWalk(lane for mine in lanes.values() for lane in mine)
        records: dict[CID, FoundRecord] = {}
        for manifest in manifests:
            for one in walk.take(manifest.sequence, dict(manifest.rows())):
                # The narrowest lane: every record is in one of these; and where it was first, if it was merged.
                if "/" in one.lane.scope.text and one.header not in records:
                    records[one.header] = self._found(one, manifest.sequence)
        replaced = {header for one in records.values() for header in (*one.replaces, *one.ended)}
        found = [one for one in records.values() if one.record.header not in replaced]
        journal.adopted.learn(found, until=until, patients=lanes)

    def _merged(self, journal: Journal, first: int, sequence: int) -> Merging | Lost:
        live = open_manifests(self._network.store, self._heads, since=first)
        manifests = [one for one in live if one is not None]
        if manifests and manifests[0].first < first:
            raise IntegrityError(f"manifest {manifests[0].root} stands for more than its group")
        patients = journal.mergeable.patients(first, sequence - 1)
        events = self._network.sidechain.identities.ever_paired(self._hospital)
        lanes: list[OwnLane] = []
        for patient in sorted(patients):
            digests = [event.digest for event in events if event.patient == patient]
            lanes += lanes_of(self._pairings(patient, digests))
        gone = {CID.parse(header) for header in journal.mergeable.replaced()} | self._withdrawn(journal, patients)
        return merged(first, [(one.sequence, dict(one.rows())) for one in manifests], lanes, gone)

    def _withdrawn(self, journal: Journal, patients: Iterable[Address]) -> set[CID]:
        """Return the headers of withdrawn records that readers needn't find any more.

        Of an envelope all or none: a part of it would look as if something had been kept back.
        """
        found: set[CID] = set()
        for patient, contents in journal.withdrawn.contents(patients).items():
            envelopes: dict[str, list[Header]] = defaultdict(list)
            try:
                headers = self.headers_of(list(journal.records(patient)))
            except (IntegrityError, BlockNotFoundError):
                # What isn't known for sure stays, and its statement says what it is.
                continue
            for header in headers.values():
                envelopes[header.info.envelope_cid].append(header)
            for members in envelopes.values():
                if all(member.info.content_cid in contents for member in members):
                    found |= {CID.parse(member.info.header_cid) for member in members}
        return found

    def _found(self, one: Found, sequence: int) -> FoundRecord:
        lane = one.lane
        entry = JournalRecord(str(one.header), lane.patient, sequence, lane.scope.text, lane.generation, b"", 0)
        try:
            header = self._header(one)
        except (IntegrityError, BlockNotFoundError):
            # It may have been re-wrapped and deleted, or the store may have lost it: it was published either way.
            return FoundRecord(entry)
        if header.info.media_type == STATEMENT:
            # One that stands for what left for another category, or was erased, isn't the same record.
            return FoundRecord(entry, of_header(header.info), ended=tuple(str(cid) for cid in header.replaces))
        return FoundRecord(entry, of_header(header.info), tuple(str(cid) for cid in header.replaces))

    def _header(self, one: Found, verifying_keys: Sequence[bytes] | None = None) -> Header:
        return open_header_of(
            self._network.store.get_block(one.header),
            cid=one.header,
            hospital=self._hospital,
            locator_key=one.lane.locator_key,
            verifying_keys=self._seed.verifying_keys() if verifying_keys is None else verifying_keys,
        )

    def _fetch(self, cid: str, patient: Address, found: Sequence[Found]) -> tuple[int, int]:
        """Fetch all of a record; return its blocks, and their bytes."""
        if not found:
            raise IntegrityError(f"record {cid} was published, and no category of its patient finds it")
        store = self._network.store
        header = self._header(found[0])
        info = header.info
        missing = {scope.text for scope in path_of(info.category, info.year)} - {one.lane.scope.text for one in found}
        if missing or header.patient != patient:
            wrong = "is another patient's" if header.patient != patient else f"isn't found in {', '.join(missing)}"
            raise IntegrityError(f"record {cid} was published, and {wrong}")
        envelope = store.get_block(CID.parse(info.envelope_cid))
        wrap_at(envelope, header.wrap_index)
        blocks, size = 1, len(envelope)
        for file in (header.inventory, header.content):
            for leaf in () if file is None else store.read_file(file):
                blocks, size = blocks + 1, size + len(leaf)
        return blocks + 1, size


def _stands_for_any(manifest: Manifest, sequences: Iterable[int]) -> bool:
    return any(manifest.first <= sequence < manifest.sequence for sequence in sequences)


def _named(store: BlobStore, pinned: CID) -> set[CID]:
    """Return the blocks that a batch list names; none for any other block that somebody pinned."""
    if pinned.codec != DAG_CBOR:
        return set()
    try:
        node = dagcbor.decode(store.get_block(pinned))
        is_list = isinstance(node, dict) and set(node) in ({"v", "blocks"}, {"v", "parts"})
        return set(listed(store, pinned)) if is_list else set()
    except (IntegrityError, BlockNotFoundError):
        return set()
