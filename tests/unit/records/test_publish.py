"""Publish: a batch of any patients is complete, found by each lane, and holds nothing of what it was made from."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain import beside
from panachain.crypto import signatures as signatures_module
from panachain.crypto import umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed, address_of, hospital_key
from panachain.crypto.signatures import Signatures
from panachain.errors import (
    BlockNotFoundError,
    InputError,
    IntegrityError,
    PanaChainError,
    StoreUnavailableError,
    UsageError,
)
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address
from panachain.model.records import FileContent, PlainRecord, RecordInfo
from panachain.model.scope import Category, Scope
from panachain.records import header, publish, word_list
from panachain.records import locate as locate_module
from panachain.records.findings import Findings
from panachain.records.locate import (
    HospitalHeads,
    Sought,
    check_envelope,
    content_of,
    locate,
    locate_all,
    open_manifests,
)
from panachain.records.manifest import Manifest
from panachain.records.pairing import Pairing, make_pairing
from panachain.records.publish import BatchBuilder, PreparedBatch
from panachain.records.split import MEDIA_TYPE
from panachain.secp256k1 import ORDER
from panachain.storage.embedded import EmbeddedStore

pytestmark = pytest.mark.usefixtures("few_years")

LAB, VITALS = Category.LABORATORY, Category.VITALS


def record(content: bytes | FileContent, category: Category = LAB, year: int = 2020, part: int = 0) -> PlainRecord:
    return PlainRecord(category, year, "application/pdf", content, os.urandom(32), part)


@dataclass
class Clinic:
    """A hospital that publishes, and its patients."""

    store: EmbeddedStore
    seed: Seed = field(default_factory=Seed.random)
    manifests: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> Address:
        return address_of(self.seed.account_key())

    def pairing(self, patient: Seed) -> Pairing:
        who = address_of(patient.account_key())
        return make_pairing(patient, patient=who, hospital=self.address, last_year=2027)

    def builder(self) -> BatchBuilder:
        previous = CID(0x71, self.manifests[-1]) if self.manifests else None
        return BatchBuilder(
            self.store,
            hospital=self.address,
            signer=self.seed.signer(),
            sequence=len(self.manifests) + 1,
            previous=previous,
            at=1_700_000_000,
        )

    def publish(self, *records: tuple[Seed, PlainRecord], gap: int = 0) -> PreparedBatch:
        """Publish a batch; each lane's numbers begin at `gap`, as no honest hospital's do."""
        builder = self.builder()
        builder._rows._following.default_factory = lambda: gap
        for patient, plain in records:
            pairing = self.pairing(patient)
            builder.add(plain, pairing)
        batch = builder.finish()
        builder.close()
        self.manifests.append(batch.root.digest)
        return batch

    def headers(self, patient: Seed, scope: Scope) -> list[header.Header]:
        heads = HospitalHeads(self.address, self.seed.signer().public, tuple(self.manifests))
        lane = Sought(scope, 0, patient.locator_key(scope, 0))
        return list(locate(self.store, heads, open_manifests(self.store, heads), lane))

    def opened(self, patient: Seed, scope: Scope) -> list[bytes]:
        found = self.headers(patient, scope)
        return [content_of(self.store, one, self.key(patient, scope, one)).read() for one in found]

    def key(self, patient: Seed, scope: Scope, found: header.Header) -> EnvelopeKey:
        envelope = self.store.get_block(CID.parse(found.info.envelope_cid))
        message = umbral.unwrap(patient.lane(scope, 0), header.wrap_at(envelope, found.wrap_index))
        pepper = hospital_key(patient.pepper(scope, 0), self.address)
        return EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(EmbeddedStore(tmp_path / "blocks"))


def test_each_lane_opens_its_records_and_no_other_patients(clinic: Clinic) -> None:
    first, second = Seed.random(), Seed.random()
    clinic.publish((first, record(b"a")), (second, record(b"b")), (first, record(b"c", VITALS)), (first, record(b"d")))

    assert clinic.opened(first, Scope.all()) == [b"a", b"d", b"c"]
    assert clinic.opened(first, Scope.of(LAB)) == [b"a", b"d"]
    assert clinic.opened(first, Scope.of(VITALS, 2020)) == [b"c"]
    assert clinic.opened(first, Scope.of(VITALS, 2021)) == []
    assert clinic.opened(second, Scope.all()) == [b"b"]


def test_batches_follow_each_other(clinic: Clinic) -> None:
    patient = Seed.random()
    for content in (b"1", b"2", b"3"):
        clinic.publish((patient, record(content)))
    assert clinic.opened(patient, Scope.all()) == [b"1", b"2", b"3"]


def test_one_envelope_for_one_patient_category_and_year(clinic: Clinic) -> None:
    patient = Seed.random()
    clinic.publish(*((patient, record(bytes([i]))) for i in range(5)), (patient, record(b"x", year=2021)))
    found = clinic.headers(patient, Scope.of(LAB))
    assert len({one.info.envelope_cid for one in found}) == 2
    assert sorted(one.info.content_index for one in found) == [0, 0, 1, 2, 3, 4]


def test_large_and_small_records_mix(clinic: Clinic, tmp_path: Path) -> None:
    patient = Seed.random()
    path = tmp_path / "scan.dcm"
    path.write_bytes(os.urandom(9 << 20))
    contents = [os.urandom(3 << 20), b"small", path.read_bytes()]
    plain = [record(contents[0]), record(contents[1]), record(FileContent(path, 9 << 20))]
    clinic.publish(*((patient, one) for one in plain))
    assert clinic.opened(patient, Scope.all()) == contents


def test_the_inventory_tells_when_a_record_was_left_out_or_changed(clinic: Clinic) -> None:
    patient = Seed.random()
    clinic.publish(*((patient, record(bytes([i]) * 10)) for i in range(3)))
    found = clinic.headers(patient, Scope.all())
    key = clinic.key(patient, Scope.all(), found[0])
    check_envelope(clinic.store, found, key)
    for bad in (found[:2], found[1:], [found[0], found[0], found[2]]):
        with pytest.raises(IntegrityError):
            check_envelope(clinic.store, bad, key)


def test_a_lanes_key_is_shown_by_no_repr() -> None:
    assert "secret" not in repr(Sought(Scope.all(), 0, b"secret"))


def test_one_that_nobody_has_hides_nothing_of_the_others(clinic: Clinic) -> None:
    patient = Seed.random()
    for content in (b"a", b"b", b"c"):
        clinic.publish((patient, record(content)), (patient, record(content, VITALS)))
    assert found_of(clinic, patient, lost=2) == (4, [])


@pytest.mark.parametrize(("later", "found"), [(1, 1), (2, 0)])
def test_only_in_the_newest_manifests_numbers_that_were_left_out_are_looked_for(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, later: int, found: int
) -> None:
    monkeypatch.setattr(locate_module, "_LATEST", 2)
    patient = Seed.random()
    clinic.publish((patient, record(b"b")), gap=1)
    for number in range(later):
        clinic.publish((Seed.random(), record(bytes([number]))))
    assert found_of(clinic, patient)[0] == found


def test_no_key_that_was_looked_for_is_in_a_later_manifest(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = Seed.random()
    looked_for: set[bytes] = set()
    lookup = Manifest.lookup
    monkeypatch.setattr(Manifest, "lookup", lambda self, key: looked_for.add(key) or lookup(self, key))
    for number in range(6):
        before = set(looked_for)
        clinic.publish((patient, record(bytes([number]))), (patient, record(bytes([number]), VITALS)))
        heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
        newest = open_manifests(clinic.store, heads)[-1]
        assert newest is not None
        assert not before & {key for key, _ in newest.rows()}
        assert len(clinic.headers(patient, Scope.all())) == 2 * (number + 1)
    assert len(looked_for) > 12


def test_headers_of_two_envelopes_are_not_taken_for_those_of_one(clinic: Clinic) -> None:
    patient = Seed.random()
    several = [(patient, record(bytes([number]), category)) for number in range(2) for category in (LAB, VITALS)]
    clinic.publish(*several)
    lab, vitals = (clinic.headers(patient, Scope.of(category)) for category in (LAB, VITALS))
    key = clinic.key(patient, Scope.of(LAB), lab[0])
    check_envelope(clinic.store, lab, key)
    for mixed in ([*lab, vitals[0]], [lab[0], vitals[0]]):
        with pytest.raises(IntegrityError, match="name different inventories"):
            check_envelope(clinic.store, mixed, key)


@pytest.mark.parametrize("error", [IntegrityError("damaged"), BlockNotFoundError("gone")])
def test_a_record_whose_header_is_damaged_or_gone_costs_itself_only(clinic: Clinic, error: PanaChainError) -> None:
    patient = Seed.random()
    clinic.publish(*((patient, record(bytes([i]))) for i in range(3)))
    first, *others = [CID.parse(one.info.header_cid) for one in clinic.headers(patient, Scope.all())]

    class Damaged:
        def get_block(self, cid: CID) -> bytes:
            if cid == first:
                raise error
            return clinic.store.get_block(cid)

    heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
    lane = Sought(Scope.all(), 0, patient.locator_key(Scope.all(), 0))
    manifests, findings = open_manifests(clinic.store, heads), Findings()
    (found,) = locate_all(Damaged(), heads, manifests, [lane], findings=findings)  # type: ignore[arg-type]
    assert [one.info.header_cid for one in found] == [str(cid) for cid in others]
    assert [(one.what, one.error) for one in findings.omissions] == [(f"record {first}", error)]


@pytest.mark.parametrize(("worth", "held"), [(1, 1 << 20), (1, 0), (100, 1 << 20)])
def test_many_headers_are_opened_in_their_order_and_a_bad_one_costs_itself(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, worth: int, held: int
) -> None:
    monkeypatch.setattr(locate_module, "_HELD", held)
    monkeypatch.setattr(locate_module, "_TOGETHER", 2)
    monkeypatch.setattr(locate_module, "_AHEAD", 2)
    # With the help of another process, and of threads.
    monkeypatch.setattr(locate_module, "WORTH", worth)
    monkeypatch.setattr(signatures_module, "WORTH", worth)
    monkeypatch.setattr(signatures_module, "_FEW", 0)
    patient = Seed.random()
    clinic.publish(*((patient, record(bytes([number]), part=number)) for number in range(9)))
    heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
    manifests = open_manifests(clinic.store, heads)
    lane = Sought(Scope.all(), 0, patient.locator_key(Scope.all(), 0))
    whole = locate(clinic.store, heads, manifests, lane)
    bad, gone = whole[3].info.header_cid, whole[6].info.header_cid
    assert [one.info.content_index for one in whole] == list(range(9))

    class Damaged:
        """A store that has another header in the place of one, and has lost another one."""

        def get_block(self, cid: CID) -> bytes:
            if str(cid) == gone:
                raise BlockNotFoundError("lost")
            block = clinic.store.get_block(cid)
            return block[:-1] + bytes([block[-1] ^ 1]) if str(cid) == bad else block

    findings = Findings()
    (found,) = locate_all(Damaged(), heads, manifests, [lane], findings=findings)  # type: ignore[arg-type]
    assert [one.info.content_index for one in found] == [0, 1, 2, 4, 5, 7, 8]
    assert {one.what for one in findings.omissions} == {f"record {bad}", f"record {gone}"}
    with pytest.raises(IntegrityError, match="doesn't open"):
        locate_all(Damaged(), heads, manifests, [lane])  # type: ignore[arg-type]

    class Away(Damaged):
        """One that can't be asked any more, behind the damaged header."""

        def get_block(self, cid: CID) -> bytes:
            if str(cid) == whole[8].info.header_cid:
                raise StoreUnavailableError("away")
            return super().get_block(cid)

    # What comes first is told first, however many are fetched ahead.
    with pytest.raises(IntegrityError, match="doesn't open"):
        locate_all(Away(), heads, manifests, [lane])  # type: ignore[arg-type]


def test_large_headers_that_wait_are_bounded_by_their_bytes(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate_module, "_TOGETHER", 1)
    monkeypatch.setattr(signatures_module, "WORTH", 1)
    monkeypatch.setattr(beside, "cores", lambda: 2)
    waiting, most, begin = [0], [0], locate_module._begun

    def begun(*given: Any) -> Any:
        size, finish = begin(*given)
        waiting[0] += size
        most[0] = max(most[0], waiting[0])

        def finished() -> Any:
            waiting[0] -= size
            return finish()

        return size, finished

    monkeypatch.setattr(locate_module, "_begun", begun)
    patient = Seed.random()
    clinic.publish(*((patient, record(bytes([number]), part=number)) for number in range(9)))
    for held, times in ((1 << 20, 9), (10_000, 5)):
        most[0] = 0
        monkeypatch.setattr(locate_module, "_HELD", held)
        assert len(clinic.opened(patient, Scope.all())) == 9
        assert most[0] <= 3 * 900 * times
        assert waiting == [0]


def sealed_headers(
    hospital: Seed, keys: list[bytes], signers: list[umbral.Signer], **fields: Any
) -> list[tuple[CID, bytes]]:
    """Return a header for each signer, as a hospital makes them, but for some fields."""
    envelope, address = CID.of(RAW, b"envelope"), address_of(hospital.account_key())
    usual: dict[str, Any] = {"year": 2020, "media_type": "application/pdf", "size": 1, "digest": bytes(32)}
    usual |= {"stored_at": 1_700_000_000, "content_cid": str(CID.of(RAW, b"content")), "generation": 0} | fields
    made = []
    for index, signer in enumerate(signers):
        info = RecordInfo(
            hospital=address, category=LAB, header_cid="", envelope_cid=str(envelope), content_index=index, **usual
        )
        block = header.seal_header(
            info,
            patient=address,
            commitment=bytes(32),
            inventory=None,
            head=b"",
            locator_keys=keys,
            signer=signer,
        )
        made.append((CID.of(RAW, block), block))
    return made


@pytest.mark.parametrize("expected_ones", [0, 100, 10_000])
def test_headers_that_are_opened_together_are_those_that_open_alone(expected_ones: int) -> None:
    hospital, keys = Seed.random(), [os.urandom(32) for _ in range(3)]
    signer, thief = hospital.signer(), Seed.random().signer()
    good = sealed_headers(hospital, keys, [signer] * 40)
    # Whoever was granted a lane has its locator key and can seal what looks like a header, but for the signature.
    forged = sealed_headers(hospital, keys, [thief] * 3)
    other_lane = sealed_headers(hospital, keys[:1], [signer])
    impossible = sealed_headers(hospital, keys, [signer], year=10_000) + sealed_headers(
        Seed.random(), keys, [signer], size=2
    )
    twin = Mock(sign=lambda message: malleable(signer.sign(message)))
    short = [(CID.of(RAW, block), block) for _, block in good[:1] for block in (block[:300], b"", block[:1] * 900)]
    bits = random.Random(1)
    flipped = []
    for cid, block in good[:20]:
        damaged = bytearray(block)
        damaged[bits.randrange(len(block))] ^= 1 << bits.randrange(8)
        flipped.append((cid, bytes(damaged)))
    blocks = good + forged + other_lane + impossible + sealed_headers(hospital, keys, [twin]) + short + flipped
    bits.shuffle(blocks)

    def alone(cid: CID, block: bytes) -> header.Header | None:
        try:
            return header.open_header(
                block, cid=cid, hospital=address, locator_key=keys[1], verifying_key=signer.public
            )
        except IntegrityError:
            return None

    address = address_of(hospital.account_key())
    expected = [alone(cid, block) for cid, block in blocks]
    # A flip in another lane's slot, or in one that nobody's key opens, shows at the CID and not here.
    assert 40 <= sum(one is not None for one in expected) < len(blocks) - 10
    # Checked here, by threads, or by another process.
    with Signatures() as signatures:
        signatures.expect(expected_ones)
        found = header.begin_headers(
            blocks, hospital=address, locator_key=keys[1], verifying_key=signer.public, signatures=signatures
        )()
    assert found == expected
    for one in found:
        # With each field that its class has, and none besides.
        assert one is None or (header.Header(**vars(one)) == one and RecordInfo(**vars(one.info)) == one.info)
    # A key that is none fits nothing, and ends nothing.
    for key in (b"", b"\x05" * 33):
        none = header.begin_headers(
            blocks, hospital=address, locator_key=keys[1], verifying_key=key, signatures=Signatures()
        )()
        assert none == [None] * len(blocks)


@given(st.data())
def test_fields_of_one_header_after_the_other_are_those_of_each(data: st.DataObject) -> None:
    usual: list[Any] = [bytes(20), bytes(20), "laboratory", 2020, "application/pdf", 7, bytes(32), 1_700_000_000]
    usual += [CID.of(RAW, b"content"), 300, 0, bytes(32), CID.of(RAW, b"list"), b"", [], 0]
    strange = st.sampled_from(
        [b"", b"x", 0, 1 << 40, -1, "text", "longer text than that", None, True, [], [1], {"a": 1}]
    )
    fields = header._Fields()
    for _ in range(6):
        values = list(usual)
        for _ in range(data.draw(st.integers(0, 2))):
            values[data.draw(st.integers(0, 15))] = data.draw(strange)
        encoded = bytearray(dagcbor.encode(values[: data.draw(st.sampled_from([16, 16, 16, 15, 11]))]))
        if data.draw(st.booleans()):
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
        assert said_by(fields.decoded, bytes(encoded)) == said_by(dagcbor.decode, bytes(encoded))


def said_by(decode: Callable[[bytes], Any], encoded: bytes) -> str:
    try:
        return repr(decode(encoded))
    except IntegrityError as exc:
        return str(exc)


def malleable(signature: bytes) -> bytes:
    """Return the other signature that plain ECDSA would take."""
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def test_a_forged_header_among_many_costs_itself_and_is_named(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, thief = Seed.random(), Seed.random().signer()
    real = header.seal_header

    def seal(info: RecordInfo, **rest: Any) -> bytes:
        # Of one record in twenty the signature is somebody's who isn't the hospital.
        return real(info, **rest | ({"signer": thief} if info.content_index == 7 else {}))

    with monkeypatch.context() as patched:
        patched.setattr(header, "seal_header", seal)
        clinic.publish(*((patient, record(bytes([number]), part=number)) for number in range(20)))
    heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
    lane, findings = Sought(Scope.all(), 0, patient.locator_key(Scope.all(), 0)), Findings()
    (found,) = locate_all(clinic.store, heads, open_manifests(clinic.store, heads), [lane], findings=findings)
    assert [one.info.content_index for one in found] == [*range(7), *range(8, 20)]
    (omission,) = findings.omissions
    assert "the signature doesn't fit" in str(omission.error)


def found_of(clinic: Clinic, patient: Seed, *, lost: int = 0) -> tuple[int, list[str]]:
    """Return how many records of everything are found, and what is told of the hospital's numbers.

    Args:
        clinic: that published.
        patient: whose records.
        lost: the storage transaction whose manifest nobody has, from 1 on.
    """
    heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
    lane = Sought(Scope.all(), 0, patient.locator_key(Scope.all(), 0))
    findings = Findings()
    manifests: list[Manifest | None] = list(open_manifests(clinic.store, heads))
    if lost:
        manifests[lost - 1] = None
    (found,) = locate_all(clinic.store, heads, manifests, [lane], findings=findings)
    return len(found), [str(one.error) for one in findings.notices]


@pytest.mark.parametrize(("gap", "found"), [(0, 3), (1, 3), (64, 3), (65, 2)])
def test_numbers_that_were_left_out_are_passed_over_up_to_a_window(clinic: Clinic, gap: int, found: int) -> None:
    patient = Seed.random()
    clinic.publish((patient, record(b"a")), (patient, record(b"b")))
    clinic.publish((patient, record(b"c")), gap=gap)
    count, told = found_of(clinic, patient)
    assert count == found
    assert [text.partition(" of category")[0] for text in told] == (
        [f"numbers 0 to {gap - 1}"] if gap and found == 3 else []
    )


@pytest.mark.parametrize("rows", [0, 1])
def test_of_a_large_manifest_not_all_rows_are_read_for_what_may_have_been_left_out(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    patient = Seed.random()
    clinic.publish((patient, record(b"a")))
    read: list[int] = []
    every = Manifest.keys
    monkeypatch.setattr(Manifest, "keys", lambda self: read.append(self.count) or every(self))
    heads = HospitalHeads(clinic.address, clinic.seed.signer().public, tuple(clinic.manifests))
    (newest,) = open_manifests(clinic.store, heads)
    assert newest is not None
    count = newest.count
    monkeypatch.setattr(locate_module, "_FEW_ROWS", count - 1 + rows)
    assert found_of(clinic, patient) == (1, [])
    assert read == [count] * rows


def test_content_opens_by_the_key_that_its_hospital_committed_to_only(clinic: Clinic) -> None:
    patient = Seed.random()
    clinic.publish((patient, record(b"a")))
    (found,) = clinic.headers(patient, Scope.all())
    with pytest.raises(IntegrityError, match="isn't the one its hospital committed to"):
        content_of(clinic.store, found, EnvelopeKey(os.urandom(32)))


def test_headers_of_one_envelope_state_one_commitment(clinic: Clinic) -> None:
    patient = Seed.random()
    clinic.publish((patient, record(b"a")), (patient, record(b"b")))
    first, second = clinic.headers(patient, Scope.all())
    key = clinic.key(patient, Scope.all(), first)
    assert len(check_envelope(clinic.store, [first, second], key).items) == 2
    for headers in ([first, replace(second, commitment=bytes(32))], [replace(first, commitment=bytes(32)), second]):
        with pytest.raises(IntegrityError, match="isn't the one its hospital committed to"):
            check_envelope(clinic.store, headers, key)


def test_a_wrap_holds_another_message_in_each_lane_and_at_each_hospital(clinic: Clinic, tmp_path: Path) -> None:
    patient, other = Seed.random(), Clinic(EmbeddedStore(tmp_path / "others"))
    key, messages = EnvelopeKey(os.urandom(32)), set()
    for house in (clinic, other):
        path = house.pairing(patient).path(LAB, 2020)
        envelope = header.seal_envelope(key, [lane for _, lane in path])
        for index, (scope, lane) in enumerate(path):
            message = umbral.unwrap(patient.lane(scope, 0), header.wrap_at(envelope, index))
            assert message == key.masked(lane.pepper)
            messages.add(message)
    assert len(messages) == 2 * 3
    assert key.key not in messages


def test_one_record_alone_needs_no_inventory(clinic: Clinic) -> None:
    patient = Seed.random()
    # An image: what has words has an inventory that names their list.
    clinic.publish((patient, record(bytes(range(256)))))
    found = clinic.headers(patient, Scope.all())
    assert found[0].inventory is None
    check_envelope(clinic.store, found, clinic.key(patient, Scope.all(), found[0]))
    with pytest.raises(IntegrityError):
        check_envelope(clinic.store, found * 2, clinic.key(patient, Scope.all(), found[0]))


def test_the_list_names_every_block_of_the_batch_and_is_pinned(clinic: Clinic) -> None:
    patient = Seed.random()
    before = set(clinic.store.blocks())
    batch = clinic.publish((patient, record(b"a")), (patient, record(os.urandom(2 << 20))))
    listed = dagcbor.decode(clinic.store.get_block(batch.list_cid))["blocks"]

    assert list(clinic.store.pins()) == [batch.list_cid]
    assert listed == sorted(listed)
    leaves = {cid for cid in set(clinic.store.blocks()) - before if clinic.store.get_block(cid) and cid.codec == 0x55}
    # The leaves of a large file are linked by its root, which the list names.
    assert set(clinic.store.blocks()) - before - set(listed) - {batch.list_cid} <= leaves
    assert {CID.parse(entry.info.content_cid) for entry in batch.records} <= set(listed)
    assert batch.root in listed


def test_long_lists_are_cut(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "LIST_LINKS", 4)
    batch = clinic.publish(*((Seed.random(), record(bytes([i]))) for i in range(5)))
    parts = dagcbor.decode(clinic.store.get_block(batch.list_cid))["parts"]
    listed = [cid for part in parts for cid in dagcbor.decode(clinic.store.get_block(part))["blocks"]]
    assert batch.root in listed
    assert listed == sorted(listed)


def test_a_batch_says_when_it_is_full(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "MAX_RECORDS", 2)
    builder, patient = clinic.builder(), Seed.random()
    pairing = clinic.pairing(patient)
    for number in range(2):
        assert not builder.full
        builder.add(record(b"x", part=number), pairing)
    assert builder.full
    builder.close()


def test_a_batch_needs_a_record(clinic: Clinic) -> None:
    builder = clinic.builder()
    with pytest.raises(UsageError):
        builder.finish()
    builder.close()


def test_nothing_that_is_stored_holds_plaintext(clinic: Clinic) -> None:
    patient, canary = Seed.random(), b"canary-4711-canary"
    clinic.publish((patient, record(canary)), (patient, record(canary * 100_000)))
    stored = b"".join(path.read_bytes() for path in clinic.store.folder.rglob("*") if path.is_file())
    assert canary not in stored
    assert canary.hex().encode() not in stored


class TestFinishingEarly:
    """What is whole of one patient is finished while others' sources are read, and the batch is the same."""

    class List:
        """A list of words that somebody else makes."""

        def __init__(self, words: Any) -> None:
            self.is_done = True
            self.words = words

        def take(self) -> bytes:
            return word_list.made_of(self.words)

    def builder(self, clinic: Clinic) -> tuple[BatchBuilder, list[List]]:
        begun: list[TestFinishingEarly.List] = []

        def begin(contents: Any) -> list[TestFinishingEarly.List]:
            begun.extend(self.List(one) for one in contents)
            return begun[len(begun) - len(contents) :]

        builder = clinic.builder()
        builder._begin_lists = begin
        return builder, begun

    @staticmethod
    def finish_all(builder: BatchBuilder) -> int:
        until, count = time.monotonic() + 60, 0
        while builder._begun and time.monotonic() < until:
            count += builder.finish_next()
        return count

    def test_the_batch_is_the_same_and_nothing_reaches_the_store_sooner(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "_FLUSH", 1 << 15)
        one, other = Seed.random(), Seed.random()
        records = [(one, record(b"first")), (other, record(b"alien", VITALS)), (one, record(b"second", VITALS))]
        records += [(one, record(b"third", part=1)), (other, record(os.urandom(5000)))]
        builder, _ = self.builder(clinic)
        for patient, plain in records[:4]:
            builder.add(plain, clinic.pairing(patient))
        builder.complete(address_of(one.account_key()))
        before = {cid for cid, _, _ in clinic.store.sizes()}
        assert self.finish_all(builder) == 2
        assert {cid for cid, _, _ in clinic.store.sizes()} == before
        assert not builder.finish_next()
        builder.add(records[4][1], clinic.pairing(other))
        batch = builder.finish()
        builder.close()
        clinic.manifests.append(batch.root.digest)
        # As if nothing had been finished early: by patient, category and year, in the order in which they began.
        told = [(item.patient, item.info.category, item.info.content_index) for item in batch.records]
        mine, theirs = address_of(one.account_key()), address_of(other.account_key())
        assert told == [(mine, LAB, 0), (mine, LAB, 1), (theirs, VITALS, 0), (mine, VITALS, 0), (theirs, LAB, 0)]
        assert [entry.header for entry in batch.journal_records] == [item.info.header_cid for item in batch.records]
        assert clinic.opened(one, Scope.all()) == [b"first", b"third", b"second"]
        assert clinic.opened(other, Scope.of(VITALS)) == [b"alien"]

    def test_what_comes_after_all_gets_an_envelope_of_its_own(self, clinic: Clinic) -> None:
        patient = Seed.random()
        builder, _ = self.builder(clinic)
        builder.add(record(b"before"), clinic.pairing(patient))
        builder.complete(address_of(patient.account_key()))
        assert self.finish_all(builder) == 1
        builder.add(record(b"behind"), clinic.pairing(patient))
        batch = builder.finish()
        builder.close()
        clinic.manifests.append(batch.root.digest)
        assert len({item.info.envelope_cid for item in batch.records}) == 2
        assert clinic.opened(patient, Scope.all()) == [b"before", b"behind"]

    def test_what_is_not_there_yet_is_waited_for_at_the_end_only(self, clinic: Clinic) -> None:
        patient = Seed.random()
        builder, begun = self.builder(clinic)
        entry = {"resource": {"resourceType": "Observation", "id": "a", "code": {"text": "glucose"}}}
        text = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [entry]}).encode()
        for year in (2020, 2021):
            builder.add(replace(record(text, year=year), media_type=MEDIA_TYPE), clinic.pairing(patient))
        builder.complete(address_of(patient.account_key()))
        begun[0].is_done = False
        assert not builder.finish_next()
        # Whoever waits for an answer does meanwhile what else there is to do: here that is nothing.
        meanwhile, made = list[bool](), word_list.made_of(begun[0].words)
        begun[0].take = lambda: meanwhile.append(builder.finish_next()) or made  # type: ignore[method-assign]
        batch = builder.finish()
        assert meanwhile == [False]
        assert all(clinic.store.has_block(CID.parse(one.info.header_cid)) for one in batch.records)
        builder.close()
        assert (len(begun), len(batch.records)) == (2, 2)

    def test_a_store_that_fails_meanwhile_ends_the_batch(self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publish, "_TINY", 0)
        patient = Seed.random()
        builder, _ = self.builder(clinic)
        builder.add(record(b"first"), clinic.pairing(patient))
        builder.complete(address_of(patient.account_key()))
        builder._begun[0].envelopes.result()
        builder._waiting[0][1].result()
        builder._collect = Mock(side_effect=InputError("no room"))  # type: ignore[method-assign]
        # It isn't the fault of the source that is being read: whoever leaves that out mustn't go on without this one.
        for step in (builder.finish_next, builder.finish):
            with pytest.raises(InputError, match="no room"):
                step()
        builder.close()

    def test_each_group_gets_its_own_of_envelopes_that_are_made_together(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "_TOGETHER", 2)
        patient = Seed.random()
        builder, _ = self.builder(clinic)
        for year in range(2020, 2025):
            builder.add(record(b"of %d" % year, year=year), clinic.pairing(patient))
        builder.complete(address_of(patient.account_key()))
        assert [len(begun.envelopes.result()) for begun in builder._begun] == [2, 2, 2, 2, 1]
        assert self.finish_all(builder) == 5
        batch = builder.finish()
        builder.close()
        clinic.manifests.append(batch.root.digest)
        assert len({item.info.envelope_cid for item in batch.records}) == 5
        # The manifest's rows are sorted: each opens, with the key in its own envelope.
        assert sorted(clinic.opened(patient, Scope.all())) == [b"of %d" % year for year in range(2020, 2025)]

    def test_one_envelope_that_fails_ends_the_batch_and_none_of_those_beside_it_is_named(
        self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patient = Seed.random()
        builder, _ = self.builder(clinic)
        for year in (2020, 2021):
            builder.add(record(b"first", year=year), clinic.pairing(patient))
        before = {cid for cid, _, _ in clinic.store.sizes()}
        monkeypatch.setattr(header, "seal_envelope", Mock(side_effect=[bytes(header.ENVELOPE_SIZE), MemoryError]))
        builder.complete(address_of(patient.account_key()))
        with pytest.raises(MemoryError):
            builder.finish()
        builder.close()
        assert {cid for cid, _, _ in clinic.store.sizes()} == before

    def test_what_was_begun_is_bounded(self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publish, "_MOST_BEGUN", 1)
        builder, _ = self.builder(clinic)
        patients = [Seed.random() for _ in range(3)]
        for patient in patients:
            builder.add(record(b"first"), clinic.pairing(patient))
            builder.complete(address_of(patient.account_key()))
        assert len(builder._begun) == 1
        assert len(builder.finish().records) == 3
        builder.close()

    def test_what_fails_ends_the_batch_whoever_hears_of_it(self, clinic: Clinic) -> None:
        patient = Seed.random()
        builder, _ = self.builder(clinic)
        builder.add(record(b"first"), clinic.pairing(patient))
        builder.complete(address_of(patient.account_key()))
        builder._begun[0].envelopes.result()
        builder._finish_begun = Mock(side_effect=InputError("broken"))  # type: ignore[method-assign]
        with pytest.raises(InputError, match="broken"):
            builder.finish_next()
        with pytest.raises(InputError, match="broken"):
            builder.finish()
        builder.close()


def test_fields_of_a_header_in_parts_are_those_of_one_list() -> None:
    hospital, patient = Address("0x" + "12" * 20), Address("0x" + "ab" * 20)
    for inventory, head, replaces in ((None, b"", ()), (CID.of(RAW, b"list"), os.urandom(40), (CID.of(RAW, b"old"),))):
        first = [bytes.fromhex(hospital[2:]), bytes.fromhex(patient[2:]), "laboratory", 2024, "application/pdf"]
        own = [5, os.urandom(32), 1_700_000_000, CID.of(RAW, b"content"), 7]
        commitment = os.urandom(32)
        parts = (
            header._beginning(hospital, patient, "laboratory", 2024, "application/pdf"),
            dagcbor.encode(own)[1:],
            header._end(300, commitment, inventory, head, replaces, 301),
        )
        whole = [*first, *own, 300, commitment, inventory, head, list(replaces), 301]
        assert (len(whole), b"".join(parts)) == (header._FIELDS, dagcbor.encode(whole))


def test_many_records_of_one_envelope_are_found_as_few_are(clinic: Clinic) -> None:
    patient = Seed.random()
    clinic.publish(*((patient, record(b"%d" % number, part=number)) for number in range(7)))
    for scope in (Scope.all(), Scope.of(LAB), Scope.of(LAB, 2020)):
        assert clinic.opened(patient, scope) == [b"%d" % number for number in range(7)]
