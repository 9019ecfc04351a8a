"""Secret keys of every lane, every receiving key, all kfrags and cfrags: none of it gives an envelope key.

The attacker stands for whoever recorded every envelope and every proxy's shares and can take discrete logarithms: it is
handed the secret scalar behind each lane's key and behind the grantee's receiving key, and is told each envelope key's
commitment. What it lacks is what the curve has nothing to do with: the lanes' peppers. Each claim has its control: with
the pepper, the same messages open everything. Pairings and terms are told to it by nobody: how they are sealed is
another matter. Follows ADR 36 and design section 3.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from panachain.consent.terms import open_terms
from panachain.crypto import box, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import hospital_key
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import Terms
from panachain.model.scope import Category, Scope, path_of
from panachain.records import header
from panachain.records.header import Header
from panachain.records.locate import content_of
from panachain.sdk.lanes import OwnHeaders
from tests.twin.world import THRESHOLD, World, resource, running_world, seed_of
from tests.unit.sdk.helpers import grant, opened

PATIENT = seed_of("patient")
CATEGORIES = ("laboratory", "allergies", "mental-health")
"""Of which one has a path of three lanes, one of four with the emergency lane, and one, restricted, of two."""
YEAR = 2025


@dataclass
class Attacker:
    """Everything but the peppers."""

    world: World
    epochs: int = 1
    """How many generations its lanes' secret keys are of."""

    @cached_property
    def envelopes(self) -> dict[str, bytes]:
        held = {str(cid): data for cid, (data, _) in self.world.network.store.held.items()}
        return {cid: data for cid, data in held.items() if len(data) == header.ENVELOPE_SIZE and data[0] == 3}

    @cached_property
    def messages(self) -> dict[tuple[str, int, Scope, int], bytes]:
        """What the lanes' secret keys find in each wrap of each envelope, by the lane that opened it."""
        scopes = {scope for one in Category if one.value in CATEGORIES for scope in path_of(one, YEAR, emergency=True)}
        found = {}
        for cid, block in self.envelopes.items():
            for index, scope, generation in itertools.product(range(header.SLOTS), scopes, range(self.epochs)):
                try:
                    message = umbral.unwrap(PATIENT.lane(scope, generation), header.wrap_at(block, index))
                except IntegrityError:
                    continue
                found[cid, index, scope, generation] = message
        return found


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        for first, where in ((0, "hospital"), (10, "clinic")):
            running.upload(where, [resource(one, YEAR, n) for n, one in enumerate(CATEGORIES, first)])
        yield running


def truth(world: World) -> dict[str, tuple[Header, bytes]]:
    """Return a header and the key of each envelope, as the patient knows them."""
    found: list[OwnHeaders] = list(world.patient._lanes.headers())
    return {
        one.info.envelope_cid: (one, own.envelope_keys[one.info.envelope_cid]) for own in found for one in own.headers
    }


def xors(values: list[bytes]) -> set[int]:
    numbers = [int.from_bytes(value, "big") for value in values]
    return {one ^ other for one, other in itertools.combinations(numbers, 2)} - {0}


def terms_of(world: World, policy_id: PolicyId, who: str = "clinician") -> Terms:
    terms: Terms = world.sessions[who].terms_of(policy_id)[1]
    return terms


def test_every_lanes_secret_key_opens_the_wraps_and_finds_no_envelope_key(world: World) -> None:
    known, attacker = truth(world), Attacker(world)
    # The attack on Umbral succeeds: each lane's wrap is open, and no dummy is.
    expected = sum(len(path_of(one.info.category, one.info.year)) for one, _ in known.values())
    assert set(attacker.envelopes) == set(known)
    assert len(attacker.messages) == expected == 2 * (3 + 4 + 2)

    commitments = {one.commitment for one, _ in known.values()}
    found = list(attacker.messages.values())
    assert len(set(found)) == len(found)
    assert not {EnvelopeKey(message).commitment for message in found} & commitments
    for (cid, _, _, _), message in attacker.messages.items():
        one, key = known[cid]
        assert message != key
        with pytest.raises(IntegrityError, match="committed to"):
            content_of(world.network.store, one, EnvelopeKey(message))
    # Nor does any difference of two messages tell one of two keys, or of a message and a key.
    keys = [key for _, key in known.values()]
    assert not xors(found) & xors(keys)
    # The control.
    for (cid, _, scope, generation), message in attacker.messages.items():
        one, key = known[cid]
        pepper = hospital_key(PATIENT.pepper(scope, generation), one.info.hospital)
        assert EnvelopeKey.unmasked(message, pepper=pepper, commitment=one.commitment).key == key


def test_all_kfrags_and_the_grantees_receiving_key_find_the_same_messages(world: World) -> None:
    made = grant(world, categories=("laboratory",))
    terms, reader, attacker = terms_of(world, made.policy_id), seed_of("clinician").receiving(), Attacker(world)
    seen = 0
    for number, lane in enumerate(terms.lanes):
        given = {"verifying": terms.verifying_key, "delegating": lane.delegating_key}
        held = [proxy.store.kfrag(made.policy_id, number) for proxy in world.proxies]
        kfrags = [umbral.check_kfrag(one.kfrag, receiving=reader.public, **given) for one in held if one is not None]
        assert len(kfrags) == len(world.proxies)
        for (cid, index, scope, generation), message in attacker.messages.items():
            if (scope, generation) != (lane.scope, lane.generation):
                continue
            wrap = header.wrap_at(attacker.envelopes[cid], index)
            capsule = umbral.capsule_of(wrap)
            cfrags = [umbral.reencrypt(capsule, kfrag, receiving=reader.public, **given) for kfrag in kfrags]
            for some in itertools.combinations(cfrags, THRESHOLD):
                assert umbral.unwrap_reencrypted(reader, wrap, some, threshold=THRESHOLD, **given) == message
            seen += 1
    # One at each hospital.
    assert seen == 2


def test_another_lanes_hospitals_or_generations_pepper_is_told_apart_from_the_right_one(world: World) -> None:
    known, attacker = truth(world), Attacker(world)
    hospitals = world.hospital.address, world.clinic.address
    for (cid, _, scope, generation), message in attacker.messages.items():
        one, _ = known[cid]
        wrong: list[tuple[Scope, int, Address]] = [
            (scope, generation, next(other for other in hospitals if other != one.info.hospital)),
            (scope, generation + 1, one.info.hospital),
            *((other, generation, one.info.hospital) for other in {key[2] for key in attacker.messages} - {scope}),
        ]
        for other, number, hospital in wrong:
            pepper = hospital_key(PATIENT.pepper(other, number), hospital)
            with pytest.raises(IntegrityError, match="wrapped for another hospital, lane or generation"):
                EnvelopeKey.unmasked(message, pepper=pepper, commitment=one.commitment)


def test_a_hospital_is_told_its_own_peppers_and_no_other_hospitals(world: World) -> None:
    patient = world.patient.whoami()
    mine, theirs = (world.sessions[name].pairing(patient) for name in ("hospital", "clinic"))
    assert set(mine.lanes) == set(theirs.lanes)
    told = {lane.pepper for lane in mine.lanes.values()}
    assert len(told) == len(mine.lanes)
    for scope, lane in theirs.lanes.items():
        whole = PATIENT.pepper(scope, lane.generation)
        assert lane.pepper == hospital_key(whole, world.clinic.address)
        assert not {lane.pepper, whole} & told
        # Deriving from what it was told leads nowhere.
        assert lane.pepper not in {hospital_key(mine.lanes[scope].pepper, world.clinic.address)}


def encodings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret)[:-1]]


def test_no_proxy_is_told_a_pepper_and_none_lies_in_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    open_box, answer = box.open_box, world.answer

    def opening(*args: Any) -> bytes:
        heard.append(open_box(*args))
        return heard[-1]

    def answering(request: Any) -> Any:
        heard.append(request.read())
        response = answer(request)
        heard.append(b"".join(response.stream))
        return response

    monkeypatch.setattr(box, "open_box", opening)
    monkeypatch.setattr(world, "answer", answering)
    made = grant(world)
    assert opened(world, made.policy_id) == 2
    world.wait()
    terms = terms_of(world, made.policy_id)
    # Deposits were opened, kfrags were in them, and requests and answers passed.
    assert any(b"kfrag" in one for one in heard)
    assert len(heard) > 2 * len(world.proxies)

    databases = [path.read_bytes() for path in world.home.glob("proxy-*.sqlite*")]
    blocks = [data for data, _ in world.network.store.held.values()]
    assert len(databases) >= len(world.proxies)
    everything = b"\0".join([*heard, *databases, *blocks])
    assert terms.proxies[0].address[2:].lower().encode() in everything.lower()
    for lane in terms.lanes:
        for secret in (lane.pepper, *(hospital_key(lane.pepper, one) for one in terms.hospitals)):
            assert not any(one in everything for one in encodings(secret))


def test_a_rotated_lane_has_a_fresh_pepper_and_a_grantee_of_before_has_nothing_of_it(world: World) -> None:
    made = grant(world)
    before = terms_of(world, made.policy_id)
    assert world.patient.revoke(made.policy_id, rotate=True).rotated
    world.upload("hospital", [resource("laboratory", YEAR, 77)])
    pairing = world.hospital.pairing(world.patient.whoami())
    scope = Scope.of(Category.LABORATORY)
    assert pairing.lanes[scope].generation == 1
    assert pairing.lanes[scope].pepper == hospital_key(PATIENT.pepper(scope, 1), world.hospital.address)

    # The secret keys of the new generation too, and every commitment: the peppers of before are of no use.
    known, attacker = truth(world), Attacker(world, epochs=2)
    new = {place: message for place, message in attacker.messages.items() if place[3] == 1}
    assert new
    for (cid, _, _, _), message in new.items():
        for lane, hospital in itertools.product(before.lanes, before.hospitals):
            pepper = hospital_key(lane.pepper, hospital)
            with pytest.raises(IntegrityError, match="committed to"):
                EnvelopeKey.unmasked(message, pepper=pepper, commitment=known[cid][0].commitment)


def test_an_envelope_that_is_wrapped_again_opens_by_the_new_pepper_and_stays_closed_to_the_old_one(
    world: World,
) -> None:
    lost, kept = grant(world), grant(world, "nurse", ("laboratory", "allergies"))
    old = truth(world)
    earlier = Attacker(world).messages
    assert world.patient.revoke(lost.policy_id, rotate=True).rotated
    for name in ("hospital", "clinic"):
        world.sessions[name].rewrap()

    new, attacker = truth(world), Attacker(world, epochs=2)
    assert {key for _, key in new.values()} == {key for _, key in old.values()}
    by_key = {key: cid for cid, (_, key) in old.items()}
    moved = {cid: by_key[key] for cid, (_, key) in new.items() if cid not in old}
    assert len(moved) == 2
    rotated, same = 0, 0
    for (cid, index, scope, generation), message in attacker.messages.items():
        if cid not in moved:
            continue
        before, one = earlier[moved[cid], index, scope, 0], new[cid][0]
        # In a lane that stayed the message is the same: no second equation for the same key.
        assert (message == before) is (generation == 0)
        rotated, same = rotated + (generation == 1), same + (generation == 0)
        current, former = (
            hospital_key(PATIENT.pepper(scope, number), one.info.hospital) for number in (generation, 1 - generation)
        )
        assert EnvelopeKey.unmasked(message, pepper=current, commitment=one.commitment).key == new[cid][1]
        with pytest.raises(IntegrityError, match="committed to"):
            EnvelopeKey.unmasked(message, pepper=former, commitment=one.commitment)
    assert rotated == 2
    assert same == 4
    # The one who was granted before and still is reads on by the terms of a new policy.
    (again,) = {one.policy_id for one in world.nurse.inbox()} - {kept.policy_id}
    assert opened(world, again, "nurse") == 4


def test_dummies_hold_nothing_whatever_secret_key_or_logarithm_somebody_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the logarithms of a capsule's points gets no further than with each secret key: one product."""
    made, real = list[bytes](), umbral.wrap_nothing

    def noted() -> bytes:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(umbral, "wrap_nothing", noted)
    world.upload("hospital", [resource("mental-health", YEAR, 99)])
    known, dummies = truth(world), list[tuple[Any, bytes]]()
    for cid, block in Attacker(world).envelopes.items():
        wraps = [header.wrap_at(block, index) for index in range(header.SLOTS)]
        dummies += [(known[cid], wrap) for wrap in wraps if wrap in made]
    assert len(dummies) == len(made) == 2
    path = [Scope.of(Category.MENTAL_HEALTH), Scope.of(Category.MENTAL_HEALTH, YEAR)]
    scopes = [*path, Scope.all(), Scope.emergency()]
    for (one, key), wrap in dummies:
        for secret in [PATIENT.lane(scope, 0) for scope in scopes] + [umbral.SecretKey.random()]:
            with pytest.raises(IntegrityError):
                umbral.unwrap(secret, wrap)
        peppers = [hospital_key(PATIENT.pepper(scope, 0), one.info.hospital) for scope in path]
        assert all(part not in wrap for part in (key, *(EnvelopeKey(key).masked(pepper) for pepper in peppers)))
    assert dummies[0][1][-73:] != dummies[1][1][-73:]


def test_terms_tell_the_grantee_the_peppers_of_the_granted_lanes_only(world: World) -> None:
    made = grant(world)
    terms = terms_of(world, made.policy_id)
    assert [(lane.scope, lane.pepper) for lane in terms.lanes] == [
        (lane.scope, PATIENT.pepper(lane.scope, 0)) for lane in terms.lanes
    ]
    assert {lane.scope for lane in terms.lanes} == {Scope.of(Category.LABORATORY)}
    block = world.network.store.get_block(CID(RAW, world.network.mainchain.policies.policy_of(made.policy_id).terms))
    with pytest.raises(IntegrityError):
        open_terms(block, seed_of("stranger").sealing())


def test_whoever_is_paired_and_whoever_is_granted_agree_on_every_pepper(world: World) -> None:
    """Each derives it in their own way: the hospital is told it, the grantee computes it, the patient has the seed."""
    made = grant(world, categories=CATEGORIES[:2])
    terms = terms_of(world, made.policy_id)
    for name in ("hospital", "clinic"):
        hospital = world.network.resolve(world.sessions[name].address, Role.HOSPITAL).address
        told = world.sessions[name].pairing(world.patient.whoami()).lanes
        for lane in terms.lanes:
            assert hospital_key(lane.pepper, hospital) == told[lane.scope].pepper
