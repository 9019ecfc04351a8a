"""Publish: seal records, store them, and prepare the manifest that one storage transaction puts on chain.

There is no code path here that stores plaintext: what reaches the store went through `seal_content` or is a header, an
envelope, an inventory, a manifest or a list of CIDs. Never sends a transaction: sdk/hospital.py does, after the journal
holds the batch. Follows design section 8 (Publish); the steps are numbered in `BatchBuilder`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from panachain.crypto import commit, keys, umbral
from panachain.errors import UsageError
from panachain.model.actors import Address
from panachain.model.records import PlainRecord, RecordInfo
from panachain.model.scope import Category, Scope
from panachain.records import header, inventory, manifest
from panachain.records.content import Sealed, content_context, seal_content
from panachain.records.journal import JournalRecord, LaneCounters
from panachain.records.lanes import HospitalLane, Pairing
from panachain.storage import dagcbor, unixfs
from panachain.storage.blocks import BlobStore
from panachain.storage.cid import CID, DAG_CBOR, RAW

MAX_RECORDS: Final = inventory.MAX_RECORDS
"""Records of one batch."""
MAX_BYTES: Final = 4 << 30
"""Bytes of plaintext after which a batch takes no more records; a single larger one is a batch of its own."""
LIST_LINKS: Final = 16_384
"""CIDs of one block of a batch list."""
_FLUSH: Final = 8 << 20
"""Bytes of small blocks that are held before they go to the store."""
_WORKERS: Final = min(os.cpu_count() or 1, 4)
_WAITING: Final = 64
"""Records that wait to be sealed at most: what bounds the memory."""
_SMALL: Final = 1 << 20
"""Bytes up to which sealing a record is left to another thread; larger ones use all cores by themselves."""


@dataclass(frozen=True)
class PublishedRecord:
    """One record of a prepared batch."""

    info: RecordInfo
    patient: Address
    sealed_size: int
    """Bytes of the sealed content in the store."""


@dataclass(frozen=True)
class PreparedBatch:
    """A batch whose blocks are all stored; only its storage transaction is missing."""

    root: CID
    list_cid: CID
    """CID of the batch list, which is pinned."""
    sequence: int
    records: tuple[PublishedRecord, ...]
    journal_records: tuple[JournalRecord, ...]
    counters: tuple[LaneCounters, ...]
    """The next counter of each lane that was used."""


@dataclass
class _Entry:
    """A record on its way; its plaintext isn't held."""

    media_type: str
    size: int
    source: bytes
    part: int
    sealed: Sealed | None = None
    """Without its block, once that was handed on."""


@dataclass
class _Group:
    """All records of one patient, category and year in a batch: one envelope."""

    pairing: Pairing
    category: Category
    year: int
    path: list[tuple[Scope, HospitalLane]]
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    entries: list[_Entry] = field(default_factory=list)


class BatchBuilder:
    """Takes records of any patients and makes one batch of them; `close` it at the end."""

    def __init__(
        self,
        store: BlobStore,
        *,
        hospital: Address,
        signer: umbral.Signer,
        sequence: int,
        previous: CID | None,
        at: int,
    ) -> None:
        """Begin a batch.

        Args:
            store: where the blocks go; each CID is computed here first and compared with the store's answer.
            hospital: who publishes.
            signer: the hospital's.
            sequence: number of the storage transaction to come.
            previous: root of the manifest before it, or None for the first.
            at: Unix seconds, written into each header.
        """
        self._store = store
        self._hospital = hospital
        self._signer = signer
        self._sequence = sequence
        self._previous = previous
        self._at = at
        self._groups: dict[tuple[Address, Category, int], _Group] = {}
        self._counters: dict[tuple[Address, int], dict[str, int]] = {}
        self._blocks: list[tuple[CID, bytes]] = []
        self._held = 0
        self._cids: list[CID] = []
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="seal")
        self._waiting: deque[tuple[_Entry, Future[Sealed]]] = deque()
        self.count = 0
        """Records that were added."""
        self.plain_bytes = 0
        """Bytes of their plaintext."""

    def close(self) -> None:
        """End the threads; what was added and not finished is given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def full(self) -> bool:
        """Whether the next record belongs into another batch."""
        return self.count >= MAX_RECORDS or self.plain_bytes >= MAX_BYTES

    def add(self, record: PlainRecord, pairing: Pairing, counters: Mapping[str, int]) -> None:
        """Seal a record and store its content.

        Args:
            record: what to publish.
            pairing: its patient's lanes, as this hospital knows them.
            counters: the next counter of each of these lanes, by scope; read once for each patient.

        Raises:
            InputError: its file can't be read, or changed.
        """
        # 1. One group, and so one fresh envelope key, for each patient, category and year.
        key = (pairing.patient, record.category, record.year)
        if key not in self._groups:
            path = pairing.path(record.category, record.year)
            self._groups[key] = _Group(pairing, record.category, record.year, path)
            self._counters.setdefault((pairing.patient, pairing.generation), dict(counters))
        group = self._groups[key]
        # 2. Compress, pad, seal, store.
        index = len(group.entries)
        context = content_context(generation=pairing.generation, index=index)
        content_key = commit.content_key(group.key, index)
        entry = _Entry(record.media_type, record.size, record.source, record.part)
        group.entries.append(entry)
        if record.size > _SMALL:
            self._settle(entry, self._seal(record, content_key, context))
        else:
            self._waiting.append((entry, self._pool.submit(self._seal, record, content_key, context)))
        self.count += 1
        self.plain_bytes += record.size
        self._settle_all(_WAITING)

    def finish(self) -> PreparedBatch:
        """Write headers, inventories, envelopes and the manifest, and return the batch.

        Raises:
            UsageError: nothing was added.
        """
        if not self.count:
            raise UsageError("a batch needs a record")
        self._settle_all(0)
        rows: dict[bytes, CID] = {}
        published: list[PublishedRecord] = []
        journal_records: list[JournalRecord] = []
        for group in self._groups.values():
            self._finish_group(group, rows, published, journal_records)
        # 6. The manifest, and the list that keeps all of it from garbage collection.
        root, blocks = manifest.build(rows, hospital=self._hospital, sequence=self._sequence, previous=self._previous)
        for cid, data in blocks:
            self._put(cid, data)
        list_cid = self._put_list()
        self._flush()
        self._store.pin(list_cid)
        counters = tuple(
            LaneCounters(patient, generation, following) for (patient, generation), following in self._counters.items()
        )
        return PreparedBatch(root, list_cid, self._sequence, tuple(published), tuple(journal_records), counters)

    def _finish_group(
        self,
        group: _Group,
        rows: dict[bytes, CID],
        published: list[PublishedRecord],
        journal_records: list[JournalRecord],
    ) -> None:
        pairing = group.pairing
        # 3. The envelope: its key, wrapped once to each lane of the path.
        envelope = header.seal_envelope(group.key, [lane.public for _, lane in group.path])
        envelope_cid = self._put(CID.of(RAW, envelope), envelope)
        # 4. The inventory: what lies under it.
        contents = [(entry, entry.sealed) for entry in group.entries if entry.sealed is not None]
        items = [inventory.Item(entry.media_type, entry.size, sealed.digest) for entry, sealed in contents]
        # One record is its own inventory: its signed header says that there is no other.
        inventory_cid = unixfs.build(inventory.seal(items, group.key), self._put) if len(items) > 1 else None
        commitment = commit.key_commitment(group.key)
        counters = self._counters[pairing.patient, pairing.generation]
        for index, (entry, sealed) in enumerate(contents):
            # 5. The header of each record, under one fresh brief ID for each lane.
            slots = [header.LaneSlot(lane.locator_key, _next(scope, lane, counters)) for scope, lane in group.path]
            info = RecordInfo(
                hospital=self._hospital,
                category=group.category,
                year=group.year,
                media_type=entry.media_type,
                size=entry.size,
                digest=sealed.digest,
                stored_at=self._at,
                header_cid="",
                content_cid=str(sealed.cid),
                envelope_cid=str(envelope_cid),
                content_index=index,
                generation=pairing.generation,
            )
            block = header.seal_header(
                info,
                patient=pairing.patient,
                commitment=commitment,
                inventory=inventory_cid,
                head=sealed.head,
                slots=slots,
                signer=self._signer,
            )
            header_cid = self._put(CID.of(RAW, block), block)
            rows.update((slot.brief_id, header_cid) for slot in slots)
            published.append(PublishedRecord(info.with_header(str(header_cid)), pairing.patient, sealed.size))
            # The category/year lane: every path has one, and it is the narrowest.
            position = next(i for i, (scope, _) in enumerate(group.path) if "/" in scope.text)
            journal_records.append(
                JournalRecord(
                    header=str(header_cid),
                    patient=pairing.patient,
                    sequence=self._sequence,
                    scope=group.path[position][0].text,
                    generation=pairing.generation,
                    brief_id=slots[position].brief_id,
                    source=entry.source,
                    part=entry.part,
                )
            )

    def _seal(self, record: PlainRecord, key: bytes, context: bytes) -> Sealed:
        return seal_content(record.content, key, context, self._store, media_type=record.media_type)

    def _settle_all(self, waiting: int) -> None:
        """Hand on what is sealed, until at most `waiting` records still wait."""
        while len(self._waiting) > waiting:
            entry, future = self._waiting.popleft()
            self._settle(entry, future.result())

    def _settle(self, entry: _Entry, sealed: Sealed) -> None:
        if sealed.block is None:
            self._cids.append(sealed.cid)
        else:
            self._put(sealed.cid, sealed.block)
        entry.sealed = replace(sealed, block=None)

    def _put(self, cid: CID, data: bytes) -> CID:
        self._blocks.append((cid, data))
        self._cids.append(cid)
        self._held += len(data)
        if self._held >= _FLUSH:
            self._flush()
        return cid

    def _flush(self) -> None:
        self._store.put_blocks(self._blocks)
        self._blocks, self._held = [], 0

    def _put_list(self) -> CID:
        # Sorted: the list mustn't tell which content belongs to which header.
        cids = sorted(set(self._cids))
        parts = [
            self._put_node({"v": 1, "blocks": cids[start : start + LIST_LINKS]})
            for start in range(0, len(cids), LIST_LINKS)
        ]
        return parts[0] if len(parts) == 1 else self._put_node({"v": 1, "parts": parts})

    def _put_node(self, node: dict[str, object]) -> CID:
        data = dagcbor.encode(node)
        return self._put(CID.of(DAG_CBOR, data), data)


def _next(scope: Scope, lane: HospitalLane, counters: dict[str, int]) -> bytes:
    counter = counters.get(scope.text, 0)
    counters[scope.text] = counter + 1
    return keys.brief_id(lane.locator_key, counter)
