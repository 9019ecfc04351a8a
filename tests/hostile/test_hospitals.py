"""A hospital that publishes whatever it likes costs its own records only, and everybody is told which.

Each test attacks as a reader, a patient or an operator meets it; beside the evil hospital stands an honest one, whose
records must come through. Follows security rule 22 and ADR 17.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    IntegrityError,
    PanaChainError,
    PartlyDoneError,
    RateLimitedError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address, Role
from panachain.model.scope import Category, Generations, Scope
from panachain.records import inventory, rewrap
from panachain.records.findings import Strict
from panachain.records.header import ENVELOPE_SIZE, ENVELOPE_VERSION, seal_envelope
from panachain.sdk import granted_records
from panachain.sdk.opening import Opening
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile
from panachain.sdk.results.uploads import RewrapReport, UploadReport
from panachain.service.proxy.service import Rates
from panachain.storage.blocks import keep
from tests.hostile.evil_hospital import EvilHospital
from tests.twin.world import World, actor_of, resource, seed_of
from tests.unit.sdk.helpers import again, grant, upload

GOOD = 2
"""Records of the honest hospital."""


def told(opening: Opening) -> tuple[list[Any], list[str]]:
    """Return what an opening yields, and what it says that it left out; iterating must not hide it."""
    records, raised = [], []
    try:
        for record in opening:
            try:
                assert record.content
            except PanaChainError as exc:
                opening.leave_out(record, exc)
                continue
            records.append(record)
    except PartlyDoneError as exc:
        raised = list(exc.omissions)
    assert raised == opening.omissions
    return records, [str(omission) for omission in opening.omissions]


def garbage(evil: EvilHospital) -> None:
    """A digest of which nobody has the block."""
    evil.commit(os.urandom(32))


def torn(evil: EvilHospital) -> None:
    """A manifest that is no manifest."""
    block = b"\xa0"
    cid = CID.of(DAG_CBOR, block)
    evil.store.put_block(cid, block)
    evil.commit(cid.digest)


def of_another_number(evil: EvilHospital) -> None:
    evil.record()
    evil.publish(sequence=7)


def of_another_hospital(evil: EvilHospital) -> None:
    evil.record()
    evil.publish(hospital=evil.world.hospital.address)


def header_of_noise(evil: EvilHospital) -> None:
    noise = evil.put(os.urandom(900))
    evil.name(noise, evil.pairing.path(Category.LABORATORY, 2025))
    evil.publish()


def header_that_is_lost(evil: EvilHospital) -> None:
    evil.store.delete_blocks([evil.record()])
    evil.publish()


def another_patients_record(evil: EvilHospital) -> None:
    evil.record(patient=Address("0x" + "11" * 20))
    evil.publish()


def another_category(evil: EvilHospital) -> None:
    """A header says vitals, and lies in the laboratory's lanes."""
    envelope = evil.envelope()
    evil.add(envelope)
    evil.seal(envelope, category=Category.VITALS)
    evil.publish()


def a_date_that_no_calendar_has(evil: EvilHospital) -> None:
    evil.record(stored_at=10**15)
    evil.publish()


def a_year_that_no_calendar_has(evil: EvilHospital) -> None:
    evil.record(year=10**12)
    evil.publish()


def envelope_that_is_lost(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    evil.seal(envelope)
    evil.store.delete_blocks([envelope.cid])
    evil.publish()


def envelope_of_noise(evil: EvilHospital) -> None:
    evil.record(envelope_cid=str(evil.put(bytes([ENVELOPE_VERSION]) + os.urandom(ENVELOPE_SIZE - 1))))
    evil.publish()


def another_key_than_committed(evil: EvilHospital) -> None:
    evil.record(commitment=os.urandom(32))
    evil.publish()


def another_key_than_committed_in_one_of_two_headers(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    evil.add(envelope, b"{}")
    listed = unixfs.build(inventory.seal(envelope.items, envelope.key, sequence=0, lists=[]), evil._put)
    first, second = envelope.contents
    evil.header(envelope, 0, first, inventory_cid=listed)
    evil.header(envelope, 1, second, inventory_cid=listed, commitment=os.urandom(32))
    evil.publish()


def two_inventories_of_one_envelope(evil: EvilHospital) -> None:
    """Each header by itself is sound, and so is each inventory."""
    envelope = evil.envelope()
    evil.add(envelope)
    evil.add(envelope, b"{}")
    for index, content in enumerate(envelope.contents):
        listed = unixfs.build(inventory.seal(envelope.items, envelope.key, sequence=index, lists=[]), evil._put)
        evil.header(envelope, index, content, inventory_cid=listed)
    evil.publish()


def a_key_without_a_mask(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    publics = [*(lane.public for _, lane in envelope.path), umbral.SecretKey.random().public]
    wraps = b"".join(umbral.wrap(public, envelope.key.key) for public in publics)
    envelope.cid = evil.put(bytes([ENVELOPE_VERSION]) + wraps)
    evil.seal(envelope)
    evil.publish()


def masks_of_other_lanes(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    lanes = [lane for _, lane in envelope.path]
    swapped = [replace(lane, pepper=other.pepper) for lane, other in zip(lanes, lanes[1:] + lanes[:1], strict=True)]
    envelope.cid = evil.put(seal_envelope(envelope.key, swapped))
    evil.seal(envelope)
    evil.publish()


def content_that_is_lost(evil: EvilHospital) -> None:
    evil.record(content_cid=str(CID.of(RAW, b"nobody has it")))
    evil.publish()


def content_of_noise(evil: EvilHospital) -> None:
    evil.record(content_cid=str(evil.put(os.urandom(300))))
    evil.publish()


def another_digest(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    evil.seal(envelope, digest=bytes(32))
    evil.publish()


def a_record_that_is_kept_back(evil: EvilHospital) -> None:
    envelope = evil.envelope()
    evil.add(envelope)
    evil.add(envelope, b"{}")
    kept_back = evil.seal(envelope)[0]
    evil.rows = {brief_id: cid for brief_id, cid in evil.rows.items() if cid != kept_back}
    evil.publish()


ATTACKS: list[Callable[[EvilHospital], None]] = [
    *(garbage, torn, of_another_number, of_another_hospital, header_of_noise, header_that_is_lost),
    *(another_patients_record, another_category, a_date_that_no_calendar_has),
    *(a_year_that_no_calendar_has, envelope_that_is_lost, envelope_of_noise, another_key_than_committed),
    *(another_key_than_committed_in_one_of_two_headers, a_key_without_a_mask, masks_of_other_lanes),
    two_inventories_of_one_envelope,
    *(content_that_is_lost, content_of_noise, another_digest, a_record_that_is_kept_back),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_each_bad_thing_is_named_and_costs_its_own_hospital_only(
    world: World, evil: EvilHospital, attack: Callable[[EvilHospital], None]
) -> None:
    upload(world, GOOD)
    made = grant(world)
    attack(evil)

    for opening in (world.clinician.open(made), world.patient.records()):
        records, omissions = told(opening)
        assert {record.info.hospital for record in records} == {world.hospital.address}
        assert len(records) == GOOD
        assert omissions
        assert all(evil.address in omission for omission in omissions)


def test_a_hospital_that_nobody_paired_with_is_never_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction of a registered stranger made every reader's `open` fail, and every rotation."""
    stranger = EvilHospital(world)
    upload(world, GOOD)
    lost, made = grant(world), grant(world, "nurse")
    garbage(stranger)
    torn(stranger)
    stranger.publish(sequence=7)
    asked: list[str] = []
    manifests_of = world.network.manifests_of
    monkeypatch.setattr(world.network, "manifests_of", lambda who: (asked.append(who), manifests_of(who))[1])

    for opening in (world.nurse.open(made), world.patient.records()):
        assert len(list(opening)) == GOOD
        assert opening.omissions == opening.notices == []
    report = world.patient.revoke(lost, rotate=True)
    assert report.omissions == ()
    world.hospital.rewrap()
    assert world.patient.revocation(lost).stage == "headers re-wrapped"
    assert stranger.address not in asked


class TestFloods:
    """One hospital has more envelopes in a lane than proxies re-encrypt for a reader in a minute."""

    @pytest.fixture(autouse=True)
    def quota(self, world: World) -> None:
        for proxy in world.proxies:
            proxy.service._rates = Rates(capsules=10)

    def test_one_that_floods_a_lane_uses_up_its_own_part_of_a_readers_quota(
        self, world: World, evil: EvilHospital, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(granted_records, "MOST_ENVELOPES", 4)
        upload(world, GOOD)
        for _ in range(20):
            evil.record()
        evil.publish()
        made = grant(world)

        # Twice within a minute, and two more would be too many.
        for _ in range(2):
            records, omissions = told(world.clinician.open(made))
            assert [record.info.hospital for record in records].count(world.hospital.address) == GOOD
            assert len(records) == GOOD + 4
            (omission,) = omissions
            said = f"16 envelopes of category laboratory of hospital {evil.address}: an opening asks"
            assert omission.startswith(said)

    def test_those_with_few_envelopes_come_first_and_the_rest_is_named(self, world: World) -> None:
        for _ in range(12):
            upload(world)
        upload(world, where="clinic")
        made = grant(world)

        records, omissions = told(world.clinician.open(made))

        assert [record.info.hospital for record in records] == [world.clinic.address]
        assert len(omissions) == 1
        assert f"category laboratory of hospital {world.hospital.address}" in omissions[0]
        assert "at most 10 in a minute" in omissions[0]

    def test_whoever_gets_nothing_at_all_is_told_when_to_come_again(self, world: World) -> None:
        for _ in range(12):
            upload(world)
        with pytest.raises(RateLimitedError, match="at most 10 in a minute") as caught:
            list(world.clinician.open(grant(world)))
        assert 0 < caught.value.retry_after <= 60


def test_a_record_lies_in_the_lane_of_its_year_and_generation(world: World, evil: EvilHospital) -> None:
    upload(world, GOOD)
    this_year = grant(world, years=[2025])
    evil.record(year=2024)
    evil.publish()
    records, (omission,) = told(world.clinician.open(this_year))
    assert len(records) == GOOD
    assert "its header says laboratory/2024, and lies under laboratory/2025" in omission

    world.patient.revoke(this_year, rotate=True)
    evil.record(epoch=0)
    evil.publish()
    _, omissions = told(world.clinician.open(grant(world, years=[2025])))
    assert [one for one in omissions if "its header is of key change 0, its category of 1" in one]


def test_what_else_the_hospital_published_is_delivered(world: World, evil: EvilHospital) -> None:
    evil.record(b"first")
    evil.publish()
    garbage(evil)
    evil.record(b"second")
    header = evil.record(stored_at=10**15)
    evil.publish()

    records, omissions = told(world.patient.records())

    assert sorted(record.content for record in records) == [b"first", b"second"]
    assert [text.split(" of ")[0] for text in omissions] == ["storage transaction 2", f"record {header}"]


def test_whoever_opens_nothing_at_all_gets_the_failure_itself(world: World, evil: EvilHospital) -> None:
    evil.record(patient=Address("0x" + "11" * 20))
    evil.publish()
    with pytest.raises(IntegrityError, match="another patient's record") as caught:
        list(world.clinician.open(grant(world)))
    # It says whose fault it is.
    assert evil.address in str(caught.value)


def test_a_record_that_was_left_out_says_why_when_it_is_asked_for(world: World, evil: EvilHospital) -> None:
    upload(world)
    bad = evil.record(patient=Address("0x" + "11" * 20))
    evil.publish()
    with pytest.raises(IntegrityError, match="another patient's record"):
        world.patient.get(str(bad))
    with pytest.raises(PartlyDoneError, match="another patient's record"):
        world.patient.get("bafynobody")


@pytest.mark.deep
class TestRotation:
    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
    def test_everybody_is_told_of_new_lanes_whatever_one_hospital_published(
        self, world: World, evil: EvilHospital, attack: Callable[[EvilHospital], None]
    ) -> None:
        upload(world, GOOD)
        lost, kept = grant(world), grant(world, "nurse")
        attack(evil)

        report = world.patient.revoke(lost, rotate=True)

        assert report.rotated
        assert set(report.hospitals) == {world.hospital.address, world.clinic.address, evil.address}
        assert set(report.regranted) == {kept.policy_id}
        assert world.hospital.pairing(world.patient.whoami()).generations.epoch == 1
        assert world.hospital.rewrap().moved == GOOD

    def test_everybody_is_told_before_anything_of_a_hospital_is_read(
        self, world: World, evil: EvilHospital, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first hospital's records take for ever, or end the program: the others know the new lanes by then."""
        upload(world)
        lost = grant(world)

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(world.network, "heads_of", killed)
        with pytest.raises(KeyboardInterrupt):
            world.patient.revoke(lost, rotate=True)
        for session in (world.hospital, world.clinic, evil.session):
            assert session.pairing(world.patient.whoami()).generations.epoch == 1
        monkeypatch.undo()
        assert world.patient.revoke(lost, rotate=True).rotated
        assert world.hospital.rewrap().moved == 1

    def test_a_hospital_that_was_unpaired_matters_no_more(self, world: World, evil: EvilHospital) -> None:
        upload(world, GOOD)
        evil.record(b"whole")
        evil.publish()
        lost, kept = grant(world), grant(world, "nurse")
        garbage(evil)
        world.patient.unpair(evil.address)

        report = world.patient.revoke(lost, rotate=True)
        world.hospital.rewrap()

        assert report.omissions == ()
        assert set(report.hospitals) == {world.hospital.address, world.clinic.address}
        assert world.patient.revocation(lost).stage == "headers re-wrapped"
        # What is whole is read all the same, and what is broken is said.
        for opening in (world.nurse.open(report.regranted[kept.policy_id]), world.patient.records()):
            assert len(list(opening)) == GOOD + 1
            assert [one.what for one in opening.notices] == ["storage transaction 2"]

    def test_it_is_still_known_at_which_generation_the_lanes_are(self, world: World) -> None:
        """Also when the hospital that was told last, or every one, was unpaired."""
        world.patient.revoke(grant(world), rotate=True)
        for session in (world.hospital, world.clinic):
            world.patient.unpair(session.address)
        assert again(world)._lanes.generations().epoch == 1

    def test_an_older_pairing_that_the_store_lost_stops_no_rotation(self, world: World) -> None:
        events = world.network.sidechain.identities.paired(patient=world.patient.address)
        world.network.store.delete_blocks([CID(RAW, events[0].digest)])
        report = world.patient.revoke(grant(world), rotate=True)
        assert report.rotated
        assert set(report.hospitals) == {world.hospital.address, world.clinic.address}


class TestHospitalsOfTheGrant:
    def test_are_those_that_the_patient_had_paired_with_and_sealed_into_the_terms(self, world: World) -> None:
        _, terms = world.clinician.terms_of(grant(world))
        assert set(terms.hospitals) == {world.hospital.address, world.clinic.address}

    def test_are_visited_even_if_the_sidechains_node_hides_their_pairings(self, world: World) -> None:
        upload(world, GOOD)
        made = grant(world)
        logs = world.network.sidechain.chain.logs
        logs[:] = [one for one in logs if "Paired" not in one.event.name]
        assert len(list(world.clinician.open(made))) == GOOD

    def test_are_missed_if_the_mainchains_node_hides_one(self, world: World) -> None:
        upload(world, GOOD)
        upload(world, where="clinic")
        made = grant(world)
        find = world.network.mainchain.actors.find
        world.network.mainchain.actors.find = lambda *roles: [
            one for one in find(*roles) if one.address != world.clinic.address
        ]
        records, omissions = told(world.clinician.open(made))
        assert len(records) == GOOD
        assert [text for text in omissions if world.clinic.address in text]

    def test_one_that_the_patient_pairs_with_later_is_among_them(self, world: World) -> None:
        made = grant(world)
        late = EvilHospital(world, "late")
        world.patient.pair(late.address)
        late.record(b"later")
        late.publish()
        assert [record.content for record in world.clinician.open(made)] == [b"later"]


def test_another_patients_broken_pairing_keeps_nobodys_records_back(world: World) -> None:
    """A hospital uploads for three patients in one call: the store lost one's pairing, and one has unpaired."""
    broken, gone = another_patient(world, "broken"), another_patient(world, "gone")
    for one in (broken, gone):
        one.pair(world.hospital.address)
    gone.unpair(world.hospital.address)
    world.network.store.delete_blocks([CID(RAW, pairing_of(world, broken))])
    source = world.home / "source.json"
    source.write_text(json.dumps(resource("laboratory", 2025, 1)))
    assigned = [(source, one.address) for one in (broken, gone, world.patient)]

    with pytest.raises(PartlyDoneError) as caught:
        world.hospital.upload_many(assigned)

    assert isinstance(caught.value.result, UploadReport)
    assert len(caught.value.result.records) == len(list(world.patient.records())) == 1
    assert [one.what for one in caught.value.omissions] == [f"patient {one.profile.handle}" for one in (broken, gone)]
    # With nobody left there is nothing to be partly done.
    with pytest.raises(BlockNotFoundError):
        world.hospital.upload([source], broken.address)
    with pytest.raises(AccessDeniedError):
        world.hospital.upload([source], gone.address)


def test_another_patients_bad_order_keeps_nobody_from_new_lanes(world: World) -> None:
    """Orders that are no orders, or name somebody else's records, and a pairing that is gone."""
    upload(world, GOOD)
    (own, *_) = world.patient._lanes.headers(Strict())
    mallory, broken = another_patient(world, "mallory"), another_patient(world, "broken")
    clinic = world.hospital.whoami()
    keys = {"hospital_key": clinic.sealing_key, "patient_key": seed_of("mallory").sealing().public}
    first = own.headers[0]
    envelope = seal_envelope(EnvelopeKey(bytes(32)), [])
    foreign = rewrap.Move(CID.parse(first.info.header_cid), first.locator_key, envelope)
    orders = [
        keep(world.network.store, b"no order"),
        CID.of(RAW, b"that nobody has"),
        keep(world.network.store, rewrap.seal_order([foreign], signer=seed_of("mallory").signer(), **keys)),
    ]
    mallory._lanes.pair(clinic, Generations().rotated([Scope.of(Category.LABORATORY)]), orders)
    broken.pair(clinic.address)
    world.network.store.delete_blocks([CID(RAW, pairing_of(world, broken))])
    world.patient.revoke(grant(world), rotate=True)

    with pytest.raises(PartlyDoneError) as caught:
        world.hospital.rewrap()

    assert isinstance(caught.value.result, RewrapReport)
    assert (caught.value.result.moved, caught.value.result.deleted) == (GOOD, GOOD)
    named = [str(one) for one in caught.value.omissions]
    assert len(named) == 4
    assert sum(mallory.profile.handle in one for one in named) == 3
    assert sum(broken.profile.handle in one for one in named) == 1
    assert len(list(world.patient.records())) == GOOD


def another_patient(world: World, name: str) -> Patient:
    """Return one more patient, who is registered and has paired with nobody."""
    actor = actor_of(name, Role.PATIENT)
    folder = world.home / "profiles" / name
    folder.mkdir(parents=True)
    world.registrar.admit(actor)
    return Patient(world.network, Profile(name, Role.PATIENT, actor.address, actor.public_keys, folder), "")


def pairing_of(world: World, patient: Patient) -> bytes:
    """Return the digest of a patient's newest pairing."""
    return world.network.sidechain.identities.paired(patient=patient.address)[-1].digest
