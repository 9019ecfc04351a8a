"""A registered hospital that writes whatever it likes: reusable, for everybody who tests against one.

It has what an honest one has (a seed, a ledger, a store that takes its blocks, the pairings of patients who fell for
it) and none of our code's checks on the way. Every part of what it publishes can be replaced by a test's own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from panachain.crypto import compress, keys, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address, Role
from panachain.model.records import RecordInfo
from panachain.model.scope import Category, Scope
from panachain.records import header, inventory, manifest
from panachain.records.content import content_context
from panachain.records.header import HospitalLane
from panachain.records.pairing import Pairing
from panachain.records.version_list import VersionList
from panachain.sdk.hospital import Hospital
from panachain.sdk.profiles import Profile
from panachain.storage.blocks import BlobStore
from tests.twin.world import World, actor_of, seed_of

BUNDLE: Final = b'{"resourceType":"Bundle","type":"collection"}'
LEAF: Final = stream.SEGMENT_SIZE


def packed_zeros(size: int) -> bytes:
    """Return the packed form of so many zeros: some ten bytes for each mebibyte of them."""
    return b"".join(compress.compress_pieces(itertools.repeat(bytes(1 << 20), size >> 20), size))


@dataclass
class Envelope:
    """Contents under one key."""

    key: EnvelopeKey
    cid: CID
    path: list[tuple[Scope, HospitalLane]]
    category: Category
    year: int
    items: list[inventory.Item] = field(default_factory=list)
    contents: list[CID] = field(default_factory=list)
    lists: list[VersionList] = field(default_factory=list)
    """What it says of the resources in its contents, true or not."""
    sequence: int = 1
    """When it says that it published them."""


class EvilHospital:
    """What it publishes waits in `rows` until `publish` puts it on chain."""

    def __init__(self, world: World, name: str = "evil") -> None:
        """Register it; nobody has paired with it yet."""
        self.world = world
        self.network = world.network
        self.store: BlobStore = world.network.store
        self.seed = seed_of(name)
        actor = actor_of(name, Role.HOSPITAL)
        folder = world.home / "profiles" / name
        folder.mkdir(parents=True)
        profile = Profile(name, Role.HOSPITAL, actor.address, actor.public_keys, folder)
        world.registrar.admit(replace(actor, organisation=None))
        self.session = Hospital(world.network, profile, "")
        self.address: Address = actor.address
        self.following: dict[bytes, int] = {}
        """The next number of each lane in the storage transaction to come."""
        self.rows: dict[bytes, CID] = {}

    @property
    def pairing(self) -> Pairing:
        """The patient's pairing with it, as it is now."""
        return self.session.pairing(self.world.patient.whoami())

    # Parts of a record

    def envelope(self, category: Category = Category.LABORATORY, year: int = 2025) -> Envelope:
        """Begin an envelope whose key is wrapped to the right lanes."""
        path = self.pairing.path(category, year)
        key = EnvelopeKey(os.urandom(32))
        block = header.seal_envelope(key, [lane for _, lane in path])
        return Envelope(key, self.put(block), path, category, year)

    def add(
        self,
        envelope: Envelope,
        plain: bytes = BUNDLE,
        media_type: str = "application/fhir+json",
        *,
        packed: bytes | None = None,
        size: int | None = None,
    ) -> None:
        """Seal one more content under an envelope.

        Args:
            envelope: where it goes.
            plain: the content.
            media_type: as the header states it.
            packed: the packed form, where it isn't that of `plain`.
            size: bytes, as header and inventory state them.
        """
        index = len(envelope.items)
        context = content_context(generation=self.pairing.generations.epoch, index=index)
        sealed = stream.seal(padding.pad(packed or compress.compress(plain)), envelope.key.content_key(index), context)
        leaves = [sealed[start : start + LEAF] for start in range(0, len(sealed), LEAF)]
        envelope.contents.append(self.put(sealed) if len(leaves) == 1 else self.store.add_file(leaves))
        digest = sha256(plain).digest() if packed is None else b""
        envelope.items.append(inventory.Item(media_type, len(plain) if size is None else size, digest))

    def seal(self, envelope: Envelope, **lies: Any) -> list[CID]:
        """Write the headers of an envelope's contents, each field as it is or as `lies` has it, and return them."""
        items, key = envelope.items, envelope.key
        listed = None
        if len(items) > 1 or envelope.lists:
            sequence = envelope.sequence if envelope.lists else 0
            listed = unixfs.build(inventory.seal(items, key, sequence=sequence, lists=envelope.lists), self._put)
        return [
            self.header(envelope, index, content, inventory_cid=listed, **lies)
            for index, content in enumerate(envelope.contents)
        ]

    def header(self, envelope: Envelope, index: int, content: CID, *, inventory_cid: CID | None, **lies: Any) -> CID:
        """Write one header and its rows.

        Args:
            envelope: whose.
            index: of the content.
            content: where it lies.
            inventory_cid: where the envelope's inventory lies.
            lies: other fields of `RecordInfo`, `patient`, `commitment`, `epoch`, `path` (under whose lanes it is found)
                or `number` (in place of each lane's next one).
        """
        item = envelope.items[index]
        told = {
            "hospital": self.address,
            "category": envelope.category,
            "year": envelope.year,
            "media_type": item.media_type,
            "size": item.size,
            "digest": item.digest,
            "stored_at": self.world.now,
            "content_cid": str(content),
            "envelope_cid": str(envelope.cid),
            "content_index": index,
            "generation": self.pairing.generations.epoch,
        }
        path, number = lies.pop("path", envelope.path), lies.pop("number", None)
        patient = lies.pop("patient", self.pairing.patient)
        commitment = lies.pop("commitment", envelope.key.commitment)
        epoch = lies.pop("epoch", None)
        block = header.seal_header(
            RecordInfo(header_cid="", **(told | lies)),
            patient=patient,
            commitment=commitment,
            inventory=inventory_cid,
            head=b"",
            locator_keys=[lane.locator_key for _, lane in path],
            signer=self.seed.signer(),
            epoch=epoch,
        )
        cid = self.put(block)
        self.name(cid, path, number)
        return cid

    def name(self, cid: CID, path: Sequence[tuple[Scope, HospitalLane]], number: int | None = None) -> None:
        """Write rows that name a block in each lane of a path, under its next number or a number of one's own."""
        sequence = len(self.network.manifests_of(self.address)) + 1
        for _, lane in path:
            following = self.following.get(lane.locator_key, 0) if number is None else number
            self.following[lane.locator_key] = following + 1
            self.rows[keys.brief_id(lane.locator_key, sequence, following)] = cid

    def record(self, plain: bytes = BUNDLE, category: Category = Category.LABORATORY, **lies: Any) -> CID:
        """Write a record that is good but for its lies, alone in its envelope, and return its header."""
        envelope = self.envelope(category)
        self.add(envelope, plain)
        return self.seal(envelope, **lies)[0]

    # Publishing

    def publish(self, **lies: Any) -> CID:
        """Put all rows on chain in one storage transaction, and return the manifest's root.

        Args:
            lies: `sequence`, `previous` or `hospital` of the manifest.
        """
        known = self.network.manifests_of(self.address)
        told: dict[str, Any] = {
            "hospital": self.address,
            "sequence": len(known) + 1,
            "previous": CID(DAG_CBOR, known[-1]) if known else None,
        }
        rows: Mapping[bytes, CID] = self.rows or {os.urandom(16): CID.of(RAW, b"nothing")}
        root, blocks = manifest.build(rows, **(told | lies))
        for cid, data in blocks:
            self.store.put_block(cid, data)
        self.commit(root.digest)
        self.rows, self.following = {}, {}
        return root

    def commit(self, digest: bytes) -> None:
        """Put any digest on chain: nobody but it knows whether there is a manifest."""
        sender = self.network.sender(self.seed.account_key())
        self.network.mainchain.ledger.store(sender, digest, 1, signed=lambda *_: None)

    def put(self, block: bytes) -> CID:
        """Store a block, and return its CID."""
        return self._put(CID.of(RAW, block), block)

    def _put(self, cid: CID, block: bytes) -> CID:
        self.store.put_block(cid, block)
        return cid
