"""Locate and read: from a lane's locator key and a hospital's heads to checked headers and content.

Never asks a server what there is: in each manifest that stands for storage transactions of the chain it walks the
numbers of a lane, until a brief ID is proven absent. So the answer is complete, authentic and fresh, or it is said what
it lacks: a storage transaction that can't be read, a bad header, or numbers that are left out cost their own records
only. Follows design sections 7 and 8 (Open, steps 3, 4, 6 and 7), security rule 22 and ADR 37.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from panachain.crypto import keys
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.signatures import WORTH, Signatures
from panachain.errors import BlockNotFoundError, BlockOutOfReachError, IntegrityError, StoreUnavailableError
from panachain.follow.collector import standing_still
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.scope import Category, Scope, path_of
from panachain.records import header, inventory
from panachain.records.content import Content, content_context
from panachain.records.findings import Findings, Strict
from panachain.records.manifest import LEAF_ROWS, Manifest
from panachain.storage.ahead import Coming
from panachain.storage.blocks import BlobStore, near

_WINDOW: Final = 64
"""Numbers that are looked for beyond the first absent one, in the newest manifests."""
_LATEST: Final = 8
"""How many manifests these are."""
_FEW_ROWS: Final = 2 * LEAF_ROWS
"""Rows of a manifest that is read as a whole for that, at most."""
_TOGETHER: Final = 512
"""Headers that are opened together."""
_AHEAD: Final = 16
"""So many times as many wait for their signatures to be checked by another process."""
_HELD: Final = 32 << 20
"""Bytes of headers that wait at most: usual ones have 800, and the largest 64 KiB."""
_TIMES: Final = 3
"""How often a header is held while it waits: itself, what it decrypts to, and what was signed of it."""


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


def _as_it_is(error: IntegrityError) -> IntegrityError:
    return error


Blame = Callable[[IntegrityError], IntegrityError]


@dataclass(frozen=True)
class EarlierKey:
    """A hospital's Umbral signer before a change of its keys."""

    key: bytes
    """33 bytes."""
    last: int
    """The last storage transaction before the key's end; 0 for none. What came later doesn't count under it."""


@dataclass(frozen=True)
class HospitalHeads:
    """All storage transactions of one hospital, as the chain tells them, oldest first."""

    hospital: Address
    verifying_key: bytes
    """The hospital's Umbral signer, 33 bytes; empty if it can't be read, and only earlier ones can."""
    manifests: tuple[bytes, ...]
    """Digests of the manifests' root CIDs, 32 bytes each."""
    earlier: tuple[EarlierKey, ...] = ()
    """Its signers before changes of its keys, oldest first."""
    blame: Blame = field(default=_as_it_is, compare=False, repr=False)
    """Says who is to blame for a header that its signature doesn't fit: the hospital, or who showed its key."""


@dataclass(frozen=True)
class LaneRows:
    """What manifests have in one lane."""

    lane: Lane
    named: list[CID]
    """All headers, whether or not they could be opened."""
    opened: list[header.Header]


@dataclass
class Named:
    """What manifests have in some lanes; `locate_all` fills it."""

    lanes: list[LaneRows] = field(default_factory=list)
    replaced: set[CID] = field(default_factory=set)
    """Headers that others stand for."""
    complete: bool = True
    """Whether every manifest could be read."""


def open_manifests(
    store: BlobStore, heads: HospitalHeads, findings: Findings | None = None, *, since: int = 1
) -> list[Manifest | None]:
    """Open the manifests that together stand for all storage transactions of a hospital, oldest first.

    From the newest one back: each says from which transaction on it stands for all up to its own, and the next one is
    the one before that. One that can't be read stands for itself alone: what it had merged is read where it was before.

    Args:
        store: where the blocks are fetched.
        heads: the hospital, as the chain tells it.
        findings: is told of each manifest that can't be read, in the place of which None stands; without it the first
            one is an error.
        since: the first storage transaction that is looked at; the manifest that stands for it may stand for earlier
            ones too.

    Raises:
        IntegrityError: a manifest names another hospital, sequence or predecessor than the chain does.
        BlockNotFoundError: the store lacks a block.
    """
    findings = findings or Strict()
    manifests: list[Manifest | None] = []
    sequence = len(heads.manifests)
    while sequence >= since:
        opened = None
        with findings.alone(heads.hospital, _transaction(sequence)):
            opened = open_manifest(store, heads, sequence)
        manifests.append(opened)
        sequence = (sequence if opened is None else opened.first) - 1
    manifests.reverse()
    return manifests


def open_manifest(store: BlobStore, heads: HospitalHeads, sequence: int) -> Manifest:
    """Open the manifest of one storage transaction, and check that it is in its place.

    Raises:
        IntegrityError: it names another hospital, sequence or predecessor than the chain does.
        BlockNotFoundError: the store lacks a block.
    """
    # By the chain's word alone, so that a manifest that can't be read breaks no other one.
    root = CID(DAG_CBOR, heads.manifests[sequence - 1])
    previous = CID(DAG_CBOR, heads.manifests[sequence - 2]) if sequence > 1 else None
    manifest = Manifest(store, root)
    if (manifest.hospital, manifest.sequence, manifest.previous) != (heads.hospital, sequence, previous):
        raise IntegrityError(f"manifest {root} isn't number {sequence} of hospital {heads.hospital}")
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
    named: Named | None = None,
) -> list[list[header.Header]]:
    """Return every record of some lanes at one hospital, for each lane oldest first.

    A record that was re-wrapped is there once, by its newest header; the old one may be gone.

    Args:
        store: where the blocks are fetched; each is checked against its CID.
        heads: the hospital, as the chain tells it.
        manifests: from `open_manifests`.
        lanes: which lanes; a header of another category, year or generation than its lane's is refused.
        patient: whose lanes they are; a header that names somebody else is refused. None doesn't ask.
        findings: is told what had to be left out, and of numbers that were left out; without it the first omission is
            an error.
        named: is told what the manifests have.

    Raises:
        IntegrityError: a manifest, a header or its signature doesn't fit.
        BlockNotFoundError: a header is gone, and none of these lanes finds one that stands for it.
    """
    findings = findings or Strict()
    # So many there may be: all headers stay, and each has several values that Python's collector would look through.
    many = sum(one.count for one in manifests if one is not None) >= WORTH
    with standing_still(many), Signatures() as signatures:
        walks = [_Walk(heads, lane, signatures) for lane in lanes]
        complete = _search(walks, manifests, heads.hospital, findings)
        found: list[list[header.Header]] = []
        missing: dict[CID, StoreUnavailableError] = {}
        for walk in walks:
            opened = []
            for cid, result in _opened(store, walk, patient, signatures):
                if isinstance(result, header.Header):
                    opened.append(result)
                elif isinstance(result, BlockNotFoundError | BlockOutOfReachError):
                    # It may have been re-wrapped and deleted: whether another header stands for it is known once all
                    # lanes were read.
                    missing[cid] = result
                else:
                    findings.left_out(heads.hospital, f"record {cid}", result)
            found.append(opened)
    # Over all lanes: after a rotation the old header was found by an old generation, and its successor is found by the
    # new one.
    replaced = {cid for opened in found for one in opened for cid in one.replaces}
    for cid, error in missing.items():
        if cid not in replaced:
            findings.left_out(heads.hospital, f"record {cid}", error)
    if named is not None:
        named.lanes = [LaneRows(walk.lane, walk.rows, opened) for walk, opened in zip(walks, found, strict=True)]
        named.replaced, named.complete = replaced, complete
    if not replaced:
        return found
    gone = {str(cid) for cid in replaced}
    return [[one for one in opened if one.info.header_cid not in gone] for opened in found]


def locate_beside(
    store: BlobStore,
    heads: HospitalHeads,
    manifests: Sequence[Manifest | None],
    lanes: Sequence[Lane],
    *,
    named: Named,
    patient: Address,
    findings: Findings,
) -> list[LaneRows]:
    """Return what is in further lanes, and those records opened that aren't in the lanes which were searched.

    A hospital may put a record where some find it and others don't. A record that was found already isn't fetched
    again, so that where nothing is hidden this costs a look at the manifests.

    Args:
        store: where the blocks are fetched.
        heads: the hospital, as the chain tells it.
        manifests: from `open_manifests`; what of them can't be read was told.
        lanes: which further ones.
        named: what the manifests have in the lanes that were searched, from `locate_all`.
        patient: whose lanes they are.
        findings: is told what had to be left out.
    """
    known = {cid for rows in named.lanes for cid in rows.named}
    found: list[LaneRows] = []
    missing: dict[CID, StoreUnavailableError] = {}
    with Signatures() as signatures:
        walks = [_Walk(heads, lane, signatures) for lane in lanes]
        _search(walks, manifests, heads.hospital, Findings())
        for walk in walks:
            there = walk.rows
            walk.forget(known)
            opened = []
            for cid, result in _opened(store, walk, patient, signatures):
                known.add(cid)
                if isinstance(result, header.Header):
                    opened.append(result)
                elif isinstance(result, BlockNotFoundError | BlockOutOfReachError):
                    # As in `locate_all`: what stands for it may come later, in another of these lanes.
                    missing[cid] = result
                elif cid not in named.replaced:
                    findings.left_out(heads.hospital, f"record {cid}", result)
            found.append(LaneRows(walk.lane, there, opened))
    gone = named.replaced | {cid for rows in found for one in rows.opened for cid in one.replaces}
    for cid, error in missing.items():
        if cid not in gone:
            findings.left_out(heads.hospital, f"record {cid}", error)
    names = {str(cid) for cid in gone}
    return [
        LaneRows(rows.lane, rows.named, [one for one in rows.opened if one.info.header_cid not in names])
        for rows in found
    ]


def stored_last(heads: HospitalHeads, manifests: Sequence[Manifest | None], lane: Lane, record: CID) -> int | None:
    """Return the sequence of the storage transaction by which a header of a lane was there at the latest, or None.

    Of a manifest that stands for several transactions only its own is known: an earlier one may have been it.

    Args:
        heads: the hospital.
        manifests: from `open_manifests`.
        lane: in which the header is.
        record: the header.
    """
    for manifest in filter(None, manifests):
        walk = _Walk(heads, lane)
        walk.follow(manifest, frozenset())
        if record in walk.rows:
            return manifest.sequence
    return None


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
    return [cid for walk in walks for cid in walk.rows if store.has_block(cid)]


class _Walk:
    """The search for one lane's records through the manifests of one hospital."""

    def __init__(self, heads: HospitalHeads, lane: Lane, signatures: Signatures | None = None) -> None:
        self.lane = lane
        self._heads = heads
        self._signatures = signatures
        self._key = keys.hospital_key(lane.locator_key, heads.hospital)
        # Each once, also if its hospital lists it again; with the first storage transaction that it can be of.
        self._rows: dict[CID, int] = {}
        self._newest = [heads.verifying_key] if heads.verifying_key else []
        self._likely = 0
        """The slot that the last header opened with."""
        self._fitting: set[tuple[Category, int]] = set()
        """Categories and years that were found to belong into the lane."""

    @property
    def rows(self) -> list[CID]:
        """The headers that were found, oldest first."""
        return list(self._rows)

    def forget(self, known: Container[CID]) -> None:
        """Forget the headers that are known."""
        self._rows = {cid: first for cid, first in self._rows.items() if cid not in known}

    def follow(self, manifest: Manifest, everything: Container[bytes]) -> tuple[int, int] | None:
        """Take the records of one manifest; return the first and last of the numbers that are left out, or None.

        Args:
            manifest: in which the lane's numbers begin at 0.
            everything: all of its keys if later numbers are looked for, too.
        """
        number, left_out = 0, None
        brief_id = keys.brief_ids(self._key, manifest.sequence)
        while True:
            cid = manifest.lookup(brief_id(number))
            if cid is not None:
                self._rows.setdefault(cid, manifest.first)
                number += 1
                if number == WORTH and self._signatures is not None:
                    # They will be so many at least.
                    self._signatures.expect(number)
                continue
            beyond = range(number + 1, number + 1 + _WINDOW) if everything else ()
            later = next((one for one in beyond if brief_id(one) in everything), None)
            if later is None:
                return left_out
            left_out = left_out or (number, later - 1)
            number = later

    def begin(
        self, blocks: Sequence[tuple[CID, bytes]], patient: Address | None, signatures: Signatures
    ) -> Callable[[], list[header.Header | IntegrityError]]:
        """Begin to open headers, and return what gives each that belongs into this lane, or why it doesn't.

        Those that are as most are, are opened together; each other one by itself.
        """
        counting = [self._counting(cid) for cid, _ in blocks] if self._heads.earlier else [self._newest] * len(blocks)
        begun: list[tuple[list[int], Callable[[], list[header.Header | None]]]] = []
        for key in {mine[0] for mine in counting if mine}:
            places = [place for place, mine in enumerate(counting) if mine and mine[0] == key]
            together = header.begin_headers(
                [blocks[place] for place in places],
                hospital=self._heads.hospital,
                locator_key=self._key,
                verifying_key=key,
                signatures=signatures,
                likely=self._likely,
            )
            begun.append((places, together))

        def finish() -> list[header.Header | IntegrityError]:
            opened: list[header.Header | None] = [None] * len(blocks)
            for places, together in begun:
                for place, one in zip(places, together(), strict=True):
                    opened[place] = one
            return [self._result(cid, block, one, patient) for (cid, block), one in zip(blocks, opened, strict=True)]

        return finish

    def _result(
        self, cid: CID, block: bytes, opened: header.Header | None, patient: Address | None
    ) -> header.Header | IntegrityError:
        """Return a header of this lane, or why there is none."""
        try:
            opened = opened or self._signed(block, cid)
            self._check(opened, patient)
        except IntegrityError as exc:
            return exc
        return opened

    def _check(self, opened: header.Header, patient: Address | None) -> None:
        """Check that a header belongs into this lane.

        Raises:
            IntegrityError: it is of another category, year, generation or patient.
        """
        self._likely = opened.wrap_index
        info = opened.info
        # The hospital has the keys of every lane of a pairing, and may put anything anywhere: a reader would take what
        # it says of a record for what the patient granted.
        # Whether a sensitive one is in the emergency lane, its patient chose.
        kind = info.category, info.year
        if kind not in self._fitting:
            if self.lane.scope not in path_of(*kind, emergency=True):
                raise IntegrityError(f"its header says {Scope.of(*kind).text}, and lies under {self.lane.scope.text}")
            self._fitting.add(kind)
        if opened.epoch < self.lane.generation:
            raise IntegrityError(f"its header is of key change {opened.epoch}, its category of {self.lane.generation}")
        if patient is not None and opened.patient != patient:
            raise IntegrityError("another patient's record was put under these keys")

    def _counting(self, cid: CID) -> list[bytes]:
        """Return the keys that counted when a header was published, the oldest first: most are of their own time.

        A merged manifest doesn't tell of which of its transactions a header is: the first one decides.
        """
        if not self._heads.earlier:
            return self._newest
        first = self._rows[cid]
        return [one.key for one in self._heads.earlier if first <= one.last and one.key] + self._newest

    def _signed(self, block: bytes, cid: CID) -> header.Header:
        """Open a header that is signed with a key that counted when it was published.

        Raises:
            IntegrityError: it doesn't open, or it is signed with another key.
        """
        first, earlier, counting = self._rows[cid], self._heads.earlier, self._counting(cid)
        try:
            if not counting:
                raise IntegrityError(f"header {cid} is signed with keys of its hospital that can't be read")
            return self._opened(block, cid, counting)
        except IntegrityError as exc:
            for one in earlier:
                if first > one.last and self._fits(block, cid, one.key):
                    raise IntegrityError(
                        f"header {cid} is of storage transaction {first} or later, and signed with keys that its "
                        f"hospital ended after {one.last}"
                    ) from None
            raise self._heads.blame(exc) from exc

    def _opened(self, block: bytes, cid: CID, counting: Sequence[bytes]) -> header.Header:
        return header.open_header_of(
            block,
            cid=cid,
            hospital=self._heads.hospital,
            locator_key=self._key,
            verifying_keys=counting,
            likely=self._likely,
        )

    def _fits(self, block: bytes, cid: CID, key: bytes) -> bool:
        try:
            self._opened(block, cid, [key])
        except IntegrityError:
            return False
        return True


_Opened = header.Header | StoreUnavailableError | IntegrityError
"""A header, or why there is none."""


def _opened(
    store: BlobStore, walk: _Walk, patient: Address | None, signatures: Signatures
) -> Iterator[tuple[CID, _Opened]]:
    """Yield each header that a walk found, oldest first, opened and checked; of many, signatures are checked beside."""
    rows = walk.rows
    signatures.expect(len(rows))
    begun: deque[tuple[int, Callable[[], list[tuple[CID, _Opened]]]]] = deque()
    held, failed = 0, None
    for start in range(0, len(rows), _TOGETHER):
        try:
            begun.append(_begun(store, walk, rows[start : start + _TOGETHER], patient, signatures))
        except Exception as exc:  # noqa: BLE001  # Raised below, behind what comes before it.
            failed = exc
            break
        held += begun[-1][0]
        while begun and (held > _HELD or len(begun) > (_AHEAD if signatures.is_beside else 0)):
            size, finish = begun.popleft()
            held -= size
            yield from finish()
    for _, finish in begun:
        yield from finish()
    if failed is not None:
        raise failed


def _begun(
    store: BlobStore, walk: _Walk, piece: Sequence[CID], patient: Address | None, signatures: Signatures
) -> tuple[int, Callable[[], list[tuple[CID, _Opened]]]]:
    """Begin to open some headers of a walk, and return how many bytes are held for that, and what gives them."""
    fetched = list(_fetched(store, piece))
    blocks = [(cid, block) for cid, block in zip(piece, fetched, strict=True) if isinstance(block, bytes)]
    finish = walk.begin(blocks, patient, signatures)

    def finished() -> list[tuple[CID, _Opened]]:
        results = iter(finish())
        pairs = zip(piece, fetched, strict=True)
        return [(cid, next(results) if isinstance(block, bytes) else block) for cid, block in pairs]

    return _TIMES * sum(len(block) for _, block in blocks), finished


def _fetched(store: BlobStore, cids: Sequence[CID]) -> Iterator[bytes | StoreUnavailableError | IntegrityError]:
    for cid, block in zip(cids, near(store, cids), strict=True):
        if block is not None:
            yield block
            continue
        try:
            yield store.get_block(cid)
        except (BlockNotFoundError, BlockOutOfReachError, IntegrityError) as exc:
            yield exc


def _search(
    walks: Sequence[_Walk], manifests: Sequence[Manifest | None], hospital: Address, findings: Findings
) -> bool:
    """Lead each lane's walk through all manifests, past those that can't be read; tell whether all of them could be.

    A hospital that leaves out a number hides what stands behind it, since the search ends where the next one is absent:
    it is looked for as far as it costs little.
    """
    complete = True
    for place, manifest in enumerate(manifests):
        if manifest is None:
            complete = False
            continue
        read = False
        with findings.alone(hospital, _transaction(manifest.sequence)):
            everything: Container[bytes] = ()
            if place >= len(manifests) - _LATEST and manifest.count <= _FEW_ROWS:
                everything = set(manifest.keys())
            for walk in walks:
                left_out = walk.follow(manifest, everything)
                if left_out is not None:
                    first, last = left_out
                    error = IntegrityError(
                        f"numbers {first} to {last} of category {walk.lane.scope.text} are missing: records of them"
                        " may be lost"
                    )
                    findings.notice(hospital, _transaction(manifest.sequence), error)
            read = True
        complete &= read
    return complete


def _transaction(sequence: int) -> str:
    return f"storage transaction {sequence}"


def content_of(
    store: BlobStore, found: header.Header, envelope_key: EnvelopeKey, coming: Coming | None = None
) -> Content:
    """Return one record's content, to be opened as far as it is asked for.

    Args:
        store: where the blocks are fetched.
        found: the record's header.
        envelope_key: checked against the header's commitment before anything is opened.
        coming: fetches it along with others.

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
        coming=coming,
    )


def check_envelope(
    store: BlobStore, headers: Sequence[header.Header], envelope_key: EnvelopeKey
) -> inventory.Inventory:
    """Check that the headers of one envelope are all that its hospital put under it, and return what it says of them.

    Raises:
        IntegrityError: one is missing or differs, they name different inventories, or the key isn't the committed one.
    """
    cid, only = headers[0].inventory, headers[0].info
    # Most headers of an envelope have the very same object.
    if any(found.inventory is not cid and found.inventory != cid for found in headers):
        raise IntegrityError(f"the records of envelope {headers[0].info.envelope_cid} name different inventories")
    if any(found.commitment != envelope_key.commitment for found in headers):
        raise IntegrityError(
            f"the key of envelope {headers[0].info.envelope_cid} isn't the one its hospital committed to"
        )
    if cid is None:
        # The signed header says that it is the envelope's only record.
        listed = inventory.Inventory((inventory.Item(only.media_type, only.size, only.digest),))
    else:
        listed = inventory.open_(store, cid, envelope_key)
    inventory.check_complete(listed.items, (found.info for found in headers))
    return listed
