"""After revocation and rotation nothing new opens, for a reader who kept everything and colludes with all proxies.

The reader has the receiving key, the terms, and every kfrag that was ever deposited for it; so it computes the secret
keys of the lanes that were once granted (security rule 2). It tries them on every wrap of every envelope in the store,
cfrags of all kfrags on some of them, and its locator keys on every slot of every header under every key of every
manifest. It is told every envelope key's commitment for nothing, so that its peppers of the lanes take the mask off
whatever wrap opens.
Each claim has its control: without the rotation, or before the re-wrapping, the same attack opens everything.
Follows design section 8 (Revoke, R3 and R4).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from panachain.crypto import keys, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import Terms
from panachain.records import header
from panachain.records.locate import content_of, open_manifests
from tests.twin.world import THRESHOLD, World, resource, running_world, seed_of
from tests.unit.crypto import umbral_oracle as oracle

SCOPE = ("laboratory", "vitals")
NEW, OLD = 500, 200
BATCH = 10
"""Records of one batch: each has envelopes of its own, one for each category and year in it."""
SAMPLED = 25
"""Envelopes whose wraps are tried with cfrags too, which takes longer and gives what the secret keys give."""


@dataclass
class Loot:
    """What reader and proxies have together."""

    reader: umbral.SecretKey
    terms: Terms
    kfrags: list[list[bytes]]
    """For each lane of the terms, those of all proxies."""
    secrets: list[umbral.SecretKey] = field(default_factory=list)
    """Of the lanes."""

    def __post_init__(self) -> None:
        scalar = int.from_bytes(self.reader.reveal(), "big")
        for lane, shares in zip(self.terms.lanes, self.kfrags, strict=True):
            some = [oracle.Kfrag.parse(share) for share in shares[:THRESHOLD]]
            secret = umbral.SecretKey.from_bytes(oracle.lane_secret(some, scalar).to_bytes(32, "big"))
            assert secret.public == lane.delegating_key
            self.secrets.append(secret)

    def messages_by_secrets(self, envelopes: Sequence[bytes]) -> set[bytes]:
        """Return what the lanes' secret keys find in wraps: envelope keys, masked."""
        tried = itertools.product(envelopes, range(header.SLOTS), self.secrets)
        return {key for envelope, slot, secret in tried if (key := _unwrap(secret, header.wrap_at(envelope, slot)))}

    def messages_by_cfrags(self, envelopes: Sequence[bytes]) -> set[bytes]:
        """Return what comes of re-encrypting wraps with the kfrags, as the proxies do it."""
        found = set()
        for lane, shares in zip(self.terms.lanes, self.kfrags, strict=True):
            given = {"verifying": self.terms.verifying_key, "delegating": lane.delegating_key}
            with_reader = given | {"receiving": self.reader.public}
            checked = [umbral.check_kfrag(share, **with_reader) for share in shares]
            for envelope, slot in itertools.product(envelopes, range(header.SLOTS)):
                wrap = header.wrap_at(envelope, slot)
                capsule = umbral.capsule_of(wrap)
                cfrags = [umbral.reencrypt(capsule, kfrag, **with_reader) for kfrag in checked]
                for some in itertools.combinations(cfrags, THRESHOLD):
                    try:
                        found.add(
                            umbral.unwrap_reencrypted(self.reader, wrap, list(some), threshold=THRESHOLD, **given)
                        )
                    except IntegrityError:
                        continue
        return found

    def keys(self, world: World, messages: set[bytes], wanted: Collection[bytes]) -> set[bytes]:
        """Return those of some envelope keys that come out of messages, given the keys' commitments."""
        peppers = [
            keys.hospital_key(lane.pepper, heads.hospital)
            for heads in world.network.hospital_heads()
            for lane in self.terms.lanes
        ]
        return {key for key in wanted if any(EnvelopeKey(key).masked(pepper) in messages for pepper in peppers)}

    def headers(self, world: World) -> dict[str, tuple[int, header.Header]]:
        """Return the headers in the store of which a slot opens, with the number of a lane, by their contents' CIDs."""
        return {
            one.info.content_cid: (number, one)
            for number, lane in enumerate(self.terms.lanes)
            for one in _headers(world, [lane.locator_key])
        }

    def content(self, world: World, number: int, found: header.Header) -> bytes | None:
        """Open a record as far as its header leads: by its wrap, the lane's secret key and the lane's pepper."""
        store, pepper = world.network.store, keys.hospital_key(self.terms.lanes[number].pepper, found.info.hospital)
        message = _unwrap(
            self.secrets[number], header.wrap_at(store.get_block(CID.parse(found.info.envelope_cid)), found.wrap_index)
        )
        if message is None:
            return None
        key = EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)
        return content_of(store, found, key).read()


def _unwrap(secret: umbral.SecretKey, wrap: bytes) -> bytes | None:
    try:
        return umbral.unwrap(secret, wrap)
    except IntegrityError:
        return None


def _headers(world: World, locators: Sequence[bytes]) -> Iterator[header.Header]:
    store = world.network.store
    for heads in map(world.network.heads_of, world.network.mainchain.actors.find(Role.HOSPITAL)):
        own = [keys.hospital_key(locator, heads.hospital) for locator in locators]
        rows = [row for manifest in open_manifests(store, heads) for row in manifest.rows()]
        for (_, cid), locator_key in itertools.product(rows, own):
            if not store.has_block(cid):
                continue
            try:
                yield header.open_header(
                    store.get_block(cid),
                    cid=cid,
                    hospital=heads.hospital,
                    locator_key=locator_key,
                    verifying_key=heads.verifying_key,
                )
            except IntegrityError:
                continue


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def envelopes(world: World) -> list[bytes]:
    """Return every envelope in the store: nobody knows whose it is, but anybody can try."""
    blocks = [data for data, _ in world.network.store.held.values()]
    return [data for data in blocks if len(data) == header.ENVELOPE_SIZE and data[0] == header.ENVELOPE_VERSION]


def publish(world: World, count: int) -> dict[str, bytes]:
    """Publish records of all years of the scope; return the envelope key of each new one by its content's CID."""
    before = set(truth(world))
    for number in range(0, count, BATCH):
        first = len(before) + number
        world.upload_each(
            "hospital", [resource(SCOPE[n % 2], (0, 2024, 2025)[n % 3], n) for n in range(first, first + BATCH)]
        )
    new = {cid: key for cid, key in truth(world).items() if cid not in before}
    assert len(new) == count
    return new


def truth(world: World) -> dict[str, bytes]:
    """Return the envelope key of each record, as its patient knows it."""
    return {
        one.info.content_cid: own.envelope_keys[one.info.envelope_cid]
        for own in world.patient._lanes.headers()
        for one in own.headers
    }


def granted(world: World) -> tuple[PolicyId, Loot]:
    """Grant the scope to the clinician; return what they and all proxies have of it from then on."""
    made = world.patient.grant(world.clinician.address, SCOPE, until=world.now + 10_000)
    _, terms = world.clinician.terms_of(made.policy_id)
    kfrags = []
    for number in range(len(terms.lanes)):
        held = [proxy.store.kfrag(made.policy_id, number) for proxy in world.proxies]
        kfrags.append([one.kfrag for one in held if one is not None])
    return made.policy_id, Loot(seed_of("clinician").receiving(), terms, kfrags)


def opened(world: World, loot: Loot, records: dict[str, bytes]) -> tuple[int, int, int]:
    """Attack; return how many records' keys were found, how many of their headers, and how many contents were read."""
    everything = envelopes(world)
    found = loot.keys(world, loot.messages_by_secrets(everything), set(records.values()))
    sample = random.Random(1).sample(everything, min(SAMPLED, len(everything)))
    assert loot.messages_by_cfrags(sample) == loot.messages_by_secrets(sample)
    headers = loot.headers(world)
    readable = [cid for cid in records if cid in headers and loot.content(world, *headers[cid])]
    return sum(key in found for key in records.values()), len(records.keys() & headers.keys()), len(readable)


@pytest.mark.deep
def test_after_the_rotation_colluders_open_none_of_500_new_records(world: World) -> None:
    policy_id, loot = granted(world)
    report = world.patient.revoke(policy_id, rotate=True)
    assert report.final
    assert report.rotated

    assert opened(world, loot, publish(world, NEW)) == (0, 0, 0)


@pytest.mark.deep
def test_without_the_rotation_colluders_open_all_500_new_records(world: World) -> None:
    policy_id, loot = granted(world)
    assert world.patient.revoke(policy_id).final

    assert opened(world, loot, publish(world, NEW)) == (NEW, NEW, NEW)


@pytest.mark.deep
def test_after_the_rewrapping_colluders_open_none_of_200_old_records_that_were_never_opened(world: World) -> None:
    old = publish(world, OLD)
    policy_id, loot = granted(world)
    world.patient.revoke(policy_id, rotate=True)
    # The control: until the hospital has moved them, they all open.
    assert opened(world, loot, old) == (OLD, OLD, OLD)

    assert world.hospital.rewrap().deleted == OLD

    assert world.patient.revocation(policy_id).stage == "headers re-wrapped"
    assert opened(world, loot, old) == (0, 0, 0)
    assert truth(world) == old
