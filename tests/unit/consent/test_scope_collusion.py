"""Scope: a reader who colludes with all proxies opens the granted lanes' records, and nothing else (design section 3).

Some patients' records of every category, of several years, from two hospitals, before and after each patient rotated
some lanes; then a thousand random grants. For each, the reader takes what the terms tell and the kfrags of all
proxies, computes the lanes' secret keys (security rule 2), and tries them on every wrap of every envelope in the store,
the peppers on what the wraps hold, and the locator keys on every header under every key of every manifest. What opens
must be what a model says, written anew here: not less, not more.

What one lane's key opens in the whole store is computed once for each key and kept, since many grants name the same
lane: each grant computes its keys anew. Trying every wrap with cfrags takes seconds for one grant;
that is done, by the wrapper's own path, for one grant; for one in `EVERY` for all wraps of some random envelopes;
and for each grant for `SHOWN` wraps inside its scope and as many anywhere. It must give what the secret keys give.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pytest

from panachain.consent.grant import PreparedGrant, prepare_grant
from panachain.consent.offer import Offer
from panachain.consent.terms import open_terms
from panachain.crypto import keys, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.policy import ProxyRef, Terms
from panachain.model.records import PlainRecord
from panachain.model.scope import Category, Generations, Purpose, Scope
from panachain.records import header
from panachain.records.locate import HospitalHeads, content_of, locate_all, open_manifests
from panachain.records.pairing import Pairing, make_pairing
from panachain.records.publish import BatchBuilder
from tests import oracles
from tests.unit.crypto import umbral_oracle as oracle
from tests.unit.storage.memory_store import MemoryStore

nucypher_core, library = oracles.nucypher()

GRANTS = 1000
FEW_GRANTS = 8
EVERY = 20
SHOWN = 1
ENVELOPES = 2
"""Random envelopes of which a sampled grant tries all wraps with all cfrags."""
YEARS = (0, 2021)
PROXIES = 3

# What would change with the interfaces of records/ and consent/ stands in these three functions.


def paired(patient: Patient, hospital: Hospital) -> Pairing:
    return make_pairing(
        patient.seed,
        patient=patient.address,
        hospital=hospital.address,
        last_year=max(YEARS),
        generations=patient.generations[-1],
    )


def published(
    store: MemoryStore, hospital: Hospital, batch: Sequence[tuple[Patient, PlainRecord]]
) -> list[tuple[str, str]]:
    """Publish one batch; return the CIDs of its records' headers and envelopes, in the order of the batch."""
    builder = BatchBuilder(
        store,
        hospital=hospital.address,
        signer=hospital.seed.signer(),
        sequence=len(hospital.manifests) + 1,
        previous=CID(DAG_CBOR, hospital.manifests[-1]) if hospital.manifests else None,
        at=1_700_000_000,
    )
    pairings: dict[Address, Pairing] = {}
    for patient, record in batch:
        if patient.address not in pairings:
            pairings[patient.address] = paired(patient, hospital)
        builder.add(record, pairings[patient.address])
    done = builder.finish()
    builder.close()
    hospital.manifests.append(done.root.digest)
    by_source = {
        entry.source: (one.info.header_cid, one.info.envelope_cid)
        for entry, one in zip(done.journal_records, done.records, strict=True)
    }
    return [by_source[record.source] for _, record in batch]


def granted(patient: Patient, reader: Actor, scopes: Sequence[Scope], epoch: int, index: int) -> PreparedGrant:
    return prepare_grant(
        patient.seed,
        Offer(
            grantee=reader,
            scopes=tuple(scopes),
            purposes=(Purpose.TREAT,),
            starts_at=0,
            expires_at=1,
            threshold=2,
            proxies=(ProxyRef(reader.address, "", reader.key_digest),) * PROXIES,
        ),
        index=index,
        patient=patient.address,
        generations=patient.generations[epoch],
    )


@dataclass
class Patient:
    seed: Seed
    address: Address
    generations: list[Generations]
    """After each epoch's rotation."""
    rotated: frozenset[Scope]
    """The lanes that the one rotation renews."""


@dataclass
class Hospital:
    seed: Seed
    address: Address
    manifests: list[bytes] = field(default_factory=list)

    @cached_property
    def verifying(self) -> bytes:
        return self.seed.signer().public

    @property
    def heads(self) -> HospitalHeads:
        return HospitalHeads(self.address, self.verifying, tuple(self.manifests))


@dataclass(frozen=True)
class Published:
    """What the model knows of a record."""

    patient: Address
    category: str
    year: int
    epoch: int
    content: bytes
    envelope: str


def covers(scope: str, record: Published) -> bool:
    """Tell whether a scope covers a record, as design section 4 says it, and not as the code does."""
    if scope == "all":
        closed = {"mental-health", "substance-use", "sexual-health", "gender", "violence", "private"}
        return record.category not in closed
    if scope == "emergency":
        return record.category in {"allergies", "medications", "conditions", "immunizations", "demographics"}
    return scope in (record.category, f"{record.category}/{record.year}")


@dataclass
class World:
    store: MemoryStore
    patients: list[Patient]
    hospitals: list[Hospital]
    records: dict[str, Published]
    """By the CID of the header."""
    rows: list[tuple[Hospital, CID]]
    """The header of every row of every manifest."""
    envelopes: dict[str, bytes]
    """By CID."""
    kits: dict[tuple[str, int], nucypher_core.MessageKit] = field(default_factory=dict)
    """Each wrap of each envelope, read once."""
    opened_by_locator: dict[bytes, dict[str, header.Header]] = field(default_factory=dict)
    opened_by_secret: dict[bytes, dict[tuple[str, int], bytes]] = field(default_factory=dict)
    contents: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    def model(self, patient: Patient, scopes: Sequence[Scope], epoch: int) -> set[str]:
        """Return the headers of the records that a grant at this epoch covers."""
        return {
            cid
            for cid, record in self.records.items()
            if record.patient == patient.address
            and any(
                # Before the rotation nobody was given a lane that it began.
                covers(scope.text, record) and (epoch >= record.epoch or scope not in patient.rotated)
                for scope in scopes
            )
        }

    def headers(self, locator_key: bytes) -> dict[str, header.Header]:
        """Try one locator key on every header."""
        if locator_key not in self.opened_by_locator:
            found: dict[str, header.Header] = {}
            own_keys = [keys.hospital_key(locator_key, hospital.address) for hospital in self.hospitals]
            for hospital, cid in self.rows:
                for own_key in own_keys:
                    try:
                        found[str(cid)] = header.open_header(
                            self.store.get_block(cid),
                            cid=cid,
                            hospital=hospital.address,
                            locator_key=own_key,
                            verifying_key=hospital.verifying,
                        )
                    except IntegrityError:
                        continue
            self.opened_by_locator[locator_key] = found
        return self.opened_by_locator[locator_key]

    def messages(self, secret: bytes) -> dict[tuple[str, int], bytes]:
        """Try one lane's secret key on every wrap of every envelope."""
        if secret not in self.opened_by_secret:
            lane = library.SecretKey.from_be_bytes(secret)
            found: dict[tuple[str, int], bytes] = {}
            for where, kit in self.kits.items():
                try:
                    found[where] = kit.decrypt(lane)
                except ValueError:
                    continue
            self.opened_by_secret[secret] = found
        return self.opened_by_secret[secret]

    def content(self, found: header.Header, envelope_key: bytes) -> bytes:
        """Open one record's content."""
        which = found.info.header_cid, envelope_key
        if which not in self.contents:
            self.contents[which] = content_of(self.store, found, EnvelopeKey(envelope_key)).read()
        return self.contents[which]


def random_scopes(source: random.Random) -> list[Scope]:
    """Return one to five scopes; wide ones are rare, or every grant would cover nearly everything."""
    chosen: set[Scope] = set()
    for _ in range(source.randint(1, 5)):
        category = source.choice(list(Category))
        kind = source.random()
        if kind < 0.05:
            chosen.add(source.choice([Scope.all(), Scope.emergency()]))
        elif kind < 0.4:
            chosen.add(Scope.of(category))
        else:
            # 1999: a lane without a record.
            chosen.add(Scope.of(category, source.choice([*YEARS, 1999])))
    return sorted(chosen)


def actor(seed: Seed) -> Actor:
    address = keys.address_of(seed.account_key())
    return Actor.of(address, Role.PRACTITIONER, seed.public_keys(), status=Status.ACTIVE)


@pytest.fixture(scope="module")
def world() -> World:
    source = random.Random("scope")
    hospitals = [Hospital(seed, keys.address_of(seed.account_key())) for seed in seeds(source, 2)]
    patients = []
    for seed in seeds(source, 2):
        rotated = frozenset(scope for _ in range(8) for scope in random_scopes(source)) | {Scope.all()}
        patients.append(Patient(seed, keys.address_of(seed.account_key()), [Generations()], rotated))
    built = World(MemoryStore(), patients, hospitals, {}, [], {})
    everything = [(category, year) for category in Category for year in YEARS]
    for epoch in range(2):
        for hospital in hospitals:
            batch: list[tuple[Patient, PlainRecord]] = []
            for patient in patients:
                wanted = everything if (epoch, hospital) == (0, hospitals[0]) else source.sample(everything, 12)
                for category, year in wanted + source.sample(wanted, 5):
                    content = source.randbytes(40)
                    plain = PlainRecord(category, year, "application/pdf", content, source.randbytes(32))
                    batch.append((patient, plain))
            for (cid, envelope), (patient, plain) in zip(published(built.store, hospital, batch), batch, strict=True):
                assert isinstance(plain.content, bytes)
                built.records[cid] = Published(
                    patient.address, plain.category.value, plain.year, epoch, plain.content, envelope
                )
        for patient in patients if epoch == 0 else ():
            patient.generations.append(patient.generations[-1].rotated(patient.rotated))
    look_around(built)
    return built


def seeds(source: random.Random, count: int) -> Iterator[Seed]:
    return (Seed(source.randbytes(32)) for _ in range(count))


def look_around(world: World) -> None:
    """Note every row of every manifest, and every envelope, as anybody can who has the store and knows the CIDs."""
    for hospital in world.hospitals:
        for manifest in open_manifests(world.store, hospital.heads):
            world.rows += [(hospital, cid) for _, cid in manifest.rows()]
    world.envelopes = {
        str(cid): data
        for cid, (data, _) in world.store.held.items()
        if len(data) == header.ENVELOPE_SIZE and data[0] == header.ENVELOPE_VERSION
    }
    world.kits = {
        (cid, index): nucypher_core.MessageKit.from_bytes(header.wrap_at(envelope, index)[1:])
        for cid, envelope in world.envelopes.items()
        for index in range(header.SLOTS)
    }


@dataclass
class Loot:
    """What a reader and all proxies have together."""

    terms: Terms
    shares: list[list[bytes]]
    """For each lane of the terms, the kfrags of all proxies."""
    secrets: list[bytes]
    """For each lane, its secret key."""
    headers: dict[str, header.Header]
    messages: dict[str, list[tuple[bytes, bytes]]]
    """What an envelope's wraps hold, each with the pepper of the lane whose secret key opened it."""

    def records(self, world: World) -> dict[str, bytes]:
        """Open the content of every header that is open, with each message of its envelope."""
        opened = {}
        for cid, found in self.headers.items():
            for lane_pepper, message in self.messages.get(found.info.envelope_cid, ()):
                pepper = keys.hospital_key(lane_pepper, found.info.hospital)
                key = EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)
                opened[cid] = world.content(found, key.key)
        return opened


def terms_of(world: World, reader: Seed, prepared: PreparedGrant) -> Terms:
    """Return the terms as the reader opens and checks them."""
    opened = open_terms(prepared.sealed_terms, reader.sealing())
    patient = next(one for one in world.patients if one.address == opened.claimed_patient)
    return opened.verified(policy_id=prepared.terms.policy_id, patient_verifying_key=patient.seed.signer().public)


def collude(world: World, reader: Seed, prepared: PreparedGrant, source: random.Random) -> Loot:
    terms = terms_of(world, reader, prepared)
    scalar = int.from_bytes(reader.receiving().reveal(), "big")
    loot = Loot(terms, [], [], {}, {})
    for number, lane in enumerate(terms.lanes):
        shares = [proxy[number] for proxy in prepared.kfrags]
        two = [oracle.Kfrag.parse(kfrag) for kfrag in source.sample(shares, 2)]
        loot.shares.append(shares)
        loot.secrets.append(oracle.lane_secret(two, scalar).to_bytes(32, "big"))
        loot.headers |= world.headers(lane.locator_key)
        for (cid, _), message in world.messages(loot.secrets[-1]).items():
            loot.messages.setdefault(cid, []).append((lane.pepper, message))
    return loot


def by_cfrags(world: World, reader: Seed, loot: Loot, lane: int, where: tuple[str, int]) -> bytes | None:
    """Open one wrap as a reader does, with the cfrags of the last two proxies."""
    wrap = header.wrap_at(world.envelopes[where[0]], where[1])
    delegating = loot.terms.lanes[lane].delegating_key
    named = {"verifying": loot.terms.verifying_key, "delegating": delegating}
    receiving = loot.terms.receiving_key
    kfrags = [umbral.check_kfrag(kfrag, **named, receiving=receiving) for kfrag in loot.shares[lane][-2:]]
    cfrags = [umbral.reencrypt(umbral.capsule_of(wrap), kfrag, **named, receiving=receiving) for kfrag in kfrags]
    try:
        return umbral.unwrap_reencrypted(reader.receiving(), wrap, cfrags, **named, threshold=2)
    except IntegrityError:
        return None


def check_cfrags(world: World, reader: Seed, loot: Loot, wraps: Iterable[tuple[int, tuple[str, int]]]) -> None:
    """Check that kfrags open a wrap if and only if the lane's secret key does."""
    for lane, where in wraps:
        expected = world.messages(loot.secrets[lane]).get(where)
        assert by_cfrags(world, reader, loot, lane, where) == expected


def inside_and_outside(world: World, loot: Loot, source: random.Random) -> Iterator[tuple[int, tuple[str, int]]]:
    for lane in source.choices(range(len(loot.secrets)), k=SHOWN):
        opened = sorted(world.messages(loot.secrets[lane]))
        if opened:
            yield lane, source.choice(opened)
        yield lane, (source.choice(sorted(world.envelopes)), source.randrange(header.SLOTS))


def located(world: World, loot: Loot) -> set[str]:
    """Return what an honest reader finds by walking the lanes' numbers."""
    lanes = loot.terms.lanes
    return {
        found.info.header_cid
        for hospital in world.hospitals
        for lane in locate_all(world.store, hospital.heads, open_manifests(world.store, hospital.heads), lanes)
        for found in lane
    }


def wraps_of(envelopes: Iterable[str], lanes: int) -> Iterator[tuple[int, tuple[str, int]]]:
    return ((lane, (cid, index)) for cid in envelopes for index in range(header.SLOTS) for lane in range(lanes))


def test_the_world_is_what_the_tests_take_it_for(world: World) -> None:
    assert {record.category for record in world.records.values()} == {category.value for category in Category}
    assert {record.epoch for record in world.records.values()} == {0, 1}
    assert {str(cid) for _, cid in world.rows} == set(world.records)
    assert set(world.envelopes) == {record.envelope for record in world.records.values()}
    assert len(world.envelopes) > 100
    assert all(len(patient.rotated) > 5 for patient in world.patients)


@pytest.mark.parametrize("grants", [FEW_GRANTS, pytest.param(GRANTS, marks=pytest.mark.deep)])
def test_a_reader_who_colludes_with_all_proxies_opens_the_granted_lanes_and_nothing_else(
    world: World, grants: int
) -> None:
    source = random.Random("grants")
    readers = [(seed, actor(seed)) for seed in seeds(source, 3)]
    sizes = []
    for number in range(grants):
        patient, (reader, who) = source.choice(world.patients), source.choice(readers)
        scopes, epoch = random_scopes(source), source.randrange(2)
        loot = collude(world, reader, granted(patient, who, scopes, epoch, number), source)

        expected = world.model(patient, scopes, epoch)
        assert set(loot.headers) == expected, (number, scopes, epoch)
        assert set(loot.messages) == {world.records[cid].envelope for cid in expected}, (number, scopes, epoch)
        assert loot.records(world) == {cid: world.records[cid].content for cid in expected}
        check_cfrags(world, reader, loot, inside_and_outside(world, loot, source))
        if number % EVERY == 0:
            assert located(world, loot) == expected
            some = source.sample(sorted(world.envelopes), ENVELOPES)
            check_cfrags(world, reader, loot, wraps_of(some, len(loot.secrets)))
        sizes.append(len(expected))
    assert len(set(sizes)) > 1
    assert 0 < max(sizes) < len(world.records)
    if grants == GRANTS:
        # They differ: some open nothing, some a lot.
        assert min(sizes) == 0
        assert max(sizes) > len(world.records) / 4
        assert len(set(sizes)) > 20


def test_every_wrap_of_the_store_tried_with_cfrags_gives_what_the_secret_key_gives(world: World) -> None:
    source = random.Random("all")
    (reader,) = seeds(source, 1)
    prepared = granted(world.patients[0], actor(reader), [Scope.of(Category.ALLERGIES)], 0, 0)
    loot = collude(world, reader, prepared, source)
    assert world.messages(loot.secrets[0])
    check_cfrags(world, reader, loot, wraps_of(world.envelopes, len(loot.secrets)))


def test_terms_tell_of_the_granted_lanes_only(world: World) -> None:
    source = random.Random("terms")
    (reader,) = seeds(source, 1)
    patient = world.patients[0]
    for epoch in range(2):
        scopes = [Scope.all(), Scope.of(Category.GENOMICS, 2021)]
        terms = terms_of(world, reader, granted(patient, actor(reader), scopes, epoch, epoch))
        begun = [(scope, number) for scope in scopes for number in range(epoch + 1)]
        known = [(lane.scope, lane.generation) for lane in terms.lanes]
        assert known == [(scope, number) for scope, number in begun if number == 0 or scope in patient.rotated]


def test_a_reader_of_before_the_rotation_opens_none_of_the_rotated_lanes_new_records(world: World) -> None:
    source = random.Random("rotation")
    (reader,) = seeds(source, 1)
    for patient in world.patients:
        loot = collude(world, reader, granted(patient, actor(reader), sorted(patient.rotated), 0, 0), source)
        new = {cid for cid, record in world.records.items() if record.epoch == 1}
        assert loot.headers
        assert not new & set(loot.headers)
        assert not {world.records[cid].envelope for cid in new} & set(loot.messages)


def test_a_lane_too_much_would_be_noticed(world: World) -> None:
    """The control: the same comparison fails for a reader who was given one lane more than the model says."""
    source = random.Random("control")
    (reader,) = seeds(source, 1)
    patient = world.patients[0]
    scopes = [Scope.of(Category.IMAGING), Scope.of(Category.INSURANCE, 2021)]
    loot = collude(world, reader, granted(patient, actor(reader), scopes, 0, 0), source)
    assert set(loot.headers) == world.model(patient, scopes, 0)
    assert set(loot.headers) > world.model(patient, scopes[:1], 0)
    assert set(loot.records(world)) > world.model(patient, scopes[:1], 0)
