"""Locate and read: from a lane's locator key and a hospital's heads to checked headers and content.

Never asks a server what there is: it walks the counters of a lane through the manifests that the chain names,
until a brief ID is proven absent. So the answer is complete, authentic and fresh, or an error.
Follows design sections 7 and 8 (Open, steps 3, 4, 6 and 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from panachain.crypto import keys
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.records import header, inventory
from panachain.records.content import Content, content_context
from panachain.records.manifest import Manifest
from panachain.storage.blocks import BlobStore


@dataclass(frozen=True)
class HospitalHeads:
    """All storage transactions of one hospital, as the chain tells them, oldest first."""

    hospital: Address
    verifying_key: bytes
    """The hospital's Umbral signer, 33 bytes."""
    manifests: tuple[bytes, ...]
    """Digests of the manifests' root CIDs, 32 bytes each."""


def open_manifests(store: BlobStore, heads: HospitalHeads) -> list[Manifest]:
    """Open every manifest of a hospital and check that they form one chain.

    Raises:
        IntegrityError: a manifest names another hospital, sequence or predecessor than the chain does.
        BlockNotFoundError: the store lacks a block.
    """
    manifests: list[Manifest] = []
    previous: CID | None = None
    for sequence, digest in enumerate(heads.manifests, start=1):
        root = CID(DAG_CBOR, digest)
        manifest = Manifest(store, root)
        if (manifest.hospital, manifest.sequence, manifest.previous) != (heads.hospital, sequence, previous):
            raise IntegrityError(f"manifest {root} isn't number {sequence} of hospital {heads.hospital}")
        manifests.append(manifest)
        previous = root
    return manifests


def locate(
    store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest], locator_key: bytes
) -> list[header.Header]:
    """Return every record of one lane at one hospital, oldest first; see `locate_all`."""
    return locate_all(store, heads, manifests, [locator_key])[0]


def locate_all(
    store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest], locator_keys: Sequence[bytes]
) -> list[list[header.Header]]:
    """Return every record of some lanes at one hospital, for each lane oldest first.

    A record that was re-wrapped is there once, by its newest header; the old one may be gone.

    Args:
        store: where the blocks are fetched; each is checked against its CID.
        heads: the hospital, as the chain tells it.
        manifests: from `open_manifests`.
        locator_keys: the lanes' locator keys (not the hospital's own), 32 bytes each.

    Raises:
        BlockNotFoundError: a header is gone, and none of these lanes finds one that stands for it.
    """
    lanes: list[list[header.Header]] = []
    missing: dict[CID, BlockNotFoundError] = {}
    for locator_key in locator_keys:
        own_key = keys.hospital_key(locator_key, heads.hospital)
        lane = []
        for brief_id, cid in _rows(manifests, own_key):
            try:
                block = store.get_block(cid)
            except BlockNotFoundError as exc:
                # It may have been re-wrapped and deleted: whether another header stands for it is known once all lanes
                # were read.
                missing[cid] = exc
                continue
            lane.append(
                header.open_header(
                    block,
                    cid=cid,
                    hospital=heads.hospital,
                    locator_key=own_key,
                    brief_id=brief_id,
                    verifying_key=heads.verifying_key,
                )
            )
        lanes.append(lane)
    # Over all lanes: after a rotation the old header was found by an old generation, and its successor is found by the
    # new one.
    replaced = {cid for lane in lanes for found in lane for cid in found.replaces}
    for cid, error in missing.items():
        if cid not in replaced:
            raise error
    gone = {str(cid) for cid in replaced}
    return [[found for found in lane if found.info.header_cid not in gone] for lane in lanes]


def remaining(store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest], locator_key: bytes) -> list[CID]:
    """Return the headers of one lane at one hospital that the store still has: what a re-wrapping didn't take away."""
    own_key = keys.hospital_key(locator_key, heads.hospital)
    return [cid for _, cid in _rows(manifests, own_key) if store.has_block(cid)]


def _rows(manifests: Sequence[Manifest], own_key: bytes) -> Iterator[tuple[bytes, CID]]:
    """Yield brief ID and header of each of a lane's records, until a brief ID is proven absent."""
    counter = 0
    for manifest in manifests:
        # A lane's counters grow in the order of publication, so each manifest holds a run of them.
        while True:
            brief_id = keys.brief_id(own_key, counter)
            cid = manifest.lookup(brief_id)
            if cid is None:
                break
            yield brief_id, cid
            counter += 1


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


def check_envelope(store: BlobStore, headers: Sequence[header.Header], envelope_key: EnvelopeKey) -> None:
    """Check that the headers of one envelope are all that its hospital put under it.

    Raises:
        IntegrityError: one is missing or differs, or they name different inventories.
    """
    if any(found.inventory != headers[0].inventory for found in headers):
        raise IntegrityError(f"the records of envelope {headers[0].info.envelope_cid} name different inventories")
    cid, only = headers[0].inventory, headers[0].info
    if cid is None:
        # The signed header says that it is the envelope's only record.
        items = [inventory.Item(only.media_type, only.size, only.digest)]
    else:
        items = inventory.open_(store, cid, envelope_key)
    inventory.check_complete(items, (found.info for found in headers))
