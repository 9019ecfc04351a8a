"""Publish: seal records, store them, and prepare the manifest that one storage transaction puts on chain.

There is no code path here that stores plaintext: what reaches the store went through `seal_content` or is a header, an
envelope, an inventory, a sealed list of words, a manifest or a list of CIDs. Never sends a transaction: sdk/batches.py
does, after the journal holds the batch. Follows design section 8 (Publish); the steps are numbered in `BatchBuilder`.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from panachain.crypto import keys, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import InputError, UsageError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.model.frozen import frozen
from panachain.model.records import STATEMENT, PlainRecord, RecordInfo
from panachain.model.scope import Category, Scope
from panachain.model.sizes import KEY_SIZE
from panachain.records import header, inventory, manifest, word_list
from panachain.records.content import Sealed, content_context, seal_content
from panachain.records.header import HospitalLane
from panachain.records.journal import JournalRecord, MovedRecord
from panachain.records.likeness import of_header
from panachain.records.listed_words import listed_words
from panachain.records.merging import Merging
from panachain.records.pairing import Pairing
from panachain.records.split import MEDIA_TYPE
from panachain.records.version_list import VersionList
from panachain.records.versions import Bundle, bundle_in
from panachain.records.word_list import Room
from panachain.storage.ahead import WORKERS, in_order
from panachain.storage.blocks import BlobStore

MAX_RECORDS: Final = inventory.MAX_RECORDS
"""Records of one batch."""
MAX_BYTES: Final = 4 << 30
"""Bytes of plaintext after which a batch takes no more records; a single larger one is a batch of its own."""
LIST_LINKS: Final = 16_384
"""CIDs of one block of a batch list."""
_FLUSH: Final = 8 << 20
"""Bytes of small blocks that are held before they go to the store."""
_WAITING: Final = 64
"""Records that wait to be sealed at most: what bounds the memory."""
_MOST_ROWS: Final = 50_000
"""Resources of one envelope after which the next record gets another one."""
_MOST_BEGUN: Final = 1024
"""Groups that are begun and not finished: more of them wait for the end."""
_MANY: Final = 3
"""Records of a lane, or of an envelope, from which on it is worth it to hash a lane's key once for all."""
_TOGETHER: Final = 16
"""Envelopes that a thread makes at once: to tell it of each takes a part of the time in which it makes one."""
_TINY: Final = 1 << 13
"""Bytes up to which sealing a record isn't worth another thread."""
_SMALL: Final = 1 << 20
"""Bytes up to which sealing a record is left to another thread; larger ones use all cores by themselves."""


Lists = Callable[[Iterable[Sequence[bytes | None] | None]], Iterator[bytes | None]]
"""Makes lists of words ready to be sealed (`word_list.made_of`), each of its contents, in their order; None of None."""


class BegunList(Protocol):
    """A list of words that is being made elsewhere."""

    @property
    def is_done(self) -> bool:
        """Whether `take` waits for nothing."""
        ...

    def take(self) -> bytes:
        """Return the list, ready to be sealed, once."""
        ...


BeginLists = Callable[[Sequence[Sequence[bytes | None]]], Sequence[BegunList]]
"""Begins to make lists of words of these contents, beside what this process does."""


def lists_here(contents: Iterable[Sequence[bytes | None] | None]) -> Iterator[bytes | None]:
    """Yield each list of words, ready to be sealed."""
    for one in contents:
        yield None if one is None else word_list.made_of(one)


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
    moved: tuple[MovedRecord, ...] = ()
    """Records of earlier batches that got a new header in this one."""
    words: tuple[tuple[str, str], ...] = ()
    """CIDs of its inventories, each with that of the list of words it names, or an empty text."""


@dataclass
class _Entry:
    """A record on its way; its plaintext isn't held."""

    media_type: str
    size: int
    source: bytes
    part: int
    versions: VersionList | None = None
    """What resources are in it, if it is a record of FHIR that has any."""
    words: bytes | None = field(default=None, repr=False)
    """What it is found by (records/word_list.py); None if none of it could be read."""
    sealed: Sealed | None = None
    """Without its block, once that was handed on."""
    resealed: header.Header | None = None
    """The header that it had in another category."""
    replaces: tuple[CID, ...] = ()
    """Headers that its own stands for."""
    gone: tuple[CID, ...] = ()
    """What else is deleted with the content that it had in another category."""

    @property
    def finished(self) -> Sealed:
        """The sealed content.

        Raises:
            RuntimeError: it isn't sealed yet, so the program is wrong: a record would be left out without a word.
        """
        if self.sealed is None:
            raise RuntimeError(f"part {self.part} of a source isn't sealed, and its batch is finished")
        return self.sealed


@dataclass
class _Group:
    """All records of one patient, category and year in a batch that lie in the same lanes: one envelope."""

    pairing: Pairing
    category: Category
    year: int
    path: list[tuple[Scope, HospitalLane]]
    key: EnvelopeKey = field(default_factory=lambda: EnvelopeKey(os.urandom(KEY_SIZE)), repr=False)
    entries: list[_Entry] = field(default_factory=list)
    rows: int = 0
    """Resources that its records list."""
    has_bundle: bool = False
    room: Room = field(default_factory=Room)
    """What its list of words takes."""

    def is_full(self, record: PlainRecord, room: Room) -> bool:
        """Tell whether a record belongs into another one, where its list of resources or of words would be too long."""
        if record.media_type == MEDIA_TYPE:
            return self.rows >= _MOST_ROWS or not (self.room + room).fits()
        # A Bundle's attachments stay with it.
        return not self.has_bundle and not (self.room + room).fits()

    sequence: int = 0
    """Of the storage transaction that published its records first; 0 for this one."""
    place: int = 0
    """How many groups of its batch are older."""
    filled: int = -1
    """How many were full before it; -1 while it isn't full."""
    is_complete: bool = False
    """Whether nothing comes into it any more."""
    published: list[PublishedRecord] | None = None
    """Its records, once their headers are made."""
    journal_records: list[JournalRecord] = field(default_factory=list)


@dataclass
class _Begun:
    """A group of which all records came: what is made of it on other threads and by other processes."""

    group: _Group
    envelopes: Future[list[bytes]]
    """Its own, and those of some others."""
    place: int
    """Of its own among them."""
    words: BegunList | None
    """None where there are none."""


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
        merging: Merging | None = None,
        lists: Lists = lists_here,
        begin_lists: BeginLists | None = None,
    ) -> None:
        """Begin a batch.

        Args:
            store: where the blocks go; each CID is computed here first and compared with the store's answer.
            hospital: who publishes.
            signer: the hospital's.
            sequence: number of the storage transaction to come.
            previous: root of the manifest before it, or None for the first.
            at: Unix seconds, written into each header.
            merging: what its manifest carries of earlier ones.
            lists: makes the lists of words.
            begin_lists: begins to make some; without it nothing is finished before `finish`.
        """
        self._store = store
        self._hospital = hospital
        self._signer = signer
        self._sequence = sequence
        self._previous = previous
        self._at = at
        self._make_lists = lists
        self._begin_lists = begin_lists
        self._begun: deque[_Begun] = deque()
        """What `finish_next` finishes, in the order in which it came: that of their rows."""
        self._is_early = False
        self._is_finishing = False
        self._early: list[tuple[CID, bytes]] = []
        """Blocks of what was finished before all contents were stored. They wait for those: which headers come to the
        store between which contents would tell whose they are."""
        self._early_held = 0
        self._failure: Exception | None = None
        """What kept something from being finished early."""
        self._groups: dict[tuple[Address, Category, int, bool, int], _Group] = {}
        self._full: list[_Group] = []
        self._of: dict[Address, list[_Group]] = defaultdict(list)
        """The groups of each patient that aren't complete."""
        self._made = 0
        """Groups that were made."""
        self._rows = Rows(sequence)
        self._first = sequence if merging is None else merging.first
        if merging is not None:
            self._rows.merge(merging)
        self._moved: list[MovedRecord] = []
        self.pairings: dict[Address, Pairing] = {}
        """By which its records are sealed."""
        self._words: list[tuple[str, str]] = []
        self._blocks: list[tuple[CID, bytes]] = []
        self._held = 0
        self._cids: list[CID] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="seal")
        self._waiting: deque[tuple[_Entry, Future[Sealed]]] = deque()
        self.count = 0
        """Records that were added."""
        self.plain_bytes = 0
        """Bytes of their plaintext."""
        self.wordless = 0
        """Records of which no word could be read: no search finds them."""

    def close(self) -> None:
        """End the threads; what was added and not finished is given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def sequence(self) -> int:
        """Number of the storage transaction to come."""
        return self._sequence

    @property
    def full(self) -> bool:
        """Whether the next record belongs into another batch."""
        return self.count >= MAX_RECORDS or self.plain_bytes >= MAX_BYTES

    def add(
        self,
        record: PlainRecord,
        pairing: Pairing,
        bundle: Bundle | None = None,
        *,
        path: list[tuple[Scope, HospitalLane]] | None = None,
        resealed: header.Header | None = None,
        sequence: int = 0,
        replaces: Sequence[CID] = (),
        gone: Sequence[CID] = (),
    ) -> None:
        """Seal a record and store its content.

        Args:
            record: what to publish.
            pairing: its patient's lanes, as this hospital knows them.
            bundle: its entries, if they are known, so that they needn't be looked for again.
            path: the lanes that the pairing has for it, if they were looked for.
            resealed: the header that it had in another category, for which its new one stands.
            sequence: of the storage transaction that published it first, if it was published before.
            replaces: headers that its own stands for, oldest first.
            gone: what else is deleted with the content that it had in another category.

        Raises:
            InputError: its file can't be read, or changed.
        """
        words, room = listed_words(record, bundle)
        # 1. One group, and so one fresh envelope key, for each patient, category and year, and each path.
        key = (pairing.patient, record.category, record.year, record.emergency, sequence)
        if key in self._groups and (self._groups[key].is_complete or self._groups[key].is_full(record, room)):
            self._groups[key].filled = len(self._full)
            self._full.append(self._groups.pop(key))
        if key not in self._groups:
            path = path or pairing.path(record.category, record.year, emergency=record.emergency)
            self._groups[key] = _Group(pairing, record.category, record.year, path, sequence=sequence, place=self._made)
            self._of[pairing.patient].append(self._groups[key])
            self._made += 1
        group = self._groups[key]
        self.pairings[pairing.patient] = pairing
        # 2. Compress, pad, seal, store.
        index = len(group.entries)
        # The context ties a content to its place in the envelope: put into another one's place it doesn't open.
        context = content_context(generation=pairing.generations.epoch, index=index)
        content_key = group.key.content_key(index)
        entry = _Entry(record.media_type, record.size, record.source, record.part, _versions(record, index, bundle))
        entry.resealed, entry.replaces, entry.gone = resealed, tuple(replaces), tuple(gone)
        if words is not None and (group.room + room).fits():
            entry.words = words
            group.room += room
        else:
            self.wordless += 1
        group.entries.append(entry)
        group.has_bundle |= record.media_type == MEDIA_TYPE
        group.rows += len(entry.versions.versions) if entry.versions else 0
        # A large record is sealed on all cores already, and a tiny one sooner than another thread is told of it; others
        # fill the cores beside each other.
        if record.size > _SMALL or record.size <= _TINY:
            self._collect(entry, self._seal(record, content_key, context))
        else:
            self._waiting.append((entry, self._pool.submit(self._seal, record, content_key, context)))
        self.count += 1
        self.plain_bytes += record.size
        # Some may wait, so that no core idles; not all, so that the memory stays bounded.
        self._collect_all(_WAITING)

    def complete(self, patient: Address) -> None:
        """Begin to finish what was added of a patient, of whom nothing is added any more."""
        if self._begin_lists is None or len(self._begun) >= _MOST_BEGUN or self._early_held >= _FLUSH:
            return
        # As `_in_order` has them.
        groups = sorted(self._of.pop(patient, ()), key=lambda one: (one.filled < 0, one.filled, one.place))
        words = [[entry.words for entry in group.entries] for group in groups]
        lists = iter(self._begin_lists([one for one in words if any(one)]))
        for start in range(0, len(groups), _TOGETHER):
            some = groups[start : start + _TOGETHER]
            envelopes = self._pool.submit(_envelopes, some)
            for place, (group, one) in enumerate(zip(some, words[start : start + _TOGETHER], strict=True)):
                group.is_complete = True
                self._begun.append(_Begun(group, envelopes, place, next(lists) if any(one) else None))

    def finish_next(self) -> bool:
        """Finish one group that was begun, if all is there that it takes; return whether there was one."""
        if self._is_early or self._is_finishing or not self._begun or self._early_held >= _FLUSH:
            return False
        begun = self._begun[0]
        if not begun.envelopes.done() or not (begun.words is None or begun.words.is_done):
            return False
        try:
            # One that failed is told where it is waited for.
            while self._waiting and self._waiting[0][1].done() and self._waiting[0][1].exception() is None:
                entry, future = self._waiting.popleft()
                self._collect(entry, future.result())
            if any(entry.sealed is None for entry in begun.group.entries):
                return False
            self._is_early = True
            self._finish_begun(self._begun.popleft())
        except Exception as exc:
            # Whoever takes it for a fault of the source that is being read must not go on: the batch lacks records.
            self._failure = exc
            raise
        finally:
            self._is_early = False
        return True

    def move(
        self,
        old: header.Header,
        envelope: bytes,
        pairing: Pairing,
        *,
        emergency: bool = False,
        listed: CID | None = None,
    ) -> None:
        """Give a record of an earlier batch a new header, for an envelope that its patient wrapped anew.

        Args:
            old: its present header.
            envelope: the new envelope block.
            pairing: the patient's lanes as they are now.
            emergency: as `path_of`: what the patient wrapped the envelope to.
            listed: the envelope's new inventory, from `list_anew`; None keeps the old one.
        """
        listed = listed or old.inventory
        self.pairings[pairing.patient] = pairing
        envelope_cid = self._put(CID.of(RAW, envelope), envelope)
        path = pairing.path(old.info.category, old.info.year, emergency=emergency)
        locator_keys = [lane.locator_key for _, lane in path]
        info = replace(old.info, header_cid="", envelope_cid=str(envelope_cid))
        old_cid = CID.parse(old.info.header_cid)
        block = header.seal_header(
            info,
            patient=old.patient,
            commitment=old.commitment,
            inventory=listed,
            head=old.head,
            locator_keys=locator_keys,
            signer=self._signer,
            replaces=[*old.replaces, old_cid],
            epoch=pairing.generations.epoch,
        )
        header_cid = self._put(CID.of(RAW, block), block)
        self._rows.add(locator_keys, header_cid)
        # Content and inventory stay where they are; listed again, so that the list is like that of any batch.
        self._cids += [old.content, *([listed] if listed else [])]
        entry = _journal_record(header_cid, pairing.patient, self._sequence, path, b"", 0)
        self._moved.append(MovedRecord(str(old_cid), old.info.envelope_cid, entry))
        self.count += 1

    def list_anew(self, listed: inventory.Inventory, key: EnvelopeKey) -> CID:
        """Store another inventory of an envelope of an earlier batch, from which records left, and return its CID.

        Raises:
            IntegrityError: its list of words can't be read, so nobody knows what would have to be taken out of it.
            BlockNotFoundError: the store lost that list.
        """
        lists = [listed.lists[index] for index in sorted(listed.lists)]
        words = listed.words
        if words is not None:
            left = {index for index, item in enumerate(listed.items) if item is None}
            words = unixfs.build(word_list.open_(self._store, words, key).without(left, key), self._put)
        segments = inventory.seal(listed.items, key, sequence=listed.sequence, lists=lists, words=words)
        return self._put_inventory(segments, words)

    def finish(self) -> PreparedBatch:
        """Write headers, inventories, envelopes and the manifest, and return the batch.

        Raises:
            UsageError: nothing was added.
        """
        if not self.count:
            raise UsageError("a batch needs a record")
        if self._failure is not None:
            raise self._failure
        # From here on in their order: what waits for a list mustn't finish another one meanwhile.
        self._is_finishing = True
        # Headers state digests and CIDs of contents, so all contents are finished first.
        self._collect_all(0)
        for cid, data in self._early:
            self._hold(cid, data)
        self._early = []
        while self._begun:
            self._finish_begun(self._begun.popleft())
        groups = [one for one in self._in_order() if one.published is None]
        # Most of what a small group takes, and done by the curve's library beside Python.
        envelopes = in_order(self._pool, _envelope, groups)
        # What they are found by; nothing for a statement, and for an image.
        contents = ([entry.words for entry in group.entries] for group in groups)
        lists = self._make_lists(one if any(one) else None for one in contents)
        for group, envelope, made in zip(groups, envelopes, lists, strict=True):
            self._finish_group(group, envelope, made)
        published = [one for group in self._in_order() for one in group.published or ()]
        journal_records = [one for group in self._in_order() for one in group.journal_records]
        # 6. The manifest, and the list that keeps all of it from garbage collection.
        root, blocks = manifest.build(
            self._rows.entries,
            hospital=self._hospital,
            sequence=self._sequence,
            previous=self._previous,
            first=self._first,
        )
        for cid, data in blocks:
            self._put(cid, data)
        list_cid = self._put_list()
        self._flush()
        # Pinned last: until everything is stored, garbage collection may still take what a killed upload left behind.
        self._store.pin(list_cid)
        return PreparedBatch(
            root,
            list_cid,
            self._sequence,
            tuple(published),
            tuple(journal_records),
            tuple(self._moved),
            tuple(self._words),
        )

    def _in_order(self) -> Iterator[_Group]:
        """Yield all groups in the order of their rows."""
        yield from self._full
        yield from self._groups.values()

    def _finish_begun(self, begun: _Begun) -> None:
        made = None if begun.words is None else begun.words.take()
        self._finish_group(begun.group, begun.envelopes.result()[begun.place], made)

    def _finish_group(self, group: _Group, envelope: bytes, made_list: bytes | None) -> None:
        pairing = group.pairing
        published = list[PublishedRecord]()
        # 3. The envelope: its key, masked and wrapped once to each lane of the path.
        envelope_cid = self._put(CID.of(RAW, envelope), envelope)
        # 4. The inventory: what lies under it.
        contents = [(entry, entry.finished) for entry in group.entries]
        items = [inventory.Item(entry.media_type, entry.size, sealed.digest) for entry, sealed in contents]
        lists = [entry.versions for entry in group.entries if entry.versions is not None]
        # What holds no resources, and says nothing of any, has no order of publication that anybody asks for.
        ordered = bool(lists) or any(entry.media_type == STATEMENT for entry in group.entries)
        words = None if made_list is None else unixfs.build(word_list.seal_made(made_list, group.key), self._put)
        # One such record is its own inventory: its signed header says that there is no other.
        inventory_cid = None
        if len(items) > 1 or ordered or words is not None:
            sequence = (group.sequence or self._sequence) if ordered else 0
            listed = inventory.seal(items, group.key, sequence=sequence, lists=lists, words=words)
            inventory_cid = self._put_inventory(listed, words)
        locator_keys = [lane.locator_key for _, lane in group.path]
        slot_keys = [header.slot_keys(one) for one in locator_keys] if len(contents) >= _MANY else None
        for index, (entry, sealed) in enumerate(contents):
            # 5. The header of each record, under one brief ID for each lane.
            info = frozen(
                RecordInfo,
                hospital=self._hospital,
                category=group.category,
                year=group.year,
                media_type=entry.media_type,
                size=entry.size,
                digest=sealed.digest,
                stored_at=self._at if entry.resealed is None else entry.resealed.info.stored_at,
                header_cid="",
                content_cid=str(sealed.cid),
                envelope_cid=str(envelope_cid),
                content_index=index,
                generation=pairing.generations.epoch,
            )
            block = header.seal_header(
                info,
                patient=pairing.patient,
                commitment=group.key.commitment,
                inventory=inventory_cid,
                head=sealed.head,
                locator_keys=locator_keys,
                signer=self._signer,
                replaces=entry.replaces,
                slot_keys=slot_keys,
                content=sealed.cid,
            )
            header_cid = self._put(CID.of(RAW, block), block)
            self._rows.add(locator_keys, header_cid)
            published.append(PublishedRecord(info.with_header(str(header_cid)), pairing.patient, sealed.size))
            # What is of no source can't be taken for a record of one.
            likeness = of_header(info) if entry.source or entry.resealed is not None else b""
            made = _journal_record(
                header_cid, pairing.patient, self._sequence, group.path, entry.source, entry.part, likeness
            )
            if entry.resealed is not None:
                self._moved.append(_resealed(entry.resealed, made, entry.gone))
            else:
                group.journal_records.append(made)
        group.published = published

    def _put_inventory(self, segments: Iterable[bytes], words: CID | None) -> CID:
        cid = unixfs.build(segments, self._put)
        # Whoever publishes can't open it later, and has to know what goes with it (ADR 59).
        self._words.append((str(cid), "" if words is None else str(words)))
        return cid

    def _seal(self, record: PlainRecord, key: bytes, context: bytes) -> Sealed:
        return seal_content(record.content, key, context, self._store, media_type=record.media_type)

    def _collect_all(self, waiting: int) -> None:
        """Hand on what is sealed, until at most `waiting` records still wait."""
        while len(self._waiting) > waiting:
            entry, future = self._waiting.popleft()
            self._collect(entry, future.result())

    def _collect(self, entry: _Entry, sealed: Sealed) -> None:
        if sealed.block is None:
            self._cids.append(sealed.cid)
        else:
            self._put(sealed.cid, sealed.block)
        entry.sealed = Sealed(sealed.cid, sealed.size, sealed.digest, sealed.head, None)

    def _put(self, cid: CID, data: bytes) -> CID:
        self._cids.append(cid)
        if self._is_early:
            self._early.append((cid, data))
            self._early_held += len(data)
        else:
            self._hold(cid, data)
        return cid

    def _hold(self, cid: CID, data: bytes) -> None:
        self._blocks.append((cid, data))
        self._held += len(data)
        if self._held >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        # Sorted: the order of arrival mustn't tell which header belongs to which envelope.
        self._store.put_blocks(sorted(self._blocks, key=lambda block: bytes(block[0])))
        self._blocks, self._held = [], 0

    def _put_list(self) -> CID:
        root, blocks = list_blocks(self._cids)
        for cid, data in blocks:
            self._put(cid, data)
        return root


def _envelope(group: _Group) -> bytes:
    return header.seal_envelope(group.key, [lane for _, lane in group.path])


def _envelopes(groups: Sequence[_Group]) -> list[bytes]:
    return [_envelope(group) for group in groups]


def _versions(record: PlainRecord, index: int, bundle: Bundle | None) -> VersionList | None:
    """Return the list of the resources in a record."""
    if bundle is not None:
        return VersionList.of(bundle, index)
    if record.media_type != MEDIA_TYPE or not isinstance(record.content, bytes):
        return None
    try:
        bundle = bundle_in(record)
    except InputError:
        # Not as splitting cuts it, so nothing of it can ever be left out: it is read as it is.
        return None
    return None if bundle is None else VersionList.of(bundle, index)


def listed(store: BlobStore, list_cid: CID) -> list[CID]:
    """Return the blocks that a batch list names."""
    node = dagcbor.decode(store.get_block(list_cid))
    if "blocks" in node:
        return list(node["blocks"])
    return [cid for part in node["parts"] for cid in listed(store, part)]


def shorten_list(store: BlobStore, list_cid: CID, without: set[CID]) -> CID:
    """Store and pin a batch list that lacks some blocks, so that nothing keeps them any more, and return its CID."""
    root, blocks = list_blocks([cid for cid in listed(store, list_cid) if cid not in without])
    store.put_blocks(blocks)
    store.pin(root)
    return root


def list_blocks(cids: Iterable[CID]) -> tuple[CID, list[tuple[CID, bytes]]]:
    """Return the root's CID and all blocks of a batch list that names some blocks."""
    # Sorted: the list mustn't tell which content belongs to which header.
    # By bytes, as CIDs compare: several thousand are compared faster so.
    ordered = sorted(set(cids), key=bytes)
    nodes = [
        _node({"v": 1, "blocks": ordered[start : start + LIST_LINKS]}) for start in range(0, len(ordered), LIST_LINKS)
    ]
    if len(nodes) > 1:
        nodes.append(_node({"v": 1, "parts": [cid for cid, _ in nodes]}))
    return nodes[-1][0], nodes


def _node(fields: dict[str, object]) -> tuple[CID, bytes]:
    data = dagcbor.encode(fields)
    return CID.of(DAG_CBOR, data), data


class Rows:
    """The rows of a manifest that is being made."""

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self._following: dict[bytes, int] = defaultdict(int)
        self._ids: dict[bytes, Callable[[int], bytes]] = {}
        """What makes the brief IDs of lanes with several records."""
        self.entries: dict[bytes, CID] = {}

    def add(self, locator_keys: Sequence[bytes], header_cid: CID) -> None:
        """Add a header's rows: always as many, since a restricted category has a shorter path."""
        for locator_key in locator_keys:
            self._next(locator_key, header_cid)
        self._fill(header_cid, len(locator_keys))

    def merge(self, merging: Merging) -> None:
        """Add the rows of earlier manifests, under keys of this one; before all others, since they are older."""
        for locator_key, headers in merging.lanes.items():
            for header_cid in headers:
                self._next(locator_key, header_cid)
        for header_cid, lanes in merging.headers.items():
            self._fill(header_cid, lanes)

    def _next(self, locator_key: bytes, header_cid: CID) -> None:
        number = self._following[locator_key]
        self._following[locator_key] += 1
        if number < _MANY:
            made = keys.brief_id(locator_key, self._sequence, number)
        else:
            if locator_key not in self._ids:
                self._ids[locator_key] = keys.brief_ids(locator_key, self._sequence)
            made = self._ids[locator_key](number)
        self.entries[made] = header_cid

    def _fill(self, header_cid: CID, lanes: int) -> None:
        for _ in range(header.SLOTS - lanes):
            self.entries[os.urandom(manifest.KEY_SIZE)] = header_cid


def _resealed(old: header.Header, record: JournalRecord, also: Sequence[CID]) -> MovedRecord:
    gone = [old.content, *([old.inventory] if old.inventory else []), *also]
    info = old.info
    return MovedRecord(info.header_cid, info.envelope_cid, record, gone=tuple(map(str, gone)), likeness=of_header(info))


def _journal_record(
    header_cid: CID,
    patient: Address,
    sequence: int,
    path: Sequence[tuple[Scope, HospitalLane]],
    source: bytes,
    part: int,
    likeness: bytes = b"",
) -> JournalRecord:
    # The category/year lane: every path has one, and it is the narrowest.
    scope, lane = next((scope, lane) for scope, lane in path if "/" in scope.text)
    return JournalRecord(str(header_cid), patient, sequence, scope.text, lane.generation, source, part, likeness)
