"""Locate and read: from a lane's locator key and a hospital's heads to checked headers and content.

Never asks a server what there is: it walks the counters of a lane through the manifests that the chain names,
until a brief ID is proven absent. So the answer is complete, authentic and fresh, or it is said what it lacks: a
storage transaction that can't be read, a bad header, or numbers that are there twice or not at all cost their own
records only. Follows design sections 7 and 8 (Open, steps 3, 4, 6 and 7) and security rule 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, Protocol

from panachain.crypto import keys
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import BlockNotFoundError, BlockOutOfReachError, IntegrityError, StoreUnavailableError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.scope import Scope, path_of
from panachain.records import header, inventory
from panachain.records.content import Content, content_context
from panachain.records.findings import UNREADABLE, Findings, Strict
from panachain.records.manifest import LEAF_ROWS, Manifest
from panachain.storage.blocks import BlobStore

_RECALLED: Final = 32
"""Numbers at which a lane's records ended in earlier storage transactions, where a hospital that was restored from a
backup begins again: so many are looked for in each later one."""
_AHEAD: Final = 1024
"""Numbers that are looked for beyond the expected one, after a storage transaction that can't be read."""
_WINDOW: Final = 64
"""Numbers that are looked for beyond the expected one in any case, in the newest storage transactions."""
_LATEST: Final = 8
"""How many storage transactions these are."""
_FEW_ROWS: Final = 4 * LEAF_ROWS
_MOST_ROWS: Final = header.SLOTS * inventory.MAX_RECORDS
"""Rows of a batch of ours at most."""


class Lane(Protocol):
    """What a reader knows of a lane; the terms' `GrantedLane` is one."""

    @property
    def scope(self) -> Scope:
        """What the lane holds."""
        ...

    @property
    def generation(self) -> int:
        """Number of the rotation that began it."""
        ...

    @property
    def locator_key(self) -> bytes:
        """32 bytes, not the hospital's own."""
        ...


@dataclass(frozen=True)
class Sought:
    """A lane whose records are sought."""

    scope: Scope
    generation: int
    locator_key: bytes = field(repr=False)


@dataclass(frozen=True)
class HospitalHeads:
    """All storage transactions of one hospital, as the chain tells them, oldest first."""

    hospital: Address
    verifying_key: bytes
    """The hospital's Umbral signer, 33 bytes."""
    manifests: tuple[bytes, ...]
    """Digests of the manifests' root CIDs, 32 bytes each."""


def open_manifests(store: BlobStore, heads: HospitalHeads, findings: Findings | None = None) -> list[Manifest | None]:
    """Open every manifest of a hospital and check that they form one chain.

    Args:
        store: where the blocks are fetched.
        heads: the hospital, as the chain tells it.
        findings: is told of each manifest that can't be read, in the place of which None stands; without it the first
            one is an error.

    Raises:
        IntegrityError: a manifest names another hospital, sequence or predecessor than the chain does.
        BlockNotFoundError: the store lacks a block.
    """
    findings = findings or Strict()
    manifests: list[Manifest | None] = []
    previous: CID | None = None
    for sequence, digest in enumerate(heads.manifests, start=1):
        root = CID(DAG_CBOR, digest)
        opened = None
        with findings.alone(heads.hospital, _transaction(sequence)):
            opened = _open_manifest(store, root, heads.hospital, sequence, previous)
        manifests.append(opened)
        # By the chain's word, so that a manifest that can't be read doesn't break the next one.
        previous = root
    return manifests


def _open_manifest(store: BlobStore, root: CID, hospital: Address, sequence: int, previous: CID | None) -> Manifest:
    manifest = Manifest(store, root)
    if (manifest.hospital, manifest.sequence, manifest.previous) != (hospital, sequence, previous):
        raise IntegrityError(f"manifest {root} isn't number {sequence} of hospital {hospital}")
    return manifest


def locate(
    store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest | None], lane: Lane
) -> list[header.Header]:
    """Return every record of one lane at one hospital, oldest first; see `locate_all`."""
    return locate_all(store, heads, manifests, [lane])[0]


def locate_all(
    store: BlobStore,
    heads: HospitalHeads,
    manifests: Sequence[Manifest | None],
    lanes: Sequence[Lane],
    *,
    patient: Address | None = None,
    findings: Findings | None = None,
) -> list[list[header.Header]]:
    """Return every record of some lanes at one hospital, for each lane oldest first.

    A record that was re-wrapped is there once, by its newest header; the old one may be gone.

    Args:
        store: where the blocks are fetched; each is checked against its CID.
        heads: the hospital, as the chain tells it.
        manifests: from `open_manifests`.
        lanes: which lanes; a header of another category, year or generation than its lane's is refused.
        patient: whose lanes they are; a header that names somebody else is refused. None doesn't ask.
        findings: is told what had to be left out, and of numbers that were used twice or left out; without it the
            first omission is an error.

    Raises:
        IntegrityError: a manifest, a header or its signature doesn't fit.
        BlockNotFoundError: a header is gone, and none of these lanes finds one that stands for it.
    """
    findings = findings or Strict()
    walks = [_Walk(heads, lane) for lane in lanes]
    _search(walks, manifests, heads.hospital, findings)
    found: list[list[header.Header]] = []
    missing: dict[CID, StoreUnavailableError] = {}
    for walk in walks:
        opened = []
        for brief_id, cid in walk.rows:
            try:
                block = store.get_block(cid)
            except (BlockNotFoundError, BlockOutOfReachError) as exc:
                # It may have been re-wrapped and deleted: whether another header stands for it is known once all lanes
                # were read.
                missing[cid] = exc
                continue
            except IntegrityError as exc:
                findings.left_out(heads.hospital, f"record {cid}", exc)
                continue
            with findings.alone(heads.hospital, f"record {cid}"):
                opened.append(walk.open(block, cid, brief_id, patient))
        found.append(_without_repeats(opened, {str(cid) for cid in walk.again}))
    # Over all lanes: after a rotation the old header was found by an old generation, and its successor is found by the
    # new one.
    replaced = {cid for opened in found for one in opened for cid in one.replaces}
    for cid, error in missing.items():
        if cid not in replaced:
            findings.left_out(heads.hospital, f"record {cid}", error)
    gone = {str(cid) for cid in replaced}
    return [[one for one in opened if one.info.header_cid not in gone] for opened in found]


def _without_repeats(opened: Sequence[header.Header], again: set[str]) -> list[header.Header]:
    """Return headers without those under reused numbers that the hospital, once it noticed, published a second time.

    Args:
        opened: of one lane.
        again: the CIDs of those under reused numbers.
    """
    if not again:
        return list(opened)
    regular = {_content(one) for one in opened if one.info.header_cid not in again}
    # An envelope goes as a whole or not at all: a part of it would look as if something had been kept back.
    kept = {
        one.info.envelope_cid
        for one in opened
        if one.info.header_cid in again and (not one.info.digest or _content(one) not in regular)
    }
    return [one for one in opened if one.info.header_cid not in again or one.info.envelope_cid in kept]


def _content(found: header.Header) -> tuple[object, ...]:
    info = found.info
    return info.category, info.year, info.media_type, info.size, info.digest


def remaining(
    store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest | None], lanes: Sequence[Lane]
) -> list[CID]:
    """Return the headers of some lanes at one hospital that the store still has: what a re-wrapping didn't take away.

    Raises:
        IntegrityError: a manifest doesn't fit.
        BlockNotFoundError: the store lacks a part of one.
    """
    walks = [_Walk(heads, lane) for lane in lanes]
    _search(walks, manifests, heads.hospital, Strict())
    return [cid for walk in walks for _, cid in walk.rows if store.has_block(cid)]


class _Walk:
    """The search for one lane's records through the storage transactions of one hospital."""

    def __init__(self, heads: HospitalHeads, lane: Lane) -> None:
        self.lane = lane
        self._heads = heads
        self._key = keys.hospital_key(lane.locator_key, heads.hospital)
        self.expected = 0
        """The number of the lane's next record."""
        self.window = 0
        """How many numbers beyond the expected one are looked for too."""
        self._ends = [0]
        """Numbers at which runs of records ended, oldest first; an honest hospital goes on at the last one."""
        self._ahead: tuple[tuple[int, int], dict[bytes, tuple[_Walk, int]]] = (0, 0), {}
        self._rows: dict[tuple[bytes, CID], None] = {}
        self.again: set[CID] = set()
        """Headers under numbers that had been used before."""

    @property
    def rows(self) -> list[tuple[bytes, CID]]:
        """Brief ID and header of each record that was found, oldest first."""
        return list(self._rows)

    def brief_id(self, number: int) -> bytes:
        """Return the brief ID of a record by its number."""
        return keys.brief_id(self._key, number)

    def follow(self, manifest: Manifest) -> int | None:
        """Take the records of one storage transaction; return a number at which it begins anew, or None."""
        expected, again = self.expected, None
        self._take(manifest, expected)
        for start in self._ends[-_RECALLED - 1 :]:
            if start < expected and self._take(manifest, start, self.again):
                again = start if again is None else min(start, again)
        return again

    def jump(self, manifest: Manifest, number: int) -> None:
        """Take the records of one storage transaction from a later number on."""
        self._take(manifest, number)

    def ahead(self) -> dict[bytes, tuple[_Walk, int]]:
        """Return the brief IDs in the window, each with this walk and its number."""
        place = self.expected, self.window
        if self._ahead[0] != place:
            numbers = range(self.expected + 1, self.expected + 1 + self.window)
            self._ahead = place, {self.brief_id(number): (self, number) for number in numbers}
        return self._ahead[1]

    def open(self, block: bytes, cid: CID, brief_id: bytes, patient: Address | None) -> header.Header:
        """Open a header, and check that it belongs into this lane.

        Raises:
            IntegrityError: it doesn't open, or it is of another category, year, generation or patient.
        """
        opened = header.open_header(
            block,
            cid=cid,
            hospital=self._heads.hospital,
            locator_key=self._key,
            brief_id=brief_id,
            verifying_key=self._heads.verifying_key,
        )
        # The hospital has the keys of every lane of a pairing, and may put anything anywhere: a reader would take what
        # it says of a record for what the patient granted.
        # Whether a sensitive one is in the emergency lane, its patient chose.
        if self.lane.scope not in path_of(opened.info.category, opened.info.year, emergency=True):
            stated = Scope.of(opened.info.category, opened.info.year).text
            raise IntegrityError(f"its header says {stated}, and lies in lane {self.lane.scope.text}")
        if opened.epoch < self.lane.generation:
            raise IntegrityError(f"its header is of rotation {opened.epoch}, its lane of {self.lane.generation}")
        if patient is not None and opened.patient != patient:
            raise IntegrityError("another patient's record was put into the lane")
        return opened

    def _take(self, manifest: Manifest, number: int, again: set[CID] | None = None) -> bool:
        """Take the records from a number on, until one is proven absent; tell whether there was one."""
        first = number
        # A lane's numbers grow in the order of publication, so each manifest holds a run of them.
        while (cid := manifest.lookup(self.brief_id(number))) is not None:
            row = self.brief_id(number), cid
            if again is not None and row not in self._rows:
                again.add(cid)
            self._rows.setdefault(row)
            number += 1
        if number == first:
            return False
        if number in self._ends:
            self._ends.remove(number)
        self._ends.append(number)
        if number > self.expected:
            self.expected, self.window = number, 0
        return True


def _search(
    walks: Sequence[_Walk], manifests: Sequence[Manifest | None], hospital: Address, findings: Findings
) -> None:
    """Lead each lane's walk through all storage transactions, past those that can't be read.

    Two mistakes of a hospital would hide what it published: numbers that are used again, since the search ends where
    the next one is absent, and numbers that are left out. Both are looked for as far as it costs little.
    """
    for sequence, manifest in enumerate(manifests, start=1):
        if manifest is None:
            for walk in walks:
                walk.window = _AHEAD
            continue
        for walk in walks:
            if sequence > len(manifests) - _LATEST:
                walk.window = max(walk.window, _WINDOW)
            try:
                again = walk.follow(manifest)
            except UNREADABLE as exc:
                findings.left_out(hospital, _transaction(sequence), exc)
                walk.window = _AHEAD
                continue
            if again is not None:
                findings.notice(
                    hospital,
                    _transaction(sequence),
                    IntegrityError(
                        f"number {again} of lane {walk.lane.scope.text} is used a second time, as after a restored"
                        " backup; what was found is here, and the hospital should look what else is lost"
                    ),
                )
        _look_ahead([walk for walk in walks if walk.window], manifest, sequence, hospital, findings)


def _look_ahead(
    walks: Sequence[_Walk], manifest: Manifest, sequence: int, hospital: Address, findings: Findings
) -> None:
    """Look whether a storage transaction has later numbers of lanes than those that are expected."""
    lost = any(walk.window == _AHEAD for walk in walks)
    # All of its rows are read, which a search doesn't need: of a large one only after a loss.
    if not walks or manifest.count > (_MOST_ROWS if lost else _FEW_ROWS):
        return
    ahead: dict[bytes, tuple[_Walk, int]] = {}
    for one in walks:
        ahead |= one.ahead()
    with findings.alone(hospital, _transaction(sequence)):
        hits: dict[int, tuple[_Walk, int]] = {}
        for key, _ in manifest.rows():
            if key in ahead:
                walk, number = ahead[key]
                hits[id(walk)] = min(hits.get(id(walk), (walk, number)), (walk, number), key=itemgetter(1))
        for walk, number in hits.values():
            if walk.window != _AHEAD:
                findings.notice(
                    hospital,
                    _transaction(sequence),
                    IntegrityError(
                        f"numbers {walk.expected} to {number - 1} of lane {walk.lane.scope.text} are in no storage"
                        " transaction: records of them may be lost"
                    ),
                )
            walk.jump(manifest, number)


def _transaction(sequence: int) -> str:
    return f"storage transaction {sequence}"


def content_of(store: BlobStore, found: header.Header, envelope_key: EnvelopeKey) -> Content:
    """Return one record's content, to be opened as far as it is asked for.

    Args:
        store: where the blocks are fetched.
        found: the record's header.
        envelope_key: checked against the header's commitment before anything is opened.

    Raises:
        IntegrityError: the key isn't the committed one.
    """
    # GCM doesn't commit to its key: without this, one ciphertext could open to two contents under two keys.
    if envelope_key.commitment != found.commitment:
        raise IntegrityError(
            f"the envelope key of record {found.info.header_cid} isn't the one its hospital committed to"
        )
    info = found.info
    return Content(
        store,
        found.content,
        envelope_key.content_key(info.content_index),
        content_context(generation=info.generation, index=info.content_index),
        size=info.size,
        digest=info.digest,
        head=found.head,
    )


def check_envelope(
    store: BlobStore, headers: Sequence[header.Header], envelope_key: EnvelopeKey
) -> inventory.Inventory:
    """Check that the headers of one envelope are all that its hospital put under it, and return what it says of them.

    Raises:
        IntegrityError: one is missing or differs, they name different inventories, or the key isn't the committed one.
    """
    if any(found.inventory != headers[0].inventory for found in headers):
        raise IntegrityError(f"the records of envelope {headers[0].info.envelope_cid} name different inventories")
    if any(found.commitment != envelope_key.commitment for found in headers):
        raise IntegrityError(
            f"the key of envelope {headers[0].info.envelope_cid} isn't the one its hospital committed to"
        )
    cid, only = headers[0].inventory, headers[0].info
    if cid is None:
        # The signed header says that it is the envelope's only record.
        listed = inventory.Inventory((inventory.Item(only.media_type, only.size, only.digest),))
    else:
        listed = inventory.open_(store, cid, envelope_key)
    inventory.check_complete(listed.items, (found.info for found in headers))
    return listed
