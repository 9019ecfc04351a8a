"""With the discrete logarithm of every public point given, nothing that lies in public opens: no seal and no record.

docs/security/quantum.md claims it; harvest.py is the attacker.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import product

import pytest
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from panachain.crypto import box, labels, padding, stream, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import hospital_key
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.scope import Category, Scope
from panachain.records.findings import Strict
from panachain.records.header import Header
from panachain.records.locate import content_of
from tests.hostile.harvest import PEOPLE, PROXIES, YEARS, Attacker, Harvest, Logarithms, Sealed
from tests.twin.world import World, resource, running_world, seed_of

NOTE = "may I see the ultrasound of the ninth week"
KINDS = {"terms", "pairing", "order", "request", "outcome", "group key", "deposit", "receipt"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture(scope="module")
def harvest(world: World) -> Harvest:
    """Everything that lay in public while people lived with the system for a while."""
    made = Harvest()
    made.listen(world)
    world.upload("hospital", [resource("laboratory", 2024, 1), resource("vitals", 2025, 2)])
    asked = world.clinician.request(world.patient.address, ["laboratory"], note=NOTE).request_id
    approved = world.patient.approve(asked).policy_id
    assert list(world.clinician.open(approved))
    group = world.clinician.create_group().group
    world.clinician.add_member(group, world.nurse.address)
    world.nurse.accept_group(group)
    shared = world.patient.grant(group, ["vitals"], until=world.now + 1000).policy_id
    assert list(world.nurse.open(shared))
    world.patient.grant(world.researcher.address, ["laboratory"], until=world.now + 1000, disclose=True)
    world.patient.revoke(approved, rotate=True)
    world.hospital.rewrap()
    world.patient.log()
    made.collect(world)
    return made


@pytest.fixture(scope="module")
def attacker(world: World, harvest: Harvest) -> Attacker:
    return Attacker(Logarithms(world))


def test_something_of_every_kind_was_recorded(harvest: Harvest) -> None:
    counted = Counter(one.kind for one in harvest.sealed)
    assert counted.keys() == KINDS
    assert counted["deposit"] >= 3 * 3
    assert counted["pairing"] >= 4
    assert len(harvest.blocks) > 30
    assert len(harvest.events) > 20


def test_those_whom_it_is_for_open_it(world: World, harvest: Harvest) -> None:
    # Else nothing would follow from an attacker's failure.
    keys = [key for name in (*PEOPLE, *PROXIES) for key in (seed_of(name).sealing(), seed_of(name).audit())]
    keys += [reader.sealing for name in ("clinician", "nurse") for reader in world.sessions[name]._readers()]
    for sealed in harvest.sealed:
        assert any(opens(sealed, key) for key in keys), sealed.kind


def opens(sealed: Sealed, key: object) -> bool:
    try:
        return bool(sealed.opened(key))  # type: ignore[arg-type]
    except IntegrityError:
        return False


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_with_every_discrete_logarithm_nothing_sealed_opens(harvest: Harvest, attacker: Attacker, kind: str) -> None:
    for sealed in harvest.sealed:
        if sealed.kind == kind:
            assert attacker.opened(sealed) == []


def test_nothing_of_it_lies_open(world: World, harvest: Harvest) -> None:
    """What is inside stands nowhere outside: no note, no key of a lane, of an envelope or of a reader, no record."""
    hidden = [NOTE.encode(), b"Observation", seed_of("patient").audit().public]
    hidden += [key for own in world.patient._lanes.headers(Strict()) for key in own.envelope_keys.values()]
    hidden += [reader.secret.reveal() for reader in world.clinician._readers()]
    for view in world.patient.policies():
        for lane in world.patient.terms_of(view.policy_id)[1].lanes:
            hidden += [lane.locator_key, lane.delegating_key, lane.pepper]
    spelt = [form for one in hidden for form in (one, one.hex().encode())]
    for piece in (*harvest.blocks, *(event.encode() for event in harvest.events), *harvest.sent):
        assert not any(one in piece for one in spelt)


def test_with_every_discrete_logarithm_no_record_opens(world: World, harvest: Harvest, attacker: Attacker) -> None:
    messages = [message for block in harvest.blocks for message in attacker.wrapped(block)]
    # Umbral's wraps are open to them. What is inside is no key of an envelope.
    assert len(messages) >= 3 * 3
    assert contents(world, lambda _: map(EnvelopeKey, messages)) == []


def test_who_knows_the_peppers_opens_every_record(world: World, harvest: Harvest, attacker: Attacker) -> None:
    """The same messages open everything, so it is the peppers that keep them closed."""
    messages = [message for block in harvest.blocks for message in attacker.wrapped(block)]

    def keys(found: Header) -> Iterator[EnvelopeKey]:
        for message, pepper in product(messages, peppers(found.info.hospital)):
            with suppress(IntegrityError):
                yield EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)

    headers = [one for own in world.patient._lanes.headers(Strict()) for one in own.headers]
    assert len(contents(world, keys)) >= len(headers) > 0


def contents(world: World, keys: Callable[[Header], Iterable[EnvelopeKey]]) -> list[bytes]:
    """Return what opens with some keys, told which header and which content belong together."""
    opened = []
    for own in world.patient._lanes.headers(Strict()):
        for found in own.headers:
            for key in keys(found):
                with suppress(IntegrityError):
                    opened.append(content_of(world.network.store, found, key).read())
    return opened


def peppers(hospital: Address) -> list[bytes]:
    """Return the hospital's own peppers of the lanes that records of this world are in."""
    patient, scopes = seed_of("patient"), [Scope.all()]
    for category in (Category.LABORATORY, Category.VITALS):
        scopes += [Scope.of(category), *(Scope.of(category, year) for year in YEARS)]
    return [hospital_key(patient.pepper(scope, number), hospital) for scope in scopes for number in (0, 1)]


class TestTeeth:
    """What the attacker can do: seals on curves alone fall, whatever the curve is."""

    def test_a_seal_on_secp256k1_falls(self, world: World, attacker: Attacker) -> None:
        key, message = os.urandom(32), b"as the first version sealed it"
        for name in ("patient", "clinician", "proxy-0"):
            wrap = umbral.wrap(seed_of(name).receiving().public, key)
            block = wrap + stream.seal(padding.pad(message), key, labels.TERMS)
            assert message in attacker.opened(Sealed("terms", block, labels.TERMS, 1))

    def test_a_seal_on_curve25519_alone_falls(self, world: World, attacker: Attacker) -> None:
        suite, key = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305), os.urandom(32)
        for curve in attacker._logarithms.curve:
            seal = bytes(1088) + suite.encrypt(key, curve.public_key(), labels.TERMS)
            assert len(seal) == box.SEAL_SIZE
            assert key in attacker.opened(Sealed("terms", seal, labels.TERMS, 1))

    def test_the_attacker_has_the_keys_of_all_whom_it_is_about(self, attacker: Attacker) -> None:
        publics = {scalar.public for scalar in attacker._logarithms.scalars}
        assert {seed_of(name).receiving().public for name in (*PEOPLE, *PROXIES)} <= publics
        halves = {curve.public_key().public_bytes_raw() for curve in attacker._logarithms.curve}
        assert {seed_of(name).sealing().public[-32:] for name in (*PEOPLE, *PROXIES)} <= halves
