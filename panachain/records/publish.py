"""Publish: seal records, store them, and prepare the manifest that one storage transaction puts on chain.

There is no code path here that stores plaintext: what reaches the store went through `_seal_content` or is a
header, an envelope or a manifest. Never sends a transaction: sdk/hospital.py does, after the journal holds the batch.
Follows design section 8 (Publish); the steps are numbered in `prepare`.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from panachain.crypto import commit, compress, keys, padding, stream, umbral
from panachain.model.records import PlainRecord, RecordInfo
from panachain.model.scope import Category, Scope
from panachain.records import header, manifest
from panachain.records.journal import JournalRecord
from panachain.records.lanes import HospitalLane, Pairing
from panachain.storage import dagcbor
from panachain.storage.blocks import BlobStore
from panachain.storage.cid import CID, RAW


@dataclass(frozen=True)
class PublishedRecord:
    """One record of a prepared batch."""

    info: RecordInfo
    sealed_size: int
    """Bytes of the sealed content in the store."""


@dataclass(frozen=True)
class PreparedBatch:
    """A batch whose blocks are all stored; only its storage transaction is missing."""

    root: CID
    sequence: int
    records: tuple[PublishedRecord, ...]
    journal_records: tuple[JournalRecord, ...]
    counters: dict[str, int]
    """The next counter of each lane that was used."""


def content_context(*, generation: int, index: int) -> bytes:
    """Return the associated data of a content stream: format version, lane scheme, generation and content index."""
    return dagcbor.encode({"format": 1, "lanes": 1, "generation": generation, "index": index})


def prepare(
    records: Iterable[PlainRecord],
    *,
    pairing: Pairing,
    store: BlobStore,
    signer: umbral.Signer,
    sequence: int,
    previous: CID | None,
    counters: dict[str, int],
    at: int,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedBatch:
    """Seal `records`, store them, and return the batch that names them.

    Args:
        records: what to publish, all of one patient.
        pairing: the patient's lanes, as this hospital knows them.
        store: where the blocks go; each CID is computed here first and compared with the store's answer.
        signer: the hospital's.
        sequence: number of the storage transaction to come.
        previous: root of the manifest before it, or None for the first.
        counters: the next counter of each lane, by scope.
        at: Unix seconds, written into each header.
        progress: called with the records and plaintext bytes done so far.
    """
    counters = dict(counters)
    # 1. Split: one group, and so one envelope key, for each (category, year).
    groups: dict[tuple[Category, int], list[PlainRecord]] = defaultdict(list)
    for record in records:
        groups[record.category, record.year].append(record)

    entries: dict[bytes, CID] = {}
    small_blocks: list[tuple[CID, bytes]] = []
    published: list[PublishedRecord] = []
    journal_records: list[JournalRecord] = []
    done_bytes = 0
    for (category, year), group in sorted(groups.items(), key=lambda item: (item[0][0].value, item[0][1])):
        path = pairing.path(category, year)
        # 2. One fresh envelope key, wrapped once to each lane of the path.
        envelope_key = os.urandom(32)
        envelope = header.seal_envelope(envelope_key, [lane.public for _, lane in path])
        envelope_cid = CID.of(RAW, envelope)
        small_blocks.append((envelope_cid, envelope))
        commitment = commit.key_commitment(envelope_key)
        for index, record in enumerate(group):
            # 3. Compress, pad, seal, store; the store's CID is compared with ours inside `add_file`.
            content_cid, sealed_size = _seal_content(record.content, envelope_key, index, pairing.generation, store)
            # 4. The header, under one fresh brief ID for each lane.
            slots = [
                (scope, header.LaneSlot(lane.locator_key, _next_brief_id(scope, lane, counters)))
                for scope, lane in path
            ]
            info = RecordInfo(
                hospital=pairing.hospital,
                category=category,
                year=year,
                media_type=record.media_type,
                size=len(record.content),
                digest=hashlib.sha256(record.content).digest(),
                stored_at=at,
                header_cid="",
                content_cid=str(content_cid),
                envelope_cid=str(envelope_cid),
                content_index=index,
                generation=pairing.generation,
            )
            block = header.seal_header(
                info,
                patient=pairing.patient,
                commitment=commitment,
                slots=[slot for _, slot in slots],
                signer=signer,
            )
            header_cid = CID.of(RAW, block)
            small_blocks.append((header_cid, block))
            entries.update(_entries(slots, header_cid))
            published.append(PublishedRecord(info, sealed_size))
            journal_records.append(_journal_record(slots, header_cid, pairing, sequence))
            done_bytes += len(record.content)
            if progress is not None:
                progress(len(published), done_bytes)
    # 5. The manifest.
    root, manifest_blocks = manifest.build(entries, hospital=pairing.hospital, sequence=sequence, previous=previous)
    store.put_blocks([*small_blocks, *manifest_blocks])
    store.pin(root)
    return PreparedBatch(root, sequence, tuple(published), tuple(journal_records), counters)


def _seal_content(
    content: bytes, envelope_key: bytes, index: int, generation: int, store: BlobStore
) -> tuple[CID, int]:
    padded = padding.pad(compress.compress(content))
    segments = list(
        stream.seal_segments(
            padded, commit.content_key(envelope_key, index), content_context(generation=generation, index=index)
        )
    )
    return store.add_file(iter(segments)), sum(len(segment) for segment in segments)


def _next_brief_id(scope: Scope, lane: HospitalLane, counters: dict[str, int]) -> bytes:
    counter = counters.get(scope.text, 0)
    counters[scope.text] = counter + 1
    return keys.brief_id(lane.locator_key, counter)


def _entries(slots: Sequence[tuple[Scope, header.LaneSlot]], header_cid: CID) -> dict[bytes, CID]:
    return {slot.brief_id: header_cid for _, slot in slots}


def _journal_record(
    slots: Sequence[tuple[Scope, header.LaneSlot]], header_cid: CID, pairing: Pairing, sequence: int
) -> JournalRecord:
    # The category/year lane: every path has one, and it is the narrowest.
    scope, slot = next(pair for pair in slots if "/" in pair[0].text)
    return JournalRecord(
        header=str(header_cid),
        patient=pairing.patient,
        sequence=sequence,
        scope=scope.text,
        generation=pairing.generation,
        brief_id=slot.brief_id,
    )
