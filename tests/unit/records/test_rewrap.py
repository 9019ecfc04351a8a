"""Rotation and re-wrapping at the level of records: what a reader of an old lane finds, and what they find no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import box, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed, address_of, hospital_key
from panachain.errors import BlockNotFoundError, IntegrityError, TooLargeError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.records import PlainRecord
from panachain.model.scope import Category, Generations, Scope, path_of
from panachain.records import header, rewrap
from panachain.records.locate import HospitalHeads, Sought, content_of, locate, locate_all, open_manifests, remaining
from panachain.records.pairing import Pairing, hospital_lane, make_pairing, open_pairing, seal_pairing
from panachain.records.publish import BatchBuilder, PreparedBatch, listed, shorten_list
from panachain.records.versions import PRINT_SIZE, Version
from panachain.storage.embedded import EmbeddedStore

pytestmark = pytest.mark.usefixtures("few_years")

LAB, ALL = Scope.of(Category.LABORATORY), Scope.all()
PATIENT, HOSPITAL = Seed(b"p" * 32), Seed(b"h" * 32)
WHO, WHERE = address_of(PATIENT.account_key()), address_of(HOSPITAL.account_key())


@dataclass
class Trip:
    """One hospital, one patient, one store."""

    store: EmbeddedStore
    manifests: list[bytes] = field(default_factory=list)

    def builder(self) -> BatchBuilder:
        previous = CID(DAG_CBOR, self.manifests[-1]) if self.manifests else None
        sequence = len(self.manifests) + 1
        return BatchBuilder(
            self.store, hospital=WHERE, signer=HOSPITAL.signer(), sequence=sequence, previous=previous, at=1_700_000_000
        )

    def finish(self, builder: BatchBuilder) -> PreparedBatch:
        batch = builder.finish()
        builder.close()
        self.manifests.append(batch.root.digest)
        return batch

    def publish(self, generations: Generations, *contents: bytes) -> PreparedBatch:
        builder = self.builder()
        for part, content in enumerate(contents):
            record = PlainRecord(Category.LABORATORY, 2024, "text/plain", content, b"s" * 32, part)
            builder.add(record, pairing(generations))
        return self.finish(builder)

    def heads(self) -> HospitalHeads:
        return HospitalHeads(WHERE, HOSPITAL.signer().public, tuple(self.manifests))

    def found(self, *lanes: tuple[Scope, int]) -> list[list[header.Header]]:
        sought = [lane_of(*lane) for lane in lanes]
        return locate_all(self.store, self.heads(), open_manifests(self.store, self.heads()), sought)

    def key(self, lane: tuple[Scope, int], found: header.Header) -> EnvelopeKey:
        envelope = self.store.get_block(CID.parse(found.info.envelope_cid))
        message = umbral.unwrap(PATIENT.lane(*lane), header.wrap_at(envelope, found.wrap_index))
        pepper = hospital_key(PATIENT.pepper(*lane), WHERE)
        return EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)

    def opened(self, *lanes: tuple[Scope, int]) -> list[bytes]:
        return [
            content_of(self.store, one, self.key(lane, one)).read()
            for lane, found in zip(lanes, self.found(*lanes), strict=True)
            for one in found
        ]

    def move(self, old: Sequence[header.Header], lane: tuple[Scope, int], generations: Generations) -> PreparedBatch:
        """Re-wrap records as patient and hospital do it together."""
        scopes = path_of(Category.LABORATORY, 2024)
        lanes = [hospital_lane(PATIENT, WHERE, scope, generations.current(scope)) for scope in scopes]
        envelope = header.seal_envelope(self.key(lane, old[0]), lanes)
        moves = [rewrap.Move(CID.parse(one.info.header_cid), one.locator_key, envelope) for one in old]
        keys = {"hospital_key": HOSPITAL.sealing().public, "patient_key": PATIENT.sealing().public}
        order = rewrap.seal_order(moves, signer=PATIENT.signer(), **keys)
        builder = self.builder()
        for move in rewrap.open_order(order, secret=HOSPITAL.sealing(), verifying_key=PATIENT.signer().public):
            known = header.open_header(
                self.store.get_block(move.header),
                cid=move.header,
                hospital=WHERE,
                locator_key=move.locator_key,
                verifying_key=HOSPITAL.signer().public,
            )
            builder.move(known, move.envelope, pairing(generations))
        return self.finish(builder)


def lane_of(scope: Scope, generation: int) -> Sought:
    return Sought(scope, generation, PATIENT.locator_key(scope, generation))


def pairing(generations: Generations) -> Pairing:
    return make_pairing(PATIENT, patient=WHO, hospital=WHERE, last_year=2027, generations=generations)


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    return Trip(EmbeddedStore(tmp_path))


def test_a_rotated_lane_leaves_the_others_as_they_are(trip: Trip) -> None:
    first, second = Generations(), Generations().rotated([LAB])
    trip.publish(first, b"before")
    trip.publish(second, b"after")

    assert trip.opened((LAB, 0)) == [b"before"]
    assert trip.opened((LAB, 1)) == [b"after"]
    assert trip.opened((ALL, 0)) == [b"before", b"after"]


def test_generations_count_rotations() -> None:
    generations = Generations().rotated([LAB]).rotated([ALL]).rotated([LAB, ALL])

    assert (generations.epoch, generations.of(LAB), generations.of(ALL)) == (3, (0, 1, 3), (0, 2, 3))
    assert generations.current(Scope.emergency()) == 0


def test_pairing_opens_for_its_two_readers_and_keeps_the_generations() -> None:
    generations = Generations().rotated([LAB]).rotated([LAB, ALL])
    blob = seal_pairing(
        pairing(generations),
        hospital_key=HOSPITAL.sealing().public,
        patient_key=PATIENT.sealing().public,
        signer=PATIENT.signer(),
    )
    check = {"hospital": WHERE, "patient": WHO, "verifying_key": PATIENT.signer().public}

    for reader in (HOSPITAL, PATIENT):
        opened = open_pairing(blob, secret=reader.sealing(), **check)
        assert opened.generations == generations
        assert dict(opened.lanes) == dict(pairing(generations).lanes)
    with pytest.raises(IntegrityError):
        open_pairing(blob, secret=Seed(b"x" * 32).sealing(), **check)
    with pytest.raises(IntegrityError):
        open_pairing(blob, secret=HOSPITAL.sealing(), **(check | {"verifying_key": HOSPITAL.signer().public}))


def test_a_record_that_was_moved_is_found_once_and_in_its_new_lane(trip: Trip) -> None:
    first, second = Generations(), Generations().rotated([LAB])
    batch = trip.publish(first, b"one", b"two")
    (old,) = trip.found((LAB, 0))
    trip.move(old, (LAB, 0), second)

    assert trip.opened((LAB, 1)) == [b"one", b"two"]
    assert trip.opened((ALL, 0)) == [b"one", b"two"]
    assert trip.opened((LAB, 0), (LAB, 1)) == [b"one", b"two"]
    # Until the hospital deletes the old headers, the old lane still leads to them.
    assert trip.opened((LAB, 0)) == [b"one", b"two"]

    gone = {CID.parse(one.info.header_cid) for one in old} | {CID.parse(old[0].info.envelope_cid)}
    shorter = shorten_list(trip.store, batch.list_cid, gone)
    trip.store.unpin(batch.list_cid)
    trip.store.delete_blocks(gone)

    assert set(listed(trip.store, shorter)) == set(listed(trip.store, batch.list_cid)) - gone
    manifests = open_manifests(trip.store, trip.heads())
    assert remaining(trip.store, trip.heads(), manifests, [lane_of(LAB, 0)]) == []
    assert trip.opened((LAB, 1)) == trip.opened((ALL, 0)) == [b"one", b"two"]
    assert trip.opened((LAB, 0), (LAB, 1)) == [b"one", b"two"]
    with pytest.raises(BlockNotFoundError):
        locate(trip.store, trip.heads(), manifests, lane_of(LAB, 0))


def test_a_record_can_be_moved_again(trip: Trip) -> None:
    first, second = Generations(), Generations().rotated([LAB])
    third = second.rotated([LAB])
    trip.publish(first, b"one")
    (old,) = trip.found((LAB, 0))
    trip.move(old, (LAB, 0), second)
    (newer,) = trip.found((LAB, 1))
    trip.move(newer, (LAB, 1), third)
    for one in (old[0], newer[0]):
        trip.store.delete_blocks([CID.parse(one.info.header_cid), CID.parse(one.info.envelope_cid)])

    assert trip.opened((ALL, 0)) == trip.opened((LAB, 2)) == [b"one"]
    assert trip.opened((LAB, 0), (LAB, 1), (LAB, 2)) == [b"one"]


def test_a_header_that_nothing_stands_for_is_missed(trip: Trip) -> None:
    trip.publish(Generations(), b"one", b"two")
    (found,) = trip.found((LAB, 0))
    trip.store.delete_blocks([CID.parse(found[1].info.header_cid)])

    with pytest.raises(BlockNotFoundError):
        trip.found((LAB, 0))


def test_an_order_is_its_patients(trip: Trip) -> None:
    trip.publish(Generations(), b"one")
    ((found,),) = trip.found((LAB, 0))
    envelope = trip.store.get_block(CID.parse(found.info.envelope_cid))
    move = rewrap.Move(CID.parse(found.info.header_cid), found.locator_key, envelope)
    keys = {"hospital_key": HOSPITAL.sealing().public, "patient_key": PATIENT.sealing().public}
    order = rewrap.seal_order([move], signer=PATIENT.signer(), **keys)

    assert rewrap.open_order(order, secret=HOSPITAL.sealing(), verifying_key=PATIENT.signer().public) == [move]
    for secret, verifying in ((HOSPITAL, HOSPITAL), (Seed(b"x" * 32), PATIENT)):
        with pytest.raises(IntegrityError):
            rewrap.open_order(order, secret=secret.sealing(), verifying_key=verifying.signer().public)
    # What the seal for the other reader holds is that reader's own affair.
    own = [*range(0, box.SEAL_SIZE, 131), *range(2 * box.SEAL_SIZE, len(order), 97)]
    for place in own:
        broken = order[:place] + bytes([order[place] ^ 1]) + order[place + 1 :]
        with pytest.raises(IntegrityError):
            rewrap.open_order(broken, secret=HOSPITAL.sealing(), verifying_key=PATIENT.signer().public)


def test_an_order_says_what_lies_in_the_emergency_lane_by_itself_and_older_programs_refuse_it(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip.publish(Generations(), b"one", b"two")
    (found,) = trip.found((LAB, 0))
    envelope = trip.store.get_block(CID.parse(found[0].info.envelope_cid))
    one, other = (rewrap.Move(CID.parse(each.info.header_cid), each.locator_key, envelope) for each in found)
    keys = {"hospital_key": HOSPITAL.sealing().public, "patient_key": PATIENT.sealing().public}
    moves = [one, replace(other, emergency=True)]
    order = rewrap.seal_order(moves, signer=PATIENT.signer(), **keys)
    reading = {"secret": HOSPITAL.sealing(), "verifying_key": PATIENT.signer().public}
    assert rewrap.open_order(order, **reading) == moves
    # A program that knows the other version alone.
    monkeypatch.setattr(rewrap, "_WITH_EMERGENCY", rewrap._VERSION)
    with pytest.raises(IntegrityError):
        rewrap.open_order(order, **reading)


CONTENT = CID.of(RAW, b"content")
RESEAL = rewrap.Reseal(
    Category.PRIVATE,
    Scope.of(Category.LABORATORY, 2024),
    b"k" * 32,
    {CONTENT: False, CID.of(RAW, b"file"): True},
    emergency=True,
    names=frozenset({rewrap.name_of(Version("Observation/o1")), rewrap.name_of(Version("Observation/o2"))}),
    digests=frozenset({b"d" * 32}),
    here=(Version("Observation/o1", "2", "2024-01-01T00:00:00Z", print=bytes(PRINT_SIZE)),),
)
TO = {"hospital_key": HOSPITAL.sealing().public, "patient_key": PATIENT.sealing().public}
READING = {"secret": HOSPITAL.sealing(), "verifying_key": PATIENT.signer().public}


def test_an_order_to_re_seal_says_what_goes_where_to_both_and_nobody_else() -> None:
    order = rewrap.seal_reseal(RESEAL, signer=PATIENT.signer(), **TO)
    assert rewrap.open_order(order, **READING) == RESEAL
    assert rewrap.open_order(order, secret=PATIENT.sealing(), verifying_key=PATIENT.signer().public) == RESEAL
    with pytest.raises(IntegrityError):
        rewrap.open_order(order, secret=Seed(b"x" * 32).sealing(), verifying_key=PATIENT.signer().public)
    with pytest.raises(IntegrityError):
        rewrap.open_order(order, secret=HOSPITAL.sealing(), verifying_key=HOSPITAL.signer().public)
    assert b"k" * 32 not in repr(RESEAL).encode()


ERASE = replace(RESEAL, to=None)


def test_an_order_to_erase_says_what_and_to_both_and_nobody_else() -> None:
    order = rewrap.seal_reseal(ERASE, signer=PATIENT.signer(), **TO)
    assert rewrap.open_order(order, **READING) == ERASE
    with pytest.raises(IntegrityError):
        rewrap.open_order(order, secret=Seed(b"x" * 32).sealing(), verifying_key=PATIENT.signer().public)


@pytest.mark.parametrize(("version", "to"), [(5, None), (6, "private")])
def test_neither_kind_of_order_is_taken_for_the_other(version: int, to: str | None) -> None:
    fields = {"v": version, "to": to, "scope": "laboratory/2024", "key": b"k" * 32, "leaves": [[CONTENT, False]]}
    fields |= {"emergency": False, "names": b"", "digests": b"", "here": [], "there": []}
    block = rewrap._sealed(dagcbor.encode(fields), list(TO.values()), PATIENT.signer())
    with pytest.raises(IntegrityError):
        rewrap.open_order(block, **READING)


def test_of_two_wishes_about_the_same_the_later_one_counts() -> None:
    both = RESEAL.names | RESEAL.digests
    assert rewrap.Wishes.of([RESEAL, ERASE]).erased == both
    assert rewrap.Wishes.of([ERASE, RESEAL]).erased == frozenset()
    assert rewrap.Wishes.of([ERASE, RESEAL]).names == dict.fromkeys(RESEAL.names, Category.PRIVATE)


def test_an_order_that_no_block_holds_is_refused() -> None:
    names = frozenset(number.to_bytes(16, "big") for number in range(70_000))
    with pytest.raises(TooLargeError):
        rewrap.seal_reseal(replace(RESEAL, names=names), signer=PATIENT.signer(), **TO)


@pytest.mark.parametrize(
    "change",
    [
        {"to": "nowhere"},
        {"to": 5},
        {"scope": "laboratory"},
        {"scope": "all"},
        {"scope": "laboratory/02"},
        {"key": b"short"},
        {"key": "k" * 32},
        {"leaves": []},
        {"leaves": [[CONTENT]]},
        {"leaves": [[CONTENT, 1]]},
        {"leaves": [[b"content", True]]},
        {"leaves": [[CID.of(DAG_CBOR, b"x"), True]]},
        {"emergency": 1},
        {"names": b"short"},
        {"names": ["Observation/o1"]},
        {"digests": b"d" * 31},
        {"here": [[0, False, [], "Observation/o1", b""]]},
        {"there": 5},
    ],
)
def test_an_order_to_re_seal_that_is_malformed_is_refused(change: dict[str, Any]) -> None:
    fields = {"v": 5, "to": "private", "scope": "laboratory/2024", "key": b"k" * 32, "leaves": [[CONTENT, False]]}
    fields |= {"emergency": False, "names": b"", "digests": b"", "here": [], "there": []}

    def sealed(body: Any) -> bytes:
        return rewrap._sealed(dagcbor.encode(body), list(TO.values()), PATIENT.signer())

    assert isinstance(rewrap.open_order(sealed(fields), **READING), rewrap.Reseal)
    with pytest.raises(IntegrityError):
        rewrap.open_order(sealed(fields | change), **READING)
    for name in fields:
        with pytest.raises(IntegrityError):
            rewrap.open_order(sealed({key: value for key, value in fields.items() if key != name}), **READING)


def test_of_two_wishes_about_the_same_the_later_counts() -> None:
    name = rewrap.name_of(Version("Observation/o1"))
    wishes = rewrap.Wishes.of([RESEAL, replace(RESEAL, to=Category.GENDER, names=frozenset({name}))])
    assert wishes.names[name] is Category.GENDER
    assert wishes.names[rewrap.name_of(Version("Observation/o2"))] is Category.PRIVATE
    assert wishes.digests == {b"d" * 32: Category.GENDER}
